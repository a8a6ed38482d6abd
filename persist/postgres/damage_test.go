package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/pgtest"
	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/postgres"
)

// TestDamage changes what is stored behind the store's back. Each time the reader is told what is wrong, the document is
// out of service from then on, nothing is changed, and the bystander goes on.
func TestDamage(t *testing.T) {
	urls := newDatabases(t)
	const id = `(SELECT id FROM yserverd.documents WHERE room = 'notes')`
	for name, c := range map[string]struct {
		sql    string
		row    persist.Seq
		reason string
	}{
		"changed row":              {`UPDATE yserverd.updates SET data = data || '\x00'::bytea WHERE document_id = ` + id + ` AND seq = 4`, 4, "checksum mismatch"},
		"changed sum":              {`UPDATE yserverd.updates SET sum = sum + 1 WHERE document_id = ` + id + ` AND seq = 5`, 5, "checksum mismatch"},
		"row of another document":  {`UPDATE yserverd.updates u SET data = o.data, sum = o.sum FROM yserverd.updates o WHERE u.document_id = ` + id + ` AND u.seq = 4 AND o.document_id <> u.document_id AND o.seq = 4`, 4, "checksum mismatch"},
		"missing row in between":   {`DELETE FROM yserverd.updates WHERE document_id = ` + id + ` AND seq = 4`, 4, "missing"},
		"missing last row":         {`DELETE FROM yserverd.updates WHERE document_id = ` + id + ` AND seq = 5`, 5, "missing"},
		"row behind the last":      {`INSERT INTO yserverd.updates (document_id, seq, data, sum) SELECT document_id, 6, data, sum FROM yserverd.updates WHERE document_id = ` + id + ` AND seq = 5`, 6, "checksum mismatch"},
		"changed snapshot":         {`UPDATE yserverd.snapshots SET data = '\x00'::bytea || data WHERE document_id = ` + id, 0, "snapshot: checksum mismatch"},
		"missing snapshot":         {`DELETE FROM yserverd.snapshots WHERE document_id = ` + id, 0, "snapshot: it is missing"},
		"sequence number put back": {`UPDATE yserverd.documents SET seq = 4 WHERE id = ` + id, 5, "behind the last"},
	} {
		t.Run(name, func(t *testing.T) {
			url := urls.url(t, t.Name())
			s := mustOpen(t, postgres.Options{URL: url})
			defer func() { require.NoError(t, s.Close()) }()
			bystander := persist.Key{Party: "main", Room: "bystander"}
			for _, k := range []persist.Key{notes, bystander} {
				mustAppend(t, s, k, 0, "a", "b", "c", "d", "e")
				require.NoError(t, s.Compact(t.Context(), k, 0, 3, []byte("abc of "+k.Room)))
			}
			administer(t, url, c.sql)
			before := value[int64](t, url, `SELECT count(*) FROM yserverd.updates`)
			for range 2 {
				_, err := s.Load(t.Context(), notes)
				require.ErrorIs(t, err, persist.ErrCorrupt)
				var corrupt *persist.CorruptError
				require.ErrorAs(t, err, &corrupt)
				require.Equal(t, notes, corrupt.Key)
				require.Equal(t, c.row, corrupt.Row)
				require.Contains(t, corrupt.Reason, c.reason)
				require.ErrorIs(t, tryAppend(t.Context(), s, notes, 5, "x"), persist.ErrCorrupt)
				require.ErrorIs(t, s.Compact(t.Context(), notes, 0, 5, []byte("x")), persist.ErrCorrupt)
			}
			require.Equal(t, before, value[int64](t, url, `SELECT count(*) FROM yserverd.updates`))
			require.Equal(t, uint64(1), s.Stats().Corruptions)
			page, _, err := s.List(t.Context(), "main", "notes", "", 0)
			require.NoError(t, err)
			require.Contains(t, page[0].Quarantined, c.reason)
			require.Len(t, mustLoad(t, s, bystander).Tail, 2)
			require.NoError(t, s.Release(t.Context(), notes))
			_, err = s.Load(t.Context(), notes)
			require.ErrorIs(t, err, persist.ErrCorrupt, "it is still damaged")
		})
	}
}

