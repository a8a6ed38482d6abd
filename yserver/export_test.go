package yserver

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
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
	for _, k := range []*keyedLocks{&s.storage, &s.alarms.locks, &s.lives} {
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

// TestIndex is the index of the members of a room by connection id.
type TestIndex struct {
	index memberIndex
	all   []*member
}

// Add enters a member with a connection id and returns its number.
func (x *TestIndex) Add(id string) int {
	m := &member{conn: &Connection{id: id}}
	x.all = append(x.all, m)
	x.index.add(m, x.all)
	return int(m.order)
}

// Remove takes the member with a number out.
func (x *TestIndex) Remove(number int) {
	for i, m := range x.all {
		if m.order == uint64(number) {
			x.all = append(x.all[:i:i], x.all[i+1:]...)
			x.index.remove(m, x.all)
			return
		}
	}
}

// Find returns the number of the newest member with a connection id, 0 if there is
// none.
func (x *TestIndex) Find(id string) int {
	if m := x.index.find(id, x.all); m != nil {
		return int(m.order)
	}
	return 0
}

// Indexed reports whether there is a map, for many members.
func (x *TestIndex) Indexed() bool { return x.index.newest != nil }

// SweepNow sweeps once, beside the schedule.
func SweepNow(s *Server) { s.sweeper.sweep() }

// TestFlapping is a flapping whose clock is the test's.
type TestFlapping struct{ f *flapping }

// NewTestFlapping returns one of nobody.
func NewTestFlapping() TestFlapping { return TestFlapping{newFlapping()} }

// Closed notes a close at a time since the start.
func (x TestFlapping) Closed(id string, at time.Duration) { x.f.closedAt(flapper{id: id}, at) }

// Wait is how long a client has to stay away.
func (x TestFlapping) Wait(id string, at time.Duration) time.Duration {
	return x.f.waitAt(flapper{id: id}, at)
}

// Len is how many clients are kept.
func (x TestFlapping) Len() int { return len(x.f.recent) + len(x.f.older) }

// TestLeases are numbered leases.
type TestLeases struct {
	heap leases
	all  []*lease
}

// NewTestLeases returns n leases, none of which is set.
func NewTestLeases(n int) *TestLeases {
	x := &TestLeases{}
	for range n {
		x.all = append(x.all, &lease{index: -1})
	}
	return x
}

// Set puts a lease to a time.
func (x *TestLeases) Set(n int, at time.Time) { x.heap.set(x.all[n], at) }

// Remove takes a lease out.
func (x *TestLeases) Remove(n int) { x.heap.remove(x.all[n]) }

// Due takes the first lease that is due, or returns -1.
func (x *TestLeases) Due(now time.Time) int { return slices.Index(x.all, x.heap.due(now)) }

// Leases is how many connections the server will look at.
func Leases(s *Server) int {
	s.warden.mu.Lock()
	defer s.warden.mu.Unlock()
	return len(s.warden.leases)
}

// ShareGrant reports whether two connections have one grant.
func ShareGrant(a, b *Connection) bool { return a.grant.Load() == b.grant.Load() }

// TooLong is how many messages were longer than their connection may send.
func TooLong(s *Server) (n int64) {
	for _, p := range s.parties {
		n += p.sockets.stats.tooLong.Load()
	}
	return n
}

// StoreTime is how long a call of the store may take that brings so many bytes.
var StoreTime = storeTime
