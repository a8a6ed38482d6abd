package pgtest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// queryTimeout is for what is done to databases as a whole.
const queryTimeout = time.Minute

// longestName is what of a test's name goes into that of a database, in bytes; PostgreSQL takes 63 in all.
const longestName = 40

// Database returns the URL of a new, empty database of the shared cluster. It is dropped with the test, whoever is still
// connected. It skips the test, or fails it, where PostgreSQL is missing.
func Database(tb testing.TB) string {
	tb.Helper()
	return Shared(tb).Database(tb)
}

// Database returns the URL of a new, empty database, which is dropped with the test.
func (c *Cluster) Database(tb testing.TB) string {
	tb.Helper()
	name := fmt.Sprintf("t%d_%s", c.named.Add(1), plain(tb.Name()))
	if err := c.exec("CREATE DATABASE " + name); err != nil {
		tb.Fatalf("create a database: %v", err)
	}
	tb.Cleanup(func() {
		// A server that the test has stopped takes its databases with it.
		if err := c.exec("DROP DATABASE IF EXISTS " + name + " WITH (FORCE)"); err != nil {
			tb.Logf("drop a database: %v", err)
		}
	})
	return c.URL(name)
}

// exec runs a statement that is about databases, outside of them.
func (c *Cluster) exec(sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), queryTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.URL("postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }() // nothing is left to lose
	_, err = conn.Exec(ctx, sql)
	return err
}

// plain keeps of a name what needs no quotes.
func plain(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, name)
	return name[:min(len(name), longestName)]
}
