package materialise

import (
	"maps"
	"slices"

	ycrdt "github.com/skyterra/y-crdt"
)

// This is the only file that knows y-crdt. What it is good for is one thing: given one whole, causally complete state in a new
// document, it puts every item where Yjs does. Its own renderings, many small updates and bytes that nobody has checked are
// not safe with it.

func init() {
	ycrdt.Logf = func(string, ...any) {}
	ycrdt.Log = func(...any) {}
}

// integrateWithYCRDT returns the outline of a state as y-crdt integrates it. It may panic, and may never return.
func integrateWithYCRDT(state []byte, lim Limits) ([]byte, error) {
	doc := ycrdt.NewDoc("", false, func(*ycrdt.Item) bool { return false }, nil, false)
	ycrdt.ApplyUpdate(doc, state, nil)
	o := newOutline(lim)
	for _, name := range slices.Sorted(maps.Keys(doc.Share)) {
		o.root(name, func() { outlineYCRDT(o, doc.Share[name]) })
	}
	return o.buf, o.err
}

// outlineYCRDT writes the outline of one of its types.
func outlineYCRDT(o *outline, t ycrdt.IAbstractType) {
	inside := func(it *ycrdt.Item) {
		if c, ok := it.Content.(*ycrdt.ContentType); ok && o.enter() {
			outlineYCRDT(o, c.Type)
			o.leave()
		}
	}
	for it := t.StartItem(); it != nil && o.err == nil; it = it.Right {
		if !it.Deleted() && it.Countable() {
			o.unit(uint64(it.ID.Client), uint64(it.ID.Clock), uint64(it.Length))
			inside(it)
		}
	}
	entries := t.GetMap()
	for _, key := range sortedKeys(entries, func(it *ycrdt.Item) bool { return !it.Deleted() }) {
		it := entries[key]
		o.key(key, uint64(it.ID.Client), uint64(it.ID.Clock+it.Length-1))
		inside(it)
	}
}
