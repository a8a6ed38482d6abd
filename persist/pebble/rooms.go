package pebble

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	engine "github.com/cockroachdb/pebble/v2"

	"github.com/yserverd/yserverd/persist"
)

// maxPointDeletes is how many values of a range are dropped one by one. What is
// more is dropped by one deletion of the engine's for the rest of the range:
// those are cheap for much, but every one of them in memory makes reading slower,
// so a room that drops its oldest message with each new one must not leave one
// each time.
const maxPointDeletes = 64

// roomState is what the store remembers of a room's data.
type roomState struct {
	known           bool // whether the rest is what the room has behind everything queued; if not, the disk has it
	alarm, delivery roomTime
}

// roomTime is when a room has an alarm or a delivery.
type roomTime struct {
	set bool
	ms  uint64 // Unix milliseconds
}

// ChangeRooms implements persist's contract: one batch and one fsync for all
// changes, shared with the calls that run at the same time. Values are copied
// once, into the batch.
func (s *Store) ChangeRooms(ctx context.Context, changes []persist.RoomChange) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	size, err := changesSize(changes)
	if err != nil {
		return fmt.Errorf("change rooms: %w", err)
	}
	if err := s.begin(ctx); err != nil {
		return fmt.Errorf("change rooms: %w", err)
	}
	w := roomWrite{s: s, ctx: ctx, b: s.db.NewBatchWithSize(size), rooms: make([]pendingRoom, 0, len(changes))}
	if len(changes) > 1 {
		w.index = make(map[persist.Key]int, len(changes))
	}
	c, err := w.build(changes)
	switch {
	case err != nil:
	case c == nil:
		// Nothing to write, but what there is may be a change in flight whose
		// outcome this caller does not know.
		err = s.roomsSettled(ctx, changes)
	default:
		err = s.wait(ctx, c)
	}
	if err != nil {
		return fmt.Errorf("change rooms: %w", err)
	}
	s.counters.roomChanges.Add(uint64(len(changes)))
	return nil
}

// changesSize checks the changes and bounds the batch that they make, except for
// what ranges turn into.
func changesSize(changes []persist.RoomChange) (int, error) {
	size, data := batchHeaderLen, 0
	for i := range changes {
		c := &changes[i]
		if err := c.Validate(); err != nil {
			return 0, err
		}
		for j := range c.Puts {
			size += opLen + valueKeyLen(c.Key, c.Puts[j].Key) + recordOverhead
			data += len(c.Puts[j].Value)
		}
		for _, d := range c.Deletes {
			size += opLen + valueKeyLen(c.Key, d.Key)
		}
		for _, at := range [...]*time.Time{c.Alarm, c.Delivery} {
			if at != nil {
				size += 3*(opLen+timeKeyLen(c.Key)+recordOverhead) + timeLen
			}
		}
	}
	if size+data > maxBatchBytes {
		return 0, fmt.Errorf("%w: %d bytes in one call, more than %d", persist.ErrInvalid, size+data, maxBatchBytes)
	}
	return size + data, nil
}

func (s *Store) roomsSettled(ctx context.Context, changes []persist.RoomChange) error {
	for i := range changes {
		if err := s.roomSettled(ctx, changes[i].Key); err != nil {
			return err
		}
	}
	return nil
}

// roomSettled waits until the commits that wrote the room's data are durable.
func (s *Store) roomSettled(ctx context.Context, k persist.Key) error {
	return s.await(ctx, &s.durable, s.rooms.ticket(k))
}

// roomWrite is one call of ChangeRooms while its batch is built, which is under
// the write lock. What the store remembers is not touched before the batch is
// complete, since building can fail.
type roomWrite struct {
	s                  *Store
	ctx                context.Context // of the call
	b                  *engine.Batch
	rooms              []pendingRoom
	index              map[persist.Key]int // of a room in rooms; nil when there is only one change
	alarms, deliveries changedTimes
}

// changedTimes is what a call does to the alarms, or deliveries, of all its rooms.
type changedTimes struct {
	some     bool   // one was changed
	set      bool   // one was set
	earliest uint64 // of those that were set
}

// pendingRoom is a room that the call changes.
type pendingRoom struct {
	e     *known[roomState]
	state roomState // behind the call
}

// build builds and queues the batch, or releases the write lock when there is
// nothing to commit (a nil commit) or something is wrong.
func (w *roomWrite) build(changes []persist.RoomChange) (*commit, error) {
	s := w.s
	for i := range changes {
		if err := w.change(&changes[i]); err != nil {
			s.end()
			_ = w.b.Close() // fails only when closed twice
			return nil, err
		}
	}
	if w.b.Empty() {
		s.end()
		return nil, w.b.Close()
	}
	s.ticket++
	durable := s.durable.n.Load()
	for _, p := range w.rooms {
		p.e.state = p.state
		s.rooms.put(p.e, s.ticket, durable)
	}
	s.alarmTimes.note(&w.alarms, s.ticket)
	s.deliveryTimes.note(&w.deliveries, s.ticket)
	return s.queue(w.b, s.ticket), nil
}

