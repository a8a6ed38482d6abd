package ydoc

import "github.com/yserverd/yserverd/protocol/update"

// resolve finds the group of a node along its origin, else its right origin, else by the parent that it names
// (Item.getMissing in Yjs). It goes from item to item without recursion and notes down the result for all on the way.
func (g *graph) resolve(n uint32, client int) {
	path := g.stack[:0]
	result := uint32(groupUnknown)
	var s update.Struct
	for result == groupUnknown {
		nd := &g.nodes[n]
		switch {
		case nd.group == groupVisiting:
			g.lost = true
			result = groupLost
		case nd.group != groupUnknown:
			result = nd.group
		default:
			nd.group = groupVisiting
			path = append(path, n)
			if nd.kind == update.GC {
				result = groupGone
			} else if nd.flags&nodeRest != 0 {
				n--
			} else {
				n, client, result = g.step(n, client, &s)
			}
		}
	}
	for _, n := range path {
		g.nodes[n].group = result
	}
	g.stack = path
}

// step returns the node whose group the given one shares, or its group.
func (g *graph) step(n uint32, client int, s *update.Struct) (next uint32, nextClient int, result uint32) {
	g.head(n, client, s)
	if s.Info&update.HasRightOrigin != 0 && !g.has(s.RightOrigin) {
		return n, client, g.loses()
	}
	var ok bool
	switch {
	case s.Info&update.HasOrigin != 0:
		next, nextClient, ok = g.find(s.Origin)
	case s.Info&update.HasRightOrigin != 0:
		next, nextClient, ok = g.find(s.RightOrigin)
	default:
		return n, client, g.enter(s)
	}
	if !ok {
		return n, client, g.loses()
	}
	return next, nextClient, groupUnknown
}

// loses notes down that some node names an id that is not there.
func (g *graph) loses() uint32 {
	g.lost = true
	return groupLost
}

// enter returns the group of an item that names its parent.
func (g *graph) enter(s *update.Struct) uint32 {
	gr := group{parent: noNode, best: noNode, winner: noNode}
	if s.ParentIsID {
		p, _, ok := g.find(s.Parent)
		if !ok {
			return g.loses()
		}
		if g.nodes[p].kind != update.Type {
			// Collected or deleted, or never a type: Yjs turns its children into GC.
			return groupGone
		}
		gr.parent = p
	}
	if s.Info&update.HasParentSub == 0 {
		return g.newGroup(gr)
	}
	gr.flags = groupKeyed
	// Looked up without making strings.
	if known, ok := g.keys[key{gr.parent, string(s.ParentName), string(s.ParentSub)}]; ok {
		return known
	}
	if g.keys == nil {
		g.keys = make(map[key]uint32)
	}
	known := g.newGroup(gr)
	g.keys[key{gr.parent, string(s.ParentName), string(s.ParentSub)}] = known
	return known
}

func (g *graph) newGroup(gr group) uint32 {
	g.groups = append(g.groups, gr)
	return firstGroup + uint32(len(g.groups)-1)
}

// collect finds out which items are children of deleted types, at any depth: every peer garbage collects them.
func (g *graph) collect() {
	for i := range g.nodes {
		nd := &g.nodes[i]
		switch {
		case nd.group == groupGone:
		case nd.group >= firstGroup && g.lifeOf(nd.group-firstGroup) == lifeEnds:
		default:
			continue
		}
		nd.flags |= nodeGC | nodeDeleted
	}
}

// lifeOf returns whether the children of a group go with their parent, noting it down for all groups on the way.
func (g *graph) lifeOf(i uint32) uint8 {
	path := g.stack[:0]
	result := uint8(lifeUnknown)
	for result == lifeUnknown {
		gr := &g.groups[i]
		if gr.life != lifeUnknown {
			result = max(gr.life, lifeLives) // types that contain each other live: nobody can integrate them
			break
		}
		gr.life = lifeVisiting
		path = append(path, i)
		if gr.parent == noNode {
			result = lifeLives
			break
		}
		p := &g.nodes[gr.parent]
		switch {
		case p.flags&nodeDeleted != 0, p.group == groupGone:
			result = lifeEnds
		case p.group == groupLost:
			result = lifeLives
		default:
			i = p.group - firstGroup
		}
	}
	for _, i := range path {
		g.groups[i].life = result
	}
	g.stack = path
	return result
}
