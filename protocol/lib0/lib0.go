// Package lib0 reads and writes the binary primitives of the lib0 library, on which the Yjs formats are built:
// variable length integers, byte strings, UTF-8 strings, JSON texts and the tagged values that lib0 calls "any".
//
// Invariants:
//
//   - Nothing here panics on any input. Every length is held against the bytes that remain before it is used.
//   - Reading borrows: byte strings are slices of the input. Nothing is allocated unless a function says so.
//   - Integers are exact up to [MaxInteger], as in JavaScript; larger ones are an error and never rounded.
//   - What lib0 tolerates (integers with superfluous groups, bytes that follow a value) is tolerated.
//   - Nesting is bounded by the caller, so that hostile depth costs neither stack nor memory.
//
// Names and rules follow lib0's encoding.js and decoding.js.
package lib0

// MaxInteger is the greatest integer that is exchanged, JavaScript's Number.MAX_SAFE_INTEGER.
const MaxInteger = 1<<53 - 1

// ErrKind tells what is wrong with the bytes.
type ErrKind uint8

// The kinds of [Error].
const (
	// ErrEnd: the bytes end within a value, or a length points past them.
	ErrEnd ErrKind = iota + 1
	// ErrRange: an integer is greater than [MaxInteger], or has more groups than lib0 can add up.
	ErrRange
	// ErrUTF8: a string is not valid UTF-8.
	ErrUTF8
	// ErrTag: an any value starts with a byte below 116 or above 127.
	ErrTag
	// ErrJSON: a text is not what JSON.parse accepts.
	ErrJSON
	// ErrDepth: a value is nested deeper than the caller allows. The only kind that is a limit, not a fault.
	ErrDepth
	// ErrType: a Go value cannot be written as an any value.
	ErrType
)

var kindTexts = [...]string{
	ErrEnd:   "unexpected end",
	ErrRange: "integer out of range",
	ErrUTF8:  "invalid utf-8",
	ErrTag:   "unknown any tag",
	ErrJSON:  "invalid json",
	ErrDepth: "nested too deeply",
	ErrType:  "value has no any encoding",
}

// String returns the kind in words.
func (k ErrKind) String() string { return KindText(kindTexts[:], k) }

// Package returns "lib0".
func (ErrKind) Package() string { return "lib0" }

// Class returns nil: what a kind means is for the format to say that is being read.
func (ErrKind) Class() error { return nil }

// Error is every error of this package. Offset is the position, in bytes from the start of what was given, of the value
// that could not be read.
type Error = KindError[ErrKind]
