package persisttest

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/yserverd/yserverd/persist"
)

// roomData is the data of one room.
type roomData struct {
	spaces      map[persist.Space]map[string][]byte
	alarm       time.Time
	delivery    time.Time
	quarantined string
}

// roomToRead returns an empty room for one without data.
func (m *Memory) roomToRead(key persist.Key) (*roomData, error) {
	if err := key.Validate(); err != nil {
		return nil, err
	}
	r := m.disk.rooms[key]
	if r == nil {
		return &roomData{}, nil
	}
	if r.quarantined != "" {
		return nil, &persist.CorruptError{Key: key, Reason: r.quarantined}
	}
	return r, nil
}

// roomToWrite creates the room if need be.
func (m *Memory) roomToWrite(key persist.Key) *roomData {
	r := m.disk.rooms[key]
	if r == nil {
		r = &roomData{spaces: make(map[persist.Space]map[string][]byte)}
		for space := persist.SpaceStorage; space <= persist.SpaceHistory; space++ {
			r.spaces[space] = make(map[string][]byte)
		}
		m.disk.rooms[key] = r
	}
	return r
}

// GetRoom implements Rooms.
func (m *Memory) GetRoom(ctx context.Context, key persist.Key, space persist.Space, keys []string) ([][]byte, error) {
	if err := m.begin(ctx); err != nil {
		return nil, err
	}
	defer m.end()
	r, err := m.roomToRead(key)
	if err != nil {
		return nil, err
	}
	values := make([][]byte, len(keys))
	for i, k := range keys {
		if err := persist.ValidateRoomKey(space, k); err != nil {
			return nil, err
		}
		values[i] = bytes.Clone(r.spaces[space][k])
	}
	return values, space.Validate()
}

// ListRoom implements Rooms.
func (m *Memory) ListRoom(ctx context.Context, key persist.Key, rng persist.RoomRange, reverse bool, limit int) (items []persist.RoomItem, more bool, err error) {
	if err := m.begin(ctx); err != nil {
		return nil, false, err
	}
	defer m.end()
	r, err := m.roomToRead(key)
	if err == nil {
		err = rng.Validate()
	}
	if err != nil {
		return nil, false, err
	}
	space := r.spaces[rng.Space]
	keys := slices.Sorted(maps.Keys(space))
	if reverse {
		slices.Reverse(keys)
	}
	size := 0
	for _, k := range keys {
		if !rng.Contains(k) {
			continue
		}
		size += len(k) + len(space[k])
		if len(items) == persist.RoomLimit(limit) || len(items) > 0 && size > persist.MaxRoomPageBytes {
			return items, true, nil
		}
		items = append(items, persist.RoomItem{Key: k, Value: bytes.Clone(space[k])})
	}
	return items, false, nil
}

// ChangeRooms implements Rooms.
func (m *Memory) ChangeRooms(ctx context.Context, changes []persist.RoomChange) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	defer m.end()
	for i := range changes {
		if err := changes[i].Validate(); err != nil {
			return err
		}
	}
	for i := range changes {
		if _, err := m.roomToRead(changes[i].Key); err != nil {
			return err
		}
	}
	for i := range changes {
		m.roomToWrite(changes[i].Key).change(&changes[i])
	}
	return nil
}

func (r *roomData) change(c *persist.RoomChange) {
	for _, rng := range c.Ranges {
		maps.DeleteFunc(r.spaces[rng.Space], func(k string, _ []byte) bool { return rng.Contains(k) })
	}
	for _, d := range c.Deletes {
		delete(r.spaces[d.Space], d.Key)
	}
	for _, p := range c.Puts {
		r.spaces[p.Space][p.Key] = append([]byte{}, p.Value...)
	}
	setTime(&r.alarm, c.Alarm)
	setTime(&r.delivery, c.Delivery)
}

// setTime is what a change does with a room's alarm or delivery.
func setTime(t, to *time.Time) {
	switch {
	case to == nil:
	case to.IsZero():
		*t = time.Time{}
	default:
		*t = time.UnixMilli(to.UnixMilli()).UTC()
	}
}

// RoomSize implements Rooms.
func (m *Memory) RoomSize(ctx context.Context, key persist.Key, space persist.Space) (n int64, err error) {
	if err := m.begin(ctx); err != nil {
		return 0, err
	}
	defer m.end()
	r, err := m.roomToRead(key)
	if err == nil {
		err = space.Validate()
	}
	if err != nil {
		return 0, err
	}
	for k, v := range r.spaces[space] {
		n += int64(len(k) + len(v))
	}
	return n, nil
}

func alarmOf(r *roomData) time.Time    { return r.alarm }
func deliveryOf(r *roomData) time.Time { return r.delivery }

// Alarm implements Rooms.
func (m *Memory) Alarm(ctx context.Context, key persist.Key) (time.Time, error) {
	return m.timeOf(ctx, key, alarmOf)
}

// Alarms implements Rooms.
func (m *Memory) Alarms(ctx context.Context, before time.Time, limit int) ([]persist.RoomAlarm, error) {
	return m.timesBefore(ctx, before, limit, alarmOf)
}

// Delivery implements Rooms.
func (m *Memory) Delivery(ctx context.Context, key persist.Key) (time.Time, error) {
	return m.timeOf(ctx, key, deliveryOf)
}

// Deliveries implements Rooms.
func (m *Memory) Deliveries(ctx context.Context, before time.Time, limit int) ([]persist.RoomAlarm, error) {
	return m.timesBefore(ctx, before, limit, deliveryOf)
}

func (m *Memory) timeOf(ctx context.Context, key persist.Key, of func(*roomData) time.Time) (time.Time, error) {
	if err := m.begin(ctx); err != nil {
		return time.Time{}, err
	}
	defer m.end()
	r, err := m.roomToRead(key)
	if err != nil {
		return time.Time{}, err
	}
	return of(r), nil
}

func (m *Memory) timesBefore(ctx context.Context, before time.Time, limit int, of func(*roomData) time.Time) (all []persist.RoomAlarm, err error) {
	if err := m.begin(ctx); err != nil {
		return nil, err
	}
	defer m.end()
	for key, r := range m.disk.rooms {
		if at := of(r); !at.IsZero() && r.quarantined == "" && (before.IsZero() || at.Before(before)) {
			all = append(all, persist.RoomAlarm{Key: key, At: at})
		}
	}
	slices.SortFunc(all, func(a, b persist.RoomAlarm) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Key.Party, b.Key.Party), cmp.Compare(a.Key.Room, b.Key.Room))
	})
	return all[:min(len(all), persist.RoomLimit(limit))], nil
}

// nothing says whether there is nothing of the room.
func (r *roomData) nothing() bool {
	if r == nil {
		return true
	}
	for _, space := range r.spaces {
		if len(space) > 0 {
			return false
		}
	}
	return r.alarm.IsZero() && r.delivery.IsZero() && r.quarantined == ""
}

// QuarantineRoom implements RoomQuarantiner.
func (m *Memory) QuarantineRoom(ctx context.Context, key persist.Key, reason string) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	defer m.end()
	if err := key.Validate(); err != nil {
		return err
	}
	if r := m.roomToWrite(key); r.quarantined == "" {
		r.quarantined = cmp.Or(reason, "no reason given")
	}
	return nil
}

// ReleaseRoom implements RoomQuarantiner.
func (m *Memory) ReleaseRoom(ctx context.Context, key persist.Key) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	defer m.end()
	if err := key.Validate(); err != nil {
		return err
	}
	m.roomToWrite(key).quarantined = ""
	return nil
}
