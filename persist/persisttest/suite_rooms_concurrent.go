package persisttest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/yserverd/yserverd/persist"
)

func testRoomReopen(e *env) {
	room := func(i int) persist.Key { return key(fmt.Sprintf("r%d", i)) }
	for i := range 20 {
		e.change(persist.RoomChange{Key: room(i), Puts: puts(history, "1", "a", "2", "b", "3", fmt.Sprint(i)), Alarm: at(time.UnixMilli(int64(100 - i)))})
		if i%2 == 0 {
			e.change(persist.RoomChange{Key: room(i), Ranges: []persist.RoomRange{{Space: history, To: "3"}}, Alarm: at(time.Time{})})
		}
	}
	for range 2 {
		e.reopen()
		for i := range 20 {
			want := fmt.Sprintf("1=a 2=b 3=%d", i)
			if i%2 == 0 {
				want = fmt.Sprintf("3=%d", i)
			}
			require.Equal(e, want, e.roomText(room(i), history))
		}
		require.Equal(e, "main/r19@81 main/r17@83", e.alarms(time.Time{}, 2))
	}
	// Moving an alarm that was set before is still a move.
	e.setAlarm("r19", time.UnixMilli(500))
	e.setAlarm("r17", time.Time{})
	require.Equal(e, "main/r15@85 main/r13@87", e.alarms(time.Time{}, 2))
	require.True(e, strings.HasSuffix(e.alarms(time.Time{}, 0), "main/r1@99 main/r19@500"))
}

// testRoomDocuments gives a document and a room one key and changes either.
func testRoomDocuments(e *env) {
	k := key("both")
	e.change(persist.RoomChange{Key: k, Puts: puts(storage, "a", "1"), Alarm: at(time.UnixMilli(5))})
	require.Empty(e, e.rooms("main", "", 10))
	d, err := e.store.Load(e.ctx, k)
	require.NoError(e, err)
	require.False(e, d.Exists)

	e.mustAppend(k, 0, "x", "y")
	e.mustCompact(k, 1, "snap")
	e.change(persist.RoomChange{Key: k, Ranges: []persist.RoomRange{{Space: storage}, {Space: state}, {Space: history}}, Puts: puts(storage, "b", "2")})
	require.Equal(e, "snap@1 y", content(e.load(k)))
	require.Equal(e, "b=2", e.roomText(k, storage))

	if q, ok := e.store.(Quarantiner); ok {
		require.NoError(e, q.Quarantine(e.ctx, k, "why"))
		require.Equal(e, "b=2", e.roomText(k, storage))
		require.NoError(e, q.Release(e.ctx, k))
	}
	require.NoError(e, e.store.Delete(e.ctx, k, nil))
	e.reopen()
	require.Equal(e, "b=2", e.roomText(k, storage))
	require.Equal(e, "main/both@5", e.alarms(time.Time{}, 0))
	e.change(persist.RoomChange{Key: k, Puts: puts(storage, "c", "3")})
	require.Equal(e, "b=2 c=3", e.roomText(k, storage))
}

