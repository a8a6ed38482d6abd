package changes_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/pgtest"
	"github.com/yserverd/yserverd/persist/changes"
)

// check returns the problems, a line for each, fatal ones with an exclamation mark.
func (k *kit) check(c changes.Config) []string {
	k.t.Helper()
	if c.URL == "" {
		c.URL = k.url
	}
	found, err := changes.Check(k.t.Context(), c)
	require.NoError(k.t, err)
	var lines []string
	for _, p := range found {
		line := string(p.Code) + ": " + p.String()
		if p.Fatal {
			line = "!" + line
		}
		lines = append(lines, line)
	}
	return lines
}

func (k *kit) refused(c changes.Config, text string) {
	k.t.Helper()
	if c.URL == "" {
		c.URL = k.url
	}
	_, err := changes.Open(k.t.Context(), c)
	var p *changes.ProblemError
	require.ErrorAs(k.t, err, &p)
	require.ErrorContains(k.t, err, text)
}

func TestCheckOfTables(t *testing.T) {
	k := newKit(t, "CREATE TABLE good (id int PRIMARY KEY, org text, big text, made int GENERATED ALWAYS AS (id + 1) STORED)",
		"CREATE TABLE keyless (id int)", "CREATE VIEW seen AS SELECT 1", "CREATE UNLOGGED TABLE gone (id int PRIMARY KEY)")
	good := tables("good")[0]
	require.Empty(t, k.check(changes.Config{Tables: tables("good")}))
	require.EqualValues(t, 0, one[int64](k, "SELECT count(*) FROM pg_publication"), "a check changes nothing")

	c := changes.Config{Tables: tables("good"), Needs: map[changes.Table][]string{good: {"id", "org"}}}
	require.Equal(t, []string{`replica_identity: table public.good: column "org" is not in the replica identity, so that old rows do not have it: ` +
		"REPLICA IDENTITY FULL, or USING INDEX with one that has it"}, k.check(c))
	k.open(c) // it goes without
	k.exec("ALTER TABLE good REPLICA IDENTITY FULL")
	require.Empty(t, k.check(c))
	c.Needs[good] = []string{"made", "none"}
	require.Equal(t, []string{
		`!table: table public.good: column "made" is generated: it is not sent`,
		`!table: table public.good: it has no column "none"`,
	}, k.check(c))

	for name, want := range map[string]string{
		"keyless": "!replica_identity: table public.keyless: it has no replica identity",
		"seen":    "!table: table public.seen: it is no table",
		"gone":    "!table: table public.gone: it is unlogged",
		"missing": "!table: table public.missing: it does not exist",
	} {
		c := changes.Config{Tables: tables("good", name)}
		lines := k.check(c)
		require.Len(t, lines, 1)
		require.True(t, strings.HasPrefix(lines[0], want), lines[0])
		k.refused(c, lines[0][strings.Index(lines[0], ": ")+2:])
	}
	k.exec("INSERT INTO keyless VALUES (1)", "UPDATE keyless SET id = 2") // Open has not published it
}

func TestCheckOfThePublication(t *testing.T) {
	k := newKit(t, "CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)",
		"CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id)", "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)")
	c := changes.Config{Tables: tables("a", "b"), Publication: "mine", Unmanaged: true}
	missing := `publication mine does not have what it should: CREATE PUBLICATION "mine" FOR TABLE "public"."a", "public"."b" WITH (publish_via_partition_root = true)`
	require.Equal(t, []string{"!publication: " + missing}, k.check(c))
	k.refused(c, missing)
	k.exec("CREATE PUBLICATION mine FOR TABLE a WITH (publish = 'insert')")
	require.Equal(t, []string{
		`!publication: publication mine does not have what it should: ALTER PUBLICATION "mine" ADD TABLE "public"."b"`,
		"publication: publication mine does not publish delete, truncate, update",
	}, k.check(c))
	k.refused(c, "ADD TABLE")
	k.exec("ALTER PUBLICATION mine ADD TABLE b, p")
	k.open(c)
	c.Tables = tables("p")
	require.Len(t, k.check(c), 3)
	k.refused(c, "publish_via_partition_root")
}

