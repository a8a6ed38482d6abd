package pgtest_test

import (
	"context"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/pgtest"
)

// Example shows a test with a database of its own.
func Example() {
	_ = func(t *testing.T, open func(url string)) {
		open(pgtest.Database(t))
	}
	// Output:
}

// connect ends with the test, before its database does.
func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) }) // the server may be gone
	return conn
}

func exec(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	_, err := conn.Exec(t.Context(), sql)
	require.NoError(t, err)
}

// one returns the only value of a query.
func one[T any](t *testing.T, conn *pgx.Conn, sql string) (value T) {
	t.Helper()
	require.NoError(t, conn.QueryRow(t.Context(), sql).Scan(&value))
	return value
}

func TestDatabasesAreApart(t *testing.T) {
	first, second := pgtest.Database(t), pgtest.Database(t)
	require.NotEqual(t, first, second)
	conn := connect(t, first)
	exec(t, conn, "CREATE TABLE only_here (n int)")
	_, err := connect(t, second).Exec(t.Context(), "SELECT * FROM only_here")
	require.ErrorContains(t, err, "does not exist")
}

func TestDatabaseIsDroppedUnderItsUsers(t *testing.T) {
	var database string
	t.Run("user", func(t *testing.T) {
		database = pgtest.Database(t)
		conn, err := pgx.Connect(t.Context(), database)
		require.NoError(t, err)
		t.Cleanup(func() {
			require.NoError(t, conn.Ping(context.Background()), "it is dropped last")
		})
	})
	_, err := pgx.Connect(t.Context(), database)
	require.ErrorContains(t, err, "does not exist")
}

func TestSettingsAreThoseOfProduction(t *testing.T) {
	conn := connect(t, pgtest.Database(t))
	for name, value := range map[string]string{
		"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "wal_level": "logical",
		"listen_addresses": "127.0.0.1", "server_encoding": "UTF8",
	} {
		require.Equal(t, value, one[string](t, conn, "SHOW "+name), name)
	}
	require.True(t, one[bool](t, conn, "SELECT bool_and(auth_method = 'trust') FROM pg_hba_file_rules"))
	require.Equal(t, "127.0.0.1",
		one[string](t, conn, "SELECT string_agg(DISTINCT address, ',') FROM pg_hba_file_rules WHERE type = 'host'"))
}

func TestClusterIsStoppedAndStarted(t *testing.T) {
	c := pgtest.New(t, "max_connections = 17")
	database := c.Database(t)
	conn := connect(t, database)
	require.Equal(t, "17", one[string](t, conn, "SHOW max_connections"))
	exec(t, conn, "CREATE TABLE kept (n int)")
	exec(t, conn, "INSERT INTO kept VALUES (1)")

	require.NoError(t, c.StopImmediate())
	require.NoError(t, c.StopImmediate(), "none runs")
	require.Error(t, conn.Ping(t.Context()))
	_, err := net.Dial("tcp", c.Address())
	require.Error(t, err, "nobody is there")

	require.NoError(t, c.Start())
	require.Error(t, c.Start(), "it runs")
	require.Contains(t, c.Log(), "not properly shut down", "it recovered")
	exec(t, connect(t, database), "INSERT INTO kept VALUES (2)")
	require.NoError(t, c.Restart())
	require.EqualValues(t, 2, one[int64](t, connect(t, database), "SELECT count(*) FROM kept"))
}

func TestClusterGoesWithItsTest(t *testing.T) {
	var address, folder string
	var pid int
	t.Run("user", func(t *testing.T) {
		c := pgtest.New(t)
		address, folder, pid = c.Address(), c.Folder(), c.Pid()
		require.DirExists(t, folder)
	})
	require.NoDirExists(t, folder)
	require.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH)
	_, err := net.Dial("tcp", address)
	require.Error(t, err)
}

func TestClusterThatDoesNotStartSaysWhy(t *testing.T) {
	pgtest.Shared(t) // PostgreSQL is here
	require.ErrorContains(t, pgtest.Broken("no_such_setting = 1"), "no_such_setting")
}

func TestMissingProgramsAreNamed(t *testing.T) {
	pgtest.Shared(t)
	require.NoError(t, pgtest.FindPrograms())
	t.Setenv("YSERVERD_TEST_POSTGRES", t.TempDir())
	require.ErrorContains(t, pgtest.FindPrograms(), "make needs")
}

func TestNamesAreShortAndPlain(t *testing.T) {
	require.Equal(t, "testx_a_b_c1__", pgtest.Plain("TestX/a b-c1é\x00"))
	require.Len(t, pgtest.Plain(strings.Repeat("x", 100)), 40)
}
