package materialise

import (
	"strconv"
	"unicode/utf8"

	"github.com/yserverd/yserverd/protocol/lib0"
)

// Values are those of lib0.Reader.Any. Strings of JSON texts may have lone surrogates, which Go's have no form for: here they
// are three bytes each, as UTF-8 would have them if it did.

// readAny returns the value of a body of kind Any.
func readAny(body []byte) any {
	r := lib0.NewReader(body)
	v, _ := r.Any(lib0.MaxDepth)
	return v
}

// readJSON returns the value of a JSON text that the decoder has accepted.
func readJSON(text []byte) any {
	p := jsonParser{b: text}
	return p.value()
}

// isNull reports whether a JSON text is null.
func isNull(text []byte) bool {
	p := jsonParser{b: text}
	p.space()
	return p.at < len(text) && text[p.at] == 'n'
}

// jsonParser parses what lib0.CheckJSON has found to be JSON.
type jsonParser struct {
	b  []byte
	at int
}

func (p *jsonParser) space() {
	for p.at < len(p.b) && (p.b[p.at] == ' ' || p.b[p.at] == '\t' || p.b[p.at] == '\n' || p.b[p.at] == '\r') {
		p.at++
	}
}

// skip passes a byte that must be there, and the white space around it.
func (p *jsonParser) skip() {
	p.at++
	p.space()
}

func (p *jsonParser) value() any {
	p.space()
	switch c := p.b[p.at]; c {
	case '{':
		return p.object()
	case '[':
		return p.array()
	case '"':
		return p.text()
	case 't':
		p.at += len("true")
		return true
	case 'f':
		p.at += len("false")
		return false
	case 'n':
		p.at += len("null")
		return nil
	case 'u': // only kind JSON has it
		p.at += len("undefined")
		return lib0.Undefined{}
	}
	start := p.at
	for p.at < len(p.b) && (p.b[p.at] >= '0' && p.b[p.at] <= '9' || p.b[p.at] == '-' || p.b[p.at] == '+' || p.b[p.at] == '.' || p.b[p.at]|0x20 == 'e') {
		p.at++
	}
	f, _ := strconv.ParseFloat(string(p.b[start:p.at]), 64) // out of range is an infinity, as in JavaScript
	return f
}

func (p *jsonParser) array() any {
	list := []any{}
	p.skip()
	for p.b[p.at] != ']' {
		list = append(list, p.value())
		if p.space(); p.b[p.at] == ',' {
			p.skip()
		}
	}
	p.at++
	return list
}

func (p *jsonParser) object() any {
	o := lib0.Object{}
	index := make(map[string]int)
	p.skip()
	for p.b[p.at] != '}' {
		key := p.text()
		p.space()
		p.skip() // the colon
		v := p.value()
		if i, twice := index[key]; twice { // the last counts, at the place of the first
			o[i].Value = v
		} else {
			index[key] = len(o)
			o = append(o, lib0.Member{Key: key, Value: v})
		}
		if p.space(); p.b[p.at] == ',' {
			p.skip()
		}
	}
	p.at++
	return o
}

// text parses a string.
func (p *jsonParser) text() string {
	p.at++
	start := p.at
	for p.b[p.at] != '"' && p.b[p.at] != '\\' {
		p.at++
	}
	if p.b[p.at] == '"' {
		p.at++
		return string(p.b[start : p.at-1])
	}
	s := append([]byte(nil), p.b[start:p.at]...)
	for p.b[p.at] != '"' {
		c := p.b[p.at]
		p.at++
		if c != '\\' {
			s = append(s, c)
			continue
		}
		c = p.b[p.at]
		p.at++
		switch c {
		case 'b', 'f', 'n', 'r', 't':
			s = append(s, map[byte]byte{'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}[c])
		case 'u':
			s = appendUnit(s, p.hex())
		default:
			s = append(s, c)
		}
	}
	p.at++
	return string(s)
}

func (p *jsonParser) hex() rune {
	n, _ := strconv.ParseUint(string(p.b[p.at:p.at+4]), 16, 16)
	p.at += 4
	return rune(n)
}

// appendUnit appends a UTF-16 code unit, which may complete a surrogate pair at the end of s.
func appendUnit(s []byte, u rune) []byte {
	if u >= 0xdc00 && u <= 0xdfff {
		if high, ok := surrogate(s[max(0, len(s)-3):]); ok && high < 0xdc00 {
			return utf8.AppendRune(s[:len(s)-3], (high-0xd800)<<10+(u-0xdc00)+0x10000)
		}
	}
	if u >= 0xd800 && u <= 0xdfff {
		return append(s, 0xe0|byte(u>>12), 0x80|byte(u>>6)&0x3f, 0x80|byte(u)&0x3f)
	}
	return utf8.AppendRune(s, u)
}

// surrogate returns the lone surrogate that s begins with.
func surrogate[S string | []byte](s S) (rune, bool) {
	if len(s) < 3 || s[0] != 0xed || s[1] < 0xa0 || s[1] > 0xbf {
		return 0, false
	}
	return 0xd000 | rune(s[1]&0x3f)<<6 | rune(s[2]&0x3f), true
}

// number returns a number as JavaScript writes it.
func number(f float64) string {
	switch {
	case f != f:
		return "NaN"
	case f > maxFloat:
		return "Infinity"
	case f < -maxFloat:
		return "-Infinity"
	case f == 0:
		return "0"
	}
	if abs := max(f, -f); abs >= 1e21 || abs < 1e-6 {
		b := strconv.AppendFloat(nil, f, 'e', -1, 64)
		if n := len(b); b[n-2] == '0' && (b[n-3] == '-' || b[n-3] == '+') { // e-09 is e-9 there
			b[n-2] = b[n-1]
			b = b[:n-1]
		}
		return string(b)
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

const maxFloat = 1.79769313486231570814527423731704356798070e+308
