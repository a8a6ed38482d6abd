package materialise

import (
	"context"
	"slices"

	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
)

// JSON returns a root as JSON text: what JSON.stringify makes of its toJSON() in Yjs, but that the keys of maps are sorted
// and a BigInt is written in digits. Text and XML are JSON strings. With kind Unknown the content tells the kind (Roots).
func (d *Document) JSON(ctx context.Context, root string, kind Kind) (text []byte, err error) {
	return d.render(ctx, root, kind, func(o *output, n *node, kind Kind) { d.writeJSON(o, n, kind, 0) })
}

// AllJSON returns all roots as one JSON object, each as JSON does with kind Unknown; those that hold nothing are left out.
func (d *Document) AllJSON(ctx context.Context) (text []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, d.lim.Time)
	defer cancel()
	defer guard(&err)
	o := newOutput(ctx, d.lim)
	o.raw("{")
	count := 0
	for _, r := range d.Roots() {
		if r.Length == 0 && r.Keys == 0 {
			continue
		}
		n, kind, err := d.lookup(r.Name, Unknown)
		if err != nil {
			return nil, err
		}
		o.comma(count)
		count++
		o.quoted(r.Name)
		o.raw(":")
		d.writeJSON(o, n, kind, 0)
		if o.err != nil {
			return nil, at(o.err, r.Name)
		}
	}
	o.raw("}")
	return o.buf, o.err
}

// render runs one rendering of a root within the limits.
func (d *Document) render(ctx context.Context, root string, kind Kind, fn func(o *output, n *node, kind Kind)) (b []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, d.lim.Time)
	defer cancel()
	defer guard(&err)
	n, kind, err := d.lookup(root, kind)
	if err != nil {
		return nil, err
	}
	o := newOutput(ctx, d.lim)
	fn(o, n, kind)
	if o.err == nil {
		o.err = ctx.Err()
	}
	if o.err != nil {
		return nil, at(o.err, root)
	}
	return o.buf, nil
}

// deep reports whether there is a level more, and fails if not.
func (d *Document) deep(o *output, depth int) bool {
	if depth > d.lim.Depth {
		o.fail(&LimitError{"depth", int64(d.lim.Depth)})
		return false
	}
	return o.ok()
}

// writeJSON writes what JSON.stringify(type) is.
func (d *Document) writeJSON(o *output, n *node, kind Kind, depth int) {
	if !d.deep(o, depth) {
		return
	}
	switch {
	case kind == Text:
		o.raw(`"`)
		n.text(func(s []byte) { o.inner(string(s)) })
		o.raw(`"`)
	case kind.isXML():
		inner := &output{max: o.max - int64(len(o.buf)), budget: o.budget}
		d.writeXML(inner, n, kind, depth)
		if inner.err != nil {
			o.fail(inner.err)
		}
		o.quoted(string(inner.buf))
	case kind == Array:
		d.writeList(o, n, depth)
	default:
		d.writeMap(o, n, depth)
	}
}

func (d *Document) writeList(o *output, n *node, depth int) {
	o.raw("[")
	count := 0
	for it := n.start; it != nil && o.ok(); it = it.right {
		if !it.counts() {
			continue
		}
		it.units(func(body []byte) bool {
			if it.kind == update.String { // each unit is a string of its own
				count += o.characters(body, count)
				return true
			}
			o.comma(count)
			count++
			d.writeUnit(o, it, body, depth)
			return o.ok()
		})
	}
	o.raw("]")
}

// characters writes the UTF-16 code units of a text as elements of a list.
func (o *output) characters(text []byte, before int) (count int) {
	for _, r := range string(text) {
		units := []rune{r}
		if r > 0xffff {
			r -= 0x10000
			units = []rune{0xd800 + r>>10, 0xdc00 + r&0x3ff}
		}
		for _, u := range units {
			o.comma(before + count)
			count++
			o.quoted(string(appendUnit(nil, u)))
		}
	}
	return count
}

// writeUnit writes one value of an item.
func (d *Document) writeUnit(o *output, it *item, body []byte, depth int) {
	switch it.kind {
	case update.Type:
		d.writeJSON(o, it.child, it.child.kind, depth+1)
	case update.Doc: // Doc.toJSON has the roots that were loaded, and none are
		o.raw("{}")
	default:
		o.json(unitValue(it.kind, body))
	}
}

// unitValue returns the value of one unit that is not a type.
func unitValue(kind update.Kind, body []byte) any {
	switch kind {
	case update.Any:
		return readAny(body)
	case update.JSON:
		return readJSON(textOf(body))
	case update.Embed:
		return readJSON(body)
	case update.Binary:
		return body
	case update.Format: // as the value of a key, which only a forged update has
		return lib0.Undefined{}
	default:
		return string(body)
	}
}

// lastUnit returns what counts of an item that is a value of a map.
func (it *item) lastUnit() (last []byte) {
	if it.kind == update.String {
		units := unitsOf(string(it.body))
		return appendUnit(nil, units[len(units)-1])
	}
	it.units(func(body []byte) bool {
		last = body
		return true
	})
	return last
}

// keys returns the keys that have a value, sorted.
func (n *node) keys() []string {
	return sortedKeys(n.entries, func(c *chain) bool { return c.last.live() })
}

// sortedKeys returns the keys whose values are of use, in the order of JavaScript.
func sortedKeys[V any](m map[string]V, use func(V) bool) []string {
	list := make([]string, 0, len(m))
	for key, v := range m {
		if use(v) {
			list = append(list, key)
		}
	}
	slices.SortFunc(list, compare)
	return list
}

func (d *Document) writeMap(o *output, n *node, depth int) {
	o.raw("{")
	count := 0
	for _, key := range n.keys() {
		it := n.value(key)
		body := it.lastUnit()
		if it.kind != update.Type && it.kind != update.Doc && isUndefined(unitValue(it.kind, body)) {
			continue
		}
		o.comma(count)
		count++
		o.quoted(key)
		o.raw(":")
		d.writeUnit(o, it, body, depth)
	}
	o.raw("}")
}
