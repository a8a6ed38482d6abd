package pebble_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/object/objecttest"
	"github.com/yserverd/yserverd/persist/pebble"
)

func putVersion(tb testing.TB, s *pebble.Store, k persist.Key, id string, ms int64, state string) {
	tb.Helper()
	require.NoError(tb, s.PutVersion(tb.Context(), k, persist.Version{ID: id, Created: time.UnixMilli(ms)}, []byte(state)))
}

// fill makes everything there can be of a key.
func fill(tb testing.TB, s *pebble.Store, k persist.Key) {
	tb.Helper()
	mustAppend(tb, s, k, 0, "a", "b")
	_, err := s.Replace(tb.Context(), k, 0, []uint64{7, 9}, bytes.Repeat([]byte("123"), pebble.TestPieceBytes))
	require.NoError(tb, err)
	results, err := s.Append(tb.Context(), []persist.Append{{Key: k, Epoch: 1, After: 3, Updates: [][]byte{[]byte("c")}}})
	require.NoError(tb, err)
	require.NoError(tb, results[0].Err)
	putVersion(tb, s, k, "one", 1, strings.Repeat("1", 2*pebble.TestPieceBytes))
	putVersion(tb, s, k, "two", 2, "2")
	delivery := alarmAt(6)
	mustChange(tb, s, persist.RoomChange{Key: k, Puts: append(puts(state, "s", "1"), puts(history, "\xff", "2")...), Alarm: alarmAt(5), Delivery: delivery})
}

// all copies everything that is in the store.
func all(tb testing.TB, s *pebble.Store) (records []pebble.Record) {
	tb.Helper()
	it, err := s.DB().NewIter(nil)
	require.NoError(tb, err)
	for ok := it.First(); ok; ok = it.Next() {
		records = append(records, pebble.Record{Key: bytes.Clone(it.Key()), Value: bytes.Clone(it.Value())})
	}
	require.NoError(tb, it.Close())
	return records
}

// TestPurgeIsProvenByListing: after a purge of any key, however damaged, the store
// holds record for record what it held before that key was there, and nothing in
// it has its name.
func TestPurgeIsProvenByListing(t *testing.T) {
	secret := persist.Key{Party: "main", Room: "a secret room"}
	spoil := func(kind byte) func(*testing.T, *pebble.Store) {
		return func(t *testing.T, s *pebble.Store) {
			for _, r := range ofKind(records(t, s, secret), kind) {
				require.NoError(t, s.DB().Set(r.Key, flip(r.Value, len(r.Value)-1), nil))
			}
		}
	}
	cases := map[string]func(*testing.T, *pebble.Store){
		"sound":    func(*testing.T, *pebble.Store) {},
		"deleted":  func(t *testing.T, s *pebble.Store) { require.NoError(t, s.Delete(t.Context(), secret, []uint64{5})) },
		"bad head": spoil('h'), "bad name": spoil('d'), "bad row": spoil('l'), "bad piece": spoil('s'), "bad dead ids": spoil('c'),
		"bad version": spoil('e'), "bad id of a version": spoil('i'), "bad value": spoil('v'), "bad alarm": spoil('a'), "bad delivery": spoil('b'),
		"bad index of alarms": spoil('t'), "bad object": spoil('n'),
		"bad tombstone": func(t *testing.T, s *pebble.Store) {
			require.NoError(t, s.Delete(t.Context(), secret, nil))
			spoil('h')(t, s)
		},
		"quarantined": func(t *testing.T, s *pebble.Store) {
			require.NoError(t, s.Quarantine(t.Context(), secret, "why"))
			require.NoError(t, s.QuarantineRoom(t.Context(), secret, "why"))
		},
	}
	for name, spoil := range cases {
		for _, bucket := range []*objecttest.Memory{nil, new(objecttest.Memory)} {
			fs := vfs.NewMem()
			o := pebble.Options{FS: fs}.Small()
			if bucket != nil {
				o.Bucket = bucket
			}
			s := mustOpen(t, "db", o)
			for _, k := range []persist.Key{notes, {Party: "main", Room: "a secret room2"}, {Party: "main", Room: "a secret roo"}} {
				fill(t, s, k)
			}
			before := all(t, s)
			var objects []string
			if bucket != nil {
				objects = bucket.Names()
			}
			fill(t, s, secret)
			spoil(t, s)
			// Both as it is remembered and as it is found after a restart, read
			// and not yet read.
			require.NoError(t, s.Close())
			s = mustOpen(t, "db", o)
			_, _ = s.Load(t.Context(), secret)
			_, _ = s.Alarms(t.Context(), time.Time{}, 0)
			_, _ = s.Alarm(t.Context(), secret)
			require.NoError(t, s.Purge(t.Context(), secret), name)
			require.ErrorIs(t, s.Purge(t.Context(), secret), persist.ErrNotFound, name)
			require.Empty(t, records(t, s, secret), name)
			require.Equal(t, withoutMeta(before), withoutMeta(all(t, s)), name)
			for _, r := range all(t, s) {
				require.NotContains(t, string(r.Key)+string(r.Value), "a secret room\x00", name)
			}
			if bucket != nil {
				require.Equal(t, objects, bucket.Names(), name)
			}
			require.NoError(t, s.Close())
			// It stays so: no mark is written by somebody who found damage before.
			s = mustOpen(t, "db", o)
			require.Equal(t, withoutMeta(before), withoutMeta(all(t, s)), name)
			require.Zero(t, s.Stats().Quarantined+s.Stats().QuarantinedRooms, name)
			fill(t, s, secret)
			require.Equal(t, uint64(4), mustLoad(t, s, secret).Seq)
			require.NoError(t, s.Close())
		}
	}
}

