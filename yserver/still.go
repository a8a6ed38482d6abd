package yserver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/protocol/ydoc"
)

// verifyTimeout bounds the look at what became of a change whose answer was lost.
const verifyTimeout = 5 * time.Second

// errAsleep means that the document went out of memory meanwhile.
var errAsleep = errors.New("document is not in memory")

// alteration is the end of an epoch: what is done to the document in the store,
// and what its connections are told.
type alteration struct {
	decode bool // the client ids of the document are needed
	code   int
	reason string
	change func(ctx context.Context, s *stilled) error
	// done reports whether what the store has shows that a change was made whose
	// answer was lost; nil if nothing can show it.
	done func(stored persist.Document, err error) bool
}

// stilled is a document that stands still: this process neither edits nor loads
// it.
type stilled struct {
	live  *documentRoom // nil: not in memory
	epoch persist.Epoch
	seq   persist.Seq
	ids   []uint64 // the clients of its state vector, and of what is parked
}

// alter makes a change while the document stands still. Then the room ends, so
// that everybody comes back to what the document is now.
func (r *Room) alter(ctx context.Context, a alteration) error {
	ctx, cancel := context.WithTimeout(ctx, r.srv.cfg.StoreTimeout)
	defer cancel()
	for {
		e, err := r.srv.registry.present(ctx, r.id)
		switch {
		case ctx.Err() != nil:
			if err == nil {
				r.srv.registry.release(e)
			}
			return ctx.Err()
		case err != nil: // nobody has it, or it cannot be loaded
			e = nil
		}
		again, err := r.alterEntry(ctx, e, a)
		if e != nil {
			r.srv.registry.release(e)
		}
		if !again {
			return err
		}
	}
}

// alterEntry is alter for what the registry had. It reports true if that is no
// longer so.
func (r *Room) alterEntry(ctx context.Context, e *entry, a alteration) (again bool, err error) {
	if e != nil && a.decode {
		if err := e.room.awake(ctx, func(*documentRoom) {}); err != nil {
			return errors.Is(err, errRoomEnded), err
		}
	}
	unlock, err := r.srv.lives.lock(ctx, r.id) // nobody loads it from now on
	if err != nil {
		return false, err
	}
	defer unlock()
	if !r.srv.registry.still(r.id, e) {
		return true, nil
	}
	if e == nil {
		s := &stilled{}
		if a.decode {
			if s, err = r.stored(ctx); err != nil {
				return false, err
			}
		}
		return false, r.change(ctx, s, a)
	}
	s, err := e.room.still(ctx, a.decode)
	if err != nil {
		return errors.Is(err, errRoomEnded) || errors.Is(err, errAsleep), err
	}
	outdated := false
	defer func() {
		if !outdated {
			e.room.post(s.live.goOn)
		}
	}()
	err = r.change(ctx, s, a)
	if outdated = err == nil || r.outdated(ctx, s); outdated {
		e.room.do(func() { e.room.evict(a.code, a.reason) })
	}
	return false, err
}

// change makes the change. When the answer is lost it looks what became of it.
func (r *Room) change(ctx context.Context, s *stilled, a alteration) error {
	err := a.change(ctx, s)
	if err == nil || a.done == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), verifyTimeout)
	defer cancel()
	if a.done(r.srv.cfg.Store.Load(ctx, r.key())) {
		return nil
	}
	return err
}

// outdated reports whether a change that failed was made all the same, or another
// one in its place.
func (r *Room) outdated(ctx context.Context, s *stilled) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), verifyTimeout)
	defer cancel()
	d, err := r.srv.cfg.Store.Load(ctx, r.key())
	if err != nil {
		return errors.Is(err, persist.ErrDeleted)
	}
	return d.Epoch != s.epoch || d.Seq < s.seq
}

// stored is the document of a room that is not in memory.
func (r *Room) stored(ctx context.Context) (*stilled, error) {
	d, err := r.srv.cfg.Store.Load(ctx, r.key())
	if err != nil {
		return nil, err
	}
	l, err := replay(d, r.party.docConfig())
	if err != nil {
		r.srv.quarantine(ctx, r.key(), err)
		return nil, err
	}
	return &stilled{epoch: l.epoch, seq: l.seq, ids: clientsOf(l.doc)}, nil
}

// strangers adds the clients whose edits another server has stored meanwhile.
func (s *stilled) strangers(ctx context.Context, r *Room) {
	rows, err := r.srv.cfg.Store.LoadAfter(ctx, r.key(), s.seq)
	if err != nil {
		return // the epoch decides, or the change fails like this
	}
	for _, row := range rows {
		s.ids = appendNamed(s.ids, row.Data)
	}
	s.ids = persist.MergeDead(s.ids, nil)
}

// still stops a room: what clients send waits in their sockets, and everything
// accepted is stored. Somebody has to call goOn or to end the room.
func (r *room) still(ctx context.Context, decode bool) (*stilled, error) {
	doc := r.kind.(*documentRoom)
	outcome := make(chan error, 1)
	s := &stilled{live: doc}
	r.post(func() { doc.stop(s, decode, func(err error) { outcome <- err }) })
	var err error
	select {
	case err = <-outcome:
	case <-r.done:
		err = errRoomEnded
	case <-ctx.Done():
		err = ctx.Err()
		r.post(doc.goOn)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// stop makes the document stand still, and calls then when it does.
func (r *documentRoom) stop(s *stilled, decode bool, then func(error)) {
	if r.loading || decode && r.doc == nil {
		then(errAsleep)
		return
	}
	r.stopped = true
	r.flushBatch()
	r.whenCommitted(func() {
		s.epoch, s.seq = r.journal.epoch, r.journal.seq
		if decode {
			s.ids = clientsOf(r.doc)
		}
		then(nil)
	})
}

// goOn ends the standstill.
func (r *documentRoom) goOn() {
	r.stopped = false
	wakers := r.wakers
	r.wakers = nil
	for _, then := range wakers {
		r.wake(then)
	}
}

// snapshotOf returns a document that was given as an update in the form in which
// it is stored.
func (p *party) snapshotOf(state []byte) ([]byte, error) {
	doc := ydoc.New(p.docConfig())
	switch _, err := doc.Apply(state); {
	case errors.Is(err, update.ErrLimit):
		return nil, fmt.Errorf("%w: %w", ErrReadOnlyLimit, err)
	case err != nil:
		return nil, fmt.Errorf("import: %w", err)
	}
	frozen := doc.Freeze()
	compacted, err := frozen.Compact()
	if err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	if err := frozen.Check(compacted.Update()); err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	return compacted.Update(), nil
}

// clientsOf returns the clients that a document knows, ascending.
func clientsOf(doc *ydoc.Doc) []uint64 {
	var ids []uint64
	sv, _ := update.ParseStateVector(nil, doc.StateVector(), limitless) // our own
	for _, id := range sv {
		ids = append(ids, id.Client)
	}
	if parked := doc.Pending(); parked != nil {
		ids = appendNamed(ids, parked)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// present is find for a room that may still be loading: it waits for that.
func (g *registry) present(ctx context.Context, id roomID) (*entry, error) {
	g.mu.Lock()
	e := g.entries[id]
	if e == nil {
		g.mu.Unlock()
		return nil, errRoomEnded
	}
	return e, g.holdLocked(ctx, e)
}

// still reports whether e is what there is of a room, nil for nothing.
func (g *registry) still(id roomID, e *entry) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.entries[id] == e
}

// forget has the size of a room's storage measured again.
func (s *roomSizes) forget(id roomID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.most, id)
}
