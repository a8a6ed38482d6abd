package access

import (
	"encoding/hex"
	"math"
	"strconv"
	"strings"
)

// scalar is a value of a column in a form whose order is that of its type: hi first, then lo, then the texts.
type scalar struct {
	hi, lo int64
	a, b   string
}

// reader turns the text of a value, as PostgreSQL writes it, into one that compares. It returns false for any other
// text, and allocates nothing.
type reader func(text string) (scalar, bool)

// order says how two values of a type are ordered: below zero, zero, above zero. Where a type has no order that is known
// here, all that counts is whether it is zero. It returns false for what only PostgreSQL knows.
type order func(a, b scalar) (o int, sure bool)

// compareScalars is the order of every type but the two below.
func compareScalars(a, b scalar) (o int, sure bool) {
	switch {
	case a.hi != b.hi:
		return direction(a.hi < b.hi), true
	case a.lo != b.lo:
		return direction(a.lo < b.lo), true
	case a.a != b.a:
		return direction(a.a < b.a), true
	case a.b != b.b:
		return direction(a.b < b.b), true
	}
	return 0, true
}

// compareDecimals turns the order of the digits round where both are negative.
func compareDecimals(a, b scalar) (o int, sure bool) {
	if o, _ = compareScalars(a, b); a.hi == b.hi && a.hi < 0 {
		return -o, true
	}
	return o, true
}

// direction is below zero for less, and else above.
func direction(less bool) int {
	if less {
		return -1
	}
	return 1
}

// compareFolded returns the order of texts in which case does not count.
func compareFolded(how fold) order {
	return func(a, b scalar) (int, bool) {
		switch {
		case a.a == b.a:
			return 0, true // they are lowered to one text, whatever it is
		case how == foldAll, how == foldASCII && isASCII(a.a) && isASCII(b.a):
			return compareLowered(a.a, b.a), true
		}
		return 0, false
	}
}

func compareLowered(a, b string) int {
	for i := range min(len(a), len(b)) {
		if x, y := lowered(a[i]), lowered(b[i]); x != y {
			return direction(x < y)
		}
	}
	return len(a) - len(b)
}

func lowered(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

func readText(text string) (scalar, bool) { return scalar{a: text}, true }

// readPadded reads char(n): spaces at the end do not count.
func readPadded(text string) (scalar, bool) { return scalar{a: strings.TrimRight(text, " ")}, true }

// readBool reads what PostgreSQL writes, and what declarations do.
func readBool(text string) (scalar, bool) {
	switch text {
	case "t", "true":
		return scalar{hi: 1}, true
	case "f", "false":
		return scalar{}, true
	}
	return scalar{}, false
}

func readInt(text string) (scalar, bool) {
	n, ok := parseInt(text)
	return scalar{hi: n}, ok
}

// parseInt reads a decimal number with a sign before it or none. Unlike strconv's it allocates nothing for what is none.
func parseInt(s string) (n int64, ok bool) {
	digits, negative := s, false
	if s != "" && (s[0] == '+' || s[0] == '-') {
		digits, negative = s[1:], s[0] == '-'
	}
	if !isDigits(digits) {
		return 0, false
	}
	for i := range len(digits) { // below zero, where there is one value more
		d := int64(digits[i] - '0')
		if n < (math.MinInt64+d)/10 {
			return 0, false
		}
		n = n*10 - d
	}
	if negative {
		return n, true
	}
	return -n, n != math.MinInt64
}

// readFloat reads numbers of so many bits. NaN is above all others and equals itself, and zero has no sign.
func readFloat(bits int) reader {
	return func(text string) (scalar, bool) {
		f, err := strconv.ParseFloat(text, bits)
		switch {
		case err != nil:
			return scalar{}, false
		case math.IsNaN(f):
			return scalar{hi: math.MaxInt64}, true
		case f == 0:
			return scalar{}, true
		}
		n := int64(math.Float64bits(f))
		if n < 0 {
			n ^= math.MaxInt64
		}
		return scalar{hi: n}, true
	}
}

// readDecimal reads numeric: hi is the length of its whole part with the sign, and the texts are the digits.
func readDecimal(text string) (scalar, bool) {
	switch text {
	case "NaN":
		return scalar{hi: math.MaxInt64}, true
	case "Infinity":
		return scalar{hi: math.MaxInt64 - 1}, true
	case "-Infinity":
		return scalar{hi: math.MinInt64}, true
	}
	negative, whole, fraction, point := cutDecimal(text)
	if !isDigits(whole) || point && !isDigits(fraction) {
		return scalar{}, false
	}
	whole, fraction = strings.TrimLeft(whole, "0"), strings.TrimRight(fraction, "0")
	switch {
	case whole == "" && fraction == "":
		return scalar{}, true
	case negative:
		return scalar{hi: -1 - int64(len(whole)), a: whole, b: fraction}, true
	}
	return scalar{hi: 1 + int64(len(whole)), a: whole, b: fraction}, true
}

// readUUID reads the usual form, in either case. The order is that of the bytes.
func readUUID(text string) (scalar, bool) {
	if !isUUID(text) {
		return scalar{}, false
	}
	var half [2]uint64
	digits := 0
	for i := range len(text) {
		if text[i] != '-' {
			half[digits/16] = half[digits/16]<<4 | uint64(unhex(text[i]))
			digits++
		}
	}
	const top = 1 << 63 // so that signed numbers are ordered as unsigned ones
	return scalar{hi: int64(half[0] ^ top), lo: int64(half[1] ^ top)}, true
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return lowered(c) - 'a' + 10
}

// readBytes reads bytea as bytea_output=hex writes it: the order of its digits is that of the bytes.
func readBytes(text string) (scalar, bool) {
	digits, ok := strings.CutPrefix(text, `\x`)
	return scalar{a: digits}, ok
}

// literalBytes reads bytea as declarations have it: plain, or in hexadecimal.
func literalBytes(text string) (scalar, bool) {
	digits, ok := strings.CutPrefix(text, `\x`)
	if !ok {
		return scalar{a: hex.EncodeToString([]byte(text))}, !strings.Contains(text, `\`)
	}
	raw, err := hex.DecodeString(digits)
	return scalar{a: hex.EncodeToString(raw)}, err == nil
}

// readLabel reads the labels of an enum in their order. Those that were added since are not among them.
func readLabel(labels []string) reader {
	return func(text string) (scalar, bool) {
		for i, label := range labels {
			if label == text {
				return scalar{hi: int64(i)}, true
			}
		}
		return scalar{}, false
	}
}
