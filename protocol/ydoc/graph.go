package ydoc

import (
	"math/bits"
	"sort"

	"github.com/yserverd/yserverd/protocol/update"
)

// node is a struct, or a part of one that is deleted or alive as a whole, in the analysis of a store. Its clocks end where
// the next node's begin. There is one for every struct of a document, so it is small: 24 bytes.
type node struct {
	clock  uint64
	chunk  uint32 // of its client, that the struct is in
	offset uint32 // of the struct in it
	group  uint32 // one of the group constants, or firstGroup and the number of the group
	kind   update.Kind
	flags  uint8
}

const (
	nodeRest    = 1 << iota // goes on with the struct of the node before it
	nodeDeleted             // its units are deleted
	nodeDerived             // as every peer would find out for itself
	nodeGC                  // every peer would garbage collect it as a child of what is deleted
)

// What is known about the group of a node.
const (
	groupUnknown  = iota // not looked at yet
	groupVisiting        // being looked at: who comes here again goes in a circle
	groupLost            // it depends on ids that are not there, or on itself: no peer can integrate it
	groupGone            // it depends on what is garbage collected, and becomes that as well
	firstGroup
)

// group is the children that one parent has as a list, or under one key. Every item finds its group along its origin, or
// else its right origin, down to an item that names its parent.
type group struct {
	parent uint32 // the node that holds the type, noNode for a root type
	best   uint32 // with a key: of the entries without an origin the one with the greatest client
	winner uint32 // with a key: the entry that is alive, noNode if that is not known
	flags  uint8
	life   uint8
}

// key is what a group of a map has in common: the node of the map or the name of the root type, and the key.
type key struct {
	parent    uint32
	root, sub string
}

const (
	noNode   = ^uint32(0)
	maxNodes = 1 << 31
)

const (
	groupKeyed   = 1 << iota // under a key of a map
	groupComplex             // which entry is alive cannot be said by derive's simple rule
)

// What is known about the life of a group.
const (
	lifeUnknown = iota
	lifeVisiting
	lifeLives
	lifeEnds // the parent is deleted
)

// graph is the analysis of a store: all structs cut by the delete set, their parents, what is deleted with them.
type graph struct {
	st    *store
	keep  bool // contents of deleted items stay
	index map[uint64]int
	nodes []node
	first []uint32 // for each client of the store's order its first node, and the end
	found uint32   // the node that was found last

	groups []group
	keys   map[key]uint32 // the groups of maps
	lost   bool           // some id is named that is not there

	stack []uint32
}

// newGraph cuts the structs of a store by its delete set.
func newGraph(st *store, keep bool) *graph {
	st.sort()
	g := &graph{
		st: st, keep: keep,
		index: make(map[uint64]int, len(st.order)),
		nodes: make([]node, 0, st.structs+2*st.spans.spans),
		first: make([]uint32, 0, len(st.order)+1),
	}
	for i, c := range st.order {
		g.index[c.id] = i
		g.first = append(g.first, uint32(len(g.nodes)))
		g.cut(c)
	}
	g.first = append(g.first, uint32(len(g.nodes)))
	return g
}

// cut adds the nodes of one client.
func (g *graph) cut(c *client) {
	deleted := c.deleted.cursor()
	var s update.Struct
	for i := range c.chunks {
		for w := c.walk(i); !w.done(); {
			offset := w.pos
			w.next(&s)
			n := node{clock: s.Clock, chunk: uint32(i), offset: uint32(offset), kind: s.Kind}
			switch {
			case s.Kind == update.GC, s.Kind == update.Deleted:
				n.flags = nodeDeleted
				g.nodes = append(g.nodes, n)
			case g.keep:
				if c.deleted.covers(s.Clock, s.End()) {
					n.flags = nodeDeleted
				}
				g.nodes = append(g.nodes, n)
			default:
				g.cutStruct(n, s.End(), &deleted)
			}
		}
	}
}

