package proc

import (
	"fmt"
	"os"
	"sync"
)

// TestingM is what goleak and Main take for a *testing.M.
type TestingM interface{ Run() int }

// Shared is a server that the tests of a process have together. Its methods may be called from any goroutine.
type Shared[T any] struct {
	name   string // of the package whose Main is to be run
	remove func(T) error

	mu      sync.Mutex
	running int // Mains
	started bool
	server  T
	err     error // of starting it: one try is enough
}

// NewShared returns a Shared that has not started. The name is that of the package that has it.
func NewShared[T any](name string, remove func(T) error) *Shared[T] {
	return &Shared[T]{name: name, remove: remove}
}

// Get returns the server, which the first call starts.
func (s *Shared[T]) Get(start func() (T, error)) (T, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == 0 {
		return s.server, fmt.Errorf("the package's TestMain does not run %s.Main", s.name)
	}
	if !s.started {
		s.server, s.err = start()
		s.started = true
	}
	return s.server, s.err
}

// Main wraps a package's tests so that the server goes when they end.
func (s *Shared[T]) Main(m TestingM) TestingM { return tests[T]{m, s} }

type tests[T any] struct {
	TestingM
	shared *Shared[T]
}

// Run runs the tests and returns their exit code.
func (t tests[T]) Run() (code int) {
	t.shared.mu.Lock()
	t.shared.running++
	t.shared.mu.Unlock()
	defer func() {
		if err := t.shared.end(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", t.shared.name, err)
			code = max(code, 1)
		}
	}()
	return t.TestingM.Run()
}

// end removes the server, if it was started.
func (s *Shared[T]) end() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	server, remove := s.server, s.started && s.err == nil
	var none T
	s.server, s.started, s.err = none, false, nil
	if !remove {
		return nil
	}
	return s.remove(server)
}
