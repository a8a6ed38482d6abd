package pebble_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/pebble"
	"github.com/yserverd/yserverd/persist/persisttest"
)

// quick makes retries quick.
func quick(d *badDisk) pebble.Options {
	return pebble.Options{FS: d, RetryPause: time.Millisecond, DiskTimeout: 20 * time.Millisecond}.Small()
}

// TestDiskTrouble lets every kind of operation on every kind of file fail for a
// while, under load, several times: calls fail meanwhile, reading goes on where
// it can, nothing acknowledged is lost or doubled, and writing goes on by itself.
func TestDiskTrouble(t *testing.T) {
	for _, c := range []struct {
		name string
		only func(string, diskOp) bool
	}{
		{"everything", nil},
		{"the log cannot be written", onFiles(".log", "", opWrite)},
		{"the log cannot be synced", onFiles(".log", "", opSync)},
		{"no log can be created", onFiles(".log", "", opCreate, opReuse)},
		{"the log cannot be reused", onFiles(".log", "", opReuse)},
		{"the log cannot be closed", onFiles(".log", "", opClose)},
		{"the manifest cannot be written", onFiles("", "MANIFEST", opWrite)},
		{"the manifest cannot be synced", onFiles("", "MANIFEST", opSync)},
		{"no manifest can be created", onFiles("", "MANIFEST", opCreate)},
		{"no marker can be created", onFiles("", "marker.", opCreate)},
		{"tables cannot be written", onFiles(".sst", "", opWrite)},
		{"tables cannot be synced", onFiles(".sst", "", opSync)},
		{"no table can be created", onFiles(".sst", "", opCreate)},
		{"the directory cannot be synced", onFiles("", "db", opSync)},
		{"nothing can be removed", onFiles("", "", opRemove)},
	} {
		t.Run(c.name, func(t *testing.T) {
			disk := newBadDisk()
			s := mustOpen(t, "db", quick(disk))
			counts := make(map[persist.Key]int)
			rng := rand.New(rand.NewPCG(1, 2))
			for range roundsOf(3, 2) {
				load(t, s, counts, rng, 150) // past memtables, logs and manifests
				disk.fail(syscall.ENOSPC, c.only)
				suffer(t, s, disk, counts, rng)
				acked := maps.Clone(counts)
				crashed := disk.CrashClone(vfs.CrashCloneCfg{})
				disk.fail(nil, nil)
				recoverFrom(t, s, counts)
				requireLines(t, s, counts)
				requireSurvivors(t, crashed, acked)
				requireSurvivors(t, disk.CrashClone(vfs.CrashCloneCfg{}), counts)
			}
			require.Positive(t, disk.failed(), "the operation never came")
			require.NoError(t, s.Close())
			s = mustOpen(t, "db", quick(disk))
			requireLines(t, s, counts)
			require.NoError(t, s.Close())
		})
	}
}

var diskKeys = []persist.Key{crashKey(0, 0), crashKey(0, 1), crashKey(0, 2)}

// load appends to and folds documents on a sound disk.
func load(t *testing.T, s *pebble.Store, counts map[persist.Key]int, rng *rand.Rand, calls int) {
	t.Helper()
	for range calls {
		k := diskKeys[rng.IntN(len(diskKeys))]
		require.NoError(t, tryAppend(t.Context(), s, k, uint64(counts[k]), line(k, counts[k])))
		counts[k]++
		if rng.IntN(20) == 0 {
			require.NoError(t, fold(t.Context(), s, k, rng))
		}
	}
}

// suffer goes on until the disk has refused something or evidently need not be
// asked. Whatever the store answers in time it must keep to; what it could not
// answer is found out later.
func suffer(t *testing.T, s *pebble.Store, disk *badDisk, counts map[persist.Key]int, rng *rand.Rand) {
	t.Helper()
	before := disk.failed()
	for call := 0; call < 400 && disk.failed() < before+3; call++ {
		k := diskKeys[rng.IntN(len(diskKeys))]
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		err := tryAppend(ctx, s, k, uint64(counts[k]), line(k, counts[k]))
		cancel()
		if err == nil {
			counts[k]++
			continue
		}
		require.ErrorIs(t, err, persist.ErrUnavailable)
		require.ErrorIs(t, err, syscall.ENOSPC)
		require.ErrorIs(t, s.Stats().Err, persist.ErrUnavailable)
		return
	}
}

