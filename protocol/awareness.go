package protocol

import (
	"strconv"

	"github.com/yserverd/yserverd/protocol/lib0"
)

// AwarenessEntry is what an awareness update says of one client.
type AwarenessEntry struct {
	Client, Clock uint64
	// State is the JSON text as it was sent: numbers, order of keys and white space included. "null" means the client is
	// gone.
	State []byte
}

// Gone reports whether the state is null.
func (e AwarenessEntry) Gone() bool { return string(trimJSON(e.State)) == "null" }

// AwarenessLimits bounds an awareness update. Whatever goes beyond is refused with an error that is [ErrLimit].
type AwarenessLimits struct {
	// State is how many bytes of JSON one state may have. Zero means 65,536.
	State int
	// Entries is how many clients one update may speak of. Zero means 4,096.
	Entries int
	// Nesting is how many arrays and objects may be inside each other within a state. Zero means 512.
	Nesting int
}

func (l AwarenessLimits) withDefaults() AwarenessLimits {
	if l.State <= 0 {
		l.State = 64 << 10
	}
	if l.Entries <= 0 {
		l.Entries = 4096
	}
	if l.Nesting <= 0 {
		l.Nesting = 512
	}
	return l
}

// minEntry is the fewest bytes an entry takes: client, clock, length and one byte of JSON.
const minEntry = 4

// ParseAwareness reads an awareness update, the payload of an awareness message, and appends its entries to dst in their
// order. The states borrow the payload and are valid JSON. Bytes after the last entry are ignored. On an error dst is
// returned as it was: an update is taken as a whole or not at all.
func ParseAwareness(dst []AwarenessEntry, payload []byte, lim AwarenessLimits) ([]AwarenessEntry, error) {
	lim = lim.withDefaults()
	r := lib0.NewReader(payload)
	n, err := r.VarUint()
	if err != nil {
		return dst, wrap(err, 0)
	}
	if n > uint64(r.Len())/minEntry {
		return dst, &Error{Kind: FaultEnd}
	}
	if n > uint64(lim.Entries) {
		return dst, &Error{Kind: LimitEntries}
	}
	out := dst
	if cap(out)-len(out) < int(n) {
		out = append(make([]AwarenessEntry, 0, len(dst)+int(n)), dst...)
	}
	for range n {
		e, err := readEntry(&r, lim)
		if err != nil {
			return dst, err
		}
		out = append(out, e)
	}
	return out, nil
}

func readEntry(r *lib0.Reader, lim AwarenessLimits) (e AwarenessEntry, err error) {
	if e.Client, err = r.VarUint(); err != nil {
		return e, wrap(err, 0)
	}
	if e.Clock, err = r.VarUint(); err != nil {
		return e, wrap(err, 0)
	}
	at := r.Pos()
	if e.State, err = r.VarString(); err != nil {
		return e, wrap(err, 0)
	}
	if len(e.State) > lim.State {
		return e, &Error{Kind: LimitState, Offset: at}
	}
	if err := lib0.CheckJSON(e.State, lim.Nesting); err != nil {
		return e, wrap(err, r.Pos()-len(e.State))
	}
	return e, nil
}

// AppendAwareness appends an awareness frame with an awareness update.
func AppendAwareness(dst, awarenessUpdate []byte) []byte {
	return append(AppendAwarenessHeader(dst, len(awarenessUpdate)), awarenessUpdate...)
}

// AppendAwarenessHeader appends what comes before the payload of an awareness frame.
func AppendAwarenessHeader(dst []byte, payloadLen int) []byte {
	return lib0.AppendVarUint(append(dst, byte(MessageAwareness)), uint64(payloadLen))
}

// AppendAwarenessUpdate appends an awareness update of the entries (y-protocols encodeAwarenessUpdate). As there, states that
// are falsy in JavaScript (false, zero, the empty string) become null; all others are written as they are.
func AppendAwarenessUpdate(dst []byte, entries []AwarenessEntry) []byte {
	dst = lib0.AppendVarUint(dst, uint64(len(entries)))
	for _, e := range entries {
		dst = appendEntry(dst, e)
	}
	return dst
}

const null = "null"

func appendEntry(dst []byte, e AwarenessEntry) []byte {
	dst = lib0.AppendVarUint(dst, e.Client)
	dst = lib0.AppendVarUint(dst, e.Clock)
	if falsy(e.State) {
		return append(lib0.AppendVarUint(dst, uint64(len(null))), null...)
	}
	return lib0.AppendVarBytes(dst, e.State)
}

// falsy reports whether JavaScript takes the value of a JSON text for false.
func falsy(text []byte) bool {
	text = trimJSON(text)
	if len(text) == 0 {
		return true
	}
	switch c := text[0]; {
	case c == 'n', c == 'f':
		return true
	case c == '"':
		return len(text) == 2
	case c == '-', c-'0' < 10:
		n, _ := strconv.ParseFloat(string(text), 64) // out of range is infinity; too small is zero, as in JavaScript
		return n == 0
	default:
		return false
	}
}

// trimJSON cuts the white space off a JSON text.
func trimJSON(text []byte) []byte {
	space := func(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
	for len(text) > 0 && space(text[0]) {
		text = text[1:]
	}
	for len(text) > 0 && space(text[len(text)-1]) {
		text = text[:len(text)-1]
	}
	return text
}
