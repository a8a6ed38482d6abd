package access_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/gate/access"
	"github.com/yserverd/yserverd/internal/pgtest"
)

// both returns what becomes of a caller, alone and among many.
func both(ctx context.Context, t *testing.T, room gate.Authorizer) (alone, many string) {
	t.Helper()
	d, err := room.Authorize(ctx, ann, &gate.Request{Room: "c1"})
	verdicts, errs := room.(gate.BatchAuthorizer).AuthorizeAll(ctx, []gate.Ask{{Identity: ann, Room: "c1"}})
	if errs != nil {
		require.Nil(t, verdicts)
		return outcome(t, d, err), outcome(t, gate.Decision{}, errs)
	}
	return outcome(t, d, err), verdict(t, verdicts[0])
}

// Whatever is wrong with the database: nobody is let in, and nobody is sent away for good.
func TestDatabaseThatDoesNotAnswerDecidesNothing(t *testing.T) {
	db := newDatabase(t, chatsTable)
	var log bytes.Buffer
	a, err := access.New(t.Context(), access.Config{
		Schema: oneTable(access.Table{Firewall: []access.Clause{organization()}}), DB: db,
		Log: slog.New(slog.NewTextHandler(&log, nil)), Timeout: 200 * time.Millisecond,
	})
	require.NoError(t, err)
	room := newRoom(t, a, chats())
	is := func(ctx context.Context, want string) {
		t.Helper()
		alone, many := both(ctx, t, room)
		require.Equal(t, want, alone)
		require.Equal(t, want, many)
	}
	is(t.Context(), writes)
	require.Empty(t, log.String())

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	is(ctx, unavailable)

	// Somebody has locked the table, so the query takes too long.
	conn, err := pgx.Connect(t.Context(), db.url)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.Background()) }() // a lock goes with its connection
	_, err = conn.Exec(t.Context(), "BEGIN; LOCK TABLE chats IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)
	is(t.Context(), unavailable)
	_, err = conn.Exec(t.Context(), "ROLLBACK")
	require.NoError(t, err)
	is(t.Context(), writes)

	// Others have all the connections.
	var held []*pgxpool.Conn
	for range db.Config().MaxConns {
		c, err := db.Acquire(t.Context())
		require.NoError(t, err)
		held = append(held, c)
	}
	is(t.Context(), unavailable)
	for _, c := range held {
		c.Release()
	}
	is(t.Context(), writes)

	// The table is another.
	db.exec(t, "ALTER TABLE chats RENAME TO moved")
	is(t.Context(), unavailable)
	db.exec(t, "ALTER TABLE moved RENAME TO chats; ALTER TABLE chats RENAME organization_id TO organisation_id")
	is(t.Context(), unavailable)
	db.exec(t, "ALTER TABLE chats RENAME organisation_id TO organization_id")
	is(t.Context(), writes)

	// It takes no connections.
	name := conn.Config().Database
	require.NoError(t, conn.Close(t.Context()))
	admin, err := pgx.Connect(t.Context(), pgtest.Shared(t).URL("postgres"))
	require.NoError(t, err)
	defer func() { _ = admin.Close(context.Background()) }()
	_, err = admin.Exec(t.Context(), fmt.Sprintf("ALTER DATABASE %s ALLOW_CONNECTIONS false; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s'", name, name))
	require.NoError(t, err)
	is(t.Context(), unavailable)
	is(t.Context(), unavailable)
	_, err = admin.Exec(t.Context(), fmt.Sprintf("ALTER DATABASE %s ALLOW_CONNECTIONS true", name))
	require.NoError(t, err)
	is(t.Context(), writes)
	require.Equal(t, 1, bytes.Count(log.Bytes(), []byte("\n")), "one line now and then: %s", &log)

	_, err = room.Authorize(ctx, ann, &gate.Request{Room: "c1"})
	require.ErrorIs(t, err, context.Canceled, "logs want the cause")
}

func TestManyAreAskedAboutAtOnce(t *testing.T) {
	db := newDatabase(t, chatsTable)
	room := newRoom(t, newAccess(t, db, oneTable(access.Table{Firewall: []access.Clause{organization()}})), chats()).(gate.BatchAuthorizer)
	asks := make([]gate.Ask, access.MaxBatch+10)
	for i := range asks {
		asks[i] = gate.Ask{Identity: gate.Identity{UserID: fmt.Sprint(i), OrgID: fmt.Sprintf("org%d", 1+i%3)}, Room: fmt.Sprintf("c%d", 1+i/3%3)}
	}
	for _, c := range []struct{ n, queries int }{{0, 0}, {1, 1}, {access.MaxBatch, 1}, {len(asks), 2}} {
		before := db.asked.Load()
		verdicts, err := room.AuthorizeAll(t.Context(), asks[:c.n])
		require.NoError(t, err)
		require.Len(t, verdicts, c.n)
		require.EqualValues(t, c.queries, db.asked.Load()-before)
		for i, v := range verdicts {
			want := firewall
			if org, chat := i%3, i/3%3; org == chat && org < 2 {
				want = writes
				require.Equal(t, asks[i].Identity, v.Decision.Identity)
			}
			require.Equal(t, want, verdict(t, v), i)
		}
	}
	before := db.asked.Load()
	verdicts, err := room.AuthorizeAll(t.Context(), []gate.Ask{{Room: "c1"}, {Identity: loner, Room: "c1"}})
	require.NoError(t, err)
	require.Equal(t, authMissing, verdict(t, verdicts[0]))
	require.Equal(t, firewall, verdict(t, verdicts[1]))
	require.Equal(t, before, db.asked.Load(), "nothing to ask")
}

func TestManyGoroutinesDecide(t *testing.T) {
	db := newDatabase(t, chatsTable+twoKindsTables)
	room := newRoom(t, newAccess(t, db, twoKinds()), kindsPattern(`(day-note|record):(.+)`)).(gate.BatchAuthorizer)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				d, err := room.Authorize(t.Context(), ann, &gate.Request{Room: "record:1"})
				if err != nil || !d.Write {
					t.Errorf("%v %v", d, err)
				}
				_, err = room.AuthorizeAll(t.Context(), []gate.Ask{{Identity: ann, Room: "day-note:mon"}, {Identity: alien, Room: "record:2"}, {Identity: ann, Room: "record:1"}})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
