package pebble

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	engine "github.com/cockroachdb/pebble/v2"

	"github.com/yserverd/yserverd/persist"
)

// alarmFloor is a time before which there is no alarm, as far as is known. The
// index is written at its end and emptied at its beginning, where what was
// dropped stays in the engine's way for a while: reading begins at the floor.
type alarmFloor struct {
	mu      sync.Mutex
	ms      uint64
	changes uint64 // counts the alarms that were set
}

// get returns the floor, and the count that raise wants.
func (f *alarmFloor) get() (ms, changes uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ms, f.changes
}

// set notes an alarm, before it can be read and after roomTimes.changed tells of its
// commit.
func (f *alarmFloor) set(ms uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ms = min(f.ms, ms)
	f.changes++
}

// raise notes that a reader that asked get first found no alarm before ms, unless
// one was set meanwhile.
func (f *alarmFloor) raise(ms, changes uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.changes == changes {
		f.ms = max(f.ms, ms)
	}
}

// roomTimes is one of the times that rooms have, of all of them.
type roomTimes struct {
	record, index byte   // kinds of keys
	what          string // it is, for people

	changed atomic.Uint64 // ticket of the last commit that changed one
	floor   alarmFloor
}

// note notes what a commit does, before it is queued.
func (t *roomTimes) note(c *changedTimes, ticket uint64) {
	if c.some {
		t.changed.Store(ticket)
	}
	if c.set {
		t.floor.set(c.earliest)
	}
}

// Alarm implements persist's contract.
func (s *Store) Alarm(ctx context.Context, k persist.Key) (time.Time, error) {
	return s.timeOf(ctx, &s.alarmTimes, k)
}

// Delivery implements persist's contract.
func (s *Store) Delivery(ctx context.Context, k persist.Key) (time.Time, error) {
	return s.timeOf(ctx, &s.deliveryTimes, k)
}

func (s *Store) timeOf(ctx context.Context, t *roomTimes, k persist.Key) (at time.Time, err error) {
	if err := s.enter(); err != nil {
		return time.Time{}, err
	}
	defer s.leave()
	if err := k.Validate(); err != nil {
		return time.Time{}, fmt.Errorf("%s: %w", t.what, err)
	}
	key := appendNameKey(nil, t.record, k)
	err = s.viewRoom(ctx, k, key, append(bytes.Clone(key), 0), func(it *engine.Iterator) error {
		if !it.First() {
			if err := it.Error(); err != nil {
				return s.unreadableRoom(k, t.what, err)
			}
			return nil
		}
		value, err := it.ValueAndErr()
		var ms uint64
		if err == nil {
			ms, err = parseTime(key, value)
		}
		if err != nil {
			return s.unreadableRoom(k, t.what, err)
		}
		at = alarmTime(ms)
		return nil
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: %w", t.what, err)
	}
	return at, nil
}

func alarmTime(ms uint64) time.Time { return time.UnixMilli(int64(ms)).UTC() }

// Alarms implements persist's contract. It reads only the index of the alarms
// that it returns. An entry that does not verify quarantines its room and is
// passed over; a damaged block, which may hold many, makes it read the alarms of
// all rooms instead.
func (s *Store) Alarms(ctx context.Context, before time.Time, limit int) ([]persist.RoomAlarm, error) {
	return s.timesBefore(ctx, &s.alarmTimes, before, limit)
}

// Deliveries implements persist's contract, as Alarms does.
func (s *Store) Deliveries(ctx context.Context, before time.Time, limit int) ([]persist.RoomAlarm, error) {
	return s.timesBefore(ctx, &s.deliveryTimes, before, limit)
}

func (s *Store) timesBefore(ctx context.Context, t *roomTimes, before time.Time, limit int) (due []persist.RoomAlarm, err error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%ss: %w", t.what, err)
	}
	due, err = s.timesOfIndex(ctx, t, alarmBound(before), persist.RoomLimit(limit))
	if engine.IsCorruptionError(err) {
		due, err = s.timesOfRooms(ctx, t, alarmBound(before), persist.RoomLimit(limit))
	}
	if err != nil {
		return nil, fmt.Errorf("%ss: %w", t.what, err)
	}
	return due, nil
}

