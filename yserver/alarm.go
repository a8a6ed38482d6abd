package yserver

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/yserverd/yserverd/persist"
)

const (
	alarmTries  = 6               // repetitions of an OnAlarm that fails
	alarmRetry  = 2 * time.Second // before the first; doubled for each
	alarmLook   = time.Minute     // the longest pause between looks at the store
	alarmsAt    = 1024            // alarms that are run at once
	alarmsPage  = 256             // alarms that are read at once
	alarmOrphan = time.Hour       // when to look again at one that has no room type
)

// SetAlarm has OnAlarm called at a time, in place of the time set before; one
// that has passed means at once. It is durable when SetAlarm returns nil: the
// alarm comes even if the server was restarted, late if it was down.
func (r *Room) SetAlarm(ctx context.Context, at time.Time) error {
	if first := time.UnixMilli(1); at.Before(first) {
		at = first // before 1970 stores know no alarms
	}
	return r.changeAlarm(ctx, at)
}

// DeleteAlarm takes the alarm back, if there is one.
func (r *Room) DeleteAlarm(ctx context.Context) error { return r.changeAlarm(ctx, time.Time{}) }

func (r *Room) changeAlarm(ctx context.Context, at time.Time) error {
	if r.srv.alarms == nil {
		return ErrNoStorage
	}
	if err := persist.ValidateAlarm(at); err != nil {
		return err
	}
	return r.srv.alarms.set(ctx, r.id, at)
}

// Alarm returns when the alarm will come, zero when none is set. While OnAlarm
// runs there is none, unless it has set another.
func (r *Room) Alarm(ctx context.Context) (time.Time, error) {
	if r.srv.alarms == nil {
		return time.Time{}, ErrNoStorage
	}
	return r.srv.alarms.get(ctx, r.id)
}

// alarmClock calls OnAlarm when its time has come. The store has the alarms, in
// the order of their times. One that runs stays there until OnAlarm has returned,
// so that it comes again should the process die meanwhile.
type alarmClock struct {
	// Static after construction.
	srv     *Server
	wake    chan struct{} // capacity 1
	slots   chan struct{} // held by alarms that run
	stopped chan struct{}
	quit    context.Context // no alarm starts any more
	stopNow context.CancelFunc
	life    context.Context // nothing is waited for any more
	endNow  context.CancelFunc
	locks   keyedLocks // of who changes an alarm
	rings   sync.WaitGroup
	retry   atomic.Int64 // alarmRetry, but for tests

	mu      sync.Mutex
	next    time.Time          // guarded by mu; when it looks again
	running map[roomID]*ring   // guarded by mu
	failed  map[roomID]repeats // guarded by mu; of alarms that are to be repeated
}

func newAlarmClock(srv *Server) *alarmClock {
	c := &alarmClock{
		srv:     srv,
		wake:    make(chan struct{}, 1),
		slots:   make(chan struct{}, alarmsAt),
		stopped: make(chan struct{}),
		running: map[roomID]*ring{},
		failed:  map[roomID]repeats{},
	}
	c.quit, c.stopNow = context.WithCancel(context.Background())
	c.life, c.endNow = context.WithCancel(context.Background())
	c.retry.Store(int64(alarmRetry))
	return c
}

// start begins to call alarms.
func (c *alarmClock) start() { go c.run() }

// stop ends the clock. Alarms that run go on in their rooms; wait is for them.
func (c *alarmClock) stop() {
	c.stopNow()
	<-c.stopped
}

// wait waits until the alarms that ran are settled, at the longest until ctx
// ends. The rooms have ended.
func (c *alarmClock) wait(ctx context.Context) {
	stop := context.AfterFunc(ctx, c.endNow)
	defer stop()
	c.rings.Wait()
	c.endNow()
}

