package pebble_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/object"
	"github.com/yserverd/yserverd/persist/object/objecttest"
	"github.com/yserverd/yserverd/persist/pebble"
)

// life is what a document should be after so many steps. The steps lead it
// through everything that begins and ends epochs and versions, and then again;
// the state after each is another than before.
type life struct {
	exists, deleted bool
	epoch, first    uint64
	lines           []string // of this epoch
	seq, snap       uint64
	dead            []uint64
	versions        []string // newest first
}

// step is one call, and what it does.
type step struct {
	name string
	call func(ctx context.Context, s *pebble.Store, k persist.Key, l life, n int) error
	do   func(l *life, n int)
}

// lifeLine is what step n adds, some of it over many pieces.
func lifeLine(n int) string { return fmt.Sprintf("%d.%s", n, strings.Repeat("x", n%7*500)) }

func lifeVersion(n int) string { return fmt.Sprintf("v%05d", n) }

func addLine() step {
	return step{"append", func(ctx context.Context, s *pebble.Store, k persist.Key, l life, n int) error {
		results, err := s.Append(ctx, []persist.Append{{Key: k, Epoch: l.epoch, After: l.seq, Updates: [][]byte{[]byte(lifeLine(n))}}})
		if err == nil {
			err = results[0].Err
		}
		return err
	}, func(l *life, n int) {
		l.exists = true
		l.lines = append(l.lines, lifeLine(n))
		l.seq++
	}}
}

func foldLines() step {
	return step{"compact", func(ctx context.Context, s *pebble.Store, k persist.Key, l life, _ int) error {
		return s.Compact(ctx, k, l.epoch, l.seq, []byte(strings.Join(l.lines, "\n")))
	}, func(l *life, _ int) { l.snap = l.seq }}
}

func replaceAll() step {
	return step{"replace", func(ctx context.Context, s *pebble.Store, k persist.Key, l life, n int) error {
		_, err := s.Replace(ctx, k, l.epoch, []uint64{uint64(n)}, []byte(lifeLine(n)))
		return err
	}, func(l *life, n int) {
		l.exists = true
		l.epoch, l.first, l.seq = l.epoch+1, l.seq, l.seq+1
		l.snap, l.lines = l.seq, []string{lifeLine(n)}
		l.dead = persist.MergeDead(l.dead, []uint64{uint64(n)})
	}}
}

func putOne() step {
	return step{"put version", func(ctx context.Context, s *pebble.Store, k persist.Key, l life, n int) error {
		v := persist.Version{ID: lifeVersion(n), Created: time.UnixMilli(int64(n)), Epoch: l.epoch, Seq: l.seq}
		return s.PutVersion(ctx, k, v, []byte(lifeLine(n)))
	}, func(l *life, n int) { l.versions = slices.Insert(l.versions, 0, lifeVersion(n)) }}
}

func dropOldest() step {
	return step{"delete version", func(ctx context.Context, s *pebble.Store, k persist.Key, l life, _ int) error {
		return s.DeleteVersion(ctx, k, l.versions[len(l.versions)-1])
	}, func(l *life, _ int) { l.versions = l.versions[:len(l.versions)-1] }}
}

// steps is one round.
var steps = []step{
	addLine(), foldLines(), putOne(), addLine(), putOne(), addLine(), foldLines(), addLine(), replaceAll(), dropOldest(), addLine(), putOne(),
	{"delete", func(ctx context.Context, s *pebble.Store, k persist.Key, _ life, n int) error {
		return s.Delete(ctx, k, []uint64{uint64(n), 1 << 40})
	}, func(l *life, n int) {
		l.deleted = true
		l.epoch++
		l.dead = persist.MergeDead(l.dead, []uint64{uint64(n), 1 << 40})
	}},
	{"undelete", func(ctx context.Context, s *pebble.Store, k persist.Key, _ life, _ int) error {
		return s.Undelete(ctx, k)
	}, func(l *life, _ int) { l.deleted = false }},
	foldLines(), replaceAll(), addLine(),
	{"purge", func(ctx context.Context, s *pebble.Store, k persist.Key, _ life, _ int) error {
		return s.Purge(ctx, k)
	}, func(l *life, _ int) { *l = life{} }},
	replaceAll(), putOne(),
	{"purge", func(ctx context.Context, s *pebble.Store, k persist.Key, _ life, _ int) error {
		return s.Purge(ctx, k)
	}, func(l *life, _ int) { *l = life{} }},
}

