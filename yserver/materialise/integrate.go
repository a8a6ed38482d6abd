package materialise

import (
	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
)

// integrateAll puts every struct into its list, as Item.integrate does in Yjs.
func (l *loader) integrateAll() error {
	for _, it := range l.order {
		if err := l.integrate(it); err != nil {
			return err
		}
	}
	return nil
}

// integrate puts one struct, with the pieces it was cut into, into its list.
func (l *loader) integrate(it *item) error {
	if it.has(isGC) {
		return nil
	}
	left, right := l.neighbours(it)
	if it.parent == nil { // what it belonged to was collected, so it is too
		for p := it; p != nil; p = p.right {
			p.flags |= isGC | isDeleted
		}
		return nil
	}
	if (left == nil && (right == nil || right.left != nil)) || (left != nil && left.right != right) {
		var err error
		if left, err = l.scan(it, left, right); err != nil {
			return err
		}
	}
	l.link(it, left)
	return nil
}

// neighbours finds what the struct was put between, and by that or by name what it belongs to.
func (l *loader) neighbours(it *item) (left, right *item) {
	collected := false
	if it.has(hasOrigin) {
		if left = l.find(it.origin); left.has(isGC) {
			collected = true
		}
	}
	if it.has(hasRight) {
		if right = l.find(it.right0); right.has(isGC) {
			collected = true
		}
	}
	switch from := left; {
	case collected:
		it.parent = nil
	case it.has(parentByID):
		it.flags &^= parentByID
		it.parent = l.find(it.origin).child // nil if there is no type
		it.origin = update.ID{}
	case it.parent == nil:
		if from == nil {
			from = right
		}
		it.parent, it.key = from.parent, from.key
		it.flags = it.flags&^hasKey | from.flags&hasKey
	}
	if l.inverted {
		left = l.forged(it, left, right)
	}
	return left, right
}

func (it *item) invertedOrigins() bool {
	return it.has(hasOrigin) && it.has(hasRight) && it.origin.Client == it.right0.Client && it.right0.Clock <= it.origin.Clock
}

// forged follows Yjs where the right origin of an item lies before its origin. When both are in one item that was not cut so
// far, Yjs cuts it behind the origin, takes the part before that for the left neighbour, and then cuts this very part at the
// right origin: so the left neighbour ends there.
func (l *loader) forged(it, left, right *item) *item {
	if it.invertedOrigins() && !left.has(isGC) && !right.has(isGC) {
		p := l.peers[it.origin.Client]
		whole := !p.hasCut(right.id.Clock)
		for i := l.position(it.right0) + 1; whole && i < len(p.pieces) && p.pieces[i].id.Clock <= it.origin.Clock; i++ {
			whole = !p.hasCut(p.pieces[i].id.Clock) && l.budget.step() == nil
		}
		if whole {
			left = p.pieces[l.position(it.right0)-1]
		}
	}
	l.peers[it.id.Client].noteCut(it.id.Clock)
	if it.has(hasOrigin) {
		l.peers[it.origin.Client].noteCut(it.origin.Clock + 1)
	}
	if it.has(hasRight) {
		l.peers[it.right0.Client].noteCut(it.right0.Clock)
	}
	return left
}

func (p *peer) hasCut(clock uint64) bool {
	_, ok := p.made[clock]
	return ok
}

func (p *peer) noteCut(clock uint64) {
	if p.made == nil {
		p.made = make(map[uint64]struct{})
	}
	p.made[clock] = struct{}{}
}

// scan finds the left neighbour among items that were put at the same place at the same time. Rule by rule it is that of
// Yjs, so that lists come out the same even where an update was forged.
func (l *loader) scan(it, left, right *item) (*item, error) {
	o := it.first()
	if left != nil {
		o = left.right
	}
	l.scans++
	conflict := l.scans
	scan := l.scans
	for ; o != nil && o != right; o = o.right {
		if err := l.budget.step(); err != nil {
			return nil, err
		}
		o.scan, o.conflict = scan, conflict
		if sameOrigin(it, o) {
			if o.id.Client < it.id.Client {
				left = o
				l.scans++
				conflict = l.scans
			} else if sameRight(it, o) {
				break
			}
			continue
		}
		if !o.has(hasOrigin) {
			break
		}
		before := l.find(o.origin)
		if before.scan != scan {
			break
		}
		if before.conflict != conflict {
			left = o
			l.scans++
			conflict = l.scans
		}
	}
	return left, nil
}

