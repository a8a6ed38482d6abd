package yserver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/persisttest"
	"github.com/yserverd/yserverd/yserver"
)

// rung is a call of OnAlarm.
type rung struct {
	room string
	at   time.Time
}

// alarmed is a room type whose alarms a test sees, and may answer.
type alarmed struct {
	room   *yserver.Room
	calls  chan<- rung
	answer func(ctx context.Context, room *yserver.Room) error
}

func (a alarmed) OnAlarm(ctx context.Context) error {
	called := rung{a.room.Name(), time.Now()}
	defer func() { a.calls <- called }()
	if a.answer != nil {
		return a.answer(ctx, a.room)
	}
	return nil
}

func withAlarms(answer func(context.Context, *yserver.Room) error) (chan rung, func(*yserver.Config, *yserver.Party)) {
	calls := make(chan rung, 4096)
	message := withMessage(yserver.Message{Relay: yserver.RelayJSON})
	return calls, func(c *yserver.Config, p *yserver.Party) {
		message(c, p)
		p.New = func(room *yserver.Room) any { return alarmed{room, calls, answer} }
	}
}

// settled waits until no alarm runs or is to be repeated.
func settled(k *kit) {
	k.t.Helper()
	eventually(k.t, "alarms are settled", func() bool { return yserver.AlarmBookkeeping(k.Srv) == 0 })
}

// testLog collects what a server logs.
type testLog struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *testLog) option(c *yserver.Config, _ *yserver.Party) {
	c.Logger = slog.New(slog.NewTextHandler(l, nil))
}

func (l *testLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *testLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *testLog) count(what string) int { return strings.Count(l.String(), what) }

func noneLeft(t testing.TB, store yserver.RoomStore) {
	t.Helper()
	left, err := store.Alarms(t.Context(), time.Time{}, 0)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestAnAlarmComesAtItsTimeOnce(t *testing.T) {
	store := persisttest.NewMemory()
	calls, typ := withAlarms(nil)
	k := start(t, withStore(store), typ)
	ctx, room := t.Context(), k.roomOf("r")
	at := time.Now().Add(150 * time.Millisecond)
	require.NoError(t, room.SetAlarm(ctx, at.Add(time.Hour)))
	require.NoError(t, room.SetAlarm(ctx, at)) // in place of the other
	got, err := room.Alarm(ctx)
	require.NoError(t, err)
	require.Equal(t, at.UnixMilli(), got.UnixMilli())
	called := receive(t, calls)
	require.Equal(t, "r", called.room)
	require.False(t, called.at.Before(got), "%s early", got.Sub(called.at))
	settled(k)
	noneLeft(t, store)
	time.Sleep(quiet)
	require.Empty(t, calls)
	got, err = room.Alarm(ctx)
	require.NoError(t, err)
	require.Zero(t, got)
}

func TestAnAlarmOfThePastComesAtOnce(t *testing.T) {
	calls, typ := withAlarms(nil)
	k := start(t, typ)
	for _, at := range []time.Time{{}, time.Unix(-1e9, 0), time.Unix(0, 0), time.Now(), time.Now().Add(-time.Hour)} {
		require.NoError(t, k.roomOf("r").SetAlarm(t.Context(), at))
		receive(t, calls)
		settled(k)
	}
	require.ErrorIs(t, k.roomOf("r").SetAlarm(t.Context(), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)), persist.ErrInvalid)
}

func TestADeletedAlarmDoesNotCome(t *testing.T) {
	calls, typ := withAlarms(nil)
	k := start(t, typ)
	at := time.Now().Add(50 * time.Millisecond)
	require.NoError(t, k.roomOf("gone").SetAlarm(t.Context(), at))
	require.NoError(t, k.roomOf("gone").DeleteAlarm(t.Context()))
	require.NoError(t, k.roomOf("gone").DeleteAlarm(t.Context()))
	require.NoError(t, k.roomOf("r").SetAlarm(t.Context(), at.Add(50*time.Millisecond)))
	require.Equal(t, "r", receive(t, calls).room)
	require.Empty(t, calls)
}

