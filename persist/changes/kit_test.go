package changes_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/pgtest"
	"github.com/yserverd/yserverd/persist/changes"
)

// patience is how long anything that has to happen may take on a busy machine.
const patience = time.Minute

// kit is a database with its stream.
type kit struct {
	t      *testing.T
	url    string
	conn   *pgx.Conn
	stream *changes.Stream
}

// newKit returns a fresh database in which statements were executed; there is no stream yet.
func newKit(t *testing.T, sql ...string) *kit {
	t.Helper()
	k := &kit{t: t, url: pgtest.Database(t)}
	t.Cleanup(k.awaitNoSlot)
	return kitOn(t, k.url, sql...)
}

func kitOn(t *testing.T, url string, sql ...string) *kit {
	t.Helper()
	k := &kit{t: t, url: url, conn: connect(t, url)}
	k.exec(sql...)
	return k
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// exec runs each statement in a transaction of its own.
func (k *kit) exec(sql ...string) {
	k.t.Helper()
	for _, statement := range sql {
		_, err := k.conn.Exec(k.t.Context(), statement)
		require.NoError(k.t, err, statement)
	}
}

// execAtEnd is exec for cleanups, with a connection of its own.
func (k *kit) execAtEnd(sql ...string) {
	conn, err := pgx.Connect(context.Background(), k.url)
	require.NoError(k.t, err)
	defer func() { _ = conn.Close(context.Background()) }()
	for _, statement := range sql {
		_, err := conn.Exec(context.Background(), statement)
		require.NoError(k.t, err, statement)
	}
}

// tables are those of schema public.
func tables(names ...string) []changes.Table {
	all := make([]changes.Table, len(names))
	for i, name := range names {
		all[i] = changes.Table{Schema: "public", Name: name}
	}
	return all
}

// open starts the stream, to be closed with the test.
func (k *kit) open(c changes.Config) *kit {
	k.t.Helper()
	if c.URL == "" {
		c.URL = k.url
	}
	ctx, cancel := context.WithTimeout(k.t.Context(), patience)
	defer cancel()
	s, err := changes.Open(ctx, c)
	require.NoError(k.t, err)
	k.stream = s
	k.t.Cleanup(func() { require.NoError(k.t, s.Close()) })
	return k
}

// awaitNoSlot returns when the server has noticed that all streams are closed, so that the database can be dropped.
func (k *kit) awaitNoSlot() {
	k.t.Helper()
	conn, err := pgx.Connect(context.Background(), k.url)
	if err != nil {
		return // the test has stopped the server
	}
	defer func() { _ = conn.Close(context.Background()) }()
	require.Eventually(k.t, func() bool {
		var n int
		err := conn.QueryRow(context.Background(), "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()").Scan(&n)
		return err == nil && n == 0
	}, patience, time.Millisecond)
}

func (k *kit) next() changes.Event {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), patience)
	defer cancel()
	e, err := k.stream.Next(ctx)
	require.NoError(k.t, err)
	return e
}

// gap returns the next event's gap.
func (k *kit) gap() changes.Gap {
	k.t.Helper()
	e := k.next()
	require.NotNil(k.t, e.Gap, "%s", describe(e))
	require.Empty(k.t, e.Changes)
	return *e.Gap
}

// changes returns what the next event says, a line for each change.
func (k *kit) changes() []string {
	k.t.Helper()
	return describe(k.next())
}

// untilGap takes events up to the next gap.
func (k *kit) untilGap() changes.Gap {
	k.t.Helper()
	for {
		if e := k.next(); e.Gap != nil {
			return *e.Gap
		}
	}
}

// one returns the one value of a query.
func one[T any](k *kit, sql string, args ...any) (v T) {
	k.t.Helper()
	require.NoError(k.t, k.conn.QueryRow(k.t.Context(), sql, args...).Scan(&v))
	return v
}

// describe returns a line for each change of an event: operation, table, old row, new row.
func describe(e changes.Event) []string {
	if e.Gap != nil {
		return []string{fmt.Sprintf("GAP %s %v", e.Gap.Reason, e.Gap.Tables)}
	}
	lines := make([]string, len(e.Changes))
	for i, c := range e.Changes {
		words := []string{c.Op.String(), c.Table.Name}
		for _, row := range [][]changes.Value{c.Old, c.New} {
			if row != nil {
				words = append(words, string(changes.AppendJSON(nil, c.Table, row, nil)))
			} else {
				words = append(words, "-")
			}
		}
		lines[i] = strings.Join(words, " ")
	}
	return lines
}
