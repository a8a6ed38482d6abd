package relay

import "strconv"

// Stamp is what the server says about a relayed frame.
type Stamp struct {
	From      string // id of the sender's connection
	UserID    string // of the sender as the gate knows it; empty is left out
	Offset    uint64 // the frame's place in the history
	HasOffset bool
}

// AppendRelay appends the frame as the peers get it, and returns dst as it was for a frame that is not of kind [Relay].
// Every member "from" and "userId" of its top level is left out, and with HasOffset every "offset"; the others keep their
// order and their text, and the stamp comes last. It allocates nothing where dst has room for the frame's text, the stamp
// and 40 bytes.
func (f *ClientFrame) AppendRelay(dst []byte, s Stamp) []byte {
	if f.Kind != Relay {
		return dst
	}
	empty := f.empty
	if f.stamped || f.hasOffset && s.HasOffset {
		dst, empty = f.appendOthers(dst, s.HasOffset)
	} else {
		dst = append(dst, f.object...)
	}
	if !empty {
		dst = append(dst, ',')
	}
	dst = appendQuoted(append(dst, `"from":`...), s.From)
	if s.UserID != "" {
		dst = appendQuoted(append(dst, `,"userId":`...), s.UserID)
	}
	if s.HasOffset {
		dst = strconv.AppendUint(append(dst, `,"offset":`...), s.Offset, 10)
	}
	return append(dst, '}')
}

// appendOthers appends the opening brace and the members that are not stamped. It walks over the text again, which is
// rarely asked for, rather than keep the place of each member for it.
func (f *ClientFrame) appendOthers(dst []byte, offset bool) (_ []byte, empty bool) {
	dst = append(dst, '{')
	start := len(dst)
	for m := (members{b: f.object, i: 1}); m.i < len(f.object); {
		key, keyEnd, _, end, _ := m.next()
		switch w := wordOf(f.object[key+1 : keyEnd-1]); {
		case w == wordFrom, w == wordUserID, w == wordOffset && offset:
			continue
		}
		if len(dst) > start {
			dst = append(dst, ',')
		}
		dst = append(dst, f.object[key:end]...)
	}
	return dst, len(dst) == start
}