func TestAnAlarmComesAfterARestart(t *testing.T) {
	store := persisttest.NewMemory()
	calls, typ := withAlarms(nil)
	k := start(t, withStore(store), typ)
	soon := time.Now().Add(100 * time.Millisecond)
	require.NoError(t, k.roomOf("later").SetAlarm(t.Context(), soon.Add(400*time.Millisecond)))
	require.NoError(t, k.roomOf("missed").SetAlarm(t.Context(), soon))
	k.Stop()
	time.Sleep(time.Until(soon)) // nobody is there
	require.Empty(t, calls)
	k = start(t, withStore(store), typ)
	require.Equal(t, "missed", receive(t, calls).room)
	require.Equal(t, "later", receive(t, calls).room)
	settled(k)
	noneLeft(t, store)
}

// An alarm that fails is repeated, each time after a pause twice as long, until
// it succeeds.
func TestAnAlarmThatFailsIsRepeatedWithBackOff(t *testing.T) {
	var fails atomic.Int64
	fails.Store(4)
	calls, typ := withAlarms(func(context.Context, *yserver.Room) error {
		switch fails.Add(-1) {
		case 3, 1:
			return errors.New("not now")
		case 2, 0:
			panic("not now")
		}
		return nil
	})
	store := persisttest.NewMemory()
	k := start(t, withStore(store), typ)
	const first = 20 * time.Millisecond
	yserver.SetAlarmRetry(k.Srv, first)
	require.NoError(t, k.roomOf("r").SetAlarm(t.Context(), time.Now()))
	last := receive(t, calls).at
	for i := range 4 {
		at := receive(t, calls).at
		require.GreaterOrEqual(t, at.Sub(last), first<<i-time.Millisecond, "repetition %d", i)
		last = at
	}
	settled(k)
	noneLeft(t, store)
}

func TestAnAlarmThatAlwaysFailsIsGivenUp(t *testing.T) {
	calls, typ := withAlarms(func(context.Context, *yserver.Room) error { return errors.New("never") })
	store, l := persisttest.NewMemory(), &testLog{}
	k := start(t, withStore(store), typ, l.option)
	yserver.SetAlarmRetry(k.Srv, time.Millisecond)
	require.NoError(t, k.roomOf("r").SetAlarm(t.Context(), time.Now()))
	for range 1 + 6 {
		receive(t, calls)
	}
	settled(k)
	noneLeft(t, store)
	require.Empty(t, calls)
	require.Contains(t, l.String(), "alarm given up")
	// A new alarm has its own tries.
	require.NoError(t, k.roomOf("r").SetAlarm(t.Context(), time.Now()))
	for range 7 {
		receive(t, calls)
	}
}

// A room that cannot be had is no try of its alarm.
func TestAnAlarmWhoseRoomCannotBeLoadedIsNotGivenUp(t *testing.T) {
	store, faulty := withFaults(nil)
	calls, typ := withAlarms(nil)
	k := start(t, faulty, typ, func(_ *yserver.Config, p *yserver.Party) { p.Message.State = &yserver.SharedState{} })
	yserver.SetAlarmRetry(k.Srv, time.Millisecond)
	store.SetPlan(onOp(persisttest.OpGetRoom, persisttest.Fault{Err: persisttest.ErrInjected}))
	require.NoError(t, k.roomOf("r").SetAlarm(t.Context(), time.Now()))
	eventually(t, "tried often", func() bool { return store.Calls(persisttest.OpGetRoom) > 8 })
	store.SetPlan(nil)
	require.Equal(t, "r", receive(t, calls).room)
	settled(k)
}

func TestAlarmsInsideOnAlarm(t *testing.T) {
	const rounds = 5
	var n atomic.Int64
	saw := make(chan error, rounds)
	calls, typ := withAlarms(func(ctx context.Context, room *yserver.Room) error {
		saw <- func() error {
			if at, err := room.Alarm(ctx); err != nil || !at.IsZero() {
				return fmt.Errorf("the alarm that runs is told: %v, %w", at, err)
			}
			if n.Add(1) == rounds {
				return nil
			}
			next := time.Now().Add(10 * time.Millisecond)
			if err := room.SetAlarm(ctx, next); err != nil {
				return err
			}
			if at, err := room.Alarm(ctx); err != nil || at.UnixMilli() != next.UnixMilli() {
				return fmt.Errorf("the next alarm is not told: %v, %w", at, err)
			}
			return nil
		}()
		if n.Load()%2 == 0 {
			return errors.New("fails, but has set the next")
		}
		return nil
	})
	store := persisttest.NewMemory()
	k := start(t, withStore(store), typ)
	require.NoError(t, k.roomOf("r").SetAlarm(t.Context(), time.Now()))
	for range rounds {
		receive(t, calls)
		require.NoError(t, receive(t, saw))
	}
	settled(k)
	noneLeft(t, store)
}

