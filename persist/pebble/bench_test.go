package pebble_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/pebble"
)

// updateBytes is the size of an update of one keystroke, with some of its
// surroundings.
const updateBytes = 64

// documents makes appends to that many documents, one update each, from the
// documents' first on.
func documents(party string, n int) []persist.Append {
	data := make([]byte, updateBytes)
	_, _ = rand.Read(data)
	items := make([]persist.Append, n)
	for i := range items {
		items[i] = persist.Append{Key: persist.Key{Party: party, Room: fmt.Sprint("room", i)}, Updates: [][]byte{data}}
	}
	return items
}

func mustAppendAll(tb testing.TB, s *pebble.Store, items []persist.Append) {
	results, err := s.Append(tb.Context(), items)
	if err != nil {
		tb.Fatal(err)
	}
	for i, r := range results {
		if r.Err != nil {
			tb.Fatal(r.Err)
		}
		items[i].After = r.Seq
	}
}

// BenchmarkAppend is one caller with grouped appends, fsynced on the real file
// system: appends/s are documents, commits/s are calls.
func BenchmarkAppend(b *testing.B) {
	for _, docs := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("docs=%d", docs), func(b *testing.B) {
			s := mustOpen(b, b.TempDir(), pebble.Options{})
			items := documents("main", docs)
			mustAppendAll(b, s, items)
			b.ReportAllocs()
			b.SetBytes(int64(docs * updateBytes))
			for b.Loop() {
				mustAppendAll(b, s, items)
			}
			b.ReportMetric(float64(docs*b.N)/b.Elapsed().Seconds(), "appends/s")
			b.StopTimer()
			require.NoError(b, s.Close())
		})
	}
}

// TestAppendAgainstFile logs what a store costs over its medium: the same bytes written to a plain file with one fsync for
// all documents of a call. Both take turns, so that what else the machine does strikes both.
func TestAppendAgainstFile(t *testing.T) {
	s := mustOpen(t, t.TempDir(), pebble.Options{})
	defer func() { require.NoError(t, s.Close()) }()
	items := documents("main", 256)
	file, err := os.Create(filepath.Join(t.TempDir(), "raw"))
	require.NoError(t, err)
	defer file.Close()
	raw := bytes.Repeat(items[0].Updates[0], len(items))
	var stored, plain time.Duration
	const rounds = 40
	for round := range rounds {
		begun := time.Now()
		mustAppendAll(t, s, items)
		between := time.Now()
		_, err := file.Write(raw)
		require.NoError(t, err)
		require.NoError(t, file.Sync())
		if round >= rounds/4 { // until then caches are filled
			stored += between.Sub(begun)
			plain += time.Since(between)
		}
	}
	n := float64(len(items) * rounds * 3 / 4)
	t.Logf("appends of 256 documents: %.0f/s, raw fsynced file %.0f/s, ratio %.2f",
		n/stored.Seconds(), n/plain.Seconds(), plain.Seconds()/stored.Seconds())
	require.Equal(t, uint64(rounds), items[255].After)
}

// BenchmarkAppendConcurrent is many callers with one document each: what sharing
// fsyncs is worth.
func BenchmarkAppendConcurrent(b *testing.B) {
	for _, callers := range []int{16, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s := mustOpen(b, b.TempDir(), pebble.Options{MaxInFlight: callers})
			b.ReportAllocs()
			b.SetParallelism(callers / 2) // times GOMAXPROCS
			var n atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				items := documents(fmt.Sprint("party", n.Add(1)), 1)
				for pb.Next() {
					mustAppendAll(b, s, items)
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
			b.StopTimer()
			require.NoError(b, s.Close())
		})
	}
}

// BenchmarkLoad is a document with a snapshot of 100 KiB and a tail of 500 rows,
// which is where snapshots are due.
func BenchmarkLoad(b *testing.B) {
	for _, flushed := range []bool{false, true} {
		b.Run(fmt.Sprintf("tail=500/flushed=%v", flushed), func(b *testing.B) {
			s := mustOpen(b, b.TempDir(), pebble.Options{})
			items := documents("main", 1)
			mustAppendAll(b, s, items)
			require.NoError(b, s.Compact(b.Context(), items[0].Key, 0, 1, bytes.Repeat([]byte("snapshot"), 100<<10/8)))
			for range 500 {
				mustAppendAll(b, s, items)
			}
			if flushed {
				require.NoError(b, s.DB().Flush())
			}
			b.ReportAllocs()
			b.SetBytes(100<<10 + 500*updateBytes)
			for b.Loop() {
				d, err := s.Load(b.Context(), items[0].Key)
				if err != nil || len(d.Tail) != 500 {
					b.Fatal(err, len(d.Tail))
				}
			}
			b.StopTimer()
			require.NoError(b, s.Close())
		})
	}
}

// BenchmarkLoadUnknown is opening a room that was never written.
func BenchmarkLoadUnknown(b *testing.B) {
	s := mustOpen(b, b.TempDir(), pebble.Options{})
	items := documents("main", 1000)
	mustAppendAll(b, s, items)
	b.ReportAllocs()
	for b.Loop() {
		if d, err := s.Load(b.Context(), notes); err != nil || d.Exists {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	require.NoError(b, s.Close())
}

// BenchmarkCompact folds one row into a snapshot again and again.
func BenchmarkCompact(b *testing.B) {
	for _, size := range []int{100 << 10, 16 << 20} {
		b.Run(fmt.Sprintf("snapshot=%dKiB", size>>10), func(b *testing.B) {
			s := mustOpen(b, b.TempDir(), pebble.Options{})
			items := documents("main", 1)
			snapshot := make([]byte, size)
			_, _ = rand.Read(snapshot)
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				mustAppendAll(b, s, items)
				if err := s.Compact(b.Context(), items[0].Key, 0, items[0].After, snapshot); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			require.NoError(b, s.Close())
		})
	}
}