// lifeAfter is the document after n steps.
func lifeAfter(n int) (l life) {
	for i := n / len(steps) * len(steps); i < n; i++ {
		steps[i%len(steps)].do(&l, i)
	}
	return l
}

// takeStep does step n, behind n others.
func takeStep(ctx context.Context, s *pebble.Store, k persist.Key, n int) error {
	if err := steps[n%len(steps)].call(ctx, s, k, lifeAfter(n), n); err != nil {
		return fmt.Errorf("step %d, %s: %w", n, steps[n%len(steps)].name, err)
	}
	return nil
}

// text is the life as readLife has it.
func (l life) text() string {
	switch {
	case !l.exists:
		return "nothing"
	case l.deleted:
		return fmt.Sprintf("deleted in %d", l.epoch)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "epoch %d from %d: %d@%d %q dead %v versions", l.epoch, l.first, l.seq, l.snap, l.lines, l.dead)
	for _, id := range l.versions {
		var n int
		_, _ = fmt.Sscanf(id, "v%d", &n)
		fmt.Fprintf(&b, " %s=%s", id, lifeLine(n))
	}
	return b.String()
}

// states are the sizes of the snapshot and of the versions.
func (l life) states() (sizes []int) {
	if l.snap > 0 {
		sizes = append(sizes, len(strings.Join(l.lines[:l.snap-l.first], "\n")))
	}
	for _, id := range l.versions {
		var n int
		_, _ = fmt.Sscanf(id, "v%d", &n)
		sizes = append(sizes, len(lifeLine(n)))
	}
	return sizes
}

// readLife reads all of a document.
func readLife(ctx context.Context, s *pebble.Store, k persist.Key) (string, error) {
	d, err := s.Load(ctx, k)
	if errors.Is(err, persist.ErrDeleted) {
		page, _, err := s.List(ctx, k.Party, k.Room, "", 1)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("deleted in %d", page[0].Epoch), nil
	}
	if err != nil {
		return "", err
	}
	l := life{exists: d.Exists, epoch: d.Epoch, first: d.First, seq: d.Seq, snap: d.Snapshot.Seq, dead: d.Dead}
	if d.Snapshot.Seq != 0 {
		l.lines = strings.Split(string(d.Snapshot.Data), "\n")
	}
	for _, u := range d.Tail {
		l.lines = append(l.lines, string(u.Data))
	}
	text := l.text()
	versions, _, err := s.Versions(ctx, k, "", 0)
	if err != nil {
		return "", err
	}
	for _, v := range versions {
		_, state, err := s.Version(ctx, k, v.ID)
		if err != nil {
			return "", err
		}
		text += fmt.Sprintf(" %s=%s", v.ID, state)
	}
	return text, nil
}

// stepsDone says after how many steps a document is what it is: acked ones, or one
// more. An error says that it is neither.
func stepsDone(ctx context.Context, s *pebble.Store, k persist.Key, acked int) (int, error) {
	got, err := readLife(ctx, s, k)
	if err != nil {
		return 0, fmt.Errorf("after %d steps: %w", acked, err)
	}
	for n := acked; n <= acked+1; n++ {
		if got == lifeAfter(n).text() {
			return n, nil
		}
	}
	return 0, fmt.Errorf("after %d acknowledged steps:\n%.300s\ninstead of\n%.300s\nor\n%.300s", acked, got, lifeAfter(acked).text(), lifeAfter(acked+1).text())
}

// everything is due.
func everything() persist.SweepOptions {
	later := time.Now().Add(time.Hour)
	return persist.SweepOptions{SupersededBefore: later, OrphansBefore: later, Limit: 7}
}

func sweepAll(ctx context.Context, s *pebble.Store) error {
	for {
		if stats, err := s.Sweep(ctx, everything()); err != nil || !stats.More {
			return err
		}
	}
}

// checkLives checks documents against the steps that were acknowledged, sweeps,
// checks them again, and counts what is stored of them, which must be all there
// is. It returns the steps.
func checkLives(ctx context.Context, s *pebble.Store, acked map[persist.Key]int, objects func() int) (done map[persist.Key]int, err error) {
	done = make(map[persist.Key]int)
	rows, states, pieces := 0, 0, 0
	for range 2 {
		rows, states, pieces = 0, 0, 0
		for k, n := range acked {
			if done[k], err = stepsDone(ctx, s, k, n); err != nil {
				return nil, fmt.Errorf("%v: %w", k, err)
			}
			l := lifeAfter(done[k])
			rows += int(l.seq - l.snap)
			for _, size := range l.states() {
				states++
				pieces += (size + pebble.TestPieceBytes - 1) / pebble.TestPieceBytes
			}
		}
		if err := sweepAll(ctx, s); err != nil {
			return nil, err
		}
	}
	want := map[byte]int{'l': rows, 's': pieces, 'n': 0, 'w': 0, 'o': 0, 'p': 0}
	if objects != nil {
		want['n'], want['s'] = states, 0
		if n := objects(); n != states {
			return nil, fmt.Errorf("%d objects for %d states", n, states)
		}
	}
	for kind, want := range want {
		if n, err := s.CountKind(kind); err != nil || n != want {
			return nil, fmt.Errorf("%d of %d records of kind %q: %w", n, want, kind, err)
		}
	}
	return done, nil
}

