package postgres

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/yserverd/yserverd/persist/object"
)

// Options are what Open takes. All but the URL has a default for production.
type Options struct {
	// URL names the database, as a URL or as words ("host=… dbname=…"), with what pgx takes besides. Unless it names a
	// default_query_exec_mode, that is cache_describe: one round trip for a call and nothing that has to be there from one
	// transaction to the next, so that PgBouncer may hand out its connections by transaction. cache_statement keeps prepared
	// statements in the session and saves their planning where nothing is in between.
	URL string

	// MaxConnections bounds the connections, which are opened when they are needed. Zero means what the URL says
	// (pool_max_conns), or 8.
	MaxConnections int
	// StatementTimeout bounds one call's work in the database, waiting for a connection and for locks included. A call that
	// takes longer fails with persist.ErrUnavailable. One that brings much has as much again for each 4 MiB. Zero means 10 s.
	StatementTimeout time.Duration

	// Bucket keeps snapshots and versions. Zero means that they are in the database. What was stored with one can be read
	// only with one that has the same objects.
	Bucket object.Bucket

	// Logger takes what the store has to say. Zero means no logging.
	Logger *slog.Logger
}

const (
	defaultConnections = 8
	defaultTimeout     = 10 * time.Second
)

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.StatementTimeout == 0 {
		o.StatementTimeout = defaultTimeout
	}
	return o
}

func (o Options) validate() error {
	switch {
	case o.URL == "":
		return fmt.Errorf("option URL is empty")
	case o.MaxConnections < 0:
		return fmt.Errorf("option MaxConnections is negative")
	case o.StatementTimeout < 0:
		return fmt.Errorf("option StatementTimeout is negative")
	}
	return nil
}

// config is that of the pool.
func (o Options) config() (*pgxpool.Config, error) {
	c, err := pgxpool.ParseConfig(o.URL)
	if err != nil {
		return nil, err // it names the URL without its password
	}
	switch {
	case o.MaxConnections > 0:
		c.MaxConns = int32(min(o.MaxConnections, 1<<16))
	case !strings.Contains(o.URL, "pool_max_conns"):
		c.MaxConns = defaultConnections
	}
	if !strings.Contains(o.URL, "default_query_exec_mode") {
		c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
	if c.ConnConfig.RuntimeParams["application_name"] == "" {
		c.ConnConfig.RuntimeParams["application_name"] = "yserverd"
	}
	c.AfterConnect = assertDurable
	c.PingTimeout = o.StatementTimeout
	return c, nil
}

// place names a database for people, without its password.
func place(c *pgx.ConnConfig) string { return fmt.Sprintf("%s:%d/%s", c.Host, c.Port, c.Database) }
