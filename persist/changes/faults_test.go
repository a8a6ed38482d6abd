package changes_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/pgtest"
	"github.com/yserverd/yserverd/persist/changes"
)

// line is a connection to a database that can be disturbed.
type line struct {
	t     *testing.T
	proxy *toxiproxy.Proxy
}

// newLine returns the URL that leads to a database over the line, and the line.
func newLine(t *testing.T, database string) (string, *line) {
	t.Helper()
	u, err := url.Parse(database)
	require.NoError(t, err)
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxy := toxiproxy.NewProxy(server, "postgres", "127.0.0.1:0", u.Host)
	require.NoError(t, proxy.Start())
	t.Cleanup(proxy.Stop)
	u.Host = proxy.Listen
	return u.String(), &line{t, proxy}
}

// disturb adds a toxic to one direction.
func (l *line) disturb(kind, stream string, attributes map[string]int) {
	l.t.Helper()
	toxic, err := json.Marshal(map[string]any{"name": stream, "type": kind, "stream": stream, "attributes": attributes})
	require.NoError(l.t, err)
	_, err = l.proxy.Toxics.AddToxicJson(bytes.NewReader(toxic))
	require.NoError(l.t, err)
}

// repair takes all toxics away.
func (l *line) repair() { l.proxy.Toxics.ResetToxics(context.Background()) }

// start lets connections through again after proxy.Stop.
func (l *line) start() {
	l.t.Helper()
	require.NoError(l.t, l.proxy.Update(&toxiproxy.Proxy{Listen: l.proxy.Listen, Upstream: l.proxy.Upstream, Enabled: true}))
}

// TestLineCut: a gap follows, once the stream goes on, and everything from then on.
func TestLineCut(t *testing.T) {
	for name, cut := range map[string]func(*line){
		"closed":              func(l *line) { l.proxy.Stop() },
		"answers vanish":      func(l *line) { l.disturb("timeout", "downstream", map[string]int{"timeout": 0}) },
		"all vanishes":        func(l *line) { l.disturb("timeout", "upstream", map[string]int{"timeout": 0}) },
		"within a message":    func(l *line) { l.disturb("limit_data", "downstream", map[string]int{"bytes": 30}) },
		"reset by the server": func(l *line) { l.disturb("reset_peer", "downstream", map[string]int{"timeout": 0}) },
	} {
		t.Run(name, func(t *testing.T) {
			database := pgtest.Database(t)
			u, l := newLine(t, database)
			k := kitOn(t, database, "CREATE TABLE a (id int PRIMARY KEY)")
			k.open(changes.Config{URL: u, Tables: tables("a"), Silence: 400 * time.Millisecond})
			k.exec("INSERT INTO a VALUES (1)")
			require.Equal(t, []string{`INSERT a - {"id":1}`}, k.changes())

			cut(l)
			k.exec("INSERT INTO a VALUES (2)", "INSERT INTO a VALUES (3)")
			require.Eventually(t, func() bool { return !k.stream.Stats().Streaming }, patience, time.Millisecond)
			require.Error(t, k.stream.Stats().Err)
			l.repair()
			if name == "closed" {
				l.start()
			}
			gap := k.untilGap() // what the server could still send came before
			require.Equal(t, changes.Gap{Tables: tables("a"), Reason: changes.Reconnected}, gap)
			k.exec("INSERT INTO a VALUES (4)")
			require.Equal(t, []string{`INSERT a - {"id":4}`}, k.changes())
			s := k.stream.Stats()
			require.True(t, s.Streaming)
			require.NoError(t, s.Err)
			require.Positive(t, s.Reconnects)
			// What the server kept for the connection that it does not know to be dead goes soon.
			require.Eventually(t, func() bool {
				return one[int64](k, "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()") == 1
			}, patience, 10*time.Millisecond)
		})
	}
}

// TestServerWatchesUsToo: what it keeps for a reader that vanished it keeps as long as we say.
func TestServerWatchesUsToo(t *testing.T) {
	timeout, err := changes.SenderTimeout(t.Context(), changes.Config{URL: pgtest.Database(t)})
	require.NoError(t, err)
	require.Equal(t, "30s", timeout)
}

// TestServerRestarts while it is read from, gracefully and not.
func TestServerRestarts(t *testing.T) {
	c := pgtest.New(t)
	database := c.Database(t)
	k := kitOn(t, database, "CREATE TABLE a (id int PRIMARY KEY)")
	k.open(changes.Config{Tables: tables("a")})
	for i, stop := range []func() error{c.Stop, c.StopImmediate} {
		require.NoError(t, stop())
		require.Eventually(t, func() bool { return !k.stream.Stats().Streaming }, patience, time.Millisecond)
		require.NoError(t, c.Start())
		k.conn = connect(t, database)
		k.exec(fmt.Sprintf("INSERT INTO a VALUES (%d)", 10*i))
		require.Equal(t, changes.Reconnected, k.untilGap().Reason)
		k.exec(fmt.Sprintf("INSERT INTO a VALUES (%d)", 10*i+1))
		require.Equal(t, []string{fmt.Sprintf(`INSERT a - {"id":%d}`, 10*i+1)}, k.changes())
	}
	require.EqualValues(t, 2, k.stream.Stats().Reconnects)
}