// withoutMeta leaves out the counter of numbers, which only grows.
func withoutMeta(records []pebble.Record) (rest []pebble.Record) {
	for _, r := range records {
		if r.Key[0] != 'm' {
			rest = append(rest, r)
		}
	}
	return rest
}

// TestDamageOfVersions: a bad version is an error of its own, each time, and
// everything else goes on.
func TestDamageOfVersions(t *testing.T) {
	for _, c := range []struct {
		name, message string
		kind          byte
		spoil         func(*pebble.Store, pebble.Record) error
	}{
		{"record", "checksum", 'e', func(s *pebble.Store, r pebble.Record) error { return s.DB().Set(r.Key, flip(r.Value, 2), nil) }},
		{"record missing", "missing", 'e', func(s *pebble.Store, r pebble.Record) error { return s.DB().Delete(r.Key, nil) }},
		{"id", "checksum", 'i', func(s *pebble.Store, r pebble.Record) error { return s.DB().Set(r.Key, flip(r.Value, 2), nil) }},
		{"piece", "piece 0: checksum", 's', func(s *pebble.Store, r pebble.Record) error { return s.DB().Set(r.Key, flip(r.Value, 2), nil) }},
		{"piece missing", "size", 's', func(s *pebble.Store, r pebble.Record) error { return s.DB().Delete(r.Key, nil) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := openMem(t, pebble.Options{}.Small())
			mustAppend(t, s, damaged, 0, "a")
			putVersion(t, s, damaged, "bad", 1, "state")
			bad := ofKind(records(t, s, damaged), c.kind)
			require.Len(t, bad, 1)
			require.NoError(t, c.spoil(s, bad[0]))
			putVersion(t, s, damaged, "good", 2, "state")
			for range 2 {
				_, _, err := s.Version(t.Context(), damaged, "bad")
				requireCorrupt(t, err, 0, c.message)
				require.ErrorContains(t, err, `version "bad"`)
			}
			_, state, err := s.Version(t.Context(), damaged, "good")
			require.NoError(t, err)
			require.Equal(t, "state", string(state))
			mustAppend(t, s, damaged, 1, "b")
			require.Zero(t, s.Stats().Quarantined)
			page, _, err := s.Versions(t.Context(), damaged, "", 0)
			require.NoError(t, err)
			require.Equal(t, "good", page[0].ID)
			if c.name != "record missing" {
				require.Equal(t, "bad", page[1].ID, "what is there is listed")
				require.Equal(t, int64(1), page[1].Created.UnixMilli())
			}
		})
	}
}

// TestVersionsOfADamagedDocument: they are how it can be restored.
func TestVersionsOfADamagedDocument(t *testing.T) {
	s := openMem(t, pebble.Options{Heads: 1})
	mustAppend(t, s, damaged, 0, "a")
	putVersion(t, s, damaged, "v", 1, "state")
	row := ofKind(records(t, s, damaged), 'l')[0]
	require.NoError(t, s.DB().Set(row.Key, flip(row.Value, 1), nil))
	_, err := s.Load(t.Context(), damaged)
	requireCorrupt(t, err, 1, "checksum")
	_, state, err := s.Version(t.Context(), damaged, "v")
	require.NoError(t, err)
	require.NoError(t, s.Release(t.Context(), damaged))
	_, err = s.Replace(t.Context(), damaged, 0, nil, state)
	require.NoError(t, err)
	require.Equal(t, "state", string(mustLoad(t, s, damaged).Snapshot.Data))
}