// An alarm that is set for the moment at which it runs comes once more, and one
// that takes itself back is not repeated.
func TestAlarmsInsideOnAlarmAtTheSameMoment(t *testing.T) {
	at := time.Now()
	var n atomic.Int64
	calls, typ := withAlarms(func(ctx context.Context, room *yserver.Room) error {
		if n.Add(1) == 1 {
			return room.SetAlarm(ctx, at)
		}
		return errors.Join(room.DeleteAlarm(ctx), errors.New("fails"))
	})
	store := persisttest.NewMemory()
	k := start(t, withStore(store), typ)
	yserver.SetAlarmRetry(k.Srv, time.Millisecond)
	require.NoError(t, k.roomOf("r").SetAlarm(t.Context(), at))
	receive(t, calls)
	receive(t, calls)
	settled(k)
	noneLeft(t, store)
	require.Empty(t, calls)
}

func TestAlarmsWakeRoomsThatHibernateAndThatAreGone(t *testing.T) {
	calls, typ := withAlarms(func(_ context.Context, room *yserver.Room) error {
		room.Broadcast(yserver.Text("ding"))
		return nil
	})
	k := start(t, typ, func(_ *yserver.Config, p *yserver.Party) {
		p.HibernateAfter, p.UnloadAfter = time.Millisecond, time.Millisecond
	})
	a := k.visitRoom("sleeps", "a")
	eventually(t, "asleep", func() bool { return k.Srv.Stats().Hibernations > 0 })
	k.visitRoom("gone", "b").leaves()
	count(t, "unloaded", 1, func() int64 { return int64(k.Srv.Stats().Rooms) })
	for _, room := range []string{"sleeps", "gone", "sleeps"} {
		require.NoError(t, k.roomOf(room).SetAlarm(t.Context(), time.Now()))
		require.Equal(t, room, receive(t, calls).room)
		if room == "sleeps" {
			require.Equal(t, "ding", a.message())
			settled(k)
		}
	}
	count(t, "and they go again", 1, func() int64 { return int64(k.Srv.Stats().Rooms) })
}

