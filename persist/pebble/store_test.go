package pebble_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/pebble"
	"github.com/yserverd/yserverd/persist/persisttest"
)

var (
	_ persisttest.Store           = (*pebble.Store)(nil)
	_ persisttest.Quarantiner     = (*pebble.Store)(nil)
	_ persisttest.Rooms           = (*pebble.Store)(nil)
	_ persisttest.RoomQuarantiner = (*pebble.Store)(nil)
)

var notes = persist.Key{Party: "main", Room: "notes"}

func TestSuite(t *testing.T) {
	for _, options := range []struct {
		name string
		make func() pebble.Options
	}{
		{"memory", func() pebble.Options { return pebble.Options{FS: vfs.NewMem()} }},
		{"small", func() pebble.Options { return pebble.Options{FS: vfs.NewMem(), Heads: 2, MaxInFlight: 2}.Small() }},
		{"disk", func() pebble.Options { return pebble.Options{} }},
	} {
		t.Run(options.name, func(t *testing.T) {
			t.Parallel()
			o, base := options.make(), t.TempDir()
			open := func(tb testing.TB, name string) persisttest.Store {
				return mustOpen(tb, filepath.Join(base, name), o)
			}
			persisttest.Run(t, open)
			persisttest.RunRooms(t, open)
		})
	}
}

// mustOpen opens a store that the caller closes.
func mustOpen(tb testing.TB, dir string, o pebble.Options) *pebble.Store {
	tb.Helper()
	s, err := pebble.Open(dir, o)
	require.NoError(tb, err)
	return s
}

// openMem opens a store in memory that the test closes.
func openMem(tb testing.TB, o pebble.Options) *pebble.Store {
	tb.Helper()
	if o.FS == nil {
		o.FS = vfs.NewMem()
	}
	s := mustOpen(tb, "db", o)
	tb.Cleanup(func() { require.NoError(tb, s.Close()) })
	return s
}

func mustAppend(tb testing.TB, s *pebble.Store, k persist.Key, after persist.Seq, updates ...string) {
	tb.Helper()
	require.NoError(tb, tryAppend(tb.Context(), s, k, after, updates...))
}

func tryAppend(ctx context.Context, s persisttest.Store, k persist.Key, after persist.Seq, updates ...string) error {
	a := persist.Append{Key: k, After: after}
	for _, u := range updates {
		a.Updates = append(a.Updates, []byte(u))
	}
	results, err := s.Append(ctx, []persist.Append{a})
	if err != nil {
		return err
	}
	return results[0].Err
}

func mustLoad(tb testing.TB, s *pebble.Store, k persist.Key) persist.Document {
	tb.Helper()
	d, err := s.Load(tb.Context(), k)
	require.NoError(tb, err)
	return d
}

func TestOpenLocked(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "store")
	s := mustOpen(t, dir, pebble.Options{})
	defer func() { require.NoError(t, s.Close()) }()
	link := filepath.Join(base, "link")
	require.NoError(t, os.Symlink(dir, link))
	for _, way := range []string{dir, dir + "/../store/", link} {
		_, err := pebble.Open(way, pebble.Options{})
		require.ErrorIs(t, err, persist.ErrLocked, way)
		var locked *persist.LockedError
		require.ErrorAs(t, err, &locked)
		require.Equal(t, s.Dir(), locked.Place)
		require.ErrorContains(t, err, s.Dir())
	}
	mustAppend(t, s, notes, 0, "the holder is not disturbed")
}

// TestOpenLockedByProcess holds the directory in a process of its own.
func TestOpenLockedByProcess(t *testing.T) {
	if dir := os.Getenv("PEBBLE_TEST_HOLD"); dir != "" {
		s := mustOpen(t, dir, pebble.Options{})
		fmt.Println("held")
		_, _ = os.Stdin.Read(make([]byte, 1))
		require.NoError(t, s.Close())
		return
	}
	dir := t.TempDir()
	holder := exec.Command(os.Args[0], "-test.run=^TestOpenLockedByProcess$")
	holder.Env = append(os.Environ(), "PEBBLE_TEST_HOLD="+dir)
	stdin, err := holder.StdinPipe()
	require.NoError(t, err)
	stdout, err := holder.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, holder.Start())
	line := make([]byte, 5)
	_, err = stdout.Read(line)
	require.NoError(t, err)
	require.Equal(t, "held\n", string(line))

	_, err = pebble.Open(dir, pebble.Options{})
	require.ErrorIs(t, err, persist.ErrLocked)
	require.ErrorContains(t, err, dir)
	require.NoError(t, stdin.Close())
	require.NoError(t, holder.Wait())
	require.NoError(t, mustOpen(t, dir, pebble.Options{}).Close())
}

