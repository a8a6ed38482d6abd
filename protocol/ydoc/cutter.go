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
