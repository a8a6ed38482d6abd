package pebble_test

import (
	"context"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/pebble"
)

const (
	storage = persist.SpaceStorage
	state   = persist.SpaceState
	history = persist.SpaceHistory
)

func puts(space persist.Space, pairs ...string) (all []persist.RoomPut) {
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, persist.RoomPut{Space: space, RoomItem: persist.RoomItem{Key: pairs[i], Value: []byte(pairs[i+1])}})
	}
	return all
}

func alarmAt(ms int64) *time.Time {
	t := time.UnixMilli(ms)
	return &t
}

func mustChange(tb testing.TB, s *pebble.Store, changes ...persist.RoomChange) {
	tb.Helper()
	require.NoError(tb, s.ChangeRooms(tb.Context(), changes))
}

func mustGet(tb testing.TB, s *pebble.Store, k persist.Key, space persist.Space, name string) string {
	tb.Helper()
	values, err := s.GetRoom(tb.Context(), k, space, []string{name})
	require.NoError(tb, err)
	return string(values[0])
}

// TestRoomsAreDurableBeforeTheyAreRead holds an fsync up: its change is visible
// to nobody until the fsync has come back, rooms beside it are not held up, and
// the caller can leave without taking its bytes along.
func TestRoomsAreDurableBeforeTheyAreRead(t *testing.T) {
	disk := newBadDisk()
	s := mustOpen(t, "db", pebble.Options{FS: disk})
	mustChange(t, s, persist.RoomChange{Key: sound, Puts: puts(state, "s", "1")})
	mustChange(t, s, persist.RoomChange{Key: notes, Puts: puts(state, "s", "1", "t", "1")})
	release := disk.hold()

	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error)
	p := puts(state, "s", "as it was")
	drop := persist.RoomChange{Key: notes, Ranges: []persist.RoomRange{{Space: state, From: "t"}}, Puts: p, Alarm: alarmAt(5)}
	go func() { left <- s.ChangeRooms(ctx, []persist.RoomChange{drop}) }()
	disk.held()
	for _, read := range []func(context.Context) error{
		func(ctx context.Context) error { _, err := s.GetRoom(ctx, notes, state, []string{"s"}); return err },
		func(ctx context.Context) error {
			_, _, err := s.ListRoom(ctx, notes, persist.RoomRange{Space: history}, false, 0)
			return err
		},
		func(ctx context.Context) error { _, err := s.RoomSize(ctx, notes, state); return err },
		func(ctx context.Context) error { _, err := s.Alarm(ctx, notes); return err },
		func(ctx context.Context) error { _, err := s.Alarms(ctx, time.Time{}, 0); return err },
	} {
		soon, cancelSoon := context.WithTimeout(t.Context(), 20*time.Millisecond)
		require.ErrorIs(t, read(soon), context.DeadlineExceeded)
		cancelSoon()
	}
	require.Equal(t, "1", mustGet(t, s, sound, state, "s"))
	cancel()
	require.ErrorIs(t, <-left, context.Canceled)
	copy(p[0].Value, "#########")

	// Repeating what the store finds done already must wait for the first.
	again := make(chan error)
	go func() {
		again <- s.ChangeRooms(t.Context(), []persist.RoomChange{{Key: notes, Ranges: drop.Ranges, Alarm: drop.Alarm}})
	}()
	select {
	case err := <-again:
		t.Fatalf("acknowledged before it was durable: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	answer := make(chan string)
	go func() { answer <- mustGet(t, s, notes, state, "s") }()
	release()
	require.NoError(t, <-again)
	require.Equal(t, "as it was", <-answer)
	alarms, err := s.Alarms(t.Context(), time.Time{}, 0)
	require.NoError(t, err)
	require.Len(t, alarms, 1)
	require.NoError(t, s.Close())
}

// TestRoomsShareFsyncs: changes and appends of many callers share fsyncs, and
// one call is one commit however many rooms it names.
func TestRoomsShareFsyncs(t *testing.T) {
	disk := newBadDisk()
	s := mustOpen(t, "db", pebble.Options{FS: disk})
	var hundred []persist.RoomChange
	for i := range 100 {
		hundred = append(hundred, persist.RoomChange{Key: persist.Key{Party: "main", Room: fmt.Sprint("r", i)}, Puts: puts(state, "s", "1"), Alarm: alarmAt(int64(i))})
	}
	before := s.Stats().Commits
	syncs := disk.syncs()
	mustChange(t, s, hundred...)
	require.Equal(t, before+1, s.Stats().Commits)
	require.LessOrEqual(t, disk.syncs()-syncs, 2)

	release := disk.hold()
	syncs = disk.syncs()
	applied := s.Applied()
	const callers = 40
	outcome := make(chan error)
	for i := range callers {
		k := persist.Key{Party: "main", Room: fmt.Sprint(i)}
		go func() {
			if i%2 == 0 {
				outcome <- tryAppend(t.Context(), s, k, 0, "x")
				return
			}
			outcome <- s.ChangeRooms(t.Context(), []persist.RoomChange{{Key: k, Puts: puts(state, "s", "1")}})
		}()
	}
	disk.held()
	require.Eventually(t, func() bool { return s.Applied() == applied+callers }, 10*time.Second, time.Millisecond)
	release()
	for range callers {
		require.NoError(t, <-outcome)
	}
	require.LessOrEqual(t, disk.syncs()-syncs, 3)
	require.NoError(t, s.Close())
}

// TestRangesLeaveFewMarks: dropping what is there by ones leaves no deletion of a
// range behind, and dropping much leaves one.
func TestRangesLeaveFewMarks(t *testing.T) {
	s := openMem(t, pebble.Options{})
	name := func(i int) string { return fmt.Sprintf("%06d", i) }
	for i := range 300 {
		c := persist.RoomChange{
			Key: notes, Ranges: []persist.RoomRange{{Space: history, To: name(i - 5)}, {Space: state}}, Puts: puts(history, name(i), "x"),
		}
		n, err := s.RangeDeletions(t.Context(), c)
		require.NoError(t, err)
		require.Zero(t, n)
		mustChange(t, s, c)
	}
	var all []persist.RoomPut
	for i := range 10 * pebble.MaxPointDeletes {
		all = append(all, puts(storage, name(i), "x")...)
	}
	mustChange(t, s, persist.RoomChange{Key: notes, Puts: all})
	drop := persist.RoomChange{Key: notes, Ranges: []persist.RoomRange{{Space: storage}}}
	for _, want := range []int{1, 0} {
		n, err := s.RangeDeletions(t.Context(), drop)
		require.NoError(t, err)
		require.Equal(t, want, n)
		mustChange(t, s, drop)
		size, err := s.RoomSize(t.Context(), notes, storage)
		require.NoError(t, err)
		require.Zero(t, size)
	}
}

// TestRoomsAreBounded checks that memory does not follow the number of rooms, and
// that the alarm of a room that is not remembered is still moved.
func TestRoomsAreBounded(t *testing.T) {
	s := openMem(t, pebble.Options{Heads: 10})
	for round := range int64(3) {
		for i := range 100 {
			mustChange(t, s, persist.RoomChange{Key: persist.Key{Party: "main", Room: fmt.Sprint(i)}, Puts: puts(state, "s", "1"), Alarm: alarmAt(round)})
		}
		require.LessOrEqual(t, s.Rooms(), 10)
		requireIndexed(t, s, 100)
	}
	require.Zero(t, s.Heads(), "no document was touched")
}

// requireIndexed checks that the index has the alarms that there are.
func requireIndexed(tb testing.TB, s *pebble.Store, want int) {
	tb.Helper()
	alarms, err := s.CountKind('a')
	require.NoError(tb, err)
	index, err := s.CountKind('t')
	require.NoError(tb, err)
	require.Equal(tb, []int{want, want}, []int{alarms, index})
}

func TestChangeRoomsTooLarge(t *testing.T) {
	s := openMem(t, pebble.Options{})
	large := make([]byte, persist.MaxRoomValueBytes)
	c := persist.RoomChange{Key: notes}
	for i := range 33 {
		c.Puts = append(c.Puts, persist.RoomPut{Space: state, RoomItem: persist.RoomItem{Key: fmt.Sprint(i), Value: large}})
	}
	require.ErrorIs(t, s.ChangeRooms(t.Context(), []persist.RoomChange{c}), persist.ErrInvalid)
	n, err := s.RoomSize(t.Context(), notes, state)
	require.NoError(t, err)
	require.Zero(t, n)
}

// TestLargestRoomValue: a value at the limit is many times a memtable.
func TestLargestRoomValue(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, "db", pebble.Options{FS: fs}.Small())
	large := make([]byte, persist.MaxRoomValueBytes)
	large[0], large[len(large)-1] = 1, 2
	mustChange(t, s, persist.RoomChange{Key: notes, Puts: []persist.RoomPut{{Space: state, RoomItem: persist.RoomItem{Key: "s", Value: large}}}})
	require.NoError(t, s.Close())
	s = mustOpen(t, "db", pebble.Options{FS: fs}.Small())
	require.True(t, string(large) == mustGet(t, s, notes, state, "s"), "a large value changed")
	require.NoError(t, s.Close())
}

