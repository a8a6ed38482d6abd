package pebble_test

import (
	"context"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/object"
	"github.com/yserverd/yserverd/persist/object/objecttest"
	"github.com/yserverd/yserverd/persist/pebble"
	"github.com/yserverd/yserverd/persist/persisttest"
)

func TestBucketSuite(t *testing.T) {
	for _, options := range []struct {
		name string
		make func() pebble.Options
	}{
		{"memory", func() pebble.Options { return pebble.Options{FS: vfs.NewMem()} }},
		{"small", func() pebble.Options { return pebble.Options{FS: vfs.NewMem(), Heads: 2, MaxInFlight: 2}.Small() }},
	} {
		t.Run(options.name, func(t *testing.T) {
			t.Parallel()
			o, base := options.make(), t.TempDir()
			persisttest.RunBucket(t, func(tb testing.TB, name string, bucket object.Bucket) persisttest.Store {
				o.Bucket = bucket
				return mustOpen(tb, filepath.Join(base, name), o)
			})
		})
	}
}

// held is a bucket whose Put, once it has taken effect, waits until it may return.
type held struct {
	object.Bucket
	put chan string   // gets the name
	on  chan struct{} // closed to let it return
}

func (h held) Put(ctx context.Context, name string, stored []byte) error {
	err := h.Bucket.Put(ctx, name, stored)
	h.put <- name
	<-h.on
	return err
}

