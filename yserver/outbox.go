package yserver

import (
	"context"
	"sync"
	"time"

	"github.com/yserverd/yserverd/persist"
)

const (
	// deliverEvery is how often the store is asked for what was not delivered.
	deliverEvery  = 10 * time.Second
	deliverAtOnce = 16
)

// Outbox is what a store offers for webhooks: it remembers which rooms have
// something to deliver, and since when. Stores of rooms implement it.
type Outbox interface {
	// Deliveries returns the rooms whose delivery is due, the earliest first.
	Deliveries(ctx context.Context, before time.Time, limit int) ([]persist.RoomAlarm, error)
}

// outbox keeps in the store that a room has something to deliver, with the time
// at which somebody should look after it if the room does not. All methods may
// be called on nil, the outbox of what need not survive.
type outbox struct {
	want    time.Time // zero: nothing to deliver
	stored  time.Time // what the store has, as far as is known
	writing bool
}

// put sets the time; zero takes the room out.
func (o *outbox) put(r *documentRoom, at time.Time) {
	if o == nil {
		return
	}
	o.want = at.Truncate(time.Millisecond)
	o.write(r)
}

// write brings the store up to date, one write at a time.
func (o *outbox) write(r *documentRoom) {
	if o.writing || o.want.Equal(o.stored) {
		return
	}
	o.writing = true
	want := o.want
	r.goBeside(func() func() {
		err := r.srv.setDelivery(r.key, want)
		return func() { o.written(r, want, err) }
	})
}

func (o *outbox) written(r *documentRoom, want time.Time, err error) {
	o.writing = false
	if err != nil {
		r.log.Error("outbox cannot be written; it will be retried", "err", err)
		r.timers.at(dueOutbox, r.now.Add(retryMost))
		return
	}
	o.stored = want
	o.write(r)
}

// found notes what the store has.
func (o *outbox) found(at time.Time) {
	if !o.writing {
		o.stored = at
	}
}

// quiet reports whether the store has what it should.
func (o *outbox) quiet() bool { return o == nil || !o.writing && o.want.Equal(o.stored) }

// holds reports whether the store knows that there is something to deliver.
func (o *outbox) holds() bool { return o != nil && !o.stored.IsZero() }

// courier looks after what rooms did not deliver: because the server died, or
// because the other end did not answer while somebody was in the room.
type courier struct {
	srv  *Server
	box  Outbox
	life context.Context // ends with the courier
	end  context.CancelFunc
	done chan struct{}
}

func newCourier(srv *Server, box Outbox) *courier {
	c := &courier{srv: srv, box: box, done: make(chan struct{})}
	c.life, c.end = context.WithCancel(context.Background())
	go c.run()
	return c
}

// stop ends the courier, and waits until ctx ends for what it has begun.
func (c *courier) stop(ctx context.Context) {
	c.end()
	select {
	case <-c.done:
	case <-ctx.Done():
	}
}

func (c *courier) run() {
	defer close(c.done)
	ticker := time.NewTicker(deliverEvery)
	defer ticker.Stop()
	for {
		c.look()
		select {
		case <-ticker.C:
		case <-c.life.Done():
			return
		}
	}
}

// look hands what is due to its rooms.
func (c *courier) look() {
	ctx, cancel := context.WithTimeout(c.life, c.srv.cfg.StoreTimeout)
	defer cancel()
	due, err := c.box.Deliveries(ctx, time.Now(), 0)
	switch {
	case c.life.Err() != nil:
		return
	case err != nil:
		c.srv.log.Error("outbox cannot be read; webhooks come late", "err", err)
		return
	}
	var busy sync.WaitGroup
	defer busy.Wait()
	slots := make(chan struct{}, deliverAtOnce)
	for _, d := range due {
		select {
		case slots <- struct{}{}:
		case <-c.life.Done():
			return
		}
		busy.Add(1)
		go func() {
			defer busy.Done()
			defer func() { <-slots }()
			c.hand(ctx, d)
		}()
	}
}

// hand gives one room its delivery.
func (c *courier) hand(ctx context.Context, d persist.RoomAlarm) {
	p := c.srv.router.parties[d.Key.Party]
	if p == nil || p.Document == nil || !p.Document.Webhook.wants(WebhookSave) {
		c.srv.log.Warn("dropped a delivery of a party without a webhook", "party", d.Key.Party, "room", d.Key.Room)
		c.move(d.Key, time.Time{})
		return
	}
	e, err := c.srv.registry.acquire(ctx, p, roomID{d.Key.Party, d.Key.Room})
	if err == nil {
		defer c.srv.registry.release(e)
		err = e.room.awake(ctx, func(r *documentRoom) { r.notifier.force(r, d.At) })
	}
	if err != nil && c.life.Err() == nil {
		c.srv.log.Error("delivery has to wait", "party", d.Key.Party, "room", d.Key.Room, "err", err)
		c.move(d.Key, time.Now().Add(saveRetryMost))
	}
}

// move sets the time of a delivery that no room looks after.
func (c *courier) move(key persist.Key, at time.Time) {
	if err := c.srv.setDelivery(key, at); err != nil {
		c.srv.log.Error("outbox cannot be written", "party", key.Party, "room", key.Room, "err", err)
	}
}

// setDelivery commits the time of a delivery.
func (s *Server) setDelivery(key persist.Key, at time.Time) error {
	answer := make(chan commit, 1)
	s.changer.submit(persist.RoomChange{Key: key, Delivery: &at}, answer)
	return (<-answer).err()
}
