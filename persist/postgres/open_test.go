package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/yserverd/yserverd/internal/pgtest"
	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/persisttest"
	"github.com/yserverd/yserverd/persist/postgres"
)

// administer runs statements as an administrator does, beside the store.
func administer(tb testing.TB, url string, statements ...string) {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), url)
	require.NoError(tb, err)
	defer func() { require.NoError(tb, conn.Close(context.Background())) }()
	for _, sql := range statements {
		_, err := conn.Exec(tb.Context(), sql)
		require.NoError(tb, err, sql)
	}
}

// value returns the only value of a query.
func value[T any](tb testing.TB, url, sql string, args ...any) (v T) {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), url)
	require.NoError(tb, err)
	defer func() { require.NoError(tb, conn.Close(context.Background())) }()
	require.NoError(tb, conn.QueryRow(tb.Context(), sql, args...).Scan(&v), sql)
	return v
}

func tryAppend(ctx context.Context, s persisttest.Store, k persist.Key, after persist.Seq, updates ...string) error {
	a := persist.Append{Key: k, After: after}
	for _, u := range updates {
		a.Updates = append(a.Updates, []byte(u))
	}
	results, err := s.Append(ctx, []persist.Append{a})
	if err != nil {
		return err
	}
	return results[0].Err
}

func mustAppend(tb testing.TB, s persisttest.Store, k persist.Key, after persist.Seq, updates ...string) {
	tb.Helper()
	require.NoError(tb, tryAppend(tb.Context(), s, k, after, updates...))
}

func mustLoad(tb testing.TB, s persisttest.Store, k persist.Key) persist.Document {
	tb.Helper()
	d, err := s.Load(tb.Context(), k)
	require.NoError(tb, err)
	return d
}

// TestManyOpenAtOnce: several programs start on an empty database, and all find one schema.
func TestManyOpenAtOnce(t *testing.T) {
	url := pgtest.Database(t)
	stores := make([]*postgres.Store, 4)
	var group errgroup.Group
	for i := range stores {
		group.Go(func() (err error) {
			stores[i], err = postgres.Open(t.Context(), postgres.Options{URL: url})
			return err
		})
	}
	require.NoError(t, group.Wait())
	for i, s := range stores {
		require.Equal(t, stores[0].UUID(), s.UUID())
		mustAppend(t, s, notes, uint64(i), fmt.Sprint("line ", i))
	}
	require.Len(t, mustLoad(t, stores[0], notes).Tail, len(stores))
	for _, s := range stores {
		require.NoError(t, s.Close())
	}
	require.EqualValues(t, 1, value[int64](t, url, `SELECT count(*) FROM yserverd.schema_version WHERE version_id = 1`))
}

func TestUUIDs(t *testing.T) {
	url := pgtest.Database(t)
	one, two := mustOpen(t, postgres.Options{URL: url}), open(t)
	require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, one.UUID())
	require.NotEqual(t, one.UUID(), two.UUID())
	require.NoError(t, one.Close())
	again := mustOpen(t, postgres.Options{URL: url})
	require.Equal(t, one.UUID(), again.UUID())
	require.NoError(t, again.Close())
}

func TestNewerOrForeignSchemaIsRefused(t *testing.T) {
	url := pgtest.Database(t)
	s := mustOpen(t, postgres.Options{URL: url})
	mustAppend(t, s, notes, 0, "kept")
	require.NoError(t, s.Close())
	administer(t, url, `INSERT INTO yserverd.schema_version (version_id, is_applied) VALUES (99, true)`)
	_, err := postgres.Open(t.Context(), postgres.Options{URL: url})
	require.ErrorIs(t, err, persist.ErrFormat)
	var format *persist.FormatError
	require.ErrorAs(t, err, &format)
	require.Equal(t, uint64(99), format.Found)
	require.Equal(t, s.Place(), format.Place)
	administer(t, url, `DELETE FROM yserverd.schema_version WHERE version_id = 99`)
	s = mustOpen(t, postgres.Options{URL: url})
	require.Len(t, mustLoad(t, s, notes).Tail, 1)
	require.NoError(t, s.Close())

	administer(t, url, `DROP SCHEMA yserverd CASCADE`, `CREATE SCHEMA yserverd`, `CREATE TABLE yserverd.documents (whose text)`)
	_, err = postgres.Open(t.Context(), postgres.Options{URL: url})
	require.ErrorIs(t, err, persist.ErrFormat)
	require.ErrorContains(t, err, "no document store")
}

