package persisttest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/persisttest"
)

var notes = persist.Key{Party: "main", Room: "notes"}

func appendOne(s persisttest.Store, after persist.Seq) ([]persist.Result, error) {
	return s.Append(context.Background(), []persist.Append{{Key: notes, After: after, Updates: [][]byte{[]byte("x")}}})
}

func TestFaultyPassesTheSuiteUndisturbed(t *testing.T) {
	disks := make(map[string]*persisttest.Memory)
	persisttest.Run(t, func(_ testing.TB, name string) persisttest.Store {
		if m := disks[name]; m != nil {
			return persisttest.NewFaulty(m.Reopen(), nil)
		}
		disks[name] = persisttest.NewMemory()
		return persisttest.NewFaulty(disks[name], nil)
	})
}

func TestFaultyErrorBeforeAndAfter(t *testing.T) {
	ctx := t.Context()
	memory := persisttest.NewMemory()
	boom := errors.New("boom")
	for _, done := range []bool{false, true} {
		f := persisttest.NewFaulty(memory, func(persisttest.Call) persisttest.Fault {
			return persisttest.Fault{Err: boom, Done: done}
		})
		_, err := appendOne(f, 0)
		require.ErrorIs(t, err, boom)
		_, err = f.Load(ctx, notes)
		require.ErrorIs(t, err, boom)
		_, err = f.LoadAfter(ctx, notes, 0)
		require.ErrorIs(t, err, boom)
		require.ErrorIs(t, f.Compact(ctx, notes, 0, 1, []byte("s")), boom)
		_, _, err = f.List(ctx, "main", "", "", 0)
		require.ErrorIs(t, err, boom)

		d, err := memory.Load(ctx, notes)
		require.NoError(t, err)
		require.Equal(t, done, d.Exists, "the append took effect")
		require.Equal(t, done, d.Snapshot.Seq == 1, "the compaction took effect")
	}
	f := persisttest.NewFaulty(memory, persisttest.OnCall(persisttest.OpDelete, 2, persisttest.Fault{Err: boom, Done: true}))
	require.ErrorIs(t, f.Delete(ctx, persist.Key{Party: "main", Room: "other"}, nil), persist.ErrNotFound)
	require.ErrorIs(t, f.Delete(ctx, notes, nil), boom)
	require.NoError(t, f.Delete(ctx, notes, nil))
	require.Equal(t, 3, f.Calls(persisttest.OpDelete))
	_, err := memory.Load(ctx, notes)
	require.ErrorIs(t, err, persist.ErrDeleted)
}

func TestFaultyResults(t *testing.T) {
	f := persisttest.NewFaulty(persisttest.NewMemory(), func(c persisttest.Call) persisttest.Fault {
		require.Equal(t, persisttest.Call{Op: persisttest.OpAppend, N: 1, Key: notes}, c)
		return persisttest.Fault{Results: func(r []persist.Result) { r[0] = persist.Result{Err: persist.ErrEpoch} }}
	})
	r, err := appendOne(f, 0)
	require.NoError(t, err)
	require.ErrorIs(t, r[0].Err, persist.ErrEpoch)
}

func TestFaultyDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := persisttest.NewFaulty(persisttest.NewMemory(), func(persisttest.Call) persisttest.Fault {
			return persisttest.Fault{Delay: time.Hour}
		})
		begun := time.Now()
		_, err := appendOne(f, 0)
		require.NoError(t, err)
		require.Equal(t, time.Hour, time.Since(begun))

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = f.Load(ctx, notes)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestFaultyHangsUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		f := persisttest.NewFaulty(persisttest.NewMemory(), persisttest.OnCall(persisttest.OpAppend, 1, persisttest.Fault{Until: gate}))
		answered := make(chan error, 1)
		go func() {
			_, err := appendOne(f, 0)
			answered <- err
		}()
		synctest.Wait()
		require.Empty(t, answered)
		close(gate)
		require.NoError(t, <-answered)
	})
}

func TestAtRandomRepeats(t *testing.T) {
	draw := func(seed uint64) (faults, done int) {
		plan := persisttest.AtRandom(seed, 4)
		for range 1000 {
			if f := plan(persisttest.Call{}); f.Err != nil {
				faults++
				if f.Done {
					done++
				}
			}
		}
		return faults, done
	}
	faults, done := draw(1)
	again, _ := draw(1)
	require.Equal(t, faults, again)
	require.InDelta(t, 250, faults, 80)
	require.InDelta(t, faults/2, done, 50)
}

func TestFaultyRoomsPassTheSuiteUndisturbed(t *testing.T) {
	disks := make(map[string]*persisttest.Memory)
	persisttest.RunRooms(t, func(_ testing.TB, name string) persisttest.Store {
		if m := disks[name]; m != nil {
			return persisttest.NewFaulty(m.Reopen(), nil)
		}
		disks[name] = persisttest.NewMemory()
		return persisttest.NewFaulty(disks[name], nil)
	})
}