// recoverFrom waits until the store works again, and finds out what became of
// the call whose outcome is unknown.
func recoverFrom(t *testing.T, s *pebble.Store, counts map[persist.Key]int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, k := range diskKeys {
		for {
			rows, err := s.LoadAfter(ctx, k, uint64(counts[k]))
			if err == nil {
				counts[k] += len(rows)
				break
			}
			require.ErrorIs(t, err, persist.ErrUnavailable)
			select {
			case <-s.Well():
			case <-ctx.Done():
				require.NoError(t, ctx.Err(), "the store does not recover: %v", err)
			}
		}
		for {
			err := tryAppend(ctx, s, k, uint64(counts[k]), line(k, counts[k]))
			if err == nil {
				counts[k]++
				break
			}
			// Trouble that is just ending cuts calls short too; what became of
			// them is found out in the same way.
			require.True(t, errors.Is(err, persist.ErrUnavailable) || errors.Is(err, persist.ErrConflict), err)
			if rows, err := s.LoadAfter(ctx, k, uint64(counts[k])); err == nil {
				counts[k] += len(rows)
			}
			require.NoError(t, ctx.Err(), "the store does not recover: %v", err)
		}
	}
}

func requireLines(t *testing.T, s *pebble.Store, counts map[persist.Key]int) {
	t.Helper()
	for k, n := range counts {
		require.NoError(t, checkLines(t.Context(), s, k, n), k)
		require.Equal(t, uint64(n), mustLoad(t, s, k).Seq)
	}
}

// requireSurvivors opens what a power cut during the trouble would have left.
func requireSurvivors(t *testing.T, fs vfs.FS, acked map[persist.Key]int) {
	t.Helper()
	s := mustOpen(t, "db", pebble.Options{FS: fs}.Small())
	defer func() { require.NoError(t, s.Close()) }()
	for k, n := range acked {
		require.NoError(t, checkLines(t.Context(), s, k, n), k)
	}
}

// TestReadingGoesOnWithoutADisk: only what is in flight has to wait.
func TestReadingGoesOnWithoutADisk(t *testing.T) {
	disk := newBadDisk()
	s := mustOpen(t, "db", quick(disk))
	mustAppend(t, s, sound, 0, "a")
	mustAppend(t, s, notes, 0, "a")
	disk.fail(syscall.ENOSPC, nil)
	err := tryAppend(t.Context(), s, notes, 1, "b")
	require.ErrorIs(t, err, persist.ErrUnavailable)

	require.Equal(t, uint64(1), mustLoad(t, s, sound).Seq)
	page, _, err := s.List(t.Context(), "main", "", "", 0)
	require.NoError(t, err)
	require.Len(t, page, 2)
	// The row may be there and may be not: only the disk knows.
	_, err = s.Load(t.Context(), notes)
	require.ErrorIs(t, err, persist.ErrUnavailable)
	_, err = s.LoadAfter(t.Context(), notes, 1)
	require.ErrorIs(t, err, persist.ErrUnavailable)
	require.ErrorIs(t, s.Delete(t.Context(), sound, nil), persist.ErrUnavailable)
	require.ErrorIs(t, s.Compact(t.Context(), sound, 0, 1, []byte("x")), persist.ErrUnavailable)

	disk.fail(nil, nil)
	<-s.Well()
	rows, err := s.LoadAfter(t.Context(), notes, 1)
	require.NoError(t, err)
	require.Len(t, rows, 1, "the call without an answer was carried out")
	require.NoError(t, s.Close())
}