// testRoomsConcurrent has writers of rooms of their own and of a shared one. A
// change writes the same number several times, so that readers see halves.
func testRoomsConcurrent(e *env) {
	const writers, rounds, kept = 5, 60, 7
	number := func(n int) string { return fmt.Sprintf("%04d", n) }
	room := func(w int) persist.Key { return key(fmt.Sprint("own", w)) }
	group, ctx := errgroup.WithContext(e.ctx)
	writing, stop := context.WithCancel(ctx)
	defer stop()
	var done errgroup.Group
	for w := range writers {
		done.Go(func() error {
			for n := range rounds {
				c := persist.RoomChange{
					Key:    room(w),
					Ranges: []persist.RoomRange{{Space: history, To: number(n - kept + 1)}},
					Puts:   append(puts(storage, "a", number(n), "b", number(n)), puts(history, number(n), "x")...),
					Alarm:  at(time.UnixMilli(int64(n))),
				}
				shared := persist.RoomChange{Key: key("shared"), Puts: puts(storage, fmt.Sprint("a", w), number(n), fmt.Sprint("b", w), number(n))}
				if err := e.data().ChangeRooms(ctx, []persist.RoomChange{c, shared}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for w := range writers {
		group.Go(func() error {
			for writing.Err() == nil {
				if err := e.readWhole(ctx, room(w), kept); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(e, done.Wait())
	stop()
	require.NoError(e, group.Wait())
	for range 2 {
		for w := range writers {
			require.NoError(e, e.readWhole(e.ctx, room(w), kept))
			require.Equal(e, number(rounds-1), e.get(room(w), storage, "a"))
			require.Equal(e, number(rounds-1), e.get(key("shared"), storage, fmt.Sprint("b", w)))
			require.Equal(e, int64(rounds-1), e.alarm(room(w)).UnixMilli())
		}
		all, err := e.data().Alarms(e.ctx, time.Time{}, 0)
		require.NoError(e, err)
		require.Len(e, all, writers)
		e.reopen()
	}
}

// readWhole checks that what is read together was written together.
func (e *env) readWhole(ctx context.Context, k persist.Key, kept int) error {
	values, err := e.data().GetRoom(ctx, k, storage, []string{"a", "b"})
	if err != nil {
		return err
	}
	if string(values[0]) != string(values[1]) {
		return fmt.Errorf("half a change: %q", values)
	}
	page, _, err := e.data().ListRoom(ctx, k, persist.RoomRange{Space: history}, true, 0)
	if err != nil {
		return err
	}
	if len(page) == 0 {
		return nil
	}
	var newest int
	if _, err := fmt.Sscanf(page[0].Key, "%d", &newest); err != nil {
		return err
	}
	if len(page) != min(newest+1, kept) {
		return fmt.Errorf("%d messages up to %d", len(page), newest)
	}
	if n, err := e.data().RoomSize(ctx, k, history); err != nil || n > int64(kept*5) {
		return fmt.Errorf("%d bytes of history: %w", n, err)
	}
	at, err := e.data().Alarm(ctx, k)
	if err == nil && at.UnixMilli() < int64(newest) {
		err = fmt.Errorf("alarm %v, but message %d", at.UnixMilli(), newest)
	}
	return err
}

// testAlarmsConcurrent sets alarms from many sides, to and fro, while others read
// the earliest ones: each must be in the index once its change has returned.
func testAlarmsConcurrent(e *env) {
	const setters, rounds = 4, 80
	var group errgroup.Group
	for w := range setters {
		k := key(fmt.Sprint("own", w))
		rng := rand.New(rand.NewPCG(uint64(w), 1))
		group.Go(func() error {
			for range rounds {
				ms := 1000 + rng.Int64N(1000)
				if err := e.data().ChangeRooms(e.ctx, []persist.RoomChange{{Key: k, Alarm: at(time.UnixMilli(ms))}}); err != nil {
					return err
				}
				if _, err := e.data().Alarms(e.ctx, time.UnixMilli(rng.Int64N(3000)), 1); err != nil {
					return err
				}
				due, err := e.data().Alarms(e.ctx, time.UnixMilli(ms+1), 0)
				if err != nil {
					return err
				}
				want := persist.RoomAlarm{Key: k, At: time.UnixMilli(ms).UTC()}
				if !slices.Contains(due, want) {
					return fmt.Errorf("%v is not in %v", want, due)
				}
			}
			return e.data().ChangeRooms(e.ctx, []persist.RoomChange{{Key: k, Alarm: at(time.Time{})}})
		})
	}
	require.NoError(e, group.Wait())
	require.Empty(e, e.alarms(time.Time{}, 0))
}

// testRoomFaults repeats changes whose outcome is unknown, each in turn, before
// and after its effect, and then at random.
func testRoomFaults(e *env) {
	const rounds = 12
	script := func(store Rooms, k persist.Key) error {
		for n := range rounds {
			c := persist.RoomChange{
				Key:     k,
				Ranges:  []persist.RoomRange{{Space: history, To: fmt.Sprintf("%02d", n-3)}},
				Deletes: []persist.RoomDelete{{Space: storage, Key: fmt.Sprint(n - 1)}},
				Puts:    append(puts(storage, fmt.Sprint(n), "x"), puts(history, fmt.Sprintf("%02d", n), "m")...),
				Alarm:   at(time.UnixMilli(int64(n))),
			}
			for try := 0; ; try++ {
				err := store.ChangeRooms(e.ctx, []persist.RoomChange{c})
				if err == nil {
					break
				}
				if !errors.Is(err, ErrInjected) || try == attempts {
					return err
				}
			}
		}
		return nil
	}
	check := func(k persist.Key) {
		e.Helper()
		require.Equal(e, "11=x", e.roomText(k, storage))
		require.Equal(e, "08=m 09=m 10=m 11=m", e.roomText(k, history))
		require.Equal(e, int64(11), e.alarm(k).UnixMilli())
	}
	for n := range rounds {
		for _, done := range []bool{false, true} {
			k := key(fmt.Sprint("room", n, done))
			faulty := NewFaulty(e.store, OnCall(OpChangeRooms, n+1, Fault{Err: ErrInjected, Done: done}))
			require.NoError(e, script(faulty, k))
			require.Equal(e, rounds+1, faulty.Calls(OpChangeRooms))
			check(k)
		}
	}
	group := errgroup.Group{}
	faulty := NewFaulty(e.store, AtRandom(1, 3))
	for w := range 4 {
		group.Go(func() error { return script(faulty, key(fmt.Sprint("random", w))) })
	}
	require.NoError(e, group.Wait())
	for w := range 4 {
		check(key(fmt.Sprint("random", w)))
	}
	all, err := e.data().Alarms(e.ctx, time.Time{}, 0)
	require.NoError(e, err)
	require.Len(e, all, 2*rounds+4)
}