func TestDamageOfDeadClients(t *testing.T) {
	for name, spoil := range map[string]func(s *pebble.Store, key []byte) error{
		"checksum": func(s *pebble.Store, key []byte) error {
			return s.DB().Set(key, pebble.Dead(foreignKey, []uint64{1}), nil)
		},
		"missing": func(s *pebble.Store, key []byte) error { return s.DB().Delete(key, nil) },
		"truncated": func(s *pebble.Store, key []byte) error {
			return s.DB().Set(key, pebble.Dead(key, nil), nil)
		},
	} {
		fs := vfs.NewMem()
		s := mustOpen(t, "db", pebble.Options{FS: fs})
		_, err := s.Replace(t.Context(), damaged, 0, []uint64{1, 5}, []byte("x"))
		require.NoError(t, err)
		require.NoError(t, spoil(s, s.DeadKey(damaged)))
		_, err = s.Replace(t.Context(), damaged, 1, []uint64{6}, []byte("y"))
		requireCorrupt(t, err, 0, name)
		require.NoError(t, s.Close())
		s = mustOpen(t, "db", pebble.Options{FS: fs})
		require.NoError(t, s.Release(t.Context(), damaged))
		_, err = s.Load(t.Context(), damaged)
		requireCorrupt(t, err, 0, "dead client ids: "+name)
		require.NoError(t, s.Close())
	}
}

// foreignKey is no key of a record.
var foreignKey = []byte("c-of-another")

// TestPiecesOfAnotherDocument: pieces that were written for a document that is
// another one by now are not named by it.
func TestPiecesOfAnotherDocument(t *testing.T) {
	s := openMem(t, pebble.Options{}.Small())
	long := bytes.Repeat([]byte("x"), 5*pebble.TestPieceBytes)
	ctx := t.Context()
	require.NoError(t, s.StageThen(ctx, notes, 0, long, func() {}))
	require.ErrorIs(t, s.StageThen(ctx, notes, 0, long, func() { mustAppend(t, s, notes, 0, "a") }), persist.ErrStale)
	require.NoError(t, s.StageThen(ctx, notes, 0, long, func() { mustAppend(t, s, notes, 1, "b") }))
	require.ErrorIs(t, s.StageThen(ctx, notes, 0, long, func() {
		require.NoError(t, s.Purge(ctx, notes))
		mustAppend(t, s, notes, 0, "a", "b")
	}), persist.ErrStale)
	mustAppend(t, s, notes, 2, "behind whatever was queued to clean up")
	for _, kind := range []byte("sw") {
		n, err := s.CountKind(kind)
		require.NoError(t, err)
		require.Zero(t, n)
	}
}

// TestSweepSparesWhatIsUndeleted: Sweep has read the index before, and the
// tombstone is gone, or is another by now.
func TestSweepSparesWhatIsUndeleted(t *testing.T) {
	now := time.UnixMilli(1 << 41)
	s := openMem(t, pebble.Options{Now: func() time.Time { return now }})
	mustAppend(t, s, notes, 0, "a")
	require.NoError(t, s.Delete(t.Context(), notes, nil))
	require.NoError(t, s.Undelete(t.Context(), notes))
	n, err := s.CountKind('z')
	require.NoError(t, err)
	require.Zero(t, n)
	for range 2 {
		purged, err := s.PurgeTombstone(t.Context(), notes, time.UnixMilli(1<<41))
		require.NoError(t, err)
		require.False(t, purged)
		now = now.Add(time.Second)
		require.NoError(t, s.Delete(t.Context(), notes, nil))
	}
	require.NoError(t, s.Undelete(t.Context(), notes))
	require.True(t, mustLoad(t, s, notes).Exists)
	require.NoError(t, s.Delete(t.Context(), notes, nil))
	purged, err := s.PurgeTombstone(t.Context(), notes, now)
	require.NoError(t, err)
	require.True(t, purged)
	require.False(t, mustLoad(t, s, notes).Exists)
}
