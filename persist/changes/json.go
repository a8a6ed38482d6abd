package changes

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// AppendJSON appends a row as a JSON object with the columns at the given positions, or with all if columns is nil. What
// is Unknown is left out, and a nil row is null. Each value is written as AppendValue does.
func AppendJSON(dst []byte, rel *Relation, row []Value, columns []int) []byte {
	if row == nil {
		return append(dst, "null"...)
	}
	dst = append(dst, '{')
	start := len(dst)
	one := func(i int) {
		if row[i].Unknown {
			return
		}
		if len(dst) > start {
			dst = append(dst, ',')
		}
		dst = appendString(dst, rel.Columns[i].Name)
		dst = append(dst, ':')
		dst = AppendValue(dst, &rel.Columns[i], row[i])
	}
	if columns == nil {
		for i := range row {
			one(i)
		}
	}
	for _, i := range columns {
		one(i)
	}
	return append(dst, '}')
}

// AppendValue appends a value as JSON, the way to_json writes it (and so PostgREST, and Supabase Realtime but for what is
// no number):
//
//   - int2, int4, int8, float4, float8 and numeric are numbers with the digits that the database has. JavaScript's
//     JSON.parse rounds those above 2^53: a client that has such keys casts them to text in the table, or reads them with a
//     parser of its own. NaN, Infinity and -Infinity are strings.
//   - bool is true or false; json and jsonb are what they are, byte by byte.
//   - timestamp is 2006-01-02T15:04:05.999999 and timestamptz the same in UTC with +00:00 behind it; both may be infinity,
//     and end in BC.
//   - Arrays are arrays of their elements, nested by their dimensions; lower bounds are lost.
//   - All others are strings of PostgreSQL's text: date 2006-01-02, time, interval, bytea \x…, uuid, enums, ranges, inet.
//     Here to_json has more to say of composite types, of int2vector and oidvector, and of types with a cast to json of
//     their own, such as hstore.
//
// NULL is null, and so is Unknown, which callers leave out. What is not the text of its type becomes a string.
func AppendValue(dst []byte, c *Column, v Value) []byte {
	if v.Null || v.Unknown {
		return append(dst, "null"...)
	}
	if !c.form.array {
		return appendScalar(dst, c.form.shape, v.Text)
	}
	n := len(dst)
	if with, ok := appendArray(dst, c.form, v.Text); ok {
		return with
	}
	return appendString(dst[:n], v.Text)
}

// appendScalar appends what is no array.
func appendScalar(dst []byte, s shape, text string) []byte {
	switch s {
	case shapeBool:
		switch text {
		case "t":
			return append(dst, "true"...)
		case "f":
			return append(dst, "false"...)
		}
	case shapeNumber:
		if isNumber(text) {
			return append(dst, text...)
		}
	case shapeJSON:
		if json.Valid([]byte(text)) {
			return append(dst, text...)
		}
	case shapeTimestamp, shapeTimestampTZ:
		if day, rest, ok := strings.Cut(text, " "); ok {
			dst = append(dst, '"')
			dst = appendEscaped(dst, day)
			dst = append(dst, 'T')
			if s == shapeTimestampTZ {
				rest = withMinutes(rest)
			}
			dst = appendEscaped(dst, rest)
			return append(dst, '"')
		}
	}
	return appendString(dst, text)
}

// withMinutes adds them to a zone that has hours alone, as in 15:04:05+00 BC.
func withMinutes(text string) string {
	sign := strings.LastIndexAny(text, "+-")
	if sign < 0 || len(text) < sign+3 {
		return text
	}
	if zone := text[sign+3:]; zone == "" || zone[0] == ' ' {
		return text[:sign+3] + ":00" + zone
	}
	return text
}

// isNumber reports whether text is a number of JSON.
func isNumber(text string) bool {
	digits := func() bool {
		n := 0
		for n < len(text) && text[n] >= '0' && text[n] <= '9' {
			n++
		}
		text = text[n:]
		return n > 0
	}
	text = strings.TrimPrefix(text, "-")
	if len(text) > 1 && text[0] == '0' && text[1] >= '0' && text[1] <= '9' {
		return false
	}
	if !digits() {
		return false
	}
	if strings.HasPrefix(text, ".") {
		if text = text[1:]; !digits() {
			return false
		}
	}
	if text != "" && (text[0] == 'e' || text[0] == 'E') {
		text = text[1:]
		if text != "" && (text[0] == '+' || text[0] == '-') {
			text = text[1:]
		}
		if !digits() {
			return false
		}
	}
	return text == ""
}

func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	dst = appendEscaped(dst, s)
	return append(dst, '"')
}

const hexDigits = "0123456789abcdef"

// appendEscaped appends the inside of a JSON string. Bytes that are no UTF-8, as a database of SQL_ASCII may have them,
// become U+FFFD.
func appendEscaped(dst []byte, s string) []byte {
	start := 0
	for i := 0; i < len(s); {
		b := s[i]
		if b >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(dst, s[start:i]...)
				dst = append(dst, "\ufffd"...)
				start = i + 1
			}
			i += n
			continue
		}
		if b >= ' ' && b != '"' && b != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		switch b {
		case '"', '\\':
			dst = append(dst, '\\', b)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		case '\b':
			dst = append(dst, `\b`...)
		case '\f':
			dst = append(dst, `\f`...)
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
		}
		i++
		start = i
	}
	return append(dst, s[start:]...)
}
