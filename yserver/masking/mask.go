package masking

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Redacted is what is shown of a value of which nothing is shown.
const Redacted = "[REDACTED]"

// Type is an algorithm of a mask, under its name in the configuration.
type Type string

// The types (spec: broadcast, masks).
const (
	// Email keeps the first characters of the local part and of the domain's
	// first label, and the rest of the domain: p***@e******.com.
	Email Type = "email"
	// Phone, SSN and CreditCard keep the last four digits of at least eight.
	Phone      Type = "phone"
	SSN        Type = "ssn"
	CreditCard Type = "creditCard"
	// Name keeps the first character of each word.
	Name Type = "name"
	// Redact shows nothing.
	Redact Type = "redact"
	// None shows everything, also of a column that looks like a secret.
	None Type = "none"
)

// ParseType returns the type with this name.
func ParseType(name string) (Type, error) {
	switch t := Type(name); t {
	case Email, Phone, SSN, CreditCard, Name, Redact, None:
		return t, nil
	}
	return "", fmt.Errorf("unknown mask %q: use email, phone, ssn, creditCard, name, redact or none", name)
}

// Text masks a text. An unknown type redacts.
func (t Type) Text(s string) string {
	masked, ok := "", false
	switch t {
	case None:
		return s
	case Email:
		masked, ok = maskEmail(s)
	case Phone, SSN, CreditCard:
		masked, ok = maskDigits(s)
	case Name:
		masked, ok = maskName(s)
	case Redact:
	}
	if !ok {
		return Redacted
	}
	return masked
}

// maskEmail splits at the last @, so that of a list of addresses all but the last
// domain is taken for a local part. A domain that could be none is not shown.
func maskEmail(s string) (string, bool) {
	at := strings.LastIndexByte(s, '@')
	if at <= 0 {
		return "", false
	}
	label, rest, dotted := strings.Cut(s[at+1:], ".")
	if label == "" || !isHost(label) || dotted && !isHost(rest) {
		return "", false
	}
	var b strings.Builder
	maskWord(&b, s[:at])
	b.WriteByte('@')
	maskWord(&b, label)
	if dotted {
		b.WriteByte('.')
		b.WriteString(rest)
	}
	return b.String(), true
}

// isHost reports whether s has only what names of hosts are written with.
func isHost(s string) bool {
	for _, c := range s {
		if c != '.' && c != '-' && !unicode.IsLetter(c) && !unicode.IsDigit(c) && !unicode.IsMark(c) || c == utf8.RuneError {
			return false
		}
	}
	return true
}

const (
	digitsShown = 4 // at the end
	digitsLeast = 8 // of less, none is shown
)

// maskDigits drops what is no digit: separators say where a number is from.
func maskDigits(s string) (string, bool) {
	digits := make([]byte, 0, len(s))
	for i := range len(s) {
		if s[i] >= '0' && s[i] <= '9' {
			digits = append(digits, s[i])
		}
	}
	hidden := len(digits)
	if hidden >= digitsLeast {
		hidden -= digitsShown
	}
	for i := range hidden {
		digits[i] = '*'
	}
	return string(digits), len(digits) > 0
}

// maskName masks word by word, with one space between them. A name with asterisks
// could mask to itself, so it is none.
func maskName(s string) (string, bool) {
	words := strings.Fields(s)
	if len(words) == 0 || strings.ContainsRune(s, '*') {
		return "", false
	}
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteByte(' ')
		}
		maskWord(&b, w)
	}
	return b.String(), true
}

// maskWord writes the first character and an asterisk for each other, one at
// least. s is not empty.
func maskWord(b *strings.Builder, s string) {
	_, size := utf8.DecodeRuneInString(s)
	b.WriteString(s[:size])
	for range max(1, utf8.RuneCountInString(s[size:])) {
		b.WriteByte('*')
	}
}
