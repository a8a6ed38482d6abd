package relay

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/yserverd/yserverd/protocol/lib0"
)

// check reports whether text is JSON that the functions of this file can be trusted with. What is wrong with it becomes
// an error of kind otherwise, but for its nesting.
func check(text []byte, nesting int, otherwise error) error {
	if !utf8.Valid(text) {
		return fmt.Errorf("%w: invalid utf-8", otherwise)
	}
	err := lib0.CheckJSON(text, nesting)
	if err == nil {
		return nil
	}
	if errors.Is(err, &lib0.Error{Kind: lib0.ErrDepth}) {
		return fmt.Errorf("%w: %w", ErrBadFrame, err)
	}
	return fmt.Errorf("%w: %w", otherwise, err)
}

// skipSpace returns where the white space that may begin at i ends. It may be the end of b.
func skipSpace(b []byte, i int) int {
	for i < len(b) && isSpace(b[i]) {
		i++
	}
	return i
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// skipString returns the position behind the string whose opening quote is at i, in text that was checked.
func skipString(b []byte, i int) int {
	for i++; b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// skipScalar returns the position behind the number or word at i.
func skipScalar(b []byte, i int) int {
	for i < len(b) {
		switch c := b[i]; {
		case c == ',', c == ']', c == '}', isSpace(c):
			return i
		}
		i++
	}
	return i
}

// skipValue returns the position behind the value at i, in text that was checked.
func skipValue(b []byte, i int) int {
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
	default:
		return skipScalar(b, i)
	}
	for depth := 0; ; {
		switch b[i] {
		case '"':
			i = skipString(b, i)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
}

// members walks over the members of the object whose opening brace is before the position.
type members struct {
	b []byte
	i int
}

// next returns where the next member's key begins (at its quote) and ends, and its value; ok is false behind the last.
func (m *members) next() (key, keyEnd, value, end int, ok bool) {
	i := skipSpace(m.b, m.i)
	if m.b[i] == ',' {
		i = skipSpace(m.b, i+1)
	}
	if m.b[i] == '}' {
		m.i = i
		return 0, 0, 0, 0, false
	}
	key = i
	keyEnd = skipString(m.b, key)
	value = skipSpace(m.b, skipSpace(m.b, keyEnd)+1)
	end = skipValue(m.b, value)
	m.i = end
	return key, keyEnd, value, end, true
}

// unquote returns what the inside of a string stands for: itself where it has no escapes, else it is decoded behind dst,
// into no more bytes than it has. Lone surrogates get the three bytes that UTF-8 would give them if it had them, so that
// different strings remain different, and none of those equals a valid one.
func unquote(dst, inside []byte) []byte {
	i := bytes.IndexByte(inside, '\\')
	if i < 0 {
		return inside
	}
	dst = slices.Grow(dst, len(inside))
	for i >= 0 {
		dst = append(dst, inside[:i]...)
		var n int
		dst, n = appendEscaped(dst, inside[i+1:])
		inside = inside[i+1+n:]
		i = bytes.IndexByte(inside, '\\')
	}
	return append(dst, inside...)
}

// appendEscaped decodes the escape behind a backslash, together with the one after it where they are a surrogate pair. It
// returns how many bytes of b that were.
func appendEscaped(dst, b []byte) ([]byte, int) {
	switch c := b[0]; c {
	case 'b':
		return append(dst, '\b'), 1
	case 'f':
		return append(dst, '\f'), 1
	case 'n':
		return append(dst, '\n'), 1
	case 'r':
		return append(dst, '\r'), 1
	case 't':
		return append(dst, '\t'), 1
	case 'u':
	default:
		return append(dst, c), 1
	}
	r := hex4(b[1:])
	if !utf16.IsSurrogate(r) {
		return utf8.AppendRune(dst, r), 5
	}
	if len(b) >= 11 && b[5] == '\\' && b[6] == 'u' {
		if pair := utf16.DecodeRune(r, hex4(b[7:])); pair != utf8.RuneError {
			return utf8.AppendRune(dst, pair), 11
		}
	}
	return append(dst, 0xe0|byte(r>>12), 0x80|byte(r>>6&0x3f), 0x80|byte(r&0x3f)), 5
}

// hex4 returns the number that four hexadecimal digits stand for.
func hex4(b []byte) (r rune) {
	for _, c := range b[:4] {
		d := c - '0'
		if d > 9 {
			d = c | 0x20 - 'a' + 10
		}
		r = r<<4 | rune(d)
	}
	return r
}

// decimal returns the number that plain digits stand for: no sign, no leading zeros, no fraction.
func decimal[T string | []byte](s T) (n uint64, ok bool) {
	if len(s) == 0 || len(s) > 20 || s[0] == '0' && len(s) > 1 {
		return 0, false
	}
	for i := range len(s) {
		d := uint64(s[i] - '0')
		if d > 9 || n > (1<<64-1-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}
