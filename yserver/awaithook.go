package yserver

import (
	"context"
	"fmt"
	"time"
)

// awaitHook calls a hook that runs before there is a room, in a goroutine of its own,
// and returns what it returns. A panic in it is an error. One that goes on although
// ctx has ended is waited for no longer than grace: that is errStuck.
func awaitHook[T any](ctx context.Context, s *Server, grace time.Duration, hook func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answered := make(chan answer, 1)
	go func() {
		a := answer{err: errHookExit}
		defer func() {
			if v := recover(); v != nil {
				s.counters.hookPanics.Add(1)
				a.err = fmt.Errorf("panic: %v", v)
			}
			answered <- a
		}()
		a.value, a.err = hook()
	}()
	select {
	case a := <-answered:
		return a.value, a.err
	case <-ctx.Done():
	}
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case a := <-answered:
		return a.value, a.err
	case <-late.C:
		s.counters.hooksStuck.Add(1)
		var none T
		return none, errStuck
	}
}