// cutStruct adds the nodes of one struct: n, which ends at end, in parts that are deleted or not.
func (g *graph) cutStruct(n node, end uint64, deleted *spanCursor) {
	for n.clock < end {
		s, ok := deleted.peek()
		for ; ok && s.end <= n.clock; s, ok = deleted.peek() {
			deleted.next()
		}
		to := end
		n.flags &^= nodeDeleted
		switch {
		case !ok || s.start >= end:
		case s.start > n.clock:
			to = s.start
		default:
			n.flags |= nodeDeleted
			to = min(end, s.end)
		}
		g.nodes = append(g.nodes, n)
		n.clock = to
		n.flags |= nodeRest
	}
}

// analyse finds out what is deleted, and what is garbage.
func (g *graph) analyse() {
	for i := range g.st.order {
		for n := g.first[i]; n < g.first[i+1]; n++ {
			g.resolve(n, i)
		}
	}
	if !g.lost {
		g.derive()
	}
	if !g.keep {
		g.collect()
	}
}

// find returns the node that holds a unit, and the number of its client.
func (g *graph) find(id update.ID) (n uint32, client int, ok bool) {
	client, ok = g.index[id.Client]
	if !ok || id.Clock >= g.st.order[client].next {
		return 0, 0, false
	}
	first, end := g.first[client], g.first[client+1]
	// Items often name what lies close to what the item before named.
	if n = g.found; n >= first && n < end && g.nodes[n].clock <= id.Clock && id.Clock < g.end(n, client) {
		return n, client, true
	}
	n = first + search(g.nodes[first:end], id.Clock, g.st.order[client].next)
	g.found = n
	return n, client, true
}

// search returns the last of a client's nodes that begins at or before clock. The nodes end at next. It looks first where
// the node would be if all were equally long, which is often the case, and from there in steps that double.
func search(nodes []node, clock, next uint64) uint32 {
	hi, lo := bits.Mul64(clock, uint64(len(nodes)))
	guess, _ := bits.Div64(hi, lo, next)
	low, high := int(guess), int(guess)+1 // the node is in [low, high)
	for step := 1; low > 0 && nodes[low].clock > clock; step *= 2 {
		low, high = max(0, low-step), low
	}
	for step := 1; high < len(nodes) && nodes[high].clock <= clock; step *= 2 {
		low, high = high, min(len(nodes), high+step)
	}
	for high-low > 1 {
		if mid := int(uint(low+high) >> 1); nodes[mid].clock <= clock {
			low = mid
		} else {
			high = mid
		}
	}
	return uint32(low)
}

// has reports whether a unit is there.
func (g *graph) has(id update.ID) bool {
	i, ok := g.index[id.Client]
	return ok && id.Clock < g.st.order[i].next
}

// end returns the clock after the last of a node.
func (g *graph) end(n uint32, client int) uint64 {
	if n+1 < g.first[client+1] {
		return g.nodes[n+1].clock
	}
	return g.st.order[client].next
}

// head reads the struct of a node but for its length and content, and returns its chunk and where in it the content
// begins. The clock is the node's.
func (g *graph) head(n uint32, client int, s *update.Struct) (buf []byte, content int) {
	nd := &g.nodes[n]
	c := g.st.order[client]
	buf = c.chunks[nd.chunk].buf
	*s = update.Struct{ID: update.ID{Client: c.id, Clock: nd.clock}, Info: buf[nd.offset], Kind: nd.kind}
	return buf, readHead(buf, int(nd.offset)+1, s)
}

// groupOf returns the group of a node, nil if it has none.
func (g *graph) groupOf(n uint32) *group {
	if i := g.nodes[n].group; i >= firstGroup {
		return &g.groups[i-firstGroup]
	}
	return nil
}

// clientOf returns the number of the client of a node.
func (g *graph) clientOf(n uint32) int {
	return sort.Search(len(g.first), func(i int) bool { return g.first[i] > n }) - 1
}
