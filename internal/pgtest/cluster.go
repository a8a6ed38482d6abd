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
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/yserverd/yserverd/internal/pgtest/proc"
	"github.com/yserverd/yserverd/internal/ytest"
)

const (
	startTimeout = time.Minute // with recovery, on a busy machine
	stopTimeout  = time.Minute
	pollInterval = 10 * time.Millisecond
	startTries   = 5 // of a port that somebody else takes
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
	folder   *proc.Folder
	programs programs
	port     int
	process  *proc.Process // nil while none runs
	named    atomic.Int64  // databases so far
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
	c := &Cluster{folder: folder, programs: p}
	if err = c.initialise(more); err == nil {
		err = c.startSomewhere()
	}
	if err != nil {
		return nil, errors.Join(err, c.remove())
	}
	return c, nil
}

// data is the folder of the server's data, socket that of its socket, and it is reached by its owner alone.
func (c *Cluster) data() string   { return filepath.Join(c.folder.Path, "data") }
func (c *Cluster) socket() string { return filepath.Join(c.folder.Path, "socket") }
func (c *Cluster) log() string    { return filepath.Join(c.folder.Path, "log") }

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
		Path: c.programs.initdb, User: c.programs.user, Dir: c.folder.Path, Log: c.log(),
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

// startSomewhere chooses the port for good.
func (c *Cluster) startSomewhere() error {
	var err error
	for range startTries {
		if c.port, err = proc.FreePort(); err != nil {
			return err
		}
		if err = c.Start(); err == nil || !strings.Contains(err.Error(), "could not bind") {
			return err
		}
	}
	return err
}

// Start starts the server and returns when it answers, so after its recovery.
func (c *Cluster) Start() error {
	if c.process != nil {
		return errors.New("PostgreSQL runs already")
	}
	process, err := proc.Start(proc.Command{
		Path: c.programs.postgres, User: c.programs.user, Dir: c.folder.Path, Log: c.log(), Orphaned: syscall.SIGQUIT,
		Args: []string{"-D", c.data(), "-k", c.socket(), "-p", fmt.Sprint(c.port)},
	})
	if err != nil {
		return err
	}
	c.process = process
	return c.awaitReady()
}

// awaitReady polls, since a server cannot say otherwise that it is ready.
func (c *Cluster) awaitReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, c.URL("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-c.process.Ended():
			c.process = nil
			return fmt.Errorf("PostgreSQL ended:\n%s", c.Log())
		case <-ctx.Done():
			return fmt.Errorf("PostgreSQL does not answer after %v: %w", startTimeout, err)
		case <-time.After(pollInterval):
		}
	}
}

// Stop ends the server as an administrator does: connections are closed, and everything is written. Without one that runs
// it does nothing, and so do StopImmediate and Kill.
func (c *Cluster) Stop() error { return c.stop(syscall.SIGINT) }

// StopImmediate ends the server as pg_ctl stop -m immediate does: nothing more is written, and the next start recovers.
func (c *Cluster) StopImmediate() error { return c.stop(syscall.SIGQUIT) }

// Restart stops the server and starts it again, with the same address and data.
func (c *Cluster) Restart() error {
	if err := c.Stop(); err != nil {
		return err
	}
	return c.Start()
}

// stop signals the server and waits until it is gone. One that does not go is killed, which is an error.
func (c *Cluster) stop(how syscall.Signal) error {
	if c.process == nil {
		return nil
	}
	if err := c.process.Signal(how); err != nil {
		return err
	}
	var err error
	select {
	case <-c.process.Ended():
	case <-time.After(stopTimeout):
		err = fmt.Errorf("PostgreSQL was killed, since it did not end in %v", stopTimeout)
		err = errors.Join(err, c.process.Signal(syscall.SIGKILL))
		<-c.process.Ended()
	}
	c.process = nil
	return err
}

// remove ends the server, without care for its data, and removes it.
func (c *Cluster) remove() error { return errors.Join(c.StopImmediate(), c.folder.Remove()) }

// Address returns host and port.
func (c *Cluster) Address() string { return proc.Address(c.port) }

// URL returns how a database is reached, as the superuser.
func (c *Cluster) URL(database string) string {
	return fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", superuser, c.Address(), database)
}

// Log returns the end of what the server has written, in all its runs.
func (c *Cluster) Log() string { return proc.Tail(c.log()) }
