package pebble_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/pebble"
)

var (
	damaged = persist.Key{Party: "main", Room: "damaged"}
	sound   = persist.Key{Party: "main", Room: "sound"}
)

// records copies everything that is stored of a document.
func records(tb testing.TB, s *pebble.Store, k persist.Key) (all []pebble.Record) {
	tb.Helper()
	for r, err := range s.Records(tb.Context(), k) {
		require.NoError(tb, err)
		all = append(all, pebble.Record{Key: bytes.Clone(r.Key), Value: bytes.Clone(r.Value)})
	}
	return all
}

// ofKind leaves the records of a kind, by its letter.
func ofKind(all []pebble.Record, kind byte) (some []pebble.Record) {
	for _, r := range all {
		if r.Key[0] == kind {
			some = append(some, r)
		}
	}
	return some
}

func flip(b []byte, i int) []byte {
	b = bytes.Clone(b)
	b[i] ^= 0x10
	return b
}

// TestDamage breaks what is stored in every way and expects the document to be
// taken out of service, kept as it is, and nothing else to suffer.
func TestDamage(t *testing.T) {
	type damage func(t *testing.T, s *pebble.Store, row func(seq uint64) []byte)
	set := func(t *testing.T, s *pebble.Store, key, value []byte) {
		require.NoError(t, s.DB().Set(key, value, nil))
	}
	get := func(t *testing.T, s *pebble.Store, key []byte) []byte {
		v, closer, err := s.DB().Get(key)
		require.NoError(t, err)
		defer closer.Close()
		return bytes.Clone(v)
	}
	del := func(t *testing.T, s *pebble.Store, key []byte) { require.NoError(t, s.DB().Delete(key, nil)) }
	piece := func(t *testing.T, s *pebble.Store, i int) pebble.Record {
		return ofKind(records(t, s, damaged), 's')[i]
	}
	for _, c := range []struct {
		name, message string
		row           uint64
		do            damage
	}{
		{"flipped bit in a row", "checksum", 5, func(t *testing.T, s *pebble.Store, row func(uint64) []byte) {
			set(t, s, row(5), flip(get(t, s, row(5)), 3))
		}},
		{"flipped bit in a checksum", "checksum", 5, func(t *testing.T, s *pebble.Store, row func(uint64) []byte) {
			v := get(t, s, row(5))
			set(t, s, row(5), flip(v, len(v)-1))
		}},
		{"row cut short", "checksum", 4, func(t *testing.T, s *pebble.Store, row func(uint64) []byte) {
			v := get(t, s, row(4))
			set(t, s, row(4), v[:len(v)-1])
		}},
		{"row emptied", "truncated", 4, func(t *testing.T, s *pebble.Store, row func(uint64) []byte) { set(t, s, row(4), nil) }},
		{"row of another place", "checksum", 5, func(t *testing.T, s *pebble.Store, row func(uint64) []byte) {
			set(t, s, row(5), get(t, s, row(4)))
		}},
		{"row of another document", "checksum", 5, func(t *testing.T, s *pebble.Store, row func(uint64) []byte) {
			set(t, s, row(5), get(t, s, s.RowKey(sound, 1)))
		}},
		{"first row missing", "missing", 4, func(t *testing.T, s *pebble.Store, row func(uint64) []byte) { del(t, s, row(4)) }},
		{"row in between missing", "missing", 5, func(t *testing.T, s *pebble.Store, row func(uint64) []byte) { del(t, s, row(5)) }},
		{"last row missing", "missing", 6, func(t *testing.T, s *pebble.Store, row func(uint64) []byte) { del(t, s, row(6)) }},
		{"row of unknown format", "unknown", 5, func(t *testing.T, s *pebble.Store, row func(uint64) []byte) {
			set(t, s, row(5), pebble.Sealed(row(5), []byte("\x63data")))
		}},
		{"row too many", "should not exist", 9, func(t *testing.T, s *pebble.Store, row func(uint64) []byte) {
			set(t, s, row(9), pebble.Sealed(row(9), []byte("\x01data")))
		}},
		{"flipped bit in the head", "head: checksum", 0, func(t *testing.T, s *pebble.Store, _ func(uint64) []byte) {
			set(t, s, pebble.HeadKey(damaged), flip(get(t, s, pebble.HeadKey(damaged)), 4))
		}},
		{"head of another document", "head: checksum", 0, func(t *testing.T, s *pebble.Store, _ func(uint64) []byte) {
			set(t, s, pebble.HeadKey(damaged), get(t, s, pebble.HeadKey(sound)))
		}},
		{"flipped bit in a piece of the snapshot", "snapshot 3, piece 1: checksum", 0, func(t *testing.T, s *pebble.Store, _ func(uint64) []byte) {
			p := piece(t, s, 1)
			set(t, s, p.Key, flip(p.Value, 100))
		}},
		{"pieces exchanged", "snapshot 3, piece 0: checksum", 0, func(t *testing.T, s *pebble.Store, _ func(uint64) []byte) {
			set(t, s, piece(t, s, 0).Key, piece(t, s, 1).Value)
		}},
		{"piece in between missing", "snapshot 3, piece 1: missing", 0, func(t *testing.T, s *pebble.Store, _ func(uint64) []byte) {
			del(t, s, piece(t, s, 1).Key)
		}},
		{"last piece missing", "size", 0, func(t *testing.T, s *pebble.Store, _ func(uint64) []byte) { del(t, s, piece(t, s, 2).Key) }},
		{"piece too many", "size", 0, func(t *testing.T, s *pebble.Store, _ func(uint64) []byte) {
			k := bytes.Clone(piece(t, s, 2).Key)
			k[len(k)-1]++
			set(t, s, k, pebble.Sealed(k, []byte("\x01data")))
		}},
		{"piece that verifies but is another", "sha256", 0, func(t *testing.T, s *pebble.Store, _ func(uint64) []byte) {
			p := piece(t, s, 1)
			set(t, s, p.Key, pebble.Sealed(p.Key, flip(p.Value[:len(p.Value)-4], 9)))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs := vfs.NewMem()
			s := mustOpen(t, "db", pebble.Options{FS: fs}.Small())
			defer func() { require.NoError(t, s.Close()) }()
			mustAppend(t, s, sound, 0, "one", "two")
			mustAppend(t, s, damaged, 0, "1", "2", "3", "4444", "5555", "6666")
			require.NoError(t, s.Compact(t.Context(), damaged, 0, 3, bytes.Repeat([]byte("123"), pebble.TestPieceBytes*5/6)))
			c.do(t, s, func(seq uint64) []byte { return s.RowKey(damaged, seq) })

			// As after a restart: nothing is remembered.
			require.NoError(t, s.Close())
			s = mustOpen(t, "db", pebble.Options{FS: fs}.Small())
			before := records(t, s, damaged)
			_, err := s.Load(t.Context(), damaged)
			requireCorrupt(t, err, c.row, c.message)
			requireOutOfService(t, s, before)

			require.NoError(t, s.Close())
			s = mustOpen(t, "db", pebble.Options{FS: fs}.Small())
			requireOutOfService(t, s, before)
		})
	}
}