// TestBackupHasRooms, TestStatsCountRooms and TestRecordsHaveRooms: what goes
// through everything that is stored goes through rooms.
func TestBackupHasRooms(t *testing.T) {
	base := t.TempDir()
	s := mustOpen(t, filepath.Join(base, "store"), pebble.Options{})
	mustChange(t, s, persist.RoomChange{Key: notes, Puts: puts(state, "s", "1"), Alarm: alarmAt(5)})
	require.NoError(t, s.Backup(filepath.Join(base, "copy")))
	mustChange(t, s, persist.RoomChange{Key: notes, Puts: puts(state, "s", "2"), Alarm: alarmAt(6)})
	b := mustOpen(t, filepath.Join(base, "copy"), pebble.Options{})
	require.Equal(t, "1", mustGet(t, b, notes, state, "s"))
	alarms, err := b.Alarms(t.Context(), time.Time{}, 0)
	require.NoError(t, err)
	require.Equal(t, []persist.RoomAlarm{{Key: notes, At: time.UnixMilli(5).UTC()}}, alarms)
	require.NoError(t, b.Close())
	require.NoError(t, s.Close())
}

func TestStatsCountRooms(t *testing.T) {
	s := openMem(t, pebble.Options{})
	mustChange(t, s, persist.RoomChange{Key: notes, Puts: puts(state, "s", "1")}, persist.RoomChange{Key: sound, Puts: puts(state, "s", "1")})
	require.NoError(t, s.QuarantineRoom(t.Context(), notes, "why"))
	st := s.Stats()
	require.Equal(t, uint64(2), st.RoomChanges)
	require.Equal(t, 1, st.QuarantinedRooms)
	require.Zero(t, st.Quarantined)
	require.Equal(t, uint64(2), st.Commits)
	require.NoError(t, s.ReleaseRoom(t.Context(), notes))
	require.Zero(t, s.Stats().QuarantinedRooms)
}

