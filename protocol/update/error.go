package update

import (
	"errors"
	"strconv"

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
func (k ErrKind) String() string {
	if int(k) < len(faultTexts) && faultTexts[k] != "" {
		return faultTexts[k]
	}
	return "unknown fault"
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

// Error is every error of this package. Offset is where in the update the part begins that was refused.
type Error struct {
	Kind   ErrKind
	Offset int
}

// Error implements error.
func (e *Error) Error() string {
	return "update: " + e.Kind.String() + " at byte " + strconv.Itoa(e.Offset)
}

// Is makes every error either ErrMalformed or ErrLimit.
func (e *Error) Is(target error) bool {
	if e.Kind.Limit() != "" {
		return target == ErrLimit
	}
	return target == ErrMalformed
}

// fault makes an error out of line: it is rare, and callers are small.
//
//go:noinline
func fault(kind ErrKind, offset int) error { return &Error{Kind: kind, Offset: offset} }

// wrap turns an error of lib0 into one of this package. The offset of the text or value within the update is added to
// what lib0 counted within it.
//
//go:noinline
func wrap(err error, base int) error {
	var e *lib0.Error
	if !errors.As(err, &e) {
		return err
	}
	kind := FaultEnd
	switch e.Kind {
	case lib0.ErrRange:
		kind = FaultRange
	case lib0.ErrUTF8:
		kind = FaultUTF8
	case lib0.ErrTag:
		kind = FaultAny
	case lib0.ErrJSON:
		kind = FaultJSON
	case lib0.ErrDepth:
		kind = LimitNesting
	}
	return &Error{Kind: kind, Offset: base + e.Offset}
}
