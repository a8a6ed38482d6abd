package relay

import (
	"strconv"
	"unicode/utf8"
)

// The codes of error frames.
const (
	CodeBadFrame      = "BAD_FRAME"       // the frame could not be used
	CodeReadOnly      = "READ_ONLY"       // the sender may not write
	CodeStateTooLarge = "STATE_TOO_LARGE" // the patch would make the state too large
	CodeStateConflict = "STATE_CONFLICT"  // the state has another version than ifVersion, see [AppendConflict]
)

// Peer is a connection as its peers see it.
type Peer struct {
	ID     string // of the connection
	UserID string // empty is left out
	Name   string // empty is left out
	Data   []byte // the JSON text of an object that the peer set, nil is left out
}

// AppendPresence appends the frame that tells who is present.
func AppendPresence(dst []byte, peers []Peer) []byte {
	dst = append(dst, `{"type":"presence","peers":[`...)
	for i, p := range peers {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendQuoted(append(dst, `{"id":`...), p.ID)
		if p.UserID != "" {
			dst = appendQuoted(append(dst, `,"userId":`...), p.UserID)
		}
		if p.Name != "" {
			dst = appendQuoted(append(dst, `,"name":`...), p.Name)
		}
		if p.Data != nil {
			dst = append(append(dst, `,"data":`...), p.Data...)
		}
		dst = append(dst, '}')
	}
	return append(dst, `]}`...)
}

// AppendState appends the frame with the whole state, which is JSON text, at a version.
func AppendState(dst, state []byte, version uint64) []byte {
	dst = append(append(dst, `{"type":"state","state":`...), state...)
	return append(appendVersion(dst, version), '}')
}

// AppendPatch appends the frame of a committed change: the JSON text of a patch, the version that it led to, and the
// sender's connection and user; an empty userID is left out.
func AppendPatch(dst, patch []byte, version uint64, from, userID string) []byte {
	dst = append(append(dst, `{"type":"state","patch":`...), patch...)
	dst = appendQuoted(append(appendVersion(dst, version), `,"from":`...), from)
	if userID != "" {
		dst = appendQuoted(append(dst, `,"userId":`...), userID)
	}
	return append(dst, '}')
}

// AppendError appends the frame of an error that has nothing but its code.
func AppendError(dst []byte, code string) []byte {
	return append(appendQuoted(append(dst, `{"type":"error","code":`...), code), '}')
}

// AppendConflict appends the frame of [CodeStateConflict]: the state as it is, which is JSON text, and its version.
func AppendConflict(dst, state []byte, version uint64) []byte {
	dst = append(append(dst, `{"type":"error","code":"`+CodeStateConflict+`","state":`...), state...)
	return append(appendVersion(dst, version), '}')
}

func appendVersion(dst []byte, version uint64) []byte {
	return strconv.AppendUint(append(dst, `,"version":`...), version, 10)
}

// AppendHistory appends the frame with kept messages, oldest first, each the text of a frame that was relayed. Offset is
// that of the last of the history.
func AppendHistory(dst []byte, epoch string, offset uint64, messages [][]byte) []byte {
	dst = append(appendPlace(append(dst, `{"type":"history"`...), epoch, offset), `,"messages":[`...)
	for i, m := range messages {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, m...)
	}
	return append(dst, `]}`...)
}

// AppendGap appends the frame that says that what was asked for is gone.
func AppendGap(dst []byte, epoch string, offset uint64) []byte {
	return append(appendPlace(append(dst, `{"type":"gap"`...), epoch, offset), '}')
}

func appendPlace(dst []byte, epoch string, offset uint64) []byte {
	dst = appendQuoted(append(dst, `,"epoch":`...), epoch)
	return strconv.AppendUint(append(dst, `,"offset":`...), offset, 10)
}

// appendQuoted appends a JSON string. What is no valid UTF-8 in it becomes U+FFFD, byte by byte.
func appendQuoted(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(append(dst, s[from:i]...), "\ufffd"...)
				from = i + 1
			}
			i += n
			continue
		}
		if c < ' ' || c == '"' || c == '\\' {
			dst = append(dst, s[from:i]...)
			if c < ' ' {
				dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			} else {
				dst = append(dst, '\\', c)
			}
			from = i + 1
		}
		i++
	}
	return append(append(dst, s[from:]...), '"')
}
