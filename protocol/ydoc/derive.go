package ydoc

import (
	"cmp"
	"slices"

	"github.com/yserverd/yserverd/protocol/update"
)

// follower is an entry of a map whose origin lies within a node, not at its end.
type follower struct {
	origin uint64
	entry  uint32
	client uint64
}

// deriver finds out, for every key of a map, which of its entries is alive. All others are deleted by whoever
// integrates them, so it does not matter whether anybody ever said so.
type deriver struct {
	g *graph
	// For every node the entry whose origin is the node's last unit, of several the one with the greatest client.
	next  []uint32
	inner map[uint32][]follower
}

// derive marks the entries of maps that were overwritten. Where no entry has a right origin the order of a key's entries
// is a plain tree: entries with the same origin stand in the order of their clients, each followed by those that name it.
// So the last one, which is alive, is found by going from the root always to the greatest client. All ids of the document
// must be resolved.
func (g *graph) derive() {
	if len(g.keys) == 0 {
		return
	}
	d := deriver{g: g, next: make([]uint32, len(g.nodes))}
	for i := range d.next {
		d.next[i] = noNode
	}
	for i := range g.st.order {
		for n := g.first[i]; n < g.first[i+1]; n++ {
			if gr := g.groupOf(n); gr != nil && gr.flags&groupKeyed != 0 {
				d.link(gr, n, i)
			}
		}
	}
	for i := range g.groups {
		gr := &g.groups[i]
		if gr.flags&(groupKeyed|groupComplex) == groupKeyed && gr.best != noNode {
			gr.winner = d.last(gr.best)
		}
	}
	for i := range g.nodes {
		nd := &g.nodes[i]
		if gr := g.groupOf(uint32(i)); gr != nil && gr.winner != noNode && gr.winner != uint32(i) && nd.flags&nodeDeleted == 0 {
			nd.flags |= nodeDeleted | nodeDerived
		}
	}
}

// link enters a node with what it follows.
func (d *deriver) link(gr *group, n uint32, client int) {
	g := d.g
	nd := &g.nodes[n]
	if nd.flags&nodeDeleted == 0 && g.end(n, client)-nd.clock > 1 {
		// An entry of several values that others may stand between. No client makes such.
		gr.flags |= groupComplex
		return
	}
	if nd.flags&nodeRest != 0 {
		d.offer(&d.next[n-1], gr, n)
		return
	}
	var s update.Struct
	g.head(n, client, &s)
	switch {
	case s.Info&update.HasRightOrigin != 0:
		gr.flags |= groupComplex
	case s.Info&update.HasOrigin == 0:
		d.offer(&gr.best, gr, n)
	default:
		of, c, _ := g.find(s.Origin)
		if s.Origin.Clock == g.end(of, c)-1 {
			d.offer(&d.next[of], gr, n)
			return
		}
		if d.inner == nil {
			d.inner = make(map[uint32][]follower)
		}
		d.inner[of] = append(d.inner[of], follower{s.Origin.Clock, n, s.Client})
	}
}

// offer puts an entry in the place if its client is greater than that of the entry there.
func (d *deriver) offer(place *uint32, gr *group, n uint32) {
	if *place == noNode {
		*place = n
		return
	}
	has, offered := d.clientID(*place), d.clientID(n)
	switch {
	case has == offered:
		gr.flags |= groupComplex // the same client twice in one place: no client does that
	case offered > has:
		*place = n
	}
}

func (d *deriver) clientID(n uint32) uint64 { return d.g.st.order[d.g.clientOf(n)].id }

// last goes from an entry to the one that stands last.
func (d *deriver) last(n uint32) uint32 {
	for {
		if in := d.inner[n]; len(in) > 0 {
			if f := d.branch(n, in); f != noNode {
				n = f
				continue
			}
		}
		next := d.next[n]
		if next == noNode {
			return n
		}
		n = next
	}
}

// branch returns the entry by which the way leaves a node before its end: at the first unit where an entry has a greater
// client than the node itself, whose next unit is the other one that follows.
func (d *deriver) branch(n uint32, in []follower) uint32 {
	slices.SortFunc(in, func(a, b follower) int {
		return cmp.Or(cmp.Compare(a.origin, b.origin), cmp.Compare(b.client, a.client))
	})
	own := d.clientID(n)
	for _, f := range in {
		if f.client > own {
			return f.entry
		}
	}
	return noNode
}
