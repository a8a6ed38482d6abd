package pebble_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/pebble"
	"github.com/yserverd/yserverd/persist/persisttest"
)

// crasher lets writers work on a store whose file system remembers what was
// synced, and takes copies of it as a power cut at that moment would leave it.
type crasher struct {
	fs      *crashMem
	options pebble.Options
	rng     *rand.Rand // of the copies

	roomsOnly bool // no documents

	mu         sync.Mutex
	acked      map[persist.Key]int // lines that were acknowledged
	ackedRooms map[int]int         // versions of the rooms of each writer that were

	progress chan struct{} // gets a token after an acknowledgement, if wanted
}

// crash is what one power cut leaves, and what had been acknowledged before it.
type crash struct {
	fs         *crashMem
	acked      map[persist.Key]int
	ackedRooms map[int]int
	percent    int // of what was not synced and survived
}

const crashDocs = 5

func crashKey(writer, doc int) persist.Key {
	return persist.Key{Party: fmt.Sprint("writer", writer), Room: fmt.Sprint("doc", doc)}
}

// line is the nth update of a document; some are large, so that batches span
// blocks, files and memtables.
func line(k persist.Key, n int) string {
	size := n % 50
	if n%17 == 0 {
		size = 5000
	}
	return fmt.Sprintf("%v.%d.%s", k, n, strings.Repeat("x", size))
}

// write appends to several documents per call until the context ends, folding
// them now and then.
func (c *crasher) write(ctx context.Context, s *pebble.Store, writer int, rng *rand.Rand) error {
	counts := make([]int, crashDocs)
	for doc := range counts {
		d, err := s.Load(ctx, crashKey(writer, doc))
		if err != nil {
			return ignoreDone(ctx, err)
		}
		counts[doc] = int(d.Seq)
	}
	for ctx.Err() == nil {
		var items []persist.Append
		for doc := range counts {
			if rng.IntN(2) == 0 {
				continue
			}
			k := crashKey(writer, doc)
			a := persist.Append{Key: k, After: uint64(counts[doc])}
			for range 1 + rng.IntN(4) {
				a.Updates = append(a.Updates, []byte(line(k, counts[doc])))
				counts[doc]++
			}
			items = append(items, a)
		}
		results, err := s.Append(ctx, items)
		if err != nil {
			return ignoreDone(ctx, err)
		}
		if err := c.acknowledge(items, results); err != nil {
			return err
		}
		if rng.IntN(4) == 0 {
			if err := fold(ctx, s, crashKey(writer, rng.IntN(crashDocs)), rng); err != nil {
				return ignoreDone(ctx, err)
			}
		}
	}
	return nil
}

func (c *crasher) acknowledge(items []persist.Append, results []persist.Result) error {
	defer c.progressed()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, r := range results {
		if r.Err != nil {
			return r.Err
		}
		c.acked[items[i].Key] = max(c.acked[items[i].Key], int(r.Seq))
	}
	return nil
}

func (c *crasher) progressed() {
	select {
	case c.progress <- struct{}{}:
	default:
	}
}

// read loads documents until the context ends. What a load returns is as good as
// acknowledged.
func (c *crasher) read(ctx context.Context, s *pebble.Store, rng *rand.Rand) error {
	for ctx.Err() == nil {
		k := crashKey(rng.IntN(3), rng.IntN(crashDocs))
		d, err := s.Load(ctx, k)
		if err != nil {
			return ignoreDone(ctx, err)
		}
		c.mu.Lock()
		c.acked[k] = max(c.acked[k], int(d.Seq))
		c.mu.Unlock()
	}
	return nil
}

// fold compacts a document up to somewhere.
func fold(ctx context.Context, s *pebble.Store, k persist.Key, rng *rand.Rand) error {
	d, err := s.Load(ctx, k)
	if err != nil || len(d.Tail) == 0 {
		return err
	}
	upTo := int(d.Snapshot.Seq) + 1 + rng.IntN(len(d.Tail))
	return s.Compact(ctx, k, d.Epoch, uint64(upTo), []byte(strings.Join(persisttest.Lines(d)[:upTo], "\n")))
}

func ignoreDone(ctx context.Context, err error) error {
	if ctx.Err() != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, persist.ErrClosed)) {
		return nil
	}
	return err
}

// cut takes a copy. What was acknowledged is noted first, so it must be there.
func (c *crasher) cut(percent int) crash {
	c.mu.Lock()
	acked, ackedRooms := maps.Clone(c.acked), maps.Clone(c.ackedRooms)
	c.mu.Unlock()
	fs := c.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: c.rng})
	return crash{fs: fs, acked: acked, ackedRooms: ackedRooms, percent: percent}
}

