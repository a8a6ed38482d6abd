package materialise

import (
	"context"
	"maps"
	"slices"

	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
)

// Replace returns an update that makes the content of a document that of another: applied to current, every root reads as
// in target, and roots that target does not have are empty. Text keeps what it begins and ends with in both, lists and
// maps keep what is equal, and types that only differ inside are changed inside. Values are copied byte for byte. Format marks
// that change nothing are no content: Yjs shows them as the end of a run, and cleans them up now and then. What waits for
// other updates in target is left out. Nil means that nothing is to be done. Errors are those of Open and Edit.
func Replace(ctx context.Context, current, target []byte, opts EditOptions) (u []byte, err error) {
	return edit(ctx, current, opts, func(t *Tx) error {
		to, err := load(t.budget.ctx, target, t.doc.lim)
		if err != nil {
			return err
		}
		r := &replacer{tx: t, from: t.doc, to: to, sums: make(map[*node][32]byte)}
		for _, name := range union(t.doc.roots, to.roots) {
			if err := r.node(t.doc.root(name), to.root(name), 0); err != nil {
				return at(err, name)
			}
		}
		t.target = to
		return nil
	})
}

// at names the root in an error that lacks it.
func at(err error, root string) error {
	if u, ok := err.(*UnsupportedError); ok && u.Root == "" {
		return &UnsupportedError{What: u.What, Root: root}
	}
	return err
}

// union returns the keys of both maps, sorted.
func union[A, B any](a map[string]A, b map[string]B) []string {
	all := slices.Collect(maps.Keys(a))
	all = slices.AppendSeq(all, maps.Keys(b))
	slices.Sort(all)
	return slices.Compact(all)
}

// replacer makes the content of types that of others.
type replacer struct {
	tx       *Tx
	from, to *Document
	sums     map[*node][32]byte
}

// node makes the content of a type that of another.
func (r *replacer) node(from, to *node, depth int) error {
	if depth > r.to.lim.Depth {
		return &LimitError{"depth", int64(r.to.lim.Depth)}
	}
	if err := r.entries(from, to, depth); err != nil {
		return err
	}
	return r.list(from, to, depth)
}

// entries makes the values of the keys those of another type.
func (r *replacer) entries(from, to *node, depth int) error {
	for _, key := range union(from.entries, to.entries) {
		a, b := from.value(key), to.value(key)
		switch {
		case b == nil && a == nil:
			continue
		case b == nil:
			r.tx.remove(a)
			continue
		}
		have := piece{}
		if a != nil {
			have = piece{it: a, body: a.lastUnit(), attrs: noAttributes}
		}
		want := piece{it: b, body: b.lastUnit(), attrs: noAttributes}
		if done, err := r.inside(have, want, depth); done || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		if err := r.tx.copyValue(from, key, want, depth); err != nil {
			return err
		}
	}
	return nil
}

// inside reports whether two units are made equal by changing nothing, or only what is in them, which it does.
func (r *replacer) inside(have, want piece, depth int) (bool, error) {
	if have.it == nil {
		return false, nil
	}
	same, err := r.equal(have, want)
	if same || err != nil {
		return same, err
	}
	if !have.alike(want) {
		return false, nil
	}
	return true, r.node(have.it.child, want.it.child, depth+1)
}

// alike reports whether both are types that may become equal by changing what is in them.
func (p piece) alike(q piece) bool {
	return p.it.kind == update.Type && q.it.kind == update.Type && p.attrs.equal(q.attrs) &&
		p.it.child.kind == q.it.child.kind && p.it.child.name == q.it.child.name
}

// equal reports whether two units, or two texts, are the same.
func (r *replacer) equal(a, b piece) (bool, error) {
	if a.it.kind != b.it.kind || !a.attrs.equal(b.attrs) {
		return false, nil
	}
	if a.it.kind != update.Type {
		return string(a.body) == string(b.body), nil
	}
	x, err := r.sum(a.it.child, 0)
	if err != nil {
		return false, err
	}
	y, err := r.sum(b.it.child, 0)
	return x == y, err
}

// list makes the list that of another type.
func (r *replacer) list(from, to *node, depth int) error {
	have, err := pieces(r.from, &r.tx.budget, from)
	if err != nil {
		return err
	}
	want, err := pieces(r.to, &r.tx.budget, to)
	if err != nil {
		return err
	}
	before, have, want, err := r.prefix(have, want)
	if err != nil {
		return err
	}
	have, want, after, err := r.suffix(have, want, noAttributes)
	if err != nil {
		return err
	}
	return r.region(from, before, have, want, after, depth)
}