// first returns the first item of the list, or of the values under the key, that the item belongs to.
func (it *item) first() *item {
	if !it.has(hasKey) {
		return it.parent.start
	}
	if c := it.parent.entries[it.key]; c != nil {
		return c.first
	}
	return nil
}

func sameOrigin(a, b *item) bool {
	return a.has(hasOrigin) == b.has(hasOrigin) && (!a.has(hasOrigin) || a.origin == b.origin)
}

func sameRight(a, b *item) bool {
	return a.has(hasRight) == b.has(hasRight) && (!a.has(hasRight) || a.right0 == b.right0)
}

// link puts a struct with its pieces behind left, or first.
func (l *loader) link(it, left *item) {
	parent, last := it.parent, it
	for p := it; p != nil; p = p.right {
		p.parent, p.key = parent, it.key
		p.flags = p.flags&^hasKey | it.flags&hasKey
		if p.right != nil {
			p.right.left = p
		}
		last = p
	}
	var right *item
	if left != nil {
		right = left.right
		left.right = it
	} else {
		right = it.first()
		if !it.has(hasKey) {
			parent.start = it
		}
	}
	it.left, last.right = left, right
	if right != nil {
		right.left = last
	}
	if it.has(hasKey) {
		l.doc.linkValue(it, last)
	}
	if it.kind == update.Type {
		it.child = newNode(it)
		l.doc.deepest = max(l.doc.deepest, it.child.depth)
	}
	if it.kind == update.Deleted || parent.item != nil && !parent.item.live() || it.has(hasKey) && right != nil {
		for p := it; p != right; p = p.right {
			p.remove()
		}
	}
}

// linkValue makes a value of a map that has no right neighbour the one that counts.
func (d *Document) linkValue(first, last *item) {
	if first.parent.entries == nil {
		first.parent.entries = make(map[string]*chain)
	}
	c := first.parent.entries[first.key]
	if c == nil {
		c = &chain{first: first}
		first.parent.entries[first.key] = c
	}
	if first.left == nil {
		c.first = first
	}
	if last.right == nil {
		c.last = last
		if first.left != nil {
			first.left.remove()
		}
	}
}

// newNode returns the empty type that an item holds.
func newNode(it *item) *node {
	r := lib0.NewReader(it.body)
	ref, _ := r.VarUint()
	n := &node{kind: Kind(ref), item: it, depth: it.parent.depth + 1}
	if n.kind == Element || n.kind == Hook {
		name, _ := r.VarString()
		n.name = string(name)
	}
	return n
}

// remove marks an item as deleted, and all that is in it.
func (it *item) remove() {
	if !it.live() {
		return
	}
	it.flags |= isDeleted
	if it.child == nil {
		return
	}
	for todo := []*node{it.child}; len(todo) > 0; {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		n.each(func(c *item) {
			if c.live() {
				c.flags |= isDeleted
				if c.child != nil {
					todo = append(todo, c.child)
				}
			}
		})
	}
}

// each calls fn with all items of the list, and with those that count in the map.
func (n *node) each(fn func(*item)) {
	for c := n.start; c != nil; c = c.right {
		fn(c)
	}
	for _, e := range n.entries {
		fn(e.last)
	}
}

// deleteAll applies the delete set.
func (l *loader) deleteAll() error {
	for _, d := range l.deletes {
		p := l.peers[d.client]
		if p == nil || d.from >= p.end {
			continue
		}
		for i := l.position(update.ID{Client: d.client, Clock: d.from}); i < len(p.pieces) && p.pieces[i].id.Clock < d.to; i++ {
			if err := l.budget.step(); err != nil {
				return err
			}
			p.pieces[i].remove()
		}
	}
	return nil
}
