package yserver

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// ring is an alarm that runs, or is about to.
type ring struct {
	// Guarded by alarmClock.mu.
	taken    bool // what the store has is not to come any more
	replaced bool // by another, or by none, since it was taken
}

// repeats counts how often an alarm was tried in vain.
type repeats struct {
	hook  int // times that OnAlarm failed
	times int // these, and those that it could not be called
}

var (
	errNotDue    = errors.New("the alarm was changed")
	errNotRung   = errors.New("the room cannot be had now")
	errNoHandler = errors.New("the party has no room type")
)

// ring runs an alarm: it is taken, OnAlarm is called, and what comes of that is
// stored.
func (c *alarmClock) ring(id roomID, r *ring) {
	if err := c.take(id, r); err != nil {
		if c.quit.Err() != nil {
			return
		}
		if !errors.Is(err, errNotDue) {
			c.pause(time.Duration(c.retry.Load()))
		}
		c.ended(id, r)
		c.look() // it was passed over until now
		return
	}
	err := c.call(id)
	if errors.Is(err, errNotRung) && c.srv.draining.Load() {
		return // the next server calls it
	}
	next := c.again(id, err)
	// Until that is stored OnAlarm must not be called once more.
	for wait := time.Duration(c.retry.Load()); !c.settle(id, r, next); wait = min(2*wait, alarmLook) {
		if !c.pause(wait) {
			return
		}
	}
}

// pause waits, and reports false when there is no time for it.
func (c *alarmClock) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.life.Done():
		return false
	}
}

// take makes sure that an alarm is due, and has it count as none from then on.
func (c *alarmClock) take(id roomID, r *ring) error {
	ctx, cancel := context.WithTimeout(c.quit, c.srv.cfg.StoreTimeout)
	defer cancel()
	unlock, err := c.locks.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	at, err := c.stored(ctx, id)
	switch {
	case err != nil:
		return err
	case at.IsZero() || at.After(time.Now()):
		return errNotDue
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	r.taken, r.replaced = true, false
	return nil
}

// ended takes a ring out.
func (c *alarmClock) ended(id roomID, r *ring) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running[id] == r {
		delete(c.running, id)
	}
}

// call calls OnAlarm in the room.
func (c *alarmClock) call(id roomID) error {
	p := c.srv.router.parties[id.party]
	if p == nil || p.New == nil {
		return errNoHandler
	}
	e, err := c.srv.registry.acquire(c.life, p, id)
	if err != nil {
		return errors.Join(errNotRung, err)
	}
	defer c.srv.registry.release(e)
	var began atomic.Bool
	err = e.room.hooks.call(c.life, "OnAlarm", func(ctx context.Context, value any) error {
		began.Store(true)
		if h, ok := value.(AlarmHandler); ok {
			return h.OnAlarm(ctx)
		}
		return nil
	})
	if errors.Is(err, errRoomEnded) && !began.Load() {
		return errors.Join(errNotRung, err)
	}
	return err
}

// again returns when an alarm comes again that was called with the outcome err,
// zero for never.
func (c *alarmClock) again(id roomID, err error) time.Time {
	log := c.srv.log.With("party", id.party, "room", id.room)
	if errors.Is(err, errNoHandler) {
		log.Warn("alarm of a room whose party has no room type")
		return time.Now().Add(alarmOrphan)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.failed[id]
	delete(c.failed, id)
	if err == nil {
		return time.Time{}
	}
	f.times++
	if !errors.Is(err, errNotRung) {
		f.hook++
	}
	if f.hook > alarmTries {
		log.Error("alarm given up", "tries", f.hook, "err", err)
		return time.Time{}
	}
	c.failed[id] = f
	return time.Now().Add(time.Duration(c.retry.Load()) << min(f.times-1, 8))
}

// settle stores what becomes of an alarm that was called, unless another was set
// meanwhile. It reports whether that is done with.
func (c *alarmClock) settle(id roomID, r *ring, next time.Time) bool {
	ctx, cancel := context.WithTimeout(c.life, c.srv.cfg.StoreTimeout)
	defer cancel()
	unlock, err := c.locks.lock(ctx, id)
	if err != nil {
		return false
	}
	c.mu.Lock()
	mine, replaced := c.running[id] == r, r.replaced
	if replaced {
		delete(c.failed, id)
	}
	c.mu.Unlock()
	if replaced || !mine {
		unlock()
		c.ended(id, r)
		c.look() // it was passed over until now
		return true
	}
	err = c.store(ctx, id, next, func(err error) {
		defer unlock()
		if err == nil {
			c.ended(id, r)
		}
	})
	if err != nil {
		c.srv.log.Error("outcome of an alarm cannot be stored", "party", id.party, "room", id.room, "err", err)
	}
	return err == nil
}
