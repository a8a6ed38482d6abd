package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/yserverd/yserverd/internal/pgtest/proc"
	"github.com/yserverd/yserverd/internal/ytest"
)

// settings are those of every cluster. A test's come behind them, and so count more.
const settings = `listen_addresses = '127.0.0.1'
wal_level = logical
fsync = on
synchronous_commit = on
full_page_writes = on
max_connections = 200
max_wal_senders = 20
max_replication_slots = 20
shared_buffers = 32MB
timezone = UTC
log_line_prefix = '%m [%p] %q%d '
`

// hostAccess lets everybody in who gets to the loopback interface, or to the folder of the socket, which is closed to
// others.
const hostAccess = `local all all trust
local replication all trust
host all all 127.0.0.1/32 trust
host replication all 127.0.0.1/32 trust
`

// Cluster is a PostgreSQL server with its data. Start, Stop and their like are for one goroutine at a time.
type Cluster struct {
	server   proc.Server
	programs programs
	named    atomic.Int64 // databases so far
}

// New returns a started cluster that is the test's own, to be stopped and started by it. Each setting is a line of
// postgresql.conf. It skips the test, or fails it, where PostgreSQL is missing.
func New(tb testing.TB, settings ...string) *Cluster {
	tb.Helper()
	p := require(tb)
	c, err := newCluster(p, settings)
	if err != nil {
		tb.Fatalf("start PostgreSQL: %v", err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("PostgreSQL wrote:\n%s", c.Log())
		}
		if err := c.remove(); err != nil {
			tb.Errorf("stop PostgreSQL: %v", err)
		}
	})
	return c
}

// require returns the programs, or skips the test (or fails it, see ytest.RequireEnv) with what is missing.
func require(tb testing.TB) programs {
	tb.Helper()
	p, err := findPrograms()
	if err == nil {
		return p
	}
	if ytest.Required() {
		tb.Fatalf("%v (%s=1)", err, ytest.RequireEnv)
	}
	tb.Skip(err)
	return programs{}
}

// newCluster makes a cluster and starts it, with another port if somebody else was faster.
func newCluster(p programs, more []string) (*Cluster, error) {
	folder, err := proc.NewFolder("yserverd-postgres")
	if err != nil {
		return nil, err
	}
	c := &Cluster{programs: p}
	c.server = proc.Server{Name: "PostgreSQL", Folder: folder, Taken: "could not bind", Command: c.command, Ready: c.ready}
	if err = c.initialise(more); err == nil {
		err = c.server.StartSomewhere()
	}
	if err != nil {
		return nil, errors.Join(err, c.remove())
	}
	return c, nil
}

// data is the folder of the server's data, socket that of its socket, and it is reached by its owner alone.
func (c *Cluster) data() string   { return filepath.Join(c.server.Folder.Path, "data") }
func (c *Cluster) socket() string { return filepath.Join(c.server.Folder.Path, "socket") }

// initialise makes what is in the folder.
func (c *Cluster) initialise(more []string) error {
	for _, dir := range []string{c.data(), c.socket()} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		if c.programs.user == "" {
			continue
		}
		if err := proc.Own(dir, c.programs.user); err != nil {
			return err
		}
	}
	err := proc.Run(proc.Command{
		Path: c.programs.initdb, User: c.programs.user, Dir: c.server.Folder.Path, Log: filepath.Join(c.server.Folder.Path, "initdb.log"),
		Args: []string{"-D", c.data(), "-U", superuser, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"},
	})
	if err != nil {
		return err
	}
	if err := c.write("pg_hba.conf", hostAccess); err != nil {
		return err
	}
	return c.write("postgresql.conf", settings+strings.Join(more, "\n")+"\n")
}

// write replaces a file that initdb has made, which keeps its owner.
func (c *Cluster) write(name, text string) error {
	return os.WriteFile(filepath.Join(c.data(), name), []byte(text), 0o600)
}

// command says how the server is run.
func (c *Cluster) command() proc.Command {
	return proc.Command{
		Path: c.programs.postgres, User: c.programs.user, Orphaned: syscall.SIGQUIT,
		Args: []string{"-D", c.data(), "-k", c.socket(), "-p", fmt.Sprint(c.server.Port())},
	}
}

// ready tells that the server answers, so that its recovery is over.
func (c *Cluster) ready(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, c.URL("postgres"))
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// Start starts the server and returns when it answers, so after its recovery.
func (c *Cluster) Start() error { return c.server.Start() }

// Stop ends the server as an administrator does: connections are closed, and everything is written. Without one that runs
// it does nothing, and so do StopImmediate and Kill.
func (c *Cluster) Stop() error { return c.server.Stop(syscall.SIGINT) }

// StopImmediate ends the server as pg_ctl stop -m immediate does: nothing more is written, and the next start recovers.
func (c *Cluster) StopImmediate() error { return c.server.Stop(syscall.SIGQUIT) }

// Restart stops the server and starts it again, with the same address and data.
func (c *Cluster) Restart() error {
	if err := c.Stop(); err != nil {
		return err
	}
	return c.Start()
}

// remove ends the server, without care for its data, and removes it.
func (c *Cluster) remove() error { return c.server.Remove(syscall.SIGQUIT) }

// Address returns host and port.
func (c *Cluster) Address() string { return c.server.Address() }

// URL returns how a database is reached, as the superuser.
func (c *Cluster) URL(database string) string {
	return fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", superuser, c.Address(), database)
}

// Log returns the end of what the server has written, in all its runs.
func (c *Cluster) Log() string { return c.server.Log() }
