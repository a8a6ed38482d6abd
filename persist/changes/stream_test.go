package changes_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist/changes"
)

func TestTransactionsComeInTheOrderOfTheirCommits(t *testing.T) {
	k := newKit(t, "CREATE TABLE a (id int PRIMARY KEY, n int)", "CREATE TABLE other (id int PRIMARY KEY)",
		"INSERT INTO a VALUES (0, 0)")
	before := time.Now().Add(-time.Hour)
	k.open(changes.Config{Tables: tables("a")})
	second := connect(t, k.url)
	first, err := k.conn.Begin(t.Context())
	require.NoError(t, err)
	exec := func(sql string) {
		_, err := first.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	exec("INSERT INTO a VALUES (1, 1)")
	for _, sql := range []string{
		"INSERT INTO a VALUES (2, 1)", "BEGIN", "INSERT INTO a VALUES (3, 1)", "ROLLBACK", "INSERT INTO other VALUES (1)",
	} {
		_, err := second.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	exec("SAVEPOINT s")
	exec("INSERT INTO a VALUES (4, 1)")
	exec("ROLLBACK TO s")
	exec("UPDATE a SET n = 2 WHERE id = 1")
	require.NoError(t, first.Commit(t.Context()))
	k.exec("DELETE FROM a WHERE id = 0")

	one, two, three := k.next(), k.next(), k.next()
	require.Equal(t, []string{`INSERT a - {"id":2,"n":1}`}, describe(one))
	require.Equal(t, []string{`INSERT a - {"id":1,"n":1}`, `UPDATE a {"id":1} {"id":1,"n":2}`}, describe(two))
	require.Equal(t, []string{`DELETE a {"id":0} -`}, describe(three))
	require.Less(t, one.LSN, two.LSN)
	require.Less(t, two.LSN, three.LSN)
	require.True(t, one.Committed.After(before) && one.Committed.Before(time.Now().Add(time.Hour)))
	require.False(t, three.Committed.Before(one.Committed))
	s := k.stream.Stats()
	require.EqualValues(t, 3, s.Transactions)
	require.EqualValues(t, 4, s.Changes)
}

// TestReplicaIdentity: what an old row has is the table's decision.
func TestReplicaIdentity(t *testing.T) {
	columns := "(id int PRIMARY KEY, mail text NOT NULL, n int)"
	k := newKit(t, "CREATE TABLE standard "+columns, "CREATE TABLE whole "+columns, "CREATE TABLE indexed "+columns, "CREATE TABLE nothing "+columns,
		"ALTER TABLE whole REPLICA IDENTITY FULL", "CREATE UNIQUE INDEX i ON indexed (mail)",
		"ALTER TABLE indexed REPLICA IDENTITY USING INDEX i", "ALTER TABLE nothing REPLICA IDENTITY NOTHING",
		"CREATE PUBLICATION mine FOR TABLE standard, whole, indexed",
		"CREATE PUBLICATION inserts FOR TABLE nothing WITH (publish = 'insert')")
	k.open(changes.Config{Tables: tables("standard", "whole", "indexed"), Publication: "mine", Unmanaged: true})
	for name, want := range map[string][]string{
		"standard": {`{"id":1}`, `{"id":1}`, `{"id":2}`},
		"whole":    {`{"id":1,"mail":"a","n":1}`, `{"id":1,"mail":"a","n":2}`, `{"id":2,"mail":"b","n":null}`},
		"indexed":  {`{"mail":"a"}`, `{"mail":"a"}`, `{"mail":"b"}`},
	} {
		k.exec("INSERT INTO "+name+" VALUES (1, 'a', 1)", "UPDATE "+name+" SET n = 2",
			"UPDATE "+name+" SET id = 2, mail = 'b', n = NULL", "DELETE FROM "+name)
		require.Equal(t, []string{"INSERT " + name + ` - {"id":1,"mail":"a","n":1}`}, k.changes())
		require.Equal(t, []string{"UPDATE " + name + " " + want[0] + ` {"id":1,"mail":"a","n":2}`}, k.changes())
		require.Equal(t, []string{"UPDATE " + name + " " + want[1] + ` {"id":2,"mail":"b","n":null}`}, k.changes())
		e := k.next()
		require.Equal(t, []string{"DELETE " + name + " " + want[2] + " -"}, describe(e))
		r := e.Changes[0].Table
		require.True(t, r.Columns[r.Column("id")].Primary)
		require.False(t, r.Columns[r.Column("mail")].Primary)
		require.Equal(t, name != "indexed", r.Columns[r.Column("id")].Key)
	}
	nothing := kitOn(t, k.url).open(changes.Config{Tables: tables("nothing"), Publication: "inserts", Unmanaged: true})
	k.exec("INSERT INTO nothing VALUES (1, 'a', 1)", "UPDATE nothing SET n = 2", "DELETE FROM nothing", "INSERT INTO nothing VALUES (2, 'b', 1)")
	require.Equal(t, []string{`INSERT nothing - {"id":1,"mail":"a","n":1}`}, nothing.changes())
	e := nothing.next()
	require.Equal(t, []string{`INSERT nothing - {"id":2,"mail":"b","n":1}`}, describe(e))
	require.Equal(t, changes.IdentityNothing, e.Changes[0].Table.Identity)
}

// TestLargeValueThatDidNotChange is not in the log, unless old rows are: it is unknown, not NULL.
func TestLargeValueThatDidNotChange(t *testing.T) {
	k := newKit(t, "CREATE TABLE big (id int PRIMARY KEY, n int, body text)", "ALTER TABLE big ALTER body SET STORAGE EXTERNAL",
		"INSERT INTO big VALUES (1, 1, repeat('x', 10000))")
	k.open(changes.Config{Tables: tables("big")})
	k.exec("UPDATE big SET n = 2")
	e := k.next()
	require.Equal(t, []string{`UPDATE big {"id":1} {"id":1,"n":2}`}, describe(e))
	require.Equal(t, changes.Value{Unknown: true}, e.Changes[0].New[2])
	k.exec("ALTER TABLE big REPLICA IDENTITY FULL", "UPDATE big SET n = 3")
	e = k.next()
	require.Equal(t, strings.Repeat("x", 10000), e.Changes[0].Old[2].Text)
	require.Equal(t, strings.Repeat("x", 10000), e.Changes[0].New[2].Text)
	require.Equal(t, changes.IdentityFull, e.Changes[0].Table.Identity)
}

func TestTruncate(t *testing.T) {
	k := newKit(t, "CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)", "CREATE TABLE c (id int PRIMARY KEY)",
		"CREATE PUBLICATION all_of_them FOR ALL TABLES")
	k.open(changes.Config{Tables: tables("a", "b"), Publication: "all_of_them"})
	k.exec("TRUNCATE a, b, c")
	require.ElementsMatch(t, []string{"TRUNCATE a - -", "TRUNCATE b - -"}, k.changes())
}

// TestSchemaChanges are followed where the stream has them.
func TestSchemaChanges(t *testing.T) {
	k := newKit(t, "CREATE TABLE a (id int PRIMARY KEY, n int)")
	k.open(changes.Config{Tables: tables("a")})
	k.exec("INSERT INTO a VALUES (1, 1)")
	before := k.next().Changes[0].Table
	k.exec("INSERT INTO a VALUES (2, 1)")
	require.Same(t, before, k.next().Changes[0].Table)
	k.exec("ALTER TABLE a ADD COLUMN state text", "INSERT INTO a VALUES (3, 1, 'new')")
	e := k.next()
	require.Equal(t, []string{`INSERT a - {"id":3,"n":1,"state":"new"}`}, describe(e))
	require.NotSame(t, before, e.Changes[0].Table)
	require.Len(t, before.Columns, 2)
	k.exec("ALTER TABLE a DROP COLUMN n", "ALTER TABLE a ALTER state TYPE boolean USING true", "UPDATE a SET state = false WHERE id = 3")
	require.Equal(t, []string{`UPDATE a {"id":3} {"id":3,"state":false}`}, k.changes())
	k.exec("ALTER TABLE a RENAME COLUMN state TO done", "BEGIN", "INSERT INTO a VALUES (4, true)",
		"ALTER TABLE a ADD COLUMN late int", "INSERT INTO a VALUES (5, true, 5)", "COMMIT")
	require.Equal(t, []string{`INSERT a - {"id":4,"done":true}`, `INSERT a - {"id":5,"done":true,"late":5}`}, k.changes())
}

// TestTableThatIsAnotherNow: what the stream does not say is noticed by looking, and is a gap.
func TestTableThatIsAnotherNow(t *testing.T) {
	k := newKit(t, "CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)")
	k.open(changes.Config{Tables: tables("a", "b"), Verify: 20 * time.Millisecond})
	k.exec("DROP TABLE a")
	require.Equal(t, changes.Gap{Tables: tables("a", "b"), Reason: changes.Reconnected}, k.gap())
	require.ErrorContains(t, problems(k.stream.Stats().Problems), "table public.a: it does not exist")
	k.exec("INSERT INTO b VALUES (1)")
	require.Equal(t, []string{`INSERT b - {"id":1}`}, k.changes(), "the others are read meanwhile")

	k.exec("CREATE TABLE a (id int PRIMARY KEY, again int)")
	k.gap()
	require.Empty(t, k.stream.Stats().Problems)
	k.exec("INSERT INTO a VALUES (1, 2)")
	require.Equal(t, []string{`INSERT a - {"id":1,"again":2}`}, k.changes())

	k.exec("ALTER TABLE a RENAME TO c")
	k.gap()
	k.exec("INSERT INTO c VALUES (2, 2)", "ALTER PUBLICATION yserverd DROP TABLE b")
	k.gap()
	k.exec("INSERT INTO b VALUES (2)")
	require.Equal(t, []string{`INSERT b - {"id":2}`}, k.changes())
	k.exec("DROP PUBLICATION yserverd")
	k.gap()
	k.exec("INSERT INTO b VALUES (3)")
	require.Equal(t, []string{`INSERT b - {"id":3}`}, k.changes())
}

func TestPartitionsAreTheirTable(t *testing.T) {
	k := newKit(t, "CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id)", "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)")
	k.open(changes.Config{Tables: tables("p")})
	k.exec("INSERT INTO p VALUES (1)", "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20)", "INSERT INTO p VALUES (11)", "DELETE FROM p WHERE id = 1")
	require.Equal(t, []string{`INSERT p - {"id":1}`}, k.changes())
	require.Equal(t, []string{`INSERT p - {"id":11}`}, k.changes())
	require.Equal(t, []string{`DELETE p {"id":1} -`}, k.changes())
}

func TestNamesNeedNoCare(t *testing.T) {
	k := newKit(t, `CREATE SCHEMA "Odd ""Schema"`, `CREATE TABLE "Odd ""Schema"."the, 'Table" ("I""d" int PRIMARY KEY)`)
	odd := changes.Table{Schema: `Odd "Schema`, Name: `the, 'Table`}
	k.open(changes.Config{Tables: []changes.Table{odd}, Publication: `pub, 'of "all"`})
	k.exec(`INSERT INTO "Odd ""Schema"."the, 'Table" VALUES (1)`)
	e := k.next()
	require.Equal(t, odd, e.Changes[0].Table.Table)
	require.Equal(t, []string{`INSERT the, 'Table - {"I\"d":1}`}, describe(e))
}

// TestTransactionAboveTheBound is a gap of its tables, and the next one comes whole.
func TestTransactionAboveTheBound(t *testing.T) {
	k := newKit(t, "CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)", "CREATE TABLE c (id int PRIMARY KEY)")
	k.open(changes.Config{Tables: tables("a", "b", "c"), MaxTransaction: 10_000})
	k.exec("BEGIN", "INSERT INTO a SELECT generate_series(1, 1000)", "TRUNCATE b", "INSERT INTO b VALUES (1)", "COMMIT", "INSERT INTO a VALUES (0)")
	require.Equal(t, changes.Gap{Tables: tables("a", "b"), Reason: changes.TooLarge}, k.gap())
	require.Equal(t, []string{`INSERT a - {"id":0}`}, k.changes())
	require.EqualValues(t, 0, k.stream.Stats().Reconnects)
}

// TestRowAboveTheBound costs the connection, not the memory, and once only.
func TestRowAboveTheBound(t *testing.T) {
	k := newKit(t, "CREATE TABLE a (id int PRIMARY KEY, body text)")
	k.open(changes.Config{Tables: tables("a"), MaxTransaction: 10_000})
	k.exec("INSERT INTO a VALUES (1, repeat('x', 1000000))")
	require.Equal(t, changes.Reconnected, k.gap().Reason)
	k.exec("INSERT INTO a VALUES (2, 'small')")
	require.Equal(t, []string{`INSERT a - {"id":2,"body":"small"}`}, k.changes())
	require.EqualValues(t, 1, k.stream.Stats().Reconnects)
}

// TestNobodyTakesEvents: the reader goes on, the server may forget its log, and memory is bounded.
func TestNobodyTakesEvents(t *testing.T) {
	k := newKit(t, "CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)")
	k.open(changes.Config{Tables: tables("a", "b"), MaxTransaction: 20_000, MaxPending: 20_000})
	k.exec("INSERT INTO b VALUES (0)")
	for i := range 1000 {
		k.exec(fmt.Sprintf("INSERT INTO a VALUES (%d)", i))
	}
	require.Eventually(t, func() bool { return k.stream.Stats().Transactions == 1001 }, patience, time.Millisecond)
	s := k.stream.Stats()
	require.LessOrEqual(t, s.PendingBytes, 20_000)
	require.Positive(t, s.Dropped)
	require.Positive(t, s.Gaps)
	gap := k.gap()
	require.Equal(t, changes.Behind, gap.Reason)
	require.Equal(t, tables("a", "b"), gap.Tables, "a gap carries on what an earlier one lost")
	var last string
	for k.stream.Stats().Pending > 0 {
		last = k.changes()[0]
	}
	require.Equal(t, `INSERT a - {"id":999}`, last)
	require.Zero(t, k.stream.Stats().PendingBytes)
}

// TestServerKeepsNothing: the slot is temporary, and what arrived is confirmed.
func TestServerKeepsNothing(t *testing.T) {
	k := newKit(t, "CREATE TABLE a (id int PRIMARY KEY)")
	const slots = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"
	k.open(changes.Config{Tables: tables("a"), Silence: 200 * time.Millisecond})
	require.EqualValues(t, 1, one[int64](k, slots+" AND temporary AND active"))
	k.exec("INSERT INTO a SELECT generate_series(1, 1000)")
	end := one[string](k, "SELECT pg_current_wal_flush_lsn()::text")
	require.Eventually(t, func() bool {
		return one[bool](k, "SELECT bool_and(confirmed_flush_lsn >= $1::text::pg_lsn) FROM pg_replication_slots WHERE database = current_database()", end)
	}, patience, 10*time.Millisecond, "though nobody took the event")
	require.NoError(t, k.stream.Close())
	require.Eventually(t, func() bool { return one[int64](k, slots) == 0 }, patience, time.Millisecond)
	require.NoError(t, k.stream.Close())
	_, err := k.stream.Next(t.Context())
	require.ErrorIs(t, err, changes.ErrClosed)
	require.False(t, k.stream.Stats().Streaming)
}

// TestLag tells how far the stream is behind the server's log.
func TestLag(t *testing.T) {
	k := newKit(t, "CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE other (id int PRIMARY KEY)")
	k.open(changes.Config{Tables: tables("a"), Silence: 200 * time.Millisecond})
	k.exec("INSERT INTO a VALUES (1)")
	k.next()
	require.Positive(t, k.stream.Stats().Delay)
	k.exec("INSERT INTO other SELECT generate_series(1, 10000)")
	end, err := changes.ParseLSN(one[string](k, "SELECT pg_current_wal_flush_lsn()::text"))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		s := k.stream.Stats()
		return s.Received >= end && s.LagBytes == 0 && s.Streaming
	}, patience, time.Millisecond, "what is none of ours counts as read")
	require.EqualValues(t, 1, k.stream.Stats().Transactions)
}

func TestNextObeysItsContext(t *testing.T) {
	k := newKit(t, "CREATE TABLE a (id int PRIMARY KEY)")
	k.open(changes.Config{Tables: tables("a")})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := k.stream.Next(ctx)
	require.ErrorIs(t, err, context.Canceled)
	waiting := make(chan error)
	go func() {
		_, err := k.stream.Next(t.Context())
		waiting <- err
	}()
	require.NoError(t, k.stream.Close())
	require.ErrorIs(t, <-waiting, changes.ErrClosed)
}

// problems returns them as an error, nil for none.
func problems(all []changes.Problem) error {
	if len(all) == 0 {
		return nil
	}
	return &changes.ProblemError{Problems: all}
}
