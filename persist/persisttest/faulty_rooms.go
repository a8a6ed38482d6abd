package persisttest

import (
	"context"
	"fmt"
	"time"

	"github.com/yserverd/yserverd/persist"
)

// doRooms is do for a call of the wrapped store's part that keeps rooms.
func (f *Faulty) doRooms(ctx context.Context, op Op, key persist.Key, call func(Rooms) error) error {
	return f.do(ctx, op, key, func(Fault) error {
		rooms, ok := f.inner.(Rooms)
		if !ok {
			return fmt.Errorf("%s: %T keeps no data of rooms", op, f.inner)
		}
		return call(rooms)
	})
}

// GetRoom implements Rooms.
func (f *Faulty) GetRoom(ctx context.Context, key persist.Key, space persist.Space, keys []string) (values [][]byte, err error) {
	err = f.doRooms(ctx, OpGetRoom, key, func(r Rooms) (err error) {
		values, err = r.GetRoom(ctx, key, space, keys)
		return err
	})
	if err != nil {
		return nil, err
	}
	return values, nil
}

// ListRoom implements Rooms.
func (f *Faulty) ListRoom(ctx context.Context, key persist.Key, rng persist.RoomRange, reverse bool, limit int) (items []persist.RoomItem, more bool, err error) {
	err = f.doRooms(ctx, OpListRoom, key, func(r Rooms) (err error) {
		items, more, err = r.ListRoom(ctx, key, rng, reverse, limit)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	return items, more, nil
}

// ChangeRooms implements Rooms.
func (f *Faulty) ChangeRooms(ctx context.Context, changes []persist.RoomChange) error {
	var key persist.Key
	if len(changes) > 0 {
		key = changes[0].Key
	}
	return f.doRooms(ctx, OpChangeRooms, key, func(r Rooms) error { return r.ChangeRooms(ctx, changes) })
}

// RoomSize implements Rooms.
func (f *Faulty) RoomSize(ctx context.Context, key persist.Key, space persist.Space) (n int64, err error) {
	err = f.doRooms(ctx, OpRoomSize, key, func(r Rooms) (err error) {
		n, err = r.RoomSize(ctx, key, space)
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// Alarm implements Rooms.
func (f *Faulty) Alarm(ctx context.Context, key persist.Key) (at time.Time, err error) {
	err = f.doRooms(ctx, OpAlarm, key, func(r Rooms) (err error) {
		at, err = r.Alarm(ctx, key)
		return err
	})
	if err != nil {
		return time.Time{}, err
	}
	return at, nil
}

// Alarms implements Rooms.
func (f *Faulty) Alarms(ctx context.Context, before time.Time, limit int) (alarms []persist.RoomAlarm, err error) {
	err = f.doRooms(ctx, OpAlarms, persist.Key{}, func(r Rooms) (err error) {
		alarms, err = r.Alarms(ctx, before, limit)
		return err
	})
	if err != nil {
		return nil, err
	}
	return alarms, nil
}

// Delivery implements Rooms.
func (f *Faulty) Delivery(ctx context.Context, key persist.Key) (at time.Time, err error) {
	err = f.doRooms(ctx, OpDelivery, key, func(r Rooms) (err error) {
		at, err = r.Delivery(ctx, key)
		return err
	})
	if err != nil {
		return time.Time{}, err
	}
	return at, nil
}

// Deliveries implements Rooms.
func (f *Faulty) Deliveries(ctx context.Context, before time.Time, limit int) (due []persist.RoomAlarm, err error) {
	err = f.doRooms(ctx, OpDeliveries, persist.Key{}, func(r Rooms) (err error) {
		due, err = r.Deliveries(ctx, before, limit)
		return err
	})
	if err != nil {
		return nil, err
	}
	return due, nil
}
