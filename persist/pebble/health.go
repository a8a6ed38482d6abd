package pebble

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/yserverd/yserverd/persist"
)

// health knows whether the disk takes writes. While it does not, calls that need
// it fail at once instead of hanging.
type health struct {
	log *slog.Logger

	mu       sync.Mutex
	blocked  int   // disk operations that are being retried
	flushing bool  // the last flush of a memtable failed
	fatal    error // the engine is beyond use until the process restarts
	cause    error // of the present trouble
	stalls   uint64
	down     chan struct{} // closed while there is trouble
	up       chan struct{} // closed while there is none
}

func newHealth(log *slog.Logger) *health {
	h := &health{log: log, down: make(chan struct{}), up: make(chan struct{})}
	close(h.up)
	return h
}

// trouble returns a channel that is closed while the disk refuses writes, or
// once it does.
func (h *health) trouble() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.down
}

// well returns a channel that is closed while all is well, or once it is.
func (h *health) well() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.up
}

// err returns what a call fails with now: nil when all is well, otherwise an
// error that matches persist.ErrUnavailable and its cause.
func (h *health) err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fatal == nil && h.blocked == 0 && !h.flushing {
		return nil
	}
	return fmt.Errorf("%w: %w", persist.ErrUnavailable, h.cause)
}

// block counts an operation that failed with err and is about to be retried.
func (h *health) block(err error) { h.update(func() { h.blocked++; h.cause = err }) }

// unblock ends what block began.
func (h *health) unblock() { h.update(func() { h.blocked-- }) }

// flushed takes the outcome of a flush.
func (h *health) flushed(err error) {
	h.update(func() {
		h.flushing = err != nil
		if err != nil {
			h.cause = err
		}
	})
}

// fail marks the engine as beyond use. The first cause stays.
func (h *health) fail(err error) {
	h.update(func() {
		if h.fatal == nil {
			h.fatal = errors.Join(errors.New("storage engine failed, restart needed"), err)
		}
		h.cause = h.fatal
	})
}

func (h *health) update(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	was := h.badLocked()
	change()
	is := h.badLocked()
	switch {
	case is && !was:
		h.stalls++
		h.up = make(chan struct{})
		close(h.down)
		h.log.Error("the disk refuses writes, retrying", "err", h.cause.Error())
	case was && !is:
		h.down = make(chan struct{})
		close(h.up)
		h.log.Info("the disk takes writes again")
	}
}

func (h *health) badLocked() bool { return h.fatal != nil || h.blocked > 0 || h.flushing }

func (h *health) count() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stalls
}
