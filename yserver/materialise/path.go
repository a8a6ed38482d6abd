package materialise

import (
	"fmt"
	"slices"

	"github.com/yserverd/yserverd/protocol/update"
)

// Path leads to a type: a root, and from there keys of maps (string) and indexes in lists (int or uint64).
type Path struct {
	Root  string
	Steps []any
	kind  Kind // of the root, with said
	said  bool
}

// At returns the path of a root and what is inside of it.
func At(root string, steps ...any) Path { return Path{Root: root, Steps: steps} }

// As says of which kind the root is, where its content does not tell. Kind Unknown says nothing.
func (p Path) As(kind Kind) Path {
	p.kind, p.said = kind, kind != Unknown
	return p
}

// String returns the path as it is shown in errors.
func (p Path) String() string {
	s := p.Root
	for _, step := range p.Steps {
		s += fmt.Sprintf("/%v", step)
	}
	return s
}

// find returns the type that a path leads to, which must be of one of the given kinds. A root that holds nothing is of any.
func (t *Tx) find(p Path, kinds ...Kind) (*node, error) {
	n := t.doc.root(p.Root)
	for i, step := range p.Steps {
		it, err := t.step(n, step)
		if err != nil {
			return nil, fmt.Errorf("path %v at %d: %w", p, i, err)
		}
		n = it.child
	}
	is := []Kind{n.kind}
	fits := func(is []Kind) bool {
		return slices.ContainsFunc(kinds, func(k Kind) bool { return slices.Contains(is, k) })
	}
	if n.kind == Unknown {
		if !p.said && fits(t.kinds[n]) { // it was looked at before
			return n, nil
		}
		is = t.kindsOf(p, n)
		if !p.said {
			t.kinds[n] = is
		}
	}
	if is != nil && !fits(is) {
		return nil, fmt.Errorf("path %v is of kind %v, not %v: %w", p, is, kinds, ErrPath)
	}
	return n, nil
}

// kindsOf returns the kinds that a root may be edited as, nil for any. One with keys alone is a map, unless the path says
// that these are the attributes of another kind.
func (t *Tx) kindsOf(p Path, n *node) []Kind {
	if p.said {
		return []Kind{p.kind}
	}
	r := t.doc.describe(n)
	switch {
	case r.Length == 0 && r.Keys == 0:
		return nil
	case len(r.Kinds) == 0:
		return []Kind{Unknown}
	case r.Kinds[0] == Map:
		return r.Kinds[:1]
	}
	return r.Kinds
}

// step returns the item of a type inside another.
func (t *Tx) step(n *node, step any) (*item, error) {
	var it *item
	switch step := step.(type) {
	case string:
		it = n.value(step)
	case int:
		it = n.index(uint64(max(step, 0)))
	case uint64:
		it = n.index(step)
	default:
		return nil, fmt.Errorf("step of type %T: %w", step, ErrPath)
	}
	if it == nil || it.kind != update.Type {
		return nil, fmt.Errorf("%v is no type: %w", step, ErrPath)
	}
	return it, nil
}

// index returns the item with the unit of an index.
func (n *node) index(index uint64) *item {
	for it := n.start; it != nil; it = it.right {
		if it.counts() {
			if index < it.n {
				return it
			}
			index -= it.n
		}
	}
	return nil
}
