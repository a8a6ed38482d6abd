package materialise

import (
	"slices"
	"unicode/utf8"

	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
)

// copyPieces writes pieces of another document at a place, with marks for their formats, and at the end those that lead over
// to what follows.
func (t *Tx) copyPieces(c *cursor, list []piece, after *attributes, depth int) error {
	if depth > t.doc.lim.Depth {
		return &LimitError{"depth", int64(t.doc.lim.Depth)}
	}
	for len(list) > 0 {
		p := list[0]
		if err := c.lead(p.attrs); err != nil {
			return err
		}
		n := 1
		body, units := p.body, p.units()
		if kind := p.it.kind; kind == update.String || kind == update.Any || kind == update.JSON {
			body = slices.Clone(body)
			for n < len(list) && list[n].it.kind == kind && list[n].attrs.equal(p.attrs) {
				body = append(body, list[n].body...)
				units += list[n].units()
				n++
			}
		}
		it, err := c.put(p.it.kind, body, units)
		if err != nil {
			return err
		}
		if p.it.kind == update.Type {
			if err := t.copyNode(it.child, p.it.child, depth+1); err != nil {
				return err
			}
		}
		list = list[n:]
	}
	return c.lead(after)
}

// lead writes the marks that turn the formats in effect into others.
func (c *cursor) lead(to *attributes) error {
	from := c.attrs
	if from.equal(to) {
		return nil
	}
	for _, a := range from.list {
		if to.get(a.key) == "null" {
			if err := c.mark(a.key, "null"); err != nil {
				return err
			}
		}
	}
	for _, a := range to.list {
		if from.get(a.key) != a.value {
			if err := c.mark(a.key, a.value); err != nil {
				return err
			}
		}
	}
	return nil
}

// mark writes one format mark.
func (c *cursor) mark(key, value string) error {
	body := lib0.AppendVarString(lib0.AppendVarString(nil, key), value)
	_, err := c.put(update.Format, body, 1)
	return err
}

// copyNode fills a new type with the content of another.
func (t *Tx) copyNode(to, from *node, depth int) error {
	if depth > t.doc.lim.Depth {
		return &LimitError{"depth", int64(t.doc.lim.Depth)}
	}
	for _, key := range from.keys() {
		it := from.value(key)
		if err := t.copyValue(to, key, piece{it: it, body: it.lastUnit(), attrs: noAttributes}, depth); err != nil {
			return err
		}
	}
	list, err := pieces(t.doc, &t.budget, from)
	if err != nil {
		return err
	}
	c, err := t.at(to, 0)
	if err != nil {
		return err
	}
	return t.copyPieces(c, list, noAttributes, depth)
}

// copyValue makes a unit of another document the value of a key.
func (t *Tx) copyValue(to *node, key string, p piece, depth int) error {
	if p.it.kind == update.String && !utf8.Valid(p.body) {
		return &UnsupportedError{What: "a map value that is half a surrogate pair"}
	}
	it, err := t.putValue(to, key, p.it.kind, p.body)
	if err != nil || p.it.kind != update.Type {
		return err
	}
	return t.copyNode(it.child, p.it.child, depth+1)
}