func TestOpenNewerFormat(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, "db", pebble.Options{FS: fs})
	key, value := pebble.FormatRecord(7)
	require.NoError(t, s.DB().Set(key, value, nil))
	require.NoError(t, s.Close())
	_, err := pebble.Open("db", pebble.Options{FS: fs})
	require.ErrorIs(t, err, persist.ErrFormat)
	require.ErrorContains(t, err, `"db" has version 7, this program reads up to 2`)
	_, err = pebble.Open("db", pebble.Options{FS: fs})
	require.ErrorIs(t, err, persist.ErrFormat, "failing to open releases the lock")
}

func TestOpenForeignData(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, "db", pebble.Options{FS: fs})
	key, _ := pebble.FormatRecord(1)
	require.NoError(t, s.DB().Delete(key, nil))
	require.NoError(t, s.DB().Set([]byte("somebody"), []byte("else's"), nil))
	require.NoError(t, s.Close())
	_, err := pebble.Open("db", pebble.Options{FS: fs})
	require.ErrorIs(t, err, persist.ErrFormat)
	require.ErrorContains(t, err, "no document store")
}

func TestOpenErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := pebble.Open(file, pebble.Options{})
	require.ErrorContains(t, err, file)
	for _, o := range []pebble.Options{{CacheBytes: -1}, {Heads: -1}, {RetryPause: -1}, {MemTableBytes: 2 << 30}} {
		_, err := pebble.Open(t.TempDir(), o)
		require.ErrorContains(t, err, "option ")
	}
}

func TestDirectoryIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	require.NoError(t, mustOpen(t, dir, pebble.Options{}).Close())
	for _, d := range []string{dir, filepath.Dir(dir)} {
		info, err := os.Stat(d)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	}
}

func TestUUID(t *testing.T) {
	fs := vfs.NewMem()
	one := mustOpen(t, "one", pebble.Options{FS: fs})
	two := mustOpen(t, "two", pebble.Options{FS: fs})
	id := one.UUID()
	require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, id)
	require.NotEqual(t, id, two.UUID())
	require.NoError(t, two.Close())
	require.NoError(t, one.Close())
	one = mustOpen(t, "one", pebble.Options{FS: fs})
	require.Equal(t, id, one.UUID())
	require.NoError(t, one.Close())
}

// TestHeadsAreBounded checks that memory does not follow the number of
// documents, and that a document that is not remembered is still known.
func TestHeadsAreBounded(t *testing.T) {
	s := openMem(t, pebble.Options{Heads: 10})
	for round := range 2 {
		for i := range 100 {
			mustAppend(t, s, persist.Key{Party: "main", Room: fmt.Sprint(i)}, uint64(round), "x")
		}
		require.LessOrEqual(t, s.Heads(), 10)
	}
	// More documents in one call than are remembered.
	var items []persist.Append
	for i := range 100 {
		items = append(items, persist.Append{Key: persist.Key{Party: "main", Room: fmt.Sprint(i)}, After: 2, Updates: [][]byte{{1}}})
	}
	results, err := s.Append(t.Context(), items)
	require.NoError(t, err)
	for _, r := range results {
		require.Equal(t, persist.Result{Seq: 3}, r)
	}
	mustAppend(t, s, notes, 0, "x")
	require.LessOrEqual(t, s.Heads(), 10)
}

func TestAppendTooLarge(t *testing.T) {
	s := openMem(t, pebble.Options{})
	large := make([]byte, 64<<20)
	a := persist.Append{Key: notes}
	for range 17 {
		a.Updates = append(a.Updates, large)
	}
	_, err := s.Append(t.Context(), []persist.Append{a})
	require.ErrorIs(t, err, persist.ErrInvalid)
	require.False(t, mustLoad(t, s, notes).Exists)
}

