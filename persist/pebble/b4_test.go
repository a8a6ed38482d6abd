package pebble_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/ytest"
	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/object"
	"github.com/yserverd/yserverd/persist/object/objecttest"
	"github.com/yserverd/yserverd/persist/pebble"
	"github.com/yserverd/yserverd/protocol/ydoc"
)

// TestStorageCost stores the B4 document keystroke by keystroke and folds it as a
// server does: in the end it takes little more than its consolidated encoding, in
// the store or in a bucket.
func TestStorageCost(t *testing.T) {
	updates := ytest.B4(t)
	if testing.Short() || raced {
		updates = updates[:50_000]
	}
	for name, bucket := range map[string]*objecttest.Memory{"in the store": nil, "in a bucket": new(objecttest.Memory)} {
		var b object.Bucket
		if bucket != nil {
			b = bucket
		}
		s := mustOpen(t, t.TempDir(), pebble.Options{Bucket: b})
		encoded, logged := storeTrace(t, s, updates)
		require.NoError(t, s.DB().Flush())
		require.NoError(t, s.DB().Compact(t.Context(), []byte{0}, []byte{0xff}, false))
		records := 0
		for _, r := range all(t, s) {
			records += len(r.Key) + len(r.Value)
		}
		tables, err := s.DB().EstimateDiskUsage([]byte{0}, []byte{0xff})
		require.NoError(t, err)
		objects := 0
		if bucket != nil {
			_, err := s.Sweep(t.Context(), everything())
			require.NoError(t, err)
			require.Len(t, bucket.Names(), 1)
			stored, err := bucket.Get(t.Context(), bucket.Names()[0], 1<<30)
			require.NoError(t, err)
			objects = len(stored)
		}
		times := func(n int) float64 { return float64(n) / float64(encoded) }
		t.Logf("%s: %d updates of %d bytes, consolidated %d; records %d (%.2fx), tables %d (%.2fx), objects %d (%.2fx), directory %d",
			name, len(updates), logged, encoded, records, times(records), tables, times(int(tables)), objects, times(objects), s.Stats().DiskBytes)
		require.LessOrEqual(t, times(records+objects), 1.2)
		require.LessOrEqual(t, times(int(tables)+objects), 1.2)
		require.NoError(t, s.Close())
	}
}

// storeTrace returns the bytes of the document's consolidated encoding and of the
// updates that were appended.
func storeTrace(t *testing.T, s *pebble.Store, updates [][]byte) (encoded, logged int) {
	doc := ydoc.New(ydoc.Config{})
	seq := persist.Seq(0)
	for some := range slices.Chunk(updates, 500) {
		a := persist.Append{Key: notes, After: seq}
		for _, u := range some {
			_, err := doc.Apply(u)
			require.NoError(t, err)
			a.Updates = append(a.Updates, u)
			logged += len(u)
		}
		results, err := s.Append(t.Context(), []persist.Append{a})
		require.NoError(t, err)
		require.NoError(t, results[0].Err)
		if seq = results[0].Seq; seq%50_000 == 0 || int(seq) == len(updates) {
			folded, err := doc.Freeze().Compact()
			require.NoError(t, err)
			encoded = len(folded.Update())
			require.NoError(t, s.Compact(t.Context(), notes, 0, seq, folded.Update()))
		}
	}
	return encoded, logged
}
