package pebble

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
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
	known bool   // whether the rest is what the room has behind everything queued; if not, the disk has it
	set   bool   // there is an alarm
	alarm uint64 // Unix milliseconds
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
	w := roomWrite{s: s, ctx: ctx, b: s.db.NewBatchWithSize(size), rooms: make([]pendingRoom, 0, len(changes)), earliest: math.MaxUint64}
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
		if c.Alarm != nil {
			size += 3*(opLen+alarmTimeKeyLen(c.Key)+recordOverhead) + alarmLen
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
	s       *Store
	ctx     context.Context // of the call
	b       *engine.Batch
	rooms   []pendingRoom
	index   map[persist.Key]int // of a room in rooms; nil when there is only one change
	alarmed bool                // some alarm changed

	earliest uint64 // of the alarms that were set
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
	if w.alarmed {
		s.alarmed.Store(s.ticket)
		s.alarmFloor.set(w.earliest)
	}
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
	if c.Alarm == nil {
		return nil
	}
	return w.setAlarm(p, *c.Alarm)
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

// setAlarm moves the room in the index of alarms.
func (w *roomWrite) setAlarm(p *pendingRoom, at time.Time) error {
	k := p.e.key
	if !p.state.known {
		state, err := w.s.readAlarm(k)
		if err != nil {
			return err
		}
		p.state = state
	}
	next := roomState{known: true, set: !at.IsZero()}
	if next.set {
		next.alarm = uint64(at.UnixMilli())
	}
	if next == p.state {
		return nil
	}
	if p.state.set {
		op := w.b.DeleteDeferred(alarmTimeKeyLen(k))
		appendAlarmTimeKey(op.Key[:0], p.state.alarm, k)
		finish(op)
	}
	if next.set {
		w.putAlarm(k, next.alarm)
	} else {
		op := w.b.DeleteDeferred(nameKeyLen(k))
		appendNameKey(op.Key[:0], kindAlarm, k)
		finish(op)
	}
	p.state = next
	w.alarmed = true
	return nil
}

func (w *roomWrite) putAlarm(k persist.Key, ms uint64) {
	op := w.b.SetDeferred(nameKeyLen(k), alarmLen+recordOverhead)
	appendNameKey(op.Key[:0], kindAlarm, k)
	var data [alarmLen]byte
	binary.BigEndian.PutUint64(data[:], ms)
	putRecord(op.Value, op.Key, data[:])
	finish(op)
	w.earliest = min(w.earliest, ms)
	op = w.b.SetDeferred(alarmTimeKeyLen(k), recordOverhead)
	appendAlarmTimeKey(op.Key[:0], ms, k)
	putRecord(op.Value, op.Key, nil)
	finish(op)
}

// readAlarm reads a room's alarm from the disk. The write lock is held. What is
// not remembered has no alarm in flight, so the disk has the last one.
func (s *Store) readAlarm(k persist.Key) (roomState, error) {
	state := roomState{known: true}
	s.scratch = appendNameKey(s.scratch[:0], kindAlarm, k)
	found, err := s.read(s.scratch, func(value []byte) (err error) {
		state.alarm, err = parseAlarm(s.scratch, value)
		return err
	})
	if err != nil {
		return roomState{}, s.unreadableRoom(k, "alarm", err)
	}
	state.set = found
	return state, nil
}
