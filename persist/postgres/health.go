package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/yserverd/yserverd/persist"
)

// trouble remembers whether the database works, as far as the last call could tell.
type trouble struct {
	mu  sync.Mutex
	err error
}

// heard takes the outcome of a call. A caller who has gone, and an error that is about a document, tell nothing.
func (t *trouble) heard(log *slog.Logger, err error) {
	if err != nil && !errors.Is(err, persist.ErrUnavailable) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.err
	t.err = err
	switch {
	case was == nil && err != nil:
		log.Error("the database does not work, calls fail until it does", "err", err)
	case was != nil && err == nil:
		log.Info("the database works again")
	}
}

func (t *trouble) now() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// assertDurable refuses a connection whose commits would be acknowledged before they are on disk.
func assertDurable(ctx context.Context, conn *pgx.Conn) error {
	var commit string
	if err := conn.QueryRow(ctx, `SELECT current_setting('synchronous_commit')`).Scan(&commit); err != nil {
		return err
	}
	if commit == "off" {
		return errors.New("synchronous_commit is off for this role or database: what is acknowledged would not be stored")
	}
	return nil
}

// checkServer says what is dangerous about the server, which is its administrator's to decide.
func (s *Store) checkServer(ctx context.Context) error {
	var fsync, pages string
	err := s.run(ctx, func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, `SELECT current_setting('fsync'), current_setting('full_page_writes')`).Scan(&fsync, &pages)
	})
	if err == nil && (fsync != "on" || pages != "on") {
		s.log.Error("the database loses data when its machine fails", "fsync", fsync, "full_page_writes", pages)
	}
	return err
}

// Ping reports whether the database can be written now, and that commits are still waited for. Errors match
// persist.ErrUnavailable.
func (s *Store) Ping(ctx context.Context) error {
	return s.query(ctx, "ping", func(ctx context.Context) error {
		var readOnly, commit string
		const sql = `SELECT current_setting('transaction_read_only'), current_setting('synchronous_commit')`
		if err := s.pool.QueryRow(ctx, sql).Scan(&readOnly, &commit); err != nil {
			return err
		}
		if readOnly == "on" || commit == "off" {
			return fmt.Errorf("%w: read only %s, synchronous_commit %s", persist.ErrUnavailable, readOnly, commit)
		}
		return nil
	})
}
