package pebble

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
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

// set notes an alarm, before it can be read and after Store.alarmed tells of its
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

// Alarm implements persist's contract.
func (s *Store) Alarm(ctx context.Context, k persist.Key) (at time.Time, err error) {
	if err := s.enter(); err != nil {
		return time.Time{}, err
	}
	defer s.leave()
	if err := k.Validate(); err != nil {
		return time.Time{}, fmt.Errorf("alarm: %w", err)
	}
	key := appendNameKey(nil, kindAlarm, k)
	err = s.viewRoom(ctx, k, key, append(bytes.Clone(key), 0), func(it *engine.Iterator) error {
		if !it.First() {
			if err := it.Error(); err != nil {
				return s.unreadableRoom(k, "alarm", err)
			}
			return nil
		}
		value, err := it.ValueAndErr()
		var ms uint64
		if err == nil {
			ms, err = parseAlarm(key, value)
		}
		if err != nil {
			return s.unreadableRoom(k, "alarm", err)
		}
		at = alarmTime(ms)
		return nil
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("alarm: %w", err)
	}
	return at, nil
}

func alarmTime(ms uint64) time.Time { return time.UnixMilli(int64(ms)).UTC() }

// Alarms implements persist's contract. It reads only the index of the alarms
// that it returns. An entry that does not verify quarantines its room and is
// passed over; a damaged block, which may hold many, makes it read the alarms of
// all rooms instead.
func (s *Store) Alarms(ctx context.Context, before time.Time, limit int) (alarms []persist.RoomAlarm, err error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("alarms: %w", err)
	}
	alarms, err = s.alarms(ctx, alarmBound(before), persist.RoomLimit(limit))
	if engine.IsCorruptionError(err) {
		alarms, err = s.alarmsOfRooms(ctx, alarmBound(before), persist.RoomLimit(limit))
	}
	if err != nil {
		return nil, fmt.Errorf("alarms: %w", err)
	}
	return alarms, nil
}

// alarms reads the index up to a time.
func (s *Store) alarms(ctx context.Context, before uint64, limit int) (alarms []persist.RoomAlarm, err error) {
	from, changes := s.alarmFloor.get()
	if from >= before {
		return nil, nil
	}
	if err := s.await(ctx, &s.durable, s.alarmed.Load()); err != nil {
		return nil, err
	}
	it, err := s.db.NewIter(&engine.IterOptions{LowerBound: appendAlarmTimePrefix(nil, from), UpperBound: appendAlarmTimePrefix(nil, before)})
	if err != nil {
		return nil, err
	}
	defer closeIter(it, &err)
	if err := s.await(ctx, &s.durable, s.alarmed.Load()); err != nil {
		return nil, err
	}
	ok := it.First()
	if err := it.Error(); err != nil {
		return nil, err
	}
	if !ok {
		s.alarmFloor.raise(before, changes)
	} else if ms, _, err := parseAlarmTimeKey(it.Key()); err == nil {
		s.alarmFloor.raise(ms, changes)
	}
	for ; ok && len(alarms) < limit; ok = it.Next() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if alarm, ok := s.alarmAt(it); ok {
			alarms = append(alarms, alarm)
		}
	}
	return alarms, it.Error()
}

// alarmsOfRooms does without the index, of which a block is damaged: it reads the
// alarms of all rooms.
func (s *Store) alarmsOfRooms(ctx context.Context, before uint64, limit int) (alarms []persist.RoomAlarm, err error) {
	it, err := s.db.NewIter(kindBounds(kindAlarm))
	if err != nil {
		return nil, err
	}
	defer closeIter(it, &err)
	if err := s.await(ctx, &s.durable, s.alarmed.Load()); err != nil {
		return nil, err
	}
	for ok := it.First(); ok; ok = it.Next() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		k, err := parseNameKey(kindAlarm, it.Key())
		if err != nil || s.quarantinedRooms.check(k) != nil {
			continue
		}
		value, err := it.ValueAndErr()
		var ms uint64
		if err == nil {
			ms, err = parseAlarm(it.Key(), value)
		}
		if err != nil {
			_ = s.unreadableRoom(k, "alarm", err)
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

// alarmAt reads the entry of the index at the iterator. There is none if its
// room cannot be served.
func (s *Store) alarmAt(it *engine.Iterator) (persist.RoomAlarm, bool) {
	ms, k, err := parseAlarmTimeKey(it.Key())
	if err != nil || s.quarantinedRooms.check(k) != nil {
		return persist.RoomAlarm{}, false
	}
	value, err := it.ValueAndErr()
	if err == nil {
		_, err = parseRecord(it.Key(), value)
	}
	if err != nil {
		_ = s.unreadableRoom(k, "alarm", err)
		return persist.RoomAlarm{}, false
	}
	return persist.RoomAlarm{Key: k, At: alarmTime(ms)}, true
}
