package materialise

import (
	"bytes"
	"context"
	"strconv"
	"unicode/utf8"

	"github.com/yserverd/yserverd/protocol/lib0"
)

// output gathers a rendering within the limits. An error stays, and what is written after it is lost.
type output struct {
	buf    []byte
	max    int64
	budget budget
	err    error
}

func newOutput(ctx context.Context, lim Limits) *output {
	return &output{max: lim.Output, budget: budget{ctx: ctx}}
}

// ok reports whether there is a point in going on.
func (o *output) ok() bool {
	if o.err == nil {
		o.err = o.budget.step()
	}
	return o.err == nil
}

func (o *output) fail(err error) {
	if o.err == nil {
		o.err = err
	}
}

func (o *output) raw(s string) {
	if !o.ok() {
		return
	}
	if int64(len(o.buf)+len(s)) > o.max {
		o.fail(&LimitError{"output", o.max})
		return
	}
	o.buf = append(o.buf, s...)
}

func (o *output) bytes(b []byte) {
	if int64(len(o.buf)+len(b)) > o.max {
		o.fail(&LimitError{"output", o.max})
	}
	if o.ok() {
		o.buf = append(o.buf, b...)
	}
}

// wellFormed returns a text as a TextEncoder would write it: halves of a surrogate pair that met become the character, and
// others U+FFFD.
func wellFormed(b []byte) []byte {
	at := bytes.IndexByte(b, 0xed)
	if at < 0 {
		return b
	}
	out := append(make([]byte, 0, len(b)), b[:at]...)
	for at < len(b) {
		u, half := surrogate(b[at:])
		if !half {
			out = append(out, b[at])
			at++
			continue
		}
		at += 3
		if low, ok := surrogate(b[at:]); ok && u < 0xdc00 && low >= 0xdc00 {
			out = utf8.AppendRune(out, (u-0xd800)<<10+(low-0xdc00)+0x10000)
			at += 3
			continue
		}
		out = append(out, "\ufffd"...)
	}
	return out
}

const hexDigits = "0123456789abcdef"

// quoted writes a string as JSON.stringify does.
func (o *output) quoted(s string) {
	o.raw(`"`)
	o.inner(s)
	o.raw(`"`)
}

// inner writes a string without its quotation marks.
func (o *output) inner(s string) {
	from := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c != 0xed {
			continue
		}
		escape := ""
		next := i + 1
		switch c {
		case '"', '\\':
			escape = `\` + string(rune(c))
		case '\b':
			escape = `\b`
		case '\f':
			escape = `\f`
		case '\n':
			escape = `\n`
		case '\r':
			escape = `\r`
		case '\t':
			escape = `\t`
		case 0xed:
			u, ok := surrogate(s[i:])
			if !ok {
				continue
			}
			escape, next = `\u`+strconv.FormatInt(int64(u), 16), i+3
		default:
			escape = `\u00` + string(hexDigits[c>>4]) + string(hexDigits[c&15])
		}
		o.raw(s[from:i])
		o.raw(escape)
		from, i = next, next-1
	}
	o.raw(s[from:])
}

// json writes a value as JSON.stringify does, but for a BigInt, which is written as its digits where that would throw.
// Undefined is null, as it is in lists; objects leave such members out.
func (o *output) json(v any) {
	if !o.ok() {
		return
	}
	switch v := v.(type) {
	case string:
		o.quoted(v)
	case float64:
		if s := number(v); s[len(s)-1] > '9' { // NaN, Infinity
			o.raw("null")
		} else {
			o.raw(s)
		}
	case int64:
		o.raw(strconv.FormatInt(v, 10))
	case bool:
		o.raw(strconv.FormatBool(v))
	case []byte:
		o.raw("{")
		for i, b := range v {
			o.comma(i)
			o.raw(`"` + strconv.Itoa(i) + `":` + strconv.Itoa(int(b)))
		}
		o.raw("}")
	case []any:
		o.raw("[")
		for i, e := range v {
			o.comma(i)
			o.json(e)
		}
		o.raw("]")
	case lib0.Object:
		o.object(v)
	default:
		o.raw("null")
	}
}

func (o *output) object(v lib0.Object) {
	o.raw("{")
	n := 0
	for _, m := range v {
		if _, undefined := m.Value.(lib0.Undefined); undefined {
			continue
		}
		o.comma(n)
		n++
		o.quoted(m.Key)
		o.raw(":")
		o.json(m.Value)
	}
	o.raw("}")
}

// comma separates the members of a list.
func (o *output) comma(i int) {
	if i > 0 {
		o.raw(",")
	}
}

// text writes a value as String() gives it.
func (o *output) text(v any) {
	if !o.ok() {
		return
	}
	switch v := v.(type) {
	case nil:
		o.raw("null")
	case string:
		o.raw(v)
	case float64:
		o.raw(number(v))
	case int64:
		o.raw(strconv.FormatInt(v, 10))
	case bool:
		o.raw(strconv.FormatBool(v))
	case lib0.Undefined:
		o.raw("undefined")
	case []byte:
		for i, b := range v {
			o.comma(i)
			o.raw(strconv.Itoa(int(b)))
		}
	case []any:
		for i, e := range v {
			o.comma(i)
			if _, undefined := e.(lib0.Undefined); e != nil && !undefined {
				o.text(e)
			}
		}
	default:
		o.raw("[object Object]")
	}
}

// compare orders strings by their UTF-16 code units, as JavaScript does.
func compare(a, b string) int {
	switch {
	case a == b:
		return 0
	case less(a, b):
		return -1
	}
	return 1
}

// less reports whether a comes before b in that order.
func less(a, b string) bool {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	for i > 0 && i < len(a) && i < len(b) && (!utf8.RuneStart(a[i]) || !utf8.RuneStart(b[i])) {
		i--
	}
	if i == len(a) || i == len(b) {
		return len(a) < len(b)
	}
	ra, _ := utf8.DecodeRuneInString(a[i:])
	rb, _ := utf8.DecodeRuneInString(b[i:])
	// Beyond the basic plane units begin with a surrogate, which is less than the last of the plane's characters.
	if ra > 0xffff != (rb > 0xffff) {
		if ra > 0xffff {
			ra = 0xd800
		} else {
			rb = 0xd800
		}
	}
	return ra < rb
}
