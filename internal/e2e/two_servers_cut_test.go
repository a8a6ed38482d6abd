package e2e_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/fixtures/load/loadgen"
	"github.com/yserverd/yserverd/internal/pgtest"
	"github.com/yserverd/yserverd/internal/servertest"
	"github.com/yserverd/yserverd/internal/ytest"
	"github.com/yserverd/yserverd/persist"
)

// cutShare is how many of a hundred commits are not answered.
const cutShare = 40

// Two servers keep documents in one database, and the connections of one of them, or of both, are cut behind commits: it
// is stored what they appended, and they are not told. They look, and find their own rows among the other's. No client is
// closed, all come to the same text, and the store has every edit once: where the log is not folded no row and no part of
// a row is in it twice.
func TestTwoServersConvergeThoughCommitsAreNotAnswered(t *testing.T) {
	for _, of := range []struct {
		name string
		both bool
		fold int
	}{
		{"one of them, with snapshots", false, foldEvery},
		{"both, log alone", true, 1 << 30},
	} {
		t.Run(of.name, func(t *testing.T) {
			t.Parallel()
			rooms := roundsOf(6, 60)
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rooms)*20*time.Second)
			defer cancel()
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			d := &depot{database: pgtest.Database(t), fold: of.fold}
			var lines []*cutter
			var servers [2]*servertest.Server
			for i := range servers {
				at := *d
				if i == 0 || of.both {
					lines = append(lines, startCutter(t, hostOf(t, d.database), seed+uint64(i)))
					at.databaseLine = withHost(t, d.database, lines[i].address())
				}
				servers[i] = at.server(t)
				require.NoError(t, servers[i].Start())
			}
			pairs := joinBoth(ctx, t, ytest.StartNodeClients(t), servers, rooms)
			for _, c := range lines {
				c.share.Store(cutShare)
			}
			convergeAll(ctx, t, pairs)
			for _, c := range lines {
				for n := 0; c.cuts.Load() < int64(roundsOf(12, 200)); n++ { // until the context ends
					require.NoError(t, pairs[n%rooms].meet(ctx, n%2))
				}
			}
			for _, c := range lines {
				c.share.Store(0)
			}
			checkShared(ctx, t, d, pairs)
			if of.fold > foldEvery {
				checkLog(ctx, t, d, pairs)
			}
			for i, c := range lines {
				t.Logf("line %d: %d of %d commits were not answered", i, c.cuts.Load(), c.appends.Load())
			}
		})
	}
}

// convergeAll lets all pairs write and come together.
func convergeAll(ctx context.Context, t *testing.T, pairs []*pair) {
	t.Helper()
	var wg sync.WaitGroup
	for room, p := range pairs {
		wg.Go(func() {
			if err := p.converge(ctx); err != nil {
				t.Errorf("room %d: %v", room, err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// checkLog requires that no part of an update is in a log twice.
func checkLog(ctx context.Context, t *testing.T, d *depot, pairs []*pair) {
	t.Helper()
	docs := d.open(ctx, t, nil)
	defer docs.close()
	rows := 0
	for _, p := range pairs {
		stored, err := docs.store.Load(ctx, persist.Key{Party: "main", Room: p.room})
		require.NoError(t, err)
		require.Zero(t, stored.Snapshot.Seq)
		rows += len(stored.Tail)
		type unit struct{ client, clock uint64 }
		seen := map[unit]persist.Seq{}
		for _, row := range stored.Tail {
			require.NoError(t, loadgen.Walk(row.Data, func(s loadgen.Span) {
				for n := range s.Len {
					at := unit{s.Client, s.Clock + n}
					require.Zero(t, seen[at], "%s: row %d has what row %d has", p.room, row.Seq, seen[at])
					seen[at] = row.Seq
				}
			}))
		}
	}
	t.Logf("%d rows in the logs of %d rooms", rows, len(pairs))
}

// The cutter cuts where it says: the statement has had its effect, and who asked for it does not know.
func TestCutterCutsBehindTheCommit(t *testing.T) {
	d := &depot{database: pgtest.Database(t)}
	direct, err := pgx.Connect(t.Context(), d.database)
	require.NoError(t, err)
	defer func() { require.NoError(t, direct.Close(context.WithoutCancel(t.Context()))) }()
	_, err = direct.Exec(t.Context(), `CREATE SCHEMA yserverd; CREATE TABLE yserverd.rows (n bigint);
		CREATE FUNCTION yserverd.append(bigint) RETURNS TABLE (n bigint, verdict integer) LANGUAGE sql AS
		'INSERT INTO yserverd.rows SELECT $1 WHERE $1 > 0 RETURNING n, 0'`)
	require.NoError(t, err)
	c := startCutter(t, hostOf(t, d.database), 1)
	for n, of := range []struct {
		mode  pgx.QueryExecMode
		share int64
	}{{pgx.QueryExecModeCacheDescribe, 100}, {pgx.QueryExecModeCacheStatement, 100}, {pgx.QueryExecModeCacheDescribe, 0}} {
		c.share.Store(of.share)
		line, err := pgx.Connect(t.Context(), withHost(t, d.database, c.address()))
		require.NoError(t, err)
		ask := func(n int) error {
			_, err := line.Exec(t.Context(), "SELECT n, verdict FROM yserverd.append($1)", of.mode, n)
			return err
		}
		require.NoError(t, ask(0), "nothing is stored")
		err = ask(n + 1)
		if of.share > 0 {
			require.Error(t, err, "%v", of.mode)
			require.True(t, line.IsClosed(), "%v", err)
		} else {
			require.NoError(t, err)
		}
		require.NoError(t, line.Close(t.Context()))
		var stored int
		require.NoError(t, direct.QueryRow(t.Context(), "SELECT max(n) FROM yserverd.rows").Scan(&stored))
		require.Equal(t, n+1, stored, "it is stored")
	}
	require.EqualValues(t, 2, c.cuts.Load())
	require.EqualValues(t, 3, c.appends.Load())
}
