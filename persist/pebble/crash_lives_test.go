package pebble_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/object"
	"github.com/yserverd/yserverd/persist/object/objecttest"
	"github.com/yserverd/yserverd/persist/pebble"
)

const lifeWriters = 3

func lifeKey(writer int) persist.Key {
	return persist.Key{Party: "lives", Room: fmt.Sprint("life", writer)}
}

// lifeCrasher lets documents live on a store whose file system remembers what was
// synced, and cuts the power of store and bucket at one moment.
type lifeCrasher struct {
	fs      *crashMem
	bucket  *objecttest.Memory // nil: everything is in the store
	options pebble.Options
	rng     *rand.Rand

	power sync.RWMutex // held to write to the bucket; for writing to cut the power

	mu    sync.Mutex
	acked map[persist.Key]int
	steps chan struct{} // gets a token after a step, if wanted
}

// lifeCrash is what a power cut leaves.
type lifeCrash struct {
	fs      *crashMem
	bucket  *objecttest.Memory
	acked   map[persist.Key]int
	percent int
}

// powered is a bucket that changes only while there is power.
type powered struct {
	object.Bucket
	power *sync.RWMutex
}

func (p powered) Put(ctx context.Context, name string, stored []byte) error {
	p.power.RLock()
	defer p.power.RUnlock()
	return p.Bucket.Put(ctx, name, stored)
}

func (p powered) Delete(ctx context.Context, names []string) error {
	p.power.RLock()
	defer p.power.RUnlock()
	return p.Bucket.Delete(ctx, names)
}

func newLifeCrasher(seed uint64, bucket bool, o pebble.Options) *lifeCrasher {
	c := &lifeCrasher{
		fs: newCrashMem(), options: o, rng: rand.New(rand.NewPCG(seed, 0)),
		acked: make(map[persist.Key]int), steps: make(chan struct{}),
	}
	if bucket {
		c.bucket = new(objecttest.Memory)
	}
	for w := range lifeWriters {
		c.acked[lifeKey(w)] = 0
	}
	return c
}

func (c *lifeCrasher) live(ctx context.Context, s *pebble.Store, k persist.Key) error {
	c.mu.Lock()
	n := c.acked[k]
	c.mu.Unlock()
	n, err := stepsDone(ctx, s, k, n)
	if err != nil {
		return ignoreDone(ctx, err)
	}
	for ; ; n++ {
		if err := takeStep(ctx, s, k, n); err != nil {
			return ignoreDone(ctx, err)
		}
		c.mu.Lock()
		c.acked[k] = n + 1
		c.mu.Unlock()
		select {
		case c.steps <- struct{}{}:
		default:
		}
	}
}

// run lets documents live, beside somebody who sweeps all that is due, while it
// takes so many cuts.
func (c *lifeCrasher) run(tb testing.TB, cuts int) (crashes []lifeCrash) {
	o := c.options
	o.FS = c.fs
	if c.bucket != nil {
		o.Bucket = powered{c.bucket, &c.power}
	}
	s := mustOpen(tb, "db", o)
	ctx, cancel := context.WithCancel(tb.Context())
	group, ctx := errgroup.WithContext(ctx)
	begun := maps.Clone(c.acked)
	for k := range begun {
		group.Go(func() error { return c.live(ctx, s, k) })
	}
	group.Go(func() error {
		for ctx.Err() == nil {
			if _, err := s.Sweep(ctx, everything()); err != nil {
				return ignoreDone(ctx, err)
			}
		}
		return nil
	})
	for range cuts {
		for range 1 + c.rng.IntN(9) {
			select {
			case <-c.steps:
			case <-ctx.Done():
			}
		}
		// A power cut does not wait for the end of a call.
		time.Sleep(time.Duration(c.rng.IntN(1000)) * time.Microsecond)
		crashes = append(crashes, c.cut(tb, []int{0, 0, 10, 50, 90}[c.rng.IntN(5)]))
	}
	cancel()
	require.NoError(tb, group.Wait())
	require.NoError(tb, s.Close())
	return crashes
}

// cut takes copies. What was acknowledged is noted first, so it must be there.
func (c *lifeCrasher) cut(tb testing.TB, percent int) lifeCrash {
	c.power.Lock()
	defer c.power.Unlock()
	c.mu.Lock()
	acked := maps.Clone(c.acked)
	c.mu.Unlock()
	cr := lifeCrash{fs: c.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: c.rng}), acked: acked, percent: percent}
	if c.bucket != nil {
		cr.bucket = cloneBucket(tb, c.bucket)
	}
	return cr
}

// lost opens what a power cut left and returns what is wrong with it.
func (cr lifeCrash) lost(tb testing.TB, o pebble.Options) error {
	o.FS = cr.fs
	var objects func() int
	if cr.bucket != nil {
		o.Bucket = cr.bucket
		objects = func() int { return len(cr.bucket.Names()) }
	}
	s, err := pebble.Open("db", o)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() { require.NoError(tb, s.Close()) }()
	done, err := checkLives(tb.Context(), s, cr.acked, objects)
	if err != nil {
		return err
	}
	for k, n := range done {
		if err := takeStep(tb.Context(), s, k, n); err != nil {
			return fmt.Errorf("after recovery: %w", err)
		}
		done[k] = n + 1
	}
	_, err = checkLives(tb.Context(), s, done, objects)
	return err
}