// get returns the alarm of a room.
func (c *alarmClock) get(ctx context.Context, id roomID) (time.Time, error) {
	unlock, err := c.locks.lock(ctx, id)
	if err != nil {
		return time.Time{}, err
	}
	defer unlock()
	at, err := c.stored(ctx, id)
	if err != nil {
		return time.Time{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.running[id]; r != nil && r.taken && !r.replaced {
		return time.Time{}, nil
	}
	return at, nil
}

func (c *alarmClock) stored(ctx context.Context, id roomID) (time.Time, error) {
	return c.srv.cfg.RoomStore.Alarm(ctx, persist.Key{Party: id.party, Room: id.room})
}

// set stores what the application wants.
func (c *alarmClock) set(ctx context.Context, id roomID, at time.Time) error {
	unlock, err := c.locks.lock(ctx, id)
	if err != nil {
		return err
	}
	return c.store(ctx, id, at, func(err error) {
		defer unlock()
		if err != nil {
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.failed, id)
		if r := c.running[id]; r != nil {
			r.replaced = true
		}
	})
}

// store writes an alarm, and has the clock look earlier if it comes earlier. The
// lock of the room is held, and after called once the outcome is there.
func (c *alarmClock) store(ctx context.Context, id roomID, at time.Time, after func(error)) error {
	change := persist.RoomChange{Key: persist.Key{Party: id.party, Room: id.room}, Alarm: &at}
	return c.srv.change(ctx, change, func(err error) {
		after(err)
		c.mu.Lock()
		earlier := !at.IsZero() && at.Before(c.next)
		c.mu.Unlock()
		if err == nil && earlier {
			c.look()
		}
	})
}

// look has the clock look at the store now.
func (c *alarmClock) look() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *alarmClock) run() {
	defer close(c.stopped)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-c.wake:
		case <-c.quit.Done():
			return
		}
		next, err := c.ringDue()
		if err != nil && c.quit.Err() == nil {
			c.srv.log.Error("alarms cannot be read; they come late", "err", err)
		}
		timer.Reset(time.Until(next))
	}
}

// ringDue starts what is due, and returns when to do so again.
func (c *alarmClock) ringDue() (time.Time, error) {
	now := time.Now()
	c.mu.Lock()
	c.next = now.Add(alarmLook) // one that is set from here on wakes the clock
	most := len(c.running) + alarmsPage
	c.mu.Unlock()
	// Alarms are kept in milliseconds: those of the one that begins here are due.
	due, err := c.alarms(now.Add(time.Millisecond), most)
	for _, a := range due {
		if !c.begin(a) {
			return now, nil // the server ends
		}
	}
	next := now
	if err == nil && len(due) < most {
		next, err = c.upcoming()
	}
	if err != nil {
		next = now.Add(time.Duration(c.retry.Load()))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if next.Before(c.next) {
		c.next = next
	}
	return c.next, err
}

// alarms reads alarms from the store.
func (c *alarmClock) alarms(before time.Time, most int) ([]persist.RoomAlarm, error) {
	ctx, cancel := context.WithTimeout(c.quit, c.srv.cfg.StoreTimeout)
	defer cancel()
	return c.srv.cfg.RoomStore.Alarms(ctx, before, most)
}

// upcoming returns when the first alarm comes that does not run.
func (c *alarmClock) upcoming() (time.Time, error) {
	c.mu.Lock()
	most := len(c.running) + 1
	c.mu.Unlock()
	first, err := c.alarms(time.Time{}, most)
	if err != nil {
		return time.Time{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range first {
		if c.running[roomID{a.Key.Party, a.Key.Room}] == nil {
			return a.At, nil
		}
	}
	return time.Now().Add(alarmLook), nil
}

// begin runs an alarm beside the clock, unless it does already. It waits while
// too many run, and reports false when the server ends.
func (c *alarmClock) begin(a persist.RoomAlarm) bool {
	id := roomID{a.Key.Party, a.Key.Room}
	r := &ring{}
	c.mu.Lock()
	_, runs := c.running[id]
	if !runs {
		c.running[id] = r
	}
	c.mu.Unlock()
	if runs {
		return true
	}
	select {
	case c.slots <- struct{}{}:
	case <-c.quit.Done():
		return false
	}
	c.rings.Go(func() {
		defer func() { <-c.slots }()
		c.ring(id, r)
	})
	return true
}
