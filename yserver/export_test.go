package yserver

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/yserverd/yserverd/gate"
)

// NewTestRouter returns a function that says where a path leads: "party room",
// "y party room" on a y-websocket mount, or the status.
func NewTestRouter(tb testing.TB, prefixes []string, parties ...Party) func(path string) string {
	tb.Helper()
	var ps []*party
	for _, p := range parties {
		ps = append(ps, &party{Party: p})
	}
	rt := newRouter(Config{Prefixes: prefixes}, ps)
	return func(path string) string {
		got, bad := rt.match(httptest.NewRequest(http.MethodGet, path, nil))
		prefix := ""
		if got.ymnt {
			prefix = "y "
		}
		switch {
		case bad != nil && bad.status == 0:
			return "404"
		case bad != nil:
			return prefix + strconv.Itoa(bad.status)
		}
		return prefix + got.party.Name + " " + got.room
	}
}

// RefuseAll is a rule that admits nobody.
func RefuseAll(context.Context, *gate.Request) (gate.Decision, error) {
	return gate.Decision{}, &gate.Refusal{Status: http.StatusForbidden, Layer: gate.LayerAccess, Code: "NO", Message: "nobody"}
}

// PanicIn makes the goroutine of a live room panic.
func PanicIn(tb testing.TB, s *Server, party, room string) {
	tb.Helper()
	e, err := s.registry.find(tb.Context(), roomID{party, room})
	if err != nil {
		tb.Fatalf("room %s/%s is not live", party, room)
	}
	defer s.registry.release(e)
	e.room.post(func() { panic("made by a test") })
}

// Asleep reports whether a room hibernates.
func Asleep(s *Server, party, room string) bool {
	s.registry.mu.Lock()
	defer s.registry.mu.Unlock()
	e := s.registry.entries[roomID{party, room}]
	return e != nil && e.sleep != nil
}

// SetAlarmRetry changes after what time an alarm that failed is repeated first.
func SetAlarmRetry(s *Server, d time.Duration) { s.alarms.retry.Store(int64(d)) }

// AlarmBookkeeping returns how many alarms the server thinks about.
func AlarmBookkeeping(s *Server) int {
	s.alarms.mu.Lock()
	defer s.alarms.mu.Unlock()
	return len(s.alarms.running) + len(s.alarms.failed)
}

// HeldLocks returns how many locks of rooms somebody has or waits for.
func HeldLocks(s *Server) int {
	n := 0
	for _, k := range []*keyedLocks{&s.storage, &s.alarms.locks} {
		k.mu.Lock()
		n += len(k.locks)
		k.mu.Unlock()
	}
	return n
}

// ForgetSizes makes the server measure the storage of all rooms again.
func ForgetSizes(s *Server) {
	s.sizes.mu.Lock()
	defer s.sizes.mu.Unlock()
	s.sizes.most = nil
}
