package pebble_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/pebble"
)

var gone = persist.Key{Party: "main", Room: "gone"}

// TestOldFolderOpens opens a directory that a program of format 1 wrote: every
// document is what it was, and what is new works with it.
func TestOldFolderOpens(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/format1")))
	for range 2 {
		s := mustOpen(t, dir, pebble.Options{})
		d := mustLoad(t, s, notes)
		require.Equal(t, strings.Repeat("ab", 500), string(d.Snapshot.Data))
		require.Equal(t, uint64(2), d.Snapshot.Seq)
		require.Equal(t, "c", string(d.Tail[0].Data))
		require.Zero(t, d.First)
		require.Nil(t, d.Dead)
		_, err := s.Load(t.Context(), sound)
		require.ErrorIs(t, err, persist.ErrCorrupt)
		_, err = s.Load(t.Context(), gone)
		require.ErrorIs(t, err, persist.ErrDeleted)
		at, err := s.Alarm(t.Context(), notes)
		require.NoError(t, err)
		require.Equal(t, int64(5), at.UnixMilli())
		require.NoError(t, s.Close())
	}
	s := mustOpen(t, dir, pebble.Options{})
	defer func() { require.NoError(t, s.Close()) }()
	require.NoError(t, s.Release(t.Context(), sound))
	require.Equal(t, uint64(2), mustLoad(t, s, sound).Seq)
	stats, err := s.Sweep(t.Context(), persist.SweepOptions{TombstonesBefore: time.Now().Add(time.Hour)})
	require.NoError(t, err)
	require.Equal(t, 1, stats.Purged, "its tombstone is in the index")
	require.False(t, mustLoad(t, s, gone).Exists)
	require.NoError(t, s.Delete(t.Context(), notes, []uint64{7}))
	require.NoError(t, s.Undelete(t.Context(), notes))
	_, err = s.Replace(t.Context(), notes, 1, []uint64{8}, []byte("new"))
	require.NoError(t, err)
	require.Equal(t, []uint64{7, 8}, mustLoad(t, s, notes).Dead)
	require.NoError(t, s.Purge(t.Context(), notes))
}

// TestUpgradeInterrupted cuts the power during an upgrade: the next one does it.
func TestUpgradeInterrupted(t *testing.T) {
	fs := newCrashMem()
	s := mustOpen(t, "db", pebble.Options{FS: fs})
	for _, k := range []persist.Key{notes, sound, gone} {
		mustAppend(t, s, k, 0, "x")
	}
	require.NoError(t, s.Delete(t.Context(), gone, nil))
	require.NoError(t, s.Delete(t.Context(), sound, nil))
	require.NoError(t, s.Downgrade())
	require.NoError(t, s.Close())
	cuts := cutAtEveryWrite(t, fs, pebble.Options{}, func(o pebble.Options) {
		require.NoError(t, mustOpen(t, "db", o).Close())
	})
	require.NotEmpty(t, cuts)
	for _, cut := range cuts {
		s := mustOpen(t, "db", pebble.Options{FS: cut})
		n, err := s.CountKind('z')
		require.NoError(t, err)
		require.Equal(t, 2, n)
		require.Equal(t, uint64(1), mustLoad(t, s, notes).Seq)
		require.NoError(t, s.Undelete(t.Context(), gone))
		require.NoError(t, s.Close())
	}
}