// TestSweepSparesWhatIsAboutToBeNamed sweeps while an object is there that no row
// names yet, however young orphans may be.
func TestSweepSparesWhatIsAboutToBeNamed(t *testing.T) {
	for name, write := range map[string]func(context.Context, *pebble.Store) error{
		"compact": func(ctx context.Context, s *pebble.Store) error { return s.Compact(ctx, notes, 0, 2, []byte("ab")) },
		"replace": func(ctx context.Context, s *pebble.Store) error {
			_, err := s.Replace(ctx, notes, 0, nil, []byte("ab"))
			return err
		},
		"version": func(ctx context.Context, s *pebble.Store) error {
			return s.PutVersion(ctx, notes, persist.Version{ID: "v", Created: time.UnixMilli(1)}, []byte("ab"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			memory := new(objecttest.Memory)
			bucket := held{memory, make(chan string), make(chan struct{})}
			s := openMem(t, pebble.Options{Bucket: bucket})
			mustAppend(t, s, notes, 0, "a", "b")
			written, swept := make(chan error, 1), make(chan error, 1)
			go func() { written <- write(t.Context(), s) }()
			object := <-bucket.put
			go func() {
				_, err := s.Sweep(t.Context(), everything())
				swept <- err
			}()
			goWrong(swept)
			names := memory.Names()
			close(bucket.on)
			require.Equal(t, []string{object}, names)
			require.NoError(t, <-written)
			require.NoError(t, <-swept)
			require.Equal(t, []string{object}, memory.Names())
			mustLoad(t, s, notes)
		})
	}
}

// goWrong gives a call that has to wait some time to go wrong in. There is nothing
// to wait for if all is well.
func goWrong(done chan error) {
	select {
	case err := <-done:
		done <- err
	case <-time.After(20 * time.Millisecond):
	}
}

// TestPurgeWaitsForWriters: an object that a call in flight has put does not
// outlive a purge.
func TestPurgeWaitsForWriters(t *testing.T) {
	memory := new(objecttest.Memory)
	bucket := held{memory, make(chan string), make(chan struct{})}
	s := openMem(t, pebble.Options{Bucket: bucket})
	mustAppend(t, s, notes, 0, "a", "b")
	written, purged := make(chan error, 1), make(chan error, 1)
	go func() { written <- s.Compact(t.Context(), notes, 0, 2, []byte("ab")) }()
	<-bucket.put
	go func() { purged <- s.Purge(t.Context(), notes) }()
	close(bucket.on)
	require.NoError(t, <-written)
	require.NoError(t, <-purged)
	require.Empty(t, memory.Names())
	require.False(t, mustLoad(t, s, notes).Exists)
	// Waiting ends with the context.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, s.Purge(ctx, notes), context.Canceled)
}

// TestBucketComesAndGoes: what was stored without a bucket stays readable with
// one; the other way round nothing is quarantined, and nothing is lost.
func TestBucketComesAndGoes(t *testing.T) {
	fs, memory := vfs.NewMem(), new(objecttest.Memory)
	open := func(b object.Bucket) *pebble.Store {
		return mustOpen(t, "db", pebble.Options{FS: fs, Bucket: b}.Small())
	}
	long := strings.Repeat("x", 3*pebble.TestPieceBytes)
	s := open(nil)
	mustAppend(t, s, notes, 0, "a", "b", "c")
	require.NoError(t, s.Compact(t.Context(), notes, 0, 1, []byte(long)))
	putVersion(t, s, notes, "one", 1, long)
	require.NoError(t, s.Close())

	s = open(memory)
	require.Equal(t, long, string(mustLoad(t, s, notes).Snapshot.Data))
	putVersion(t, s, notes, "two", 2, long)
	require.NoError(t, s.Compact(t.Context(), notes, 0, 2, []byte(long+"b")))
	pieces, err := s.CountKind('s')
	require.NoError(t, err)
	require.Equal(t, 3, pieces, "those of the version")
	require.NoError(t, s.Close())

	s = open(nil)
	_, err = s.Load(t.Context(), notes)
	require.ErrorIs(t, err, persist.ErrUnavailable)
	_, _, err = s.Version(t.Context(), notes, "two")
	require.ErrorIs(t, err, persist.ErrUnavailable)
	_, state, err := s.Version(t.Context(), notes, "one")
	require.NoError(t, err)
	require.Equal(t, long, string(state))
	require.NoError(t, s.Compact(t.Context(), notes, 0, 3, []byte("abc")))
	require.Equal(t, "abc", string(mustLoad(t, s, notes).Snapshot.Data))
	_, err = s.Sweep(t.Context(), everything())
	require.ErrorIs(t, err, persist.ErrUnavailable, "there is something to sweep")
	require.Zero(t, s.Stats().Quarantined)
	mustAppend(t, s, sound, 0, "x")
	require.ErrorIs(t, s.Purge(t.Context(), notes), persist.ErrUnavailable)
	require.Len(t, memory.Names(), 2)
	require.NoError(t, s.Close())

	s = open(memory)
	require.NoError(t, sweepAll(t.Context(), s), "of what the purge left")
	require.Empty(t, memory.Names())
	require.ErrorIs(t, s.Purge(t.Context(), notes), persist.ErrNotFound)
	st := s.Stats()
	require.Equal(t, uint64(2), st.SweptObjects)
	require.NoError(t, s.Close())
}

// TestStoresShareABucket: each sweeps and purges its own objects only.
func TestStoresShareABucket(t *testing.T) {
	memory := new(objecttest.Memory)
	var stores []*pebble.Store
	for range 2 {
		s := openMem(t, pebble.Options{Bucket: memory})
		stores = append(stores, s)
		mustAppend(t, s, notes, 0, "a", "b")
		require.NoError(t, s.Compact(t.Context(), notes, 0, 1, []byte("a")))
		require.NoError(t, s.Compact(t.Context(), notes, 0, 2, []byte("ab")))
	}
	require.Len(t, memory.Names(), 4)
	require.NoError(t, sweepAll(t.Context(), stores[0]))
	require.Len(t, memory.Names(), 3)
	require.NoError(t, stores[0].Purge(t.Context(), notes))
	require.Len(t, memory.Names(), 2)
	require.Equal(t, "ab", string(mustLoad(t, stores[1], notes).Snapshot.Data))
}

// TestReplaceBesideAppends: the object has the name that it was put under,
// whatever is appended while it is put.
func TestReplaceBesideAppends(t *testing.T) {
	memory := new(objecttest.Memory)
	bucket := held{memory, make(chan string), make(chan struct{})}
	fs := vfs.NewMem()
	s := mustOpen(t, "db", pebble.Options{Bucket: bucket, FS: fs})
	mustAppend(t, s, notes, 0, "a", "b")
	replaced := make(chan error, 1)
	go func() {
		_, err := s.Replace(t.Context(), notes, 0, nil, []byte("new"))
		replaced <- err
	}()
	<-bucket.put
	mustAppend(t, s, notes, 2, "c")
	close(bucket.on)
	require.NoError(t, <-replaced)
	for range 2 {
		d := mustLoad(t, s, notes)
		require.Equal(t, "new", string(d.Snapshot.Data))
		require.Equal(t, uint64(4), d.Seq)
		require.Equal(t, uint64(3), d.First)
		require.NoError(t, s.Close())
		s = mustOpen(t, "db", pebble.Options{Bucket: memory, FS: fs})
	}
	require.NoError(t, s.Close())
}

// reading is a bucket whose Get calls a function first.
type reading struct {
	object.Bucket
	first func()
}

func (r reading) Get(ctx context.Context, name string, most int64) ([]byte, error) {
	r.first()
	return r.Bucket.Get(ctx, name, most)
}

// TestReadersOfWhatIsSwept: an object that was superseded and swept after its row
// was read is not missing.
func TestReadersOfWhatIsSwept(t *testing.T) {
	memory := new(objecttest.Memory)
	var s *pebble.Store
	between := func() {}
	s = openMem(t, pebble.Options{Bucket: reading{memory, func() {
		act := between
		between = func() {}
		act()
	}}})
	mustAppend(t, s, notes, 0, "a", "b")
	require.NoError(t, s.Compact(t.Context(), notes, 0, 1, []byte("a")))
	between = func() {
		require.NoError(t, s.Compact(t.Context(), notes, 0, 2, []byte("ab")))
		require.NoError(t, sweepAll(t.Context(), s))
	}
	require.Equal(t, "ab", string(mustLoad(t, s, notes).Snapshot.Data))
	putVersion(t, s, notes, "v", 1, "state")
	between = func() {
		require.NoError(t, s.DeleteVersion(t.Context(), notes, "v"))
		require.NoError(t, sweepAll(t.Context(), s))
	}
	_, _, err := s.Version(t.Context(), notes, "v")
	require.ErrorIs(t, err, persist.ErrNotFound)
	putVersion(t, s, notes, "v", 1, "state")
	between = func() {
		require.NoError(t, s.DeleteVersion(t.Context(), notes, "v"))
		require.NoError(t, sweepAll(t.Context(), s))
		putVersion(t, s, notes, "v", 1, "state")
	}
	_, state, err := s.Version(t.Context(), notes, "v")
	require.NoError(t, err)
	require.Equal(t, "state", string(state))
	between = func() { require.NoError(t, s.Purge(t.Context(), notes)) }
	require.False(t, mustLoad(t, s, notes).Exists)
	require.Zero(t, s.Stats().Quarantined)
}

// TestSweepWaitsForTheDisk: what has superseded an object is visible before it is
// durable, and until then a power cut would bring the row back that names it.
func TestSweepWaitsForTheDisk(t *testing.T) {
	memory := new(objecttest.Memory)
	var gate atomic.Pointer[chan struct{}]
	o := pebble.Options{Bucket: memory, FS: errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if wait := gate.Load(); wait != nil && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) {
			<-*wait
		}
		return nil
	}))}
	s := openMem(t, o)
	mustAppend(t, s, notes, 0, "a", "b")
	putVersion(t, s, notes, "v", 1, "state")
	before, applied := memory.Names(), s.Applied()
	wait := make(chan struct{})
	gate.Store(&wait)
	written, swept := make(chan error, 1), make(chan error, 1)
	go func() { written <- s.DeleteVersion(t.Context(), notes, "v") }()
	require.Eventually(t, func() bool { return s.Applied() > applied }, 10*time.Second, time.Millisecond)
	go func() {
		_, err := s.Sweep(t.Context(), everything())
		swept <- err
	}()
	goWrong(swept)
	names := memory.Names()
	gate.Store(nil)
	close(wait)
	require.Equal(t, before, names)
	require.NoError(t, <-written)
	require.NoError(t, <-swept)
	require.NoError(t, sweepAll(t.Context(), s))
	require.Empty(t, memory.Names())
}
