package materialise

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
)

// MaxAbandoned is how many runs of y-crdt may be given up and still be running. Nothing can end a goroutine from outside, so
// each costs a core until it ends by itself or the process does.
const MaxAbandoned = 2

// abandoned counts the runs that were given up and have not ended; everAbandoned all of them.
var abandoned, everAbandoned atomic.Int64

// Abandoned returns how many runs of y-crdt were given up and are still running, and how many there ever were, for metrics.
func Abandoned() (running, total int64) { return abandoned.Load(), everAbandoned.Load() }

// second is the second implementation; tests put others in its place.
var second = integrateWithYCRDT

// crossCheck compares our own integration of a state with that of y-crdt, where that can be trusted to be right: not with
// parts that wait, nor where a key is the empty string, which it takes for none, nor where types are nested so deeply that
// its recursion may exhaust the stack, which would end the process.
func (d *Document) crossCheck(ctx context.Context, state, want []byte) error {
	if int64(len(state)) > d.lim.CheckBytes || d.pending || d.emptyKey || d.deepest > d.lim.Depth {
		return nil
	}
	got, err := runSecond(ctx, state, d.lim)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return &UnsupportedError{What: "two implementations do not agree on the result of the edit"}
	}
	return nil
}

// runSecond runs the second implementation in a goroutine of its own and gives it up when the context ends.
func runSecond(ctx context.Context, state []byte, lim Limits) ([]byte, error) {
	if abandoned.Load() >= MaxAbandoned {
		return nil, ErrBusy
	}
	type result struct {
		outline []byte
		err     error
	}
	state = bytes.Clone(state) // a run that is given up goes on reading
	const running, over, left = 0, 1, 2
	var phase atomic.Int32
	done := make(chan result, 1)
	run := second
	go func() {
		var r result
		defer func() {
			if p := recover(); p != nil {
				r = result{err: &UnsupportedError{What: fmt.Sprintf("the check of the edit panicked: %v", p)}}
			}
			done <- r
			if !phase.CompareAndSwap(running, over) {
				abandoned.Add(-1)
			}
		}()
		r.outline, r.err = run(state, lim)
	}()
	select {
	case r := <-done:
		return r.outline, r.err
	case <-ctx.Done():
	}
	abandoned.Add(1)
	if !phase.CompareAndSwap(running, left) { // it ended at this very moment
		abandoned.Add(-1)
		return nil, ctx.Err()
	}
	everAbandoned.Add(1)
	err := ctx.Err()
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("the check of the edit does not end: %w", err)
	}
	return nil, err
}