// cutAtEveryWrite returns what power cuts leave of fs at each write to the disk
// that happens while fn runs on it: without anything that was not synced, and with
// all of it.
func cutAtEveryWrite(t *testing.T, fs *crashMem, o pebble.Options, fn func(pebble.Options)) (cuts []*crashMem) {
	var mu sync.Mutex
	o.FS = errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			cuts = append(cuts, fs.CrashClone(vfs.CrashCloneCfg{}),
				fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))}))
		}
		return nil
	}))
	fn(o)
	mu.Lock()
	defer mu.Unlock()
	t.Logf("%d cuts", len(cuts))
	return cuts
}

// cloneBucket is what a bucket holds.
func cloneBucket(tb testing.TB, m *objecttest.Memory) *objecttest.Memory {
	clone := new(objecttest.Memory)
	for _, name := range m.Names() {
		data, err := m.Get(context.Background(), name, 1<<30)
		require.NoError(tb, err)
		require.NoError(tb, clone.Put(context.Background(), name, data))
	}
	return clone
}

// cutLife is one power cut during a life.
type cutLife struct {
	fs     *crashMem
	bucket *objecttest.Memory
	acked  int
}

// TestInterruptedLives cuts the power before and after every write to the disk and
// every call of the bucket, in every step: each is whole or absent, nothing is
// left over, and no object is missing that a row names.
func TestInterruptedLives(t *testing.T) {
	for _, bucket := range []bool{false, true} {
		t.Run(fmt.Sprintf("bucket=%v", bucket), func(t *testing.T) { interruptLife(t, bucket) })
	}
}

func interruptLife(t *testing.T, bucket bool) {
	fs := newCrashMem()
	memory := new(objecttest.Memory)
	var mu sync.Mutex
	var cuts []cutLife
	acked := 0
	cut := func() {
		mu.Lock()
		defer mu.Unlock()
		b := cloneBucket(t, memory)
		cuts = append(cuts, cutLife{fs.CrashClone(vfs.CrashCloneCfg{}), b, acked},
			cutLife{fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))}), cloneBucket(t, memory), acked})
	}
	o := pebble.Options{FS: errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			cut()
		}
		return nil
	}))}.Small()
	if bucket {
		o.Bucket = around{memory, cut}
	}
	s := mustOpen(t, "db", o)
	for n := range 2 * len(steps) {
		require.NoError(t, takeStep(t.Context(), s, notes, n))
		mu.Lock()
		acked = n + 1
		mu.Unlock()
		if n%5 == 4 {
			_, err := s.Sweep(t.Context(), everything())
			require.NoError(t, err)
		}
	}
	require.NoError(t, s.Close())
	before, after := 0, 0
	for _, c := range cuts {
		o.FS = c.fs
		var objects func() int
		if bucket {
			o.Bucket = c.bucket
			objects = func() int { return len(c.bucket.Names()) }
		}
		s := mustOpen(t, "db", o)
		done, err := checkLives(t.Context(), s, map[persist.Key]int{notes: c.acked}, objects)
		require.NoError(t, err)
		if done[notes] > c.acked {
			after++
		} else {
			before++
		}
		if bucket && c.acked%3 == 0 { // it goes on
			require.NoError(t, takeStep(t.Context(), s, notes, done[notes]))
		}
		require.NoError(t, s.Close())
	}
	t.Logf("%d cuts before a step took effect, %d after", before, after)
	require.Positive(t, before)
	require.Positive(t, after)
}

// around is a bucket that calls cut before and after everything that changes it.
type around struct {
	object.Bucket
	cut func()
}

func (a around) Put(ctx context.Context, name string, stored []byte) error {
	a.cut()
	defer a.cut()
	return a.Bucket.Put(ctx, name, stored)
}

func (a around) Delete(ctx context.Context, names []string) error {
	a.cut()
	defer a.cut()
	return a.Bucket.Delete(ctx, names)
}