func TestRecordsHaveRooms(t *testing.T) {
	s := openMem(t, pebble.Options{})
	for _, k := range []persist.Key{notes, sound, {Party: "main", Room: "notes2"}, {Party: "main", Room: "note"}} {
		mustAppend(t, s, k, 0, "1")
		mustChange(t, s, persist.RoomChange{Key: k, Puts: append(puts(state, "s", "1"), puts(history, "\xff", "2")...), Alarm: alarmAt(5)})
		require.NoError(t, s.QuarantineRoom(t.Context(), k, "why"))
	}
	all := records(t, s, notes)
	var kinds string
	for _, r := range all {
		kinds += string(r.Key[0])
	}
	require.Equal(t, "hdlxvvat", kinds)
	require.Equal(t, pebble.ValueKey(notes, state, "s"), all[4].Key)
	require.Equal(t, pebble.ValueKey(notes, history, "\xff"), all[5].Key)
}

// TestStoreWithoutRoomsOpens: what was written before there were rooms is a
// store without them, and one with rooms has the same format version.
func TestStoreWithoutRoomsOpens(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, "db", pebble.Options{FS: fs})
	mustAppend(t, s, notes, 0, "a")
	key, _ := pebble.FormatRecord(1)
	before, closer, err := s.DB().Get(key)
	require.NoError(t, err)
	format := string(before)
	require.NoError(t, closer.Close())
	for range 2 {
		require.NoError(t, s.Close())
		s = mustOpen(t, "db", pebble.Options{FS: fs})
		mustChange(t, s, persist.RoomChange{Key: notes, Puts: puts(state, "s", "1")})
		require.Equal(t, uint64(1), mustLoad(t, s, notes).Seq)
		now, closer, err := s.DB().Get(key)
		require.NoError(t, err)
		require.Equal(t, format, string(now))
		require.NoError(t, closer.Close())
	}
	require.NoError(t, s.Close())
}

