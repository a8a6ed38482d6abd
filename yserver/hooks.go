package yserver

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// hookDepth bounds the messages that wait for the hooks of one room; clients
	// that send faster than their room works are read no further.
	hookDepth = 256
	// hookGrace is how long a hook may go on after its context has ended, but not
	// longer than it had before.
	hookGrace = 5 * time.Second
)

var (
	// errStuck means that a hook did not return, and its room was given up.
	errStuck = errors.New("a hook of the room does not return")
	// errHookExit means that a hook ended its goroutine (runtime.Goexit).
	errHookExit = errors.New("a hook ended its goroutine")
)

// hookCall is one call of a hook. Its fn gets the live value of the room, nil
// for a party without room type; done, if there is one, gets the outcome.
type hookCall struct {
	name string
	fn   func(ctx context.Context, value any) error
	done func(error)
	slot bool // it gives back a place that reserve took
}

// hooks runs the hook calls of a room one after the other, so that the code of
// a room type needs no locks, on a goroutine that exists only while there are
// any. It owns the live value of the room: made before the first call, and
// again after hibernation.
type hooks struct {
	r *room

	mu      sync.Mutex
	slots   chan struct{}      // held by messages that wait or run; made on demand
	queue   []hookCall         // guarded by mu
	running bool               // guarded by mu; the goroutine exists
	ended   bool               // guarded by mu; nothing runs any more
	work    int                // guarded by mu; goroutines of Room.Go
	turn    uint64             // guarded by mu; of the call that runs
	warned  bool               // guarded by mu; its context has ended
	watch   *time.Timer        // guarded by mu; of the call that runs
	due     time.Time          // guarded by mu; when watch is to fire
	last    time.Time          // guarded by mu; when something ran last
	cancel  context.CancelFunc // guarded by mu; of the call that runs
	ctx     context.Context    // guarded by mu; ends with the room; made on demand
	stop    context.CancelFunc // guarded by mu; of ctx

	// Owned by the goroutine, and by the room while that does not exist.
	value   any
	started bool
}

func (h *hooks) init(r *room) { h.r = r }

// reserve takes a place for one message. It waits while too many do, until
// closed fires, and reports whether it has one.
func (h *hooks) reserve(closed <-chan struct{}) bool {
	h.mu.Lock()
	if h.slots == nil {
		h.slots = make(chan struct{}, hookDepth)
	}
	slots := h.slots
	h.mu.Unlock()
	select {
	case slots <- struct{}{}:
		return true
	case <-closed:
	case <-h.r.done:
	}
	return false
}

// free gives a place back.
func (h *hooks) free() { <-h.slots }

// put queues a call. It never waits.
func (h *hooks) put(c hookCall) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		go c.finish(h, errRoomEnded)
		return
	}
	h.queue = append(h.queue, c)
	if !h.running {
		h.running = true
		go h.run()
	}
}

// run makes the calls that wait, then ends.
func (h *hooks) run() {
	exited := true
	defer func() {
		if exited {
			go h.run() // a hook took the goroutine with it
		}
	}()
	for {
		c, ok := h.take()
		if !ok {
			exited = false
			h.quiet()
			return
		}
		h.make(c)
	}
}

// take takes the next call. When there is none, the goroutine is done.
func (h *hooks) take() (hookCall, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.queue) == 0 || h.ended {
		h.running, h.queue = false, nil
		h.last = time.Now()
		if h.watch != nil {
			h.watch.Stop()
		}
		return hookCall{}, false
	}
	c := h.queue[0]
	h.queue[0] = hookCall{}
	h.queue = h.queue[1:]
	return c, true
}

// make makes one call, with what it needs.
func (h *hooks) make(c hookCall) {
	err := errHookExit
	defer func() { c.finish(h, err) }()
	if err = h.start(); err == nil {
		err = errHookExit
		err = h.guard(c.name, c.fn)
	}
}

// finish tells the outcome.
func (c hookCall) finish(h *hooks, err error) {
	if c.slot {
		h.free()
	}
	if c.done != nil {
		c.done(err)
	}
}

// start makes the live value of the room, once. A start that fails is that of
// one call only: the next tries again.
func (h *hooks) start() error {
	if h.started || h.r.party.New == nil {
		return nil
	}
	err := h.guard("OnStart", func(ctx context.Context, _ any) error {
		h.value = h.r.party.New(h.r.api)
		if s, ok := h.value.(Starter); ok {
			return s.OnStart(ctx)
		}
		return nil
	})
	if err != nil {
		h.value = nil
		return fmt.Errorf("OnStart: %w", err)
	}
	h.started = true
	return nil
}

