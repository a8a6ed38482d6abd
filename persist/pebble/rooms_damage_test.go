package pebble_test

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/pebble"
)

// A roomReader is a way by which damage is met.
type roomReader func(context.Context, *pebble.Store) error

func byGet(ctx context.Context, s *pebble.Store) error {
	_, err := s.GetRoom(ctx, damaged, history, []string{"0", "b"})
	return err
}

func byList(ctx context.Context, s *pebble.Store) error {
	_, _, err := s.ListRoom(ctx, damaged, persist.RoomRange{Space: history}, true, 0)
	return err
}

func bySize(ctx context.Context, s *pebble.Store) error {
	_, err := s.RoomSize(ctx, damaged, history)
	return err
}

func byAlarm(ctx context.Context, s *pebble.Store) error {
	_, err := s.Alarm(ctx, damaged)
	return err
}

func byChange(ctx context.Context, s *pebble.Store) error {
	return s.ChangeRooms(ctx, []persist.RoomChange{
		{Key: sound, Puts: puts(history, "b", "must not be written"), Alarm: alarmAt(1)},
		{Key: damaged, Alarm: alarmAt(9)},
	})
}

// byAlarms has no error of its own: it finds the room out of service.
func byAlarms(ctx context.Context, s *pebble.Store) error {
	alarms, err := s.Alarms(ctx, time.Time{}, 0)
	if err != nil {
		return err
	}
	if len(alarms) != 1 || alarms[0].Key != sound {
		return nil
	}
	return byAlarm(ctx, s)
}

// TestRoomDamage breaks what is stored of a room in every way, and lets it be
// found in every way: the room is taken out of service, kept as it is, and
// nothing else suffers.
func TestRoomDamage(t *testing.T) {
	value := pebble.ValueKey(damaged, history, "b")
	alarm, index := pebble.AlarmKey(damaged), pebble.AlarmTimeKey(7, damaged)
	for _, c := range []struct {
		name, message string
		key           []byte
		damage        func(value []byte) []byte
		found         []roomReader
	}{
		{"flipped bit in a value", `history "b": checksum`, value, func(v []byte) []byte { return flip(v, 2) }, []roomReader{byGet, byList}},
		{"flipped bit in a checksum", `history "b": checksum`, value, func(v []byte) []byte { return flip(v, len(v)-1) }, []roomReader{byGet, byList}},
		{"value cut short", `history "b": checksum`, value, func(v []byte) []byte { return v[:len(v)-1] }, []roomReader{byGet, byList}},
		{"value emptied", `history "b": truncated`, value, func([]byte) []byte { return nil }, []roomReader{byGet, byList, bySize}},
		{"value of another key", `history "b": checksum`, value, func([]byte) []byte {
			return pebble.Row(pebble.ValueKey(damaged, history, "a"), []byte("1"))
		}, []roomReader{byGet, byList}},
		{"value of another room", `history "b": checksum`, value, func([]byte) []byte {
			return pebble.Row(pebble.ValueKey(sound, history, "b"), []byte("1"))
		}, []roomReader{byGet, byList}},
		{"value of unknown format", `history "b": unknown`, value, func([]byte) []byte { return pebble.Sealed(value, []byte("\x63data")) }, []roomReader{byGet, byList}},
		{"flipped bit in an alarm", "alarm: checksum", alarm, func(v []byte) []byte { return flip(v, 8) }, []roomReader{byAlarm, byChange}},
		{"alarm of another length", "alarm: truncated", alarm, func([]byte) []byte { return pebble.Row(alarm, []byte("short")) }, []roomReader{byAlarm, byChange}},
		{"flipped bit in the index", "alarm: checksum", index, func(v []byte) []byte { return flip(v, 2) }, []roomReader{byAlarms}},
	} {
		for i, found := range c.found {
			t.Run(fmt.Sprint(c.name, " ", i), func(t *testing.T) {
				fs := vfs.NewMem()
				s := mustOpen(t, "db", pebble.Options{FS: fs})
				for _, k := range []persist.Key{sound, damaged} {
					mustAppend(t, s, k, 0, "document")
					mustChange(t, s, persist.RoomChange{Key: k, Puts: append(puts(history, "a", "1", "b", "2", "c", "3"), puts(state, "s", "4")...), Alarm: alarmAt(7)})
				}
				v, closer, err := s.DB().Get(c.key)
				require.NoError(t, err)
				require.NoError(t, s.DB().Set(c.key, c.damage(bytes.Clone(v)), nil))
				require.NoError(t, closer.Close())

				// As after a restart: nothing is remembered.
				require.NoError(t, s.Close())
				s = mustOpen(t, "db", pebble.Options{FS: fs})
				before := records(t, s, damaged)
				requireCorrupt(t, found(t.Context(), s), 0, c.message)
				requireRoomOutOfService(t, s, before)
				require.NoError(t, s.Close())
				s = mustOpen(t, "db", pebble.Options{FS: fs})
				requireRoomOutOfService(t, s, before)
				require.NoError(t, s.Close())
			})
		}
	}
}