func TestFaultyRooms(t *testing.T) {
	ctx := t.Context()
	boom := errors.New("boom")
	at := time.UnixMilli(5)
	change := []persist.RoomChange{{
		Key: notes, Puts: []persist.RoomPut{{Space: persist.SpaceState, RoomItem: persist.RoomItem{Key: "a"}}}, Alarm: &at,
	}}
	for _, done := range []bool{false, true} {
		memory := persisttest.NewMemory()
		f := persisttest.NewFaulty(memory, func(c persisttest.Call) persisttest.Fault {
			if c.Op != persisttest.OpAlarms && c.Op != persisttest.OpDeliveries {
				require.Equal(t, notes, c.Key)
			}
			return persisttest.Fault{Err: boom, Done: done}
		})
		require.ErrorIs(t, f.ChangeRooms(ctx, change), boom)
		values, err := f.GetRoom(ctx, notes, persist.SpaceState, []string{"a"})
		require.ErrorIs(t, err, boom)
		require.Nil(t, values)
		page, _, err := f.ListRoom(ctx, notes, persist.RoomRange{Space: persist.SpaceState}, false, 0)
		require.ErrorIs(t, err, boom)
		require.Nil(t, page)
		n, err := f.RoomSize(ctx, notes, persist.SpaceState)
		require.ErrorIs(t, err, boom)
		require.Zero(t, n)
		alarm, err := f.Alarm(ctx, notes)
		require.ErrorIs(t, err, boom)
		require.Zero(t, alarm)
		alarms, err := f.Alarms(ctx, time.Time{}, 0)
		require.ErrorIs(t, err, boom)
		require.Nil(t, alarms)
		alarm, err = f.Delivery(ctx, notes)
		require.ErrorIs(t, err, boom)
		require.Zero(t, alarm)
		alarms, err = f.Deliveries(ctx, time.Time{}, 0)
		require.ErrorIs(t, err, boom)
		require.Nil(t, alarms)
		for _, op := range []persisttest.Op{
			persisttest.OpChangeRooms, persisttest.OpGetRoom, persisttest.OpListRoom, persisttest.OpRoomSize, persisttest.OpAlarm, persisttest.OpAlarms,
			persisttest.OpDelivery, persisttest.OpDeliveries,
		} {
			require.Equal(t, 1, f.Calls(op), op)
		}
		alarms, err = memory.Alarms(ctx, time.Time{}, 0)
		require.NoError(t, err)
		require.Equal(t, done, len(alarms) == 1, "the change took effect")
	}
}

// TestFaultyLives fails each of the methods for lives and versions, before its
// effect and behind it.
func TestFaultyLives(t *testing.T) {
	ctx := t.Context()
	version := persist.Version{ID: "v", Created: time.UnixMilli(1)}
	calls := []struct {
		op   persisttest.Op
		call func(persisttest.Store) error
	}{
		{persisttest.OpReplace, func(s persisttest.Store) error {
			epoch, err := s.Replace(ctx, notes, 0, nil, []byte("x"))
			if err != nil {
				require.Zero(t, epoch)
			}
			return err
		}},
		{persisttest.OpPutVersion, func(s persisttest.Store) error { return s.PutVersion(ctx, notes, version, []byte("x")) }},
		{persisttest.OpVersions, func(s persisttest.Store) error {
			page, _, err := s.Versions(ctx, notes, "", 0)
			require.Equal(t, err == nil, page != nil)
			return err
		}},
		{persisttest.OpVersion, func(s persisttest.Store) error {
			_, state, err := s.Version(ctx, notes, "v")
			require.Equal(t, err == nil, state != nil)
			return err
		}},
		{persisttest.OpDeleteVersion, func(s persisttest.Store) error { return s.DeleteVersion(ctx, notes, "v") }},
		{persisttest.OpDelete, func(s persisttest.Store) error { return s.Delete(ctx, notes, nil) }},
		{persisttest.OpUndelete, func(s persisttest.Store) error { return s.Undelete(ctx, notes) }},
		{persisttest.OpPurge, func(s persisttest.Store) error { return s.Purge(ctx, notes) }},
		{persisttest.OpSweep, func(s persisttest.Store) error {
			_, err := s.Sweep(ctx, persist.SweepOptions{})
			return err
		}},
	}
	memory := persisttest.NewMemory()
	for _, c := range calls {
		f := persisttest.NewFaulty(memory, persisttest.OnCall(c.op, 1, persisttest.Fault{Err: persisttest.ErrInjected}))
		require.ErrorIs(t, c.call(f), persisttest.ErrInjected, c.op)
		require.NoError(t, c.call(f), "%s: nothing was done before", c.op)
		require.Equal(t, 2, f.Calls(c.op))
	}
	f := persisttest.NewFaulty(memory, persisttest.OnCall(persisttest.OpReplace, 1, persisttest.Fault{Err: persisttest.ErrInjected, Done: true}))
	_, err := f.Replace(ctx, notes, 0, nil, []byte("x"))
	require.ErrorIs(t, err, persisttest.ErrInjected)
	_, err = f.Replace(ctx, notes, 0, nil, []byte("x"))
	require.ErrorIs(t, err, persist.ErrEpoch, "it was done")
}

// documentsOnly is a store that keeps no data of rooms.
type documentsOnly struct{ persisttest.Store }

func TestFaultyRoomsOfAStoreWithout(t *testing.T) {
	f := persisttest.NewFaulty(documentsOnly{persisttest.NewMemory()}, nil)
	require.ErrorContains(t, f.ChangeRooms(t.Context(), nil), "keeps no data of rooms")
}
