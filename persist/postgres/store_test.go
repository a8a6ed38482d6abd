package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/pgtest"
	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/object"
	"github.com/yserverd/yserverd/persist/persisttest"
	"github.com/yserverd/yserverd/persist/postgres"
)

var (
	_ persisttest.Store           = (*postgres.Store)(nil)
	_ persisttest.Quarantiner     = (*postgres.Store)(nil)
	_ persisttest.Rooms           = (*postgres.Store)(nil)
	_ persisttest.RoomQuarantiner = (*postgres.Store)(nil)
)

var notes = persist.Key{Party: "main", Room: "notes"}

// mustOpen opens a store that the caller closes.
func mustOpen(tb testing.TB, o postgres.Options) *postgres.Store {
	tb.Helper()
	s, err := postgres.Open(tb.Context(), o)
	require.NoError(tb, err)
	return s
}

// open opens a store in a new database, which the test closes.
func open(tb testing.TB) *postgres.Store {
	tb.Helper()
	s := mustOpen(tb, postgres.Options{URL: pgtest.Database(tb)})
	tb.Cleanup(func() { require.NoError(tb, s.Close()) })
	return s
}

// databases gives each name one database.
type databases map[string]string

func (d databases) url(tb testing.TB, name string) string {
	if d[name] == "" {
		d[name] = pgtest.Database(tb)
	}
	return d[name]
}

func TestSuite(t *testing.T) {
	urls := databases{}
	persisttest.Run(t, func(tb testing.TB, name string) persisttest.Store {
		s := mustOpen(tb, postgres.Options{URL: urls.url(tb, name)})
		s.SetPage(2, 4) // so that logs are made of pages, and snapshots cut them
		return s
	})
}

func TestSuiteOfRooms(t *testing.T) {
	urls := databases{}
	persisttest.RunRooms(t, func(tb testing.TB, name string) persisttest.Store {
		return mustOpen(tb, postgres.Options{URL: urls.url(tb, name)})
	})
}

func TestSuiteWithBucket(t *testing.T) {
	urls := databases{}
	persisttest.RunBucket(t, func(tb testing.TB, name string, bucket object.Bucket) persisttest.Store {
		return mustOpen(tb, postgres.Options{URL: urls.url(tb, name), Bucket: bucket})
	})
}
