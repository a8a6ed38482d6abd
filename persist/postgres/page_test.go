package postgres_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/pgtest"
	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/postgres"
)

// numbered are that many updates from a number on: each says which one it is, and a few are empty or large.
func numbered(from, n int) (updates [][]byte) {
	for i := from; i < from+n; i++ {
		switch u := []byte(fmt.Sprint("update ", i)); i % 7 {
		case 3:
			updates = append(updates, nil)
		case 5:
			updates = append(updates, bytes.Repeat(u, 20))
		default:
			updates = append(updates, u)
		}
	}
	return updates
}

// appendNumbered appends updates, some in each call, and leaves the document with the numbers up to the last.
func appendNumbered(tb testing.TB, s *postgres.Store, from, n, each int) {
	tb.Helper()
	a := persist.Append{Key: notes, After: uint64(from - 1)}
	for some := range slices.Chunk(numbered(from, n), each) {
		a.Updates = some
		mustAppendAll(tb, s, []persist.Append{a})
		a.After += uint64(len(some))
	}
}

func requireNumbered(tb testing.TB, rows []persist.Update, from, to int) {
	tb.Helper()
	require.Len(tb, rows, to-from+1)
	for i, want := range numbered(from, to-from+1) {
		require.Equal(tb, uint64(from+i), rows[i].Seq)
		require.Equal(tb, string(want), string(rows[i].Data))
	}
}

const (
	countPages = `SELECT count(*) FROM yserverd.updates WHERE rows > 1`
	countRows  = `SELECT count(*) FROM yserverd.updates`
	logBytes   = `SELECT log_bytes - (SELECT coalesce(sum(octet_length(data) - CASE WHEN rows > 1 THEN 8 * rows ELSE 0 END), 0) FROM yserverd.updates)
		FROM yserverd.documents`
)

// TestLongLogsBecomePages: whatever a call brings, and wherever it ends, a long log is a few pages and less than two pages'
// rows, and reads as it was written, from anywhere.
func TestLongLogsBecomePages(t *testing.T) {
	urls := newDatabases(t)
	for _, each := range []int{1, 7, 10, 95} {
		t.Run(fmt.Sprint("each=", each), func(t *testing.T) {
			url := urls.url(t, t.Name())
			s := mustOpen(t, postgres.Options{URL: url})
			defer func() { require.NoError(t, s.Close()) }()
			s.SetPage(10, 20)
			appendNumbered(t, s, 1, 95, each)
			pages, rows := value[int64](t, url, countPages), value[int64](t, url, countRows)
			if each < 95 {
				require.Equal(t, int64(9), pages)
				require.Equal(t, int64(9+5), rows)
			}
			requireNumbered(t, mustLoad(t, s, notes).Tail, 1, 95)
			for after := range 95 {
				tail, err := s.LoadAfter(t.Context(), notes, uint64(after))
				require.NoError(t, err)
				requireNumbered(t, tail, after+1, 95)
			}
			require.Zero(t, value[int64](t, url, logBytes))
		})
	}
}

// TestShortLogsStayRows: what is folded in time never becomes a page.
func TestShortLogsStayRows(t *testing.T) {
	url := pgtest.Database(t)
	s := mustOpen(t, postgres.Options{URL: url})
	defer func() { require.NoError(t, s.Close()) }()
	s.SetPage(10, 20)
	for from := 1; from < 100; from += 19 {
		appendNumbered(t, s, from, 19, 1)
		require.Zero(t, value[int64](t, url, countPages))
		require.NoError(t, s.Compact(t.Context(), notes, 0, uint64(from+18), []byte("snapshot")))
	}
}

// TestSnapshotsCutPages: a snapshot may end anywhere, and what is behind it is rows until it fills pages again.
func TestSnapshotsCutPages(t *testing.T) {
	url := pgtest.Database(t)
	s := mustOpen(t, postgres.Options{URL: url})
	defer func() { require.NoError(t, s.Close()) }()
	s.SetPage(10, 20)
	appendNumbered(t, s, 1, 45, 5)
	last := 45
	for upTo := 1; upTo < 40; upTo += 4 {
		require.NoError(t, s.Compact(t.Context(), notes, 0, uint64(upTo), []byte("snapshot")))
		tail := mustLoad(t, s, notes).Tail
		requireNumbered(t, tail, upTo+1, last)
		require.Zero(t, value[int64](t, url, logBytes))
		bytes := 0
		for _, row := range tail {
			bytes += len(row.Data)
		}
		require.Equal(t, int64(bytes), value[int64](t, url, `SELECT log_bytes FROM yserverd.documents`), "the log is what is behind the snapshot")
		appendNumbered(t, s, last+1, 5, 5)
		last += 5
		requireNumbered(t, mustLoad(t, s, notes).Tail, upTo+1, last)
		require.Zero(t, value[int64](t, url, logBytes))
		require.Positive(t, value[int64](t, url, countPages))
	}
	require.NoError(t, s.Compact(t.Context(), notes, 0, uint64(last), []byte("snapshot")))
	require.Zero(t, value[int64](t, url, countRows))
}

// TestRefusedAppendsMakeNoPages: what a conflict or an epoch refuses changes nothing, at the end of a page too.
func TestRefusedAppendsMakeNoPages(t *testing.T) {
	url := pgtest.Database(t)
	s := mustOpen(t, postgres.Options{URL: url})
	defer func() { require.NoError(t, s.Close()) }()
	appendNumbered(t, s, 1, 29, 7)
	s.SetPage(10, 20)
	for _, a := range []persist.Append{
		{Key: notes, After: 28, Updates: numbered(29, 2)},
		{Key: notes, After: 29, Epoch: 1, Updates: numbered(30, 1)},
		{Key: persist.Key{Party: "main", Room: "other"}, After: 29, Updates: numbered(30, 1)},
	} {
		results, err := s.Append(t.Context(), []persist.Append{a})
		require.NoError(t, err)
		require.Error(t, results[0].Err)
		require.Zero(t, value[int64](t, url, countPages))
	}
	appendNumbered(t, s, 30, 1, 1)
	require.Equal(t, int64(3), value[int64](t, url, countPages))
}