// TestSlotLost: an administrator ends the connection, or the other one, which does not matter.
func TestSlotLost(t *testing.T) {
	k := newKit(t, "CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)")
	k.open(changes.Config{Tables: tables("a", "b")})
	k.exec("INSERT INTO a VALUES (1)")
	require.Equal(t, []string{`INSERT a - {"id":1}`}, k.changes())
	k.exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()")
	k.exec("INSERT INTO b VALUES (1)") // its relation is new: the catalogue is asked
	require.Equal(t, []string{`INSERT b - {"id":1}`}, k.changes())
	require.EqualValues(t, 0, k.stream.Stats().Reconnects)

	k.exec("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = current_database()")
	require.Equal(t, changes.Gap{Tables: tables("a", "b"), Reason: changes.Reconnected}, k.gap())
	k.exec("INSERT INTO a VALUES (2)")
	require.Equal(t, []string{`INSERT a - {"id":2}`}, k.changes())
}

// TestLagOfASlowLine is seen while the log is longer than what arrived.
func TestLagOfASlowLine(t *testing.T) {
	database := pgtest.Database(t)
	u, l := newLine(t, database)
	k := kitOn(t, database, "CREATE TABLE a (id int PRIMARY KEY, body text)")
	k.open(changes.Config{URL: u, Tables: tables("a"), Verify: 20 * time.Millisecond})
	l.disturb("bandwidth", "downstream", map[string]int{"rate": 50})
	k.exec("INSERT INTO a SELECT n, repeat('x', 100) FROM generate_series(1, 20000) n")
	require.Eventually(t, func() bool { return k.stream.Stats().LagBytes > 1_000_000 }, patience, time.Millisecond)
	l.repair()
	require.Len(t, k.next().Changes, 20000)
	require.Eventually(t, func() bool { return k.stream.Stats().LagBytes < 1000 }, patience, time.Millisecond)
}

// TestNothingIsMissedUnderFaults: a copy that is read again at each gap, and otherwise made of changes, is the table.
func TestNothingIsMissedUnderFaults(t *testing.T) {
	database := pgtest.Database(t)
	u, l := newLine(t, database)
	k := kitOn(t, database, "CREATE TABLE a (id int PRIMARY KEY, n int)")
	k.open(changes.Config{URL: u, Tables: tables("a"), Silence: 200 * time.Millisecond, Verify: 50 * time.Millisecond, MaxTransaction: 20_000, MaxPending: 40_000})
	writer := connect(t, database)
	stop, written := make(chan struct{}), make(chan error, 1)
	go func() {
		written <- writeUntil(t.Context(), stop, func(sql string) error { _, err := writer.Exec(t.Context(), sql); return err })
	}()

	rng := rand.New(rand.NewPCG(1, 2))
	faults := make(chan struct{})
	go func() {
		defer close(faults)
		for range 6 {
			arrived := k.stream.Stats().Transactions
			for k.stream.Stats().Transactions < arrived+30 {
				time.Sleep(time.Millisecond)
			}
			before := k.stream.Stats().Reconnects
			switch rng.IntN(3) {
			case 0:
				l.disturb("limit_data", "downstream", map[string]int{"bytes": rng.IntN(5000)})
			case 1:
				l.disturb("timeout", "downstream", map[string]int{"timeout": 0})
			case 2:
				l.disturb("reset_peer", "upstream", map[string]int{"timeout": 0})
			}
			for k.stream.Stats().Streaming && k.stream.Stats().Reconnects == before {
				time.Sleep(time.Millisecond)
			}
			l.repair()
			for !k.stream.Stats().Streaming {
				time.Sleep(time.Millisecond)
			}
		}
		close(stop)
	}()

	mirror := map[string]string{}
	apply := func(e changes.Event) (last bool) {
		if e.Gap != nil {
			mirror = k.table()
			return mirror["-1"] != ""
		}
		for _, c := range e.Changes {
			switch c.Op {
			case changes.Insert, changes.Update:
				mirror[c.New[0].Text] = c.New[1].Text
			case changes.Delete:
				delete(mirror, c.Old[0].Text)
			}
			last = last || c.New != nil && c.New[0].Text == "-1"
		}
		return last
	}
	go func() { // the last row ends the comparison
		<-faults
		written <- <-written
	}()
	for !apply(k.next()) {
	}
	require.NoError(t, <-written)
	require.Equal(t, k.table(), mirror)
	s := k.stream.Stats()
	require.GreaterOrEqual(t, s.Reconnects, uint64(6))
	t.Logf("%d transactions, %d gaps, %d reconnects", s.Transactions, s.Gaps, s.Reconnects)
}

// writeUntil changes rows until it is stopped, and writes row -1 as the last.
func writeUntil(ctx context.Context, stop <-chan struct{}, exec func(string) error) error {
	rng := rand.New(rand.NewPCG(3, 4))
	for n := 0; ; n++ {
		id := rng.IntN(50)
		sql := fmt.Sprintf("INSERT INTO a VALUES (%d, %d) ON CONFLICT (id) DO UPDATE SET n = excluded.n", id, n)
		switch {
		case n%7 == 0:
			sql = fmt.Sprintf("DELETE FROM a WHERE id = %d", id)
		case n%100 == 0:
			sql = "UPDATE a SET n = n + 1"
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-stop:
			return exec("INSERT INTO a VALUES (-1, 0)")
		default:
		}
		if err := exec(sql); err != nil {
			return err
		}
	}
}

// table returns the rows of table a.
func (k *kit) table() map[string]string {
	k.t.Helper()
	rows, err := k.conn.Query(k.t.Context(), "SELECT id::text, n::text FROM a")
	require.NoError(k.t, err)
	defer rows.Close()
	all := map[string]string{}
	for rows.Next() {
		var id, n string
		require.NoError(k.t, rows.Scan(&id, &n))
		all[id] = n
	}
	require.NoError(k.t, rows.Err())
	return all
}
