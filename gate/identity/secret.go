package identity

import (
	"crypto/sha256"
	"crypto/subtle"
	"unicode"
	"unicode/utf8"
)

const (
	maxToken = 4 << 10  // longest session token and API key, in bytes
	maxJWT   = 16 << 10 // longest JWT and ticket, in bytes
)

// sameDigest compares digests in constant time.
func sameDigest(a, b [sha256.Size]byte) bool { return subtle.ConstantTimeCompare(a[:], b[:]) == 1 }

// sameText compares secrets by their digests, so that neither their bytes nor their lengths show in the time it takes.
func sameText(a, b string) bool {
	return sameDigest(sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b)))
}

// isPlain reports whether a string is UTF-8 without control characters: a database takes it as text.
func isPlain(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return false
		}
	}
	return true
}
