package lib0

import (
	"encoding/binary"
	"math/bits"
)

const (
	lows  = 0x0101010101010101 // the lowest bit of each byte
	highs = 0x8080808080808080 // the highest bit of each byte
)

// asciiPrefix returns how many bytes of s come before the first that is not ASCII.
func asciiPrefix(s []byte) int {
	i := 0
	for ; i+8 <= len(s); i += 8 {
		if binary.LittleEndian.Uint64(s[i:])&highs != 0 {
			break
		}
	}
	for i < len(s) && s[i] < 0x80 {
		i++
	}
	return i
}

// UTF16Len returns the length in UTF-16 code units of s, which must be valid UTF-8: what JavaScript calls the length of
// the string. For other bytes the result means nothing.
func UTF16Len(s []byte) uint64 {
	// Every character has one byte that does not continue another, and one of four bytes (lead byte 0xf0 or more) has two
	// units. Both are counted for eight bytes at once.
	var n uint64
	i := 0
	for ; i+8 <= len(s); i += 8 {
		w := binary.LittleEndian.Uint64(s[i:])
		if w&highs == 0 {
			n += 8
			continue
		}
		n += units8(w)
	}
	for ; i < len(s); i++ {
		n += unitsOf(s[i])
	}
	return n
}

// units8 returns the code units that the eight bytes of w begin.
func units8(w uint64) uint64 {
	continued := w >> 7 &^ (w >> 6) & lows
	long := w >> 7 & (w >> 6) & (w >> 5) & (w >> 4) & lows
	return uint64(8 - bits.OnesCount64(continued) + bits.OnesCount64(long))
}

// unitsOf returns the code units that byte c begins: none if it continues a character.
func unitsOf(c byte) uint64 {
	switch {
	case c < 0x80:
		return 1
	case c < 0xc0:
		return 0
	case c < 0xf0:
		return 1
	default:
		return 2
	}
}

// UTF16Offset returns the byte offset in s, which must be valid UTF-8, of the UTF-16 code unit with the given index. An
// index past the end gives len(s). When the index lies between the two units of a surrogate pair, split is true and the
// offset is that of the pair's four bytes.
func UTF16Offset(s []byte, index uint64) (offset int, split bool) {
	i := 0
	for i+8 <= len(s) {
		// Eight bytes begin at most nine units, seven of ASCII and then a pair: so none of them passes the index.
		if index < 9 {
			break
		}
		index -= units8(binary.LittleEndian.Uint64(s[i:]))
		i += 8
	}
	// The word may have ended within a character, whose rest belongs before the index.
	for i < len(s) && s[i]&0xc0 == 0x80 {
		i++
	}
	for i < len(s) && index > 0 {
		size, units := 1, uint64(1)
		switch c := s[i]; {
		case c >= 0xf0:
			size, units = 4, 2
		case c >= 0xe0:
			size = 3
		case c >= 0xc0:
			size = 2
		}
		if units > index {
			return i, true
		}
		index -= units
		i += size
	}
	return min(i, len(s)), false
}