// run lets the writers work while it takes so many copies.
func (c *crasher) run(tb testing.TB, cuts int) (crashes []crash) {
	s := mustOpen(tb, "db", c.options)
	ctx, cancel := context.WithCancel(tb.Context())
	group, ctx := errgroup.WithContext(ctx)
	if !c.roomsOnly {
		for writer := range 3 {
			rng := rand.New(rand.NewPCG(c.rng.Uint64(), uint64(writer)))
			group.Go(func() error { return c.write(ctx, s, writer, rng) })
		}
		group.Go(func() error { return c.read(ctx, s, rand.New(rand.NewPCG(1, 1))) })
	}
	for writer := range roomWriters {
		group.Go(func() error { return c.writeRooms(ctx, s, writer) })
	}
	group.Go(func() error { return c.readRooms(ctx, s, rand.New(rand.NewPCG(1, 2))) })
	for range cuts {
		for range 1 + c.rng.IntN(6) {
			select {
			case <-c.progress:
			case <-ctx.Done():
			}
		}
		// A power cut does not wait for the end of a call.
		time.Sleep(time.Duration(c.rng.IntN(1000)) * time.Microsecond)
		crashes = append(crashes, c.cut([]int{0, 0, 10, 50, 90}[c.rng.IntN(5)]))
	}
	cancel()
	require.NoError(tb, group.Wait())
	require.NoError(tb, s.Close())
	return crashes
}

// lost opens what a power cut left and returns what is wrong with it.
func (cr crash) lost(tb testing.TB, o pebble.Options) error {
	o.FS = cr.fs
	s, err := pebble.Open("db", o)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() { require.NoError(tb, s.Close()) }()
	for k, acked := range cr.acked {
		if err := checkLines(tb.Context(), s, k, acked); err != nil {
			return fmt.Errorf("%v: %w", k, err)
		}
	}
	for writer := range 3 {
		for doc := range crashDocs {
			if err := goesOn(tb.Context(), s, crashKey(writer, doc)); err != nil {
				return err
			}
		}
	}
	if err := nothingLeftOver(tb, s); err != nil {
		return err
	}
	return lostRooms(tb.Context(), s, cr.ackedRooms)
}

// nothingLeftOver checks that the rows and pieces stored are those that the
// documents consist of.
func nothingLeftOver(tb testing.TB, s *pebble.Store) error {
	wantRows, wantPieces := 0, 0
	for writer := range 3 {
		page, next, err := s.List(tb.Context(), crashKey(writer, 0).Party, "", "", 0)
		require.NoError(tb, err)
		require.Empty(tb, next)
		for _, info := range page {
			wantRows += int(info.Seq - info.SnapshotSeq)
			wantPieces += (int(info.SnapshotBytes) + pebble.TestPieceBytes - 1) / pebble.TestPieceBytes
		}
	}
	rows, err := s.CountKind('l')
	require.NoError(tb, err)
	pieces, err := s.CountKind('s')
	require.NoError(tb, err)
	unfinished, err := s.CountKind('w')
	require.NoError(tb, err)
	if rows != wantRows || pieces != wantPieces || unfinished != 0 {
		return fmt.Errorf("%d of %d rows, %d of %d pieces, %d unfinished snapshots", rows, wantRows, pieces, wantPieces, unfinished)
	}
	return nil
}

// checkLines checks that a document is exactly the first lines that its writer
// wrote, at least as many as it was told are stored.
func checkLines(ctx context.Context, s *pebble.Store, k persist.Key, atLeast int) error {
	d, err := s.Load(ctx, k)
	if err != nil {
		return err
	}
	lines := persisttest.Lines(d)
	if len(lines) < atLeast || int(d.Seq) != len(lines) {
		return fmt.Errorf("%d lines, seq %d, %d acknowledged", len(lines), d.Seq, atLeast)
	}
	for n, got := range lines {
		if got != line(k, n) {
			return fmt.Errorf("line %d of %d is %.40q", n, len(lines), got)
		}
	}
	return nil
}

// goesOn writes to what was recovered.
func goesOn(ctx context.Context, s *pebble.Store, k persist.Key) error {
	d, err := s.Load(ctx, k)
	if err != nil {
		return err
	}
	if err := tryAppend(ctx, s, k, d.Seq, line(k, int(d.Seq))); err != nil {
		return fmt.Errorf("append after recovery: %w", err)
	}
	if err := fold(ctx, s, k, rand.New(rand.NewPCG(1, d.Seq))); err != nil {
		return fmt.Errorf("compact after recovery: %w", err)
	}
	return checkLines(ctx, s, k, int(d.Seq)+1)
}

func newCrasher(seed uint64, o pebble.Options) *crasher {
	c := &crasher{
		fs:       newCrashMem(),
		rng:      rand.New(rand.NewPCG(seed, 0)),
		acked:    make(map[persist.Key]int),
		progress: make(chan struct{}),

		ackedRooms: make(map[int]int),
	}
	c.options = o
	c.options.FS = c.fs
	return c
}

