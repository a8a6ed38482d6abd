package pebble_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/pebble"
)

// folders returns the folders in a store's.
func folders(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// TestCheckpoint: a checkpoint has what was acknowledged before, whoever writes meanwhile and however often the engine
// has rewritten everything since; and it goes when it is told to.
func TestCheckpoint(t *testing.T) {
	base := t.TempDir()
	s := mustOpen(t, filepath.Join(base, "db"), pebble.Options{}.Small())
	var seq persist.Seq
	write := func() {
		mustAppend(t, s, notes, seq, fmt.Sprintf("%d:%4096d", seq, seq))
		seq++
	}
	for range 20 {
		write()
	}
	for range 3 {
		before := seq
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() { // what another document is told meanwhile
			defer close(stopped)
			for n := persist.Seq(0); ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if tryAppend(t.Context(), s, persist.Key{Party: "p", Room: fmt.Sprint(before)}, n, fmt.Sprintf("%1024d", n)) != nil {
					t.Error("an append failed during a checkpoint")
					return
				}
			}
		}()
		dir, remove, err := s.Checkpoint()
		close(stop)
		<-stopped
		require.NoError(t, err)
		for range 40 {
			write()
		}
		copied := filepath.Join(base, fmt.Sprintf("copy%d", before))
		require.NoError(t, os.CopyFS(copied, os.DirFS(dir)))
		require.NoError(t, remove())
		require.Empty(t, folders(t, s.Dir()))

		c := mustOpen(t, copied, pebble.Options{})
		doc, err := c.Load(t.Context(), notes)
		require.NoError(t, err)
		require.Equal(t, before, doc.Seq)
		require.NoError(t, c.Close())
	}
	require.NoError(t, s.Close())
	_, _, err := s.Checkpoint()
	require.ErrorIs(t, err, persist.ErrClosed)
}

// TestCheckpointsAtOnce: each is whole.
func TestCheckpointsAtOnce(t *testing.T) {
	s := mustOpen(t, filepath.Join(t.TempDir(), "db"), pebble.Options{})
	mustAppend(t, s, notes, 0, "a")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			dir, remove, err := s.Checkpoint()
			if err != nil {
				t.Error(err)
				return
			}
			c, err := pebble.Open(dir, pebble.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if err := remove(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.NoError(t, s.Close())
}

// TestOpenDropsCheckpoints: what a killed process left goes, and the store does not mind it.
func TestOpenDropsCheckpoints(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	s := mustOpen(t, dir, pebble.Options{})
	mustAppend(t, s, notes, 0, "a")
	_, _, err := s.Checkpoint()
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.Len(t, folders(t, dir), 1)
	s = mustOpen(t, dir, pebble.Options{})
	require.Empty(t, folders(t, dir))
	doc, err := s.Load(t.Context(), notes)
	require.NoError(t, err)
	require.EqualValues(t, 1, doc.Seq)
	require.NoError(t, s.Close())
}
