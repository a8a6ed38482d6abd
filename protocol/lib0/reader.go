package lib0

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// maxGroups is how many 7-bit groups of an integer lib0 adds up exactly: the weight of the next one is Infinity in
// JavaScript, and what readVarUint returns from there on is not a number.
const maxGroups = 147

// Reader reads values from a borrowed slice. It is a value: a copy reads on independently. After an error the position
// is unspecified and reading on is pointless, though harmless.
type Reader struct {
	b   []byte
	pos int
}

// NewReader returns a reader at the start of b, which must not change while the reader or what it returned is in use.
func NewReader(b []byte) Reader { return Reader{b: b} }

// Len returns how many bytes are left.
func (r *Reader) Len() int { return len(r.b) - r.pos }

// Pos returns the offset of the next byte from the start of the input.
func (r *Reader) Pos() int { return r.pos }

// From returns the bytes from offset start, a former Pos, up to the position. They are borrowed.
func (r *Reader) From(start int) []byte { return r.b[start:r.pos:r.pos] }

// fail makes the error for the value at offset. It stays out of line: errors are rare and callers are small.
//
//go:noinline
func fail(kind ErrKind, offset int) error { return &Error{Kind: kind, Offset: offset} }

// Uint8 reads one byte.
func (r *Reader) Uint8() (byte, error) {
	if r.pos >= len(r.b) {
		return 0, fail(ErrEnd, r.pos)
	}
	c := r.b[r.pos]
	r.pos++
	return c, nil
}

// VarUint reads an unsigned integer (lib0 readVarUint): 7 bits to a byte, the lowest first, the top bit set on all but
// the last. Superfluous zero groups are tolerated as far as lib0 can add them up.
func (r *Reader) VarUint() (uint64, error) {
	if r.pos < len(r.b) && r.b[r.pos] < 0x80 {
		r.pos++
		return uint64(r.b[r.pos-1]), nil
	}
	return r.longVarUint()
}

// longVarUint reads an integer of more than one group. Client ids have five: where eight bytes are left, they are loaded
// and put together at once.
func (r *Reader) longVarUint() (uint64, error) {
	b := r.b[r.pos:]
	if len(b) >= 8 {
		w := binary.LittleEndian.Uint64(b)
		if ends := ^w & highs; ends != 0 {
			size := bits.TrailingZeros64(ends) + 1 // in bits, with the last byte
			n := joinGroups(w << (64 - size) >> (64 - size))
			if n > MaxInteger {
				return 0, fail(ErrRange, r.pos)
			}
			r.pos += size / 8
			return n, nil
		}
	}
	return r.hugeVarUint(0, 0, 0)
}

// joinGroups puts the low seven bits of the eight bytes of w together: first neighbours, then pairs, then halves.
func joinGroups(w uint64) uint64 {
	w = w&0x007f007f007f007f | w&0x7f007f007f007f00>>1
	w = w&0x00003fff00003fff | w&0x3fff00003fff0000>>2
	return w&0x000000000fffffff | w&0x0fffffff00000000>>4
}

// hugeVarUint reads an integer group by group, on from where n is made of the given count of groups, width bits together.
func (r *Reader) hugeVarUint(n uint64, groups, width int) (uint64, error) {
	b := r.b[r.pos:]
	for i := groups; i < len(b); i++ {
		c := b[i]
		if v := uint64(c & 0x7f); v != 0 {
			if width >= 53 || v >= 1<<(53-width) {
				return 0, fail(ErrRange, r.pos)
			}
			n |= v << width
		}
		width += 7
		if i >= maxGroups {
			return 0, fail(ErrRange, r.pos)
		}
		if c < 0x80 {
			r.pos += i + 1
			return n, nil
		}
	}
	return 0, fail(ErrEnd, r.pos)
}

// VarInt reads a signed integer (lib0 readVarInt). The sign has a bit of its own, so there is a minus zero: negative is
// then true and magnitude 0.
func (r *Reader) VarInt() (magnitude uint64, negative bool, err error) {
	if r.pos >= len(r.b) {
		return 0, false, fail(ErrEnd, r.pos)
	}
	c := r.b[r.pos]
	n, negative := uint64(c&0x3f), c&0x40 != 0
	if c < 0x80 {
		r.pos++
		return n, negative, nil
	}
	n, err = r.hugeVarUint(n, 1, 6)
	return n, negative, err
}

// Bytes reads n bytes, borrowed.
func (r *Reader) Bytes(n uint64) ([]byte, error) {
	if n > uint64(len(r.b)-r.pos) {
		return nil, fail(ErrEnd, r.pos)
	}
	start := r.pos
	r.pos += int(n)
	return r.b[start:r.pos:r.pos], nil
}

// VarBytes reads a length and as many bytes (lib0 readVarUint8Array), borrowed.
func (r *Reader) VarBytes() ([]byte, error) {
	n, err := r.VarUint()
	if err != nil {
		return nil, err
	}
	return r.Bytes(n)
}

// VarString reads a length and as many bytes of UTF-8 (lib0 readVarString), borrowed. What it refuses is what a
// TextDecoder with fatal and ignoreBOM refuses: a byte order mark is a character like any other.
func (r *Reader) VarString() ([]byte, error) {
	start := r.pos
	s, err := r.VarBytes()
	if err != nil {
		return nil, err
	}
	if !utf8.Valid(s) {
		return nil, fail(ErrUTF8, start)
	}
	return s, nil
}

// VarStringUnits reads as VarString does and also returns the string's length in UTF-16 code units, in one pass.
func (r *Reader) VarStringUnits() (s []byte, units uint64, err error) {
	start := r.pos
	if s, err = r.VarBytes(); err != nil {
		return nil, 0, err
	}
	n := asciiPrefix(s)
	if n == len(s) {
		return s, uint64(n), nil
	}
	if !utf8.Valid(s[n:]) {
		return nil, 0, fail(ErrUTF8, start)
	}
	return s, uint64(n) + UTF16Len(s[n:]), nil
}
