package materialise

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
)

// XML returns a root as toString() of Y.XmlFragment, Y.XmlElement and Y.XmlText does, which escapes nothing. Kind Unknown
// reads it as a fragment, unless its content tells that it is another.
func (d *Document) XML(ctx context.Context, root string, kind Kind) (text []byte, err error) {
	if kind == Unknown && d.roots[root] != nil {
		kinds := d.describe(d.roots[root]).Kinds
		if i := slices.IndexFunc(kinds, Kind.isXML); i >= 0 {
			kind = kinds[i]
		} else if len(kinds) == 0 {
			kind = Fragment
		}
	}
	return d.render(ctx, root, kind, func(o *output, n *node, kind Kind) {
		if !kind.isXML() {
			o.fail(&UnsupportedError{What: "XML of a root of kind " + kind.String(), Root: root})
			return
		}
		d.writeXML(o, n, kind, 0)
		o.buf = wellFormed(o.buf)
	})
}

func isUndefined(v any) bool {
	_, ok := v.(lib0.Undefined)
	return ok
}

// writeXML writes toString() of a type.
func (d *Document) writeXML(o *output, n *node, kind Kind, depth int) {
	if !d.deep(o, depth) {
		return
	}
	switch kind {
	case Text:
		n.text(o.bytes)
	case XMLText:
		d.runs(o, n, func(r run) { d.writeFormatted(o, r, depth) })
	case Fragment:
		d.writeChildren(o, n, depth)
	case Element:
		name := "undefined" // a root has none
		if n.kind == Element {
			name = lower(n.name)
		}
		o.raw("<")
		o.raw(name)
		for _, key := range n.keys() {
			it := n.value(key)
			o.raw(" ")
			o.raw(key)
			o.raw(`="`)
			d.writeString(o, it, it.lastUnit(), depth)
			o.raw(`"`)
		}
		o.raw(">")
		d.writeChildren(o, n, depth)
		o.raw("</")
		o.raw(name)
		o.raw(">")
	default:
		o.raw("[object Object]")
	}
}

// writeChildren writes the content of a fragment or element.
func (d *Document) writeChildren(o *output, n *node, depth int) {
	for it := n.start; it != nil && o.ok(); it = it.right {
		if !it.counts() {
			continue
		}
		it.units(func(body []byte) bool {
			if o.child(it, body) {
				d.writeString(o, it, body, depth)
			}
			return o.ok()
		})
	}
}

// writeString writes String() of one value.
func (d *Document) writeString(o *output, it *item, body []byte, depth int) {
	switch it.kind {
	case update.Type:
		d.writeXML(o, it.child, it.child.kind, depth+1)
	case update.Doc:
		o.raw("[object Object]")
	default:
		o.text(unitValue(it.kind, body))
	}
}

// child reports whether a value has a toString, and fails if not.
func (o *output) child(it *item, body []byte) bool {
	if it.kind == update.Type || it.kind == update.Doc {
		return true
	}
	if v := unitValue(it.kind, body); v == nil || isUndefined(v) {
		o.fail(&UnsupportedError{What: "a null among the children of an XML type, on which Yjs throws"})
		return false
	}
	return true
}

// writeFormatted writes a run of an XML text: its formats are elements around it, their values the attributes.
func (d *Document) writeFormatted(o *output, r run, depth int) {
	for _, at := range r.attrs.list {
		o.raw("<")
		o.raw(at.key)
		for _, m := range members(readJSON([]byte(at.value))) {
			o.raw(" ")
			o.raw(m.Key)
			o.raw(`="`)
			o.text(m.Value)
			o.raw(`"`)
		}
		o.raw(">")
	}
	if r.text != nil {
		o.bytes(r.text)
	} else {
		d.writeString(o, r.item, r.item.body, depth)
	}
	for _, at := range slices.Backward(r.attrs.list) {
		o.raw("</")
		o.raw(at.key)
		o.raw(">")
	}
}

// members returns what a loop over the keys of a value finds, sorted by key.
func members(v any) lib0.Object {
	var list lib0.Object
	switch v := v.(type) {
	case lib0.Object:
		list = slices.Clone(v)
	case []any:
		for i, e := range v {
			list = append(list, lib0.Member{Key: strconv.Itoa(i), Value: e})
		}
	case string:
		for _, unit := range unitsOf(v) {
			list = append(list, lib0.Member{Key: strconv.Itoa(len(list)), Value: string(appendUnit(nil, unit))})
		}
	}
	slices.SortFunc(list, func(a, b lib0.Member) int { return compare(a.Key, b.Key) })
	return list
}

// unitsOf returns the UTF-16 code units of a string.
func unitsOf(s string) (units []rune) {
	for i := 0; i < len(s); {
		if u, ok := surrogate(s[i:]); ok {
			units = append(units, u)
			i += 3
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		i += n
		if r > 0xffff {
			r -= 0x10000
			units = append(units, 0xd800+r>>10, 0xdc00+r&0x3ff)
		} else {
			units = append(units, r)
		}
	}
	return units
}

// lower is toLowerCase of JavaScript, which has two rules more than Go: a dotted capital I keeps its dot, and a sigma that
// ends a word is another letter.
func lower(s string) string {
	if !strings.ContainsAny(s, "İΣ") {
		return strings.ToLower(s)
	}
	runes := []rune(s)
	var b strings.Builder
	for i, r := range runes {
		switch {
		case r == 'İ':
			b.WriteString("i\u0307")
		case r == 'Σ' && cased(runes[:i], true) && !cased(runes[i+1:], false):
			b.WriteRune('ς')
		default:
			b.WriteRune(unicode.ToLower(r))
		}
	}
	return b.String()
}

// cased reports whether the nearest character is a letter with case, marks and the like passed over.
func cased(runes []rune, backward bool) bool {
	if backward {
		runes = slices.Clone(runes)
		slices.Reverse(runes)
	}
	for _, r := range runes {
		if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf, unicode.Lm, unicode.Sk) || strings.ContainsRune("'.:·’", r) {
			continue
		}
		return unicode.IsUpper(r) || unicode.IsLower(r) || unicode.IsTitle(r)
	}
	return false
}
