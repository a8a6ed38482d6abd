package yserver

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// serialDepth bounds the hook calls that wait in one room; a client that sends
// faster than its hook works is read no further.
const serialDepth = 256

// serial runs the hook calls of a room one after the other, on a goroutine that
// exists only while there are any.
type serial struct {
	log    *slog.Logger
	panics *atomic.Int64
	slots  chan struct{} // held by calls that wait or run

	mu      sync.Mutex
	queue   []func() // guarded by mu
	running bool     // guarded by mu
}

func newSerial(log *slog.Logger, panics *atomic.Int64) *serial {
	return &serial{log: log, panics: panics}
}

// put queues a call. It waits while too many do, until ctx ends.
func (s *serial) put(ctx context.Context, call func()) {
	slots := s.room()
	select {
	case slots <- struct{}{}:
	case <-ctx.Done():
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, call)
	if !s.running {
		s.running = true
		go s.run()
	}
}

// room makes the semaphore when the first hook is called: most rooms never do.
func (s *serial) room() chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.slots == nil {
		s.slots = make(chan struct{}, serialDepth)
	}
	return s.slots
}

func (s *serial) run() {
	for {
		s.mu.Lock()
		if len(s.queue) == 0 {
			s.running, s.queue = false, nil
			s.mu.Unlock()
			return
		}
		call := s.queue[0]
		s.queue = s.queue[1:]
		s.mu.Unlock()
		s.call(call)
		<-s.slots
	}
}

// call runs one hook; a panic in it is logged and costs nothing else.
func (s *serial) call(fn func()) {
	defer func() {
		if v := recover(); v != nil {
			s.panics.Add(1)
			s.log.Error("hook panicked", "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		}
	}()
	fn()
}

// idle reports whether no call waits or runs.
func (s *serial) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.running
}