// TestPowerCut: everything acknowledged survives, every document loads, nothing
// is doubled, changes of rooms are whole or absent, whatever part of the unsynced
// data survived.
func TestPowerCut(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for round := range uint64(roundsOf(3, 2)) {
		c := newCrasher(seed+round, pebble.Options{Heads: 7}.Small())
		crashes := c.run(t, 10)
		// A second life on what a cut left, and cuts in that.
		again := newCrasher(seed+round, c.options)
		again.fs = crashes[len(crashes)/2].fs.CrashClone(vfs.CrashCloneCfg{})
		again.options.FS = again.fs
		again.acked = maps.Clone(crashes[len(crashes)/2].acked)
		again.ackedRooms = maps.Clone(crashes[len(crashes)/2].ackedRooms)
		for _, cr := range append(crashes, again.run(t, 5)...) {
			require.NoError(t, cr.lost(t, c.options), "%d%% of the unsynced data", cr.percent)
		}
	}
}

// TestPowerCutFindsLoss guards the test above: with commits that are not synced
// it must find losses.
func TestPowerCutFindsLoss(t *testing.T) {
	c := newCrasher(1, pebble.Options{}.Small().NoSync())
	losses := 0
	for _, cr := range c.run(t, 15) {
		if err := cr.lost(t, c.options); err != nil {
			losses++
		}
	}
	require.Positive(t, losses, "no loss found without fsync: the power cut test proves nothing")
}

// TestPowerCutKeepsNewDirectories: the way to a new store is as durable as what is
// in it.
func TestPowerCutKeepsNewDirectories(t *testing.T) {
	const dir = "some/new/place"
	fs := newCrashMem()
	s := mustOpen(t, dir, pebble.Options{FS: fs})
	mustAppend(t, s, notes, 0, "a")
	cut := fs.CrashClone(vfs.CrashCloneCfg{})
	require.NoError(t, s.Close())
	s = mustOpen(t, dir, pebble.Options{FS: cut})
	require.Equal(t, uint64(1), mustLoad(t, s, notes).Seq)
	require.NoError(t, s.Close())
}

// TestInterruptedCompaction cuts the power at every step that writing a snapshot
// of many pieces takes on the disk: the document loads, and no piece is left
// behind.
func TestInterruptedCompaction(t *testing.T) {
	fs := newCrashMem()
	var mu sync.Mutex
	var states []*crashMem
	cutting := false
	o := pebble.Options{FS: errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if cutting && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			states = append(states, fs.CrashClone(vfs.CrashCloneCfg{}),
				fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))}))
		}
		return nil
	}))}.Small()
	cut := func(on bool) {
		mu.Lock()
		defer mu.Unlock()
		cutting = on
	}
	s := mustOpen(t, "db", o)
	mustAppend(t, s, notes, 0, "a", "b")
	require.NoError(t, s.Compact(t.Context(), notes, 0, 1, []byte(strings.Repeat("1", 2000))))
	snapshot := strings.Repeat("2", 400*pebble.TestPieceBytes)
	cut(true)
	require.NoError(t, s.Compact(t.Context(), notes, 0, 2, []byte(snapshot)))
	cut(false)
	states = append(states, fs.CrashClone(vfs.CrashCloneCfg{}))
	require.NoError(t, s.Close())

	before, after, swept := 0, 0, 0
	for _, state := range states {
		var log strings.Builder
		o.FS, o.Logger = state, slog.New(slog.NewTextHandler(&log, nil))
		s := mustOpen(t, "db", o)
		d := mustLoad(t, s, notes)
		pieces, err := s.CountKind('s')
		require.NoError(t, err)
		if d.Snapshot.Seq == 1 {
			before++
			require.Len(t, d.Snapshot.Data, 2000)
			require.Len(t, d.Tail, 1)
			require.Equal(t, 4, pieces)
		} else {
			after++
			require.True(t, snapshot == string(d.Snapshot.Data))
			require.Equal(t, 400, pieces)
		}
		unfinished, err := s.CountKind('w')
		require.NoError(t, err)
		require.Zero(t, unfinished)
		require.NoError(t, s.Close())
		swept += strings.Count(log.String(), "unfinished snapshots swept")
	}
	t.Logf("%d cuts before the switch, %d after, %d swept", before, after, swept)
	require.Positive(t, before)
	require.Positive(t, after)
	require.Positive(t, swept)
}

// TestAbandonedCompactionLeavesNothing: a compaction that is refused after its
// pieces were written takes them away again.
func TestAbandonedCompactionLeavesNothing(t *testing.T) {
	s := openMem(t, pebble.Options{}.Small())
	mustAppend(t, s, notes, 0, "a", "b", "c")
	snapshot := []byte(strings.Repeat("x", 50*pebble.TestPieceBytes))
	group := errgroup.Group{}
	refused := make(chan error, 4)
	for i := range cap(refused) {
		group.Go(func() error {
			refused <- s.Compact(t.Context(), notes, 0, uint64(1+i%3), snapshot)
			return nil
		})
	}
	require.NoError(t, group.Wait())
	for range cap(refused) {
		if err := <-refused; err != nil {
			require.ErrorIs(t, err, persist.ErrStale)
		}
	}
	mustAppend(t, s, notes, 3, "behind whatever was queued to clean up")
	pieces, err := s.CountKind('s')
	require.NoError(t, err)
	require.Equal(t, 50, pieces)
	unfinished, err := s.CountKind('w')
	require.NoError(t, err)
	require.Zero(t, unfinished)
}