// TestChangesBehindQueuedOnes: what is queued, and not to be seen yet, is dropped
// and moved by the change behind it.
func TestChangesBehindQueuedOnes(t *testing.T) {
	s := openMem(t, pebble.Options{})
	release := s.HoldCommits()
	require.Eventually(t, func() bool { return s.Queued() == 0 }, 10*time.Second, time.Millisecond)
	outcome := make(chan error)
	change := func(c persist.RoomChange) {
		c.Key = notes
		go func() { outcome <- s.ChangeRooms(context.Background(), []persist.RoomChange{c}) }()
	}
	change(persist.RoomChange{Puts: puts(history, "a", "1", "b", "2"), Alarm: alarmAt(5)})
	require.Eventually(t, func() bool { return s.Queued() == 1 }, 10*time.Second, time.Millisecond)
	change(persist.RoomChange{Alarm: alarmAt(9)})
	require.Eventually(t, func() bool { return s.Queued() == 2 }, 10*time.Second, time.Millisecond)
	change(persist.RoomChange{Ranges: []persist.RoomRange{{Space: history, To: "b"}}, Puts: puts(state, "s", "3")})
	require.Eventually(t, func() bool { return s.Stats().InFlight == 4 }, 10*time.Second, time.Millisecond)
	release()
	for range 3 {
		require.NoError(t, <-outcome)
	}
	require.Empty(t, mustGet(t, s, notes, history, "a"))
	require.Equal(t, "2", mustGet(t, s, notes, history, "b"))
	alarms, err := s.Alarms(t.Context(), time.Time{}, 0)
	require.NoError(t, err)
	require.Equal(t, []persist.RoomAlarm{{Key: notes, At: time.UnixMilli(9).UTC()}}, alarms)
	requireIndexed(t, s, 1)
}

// TestRoomsOnABadDisk: while the disk refuses to write, changes fail and reading
// goes on; then repeating what failed is right.
func TestRoomsOnABadDisk(t *testing.T) {
	disk := newBadDisk()
	s := mustOpen(t, "db", quick(disk))
	version := 0
	for round := range 4 {
		for range 20 {
			version++
			mustChange(t, s, roomChanges(0, version)...)
		}
		disk.fail(syscall.ENOSPC, onFiles(".log", "", opWrite, opSync))
		version++
		for range 3 {
			err := s.ChangeRooms(t.Context(), roomChanges(0, version))
			require.ErrorIs(t, err, persist.ErrUnavailable)
			require.ErrorIs(t, err, syscall.ENOSPC)
		}
		_, err := s.GetRoom(t.Context(), roomKey(1, 0), state, []string{"version"})
		require.NoError(t, err)
		crashed := disk.CrashClone(vfs.CrashCloneCfg{})
		disk.fail(nil, nil)
		require.Eventually(t, func() bool {
			return s.ChangeRooms(t.Context(), roomChanges(0, version)) == nil
		}, 20*time.Second, time.Millisecond)
		for _, fs := range []*crashMem{crashed, disk.CrashClone(vfs.CrashCloneCfg{})} {
			left := mustOpen(t, "db", pebble.Options{FS: fs}.Small())
			v, err := checkRooms(t.Context(), left, 0, version-1)
			require.NoError(t, err, "round %d", round)
			require.LessOrEqual(t, v, version)
			require.NoError(t, left.Close())
		}
	}
	got, err := checkRooms(t.Context(), s, 0, version)
	require.NoError(t, err)
	require.Equal(t, version, got)
	require.NoError(t, s.Close())
}
