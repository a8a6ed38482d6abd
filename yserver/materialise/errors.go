package materialise

import (
	"errors"
	"fmt"
)

// What callers tell apart, for errors.Is. A context that ends gives its own error.
var (
	// ErrMalformed: the bytes are no update that Yjs would take.
	ErrMalformed = errors.New("malformed state")
	// ErrLimit: the state, or what would be made of it, is over one of Limits; the error is a *LimitError.
	ErrLimit = errors.New("over a limit")
	// ErrUnsupported: it cannot be done rightly; the error is an *UnsupportedError.
	ErrUnsupported = errors.New("unsupported")
	// ErrAmbiguous: the content of a root does not tell its kind, and none was asked for; the error is an *AmbiguousError.
	ErrAmbiguous = errors.New("ambiguous kind")
	// ErrPath: a path leads to nothing, or to another kind of type than the edit is for.
	ErrPath = errors.New("no such place")
	// ErrRange: an index or length is outside of the list or text, or would split a surrogate pair.
	ErrRange = errors.New("out of range")
	// ErrValue: a value has no form in a Yjs document.
	ErrValue = errors.New("impossible value")
	// ErrBusy: too many runs of y-crdt were given up and have not ended, so that no further edit can be checked.
	ErrBusy = errors.New("too many checks that do not end")
	// ErrInternal: the work panicked. The state is the reason, and only this use of it failed.
	ErrInternal = errors.New("internal failure")
)

// LimitError says which limit was passed.
type LimitError struct {
	Limit string // a field of Limits in lower case
	Max   int64
}

// Error implements error.
func (e *LimitError) Error() string {
	return fmt.Sprintf("over the limit of %d for %s", e.Max, e.Limit)
}

// Is reports that every LimitError is ErrLimit.
func (e *LimitError) Is(target error) bool { return target == ErrLimit }

// UnsupportedError says what cannot be done rightly, and where.
type UnsupportedError struct {
	What string // in words
	Root string // the root type that it is in
}

// Error implements error.
func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("unsupported in root %q: %s", e.Root, e.What)
}

// Is reports that every UnsupportedError is ErrUnsupported.
func (e *UnsupportedError) Is(target error) bool { return target == ErrUnsupported }

// AmbiguousError names the kinds that a root may be of.
type AmbiguousError struct {
	Root  string
	Kinds []Kind
}

// Error implements error.
func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("root %q may be any of %v", e.Root, e.Kinds)
}

// Is reports that every AmbiguousError is ErrAmbiguous.
func (e *AmbiguousError) Is(target error) bool { return target == ErrAmbiguous }
