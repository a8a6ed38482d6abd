package identity

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = time.Second // however long a backend is away
	queryTimeout = 3 * time.Second
	perProof     = time.Millisecond // on top of it, for each identity that is looked at again: a crowd is no outage
)

// errUnavailable is a backend that cannot be asked now. Callers see it as 503.
var errUnavailable = errors.New("the backend of identities cannot be asked now")

// errUnfit is a value that the database does not take, such as bytes that are no text. It is in no row.
var errUnfit = errors.New("the value is none that a row could have")

// breaker keeps a backend that is away from being asked by everybody who waits for it: after a failure nobody asks for
// a while, then one asks for all.
type breaker struct {
	clock func() time.Time

	mu      sync.Mutex
	wait    time.Duration // zero: the backend answers
	until   time.Time     // nobody asks before
	probing bool          // somebody asks for all
}

// enter reports whether the caller may ask, and whether it asks for all. Whoever may says with leave how it went.
func (b *breaker) enter() (probe, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.wait == 0 {
		return false, true
	}
	if b.probing || b.clock().Before(b.until) {
		return false, false
	}
	b.probing = true
	return true, true
}

// outcome is how asking went.
type outcome int

const (
	answered outcome = iota
	failed
	unknown // the caller went away: nothing is learned
)

// leave takes the outcome. It returns whether the backend has just gone away, or come back.
func (b *breaker) leave(probe bool, o outcome) (changed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if probe {
		b.probing = false
	}
	switch {
	case o == answered:
		changed = b.wait != 0
		b.wait = 0
	case o == failed && (probe || b.wait == 0): // the many that asked together fail together: they count once
		changed = b.wait == 0
		b.wait = min(max(2*b.wait, firstBackoff), lastBackoff)
		b.until = b.clock().Add(b.wait)
	}
	return changed
}

// backend asks the database.
type backend struct {
	db      Querier
	breaker breaker
	changed func(away bool, err error) // tells that the database has gone away, or come back
}

// query runs a query and hands each row to scan. Its error is errUnavailable, errUnfit, or nil.
func (b *backend) query(ctx context.Context, timeout time.Duration, sql string, scan func(pgx.Rows) error, args ...any) error {
	probe, ok := b.breaker.enter()
	if !ok {
		return errUnavailable
	}
	o := unknown
	var err error
	defer func() { // also when scan panics: or nobody would ask again
		if b.breaker.leave(probe, o) {
			b.changed(o == failed, err)
		}
	}()
	inner, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err = b.read(inner, sql, scan, args)
	var said *pgconn.PgError
	switch {
	case err == nil:
		o = answered
		return nil
	case errors.As(err, &said) && strings.HasPrefix(said.Code, "22"): // data exception: the caller's doing, not the database's
		o = answered
		return errUnfit
	case errors.Is(ctx.Err(), context.Canceled):
		return errUnavailable // a caller that hangs up must not close the way for others
	}
	o = failed
	return errUnavailable
}

func (b *backend) read(ctx context.Context, sql string, scan func(pgx.Rows) error, args []any) error {
	rows, err := b.db.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
