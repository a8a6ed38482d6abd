package access

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/yserverd/yserverd/gate"
)

// family is what a type of PostgreSQL is to comparisons.
type family uint8

const (
	familyOther   family = iota // literals only: dates, JSON, arrays and the rest
	familyText                  // text, varchar, citext: any text is a value
	familyPadded                // char(n): spaces at the end do not count
	familyAsText                // name, "char": a cast to them cuts, so they are compared as texts
	familyEnum                  // a cast to it may fail, so what is not known before is compared with its text
	familyUUID                  //
	familyInt2                  //
	familyInt4                  //
	familyInt8                  //
	familyNumeric               //
	familyFloat                 // literals only: a float is no key and no id
	familyBool                  // literals only
)

// kind is the type of a column, domains resolved.
type kind struct {
	family family
	schema string // of the type
	name   string
}

// sql returns the type as SQL names it, for casts. Type modifiers are left out: a cast to varchar(3) would cut.
func (k kind) sql() string { return quote(k.schema, k.name) }

// typeInfo is what the catalogue says of a type.
type typeInfo struct {
	schema, name string
	class        string // pg_type.typtype: b base, e enum, …
}

// kindOf sorts a type into its family.
func kindOf(t typeInfo) kind {
	k := kind{schema: t.schema, name: t.name}
	switch {
	case t.class == "e":
		k.family = familyEnum
	case t.name == "citext" && t.class == "b":
		k.family = familyText
	case t.schema == "pg_catalog":
		k.family = families[t.name]
	}
	return k
}

// families are those of pg_catalog's own types. What is missing is familyOther.
var families = map[string]family{
	"text": familyText, "varchar": familyText, "bpchar": familyPadded, "name": familyAsText, "char": familyAsText,
	"uuid": familyUUID, "int2": familyInt2, "int4": familyInt4, "int8": familyInt8, "numeric": familyNumeric,
	"float4": familyFloat, "float8": familyFloat, "bool": familyBool,
}

// numeric reports whether numbers are the literals of the family.
func (f family) numeric() bool {
	switch f {
	case familyInt2, familyInt4, familyInt8, familyNumeric, familyFloat:
		return true
	}
	return false
}

// dynamic reports whether a text that is not known before (a room's id, a user's) can be compared with the family.
func (f family) dynamic() bool {
	return f != familyOther && f != familyFloat && f != familyBool
}

// accepts reports whether a text that came from outside is a value of the family, so that the cast cannot fail. A text
// that is none equals no value. Other spellings of a value pass where the type has them (07, an upper-case uuid).
func (f family) accepts(s string) bool {
	if s == "" || len(s) > gate.MaxRoomID || strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s) {
		return false
	}
	switch f {
	case familyText, familyAsText, familyEnum:
		return true
	case familyPadded:
		return s[len(s)-1] != ' '
	case familyUUID:
		return isUUID(s)
	case familyInt2:
		return isInt(s, 16)
	case familyInt4:
		return isInt(s, 32)
	case familyInt8:
		return isInt(s, 64)
	case familyNumeric:
		return isDecimal(s)
	}
	return false
}

func isInt(s string, bits int) bool {
	n, ok := parseInt(s)
	return ok && n>>(bits-1) == n>>63
}

// isUUID knows the usual form alone, in either case: braces and missing hyphens are PostgreSQL's own.
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		hyphen := i == 8 || i == 13 || i == 18 || i == 23
		if hyphen != (s[i] == '-') || !hyphen && !isHex(s[i]) {
			return false
		}
	}
	return true
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// isDecimal knows digits with a sign before them and a point between them.
func isDecimal(s string) bool {
	_, whole, fraction, point := cutDecimal(s)
	return isDigits(whole) && (!point || isDigits(fraction))
}

// cutDecimal cuts a number at its sign and its point, without a look at the rest.
func cutDecimal(s string) (negative bool, whole, fraction string, point bool) {
	if s != "" && (s[0] == '+' || s[0] == '-') {
		negative, s = s[0] == '-', s[1:]
	}
	whole, fraction, point = strings.Cut(s, ".")
	return negative, whole, fraction, point
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// literalText returns a literal as PostgreSQL reads it, and false for one that no operand can be.
func literalText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, utf8.ValidString(v) && strings.IndexByte(v, 0) < 0
	case bool:
		return strconv.FormatBool(v), true
	case int:
		return strconv.Itoa(v), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case uint64:
		return strconv.FormatUint(v, 10), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), !math.IsNaN(v) && !math.IsInf(v, 0)
	}
	return "", false
}

// literalFits reports whether a literal may be compared with the family: a number with numbers, a bool with bools, and
// a text with everything but those, and with numbers for those that YAML cannot hold. Whether the text is a value of
// the type is the database's to say.
func literalFits(v any, f family) bool {
	switch v.(type) {
	case string:
		return f != familyBool
	case bool:
		return f == familyBool
	}
	return f.numeric()
}

// ctxValue returns the caller's value of an operand, empty if it has none. Names that are none have none.
func ctxValue(id *gate.Identity, name string) string {
	if !id.Authenticated() {
		return ""
	}
	switch name {
	case CtxUserID:
		return id.UserID
	case CtxActiveOrgID:
		return id.OrgID
	case CtxActiveTeamID:
		return id.TeamID
	case CtxUserRole:
		return id.UserRole
	}
	return ""
}

// isCtx reports whether an operand may name it.
func isCtx(name string) bool {
	switch name {
	case CtxUserID, CtxActiveOrgID, CtxActiveTeamID, CtxUserRole:
		return true
	}
	return false
}
