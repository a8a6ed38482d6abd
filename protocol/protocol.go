// Package protocol reads and writes the frames that Yjs clients and servers exchange: the sync and awareness protocols of
// y-protocols 1.0.7, and the text messages of y-partyserver. It also holds the awareness table, who is present with what
// state, as a plain value.
//
// A binary frame is one message; numbers are lib0 varuints, and what is called bytes or string is preceded by its length:
//
//	0 0 bytes(state vector)   sync step 1        1 bytes(awareness update)   awareness
//	0 1 bytes(update)         sync step 2        2 0 string(reason)          permission denied
//	0 2 bytes(update)         update             3                           query awareness
//	                                             102 ...                     sync status
//
// Invariants:
//
//   - Parsing borrows: payloads are slices of the frame. No input panics, and none makes anything allocate more than a small
//     multiple of its size.
//   - Parsing looks no further than the frame: updates and state vectors are the matter of package update.
//   - What clients tolerate is tolerated: bytes after a message, and types that nobody knows.
//   - There are no goroutines, no clock and no locks here.
package protocol

import (
	"errors"

	"github.com/yserverd/yserverd/protocol/lib0"
)

// The two ways of being refused, for errors.Is: what no client could read, and what is well formed but too much.
var (
	ErrMalformed = errors.New("malformed message")
	ErrLimit     = errors.New("message over a limit")
)

// ErrKind tells what was found.
type ErrKind uint8

// The kinds of [Error]. The last three are limits.
const (
	FaultEnd     ErrKind = iota + 1 // the bytes end early, or a count or length points past them
	FaultRange                      // an integer is greater than 2^53-1
	FaultUTF8                       // an awareness state is not valid UTF-8
	FaultJSON                       // an awareness state is not what JSON.parse accepts
	FaultSync                       // a sync message of an unknown type
	LimitEntries                    // more entries than AwarenessLimits.Entries
	LimitState                      // a state of more bytes than AwarenessLimits.State
	LimitNesting                    // a state nested more deeply than AwarenessLimits.Nesting
)

var faultTexts = [...]string{
	FaultEnd:     "unexpected end",
	FaultRange:   "integer out of range",
	FaultUTF8:    "invalid utf-8",
	FaultJSON:    "invalid json",
	FaultSync:    "unknown sync message",
	LimitEntries: "too many awareness entries",
	LimitState:   "awareness state too large",
	LimitNesting: "awareness state nested too deeply",
}

// String returns the kind in words.
func (k ErrKind) String() string { return lib0.KindText(faultTexts[:], k) }

// Package returns "protocol".
func (ErrKind) Package() string { return "protocol" }

// Class returns ErrMalformed or ErrLimit.
func (k ErrKind) Class() error {
	if k >= LimitEntries {
		return ErrLimit
	}
	return ErrMalformed
}

// Error is every error of this package; it is either ErrMalformed or ErrLimit. Offset is where, in the bytes that were
// given, the part begins that was refused.
type Error = lib0.KindError[ErrKind]

// lifted are the kinds of lib0's errors.
var lifted = [...]ErrKind{
	lib0.ErrEnd:   FaultEnd,
	lib0.ErrRange: FaultRange,
	lib0.ErrUTF8:  FaultUTF8,
	lib0.ErrJSON:  FaultJSON,
	lib0.ErrDepth: LimitNesting,
}

// wrap turns an error of lib0 into one of this package; base is added to its offset.
//
//go:noinline
func wrap(err error, base int) error { return lib0.Lift(err, base, lifted[:], FaultEnd) }