// TestCheckOfRights: a role that may little is told what it lacks, and one that owns the tables is let do the rest.
func TestCheckOfRights(t *testing.T) {
	k := newKit(t, "CREATE TABLE a (id int PRIMARY KEY)", "DROP ROLE IF EXISTS changes_reader", "CREATE ROLE changes_reader LOGIN")
	t.Cleanup(func() { k.execAtEnd("DROP OWNED BY changes_reader", "DROP ROLE changes_reader") })
	u, err := url.Parse(k.url)
	require.NoError(t, err)
	u.User = url.User("changes_reader")
	c := changes.Config{URL: u.String(), Tables: tables("a")}
	lines := k.check(c)
	require.Len(t, lines, 2)
	require.Contains(t, lines[0], "!publication: publication yserverd does not have what it should")
	require.Contains(t, lines[1], "!replication: role changes_reader may not replicate")
	k.refused(c, "permission denied")

	k.exec("ALTER ROLE changes_reader REPLICATION", "CREATE PUBLICATION yserverd FOR TABLE a")
	require.Empty(t, k.check(c), "no right is needed for a publication that is there")
	k.open(c)
	k.exec("INSERT INTO a VALUES (1)")
	require.Equal(t, []string{`INSERT a - {"id":1}`}, k.changes())
	require.NoError(t, k.stream.Close())

	k.exec("DROP PUBLICATION yserverd", "ALTER TABLE a OWNER TO changes_reader",
		"DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO changes_reader', current_database()); END $$")
	require.Empty(t, k.check(c))
	k.open(c)
	k.exec("UPDATE a SET id = 2")
	require.Equal(t, []string{`UPDATE a {"id":1} {"id":2}`}, k.changes())
}

func TestCheckOfTheServer(t *testing.T) {
	cluster := pgtest.New(t, "wal_level = replica", "synchronous_standby_names = '*'", "max_replication_slots = 0", "synchronous_commit = local")
	k := kitOn(t, cluster.Database(t), "CREATE TABLE a (id int PRIMARY KEY)")
	c := changes.Config{Tables: tables("a")}
	lines := strings.Join(k.check(c), "\n")
	require.Contains(t, lines, "!wal_level: wal_level is replica")
	require.Contains(t, lines, "\nsynchronous: ")
	require.Contains(t, lines, "!slots: all 0 replication slots are taken")
	k.refused(c, "wal_level is replica")
	require.NoError(t, cluster.Stop())
	require.Contains(t, strings.Join(k.check(c), "\n"), "!connect: ")
	_, err := changes.Open(t.Context(), changes.Config{URL: k.url, Tables: tables("a")})
	require.Error(t, err)
}

func TestConfigIsValidated(t *testing.T) {
	const u = "postgres://127.0.0.1:1/none"
	for text, c := range map[string]changes.Config{
		"URL is empty":            {Tables: tables("a")},
		"Tables is empty":         {URL: u},
		"no schema or no name":    {URL: u, Tables: []changes.Table{{Name: "a"}}},
		"is there twice":          {URL: u, Tables: tables("a", "a")},
		"MaxTransaction is neg":   {URL: u, Tables: tables("a"), MaxTransaction: -1},
		"MaxPending is less than": {URL: u, Tables: tables("a"), MaxPending: 1},
		"time of the config":      {URL: u, Tables: tables("a"), Silence: -1},
	} {
		_, err := changes.Open(t.Context(), c)
		require.ErrorContains(t, err, text)
		_, err = changes.Check(t.Context(), c)
		require.ErrorContains(t, err, text)
	}
}

// TestOpenWaitsForTransactionsThatWrite, since it cannot know what they wrote before; but not for ever.
func TestOpenWaitsForTransactionsThatWrite(t *testing.T) {
	k := newKit(t, "CREATE TABLE a (id int PRIMARY KEY)", "CREATE PUBLICATION yserverd FOR TABLE a")
	writer := connect(t, k.url)
	tx, err := writer.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "INSERT INTO a VALUES (1)")
	require.NoError(t, err)

	_, err = changes.Open(t.Context(), changes.Config{URL: k.url, Tables: tables("a"), SlotTimeout: 100 * time.Millisecond})
	require.ErrorContains(t, err, "it waits for transactions that write")
	k.awaitNoSlot()
	opened := make(chan *changes.Stream, 1)
	failed := make(chan error, 1)
	go func() {
		s, err := changes.Open(t.Context(), changes.Config{URL: k.url, Tables: tables("a")})
		opened <- s
		failed <- err
	}()
	require.Eventually(t, func() bool {
		return one[int64](k, "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()") == 1
	}, patience, time.Millisecond)
	select {
	case <-opened:
		t.Fatal("it did not wait")
	default:
	}
	require.NoError(t, tx.Commit(t.Context()))
	k.stream = <-opened
	require.NoError(t, <-failed)
	k.exec("INSERT INTO a VALUES (2)")
	require.Equal(t, []string{`INSERT a - {"id":2}`}, k.changes())
	require.NoError(t, k.stream.Close())
	k.awaitNoSlot()
}