// TestWritersSurviveABadDisk is the rules' test on a disk that fails at random.
func TestWritersSurviveABadDisk(t *testing.T) {
	disk := newBadDisk()
	s := mustOpen(t, "db", quick(disk))
	rng := rand.New(rand.NewPCG(3, 4))
	disk.fail(syscall.EIO, func(string, diskOp) bool { return rng.IntN(10) == 0 })
	w := persisttest.Writer{Store: patient{s}, Key: notes}
	for n := range 300 {
		require.NoError(t, w.Append(t.Context(), fmt.Sprintf("line %d %s", n, strings.Repeat("x", n))))
		if n%25 == 24 {
			if err := w.Compact(t.Context()); err != nil {
				require.ErrorIs(t, err, persist.ErrUnavailable)
			}
		}
	}
	disk.fail(nil, nil)
	<-s.Well()
	d := mustLoad(t, s, notes)
	require.Len(t, persisttest.Lines(d), 300)
	for n, l := range persisttest.Lines(d) {
		require.True(t, strings.HasPrefix(l, fmt.Sprintf("line %d ", n)), l)
	}
	require.Positive(t, s.Stats().Stalls)
	require.NoError(t, s.Close())
}

// patient repeats what failed only once the disk works.
type patient struct{ *pebble.Store }

func (p patient) LoadAfter(ctx context.Context, k persist.Key, after persist.Seq) ([]persist.Update, error) {
	<-p.Well()
	return p.Store.LoadAfter(ctx, k, after)
}

// TestCloseWithoutADisk: closing gives up after a while, says so, and what was
// acknowledged is there when the disk is.
func TestCloseWithoutADisk(t *testing.T) {
	disk := newBadDisk()
	s := mustOpen(t, "db", quick(disk))
	mustAppend(t, s, notes, 0, "a")
	disk.fail(syscall.ENOSPC, nil)
	require.ErrorIs(t, tryAppend(t.Context(), s, notes, 1, "b"), persist.ErrUnavailable)
	require.ErrorIs(t, s.Close(), persist.ErrUnavailable)
	require.NoError(t, s.Close(), "closed is closed")
	_, err := s.Load(t.Context(), notes)
	require.ErrorIs(t, err, persist.ErrClosed)

	disk.fail(nil, nil)
	s = mustOpen(t, "db", quick(disk))
	require.Contains(t, []uint64{1, 2}, mustLoad(t, s, notes).Seq)
	require.NoError(t, s.Close())
}

// TestOpenWithoutADisk: opening returns the error, whichever operation is the
// first to fail, and leaves nothing locked once the disk works.
func TestOpenWithoutADisk(t *testing.T) {
	disk := newBadDisk()
	o := quick(disk)
	for n := 0; ; n++ {
		var ops int
		disk.fail(syscall.ENOSPC, func(string, diskOp) bool {
			ops++
			return ops > n
		})
		s, err := pebble.Open("db", o)
		disk.fail(nil, nil)
		if err == nil {
			require.NoError(t, s.Close())
			if ops <= n {
				require.Greater(t, n, 10)
				return
			}
			continue // what failed was none of opening's business
		}
		require.ErrorContains(t, err, "no space left", "operation %d", n)
		// What went on in the background ends by itself.
		for {
			s, err := pebble.Open("db", o)
			if err == nil {
				require.NoError(t, s.Close())
				break
			}
			require.ErrorIs(t, err, persist.ErrLocked)
		}
	}
}

// TestBrokenEngine: when the engine panics on a commit the store refuses
// everything from then on, and the process lives.
func TestBrokenEngine(t *testing.T) {
	s := mustOpen(t, "db", pebble.Options{FS: vfs.NewMem(), DiskTimeout: time.Millisecond})
	mustAppend(t, s, notes, 0, "a")
	require.NoError(t, s.DB().Close())
	for range 3 {
		err := tryAppend(t.Context(), s, notes, 1, "b")
		require.ErrorIs(t, err, persist.ErrUnavailable)
		require.ErrorContains(t, err, "restart needed")
	}
	require.ErrorIs(t, s.Stats().Err, persist.ErrUnavailable)
	require.ErrorIs(t, s.Close(), persist.ErrUnavailable)
}
