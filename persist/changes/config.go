package changes

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Table names a table. A partitioned table is named itself, not its partitions.
type Table struct {
	Schema, Name string
}

// String returns schema.name, for people.
func (t Table) String() string { return t.Schema + "." + t.Name }

// sql returns the table as SQL names it.
func (t Table) sql() string { return pgx.Identifier{t.Schema, t.Name}.Sanitize() }

// Config is what Open and Check take. URL and Tables have no default.
type Config struct {
	// URL names the database, as pgx takes it. It leads to the server itself: PgBouncer passes no replication. The role
	// needs REPLICATION.
	URL string
	// Tables are those whose changes are read.
	Tables []Table
	// Publication is the name of the publication. Zero means "yserverd".
	Publication string
	// Unmanaged says that the publication is somebody else's: it is verified, never created or changed. Zero means that
	// Open and each reconnect create it, and add the tables that it lacks, where the role may.
	Unmanaged bool
	// Needs are columns that old rows have to carry, by table: Check reports those outside of the replica identity.
	Needs map[Table][]string

	// MaxTransaction bounds what one transaction takes in memory, in bytes; a larger one becomes a gap of its tables. A
	// single row above it costs the connection, and so a gap of all. Zero means 32 MiB.
	MaxTransaction int
	// MaxPending bounds what waits for Next, in bytes; above it everything that waits becomes one gap. Zero means 64 MiB,
	// or MaxTransaction if that is more.
	MaxPending int
	// Silence is how long the server may say nothing, though it is asked three times in between, before the line counts as
	// cut; the server judges us by it too. Zero means 30 s.
	Silence time.Duration
	// Verify is the time between two looks at the publication and its tables: what was dropped, created again or taken out
	// is noticed no later. Zero means 10 s.
	Verify time.Duration
	// SlotTimeout bounds the creation of a slot, for which the server waits until transactions that write have ended. Zero
	// means 1 min.
	SlotTimeout time.Duration

	// Logger takes what the stream has to say. Zero means no logging.
	Logger *slog.Logger
}

const (
	defaultPublication    = "yserverd"
	defaultMaxTransaction = 32 << 20
	defaultMaxPending     = 64 << 20
	defaultSilence        = 30 * time.Second
	defaultVerify         = 10 * time.Second
	defaultSlotTimeout    = time.Minute
	// callTimeout bounds a connect and a look at the catalogue.
	callTimeout = 10 * time.Second
)

func (c Config) withDefaults() Config {
	setDefault(&c.Publication, defaultPublication)
	setDefault(&c.MaxTransaction, defaultMaxTransaction)
	setDefault(&c.MaxPending, max(defaultMaxPending, c.MaxTransaction))
	setDefault(&c.Silence, defaultSilence)
	setDefault(&c.Verify, defaultVerify)
	setDefault(&c.SlotTimeout, defaultSlotTimeout)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func setDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

func (c Config) validate() error {
	seen := make(map[Table]bool, len(c.Tables))
	for _, t := range c.Tables {
		switch {
		case t.Schema == "" || t.Name == "":
			return fmt.Errorf("table %q has no schema or no name", t)
		case seen[t]:
			return fmt.Errorf("table %q is there twice", t)
		}
		seen[t] = true
	}
	switch {
	case c.URL == "":
		return errors.New("config URL is empty")
	case len(c.Tables) == 0:
		return errors.New("config Tables is empty")
	case c.MaxTransaction < 0:
		return errors.New("config MaxTransaction is negative")
	case c.MaxPending < c.MaxTransaction:
		return errors.New("config MaxPending is less than MaxTransaction")
	case c.Silence < 0 || c.Verify < 0 || c.SlotTimeout < 0:
		return errors.New("a time of the config is negative")
	}
	return nil
}

// parameters are those of every session: they decide how values look.
var parameters = map[string]string{
	"DateStyle":          "ISO, MDY",
	"TimeZone":           "UTC",
	"IntervalStyle":      "postgres",
	"bytea_output":       "hex",
	"extra_float_digits": "1",
	"client_encoding":    "UTF8",
}

// connection returns how the database is reached.
func (c Config) connection() (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(c.URL)
	if err != nil {
		return nil, err // it names the URL without its password
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = callTimeout
	}
	for name := range config.RuntimeParams {
		if strings.HasPrefix(name, "pool_") { // the URL may be one of a pool
			delete(config.RuntimeParams, name)
		}
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "yserverd-changes"
	}
	for name, value := range parameters {
		config.RuntimeParams[name] = value
	}
	return config, nil
}
