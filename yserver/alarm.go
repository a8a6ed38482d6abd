package yserver

import (
	"context"
	"sync"
	"time"

	"github.com/yserverd/yserverd/persist"
)

const (
	alarmTries  = 6               // repetitions of an OnAlarm that fails
	alarmRetry  = 2 * time.Second // before the first; doubled for each
	alarmLook   = time.Minute     // the longest pause between looks at the store
	alarmsAt    = 64              // alarms that are run at once
	alarmOrphan = time.Hour       // when to look again at one that has no room type
)

// SetAlarm has OnAlarm called at a time, in place of the time set before. It is
// durable when SetAlarm returns nil: the alarm comes even if the server was
// restarted, late if it was down.
func (r *Room) SetAlarm(ctx context.Context, at time.Time) error {
	if r.srv.alarms == nil {
		return ErrNoStorage
	}
	if at.IsZero() {
		at = time.UnixMilli(1)
	}
	return r.srv.alarms.set(ctx, r.id, at)
}

// DeleteAlarm takes the alarm back, if there is one.
func (r *Room) DeleteAlarm(ctx context.Context) error {
	if r.srv.alarms == nil {
		return ErrNoStorage
	}
	return r.srv.alarms.set(ctx, r.id, time.Time{})
}

// Alarm returns when the alarm will come, zero when none is set. While OnAlarm
// runs there is none, unless it has set another.
func (r *Room) Alarm(ctx context.Context) (time.Time, error) {
	if r.srv.alarms == nil {
		return time.Time{}, ErrNoStorage
	}
	at, err := r.srv.cfg.RoomStore.Alarm(ctx, r.key())
	if err != nil || r.srv.alarms.leased(r.id, at) {
		return time.Time{}, err
	}
	return at, nil
}

func (r *Room) key() persist.Key { return persist.Key{Party: r.id.party, Room: r.id.room} }

// alarmClock calls OnAlarm when its time has come. The store has the alarms, in
// the order of their times; an alarm that runs is moved to when it would have to
// be repeated, should the process die meanwhile.
type alarmClock struct {
	// Static after construction.
	srv     *Server
	wake    chan struct{} // capacity 1
	quit    chan struct{}
	once    sync.Once
	stopped chan struct{}
	slots   chan struct{}
	rings   sync.WaitGroup

	mu    sync.Mutex
	next  time.Time            // guarded by mu; when it looks again
	lease map[roomID]time.Time // guarded by mu; of alarms that run
	tries map[roomID]int       // guarded by mu; repetitions so far
}

func newAlarmClock(srv *Server) *alarmClock {
	c := &alarmClock{
		srv:     srv,
		wake:    make(chan struct{}, 1),
		quit:    make(chan struct{}),
		stopped: make(chan struct{}),
		slots:   make(chan struct{}, alarmsAt),
		lease:   map[roomID]time.Time{},
		tries:   map[roomID]int{},
	}
	go c.run()
	return c
}

// stop ends the clock. Alarms that run go on in their rooms; wait is for them.
func (c *alarmClock) stop() {
	c.once.Do(func() { close(c.quit) })
	<-c.stopped
}

// wait waits until the alarms that ran are settled. The rooms have ended.
func (c *alarmClock) wait() { c.rings.Wait() }

// set stores an alarm.
func (c *alarmClock) set(ctx context.Context, id roomID, at time.Time) error {
	unlock, err := c.srv.storage.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	c.mu.Lock()
	delete(c.tries, id)
	c.mu.Unlock()
	return c.store(ctx, id, at)
}

// store writes an alarm and looks earlier if it comes earlier. The lock of the
// room is held.
func (c *alarmClock) store(ctx context.Context, id roomID, at time.Time) error {
	if err := c.srv.change(ctx, persist.RoomChange{Key: persist.Key{Party: id.party, Room: id.room}, Alarm: &at}); err != nil {
		return err
	}
	c.mu.Lock()
	earlier := !at.IsZero() && at.Before(c.next)
	c.mu.Unlock()
	if earlier {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
	return nil
}

// leased reports whether at is not an alarm that was set, but one that runs.
func (c *alarmClock) leased(id roomID, at time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	lease, runs := c.lease[id]
	return runs && lease.Equal(at)
}

func (c *alarmClock) run() {
	defer close(c.stopped)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-c.wake:
		case <-c.quit:
			return
		}
		timer.Reset(time.Until(c.look()))
	}
}

