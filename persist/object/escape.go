package object

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// escape returns a segment of a path for any string but the empty one, another for each: bytes other than letters, digits,
// "-", "_" and a dot that is not the first become %XX. What would be longer than longestSpoken becomes "~" and its SHA-256;
// "~" is in no other segment.
func escape(s string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case plain(c) || c == '.' && i > 0:
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
		if b.Len() > longestSpoken {
			sum := sha256.Sum256([]byte(s))
			return "~" + hex.EncodeToString(sum[:])
		}
	}
	return b.String()
}

// isEscaped reports whether escape returns a segment.
func isEscaped(s string) bool {
	if rest, ok := strings.CutPrefix(s, "~"); ok {
		_, err := parseSum(rest)
		return err == nil
	}
	spoken, ok := unescape(s)
	return ok && s != "" && escape(spoken) == s
}

// unescape reads what escape has not hashed.
func unescape(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		c, err := hex.DecodeString(s[i+1 : i+3])
		if err != nil {
			return "", false
		}
		b.WriteByte(c[0])
		i += 2
	}
	return b.String(), true
}

// plain reports whether a byte stands for itself in any place.
func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}
