package ydoc

import (
	"errors"
	"strconv"

	"github.com/yserverd/yserverd/protocol/update"
)

// The two ways in which Apply refuses an update, for errors.Is: bytes that would make a Yjs client throw, and a
// well-formed update that is over a limit of the document. In the second case the error is a *[LimitError].
var (
	ErrMalformed = update.ErrMalformed
	ErrLimit     = update.ErrLimit
)

// Limit names what an update was refused for.
type Limit string

// The limits of [Config].
const (
	LimitBytes        Limit = "document bytes"
	LimitPendingBytes Limit = "pending bytes"
	LimitPending      Limit = "pending count"
	LimitClients      Limit = "clients"
	LimitNesting      Limit = "nesting"
)

// LimitError says which limit an update would have passed.
type LimitError struct {
	Limit Limit
	Max   int64
}

// Error implements error.
func (e *LimitError) Error() string {
	return "ydoc: over the limit of " + strconv.FormatInt(e.Max, 10) + " " + string(e.Limit)
}

// Is reports that every LimitError is ErrLimit.
func (e *LimitError) Is(target error) bool { return target == ErrLimit }

// refusal turns an error of the decoder into one of this package: limits are named by the document's.
func (d *Doc) refusal(err error) error {
	var e *update.Error
	if errors.As(err, &e) {
		switch e.Kind {
		case update.LimitNesting:
			return &LimitError{LimitNesting, int64(d.cfg.Nesting)}
		case update.LimitClients:
			return &LimitError{LimitClients, int64(d.cfg.MaxClients)}
		}
	}
	return err
}
