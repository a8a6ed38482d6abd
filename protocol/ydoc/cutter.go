package ydoc

import (
	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
)

// cutter takes the content of a struct apart from front to back, in time proportional to its size however many parts it
// is cut into.
type cutter struct {
	kind  update.Kind
	whole []byte // the content, where it comes in one piece
	rest  []byte // the text or the values that were not taken yet
	half  bool   // the rest begins with the second half of a surrogate pair, which is not in it
}

// newCutter returns a cutter for the content at the start of buf.
func newCutter(buf []byte, kind update.Kind) cutter {
	switch kind {
	case update.String:
		text, _ := readBytes(buf, 0)
		return cutter{kind: kind, rest: text}
	case update.Any, update.JSON:
		_, n := uvarint(buf)
		return cutter{kind: kind, rest: buf[n:]}
	default:
		_, end := skipContent(buf, 0, kind)
		return cutter{kind: kind, whole: buf[:end]}
	}
}

// replacement is what is left of a surrogate pair on both sides when a text is cut through it (ContentString.splice).
const replacement = "\ufffd"

// appendTo appends the content of the next units.
func (c *cutter) appendTo(dst []byte, units uint64) []byte {
	switch c.kind {
	case update.String:
		before, text, after := c.takeText(units)
		size := len(text)
		if before {
			size += len(replacement)
		}
		if after {
			size += len(replacement)
		}
		dst = lib0.AppendVarUint(dst, uint64(size))
		if before {
			dst = append(dst, replacement...)
		}
		dst = append(dst, text...)
		if after {
			dst = append(dst, replacement...)
		}
		return dst
	case update.Any, update.JSON:
		dst = lib0.AppendVarUint(dst, units)
		return append(dst, c.takeValues(units)...)
	default:
		return append(dst, c.whole...)
	}
}

// skip passes over the next units.
func (c *cutter) skip(units uint64) {
	switch c.kind {
	case update.String:
		c.takeText(units)
	case update.Any, update.JSON:
		c.takeValues(units)
	}
}

// takeText takes a number of UTF-16 code units. Before and after tell that halves of surrogate pairs belong to them.
func (c *cutter) takeText(units uint64) (before bool, text []byte, after bool) {
	if c.half && units > 0 {
		before, c.half = true, false
		units--
	}
	n, after := lib0.UTF16Offset(c.rest, units)
	text, c.rest = c.rest[:n], c.rest[n:]
	if after {
		c.rest, c.half = c.rest[4:], true
	}
	return before, text, after
}

// takeValues takes a number of values.
func (c *cutter) takeValues(units uint64) []byte {
	end := 0
	if c.kind == update.JSON {
		for ; units > 0; units-- {
			end = skipBytes(c.rest, end)
		}
	} else {
		end = skipAny(c.rest, 0, units)
	}
	values := c.rest[:end]
	c.rest = c.rest[end:]
	return values
}

// appendHead appends everything before the content of an item s, or of the part of it that begins at clock: rest says that
// this is not its beginning. Kind takes the place of the item's own. It returns the info byte and the origin as well.
func appendHead(dst []byte, s *update.Struct, kind update.Kind, clock uint64, rest bool) ([]byte, byte, update.ID) {
	info, origin := s.Info&^refBits|byte(kind), s.Origin
	if rest {
		info |= update.HasOrigin
		origin = update.ID{Client: s.Client, Clock: clock - 1}
	}
	dst = append(dst, info)
	if info&update.HasOrigin != 0 {
		dst = appendID(dst, origin)
	}
	if info&update.HasRightOrigin != 0 {
		dst = appendID(dst, s.RightOrigin)
	}
	if info&(update.HasOrigin|update.HasRightOrigin) == 0 {
		dst = appendParent(dst, s)
	}
	return dst, info, origin
}

func appendID(dst []byte, id update.ID) []byte {
	return lib0.AppendVarUint(lib0.AppendVarUint(dst, id.Client), id.Clock)
}

func appendParent(dst []byte, s *update.Struct) []byte {
	if s.ParentIsID {
		dst = appendID(append(dst, 0), s.Parent)
	} else {
		dst = lib0.AppendVarBytes(append(dst, 1), s.ParentName)
	}
	if s.Info&update.HasParentSub != 0 {
		dst = lib0.AppendVarBytes(dst, s.ParentSub)
	}
	return dst
}

// cutRun returns the structs of a run that have the clocks of the given ascending spans, one run for each span.
func cutRun(r piece, spans []span) []piece {
	pieces := make([]piece, 0, len(spans))
	w := walker{buf: r.raw, client: r.client, clock: r.clock}
	var s update.Struct
	for !w.done() && len(spans) > 0 {
		w.next(&s)
		c := newCutter(s.Content, s.Kind)
		for at := s.Clock; len(spans) > 0 && spans[0].start < s.End(); {
			from, to := max(at, spans[0].start), min(s.End(), spans[0].end)
			if from == spans[0].start {
				pieces = append(pieces, piece{client: r.client, clock: from})
			}
			p := &pieces[len(pieces)-1]
			c.skip(from - at)
			p.raw = appendCut(p.raw, &s, &c, from, to)
			p.end = to
			p.n++
			if at = to; to < spans[0].end {
				break
			}
			spans = spans[1:]
		}
	}
	return pieces
}

// appendCut appends the part of a struct from one clock to another; the cutter is at the first.
func appendCut(dst []byte, s *update.Struct, c *cutter, from, to uint64) []byte {
	switch {
	case from == s.Clock && to == s.End():
		return append(dst, s.Raw...)
	case s.Kind == update.GC:
		dst = append(dst, s.Info)
	default:
		dst, _, _ = appendHead(dst, s, s.Kind, from, from > s.Clock)
	}
	if s.Kind == update.GC || s.Kind == update.Deleted {
		return lib0.AppendVarUint(dst, to-from)
	}
	return c.appendTo(dst, to-from)
}