func requireCorrupt(tb testing.TB, err error, row uint64, message string) {
	tb.Helper()
	require.ErrorIs(tb, err, persist.ErrCorrupt)
	var corrupt *persist.CorruptError
	require.ErrorAs(tb, err, &corrupt)
	require.Equal(tb, damaged, corrupt.Key)
	require.Equal(tb, row, corrupt.Row)
	require.Contains(tb, corrupt.Reason, message)
}

// requireOutOfService checks that the document is served to nobody, that its
// records stay what they were, and that the other document works.
func requireOutOfService(tb testing.TB, s *pebble.Store, before []pebble.Record) {
	tb.Helper()
	ctx := tb.Context()
	_, err := s.Load(ctx, damaged)
	require.ErrorIs(tb, err, persist.ErrCorrupt)
	_, err = s.LoadAfter(ctx, damaged, 3)
	require.ErrorIs(tb, err, persist.ErrCorrupt)
	for _, after := range []uint64{0, 3, 6} {
		require.ErrorIs(tb, tryAppend(ctx, s, damaged, after, "x"), persist.ErrCorrupt)
	}
	require.ErrorIs(tb, s.Compact(ctx, damaged, 0, 6, []byte("x")), persist.ErrCorrupt)
	require.ErrorIs(tb, s.Delete(ctx, damaged, nil), persist.ErrCorrupt)
	page, _, err := s.List(ctx, "main", "", "", 0)
	require.NoError(tb, err)
	require.Equal(tb, damaged, page[0].Key)
	require.NotEmpty(tb, page[0].Quarantined)
	require.Empty(tb, page[1].Quarantined)
	require.Equal(tb, 1, s.Stats().Quarantined)

	after := records(tb, s, damaged)
	for _, kind := range "hdls" {
		require.Equal(tb, ofKind(before, byte(kind)), ofKind(after, byte(kind)))
	}
	d := mustLoad(tb, s, sound)
	mustAppend(tb, s, sound, d.Seq, "more")
}