func TestBackup(t *testing.T) {
	base := t.TempDir()
	s := mustOpen(t, filepath.Join(base, "store"), pebble.Options{})
	mustAppend(t, s, notes, 0, "a", "b")
	copied := filepath.Join(base, "copy")
	require.NoError(t, s.Backup(copied))
	require.Error(t, s.Backup(copied), "exists")
	mustAppend(t, s, notes, 2, "c")
	b := mustOpen(t, copied, pebble.Options{})
	require.Equal(t, uint64(2), mustLoad(t, b, notes).Seq)
	require.Equal(t, s.UUID(), b.UUID())
	require.NoError(t, b.Close())
	require.NoError(t, s.Close())
	require.ErrorIs(t, s.Backup(copied), persist.ErrClosed)
}

func TestStatsAndLog(t *testing.T) {
	var log bytes.Buffer
	o := pebble.Options{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), FS: vfs.NewMem()}
	s := mustOpen(t, "db", o)
	mustAppend(t, s, notes, 0, "12", "345")
	require.ErrorIs(t, tryAppend(t.Context(), s, notes, 0, "x"), persist.ErrConflict)
	require.NoError(t, s.Compact(t.Context(), notes, 0, 1, []byte("snap")))
	mustLoad(t, s, notes)
	st := s.Stats()
	require.NoError(t, st.Err)
	require.Equal(t, uint64(2), st.Appended)
	require.Equal(t, uint64(5), st.AppendedBytes)
	require.Equal(t, uint64(1), st.Refused)
	require.Equal(t, uint64(1), st.Compactions)
	require.Equal(t, uint64(1), st.Loads)
	require.Equal(t, uint64(2), st.Commits)
	require.Positive(t, st.CommitTime)
	require.Positive(t, st.LogBytes)
	require.Positive(t, st.MemTableBytes)
	require.Equal(t, 1, st.Heads)
	require.Zero(t, st.InFlight)
	require.Zero(t, st.Stalls)
	require.NoError(t, s.Close())
	require.ErrorIs(t, s.Stats().Err, persist.ErrClosed)
	require.Contains(t, log.String(), "level=DEBUG")
	require.NotContains(t, log.String(), "level=ERROR")
}

// TestEmptyFlushIsNoTrouble guards the way a flush that had nothing to write is
// told from one that failed.
func TestEmptyFlushIsNoTrouble(t *testing.T) {
	s := openMem(t, pebble.Options{})
	require.NoError(t, s.DB().Flush())
	require.NoError(t, s.DB().Flush())
	require.Zero(t, s.Stats().Stalls)
	require.NoError(t, s.Stats().Err)
}

func TestCloseWaitsForCalls(t *testing.T) {
	s := mustOpen(t, "db", pebble.Options{FS: vfs.NewMem()})
	outcome := make(chan error, 50)
	for i := range cap(outcome) {
		go func() {
			outcome <- tryAppend(context.Background(), s, persist.Key{Party: "main", Room: fmt.Sprint(i)}, 0, strings.Repeat("x", 1000))
		}()
	}
	require.NoError(t, s.Close())
	for range cap(outcome) {
		if err := <-outcome; err != nil {
			require.ErrorIs(t, err, persist.ErrClosed)
		}
	}
}

func TestTimesComeFromTheClock(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_123)
	s := openMem(t, pebble.Options{Now: func() time.Time { return now }})
	mustAppend(t, s, notes, 0, "a")
	now = now.Add(time.Hour)
	mustAppend(t, s, notes, 1, "b")
	now = now.Add(time.Hour)
	require.NoError(t, s.Delete(t.Context(), notes, nil))
	page, _, err := s.List(t.Context(), "main", "", "", 0)
	require.NoError(t, err)
	require.Equal(t, now.Add(-2*time.Hour), page[0].Created)
	require.Equal(t, now.Add(-time.Hour), page[0].Updated)
	require.Equal(t, now, page[0].Deleted)
}