// TestRightsAreNamed: a role that may not create says so, and works once somebody else has created.
func TestRightsAreNamed(t *testing.T) {
	c := pgtest.New(t)
	url := c.Database(t)
	administer(t, url, `CREATE ROLE guest LOGIN`)
	guest := strings.Replace(url, "postgres@", "guest@", 1)
	require.NotEqual(t, url, guest)
	_, err := postgres.Open(t.Context(), postgres.Options{URL: guest})
	require.ErrorContains(t, err, "grant it CREATE on the database")
	s := mustOpen(t, postgres.Options{URL: url})
	defer func() { require.NoError(t, s.Close()) }()
	_, err = postgres.Open(t.Context(), postgres.Options{URL: guest})
	require.ErrorContains(t, err, "needs USAGE")
	administer(t, url, `GRANT USAGE ON SCHEMA yserverd TO guest`,
		`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA yserverd TO guest`)
	g := mustOpen(t, postgres.Options{URL: guest})
	mustAppend(t, g, notes, 0, "a")
	require.NoError(t, g.Close())
}

func TestConnectionsThatDoNotWaitForDiskAreRefused(t *testing.T) {
	url := pgtest.Database(t)
	s := mustOpen(t, postgres.Options{URL: url, MaxConnections: 1})
	defer func() { require.NoError(t, s.Close()) }()
	require.NoError(t, s.Ping(t.Context()))
	name := value[string](t, url, `SELECT current_database()`)
	administer(t, url, `ALTER DATABASE `+name+` SET synchronous_commit = off`)
	_, err := postgres.Open(t.Context(), postgres.Options{URL: url})
	require.ErrorContains(t, err, "synchronous_commit is off")

	// New connections of a store that is open are refused too.
	administer(t, url, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'yserverd' AND datname = current_database()`)
	require.Eventually(t, func() bool {
		err := tryAppend(t.Context(), s, notes, 0, "a")
		require.ErrorIs(t, err, persist.ErrUnavailable)
		return strings.Contains(err.Error(), "synchronous_commit is off")
	}, time.Minute, time.Millisecond)
	require.ErrorIs(t, s.Stats().Err, persist.ErrUnavailable)
	administer(t, url, `ALTER DATABASE `+name+` RESET synchronous_commit`)
	mustAppend(t, s, notes, 0, "a")
	require.NoError(t, s.Stats().Err)
}

func TestServerThatDoesNotSyncIsNamed(t *testing.T) {
	c := pgtest.New(t, "fsync = off")
	var log bytes.Buffer
	s := mustOpen(t, postgres.Options{URL: c.Database(t), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, s.Close())
	require.Contains(t, log.String(), "loses data")
}

func TestOpenErrors(t *testing.T) {
	ctx := t.Context()
	for _, o := range []postgres.Options{
		{},
		{URL: "postgres://localhost/x", MaxConnections: -1},
		{URL: "postgres://localhost/x", StatementTimeout: -1},
	} {
		_, err := postgres.Open(ctx, o)
		require.ErrorContains(t, err, "option ")
	}
	_, err := postgres.Open(ctx, postgres.Options{URL: "postgres://joe:secret@localhost:notaport/x"})
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret")
	_, err = postgres.Open(ctx, postgres.Options{URL: "postgres://joe:secret@127.0.0.1:1/x?sslmode=disable"})
	require.ErrorIs(t, err, persist.ErrUnavailable)
	require.ErrorContains(t, err, "127.0.0.1:1/x")
	require.NotContains(t, err.Error(), "secret")
}

// TestModes: whichever way pgx is told to send statements, they work.
func TestModes(t *testing.T) {
	url := pgtest.Database(t)
	for i, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		s := mustOpen(t, postgres.Options{URL: url + "&default_query_exec_mode=" + mode})
		k := persist.Key{Party: "main\xff", Room: fmt.Sprint("room\n'\\\xff", i)}
		exercise(t, s, k)
		require.NoError(t, s.Close())
	}
}

// exercise calls every method of a store on a key of its own.
func exercise(t *testing.T, s *postgres.Store, k persist.Key) {
	t.Helper()
	ctx := t.Context()
	mustAppend(t, s, k, 0, "a", "\x00\xff'\\", "")
	require.ErrorIs(t, tryAppend(ctx, s, k, 0, "x"), persist.ErrConflict)
	rows, err := s.LoadAfter(ctx, k, 1)
	require.NoError(t, err)
	require.Equal(t, "\x00\xff'\\", string(rows[0].Data))
	require.NoError(t, s.Compact(ctx, k, 0, 2, []byte("snap")))
	require.NoError(t, s.PutVersion(ctx, k, persist.Version{ID: "v", Name: "é", Created: time.UnixMilli(1)}, []byte("state")))
	_, state, err := s.Version(ctx, k, "v")
	require.NoError(t, err)
	require.Equal(t, "state", string(state))
	page, _, err := s.Versions(ctx, k, "", 1)
	require.NoError(t, err)
	require.Len(t, page, 1)
	d := mustLoad(t, s, k)
	require.Equal(t, []string{"snap", ""}, persisttest.Lines(d))
	alarm := time.UnixMilli(5)
	require.NoError(t, s.ChangeRooms(ctx, []persist.RoomChange{{
		Key: k, Alarm: &alarm, Ranges: []persist.RoomRange{{Space: persist.SpaceState, From: "a"}},
		Deletes: []persist.RoomDelete{{Space: persist.SpaceState, Key: "\x00"}},
		Puts:    []persist.RoomPut{{Space: persist.SpaceState, RoomItem: persist.RoomItem{Key: "\x00k", Value: []byte{0}}}},
	}}))
	values, err := s.GetRoom(ctx, k, persist.SpaceState, []string{"\x00k", "none"})
	require.NoError(t, err)
	require.Equal(t, [][]byte{{0}, nil}, values)
	items, _, err := s.ListRoom(ctx, k, persist.RoomRange{Space: persist.SpaceState}, true, 5)
	require.NoError(t, err)
	require.Len(t, items, 1)
	at, err := s.Alarm(ctx, k)
	require.NoError(t, err)
	require.True(t, at.Equal(alarm))
	due, err := s.Alarms(ctx, time.UnixMilli(6), 5)
	require.NoError(t, err)
	require.NotEmpty(t, due)
	epoch, err := s.Replace(ctx, k, 0, []uint64{7}, []byte("new"))
	require.NoError(t, err)
	require.Equal(t, uint64(1), epoch)
	require.NoError(t, s.Quarantine(ctx, k, "why"))
	require.NoError(t, s.Release(ctx, k))
	infos, _, err := s.List(ctx, k.Party, k.Room, "", 5)
	require.NoError(t, err)
	require.Len(t, infos, 1)
	require.NoError(t, s.DeleteVersion(ctx, k, "v"))
	require.NoError(t, s.Delete(ctx, k, []uint64{8}))
	require.NoError(t, s.Undelete(ctx, k))
	require.Equal(t, []uint64{7, 8}, mustLoad(t, s, k).Dead)
	require.NoError(t, s.Purge(ctx, k))
	require.NoError(t, s.Ping(ctx))
}