func TestAThousandAlarmsAtOnce(t *testing.T) {
	const rooms = 1000
	store := persisttest.NewMemory()
	var barrier sync.WaitGroup
	barrier.Add(rooms)
	calls, typ := withAlarms(func(context.Context, *yserver.Room) error {
		barrier.Done() // all of them run at the same time
		barrier.Wait()
		return nil
	})
	k := start(t, withStore(store), typ)
	at := time.Now().Add(300 * time.Millisecond)
	var wg sync.WaitGroup
	for n := range rooms {
		wg.Go(func() {
			if err := k.roomOf(roomName(n)).SetAlarm(context.Background(), at); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	rung := map[string]int{}
	for range rooms {
		rung[receive(t, calls).room]++
	}
	require.Len(t, rung, rooms, "each once")
	settled(k)
	noneLeft(t, store)
}

// More alarms than may run at once all come, at a restart too.
func TestManyAlarmsThatWereMissed(t *testing.T) {
	const rooms = 3000
	store := persisttest.NewMemory()
	at := time.Now().Add(-time.Hour)
	var changes []persist.RoomChange
	for n := range rooms {
		changes = append(changes, persist.RoomChange{Key: key(roomName(n)), Alarm: &at})
	}
	require.NoError(t, store.ChangeRooms(t.Context(), changes))
	calls, typ := withAlarms(nil)
	k := start(t, withStore(store), typ)
	rung := map[string]int{}
	for range rooms {
		rung[receive(t, calls).room]++
	}
	require.Len(t, rung, rooms)
	settled(k)
	noneLeft(t, store)
}

// An alarm that was called is not called again because its outcome could not be
// stored at once.
func TestAnAlarmWhoseOutcomeCannotBeStoredIsNotCalledAgain(t *testing.T) {
	store, faulty := withFaults(nil)
	calls, typ := withAlarms(nil)
	k := start(t, faulty, typ)
	yserver.SetAlarmRetry(k.Srv, time.Millisecond)
	at := time.Now().Add(50 * time.Millisecond)
	require.NoError(t, k.roomOf("r").SetAlarm(t.Context(), at))
	store.SetPlan(onOp(persisttest.OpChangeRooms, persisttest.Fault{Err: persisttest.ErrInjected}))
	receive(t, calls)
	eventually(t, "tried often", func() bool { return store.Calls(persisttest.OpChangeRooms) > 5 })
	store.SetPlan(nil)
	settled(k)
	noneLeft(t, store)
	require.Empty(t, calls)
}

func TestAlarmsThatCannotBeReadComeLate(t *testing.T) {
	store, faulty := withFaults(nil)
	calls, typ := withAlarms(nil)
	k := start(t, faulty, typ)
	yserver.SetAlarmRetry(k.Srv, time.Millisecond)
	for _, op := range []persisttest.Op{persisttest.OpAlarms, persisttest.OpAlarm} {
		before := store.Calls(op)
		store.SetPlan(onOp(op, persisttest.Fault{Err: persisttest.ErrInjected}))
		require.NoError(t, k.roomOf("r").SetAlarm(t.Context(), time.Now()))
		eventually(t, "tried often", func() bool { return store.Calls(op) > before+5 })
		require.Empty(t, calls)
		store.SetPlan(nil)
		receive(t, calls)
		settled(k)
	}
}

// The alarm of a party that has no code, perhaps not any more, stays.
func TestAnAlarmWithoutRoomTypeStays(t *testing.T) {
	store, l := persisttest.NewMemory(), &testLog{}
	at := time.Now().Add(-time.Second)
	require.NoError(t, store.ChangeRooms(t.Context(), []persist.RoomChange{
		{Key: persist.Key{Party: "unknown", Room: "r"}, Alarm: &at}, {Key: key("r"), Alarm: &at},
	}))
	k := start(t, withStore(store), relaying(), l.option)
	eventually(t, "it is looked at", func() bool { return l.count("no room type") == 2 })
	settled(k)
	left, err := store.Alarms(t.Context(), time.Time{}, 0)
	require.NoError(t, err)
	require.Len(t, left, 2)
}

// Shutdown waits for an alarm that runs, begins no other, and leaves those that
// did not come to the next server.
func TestAlarmsAndShutdown(t *testing.T) {
	store := persisttest.NewMemory()
	begun, block := make(chan struct{}, 2), make(chan struct{})
	calls, typ := withAlarms(func(context.Context, *yserver.Room) error {
		begun <- struct{}{}
		<-block
		return nil
	})
	k := start(t, withStore(store), typ)
	require.NoError(t, k.roomOf("runs").SetAlarm(t.Context(), time.Now()))
	receive(t, begun)
	ended := make(chan error, 1)
	go func() { ended <- k.Srv.Shutdown(t.Context()) }()
	eventually(t, "draining", func() bool { return k.Srv.Ready() != nil })
	require.NoError(t, k.roomOf("next").SetAlarm(t.Context(), time.Now()), "its room still runs")
	time.Sleep(quiet)
	require.Empty(t, begun)
	require.Empty(t, ended)
	close(block)
	require.NoError(t, receive(t, ended))
	require.Equal(t, "runs", receive(t, calls).room)
	left, err := store.Alarms(t.Context(), time.Time{}, 0)
	require.NoError(t, err)
	require.Len(t, left, 1)
	require.Equal(t, key("next"), left[0].Key)
	start(t, withStore(store), typ)
	require.Equal(t, "next", receive(t, calls).room)
}

// An alarm that does not return loses its room, and is repeated in a new one.
func TestAnAlarmThatHangsIsRepeated(t *testing.T) {
	hang := make(chan struct{})
	var n atomic.Int64
	calls, typ := withAlarms(func(context.Context, *yserver.Room) error {
		if n.Add(1) == 1 {
			<-hang
		}
		return nil
	})
	store := persisttest.NewMemory()
	k := start(t, withStore(store), typ, func(_ *yserver.Config, p *yserver.Party) { p.HookTimeout = 20 * time.Millisecond })
	yserver.SetAlarmRetry(k.Srv, time.Millisecond)
	require.NoError(t, k.roomOf("r").SetAlarm(t.Context(), time.Now()))
	receive(t, calls)
	settled(k)
	noneLeft(t, store)
	require.EqualValues(t, 2, n.Load())
	close(hang)
	receive(t, calls)
}
