package materialise

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/yserverd/yserverd/protocol/update"
)

// outline writes down which units stand where, without their content: what two integrations of one state must agree on.
// Runs of clocks are joined, so that it makes no difference how items are cut; format marks are left out, since cleaning
// superfluous ones up is every implementation's own business.
type outline struct {
	buf      []byte
	run      span
	max      int64
	depth    int
	maxDepth int
	err      error
}

func newOutline(lim Limits) *outline { return &outline{max: lim.Output, maxDepth: lim.Depth} }

// unit adds a range of units of a list.
func (o *outline) unit(client, clock, n uint64) {
	if o.run.client == client && o.run.to == clock && o.run.to > o.run.from {
		o.run.to += n
		return
	}
	o.flush()
	o.run = span{client, clock, clock + n}
}

func (o *outline) flush() {
	if o.run.to > o.run.from {
		o.number('u', o.run.client, o.run.from, o.run.to)
	}
	o.run = span{}
}

func (o *outline) number(mark byte, numbers ...uint64) {
	o.buf = append(o.buf, mark)
	for _, n := range numbers {
		o.buf = binary.AppendUvarint(o.buf, n)
	}
	if int64(len(o.buf)) > o.max {
		o.fail(&LimitError{"output", o.max})
	}
}

// key adds a key of a map, of which the last unit is the given one.
func (o *outline) key(key string, client, clock uint64) {
	o.flush()
	o.number('k', uint64(len(key)))
	o.buf = append(o.buf, key...)
	o.number('v', client, clock)
}

// enter and leave enclose what is in a nested type.
func (o *outline) enter() bool {
	o.flush()
	o.number('(')
	if o.depth++; o.depth > o.maxDepth {
		o.fail(&LimitError{"depth", int64(o.maxDepth)})
	}
	return o.err == nil
}

func (o *outline) leave() {
	o.flush()
	o.depth--
	o.number(')')
}

func (o *outline) fail(err error) {
	if o.err == nil {
		o.err = err
	}
}

// outlineOf returns the outline of our own integration, roots that hold nothing left out.
func outlineOf(d *Document) ([]byte, error) {
	o := newOutline(d.lim)
	for _, name := range slices.Sorted(maps.Keys(d.roots)) {
		o.root(name, func() { d.outline(o, d.roots[name]) })
	}
	return o.buf, o.err
}

// root adds a root type unless it holds nothing.
func (o *outline) root(name string, fn func()) {
	before := len(o.buf)
	o.number('r', uint64(len(name)))
	o.buf = append(o.buf, name...)
	inside := len(o.buf)
	fn()
	if o.flush(); len(o.buf) == inside {
		o.buf = o.buf[:before]
	}
}

func (d *Document) outline(o *outline, n *node) {
	for it := n.start; it != nil && o.err == nil; it = it.right {
		if !it.counts() {
			continue
		}
		o.unit(it.id.Client, it.id.Clock, it.n)
		if it.kind == update.Type && o.enter() {
			d.outline(o, it.child)
			o.leave()
		}
	}
	for _, key := range n.keys() {
		if o.err != nil {
			return
		}
		it := n.value(key)
		o.key(key, it.id.Client, it.last().Clock)
		if it.kind == update.Type && o.enter() {
			d.outline(o, it.child)
			o.leave()
		}
	}
}