// timesOfIndex reads the index up to a time.
func (s *Store) timesOfIndex(ctx context.Context, t *roomTimes, before uint64, limit int) (alarms []persist.RoomAlarm, err error) {
	from, changes := t.floor.get()
	if from >= before {
		return nil, nil
	}
	if err := s.await(ctx, &s.durable, t.changed.Load()); err != nil {
		return nil, err
	}
	it, err := s.db.NewIter(&engine.IterOptions{LowerBound: appendTimePrefix(nil, t.index, from), UpperBound: appendTimePrefix(nil, t.index, before)})
	if err != nil {
		return nil, err
	}
	defer closeIter(it, &err)
	if err := s.await(ctx, &s.durable, t.changed.Load()); err != nil {
		return nil, err
	}
	ok := it.First()
	if err := it.Error(); err != nil {
		return nil, err
	}
	if !ok {
		t.floor.raise(before, changes)
	} else if ms, _, err := parseTimeKey(t.index, it.Key()); err == nil {
		t.floor.raise(ms, changes)
	}
	for ; ok && len(alarms) < limit; ok = it.Next() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if alarm, ok := s.timeAt(it, t); ok {
			alarms = append(alarms, alarm)
		}
	}
	return alarms, it.Error()
}

// timesOfRooms does without the index, of which a block is damaged: it reads the
// records of all rooms.
func (s *Store) timesOfRooms(ctx context.Context, t *roomTimes, before uint64, limit int) (alarms []persist.RoomAlarm, err error) {
	it, err := s.db.NewIter(kindBounds(t.record))
	if err != nil {
		return nil, err
	}
	defer closeIter(it, &err)
	if err := s.await(ctx, &s.durable, t.changed.Load()); err != nil {
		return nil, err
	}
	for ok := it.First(); ok; ok = it.Next() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		k, err := parseNameKey(t.record, it.Key())
		if err != nil || s.quarantinedRooms.check(k) != nil {
			continue
		}
		value, err := it.ValueAndErr()
		var ms uint64
		if err == nil {
			ms, err = parseTime(it.Key(), value)
		}
		if err != nil {
			_ = s.unreadableRoom(k, t.what, err)
			continue
		}
		if ms < before {
			alarms = append(alarms, persist.RoomAlarm{Key: k, At: alarmTime(ms)})
		}
		if len(alarms)/2 > limit {
			alarms = earliest(alarms, limit)
		}
	}
	return earliest(alarms, limit), it.Error()
}

// earliest sorts the alarms and keeps the first.
func earliest(alarms []persist.RoomAlarm, limit int) []persist.RoomAlarm {
	slices.SortFunc(alarms, func(a, b persist.RoomAlarm) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Key.Party, b.Key.Party), cmp.Compare(a.Key.Room, b.Key.Room))
	})
	return alarms[:min(len(alarms), limit)]
}

// alarmBound is the least time in whole milliseconds that is not before t; zero
// is the end of time.
func alarmBound(t time.Time) uint64 {
	if t.IsZero() || t.UTC().Year() > 9999 {
		return 1 << 63
	}
	ms := t.UnixMilli()
	if t.Nanosecond()%int(time.Millisecond) != 0 {
		ms++
	}
	return uint64(max(ms, 0))
}

// timeAt reads the entry of the index at the iterator. There is none if its
// room cannot be served.
func (s *Store) timeAt(it *engine.Iterator, t *roomTimes) (persist.RoomAlarm, bool) {
	ms, k, err := parseTimeKey(t.index, it.Key())
	if err != nil || s.quarantinedRooms.check(k) != nil {
		return persist.RoomAlarm{}, false
	}
	value, err := it.ValueAndErr()
	if err == nil {
		_, err = parseRecord(it.Key(), value)
	}
	if err != nil {
		_ = s.unreadableRoom(k, t.what, err)
		return persist.RoomAlarm{}, false
	}
	return persist.RoomAlarm{Key: k, At: alarmTime(ms)}, true
}
