package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/yserverd/yserverd/cmd/yserverd/internal/config"
	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/gate/access"
	"github.com/yserverd/yserverd/gate/identity"
)

var (
	_ gate.Authenticator = (*identity.Authenticator)(nil)
	_ identity.Querier   = (*pgxpool.Pool)(nil)
	_ access.Querier     = (*pgxpool.Pool)(nil)
)

const (
	// gateConnections is how many questions about callers and rows are asked at once. Each is one look-up by a key.
	gateConnections = 8
	// gateStatement is how long one of them may take before the database gives up, in its own words.
	gateStatement = "5s"
)

// gates are the guards of the parties, and what they ask. A nil *gates guards nothing: every party is public.
type gates struct {
	guards map[string]gate.Guard // by party; who is not in it is public, and knows nobody
	who    *identity.Authenticator
	db     *pgxpool.Pool // nil: there is none
}

// openGates makes the guards that the configuration declares, and looks at the database as check does. Its error is a
// config.Errors for what the database says of the configuration; any other one means that it could not be asked.
func openGates(ctx context.Context, cfg *config.Config, log *slog.Logger) (*gates, error) {
	if !cfg.Guarded() && cfg.Auth.Secret == "" {
		return nil, nil
	}
	g := &gates{guards: make(map[string]gate.Guard)}
	if err := g.open(ctx, cfg, log); err != nil {
		g.close()
		return nil, err
	}
	return g, nil
}

// open fills the gates in, one part after the other. What is there when it fails is for close.
func (g *gates) open(ctx context.Context, cfg *config.Config, log *slog.Logger) error {
	asked, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	var err error
	if g.db, err = openDatabase(asked, cfg); err != nil {
		return databaseError(cfg, err)
	}
	problems, err := checkGates(asked, cfg, g.db)
	if err != nil {
		return databaseError(cfg, err)
	}
	if len(problems) > 0 {
		return problems
	}
	c := gateIdentity(cfg, g.db)
	c.Log = log
	if g.who, err = identity.New(c); err != nil {
		return err
	}
	if err := g.who.Start(asked); err != nil {
		return databaseError(cfg, err)
	}
	schema := access.Config{Schema: cfg.Schema(), Log: log}
	if g.db != nil {
		schema.DB = g.db
	}
	rules, err := access.New(asked, schema)
	if err != nil {
		return databaseError(cfg, err)
	}
	return g.makeGuards(cfg, rules)
}

// makeGuards makes one guard for each party.
func (g *gates) makeGuards(cfg *config.Config, rules *access.Access) error {
	origin, err := originPolicy(cfg, forEverybody)
	if err != nil {
		return err
	}
	failures, addr := gate.NewFailureLimit(cfg.Limits.AuthFailuresPerMinute), clientAddr(cfg.TrustedProxies)
	for name, room := range cfg.Rooms {
		c := gate.GuardConfig{
			Authenticator: g.who, Tickets: gate.TicketMode(room.Ticket), Public: !room.Guarded(),
			Origin: origin, Addr: addr, Failures: failures,
		}
		if room.Guarded() {
			if c.Authorizer, err = rules.Room(name, room.Rule()); err != nil {
				return err
			}
		}
		if room.Access.Public && room.Guarded() {
			c.Authenticator = lenient{g.who} // everybody may read, and some may write
		}
		if g.guards[room.Party], err = gate.NewGuard(c); err != nil {
			return fmt.Errorf("rooms.%s: %w", name, err)
		}
	}
	return nil
}

// guard returns the guard of a party, or nil if it has none.
func (g *gates) guard(party string) gate.Guard {
	if g == nil {
		return nil
	}
	return g.guards[party]
}

// close lets go of what the guards ask. Nobody may be asking them any more.
func (g *gates) close() {
	if g == nil {
		return
	}
	if g.who != nil {
		g.who.Close()
	}
	if g.db != nil {
		g.db.Close()
	}
}

// lenient knows callers of a party that is open to everybody: a credential that does not hold makes an anonymous caller.
type lenient struct{ gate.Authenticator }

// Authenticate implements gate.Authenticator.
func (a lenient) Authenticate(ctx context.Context, c *gate.Caller, tickets gate.TicketMode) (gate.Identity, error) {
	id, err := a.Authenticator.Authenticate(ctx, c, tickets)
	var refusal *gate.Refusal
	if errors.As(err, &refusal) && (refusal.Status == http.StatusUnauthorized || refusal.Status == http.StatusTooManyRequests) {
		return gate.Identity{}, nil
	}
	return id, err
}

// gateIdentity says how callers are known, with the database that knows them.
func gateIdentity(cfg *config.Config, db *pgxpool.Pool) identity.Config {
	c := cfg.Identity()
	if db != nil {
		c.DB = db
	}
	return c
}

// checkGates looks at the database for what the configuration says of it. Without one it finds nothing: that there has
// to be one was seen before.
func checkGates(ctx context.Context, cfg *config.Config, db *pgxpool.Pool) (problems config.Errors, err error) {
	if db == nil {
		return nil, nil
	}
	ofCallers, err := identity.Check(ctx, gateIdentity(cfg, db))
	if err != nil {
		return nil, err
	}
	for _, p := range ofCallers {
		problems = append(problems, cfg.Place(append([]string{"auth"}, p.Path...), p.Message, p.Fix))
	}
	ofRows, err := access.CheckDatabase(ctx, db, cfg.Schema(), cfg.Rules())
	if err != nil {
		return nil, err
	}
	for _, p := range ofRows {
		problems = append(problems, cfg.Place(p.Path, p.Message, p.Fix))
	}
	return problems.Sorted(), nil
}

// openDatabase returns a pool of connections to the application's tables, and nil where there is no database. It is
// only read.
func openDatabase(ctx context.Context, cfg *config.Config) (*pgxpool.Pool, error) {
	if cfg.DatabaseURL() == "" {
		return nil, nil
	}
	pool, err := connect(ctx, cfg.DatabaseURL(), map[string]string{
		"statement_timeout": gateStatement, "default_transaction_read_only": "on",
	})
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "08P01" { // a pooler takes no settings when it is connected to
		pool, err = connect(ctx, cfg.DatabaseURL(), nil)
	}
	return pool, err
}

// connect makes a pool, and tries it.
func connect(ctx context.Context, url string, settings map[string]string) (*pgxpool.Pool, error) {
	c, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errors.New("the URL of the database is not understood")
	}
	if !strings.Contains(url, "pool_max_conns") {
		c.MaxConns = gateConnections
	}
	if !strings.Contains(url, "default_query_exec_mode") {
		c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe // a pooler has no prepared statements
	}
	if c.ConnConfig.RuntimeParams["application_name"] == "" {
		c.ConnConfig.RuntimeParams["application_name"] = "yserverd gate"
	}
	for name, value := range settings {
		if _, given := c.ConnConfig.RuntimeParams[name]; !given {
			c.ConnConfig.RuntimeParams[name] = value
		}
	}
	c.MaxConnIdleTime = time.Minute
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return pool, nil
}

// databaseError says that the database of the gate could not be asked. What it found wrong is returned as it is.
func databaseError(cfg *config.Config, err error) error {
	var problems identity.Problems
	var invalid *access.InvalidError
	if errors.As(err, &problems) || errors.As(err, &invalid) {
		return &exitError{exitConfig, err} // the database changed since it was checked
	}
	key := "database.url"
	if cfg.Database.URL == "" {
		key = "store.url"
	}
	return fmt.Errorf("the database %s (%s) cannot be asked who may open a room: %w", config.RedactURL(cfg.DatabaseURL()), key, err)
}
