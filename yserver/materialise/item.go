package materialise

import (
	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
)

// What is known about an item, in item.flags.
const (
	hasOrigin = 1 << iota
	hasRight
	hasKey     // it is a value of a map
	isDeleted  //
	isGC       // it stands in no list
	parentByID // before integration: origin holds the id of the parent
)

// item is one piece of a list: a struct, or a part of one. Pieces are cut before integration at every place that an origin
// or a delete range names, so that none is ever looked up in the middle.
type item struct {
	id     update.ID
	n      uint64 // units
	origin update.ID
	right0 update.ID // the right origin

	left, right *item
	parent      *node
	key         string
	body        []byte // the content without counts: text, encoded values, the JSON of an embed; see load
	child       *node  // of kind Type

	scan, conflict uint32 // marks of the scan for the place of an item
	kind           update.Kind
	flags          uint8
}

func (it *item) has(flag uint8) bool { return it.flags&flag != 0 }

// live reports whether the item is there for a reader.
func (it *item) live() bool { return it.flags&isDeleted == 0 }

// counts reports whether the item is there and has a length in its list (countable and not deleted in Yjs).
func (it *item) counts() bool {
	return it.live() && it.kind != update.Format && it.kind != update.Deleted
}

func (it *item) end() uint64 { return it.id.Clock + it.n }

// last returns the id of the item's last unit.
func (it *item) last() update.ID { return update.ID{Client: it.id.Client, Clock: it.end() - 1} }

// chain is what was ever set under one key of a map, in the order of integration; the last one counts.
type chain struct{ first, last *item }

// node is a Y type: a list and a map, of which each kind uses one or both.
type node struct {
	kind    Kind   // Unknown for a root
	name    string // of a root, an element or a hook
	item    *item  // that holds it, nil for a root
	depth   int    // how many types it is in
	start   *item
	entries map[string]*chain
}

// value returns the item that holds the value of a key, nil when there is none.
func (n *node) value(key string) *item {
	c := n.entries[key]
	if c == nil || !c.last.live() {
		return nil
	}
	return c.last
}

// cutter hands out the parts of the content of an item, from the left.
type cutter struct {
	kind update.Kind
	rest []byte
	half bool // the unit before the rest was the first of a surrogate pair, and the second comes next
}

// next returns the content of the next n units. A surrogate pair that is cut leaves U+FFFD on both sides, as in Yjs.
func (c *cutter) next(n uint64) []byte {
	switch c.kind {
	case update.String:
		half := c.half
		if half {
			n--
		}
		offset, split := lib0.UTF16Offset(c.rest, n)
		body := c.rest[:offset:offset]
		c.rest, c.half = c.rest[offset:], split
		if split {
			c.rest = c.rest[4:]
		}
		if half {
			body = append([]byte("\ufffd"), body...)
		}
		if split {
			body = append(body, "\ufffd"...)
		}
		return body
	case update.Any, update.JSON:
		r := lib0.NewReader(c.rest)
		for ; n > 0 && r.Len() > 0; n-- {
			skipValue(c.kind, &r)
		}
		body := c.rest[:r.Pos():r.Pos()]
		c.rest = c.rest[r.Pos():]
		return body
	default:
		return c.rest
	}
}

// skipValue passes over one value of kind Any or JSON; the bytes have been checked.
func skipValue(kind update.Kind, r *lib0.Reader) {
	if kind == update.JSON {
		_, _ = r.VarBytes()
		return
	}
	_ = r.SkipAny(lib0.MaxDepth)
}

// units calls fn with the encoded values of an item of kind Any or JSON, and for other kinds once with its body.
func (it *item) units(fn func(body []byte) bool) bool {
	if it.kind != update.Any && it.kind != update.JSON {
		return fn(it.body)
	}
	for r := lib0.NewReader(it.body); r.Len() > 0; {
		start := r.Pos()
		skipValue(it.kind, &r)
		if r.Pos() == start || !fn(it.body[start:r.Pos()]) {
			return false
		}
	}
	return true
}
