package materialise

import (
	"context"
	"encoding/binary"
	"slices"

	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
)

// Text returns the characters of a root that is a text, without formats and embeds, as toString() of Y.Text does.
func (d *Document) Text(ctx context.Context, root string) (text []byte, err error) {
	return d.render(ctx, root, Text, func(o *output, n *node, _ Kind) { n.text(o.bytes) })
}

// Delta returns a root that is a text as a delta in JSON: what JSON.stringify makes of toDelta(), attributes
// sorted. A type among the text is what its toJSON is.
func (d *Document) Delta(ctx context.Context, root string) (delta []byte, err error) {
	return d.render(ctx, root, Text, func(o *output, n *node, _ Kind) {
		o.raw("[")
		count := 0
		d.runs(o, n, func(r run) {
			o.comma(count)
			count++
			o.raw(`{"insert":`)
			if r.text != nil {
				o.quoted(string(r.text))
			} else {
				d.writeUnit(o, r.item, r.item.body, 0)
			}
			if len(r.attrs.list) > 0 {
				o.raw(`,"attributes":`)
				o.attributes(r.attrs)
			}
			o.raw("}")
		})
		o.raw("]")
	})
}

// text calls fn with the text of the list.
func (n *node) text(fn func([]byte)) {
	for it := n.start; it != nil; it = it.right {
		if it.live() && it.kind == update.String {
			fn(it.body)
		}
	}
}

// textOf returns the text of an encoded string.
func textOf(body []byte) []byte {
	r := lib0.NewReader(body)
	b, _ := r.VarBytes()
	return b
}

// mark returns the key and the JSON text of the value of a format mark.
func (it *item) mark() (key string, value []byte) {
	r := lib0.NewReader(it.body)
	k, _ := r.VarString()
	v, _ := r.VarString()
	return string(k), v
}

// attribute is one format, its value as JSON text.
type attribute struct {
	key   string
	value string
}

// attributes is the set of formats in effect at some place of a text, sorted by key. It does not change: sets are shared.
type attributes struct {
	list []attribute
	id   string // equal for equal sets
}

var noAttributes = &attributes{}

// with returns the set with one format set, or removed where the value is null.
func (a *attributes) with(key string, value []byte) *attributes {
	i, has := slices.BinarySearchFunc(a.list, key, func(at attribute, key string) int { return compare(at.key, key) })
	gone := isNull(value)
	if gone && !has || has && !gone && a.list[i].value == string(value) {
		return a
	}
	b := &attributes{list: slices.Clone(a.list)}
	switch {
	case gone:
		b.list = slices.Delete(b.list, i, i+1)
	case has:
		b.list[i].value = string(value)
	default:
		b.list = slices.Insert(b.list, i, attribute{key, string(value)})
	}
	if len(b.list) == 0 {
		return noAttributes
	}
	size := 0
	for _, at := range b.list {
		size += len(at.key) + len(at.value) + 10
	}
	id := make([]byte, 0, size)
	for _, at := range b.list {
		id = append(binary.AppendUvarint(id, uint64(len(at.key))), at.key...)
		id = append(binary.AppendUvarint(id, uint64(len(at.value))), at.value...)
	}
	b.id = string(id)
	return b
}

// get returns the value of a format, "null" where there is none.
func (a *attributes) get(key string) string {
	for _, at := range a.list {
		if at.key == key {
			return at.value
		}
	}
	return "null"
}

func (a *attributes) equal(b *attributes) bool { return a == b || a.id == b.id }

// attributes writes formats as an object.
func (o *output) attributes(a *attributes) {
	o.raw("{")
	for i, at := range a.list {
		o.comma(i)
		o.quoted(at.key)
		o.raw(":")
		o.json(readJSON([]byte(at.value)))
	}
	o.raw("}")
}

// run is a piece of a delta: text, or one embed or type.
type run struct {
	text  []byte
	item  *item // without text
	attrs *attributes
}

// runs calls fn with what toDelta has: it ends a text at every format mark, even at one that changes nothing.
func (d *Document) runs(o *output, n *node, fn func(run)) {
	attrs := noAttributes
	var text run
	flush := func() {
		if text.text != nil {
			fn(text)
		}
		text = run{}
	}
	var spent int64
	for it := n.start; it != nil && o.ok(); it = it.right {
		if !it.live() {
			continue
		}
		switch it.kind {
		case update.String:
			if text.text == nil {
				text = run{text: it.body[:len(it.body):len(it.body)], attrs: attrs}
			} else {
				text.text = append(text.text, it.body...)
			}
		case update.Embed, update.Type:
			flush()
			fn(run{item: it, attrs: attrs})
		case update.Format:
			flush()
			attrs = attrs.with(it.mark())
			if spent += int64(len(attrs.id)); spent > d.lim.Output {
				o.fail(&LimitError{"output", d.lim.Output})
			}
		}
	}
	flush()
}
