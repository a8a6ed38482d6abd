package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/yserverd/yserverd/persist"
)

// maxAttempts bounds how often a call begins again by itself.
const maxAttempts = 10

// maxCallBytes bounds what one call stores: the server takes messages and values of less than 1 GiB.
const maxCallBytes = 512 << 20

// Store is the store of documents and of the data of rooms in a PostgreSQL database: persist's contract. Its methods may be
// called from any goroutine, and any number of stores may be open on one database.
type Store struct {
	// Static after construction.
	opts  Options
	log   *slog.Logger
	pool  *pgxpool.Pool
	place string
	uuid  string

	page, longLog uint64 // how many updates of a long log make a page, and how many make a long log

	counters counters
	trouble  trouble
	orphans  orphanCursor

	use    sync.RWMutex // held by every call, for reading; by Close for good
	closed atomic.Bool
}

// Open connects to the database, and makes the schema yserverd there or brings it up to date. Errors match
// persist.ErrFormat (the schema is of a newer program, or nothing of ours) or persist.ErrUnavailable where that is the
// reason. A role that may not create the schema can use one that is there and up to date.
func Open(ctx context.Context, opts Options) (*Store, error) {
	if err := opts.validate(); err != nil {
		return nil, fmt.Errorf("postgres store: %w", err)
	}
	opts = opts.withDefaults()
	config, err := opts.config()
	if err != nil {
		return nil, fmt.Errorf("postgres store: %w", err)
	}
	s := &Store{opts: opts, log: opts.Logger, page: pageRows, longLog: longLogRows, place: place(config.ConnConfig)}
	if err := s.open(ctx, config); err != nil {
		return nil, fmt.Errorf("open document store %q: %w", s.place, contractual(ctx, err, s.opts.StatementTimeout))
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, config *pgxpool.Config) error {
	if err := s.migrate(ctx, config.ConnConfig); err != nil {
		return err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	s.pool = pool
	err = s.run(ctx, func(ctx context.Context) error {
		return pool.QueryRow(ctx, `SELECT uuid::text FROM yserverd.store`).Scan(&s.uuid)
	})
	if err == nil {
		err = s.checkServer(ctx)
	}
	if err != nil {
		pool.Close()
	}
	return err
}

// UUID returns the store's identity, drawn when it was created, in the usual text form. A copy of the database has it too.
func (s *Store) UUID() string { return s.uuid }

// Place names the database, for people: host, port and name.
func (s *Store) Place() string { return s.place }

// call makes one call of the contract: not after Close, under its name, with the contract's errors.
func (s *Store) call(ctx context.Context, name string, fn func(context.Context) error) error {
	if s.closed.Load() {
		return persist.ErrClosed
	}
	s.use.RLock()
	defer s.use.RUnlock()
	if s.closed.Load() {
		return persist.ErrClosed
	}
	err := ctx.Err()
	if err == nil {
		err = fn(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, contractual(ctx, err, s.opts.StatementTimeout))
	}
	return nil
}

// query is call for what is work in the database alone.
func (s *Store) query(ctx context.Context, name string, fn func(context.Context) error) error {
	return s.call(ctx, name, func(ctx context.Context) error { return s.run(ctx, fn) })
}

// timeFor is how long a call may take that brings so many bytes: a line that is slow takes its time for many, and a call
// that never fits would be tried for ever.
func (s *Store) timeFor(bytes int64) time.Duration {
	const once = 4 << 20 // bytes that every call may bring in the plain time
	return s.opts.StatementTimeout * time.Duration(1+max(bytes, 0)/once)
}

// run does fn's work in the database within the timeout, and again where that is safe; fn begins from nothing each time.
// Its errors are the contract's.
func (s *Store) run(ctx context.Context, fn func(context.Context) error) error {
	return s.bring(ctx, 0, fn)
}

// bring is run for work that brings so many bytes.
func (s *Store) bring(ctx context.Context, bytes int64, fn func(context.Context) error) error {
	timeout := s.timeFor(bytes)
	err := attempt(ctx, timeout, func(ctx context.Context) error {
		for range maxAttempts - 1 {
			if err := fn(ctx); err == nil || ctx.Err() != nil || !again(err) {
				return err
			}
		}
		return fn(ctx)
	})
	if err != nil {
		err = contractual(ctx, err, timeout)
	}
	s.trouble.heard(s.log, err)
	return err
}

// attempt does fn's work within the timeout.
func (s *Store) attempt(ctx context.Context, fn func(context.Context) error) error {
	return attempt(ctx, s.opts.StatementTimeout, fn)
}

func attempt(ctx context.Context, timeout time.Duration, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return fn(ctx)
}

// send makes a batch, which is one transaction and one round trip.
func (s *Store) send(ctx context.Context, b *pgx.Batch) error {
	return s.pool.SendBatch(ctx, b).Close()
}

// Close waits for the calls in flight and closes the connections.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.use.Lock() // for good
	s.pool.Close()
	return nil
}

// one reads the only row that there may be.
func one(rows pgx.Rows, err error, dst ...any) (found bool, _ error) {
	if err != nil {
		return false, err
	}
	_, err = pgx.ForEachRow(rows, dst, func() error {
		found = true
		return nil
	})
	return found, err
}
