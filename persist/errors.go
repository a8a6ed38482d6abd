package persist

import (
	"errors"
	"fmt"
)

// What callers branch on. Stores wrap these; compare with errors.Is.
var (
	// ErrConflict: another writer appended. Load the rows behind the known
	// sequence number, apply them, append again.
	ErrConflict = errors.New("persist: sequence conflict")
	// ErrEpoch: the document was deleted, replaced or imported over since.
	ErrEpoch = errors.New("persist: epoch moved")
	// ErrDeleted: the document is a tombstone.
	ErrDeleted = errors.New("persist: document deleted")
	// ErrNotFound: the document, version or object is not there.
	ErrNotFound = errors.New("persist: not found")
	// ErrStale: the snapshot is ahead of what the caller knows.
	ErrStale = errors.New("persist: overtaken by a snapshot")
	// ErrCorrupt: what is stored does not verify. It is kept as it is, served to
	// nobody and never overwritten. The error is a *CorruptError.
	ErrCorrupt = errors.New("persist: quarantined")
	// ErrInvalid: the arguments can never succeed.
	ErrInvalid = errors.New("persist: invalid argument")
	// ErrUnavailable: the medium refuses to work for now. Retry later.
	ErrUnavailable = errors.New("persist: store unavailable")
	// ErrClosed: the store has been closed.
	ErrClosed = errors.New("persist: store closed")
	// ErrLocked: another process holds the store. The error is a *LockedError.
	ErrLocked = errors.New("persist: store in use")
	// ErrFormat: the store was written by a newer version, or is not a store of
	// ours at all. The error is a *FormatError.
	ErrFormat = errors.New("persist: unknown store format")
)

// CorruptError says which document, or which room's data, does not verify, and
// where. It matches ErrCorrupt.
type CorruptError struct {
	Key    Key
	Row    Seq    // the row that failed; zero when it was not a row of the log
	Reason string // what failed
	Err    error  // the cause, if there is one beneath
}

// Error names document, row and reason.
func (e *CorruptError) Error() string {
	where := ""
	if e.Row != 0 {
		where = fmt.Sprintf(" row %d:", e.Row)
	}
	msg := fmt.Sprintf("%v: %q:%s %s", ErrCorrupt, e.Key.String(), where, e.Reason)
	if e.Err != nil {
		msg += ": " + e.Err.Error()
	}
	return msg
}

// Unwrap makes the error match ErrCorrupt and its cause.
func (e *CorruptError) Unwrap() []error {
	if e.Err == nil {
		return []error{ErrCorrupt}
	}
	return []error{ErrCorrupt, e.Err}
}

// LockedError says which place another process holds. It matches ErrLocked.
type LockedError struct {
	Place string // a directory, or the name of a database
	Err   error  // what taking the lock returned
}

// Error names the place.
func (e *LockedError) Error() string {
	return fmt.Sprintf("%v: %q is held by another process (%v)", ErrLocked, e.Place, e.Err)
}

// Unwrap makes the error match ErrLocked and its cause.
func (e *LockedError) Unwrap() []error { return []error{ErrLocked, e.Err} }

// FormatError says that a place holds something this program cannot read. It
// matches ErrFormat.
type FormatError struct {
	Place     string
	Found     uint64 // zero: nothing of ours
	Supported uint64 // the newest version that this program reads
}

// Error names place and versions, and what to do.
func (e *FormatError) Error() string {
	if e.Found == 0 {
		return fmt.Sprintf("%v: %q holds data that is no document store", ErrFormat, e.Place)
	}
	return fmt.Sprintf("%v: %q has version %d, this program reads up to %d: use a newer program", ErrFormat, e.Place, e.Found, e.Supported)
}

// Unwrap makes the error match ErrFormat.
func (e *FormatError) Unwrap() error { return ErrFormat }