// TestPowerCutOfLives: versions, epochs, tombstones and purges that were
// acknowledged survive, one in flight is whole or absent, no object is missing
// that is named, and what nothing names goes.
func TestPowerCutOfLives(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for round := range uint64(4) {
		c := newLifeCrasher(seed+round, round%2 == 0, pebble.Options{Heads: 2}.Small())
		for i, cr := range c.run(t, 15) {
			require.NoError(t, cr.lost(t, c.options), "cut %d of round %d, %d%% of the unsynced data", i, round, cr.percent)
		}
		t.Logf("%v steps", c.acked)
	}
}

// TestPowerCutOfLivesFindsLoss guards the test above, as TestPowerCutFindsLoss
// does.
func TestPowerCutOfLivesFindsLoss(t *testing.T) {
	for _, bucket := range []bool{false, true} {
		c := newLifeCrasher(1, bucket, pebble.Options{}.Small().NoSync())
		losses := 0
		for _, cr := range c.run(t, 15) {
			if err := cr.lost(t, c.options); err != nil {
				losses++
			}
		}
		require.Positive(t, losses, "no loss found without fsync: the power cut test proves nothing")
	}
}

// dirBucket is a bucket that outlives a process: a file for each object.
type dirBucket struct{ dir string }

func (b dirBucket) path(name string) string { return filepath.Join(b.dir, filepath.FromSlash(name)) }

func (b dirBucket) Put(_ context.Context, name string, stored []byte) error {
	path := b.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	temp, err := os.CreateTemp(b.dir, "put")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(stored)
	if err := errors.Join(err, temp.Close()); err != nil {
		return err
	}
	if err := os.Link(temp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func (b dirBucket) Get(_ context.Context, name string, _ int64) ([]byte, error) {
	data, err := os.ReadFile(b.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		err = persist.ErrNotFound
	}
	return data, err
}

func (b dirBucket) Delete(_ context.Context, names []string) error {
	for _, name := range names {
		if err := os.Remove(b.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (b dirBucket) List(_ context.Context, prefix, after string, limit int) (page []object.Info, err error) {
	for _, name := range b.names() {
		if strings.HasPrefix(name, prefix) && name > after && len(page) < object.PageLimit(limit) {
			page = append(page, object.Info{Name: name, Modified: time.Now()})
		}
	}
	return page, nil
}

func (b dirBucket) Check(context.Context) error { return nil }

// names are in order, as WalkDir is but for slashes, which no name is cut at.
func (b dirBucket) names() (names []string) {
	_ = filepath.WalkDir(b.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && !strings.HasPrefix(d.Name(), "put") {
			rel, _ := filepath.Rel(b.dir, path)
			names = append(names, filepath.ToSlash(rel))
		}
		return nil
	})
	return names
}

// TestKillLives is TestKill with documents that live in store and bucket.
func TestKillLives(t *testing.T) {
	if dir := os.Getenv("PEBBLE_TEST_KILL_LIVES"); dir != "" {
		liveUntilKilled(t, dir)
	}
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "bucket"), 0o700))
	acked := make(map[persist.Key]int)
	for w := range lifeWriters {
		acked[lifeKey(w)] = 0
	}
	for range 6 {
		killLiving(t, dir, acked, 1+rand.IntN(150))
		s, bucket := openLives(t, dir)
		var err error
		acked, err = checkLives(t.Context(), s, acked, func() int { return len(bucket.names()) })
		require.NoError(t, err)
		require.NoError(t, s.Close())
	}
	t.Logf("%v steps", acked)
}

func openLives(tb testing.TB, dir string) (*pebble.Store, dirBucket) {
	bucket := dirBucket{filepath.Join(dir, "bucket")}
	return mustOpen(tb, filepath.Join(dir, "store"), pebble.Options{Bucket: bucket}.Small()), bucket
}

// killLiving starts a process, kills it after so many acknowledgements, and notes
// them all.
func killLiving(t *testing.T, dir string, acked map[persist.Key]int, after int) {
	t.Helper()
	living := exec.Command(os.Args[0], "-test.run=^TestKillLives$")
	living.Env = append(os.Environ(), "PEBBLE_TEST_KILL_LIVES="+dir)
	for w := range lifeWriters {
		living.Env = append(living.Env, fmt.Sprintf("PEBBLE_TEST_LIFE%d=%d", w, acked[lifeKey(w)]))
	}
	stdout, err := living.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, living.Start())
	acknowledged := 0
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		var who, n int
		_, err := fmt.Sscanf(lines.Text(), "life %d %d", &who, &n)
		require.NoError(t, err, lines.Text())
		acked[lifeKey(who)] = n
		if acknowledged++; acknowledged == after {
			require.NoError(t, living.Process.Kill())
		}
	}
	require.Error(t, living.Wait())
	require.GreaterOrEqual(t, acknowledged, after)
}

func liveUntilKilled(t *testing.T, dir string) {
	s, _ := openLives(t, dir)
	for w := range lifeWriters {
		var n int
		_, err := fmt.Sscan(os.Getenv(fmt.Sprint("PEBBLE_TEST_LIFE", w)), &n)
		require.NoError(t, err)
		go func() {
			for ; ; n++ {
				if err := takeStep(t.Context(), s, lifeKey(w), n); err != nil {
					panic(err)
				}
				_, _ = fmt.Printf("life %d %d\n", w, n+1)
			}
		}()
	}
	for {
		_, err := s.Sweep(t.Context(), everything())
		require.NoError(t, err)
	}
}