// TestDamagedRowIsFoundByLoadAfter: so it is by whoever reads less.
func TestDamagedRowIsFoundByLoadAfter(t *testing.T) {
	url := pgtest.Database(t)
	s := mustOpen(t, postgres.Options{URL: url})
	defer func() { require.NoError(t, s.Close()) }()
	mustAppend(t, s, notes, 0, "a", "b", "c")
	administer(t, url, `UPDATE yserverd.updates SET data = 'x' WHERE seq = 2`)
	_, err := s.LoadAfter(t.Context(), notes, 2)
	require.NoError(t, err, "it was not read")
	_, err = s.LoadAfter(t.Context(), notes, 1)
	require.ErrorContains(t, err, "row 2: checksum mismatch")
	_, err = s.LoadAfter(t.Context(), notes, 2)
	require.ErrorIs(t, err, persist.ErrCorrupt)
}

func TestDamagedVersion(t *testing.T) {
	url := pgtest.Database(t)
	s := mustOpen(t, postgres.Options{URL: url})
	defer func() { require.NoError(t, s.Close()) }()
	mustAppend(t, s, notes, 0, "a")
	require.NoError(t, s.PutVersion(t.Context(), notes, persist.Version{ID: "v", Created: time.UnixMilli(1)}, []byte("state")))
	administer(t, url, `UPDATE yserverd.versions SET data = 'other'`)
	for range 2 {
		_, _, err := s.Version(t.Context(), notes, "v")
		require.ErrorIs(t, err, persist.ErrCorrupt)
		require.ErrorContains(t, err, "version v: checksum mismatch")
	}
	mustAppend(t, s, notes, 1, "the document goes on")
}

func TestDamagedValueOfRoom(t *testing.T) {
	url := pgtest.Database(t)
	s := mustOpen(t, postgres.Options{URL: url})
	defer func() { require.NoError(t, s.Close()) }()
	put := func(k persist.Key, v string) error {
		return s.ChangeRooms(t.Context(), []persist.RoomChange{{Key: k, Puts: []persist.RoomPut{
			{Space: persist.SpaceState, RoomItem: persist.RoomItem{Key: "a", Value: []byte(v)}},
			{Space: persist.SpaceStorage, RoomItem: persist.RoomItem{Key: "a", Value: []byte(v)}},
		}}})
	}
	other := persist.Key{Party: "main", Room: "other"}
	require.NoError(t, put(notes, "1"))
	require.NoError(t, put(other, "2"))
	// Values that have changed places have the sums of their old ones.
	administer(t, url, `UPDATE yserverd.room_values SET space = 3 WHERE space = 2`,
		`UPDATE yserverd.room_values SET value = '3' WHERE space = 1 AND room_id = (SELECT id FROM yserverd.rooms WHERE room = 'notes')`)
	_, err := s.GetRoom(t.Context(), notes, persist.SpaceStorage, []string{"a"})
	require.ErrorIs(t, err, persist.ErrCorrupt)
	require.ErrorContains(t, err, `storage "a": checksum mismatch`)
	require.ErrorIs(t, put(notes, "x"), persist.ErrCorrupt)
	values, err := s.GetRoom(t.Context(), other, persist.SpaceStorage, []string{"a"})
	require.NoError(t, err)
	require.Equal(t, "2", string(values[0]))
	// The way out: released, and put again before it is read again.
	require.NoError(t, s.ReleaseRoom(t.Context(), notes))
	require.NoError(t, put(notes, "4"))
	items, _, err := s.ListRoom(t.Context(), notes, persist.RoomRange{Space: persist.SpaceStorage}, false, 0)
	require.NoError(t, err)
	require.Equal(t, "4", string(items[0].Value))
}
