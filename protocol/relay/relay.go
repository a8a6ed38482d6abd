// Package relay reads and writes the JSON text frames of configured message rooms, and applies RFC 7386 merge patches to
// their shared state.
//
// Clients send objects. A member "type" that names a frame of the server makes one a message to the server, any other is
// relayed to the peers with the sender stamped on it. The frames of the server are presence, state, history, gap and error,
// and those whose type starts with "auth:".
//
// Invariants:
//
//   - What AppendRelay returns is never read by JSON.parse as a frame of the server, and its from and userId are the stamp's.
//     Keys and types are compared as they are after decoding, so escapes hide nothing; of duplicate keys the last one
//     decides, as it does there.
//   - Only what is stamped is taken out of a relayed frame. Every other member keeps its text: numbers of any size, escapes,
//     lone surrogates.
//   - Text is only read once it is known to be valid UTF-8 and JSON as JSON.parse accepts it, nested no more deeply than a
//     limit. No input panics, time is in proportion to the input, and what is allocated at most 16 times its bytes and 64 KiB.
//   - Keys are nothing but keys: "__proto__" is an ordinary one, and "From" is not "from". Readers that ignore case, as
//     encoding/json does with struct fields, see members that belong to the application.
//   - Parsing borrows the text, Append functions write behind what they are given, and nothing here is shared: there are no
//     goroutines, no clock and no locks.
package relay

import (
	"errors"

	"github.com/yserverd/yserverd/protocol/lib0"
)

// What text is refused for. All come wrapped with the details.
var (
	// ErrNotObject is text that is no JSON object: other JSON, no JSON, or not UTF-8.
	ErrNotObject = errors.New("not a JSON object")
	// ErrBadFrame is an object of the wrong shape, or one nested too deeply.
	ErrBadFrame = errors.New("bad frame")
	// ErrBadJSON is text given to [MergePatch] that is no JSON.
	ErrBadJSON = errors.New("not JSON")
	// ErrTooLarge is the result of a patch over its limit.
	ErrTooLarge = errors.New("state too large")
)

// Limits bound what [Parse] accepts.
type Limits struct {
	Nesting int // objects and arrays inside each other, the frame itself included. Zero means 512.
	Data    int // bytes of the data of a presence frame, as they were sent. Zero means 4096.
}

func (l Limits) withDefaults() Limits {
	l.Nesting = nestingOr512(l.Nesting)
	if l.Data <= 0 {
		l.Data = 4096
	}
	return l
}

func nestingOr512(n int) int {
	if n <= 0 {
		return 512
	}
	return n
}

// Kind says what a client's frame is for.
type Kind uint8

// The kinds of [ClientFrame].
const (
	Relay    Kind = iota + 1 // goes to the peers
	Presence                 // sets the sender's presence data
	State                    // patches the shared state
	Refresh                  // auth:refresh, a new token
	Reserved                 // bears another type of the server's: it is dropped
)

var kindTexts = [...]string{Relay: "relay", Presence: "presence", State: "state", Refresh: "refresh", Reserved: "reserved"}

// String returns the kind in a word.
func (k Kind) String() string { return lib0.KindText(kindTexts[:], k) }

// kindOf returns the kind that a decoded type stands for.
func kindOf(name []byte) Kind {
	switch string(name) {
	case "presence":
		return Presence
	case "state":
		return State
	case "auth:refresh":
		return Refresh
	case "history", "gap", "error":
		return Reserved
	}
	if len(name) >= 5 && string(name[:5]) == "auth:" {
		return Reserved
	}
	return Relay
}