// TestDamageFoundByAppend: a head that is not remembered is read by an append.
func TestDamageFoundByAppend(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, "db", pebble.Options{FS: fs})
	mustAppend(t, s, damaged, 0, "1")
	require.NoError(t, s.DB().Set(pebble.HeadKey(damaged), []byte("nonsense"), nil))
	require.NoError(t, s.Close())
	s = mustOpen(t, "db", pebble.Options{FS: fs})
	defer func() { require.NoError(t, s.Close()) }()
	results, err := s.Append(t.Context(), []persist.Append{
		{Key: damaged, After: 1, Updates: [][]byte{{1}}},
		{Key: sound, Updates: [][]byte{{1}}},
	})
	require.NoError(t, err)
	requireCorrupt(t, results[0].Err, 0, "head")
	require.Equal(t, persist.Result{Seq: 1}, results[1])
	_, err = s.Load(t.Context(), damaged)
	require.ErrorIs(t, err, persist.ErrCorrupt)
}

// TestRepairedDocumentCanBeReleased: the mark goes, and comes back if the damage
// did.
func TestRepairedDocumentCanBeReleased(t *testing.T) {
	s := openMem(t, pebble.Options{})
	mustAppend(t, s, damaged, 0, "1", "2")
	row := ofKind(records(t, s, damaged), 'l')[1]
	require.NoError(t, s.DB().Set(row.Key, flip(row.Value, 1), nil))
	_, err := s.Load(t.Context(), damaged)
	requireCorrupt(t, err, 2, "checksum")
	require.NoError(t, s.Release(t.Context(), damaged))
	_, err = s.Load(t.Context(), damaged)
	requireCorrupt(t, err, 2, "checksum")

	require.NoError(t, s.DB().Set(row.Key, row.Value, nil))
	require.NoError(t, s.Release(t.Context(), damaged))
	require.Equal(t, uint64(2), mustLoad(t, s, damaged).Seq)
	mustAppend(t, s, damaged, 2, "3")
}

// TestDamagedBlock damages a table file itself: the documents in the block are
// quarantined, those elsewhere go on, and the process lives.
func TestDamagedBlock(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, "db", pebble.Options{FS: fs})
	fill := func(party string) { // so that heads and rows are blocks apart
		for i := range 300 {
			mustAppend(t, s, persist.Key{Party: party, Room: fmt.Sprint("r", i)}, 0, strings.Repeat("x", 100))
		}
	}
	fill("lain")
	content := make([]byte, 3000) // does not compress, so it can be found
	_, _ = rand.Read(content)
	mustAppend(t, s, damaged, 0, string(content))
	fill("main")
	mustAppend(t, s, sound, 0, "s")
	require.NoError(t, s.DB().Flush())
	require.NoError(t, s.Close())

	files, err := fs.List("db")
	require.NoError(t, err)
	found := 0
	for _, name := range files {
		if filepath.Ext(name) != ".sst" {
			continue
		}
		data, err := fs.UnsafeGetFileDataBuffer("db/" + name)
		require.NoError(t, err)
		if i := bytes.Index(data, content[1000:1100]); i >= 0 {
			data[i] ^= 1
			found++
		}
	}
	require.Equal(t, 1, found)
	s = mustOpen(t, "db", pebble.Options{FS: fs})
	defer func() { require.NoError(t, s.Close()) }()
	_, err = s.Load(t.Context(), damaged)
	requireCorrupt(t, err, 1, "damaged block")
	require.Equal(t, uint64(1), mustLoad(t, s, sound).Seq)
	mustAppend(t, s, sound, 1, "more")
	require.Positive(t, s.Stats().BackgroundErrors)
}

func TestRecordsEndsEarly(t *testing.T) {
	s := openMem(t, pebble.Options{})
	mustAppend(t, s, notes, 0, "1", "2")
	require.Len(t, records(t, s, notes), 4, "head, name, two rows")
	for r, err := range s.Records(t.Context(), notes) {
		require.NoError(t, err)
		require.Equal(t, pebble.HeadKey(notes), r.Key)
		break
	}
	require.Empty(t, records(t, s, sound))
	for _, err := range s.Records(t.Context(), persist.Key{}) {
		require.ErrorIs(t, err, persist.ErrInvalid)
	}
}
