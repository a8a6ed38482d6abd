package persisttest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
)

// exchanged is a store whose alarms are deliveries and the other way round, so
// that what holds for one can be tested for the other.
type exchanged struct{ Store }

func (x exchanged) rooms() Rooms { return x.Store.(Rooms) }

func (x exchanged) GetRoom(ctx context.Context, key persist.Key, space persist.Space, keys []string) ([][]byte, error) {
	return x.rooms().GetRoom(ctx, key, space, keys)
}

func (x exchanged) ListRoom(ctx context.Context, key persist.Key, r persist.RoomRange, reverse bool, limit int) ([]persist.RoomItem, bool, error) {
	return x.rooms().ListRoom(ctx, key, r, reverse, limit)
}

func (x exchanged) ChangeRooms(ctx context.Context, changes []persist.RoomChange) error {
	turned := append([]persist.RoomChange(nil), changes...)
	for i := range turned {
		turned[i].Alarm, turned[i].Delivery = turned[i].Delivery, turned[i].Alarm
	}
	return x.rooms().ChangeRooms(ctx, turned)
}

func (x exchanged) RoomSize(ctx context.Context, key persist.Key, space persist.Space) (int64, error) {
	return x.rooms().RoomSize(ctx, key, space)
}

func (x exchanged) Alarm(ctx context.Context, key persist.Key) (time.Time, error) {
	return x.rooms().Delivery(ctx, key)
}

func (x exchanged) Alarms(ctx context.Context, before time.Time, limit int) ([]persist.RoomAlarm, error) {
	return x.rooms().Deliveries(ctx, before, limit)
}

func (x exchanged) Delivery(ctx context.Context, key persist.Key) (time.Time, error) {
	return x.rooms().Alarm(ctx, key)
}

func (x exchanged) Deliveries(ctx context.Context, before time.Time, limit int) ([]persist.RoomAlarm, error) {
	return x.rooms().Alarms(ctx, before, limit)
}

// exchanging runs a test on the store with alarms and deliveries exchanged.
func exchanging(test func(*env)) func(*env) {
	return func(e *env) {
		open := e.open
		e.store = exchanged{e.store}
		e.open = func() Store { return exchanged{open()} }
		test(e)
	}
}

func testDeliveriesApart(e *env) {
	times := func() string {
		var words []string
		for _, list := range []func(context.Context, time.Time, int) ([]persist.RoomAlarm, error){e.data().Alarms, e.data().Deliveries} {
			all, err := list(e.ctx, time.Time{}, 0)
			require.NoError(e, err)
			for _, a := range all {
				words = append(words, fmt.Sprintf("%s@%d", a.Key.Room, a.At.UnixMilli()))
			}
			words = append(words, "|")
		}
		return strings.Join(words, " ")
	}
	e.change(
		persist.RoomChange{Key: key("a"), Alarm: at(time.UnixMilli(5)), Delivery: at(time.UnixMilli(3))},
		persist.RoomChange{Key: key("b"), Alarm: at(time.UnixMilli(4))},
		persist.RoomChange{Key: key("c"), Delivery: at(time.UnixMilli(5))},
		persist.RoomChange{Key: key("d"), Alarm: at(time.UnixMilli(7)), Delivery: at(time.UnixMilli(7))},
	)
	for range 2 {
		require.Equal(e, "b@4 a@5 d@7 | a@3 c@5 d@7 |", times())
		e.reopen()
	}
	e.change(persist.RoomChange{Key: key("a"), Delivery: at(time.UnixMilli(9))}, persist.RoomChange{Key: key("d"), Alarm: at(time.Time{})})
	require.Equal(e, "b@4 a@5 | c@5 d@7 a@9 |", times())
	e.change(persist.RoomChange{Key: key("a"), Alarm: at(time.UnixMilli(1))}, persist.RoomChange{Key: key("d"), Delivery: at(time.Time{})})
	for range 2 {
		require.Equal(e, "a@1 b@4 | c@5 a@9 |", times())
		e.reopen()
	}
	require.ErrorIs(e, e.data().ChangeRooms(e.ctx, []persist.RoomChange{{Key: key("a"), Delivery: at(time.UnixMilli(-1))}}), persist.ErrInvalid)
	_, err := e.data().Delivery(e.ctx, persist.Key{})
	require.ErrorIs(e, err, persist.ErrInvalid)
}
