package postgres_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
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

// databases gives each name an empty database. Making one takes longer than most tests, so it is emptied behind a test and
// is the next one's.
type databases struct {
	t     *testing.T // at whose end they go
	named map[string]string
	free  []string
}

func newDatabases(t *testing.T) *databases { return &databases{t: t, named: map[string]string{}} }

// url returns a name's database, which is the test's own until it has ended.
func (d *databases) url(tb testing.TB, name string) string {
	if d.named[name] == "" {
		if len(d.free) == 0 {
			d.free = append(d.free, pgtest.Database(d.t))
		}
		url := d.free[len(d.free)-1]
		d.named[name], d.free = url, d.free[:len(d.free)-1]
		tb.Cleanup(func() {
			d.empty(url)
			d.free = append(d.free, url)
		})
	}
	return d.named[name]
}

// empty makes a database a new store.
func (d *databases) empty(url string) {
	conn, err := pgx.Connect(context.Background(), url)
	require.NoError(d.t, err)
	defer func() { require.NoError(d.t, conn.Close(context.Background())) }()
	_, err = conn.Exec(context.Background(), `DO $$
		DECLARE t regclass;
		BEGIN
			FOR t IN SELECT oid FROM pg_class WHERE relnamespace = 'yserverd'::regnamespace AND relkind = 'r'
				AND relname NOT IN ('store', 'schema_version') LOOP
				EXECUTE 'DELETE FROM ' || t;
			END LOOP;
			UPDATE yserverd.store SET uuid = gen_random_uuid(), created_at = now();
		END $$`)
	require.NoError(d.t, err)
}

func TestSuite(t *testing.T) {
	urls := newDatabases(t)
	persisttest.Run(t, func(tb testing.TB, name string) persisttest.Store {
		s := mustOpen(tb, postgres.Options{URL: urls.url(tb, name)})
		s.SetPage(2, 4) // so that logs are made of pages, and snapshots cut them
		return s
	})
}

func TestSuiteOfRooms(t *testing.T) {
	urls := newDatabases(t)
	persisttest.RunRooms(t, func(tb testing.TB, name string) persisttest.Store {
		return mustOpen(tb, postgres.Options{URL: urls.url(tb, name)})
	})
}

func TestSuiteWithBucket(t *testing.T) {
	urls := newDatabases(t)
	persisttest.RunBucket(t, func(tb testing.TB, name string, bucket object.Bucket) persisttest.Store {
		return mustOpen(tb, postgres.Options{URL: urls.url(tb, name), Bucket: bucket})
	})
}