// region makes a part of a list what it is to be: what it has in common stays, and what is in between is changed. It goes
// from the right to the left, so that what comes first stays where it is.
func (r *replacer) region(from *node, before uint64, have, want []piece, after *attributes, depth int) error {
	common, err := r.common(have, want)
	if err != nil {
		return err
	}
	at := make([]uint64, len(have)+1)
	at[0] = before
	for i, p := range have {
		at[i+1] = at[i] + p.units()
	}
	for _, c := range slices.Backward(common) {
		if err := r.gap(from, at[c.have+1], have[c.have+1:], want[c.want+1:], after, depth); err != nil {
			return err
		}
		after = have[c.have].attrs
		have, want = have[:c.have], want[:c.want]
	}
	return r.gap(from, before, have, want, after, depth)
}

// gap changes what lies between two places that stay. After are the formats in effect behind it.
func (r *replacer) gap(from *node, before uint64, have, want []piece, after *attributes, depth int) error {
	units, have, want, err := r.prefix(have, want)
	if err != nil {
		return err
	}
	have, want, after, err = r.suffix(have, want, after)
	if err != nil || len(have) == 0 && len(want) == 0 {
		return err
	}
	if done, err := r.pairs(have, want, depth); done || err != nil {
		return err
	}
	return r.exchange(from, before+units, have, want, after, depth)
}

// prefix takes what both begin with away and returns how many units it has.
func (r *replacer) prefix(have, want []piece) (units uint64, restHave, restWant []piece, err error) {
	for len(have) > 0 && len(want) > 0 {
		a, b := &have[0], &want[0]
		if a.it.kind != update.String || b.it.kind != update.String {
			same, err := r.equal(*a, *b)
			if err != nil || !same {
				return units, have, want, err
			}
			units++
			have, want = have[1:], want[1:]
			continue
		}
		n := 0
		if a.attrs.equal(b.attrs) {
			n = commonPrefix(a.body, b.body)
		}
		units += lib0.UTF16Len(a.body[:n])
		a.body, b.body = a.body[n:], b.body[n:]
		if len(a.body) > 0 && len(b.body) > 0 {
			return units, have, want, nil
		}
		if len(a.body) == 0 {
			have = have[1:]
		}
		if len(b.body) == 0 {
			want = want[1:]
		}
	}
	return units, have, want, nil
}

// suffix takes what both end with away, and returns the formats in effect where it begins, or those given if there is none.
func (r *replacer) suffix(have, want []piece, after *attributes) (restHave, restWant []piece, attrs *attributes, err error) {
	attrs = after
	for len(have) > 0 && len(want) > 0 {
		a, b := &have[len(have)-1], &want[len(want)-1]
		if a.it.kind != update.String || b.it.kind != update.String {
			same, err := r.equal(*a, *b)
			if err != nil || !same {
				return have, want, attrs, err
			}
			attrs = a.attrs
			have, want = have[:len(have)-1], want[:len(want)-1]
			continue
		}
		if !a.attrs.equal(b.attrs) {
			return have, want, attrs, nil
		}
		n := commonSuffix(a.body, b.body)
		if n > 0 {
			attrs = a.attrs
		}
		a.body, b.body = a.body[:len(a.body)-n], b.body[:len(b.body)-n]
		if len(a.body) > 0 && len(b.body) > 0 {
			return have, want, attrs, nil
		}
		if len(a.body) == 0 {
			have = have[:len(have)-1]
		}
		if len(b.body) == 0 {
			want = want[:len(want)-1]
		}
	}
	return have, want, attrs, nil
}

// pairs handles lists of types that differ only inside: they are changed there.
func (r *replacer) pairs(have, want []piece, depth int) (bool, error) {
	if len(have) != len(want) {
		return false, nil
	}
	for i := range have {
		same, err := r.equal(have[i], want[i])
		if err != nil || !same && !have[i].alike(want[i]) {
			return false, err
		}
	}
	for i := range have {
		if _, err := r.inside(have[i], want[i], depth); err != nil {
			return false, err
		}
	}
	return true, nil
}

// exchange puts pieces in the place of others. The format marks there go with them; new ones lead over to what follows.
func (r *replacer) exchange(from *node, before uint64, have, want []piece, after *attributes, depth int) error {
	c, err := r.tx.at(from, before)
	if err != nil {
		return err
	}
	var count uint64
	for _, p := range have {
		count += p.units()
	}
	place := *c
	for c.right != nil && (count > 0 || !c.right.counts()) {
		if c.right.live() && c.right.kind == update.Format {
			r.tx.remove(c.right)
		}
		if !c.right.counts() {
			if err := c.forward(); err != nil {
				return err
			}
			continue
		}
		n := min(count, c.right.n)
		count -= n
		if err := c.erase(n); err != nil {
			return err
		}
	}
	place.right = place.first()
	return r.tx.copyPieces(&place, want, after, depth)
}

// first returns what is right of the place by now.
func (c *cursor) first() *item {
	if c.left == nil {
		return c.node.start
	}
	return c.left.right
}
