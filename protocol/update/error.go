package update

import (
	"errors"

	"github.com/yserverd/yserverd/protocol/lib0"
)

// The two ways of being refused, for errors.Is. A malformed update would make a Yjs client throw; one over a limit is well
// formed, and whoever made it should be told.
var (
	ErrMalformed = errors.New("malformed update")
	ErrLimit     = errors.New("update over a limit")
)

// ErrKind tells what was found.
type ErrKind uint8

// The kinds of [Error]. The last two are limits.
const (
	FaultEnd       ErrKind = iota + 1 // the bytes end early, or a count or length points past them
	FaultRange                        // an integer, or clock plus length, is greater than 2^53-1
	FaultUTF8                         // a string is not valid UTF-8
	FaultAny                          // an any value has an unknown tag
	FaultJSON                         // a text is not what JSON.parse accepts
	FaultInfo                         // an unknown content reference, or flags on a GC or Skip
	FaultType                         // a type reference greater than 6
	FaultDoc                          // the options of a subdocument are null or undefined
	FaultEmpty                        // a struct has no length
	FaultReference                    // an origin or parent of the same client does not point back
	LimitNesting                      // a value is nested more deeply than Limits.Nesting
	LimitClients                      // more sections than Limits.Clients
)

var faultTexts = [...]string{
	FaultEnd:       "unexpected end",
	FaultRange:     "integer out of range",
	FaultUTF8:      "invalid utf-8",
	FaultAny:       "unknown any tag",
	FaultJSON:      "invalid json",
	FaultInfo:      "unknown content reference",
	FaultType:      "unknown type reference",
	FaultDoc:       "subdocument without options",
	FaultEmpty:     "struct without length",
	FaultReference: "reference to own future",
	LimitNesting:   "values nested too deeply",
	LimitClients:   "too many clients",
}

// String returns the kind in words.
func (k ErrKind) String() string { return lib0.KindText(faultTexts[:], k) }

// Package returns "update".
func (ErrKind) Package() string { return "update" }

// Class returns ErrMalformed or ErrLimit.
func (k ErrKind) Class() error {
	if k.Limit() != "" {
		return ErrLimit
	}
	return ErrMalformed
}

// Limit returns the name of the limit that the kind speaks of ("nesting", "clients"), or "".
func (k ErrKind) Limit() string {
	switch k {
	case LimitNesting:
		return "nesting"
	case LimitClients:
		return "clients"
	default:
		return ""
	}
}

// Error is every error of this package; it is either ErrMalformed or ErrLimit. Offset is where in the update the part
// begins that was refused.
type Error = lib0.KindError[ErrKind]

// fault makes an error out of line: it is rare, and callers are small.
//
//go:noinline
func fault(kind ErrKind, offset int) error { return &Error{Kind: kind, Offset: offset} }

// lifted are the kinds of lib0's errors.
var lifted = [...]ErrKind{
	lib0.ErrEnd:   FaultEnd,
	lib0.ErrRange: FaultRange,
	lib0.ErrUTF8:  FaultUTF8,
	lib0.ErrTag:   FaultAny,
	lib0.ErrJSON:  FaultJSON,
	lib0.ErrDepth: LimitNesting,
}

// wrap turns an error of lib0 into one of this package. The offset of the text or value within the update is added to
// what lib0 counted within it.
//
//go:noinline
func wrap(err error, base int) error { return lib0.Lift(err, base, lifted[:], FaultEnd) }