// look starts what is due, and returns when to look again.
func (c *alarmClock) look() time.Time {
	ctx, cancel := context.WithTimeout(context.Background(), c.srv.cfg.StoreTimeout)
	defer cancel()
	now := time.Now()
	c.mu.Lock()
	c.next = now.Add(alarmLook) // one that is set from here on wakes the clock
	c.mu.Unlock()
	due, err := c.srv.cfg.RoomStore.Alarms(ctx, now, 0)
	for _, a := range due {
		select {
		case c.slots <- struct{}{}:
		case <-c.quit:
			return now
		}
		c.start(a)
	}
	var first []persist.RoomAlarm
	if err == nil {
		first, err = c.srv.cfg.RoomStore.Alarms(ctx, time.Time{}, 1)
	}
	next := now.Add(alarmLook)
	switch {
	case err != nil:
		c.srv.log.Error("alarms cannot be read; they come late", "err", err)
		next = now.Add(alarmRetry)
	case len(first) > 0 && !first[0].At.After(now):
		next = now.Add(alarmRetry) // it was due, and could not be started
	case len(first) > 0 && first[0].At.Before(next):
		next = first[0].At
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if next.Before(c.next) {
		c.next = next
	}
	return c.next
}

// start takes an alarm that is due, and runs it beside the clock.
func (c *alarmClock) start(a persist.RoomAlarm) {
	id := roomID{a.Key.Party, a.Key.Room}
	p := c.srv.router.parties[id.party]
	lease := time.Now().Add(alarmOrphan)
	if p != nil && p.New != nil {
		lease = time.Now().Add(c.srv.cfg.LoadTimeout + 2*(p.HookTimeout+hookGrace)).Truncate(time.Millisecond)
	}
	if !c.claim(id, a.At, lease) {
		<-c.slots
		return
	}
	if p == nil || p.New == nil {
		c.srv.log.Warn("alarm of a room whose party has no room type", "party", id.party, "room", id.room)
		c.settle(id, func() {})
		<-c.slots
		return
	}
	c.rings.Add(1)
	go func() {
		defer c.rings.Done()
		defer func() { <-c.slots }()
		c.ring(p, id, lease)
	}()
}

// claim moves an alarm from its time to the end of its lease, if it still is
// what it was.
func (c *alarmClock) claim(id roomID, at, lease time.Time) bool {
	ctx, cancel := context.WithTimeout(context.Background(), c.srv.cfg.StoreTimeout)
	defer cancel()
	unlock, err := c.srv.storage.lock(ctx, id)
	if err != nil {
		return false
	}
	defer unlock()
	cur, err := c.srv.cfg.RoomStore.Alarm(ctx, persist.Key{Party: id.party, Room: id.room})
	if err != nil || !cur.Equal(at) {
		return false
	}
	c.mu.Lock()
	c.lease[id] = lease
	c.mu.Unlock()
	if err := c.store(ctx, id, lease); err != nil {
		c.settle(id, func() {})
		return false
	}
	return true
}

// ring calls OnAlarm, and settles what comes of it.
func (c *alarmClock) ring(p *party, id roomID, lease time.Time) {
	err := c.call(p, id)
	ctx, cancel := context.WithTimeout(context.Background(), c.srv.cfg.StoreTimeout)
	defer cancel()
	unlock, lockErr := c.srv.storage.lock(ctx, id)
	if lockErr != nil {
		return // the lease ends, and it is repeated
	}
	defer unlock()
	defer c.settle(id, func() {
		if err == nil {
			delete(c.tries, id)
		}
	})
	cur, readErr := c.srv.cfg.RoomStore.Alarm(ctx, persist.Key{Party: id.party, Room: id.room})
	if readErr != nil || !cur.Equal(lease) {
		return // another was set meanwhile
	}
	next := time.Time{}
	if err != nil {
		next = c.again(id, err)
	}
	if err := c.store(ctx, id, next); err != nil {
		c.srv.log.Error("alarm cannot be settled; it comes again", "party", id.party, "room", id.room, "err", err)
	}
}

// again returns when an alarm that failed is repeated, zero for never.
func (c *alarmClock) again(id roomID, err error) time.Time {
	if c.srv.draining.Load() {
		return time.Now() // the next server repeats it at once
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tries[id]++
	if c.tries[id] > alarmTries {
		delete(c.tries, id)
		c.srv.log.Error("alarm given up", "party", id.party, "room", id.room, "tries", alarmTries+1, "err", err)
		return time.Time{}
	}
	return time.Now().Add(alarmRetry << (c.tries[id] - 1))
}

// settle ends a lease.
func (c *alarmClock) settle(id roomID, also func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.lease, id)
	also()
}

// call calls OnAlarm in the room.
func (c *alarmClock) call(p *party, id roomID) error {
	ctx := context.Background()
	e, err := c.srv.registry.acquire(ctx, p, id)
	if err != nil {
		return err
	}
	defer c.srv.registry.release(e)
	return e.room.hooks.call(ctx, "OnAlarm", func(ctx context.Context, value any) error {
		if h, ok := value.(AlarmHandler); ok {
			return h.OnAlarm(ctx)
		}
		return nil
	})
}
