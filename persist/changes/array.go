package changes

import "strings"

// maxDimensions is how many an array may have, PostgreSQL's MAXDIM.
const maxDimensions = 6

// appendArray appends the text of an array, {1,NULL,"a b"} with other arrays in it, as JSON. It reports whether it is one.
func appendArray(dst []byte, f form, text string) (_ []byte, ok bool) {
	if strings.HasPrefix(text, "[") { // lower bounds, [0:2]={…}
		_, array, ok := strings.Cut(text, "={")
		if !ok {
			return dst, false
		}
		text = "{" + array
	}
	p := arrayParser{dst: dst, form: f, rest: text}
	ok = p.array(1) && p.rest == ""
	return p.dst, ok
}

// arrayParser has what is left of an array's text.
type arrayParser struct {
	form form
	rest string
	dst  []byte
}

// accept takes a byte if it is the next.
func (p *arrayParser) accept(b byte) bool {
	if p.rest == "" || p.rest[0] != b {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

func (p *arrayParser) array(depth int) bool {
	if depth > maxDimensions || !p.accept('{') {
		return false
	}
	p.dst = append(p.dst, '[')
	if p.accept('}') {
		p.dst = append(p.dst, ']')
		return true
	}
	for {
		if !p.element(depth) {
			return false
		}
		switch {
		case p.accept('}'):
			p.dst = append(p.dst, ']')
			return true
		case p.accept(p.form.delimiter):
			p.dst = append(p.dst, ',')
		default:
			return false
		}
	}
}

func (p *arrayParser) element(depth int) bool {
	switch {
	case p.rest == "":
		return false
	case p.rest[0] == '{':
		return p.array(depth + 1)
	case p.rest[0] == '"':
		text, ok := p.quoted()
		if ok {
			p.dst = appendScalar(p.dst, p.form.shape, text)
		}
		return ok
	}
	end := strings.IndexAny(p.rest, string([]byte{p.form.delimiter, '}', '{', '"', '\\'}))
	if end <= 0 {
		return false
	}
	text := p.rest[:end]
	p.rest = p.rest[end:]
	if text == "NULL" {
		p.dst = append(p.dst, "null"...)
	} else {
		p.dst = appendScalar(p.dst, p.form.shape, text)
	}
	return true
}

// quoted takes an element in quotes, where a backslash makes the next byte one of the text.
func (p *arrayParser) quoted() (string, bool) {
	end := strings.IndexAny(p.rest[1:], `"\`) + 1
	if end == 0 {
		return "", false
	}
	if p.rest[end] == '"' { // nothing to take out
		text := p.rest[1:end]
		p.rest = p.rest[end+1:]
		return text, true
	}
	var text strings.Builder
	for i := 1; i < len(p.rest); i++ {
		switch b := p.rest[i]; b {
		case '"':
			p.rest = p.rest[i+1:]
			return text.String(), true
		case '\\':
			if i++; i < len(p.rest) {
				text.WriteByte(p.rest[i])
			}
		default:
			text.WriteByte(b)
		}
	}
	return "", false
}