// TestLargeUpdatesStayRows: they cost what their bytes cost.
func TestLargeUpdatesStayRows(t *testing.T) {
	url := pgtest.Database(t)
	s := mustOpen(t, postgres.Options{URL: url})
	defer func() { require.NoError(t, s.Close()) }()
	s.SetPage(10, 20)
	large := bytes.Repeat([]byte("x"), 2000)
	appendNumbered(t, s, 1, 14, 1)
	mustAppendAll(t, s, []persist.Append{{Key: notes, After: 14, Updates: [][]byte{large}}})
	appendNumbered(t, s, 16, 20, 1)
	require.Equal(t, int64(2), value[int64](t, url, countPages))
	require.Len(t, mustLoad(t, s, notes).Tail, 35)
}

// TestDamageInPages: the update that is damaged is named, or the first that cannot be read, and a page is never made over
// what is missing or damaged in a way that would hide it.
func TestDamageInPages(t *testing.T) {
	urls := newDatabases(t)
	for name, c := range map[string]struct {
		before, after string
		row           persist.Seq
		reason        string
	}{
		"changed byte":         {after: `UPDATE yserverd.updates SET data = set_byte(data, 8, 0) WHERE seq = 20`, row: 11, reason: "checksum mismatch"},
		"changed last byte":    {after: `UPDATE yserverd.updates SET data = set_byte(data, octet_length(data) - 1, 0) WHERE seq = 20`, row: 20, reason: "checksum mismatch"},
		"changed length":       {after: `UPDATE yserverd.updates SET data = set_byte(data, 0, 1) WHERE seq = 20`, row: 11, reason: "checksum mismatch"},
		"more":                 {after: `UPDATE yserverd.updates SET data = data || '\x00' WHERE seq = 20`, row: 20, reason: "checksum mismatch"},
		"less":                 {after: `UPDATE yserverd.updates SET data = substr(data, 1, octet_length(data) - 1) WHERE seq = 20`, row: 20, reason: "checksum mismatch"},
		"nothing":              {after: `UPDATE yserverd.updates SET data = '' WHERE seq = 20`, row: 11, reason: "checksum mismatch"},
		"too many":             {after: `UPDATE yserverd.updates SET rows = 2147483647 WHERE seq = 20`, row: 1, reason: "checksum mismatch"},
		"too few":              {after: `UPDATE yserverd.updates SET rows = 9 WHERE seq = 20`, row: 12, reason: "checksum mismatch"},
		"missing page":         {after: `DELETE FROM yserverd.updates WHERE seq = 20`, row: 11, reason: "it is missing"},
		"row missing before":   {before: `DELETE FROM yserverd.updates WHERE seq = 14`, row: 14, reason: "it is missing"},
		"row damaged before":   {before: `UPDATE yserverd.updates SET data = data || '\x00' WHERE seq = 14`, row: 14, reason: "checksum mismatch"},
		"row's sum wrong then": {before: `UPDATE yserverd.updates SET sum = sum + 1 WHERE seq = 20`, row: 20, reason: "checksum mismatch"},
	} {
		t.Run(name, func(t *testing.T) {
			url := urls.url(t, t.Name())
			s := mustOpen(t, postgres.Options{URL: url})
			defer func() { require.NoError(t, s.Close()) }()
			appendNumbered(t, s, 1, 29, 29)
			if c.before != "" {
				administer(t, url, c.before)
			}
			s.SetPage(10, 20)
			appendNumbered(t, s, 30, 1, 1)
			if c.after != "" {
				administer(t, url, c.after)
			}
			_, err := s.Load(t.Context(), notes)
			var corrupt *persist.CorruptError
			require.ErrorAs(t, err, &corrupt)
			require.Equal(t, c.row, corrupt.Row)
			require.Contains(t, corrupt.Reason, c.reason)
			require.NoError(t, s.Release(t.Context(), notes))
			// A snapshot that cuts it fails for none of that, and does not hide it.
			require.NoError(t, s.Compact(t.Context(), notes, 0, 10, []byte("snapshot")))
			_, err = s.Load(t.Context(), notes)
			require.ErrorIs(t, err, persist.ErrCorrupt)
		})
	}
}

// TestSnapshotInDamagedPage: a page that cannot be made rows of stays, and is found damaged by the next reader.
func TestSnapshotInDamagedPage(t *testing.T) {
	urls := newDatabases(t)
	for name, sql := range map[string]string{
		"more":           `UPDATE yserverd.updates SET data = data || '\x00' WHERE seq = 20`,
		"nothing":        `UPDATE yserverd.updates SET data = '' WHERE seq = 20`,
		"changed length": `UPDATE yserverd.updates SET data = set_byte(data, 0, 255) WHERE seq = 20`,
	} {
		t.Run(name, func(t *testing.T) {
			url := urls.url(t, t.Name())
			s := mustOpen(t, postgres.Options{URL: url})
			defer func() { require.NoError(t, s.Close()) }()
			s.SetPage(10, 20)
			appendNumbered(t, s, 1, 30, 3)
			administer(t, url, sql)
			require.NoError(t, s.Compact(t.Context(), notes, 0, 15, []byte("snapshot")))
			require.Equal(t, int64(2), value[int64](t, url, countPages))
			_, err := s.Load(t.Context(), notes)
			require.ErrorIs(t, err, persist.ErrCorrupt)
		})
	}
}
