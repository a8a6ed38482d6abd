package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/yserverd/yserverd/persist"
)

// SQLSTATE codes that are more than a reason.
const (
	codeDeadlock      = "40P01"
	codeSerialization = "40001"
	codeForbidden     = "42501"
	codeDamaged       = "XX001" // a page or a TOAST chunk does not verify
)

// errAgain makes run begin again: what was read has been replaced meanwhile.
var errAgain = errors.New("overtaken by another writer, again and again")

// ours are the errors that a call means when it returns them.
var ours = []error{
	persist.ErrConflict, persist.ErrEpoch, persist.ErrDeleted, persist.ErrNotFound, persist.ErrStale, persist.ErrCorrupt,
	persist.ErrInvalid, persist.ErrUnavailable, persist.ErrClosed, persist.ErrFormat,
}

// hasCode reports whether the server has refused with one of the codes.
func hasCode(err error, codes ...string) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && slices.Contains(codes, refused.Code)
}

// again reports whether an attempt has certainly had no effect and another one may succeed at once.
func again(err error) bool {
	return pgconn.SafeToRetry(err) || hasCode(err, codeDeadlock, codeSerialization) || errors.Is(err, errAgain)
}

// contractual turns what an attempt returned into an error of the contract. What is not ours is the medium's: a connection
// that ends, a server that shuts down, is full, starts or only reads, a role that may not. Retrying is right for all of
// them, and a writer has to look whether it was done.
func contractual(ctx context.Context, err error, timeout time.Duration) error {
	if slices.ContainsFunc(ours, func(e error) bool { return errors.Is(err, e) }) {
		return err
	}
	if cause := ctx.Err(); cause != nil {
		return fmt.Errorf("%w (%v)", cause, err)
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		// It is not the caller's context that is done, so the error must not match it.
		return fmt.Errorf("%w: no answer in %v: %v", persist.ErrUnavailable, timeout, err)
	}
	return fmt.Errorf("%w: %w", persist.ErrUnavailable, err)
}
