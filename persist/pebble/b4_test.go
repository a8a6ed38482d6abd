package pebble_test

import (
	"compress/gzip"
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/object"
	"github.com/yserverd/yserverd/persist/object/objecttest"
	"github.com/yserverd/yserverd/persist/pebble"
	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/ydoc"
)

// b4Edits is the trace: position, deleted characters, inserted text.
func b4Edits(tb testing.TB) (edits [][]any) {
	f, err := os.Open("../../fixtures/data/b4-trace.json.gz")
	require.NoError(tb, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(tb, err)
	require.NoError(tb, json.NewDecoder(z).Decode(&edits))
	return edits
}

// typist makes updates of one client that types into the root text "text", one
// character at a time. It knows the ids of the visible characters around its
// cursor.
type typist struct {
	left, right []uint64 // clocks; those right of the cursor in reverse
	next        uint64
}

const typistID = 1000

func (w *typist) moveTo(pos int) {
	for len(w.left) > pos {
		w.right = append(w.right, w.left[len(w.left)-1])
		w.left = w.left[:len(w.left)-1]
	}
	for len(w.left) < pos {
		w.left = append(w.left, w.right[len(w.right)-1])
		w.right = w.right[:len(w.right)-1]
	}
}

func (w *typist) insert(pos int, char string) []byte {
	w.moveTo(pos)
	u := lib0.AppendVarUint(lib0.AppendVarUint([]byte{1, 1}, typistID), w.next)
	info, at := byte(4), len(u)
	u = append(u, 0)
	if len(w.left) > 0 {
		info |= 0x80
		u = lib0.AppendVarUint(lib0.AppendVarUint(u, typistID), w.left[len(w.left)-1])
	}
	if len(w.right) > 0 {
		info |= 0x40
		u = lib0.AppendVarUint(lib0.AppendVarUint(u, typistID), w.right[len(w.right)-1])
	}
	if info == 4 {
		u = lib0.AppendVarString(append(u, 1), "text")
	}
	u[at] = info
	w.left = append(w.left, w.next)
	w.next++
	return append(lib0.AppendVarString(u, char), 0)
}

func (w *typist) remove(pos int) []byte {
	w.moveTo(pos + 1)
	clock := w.left[pos]
	w.left = w.left[:pos]
	return append(lib0.AppendVarUint(append(lib0.AppendVarUint([]byte{0, 1}, typistID), 1), clock), 1)
}

// TestStorageCost stores the B4 document keystroke by keystroke and folds it as a
// server does: in the end it takes little more than its consolidated encoding, in
// the store or in a bucket.
func TestStorageCost(t *testing.T) {
	edits := b4Edits(t)
	if testing.Short() || raced {
		edits = edits[:50_000]
	}
	for name, bucket := range map[string]*objecttest.Memory{"in the store": nil, "in a bucket": new(objecttest.Memory)} {
		var b object.Bucket
		if bucket != nil {
			b = bucket
		}
		s := mustOpen(t, t.TempDir(), pebble.Options{Bucket: b})
		encoded, logged := storeTrace(t, s, edits)
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
			name, len(edits), logged, encoded, records, times(records), tables, times(int(tables)), objects, times(objects), s.Stats().DiskBytes)
		require.LessOrEqual(t, times(records+objects), 1.2)
		require.LessOrEqual(t, times(int(tables)+objects), 1.2)
		require.NoError(t, s.Close())
	}
}

// storeTrace returns the bytes of the document's consolidated encoding and of the
// updates that were appended.
func storeTrace(t *testing.T, s *pebble.Store, edits [][]any) (encoded, logged int) {
	doc := ydoc.New(ydoc.Config{})
	var w typist
	seq := persist.Seq(0)
	for some := range slices.Chunk(edits, 500) {
		a := persist.Append{Key: notes, After: seq}
		for _, e := range some {
			pos, n := int(e[0].(float64)), int(e[1].(float64))
			var u []byte
			if n > 0 {
				u = w.remove(pos)
			} else {
				u = w.insert(pos, e[2].(string))
			}
			_, err := doc.Apply(u)
			require.NoError(t, err)
			a.Updates = append(a.Updates, u)
			logged += len(u)
		}
		results, err := s.Append(t.Context(), []persist.Append{a})
		require.NoError(t, err)
		require.NoError(t, results[0].Err)
		if seq = results[0].Seq; seq%50_000 == 0 || int(seq) == len(edits) {
			folded, err := doc.Freeze().Compact()
			require.NoError(t, err)
			encoded = len(folded.Update())
			require.NoError(t, s.Compact(t.Context(), notes, 0, seq, folded.Update()))
		}
	}
	return encoded, logged
}