// requireRoomOutOfService checks that the room is served to nobody, that its
// records stay what they were, and that its document and other rooms work.
func requireRoomOutOfService(tb testing.TB, s *pebble.Store, before []pebble.Record) {
	tb.Helper()
	ctx := tb.Context()
	for _, read := range []roomReader{byGet, byList, bySize, byAlarm, byChange} {
		require.ErrorIs(tb, read(ctx, s), persist.ErrCorrupt)
	}
	for _, c := range []persist.RoomChange{
		{Key: damaged},
		{Key: damaged, Puts: puts(history, "b", "over it")},
		{Key: damaged, Deletes: []persist.RoomDelete{{Space: history, Key: "b"}}},
		{Key: damaged, Ranges: []persist.RoomRange{{Space: history}}},
	} {
		require.ErrorIs(tb, s.ChangeRooms(ctx, []persist.RoomChange{c}), persist.ErrCorrupt)
	}
	require.Equal(tb, 1, s.Stats().QuarantinedRooms)
	require.Zero(tb, s.Stats().Quarantined)
	after := records(tb, s, damaged)
	for _, kind := range "hdlav" {
		require.Equal(tb, ofKind(before, byte(kind)), ofKind(after, byte(kind)))
	}
	index, err := s.CountKind('t')
	require.NoError(tb, err)
	require.Equal(tb, 2, index)

	require.Equal(tb, uint64(1), mustLoad(tb, s, damaged).Seq)
	alarms, err := s.Alarms(ctx, time.Time{}, 0)
	require.NoError(tb, err)
	require.Equal(tb, []persist.RoomAlarm{{Key: sound, At: time.UnixMilli(7).UTC()}}, alarms)
	require.Equal(tb, "2", mustGet(tb, s, sound, history, "b"))
	mustChange(tb, s, persist.RoomChange{Key: sound, Puts: puts(state, "s", "goes on")})
}

// TestDamagedRoomCanBeReleased: after a release the damage is found again, or
// mended first by putting the value that the error names.
func TestDamagedRoomCanBeReleased(t *testing.T) {
	s := openMem(t, pebble.Options{})
	mustChange(t, s, persist.RoomChange{Key: damaged, Puts: puts(history, "a", "1", "b", "2")})
	key := pebble.ValueKey(damaged, history, "b")
	require.NoError(t, s.DB().Set(key, []byte("nonsense"), nil))
	require.Equal(t, "1", mustGet(t, s, damaged, history, "a"), "nobody has noticed yet")
	for range 2 {
		requireCorrupt(t, byList(t.Context(), s), 0, `history "b": checksum`)
		require.NoError(t, s.ReleaseRoom(t.Context(), damaged))
	}
	mustChange(t, s, persist.RoomChange{Key: damaged, Puts: puts(history, "b", "mended")})
	require.Equal(t, "mended", mustGet(t, s, damaged, history, "b"))
}

// TestDamagedBlockOfAlarms damages a table file where the index of the alarms
// is: all of them are found without it.
func TestDamagedBlockOfAlarms(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, "db", pebble.Options{FS: fs})
	const rooms = 3000
	var changes []persist.RoomChange
	for i := range rooms {
		changes = append(changes, persist.RoomChange{Key: persist.Key{Party: "main", Room: fmt.Sprint(i)}, Alarm: alarmAt(int64(rooms - i))})
	}
	mustChange(t, s, changes...)
	require.NoError(t, s.DB().Flush())
	want, err := s.Alarms(t.Context(), time.Time{}, 2*rooms)
	require.NoError(t, err)
	require.Len(t, want, rooms)
	require.NoError(t, s.Close())

	files, err := fs.List("db")
	require.NoError(t, err)
	for _, name := range files {
		if filepath.Ext(name) == ".sst" {
			data, err := fs.UnsafeGetFileDataBuffer("db/" + name)
			require.NoError(t, err)
			data[len(data)*6/10] ^= 1
		}
	}
	s = mustOpen(t, "db", pebble.Options{FS: fs})
	_, err = s.CountKind('t')
	require.Error(t, err, "the damage is somewhere else")
	for _, c := range []struct{ before, limit, n int }{{0, 2 * rooms, rooms}, {0, rooms / 3, rooms / 3}, {0, 5, 5}, {1000, 2 * rooms, 999}, {1000, 600, 600}, {1, 5, 0}} {
		before := time.Time{}
		if c.before != 0 {
			before = time.UnixMilli(int64(c.before))
		}
		got, err := s.Alarms(t.Context(), before, c.limit)
		require.NoError(t, err)
		require.Equal(t, want[:c.n], append([]persist.RoomAlarm{}, got...))
	}
	require.Zero(t, s.Stats().QuarantinedRooms)
	require.NoError(t, s.Close())
}
