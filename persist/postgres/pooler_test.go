package postgres_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/pgtest"
	"github.com/yserverd/yserverd/internal/pgtest/proc"
	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/postgres"
)

// pooler returns the URL of a database by way of a PgBouncer that hands out few connections by transaction. Without a
// PgBouncer the test is skipped: it is not among what tests require.
func pooler(t *testing.T, database string) string {
	t.Helper()
	path, err := exec.LookPath("pgbouncer")
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/pgbouncer") // where Debian has it
	}
	if err != nil {
		t.Skip("PgBouncer is not here: ", err)
	}
	u, err := url.Parse(database)
	require.NoError(t, err)
	port, err := proc.FreePort()
	require.NoError(t, err)
	folder, err := proc.NewFolder("yserverd-pgbouncer")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, folder.Remove()) })
	user := ""
	if os.Getuid() == 0 {
		user = "postgres" // it does not run as root
	}
	config := filepath.Join(folder.Path, "pgbouncer.ini")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `[databases]
* = host=%s port=%s user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 2
`, u.Hostname(), u.Port(), port), 0o644))
	log := filepath.Join(folder.Path, "log")
	process, err := proc.Start(proc.Command{Path: path, Args: []string{config}, Dir: folder.Path, User: user, Log: log, Orphaned: syscall.SIGKILL})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, process.Signal(syscall.SIGTERM))
		<-process.Ended()
	})
	u.Host = proc.Address(port)
	require.Eventually(t, func() bool {
		select {
		case <-process.Ended():
			require.FailNow(t, "PgBouncer ended", proc.Tail(log))
		default:
		}
		conn, err := pgx.Connect(t.Context(), u.String())
		return err == nil && conn.Close(context.Background()) == nil
	}, time.Minute, 10*time.Millisecond, "it does not answer")
	return u.String()
}

// TestPooler: nothing that a call needs is in a session, so more stores than connections work through PgBouncer, migration
// included. Each connection of the server is used by all of them in turn.
func TestPooler(t *testing.T) {
	database := pgtest.Database(t)
	url := pooler(t, database)
	stores := make([]*postgres.Store, 3)
	for i := range stores {
		stores[i] = mustOpen(t, postgres.Options{URL: url, MaxConnections: 4})
	}
	w := write(t, 6, stores[0], stores[1], stores[2])
	for i := range 10 {
		exercise(t, stores[i%3], persist.Key{Party: "pooled", Room: fmt.Sprint(i)})
	}
	w.end()
	require.LessOrEqual(t, value[int64](t, database, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`), int64(2))
	for _, s := range stores {
		require.NoError(t, s.Close())
	}
}
