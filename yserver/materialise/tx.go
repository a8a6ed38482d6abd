package materialise

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
)

// Tx is one edit under way: a document of its own, what was made and what was deleted. It is valid inside of the function
// that got it, on that goroutine. After an error of any of its methods the whole edit is given up.
type Tx struct {
	doc     *Document
	client  uint64
	first   uint64 // clock
	clock   uint64
	made    []*item
	deletes []span
	size    int64 // of what was made, about
	budget  budget
	kinds   map[*node][]Kind // of roots that were edited
	target  *Document        // of a replacement
}

// newTx begins an edit by the given client, or by one that the state does not have.
func newTx(ctx context.Context, d *Document, client uint64) *Tx {
	if d.pending || client == 0 || client > lib0.MaxInteger {
		client = fresh(d)
	}
	clock := d.known[client]
	return &Tx{doc: d, client: client, first: clock, clock: clock, kinds: make(map[*node][]Kind), budget: budget{ctx: ctx}}
}

// fresh returns a random client id that the state has nothing of, 32 bits as Yjs makes them.
func fresh(d *Document) uint64 {
	for {
		id := uint64(rand.Uint32())
		if _, taken := d.known[id]; id != 0 && !taken {
			return id
		}
	}
}

// put makes an item right of left, or first, in the list of a type.
func (t *Tx) put(parent *node, left *item, kind update.Kind, body []byte, n uint64) (*item, error) {
	right := parent.start
	if left != nil {
		right = left.right
	}
	it, err := t.make(parent, left, kind, body, n)
	if err != nil {
		return nil, err
	}
	if it.right = right; right != nil {
		it.right0 = right.id
		it.flags |= hasRight
		right.left = it
	}
	if it.left = left; left != nil {
		left.right = it
	} else {
		parent.start = it
	}
	return it, nil
}

// putValue makes an item the value of a key; what was there before is deleted.
func (t *Tx) putValue(parent *node, key string, kind update.Kind, body []byte) (*item, error) {
	var left *item
	if c := parent.entries[key]; c != nil {
		left = c.last
	}
	it, err := t.make(parent, left, kind, body, 1)
	if err != nil {
		return nil, err
	}
	it.key = key
	it.flags |= hasKey
	if left != nil {
		t.remove(left)
		left.right, it.left = it, left
	}
	t.doc.linkValue(it, it)
	return it, nil
}

// make makes an item that is in no list yet.
func (t *Tx) make(parent *node, left *item, kind update.Kind, body []byte, n uint64) (*item, error) {
	if err := t.budget.step(); err != nil {
		return nil, err
	}
	if t.size += int64(len(body)) + 16; t.size > t.doc.lim.Output {
		return nil, &LimitError{"output", t.doc.lim.Output}
	}
	it := &item{id: update.ID{Client: t.client, Clock: t.clock}, n: n, kind: kind, body: body, parent: parent}
	if left != nil {
		it.origin = left.last()
		it.flags |= hasOrigin
	}
	if kind == update.Type {
		it.child = newNode(it)
	}
	t.clock += n
	t.made = append(t.made, it)
	return it, nil
}

// remove deletes an item.
func (t *Tx) remove(it *item) {
	if it.live() {
		t.deletes = append(t.deletes, span{it.id.Client, it.id.Clock, it.end()})
		it.remove()
	}
}

// split cuts an item so that it keeps the units before at, and returns what follows. A surrogate pair is not cut.
func (t *Tx) split(it *item, at uint64) (*item, error) {
	if it.kind == update.String {
		if _, half := lib0.UTF16Offset(it.body, at); half {
			return nil, fmt.Errorf("within a surrogate pair: %w", ErrRange)
		}
	}
	c := cutter{kind: it.kind, rest: it.body}
	right := &item{
		id: update.ID{Client: it.id.Client, Clock: it.id.Clock + at}, n: it.n - at, kind: it.kind, parent: it.parent,
		key: it.key, flags: it.flags | hasOrigin, right0: it.right0,
	}
	it.n = at
	it.body = c.next(at)
	right.body = c.next(right.n)
	right.origin = it.last()
	right.left, right.right = it, it.right
	if it.right != nil {
		it.right.left = right
	}
	it.right = right
	if i := int64(it.id.Clock) - int64(t.first); it.id.Client == t.client && i >= 0 {
		t.made = append(t.made, right)
	}
	return right, nil
}

// cursor is a place between two items of a list, with the formats in effect there (ItemTextListPosition in Yjs).
type cursor struct {
	tx          *Tx
	node        *node
	left, right *item
	attrs       *attributes
}

// at returns the place behind the given number of units.
func (t *Tx) at(n *node, index uint64) (*cursor, error) {
	c := &cursor{tx: t, node: n, right: n.start, attrs: noAttributes}
	return c, c.move(index)
}

// move goes over units, and ends right behind the last.
func (c *cursor) move(count uint64) error {
	for count > 0 {
		if c.right == nil {
			return fmt.Errorf("%d units past the end: %w", count, ErrRange)
		}
		if c.right.counts() {
			if count < c.right.n {
				if _, err := c.tx.split(c.right, count); err != nil {
					return err
				}
			}
			count -= c.right.n
		}
		if err := c.forward(); err != nil {
			return err
		}
	}
	return nil
}

// forward goes over one item.
func (c *cursor) forward() error {
	if c.right.live() && c.right.kind == update.Format {
		c.attrs = c.attrs.with(c.right.mark())
	}
	c.left, c.right = c.right, c.right.right
	return c.tx.budget.step()
}

// put makes an item at the place and goes behind it.
func (c *cursor) put(kind update.Kind, body []byte, n uint64) (*item, error) {
	it, err := c.tx.put(c.node, c.left, kind, body, n)
	if err != nil {
		return nil, err
	}
	c.right = it
	return it, c.forward()
}

// erase deletes units from the place on, and goes behind them. Format marks stay.
func (c *cursor) erase(count uint64) error {
	for count > 0 {
		if c.right == nil {
			return fmt.Errorf("%d units past the end: %w", count, ErrRange)
		}
		if it := c.right; it.counts() {
			if count < it.n {
				if _, err := c.tx.split(it, count); err != nil {
					return err
				}
			}
			count -= it.n
			c.tx.remove(it)
		}
		if err := c.forward(); err != nil {
			return err
		}
	}
	return nil
}