// room returns the room of a change, and whether the call has changed it before.
func (w *roomWrite) room(k persist.Key) (p *pendingRoom, again bool) {
	if i, ok := w.index[k]; ok {
		return &w.rooms[i], true
	}
	e := w.s.rooms.get(k)
	if e == nil {
		e = &known[roomState]{key: k}
	}
	if w.index != nil {
		w.index[k] = len(w.rooms)
	}
	w.rooms = append(w.rooms, pendingRoom{e: e, state: e.state})
	return &w.rooms[len(w.rooms)-1], false
}

// change adds one change to the batch.
func (w *roomWrite) change(c *persist.RoomChange) error {
	if err := w.s.quarantinedRooms.check(c.Key); err != nil {
		return err
	}
	p, again := w.room(c.Key)
	for _, r := range c.Ranges {
		if err := w.dropRange(p.e, r, again); err != nil {
			return err
		}
	}
	for _, d := range c.Deletes {
		op := w.b.DeleteDeferred(valueKeyLen(c.Key, d.Key))
		appendValueKey(op.Key[:0], c.Key, d.Space, d.Key)
		finish(op)
	}
	for i := range c.Puts {
		put := &c.Puts[i]
		op := w.b.SetDeferred(valueKeyLen(c.Key, put.Key), len(put.Value)+recordOverhead)
		appendValueKey(op.Key[:0], c.Key, put.Space, put.Key)
		putRecord(op.Value, op.Key, put.Value)
		finish(op)
	}
	return w.setTimes(p, c)
}

// dropRange adds the deletion of what is in a range behind everything queued. In
// a room that the call has changed before, that is not to be seen yet.
func (w *roomWrite) dropRange(e *known[roomState], r persist.RoomRange, again bool) (err error) {
	if r.Empty() {
		return nil
	}
	lower, upper := spaceBounds(e.key, r)
	if again {
		return w.b.DeleteRange(lower, upper, nil)
	}
	if err := w.s.await(w.ctx, &w.s.applied, e.ticket); err != nil {
		return err
	}
	it, err := w.s.db.NewIter(&engine.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	defer closeIter(it, &err)
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		if n++; n > maxPointDeletes {
			return w.b.DeleteRange(it.Key(), upper, nil)
		}
		if err := w.b.Delete(it.Key(), nil); err != nil {
			return err
		}
	}
	if err := it.Error(); err != nil {
		return w.s.unreadableRoom(e.key, r.Space.String(), err)
	}
	return nil
}

// setTimes gives a room the alarm and the delivery of a change.
func (w *roomWrite) setTimes(p *pendingRoom, c *persist.RoomChange) error {
	if c.Alarm == nil && c.Delivery == nil {
		return nil
	}
	if !p.state.known {
		state, err := w.s.readTimes(p.e.key)
		if err != nil {
			return err
		}
		p.state = state
	}
	if c.Alarm != nil {
		w.setTime(&w.s.alarmTimes, p.e.key, &p.state.alarm, *c.Alarm, &w.alarms)
	}
	if c.Delivery != nil {
		w.setTime(&w.s.deliveryTimes, p.e.key, &p.state.delivery, *c.Delivery, &w.deliveries)
	}
	return nil
}

// setTime moves a room in an index of times.
func (w *roomWrite) setTime(t *roomTimes, k persist.Key, has *roomTime, at time.Time, changed *changedTimes) {
	next := roomTime{set: !at.IsZero()}
	if next.set {
		next.ms = uint64(at.UnixMilli())
	}
	if next == *has {
		return
	}
	if has.set {
		op := w.b.DeleteDeferred(timeKeyLen(k))
		appendTimeKey(op.Key[:0], t.index, has.ms, k)
		finish(op)
	}
	if next.set {
		w.putTime(t, k, next.ms)
		if !changed.set || next.ms < changed.earliest {
			changed.earliest = next.ms
		}
		changed.set = true
	} else {
		op := w.b.DeleteDeferred(nameKeyLen(k))
		appendNameKey(op.Key[:0], t.record, k)
		finish(op)
	}
	changed.some = true
	*has = next
}

func (w *roomWrite) putTime(t *roomTimes, k persist.Key, ms uint64) {
	op := w.b.SetDeferred(nameKeyLen(k), timeLen+recordOverhead)
	appendNameKey(op.Key[:0], t.record, k)
	var data [timeLen]byte
	binary.BigEndian.PutUint64(data[:], ms)
	putRecord(op.Value, op.Key, data[:])
	finish(op)
	op = w.b.SetDeferred(timeKeyLen(k), recordOverhead)
	appendTimeKey(op.Key[:0], t.index, ms, k)
	putRecord(op.Value, op.Key, nil)
	finish(op)
}

// readTimes reads a room's times from the disk. The write lock is held. What is
// not remembered has none in flight, so the disk has the last ones.
func (s *Store) readTimes(k persist.Key) (roomState, error) {
	state := roomState{known: true}
	for _, read := range [...]struct {
		times *roomTimes
		into  *roomTime
	}{{&s.alarmTimes, &state.alarm}, {&s.deliveryTimes, &state.delivery}} {
		s.scratch = appendNameKey(s.scratch[:0], read.times.record, k)
		found, err := s.read(s.scratch, func(value []byte) (err error) {
			read.into.ms, err = parseTime(s.scratch, value)
			return err
		})
		if err != nil {
			return roomState{}, s.unreadableRoom(k, read.times.what, err)
		}
		read.into.set = found
	}
	return state, nil
}
