package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/yserverd/yserverd/persist"
)

//go:embed migrations/*.sql
var migrations embed.FS

// versionTable is goose's.
const versionTable = "yserverd.schema_version"

// migrationLock is the number of the advisory lock under which the schema is changed: "yserverd" in ASCII.
const migrationLock = 0x7973657276657264

// migrate brings the schema up to date. When it is so already, nothing is written and no right to do so is needed.
func (s *Store) migrate(ctx context.Context, config *pgx.ConnConfig) error {
	config = config.Copy()
	config.DefaultQueryExecMode = pgx.QueryExecModeExec // nothing is called twice
	db := stdlib.OpenDB(*config)
	defer db.Close()
	provider, err := newProvider(db)
	if err != nil {
		return err
	}
	current, err := s.upToDate(ctx, db, provider)
	if err != nil || current {
		return err
	}
	// A transaction of its own holds the lock: one of a session would not come through PgBouncer, and goose needs
	// transactions too.
	holder, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() { _ = holder.Close(context.WithoutCancel(ctx)) }() // the lock goes with the connection
	tx, err := holder.Begin(ctx)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(migrationLock)); err != nil {
		return fmt.Errorf("wait for another program to change the schema: %w", err)
	}
	if current, err = s.upToDate(ctx, db, provider); err != nil || current {
		return err
	}
	return s.up(ctx, db, provider)
}

func newProvider(db *sql.DB) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
}

// latest is the version of the schema that this program uses.
func latest(provider *goose.Provider) int64 {
	sources := provider.ListSources()
	return sources[len(sources)-1].Version
}

// upToDate reports whether the schema is what this program uses. A newer one, or one of somebody else's, is an error.
func (s *Store) upToDate(ctx context.Context, db *sql.DB, provider *goose.Provider) (bool, error) {
	var tables int
	var versioned bool
	const look = `SELECT count(*), coalesce(bool_or(relname = 'schema_version'), false) FROM pg_class
		WHERE relnamespace = to_regnamespace('yserverd') AND relkind IN ('r', 'p')`
	if err := db.QueryRowContext(ctx, look).Scan(&tables, &versioned); err != nil {
		return false, fmt.Errorf("look for the schema: %w", err)
	}
	switch {
	case tables == 0:
		return false, nil
	case !versioned:
		return false, &persist.FormatError{Place: s.place}
	}
	var found int64
	err := db.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM `+versionTable+` WHERE is_applied`).Scan(&found)
	switch supported := latest(provider); {
	case hasCode(err, codeForbidden):
		return false, fmt.Errorf("the role may not read the schema yserverd, it needs USAGE and rights on its tables: %w", err)
	case err != nil:
		return false, fmt.Errorf("read the version of the schema: %w", err)
	case found > supported:
		return false, &persist.FormatError{Place: s.place, Found: uint64(found), Supported: uint64(supported)}
	default:
		return found == supported, nil
	}
}

// up creates the schema and applies what is missing, each migration in a transaction.
func (s *Store) up(ctx context.Context, db *sql.DB, provider *goose.Provider) error {
	var there bool
	err := db.QueryRowContext(ctx, `SELECT to_regnamespace('yserverd') IS NOT NULL`).Scan(&there)
	if err == nil && !there {
		_, err = db.ExecContext(ctx, `CREATE SCHEMA yserverd`)
	}
	var results []*goose.MigrationResult
	if err == nil {
		results, err = provider.Up(ctx)
	}
	var partial *goose.PartialError
	if errors.As(err, &partial) {
		err = fmt.Errorf("migration %d: %w", partial.Failed.Source.Version, partial.Err)
	}
	if hasCode(err, codeForbidden) {
		return fmt.Errorf("the role may not make the schema yserverd: grant it CREATE on the database, "+
			"or open the store once as a role that owns the schema: %w", err)
	}
	if err != nil {
		return fmt.Errorf("change the schema: %w", err)
	}
	for _, r := range results {
		s.log.Info("schema changed", "database", s.place, "version", r.Source.Version, "took", r.Duration)
	}
	return nil
}
