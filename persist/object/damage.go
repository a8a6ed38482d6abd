package object

import (
	"errors"

	"github.com/yserverd/yserverd/persist"
)

// ErrTooLarge says that an object, or what is in it, has more bytes than allowed. It comes in a *DamageError, since what
// was put there was not too large: unless the limit has been lowered since.
var ErrTooLarge = errors.New("too large")

// DamageError says what is wrong with an object. It matches persist.ErrCorrupt.
type DamageError struct {
	Reason string
	Err    error // the cause, if there is one beneath
}

// Error says what is wrong, not with which object: that is the caller's to know.
func (e *DamageError) Error() string {
	msg := "damaged object: " + e.Reason
	if e.Err != nil {
		msg += ": " + e.Err.Error()
	}
	return msg
}

// Unwrap makes the error match persist.ErrCorrupt and its cause.
func (e *DamageError) Unwrap() []error {
	if e.Err == nil {
		return []error{persist.ErrCorrupt}
	}
	return []error{persist.ErrCorrupt, e.Err}
}