// guard makes one call: a panic in it, or an error, is logged and costs nothing
// else.
func (h *hooks) guard(name string, fn func(context.Context, any) error) (err error) {
	ctx, turn := h.begin()
	defer h.finished(turn)
	defer func() {
		if v := recover(); v != nil {
			h.r.srv.counters.hookPanics.Add(1)
			h.r.log.Error("hook panicked", "hook", name, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			err = fmt.Errorf("panic in %s", name)
		}
	}()
	if err = fn(ctx, h.value); err != nil {
		h.r.srv.counters.hookErrors.Add(1)
		h.r.log.Warn("hook failed", "hook", name, "err", err)
	}
	return err
}

// call makes a call and waits for it, or for ctx; the call is then made all the
// same. When the room ends it is errRoomEnded if nothing of the call was done.
func (h *hooks) call(ctx context.Context, name string, fn func(context.Context, any) error) error {
	outcome := make(chan error, 1)
	var began atomic.Bool
	h.put(hookCall{
		name: name,
		fn: func(ctx context.Context, value any) error {
			began.Store(true)
			return fn(ctx, value)
		},
		done: func(err error) { outcome <- err },
	})
	select {
	case err := <-outcome:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-h.r.done:
	}
	select {
	case err := <-outcome:
		return err
	default:
	}
	if began.Load() {
		return errStuck
	}
	return errRoomEnded
}

// beside does the work of Room.Go and puts what it returns among the calls.
func (h *hooks) beside(work func(context.Context) func()) {
	defer func() {
		if v := recover(); v != nil {
			h.r.srv.counters.hookPanics.Add(1)
			h.r.log.Error("work beside the room panicked", "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		}
	}()
	if then := work(h.context()); then != nil {
		h.put(hookCall{name: "Go", fn: func(context.Context, any) error { then(); return nil }})
	}
}

// begin makes the context of a call and watches the time.
func (h *hooks) begin() (context.Context, uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.turn++
	h.warned = false
	var ctx context.Context
	ctx, h.cancel = context.WithCancel(h.contextLocked())
	h.due = time.Now().Add(h.r.party.HookTimeout)
	if h.watch == nil {
		h.watch = time.AfterFunc(h.r.party.HookTimeout, h.overdue)
	} else {
		h.watch.Reset(h.r.party.HookTimeout)
	}
	return ctx, h.turn
}

func (h *hooks) contextLocked() context.Context {
	if h.ctx == nil {
		h.ctx, h.stop = context.WithCancel(context.Background())
		if h.ended {
			h.stop()
		}
	}
	return h.ctx
}

// context ends with the room.
func (h *hooks) context() context.Context {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.contextLocked()
}

func (h *hooks) finished(turn uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.turn == turn && h.cancel != nil {
		h.cancel()
		h.cancel = nil
	}
}

// overdue ends the context of a call that takes too long, and gives up the room
// if that does not help: its goroutine cannot be ended, but nobody has to wait
// for it. A new value serves the room from then on.
func (h *hooks) overdue() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cancel == nil || h.ended || time.Now().Before(h.due) { // the call ended just now, or it is the next
		return
	}
	if !h.warned {
		h.warned = true
		h.cancel()
		grace := min(hookGrace, h.r.party.HookTimeout)
		h.due = time.Now().Add(grace)
		h.watch.Reset(grace)
		return
	}
	h.r.srv.counters.hooksStuck.Add(1)
	h.r.log.Error("a hook does not return; its room is given up and starts anew", "timeout", h.r.party.HookTimeout)
	h.endLocked()
	go h.r.post(func() { h.r.evict(closeInternalError, "internal error") })
}

// end is the end of the room: what waits is told so, and what runs is told to
// end.
func (h *hooks) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.endLocked()
}

func (h *hooks) endLocked() {
	if h.ended {
		return
	}
	h.ended = true
	queue := h.queue
	h.queue = nil
	if h.stop != nil {
		h.stop()
	}
	if len(queue) > 0 {
		go func() {
			for _, c := range queue {
				c.finish(h, errRoomEnded)
			}
		}()
	}
}

// begun and done count what Room.Go has running; begun reports false when the
// room has ended.
func (h *hooks) begun() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		return false
	}
	h.work++
	h.r.beside.Add(1)
	return true
}

func (h *hooks) done() {
	h.mu.Lock()
	h.work--
	h.last = time.Now()
	h.mu.Unlock()
	h.quiet()
	h.r.beside.Done()
}

// quiet lets a room that is to end look whether it can.
func (h *hooks) quiet() {
	if h.r.srv.draining.Load() {
		h.r.post(func() {})
	}
}

// idle reports whether nothing waits or runs.
func (h *hooks) idle() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.idleLocked()
}

func (h *hooks) idleLocked() bool { return !h.running && h.work == 0 && len(h.slots) == 0 }

// used returns when something ran last, zero if nothing did.
func (h *hooks) used() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last
}

// rest lets go of the live value, unless something waits or runs. Others may put
// calls at any time, so it looks and does it at once.
func (h *hooks) rest() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.idleLocked() {
		return false
	}
	h.value, h.started = nil, false
	return true
}
