package ydoc

import (
	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
)

// write returns the compacted store.
func (g *graph) write() *store {
	st := &store{epoch: g.st.epoch + 1, order: make([]*client, 0, len(g.st.order))}
	st.clients.reserve(len(g.st.order))
	w := compactor{g: g, st: st}
	for i, from := range g.st.order {
		w.c = st.insert(from.id)
		w.writeClient(i)
		w.c.deleted = g.deletes(i, &spanWriter{epoch: st.epoch, tally: &st.spans})
	}
	st.sorted = len(st.order)
	return st
}

// compactor writes the nodes of a graph as structs.
type compactor struct {
	g  *graph
	st *store
	c  *client

	s    update.Struct // the struct of the current node but for its content
	text cutter        // its content
	buf  []byte
	dead bool // the node written last is deleted
}

func (w *compactor) writeClient(client int) {
	g := w.g
	for n := g.first[client]; n < g.first[client+1]; n++ {
		nd := &g.nodes[n]
		units := g.end(n, client) - nd.clock
		if nd.flags&nodeRest == 0 {
			buf, content := g.head(n, client, &w.s)
			w.text = newCutter(buf[content:], nd.kind)
		}
		out := update.Struct{ID: update.ID{Client: w.c.id, Clock: nd.clock}, Len: units}
		w.buf = w.buf[:0]
		switch {
		case nd.flags&nodeGC != 0 || nd.kind == update.GC:
			out.Kind, out.Info = update.GC, byte(update.GC)
			w.buf = append(w.buf, out.Info)
			w.finish(&out, lib0.AppendVarUint(w.buf, units))
			w.text.skip(units)
		case nd.flags&nodeDeleted != 0 && !g.keep:
			w.head(&out, update.Deleted, n)
			w.finish(&out, lib0.AppendVarUint(w.buf, units))
			w.text.skip(units)
		default:
			w.head(&out, nd.kind, n)
			w.finish(&out, w.text.appendTo(w.buf, units))
		}
		w.st.addStruct(w.c, &out, w.joining(n, nd))
		w.dead = nd.flags&nodeDeleted != 0
	}
}

// head writes everything before the content.
func (w *compactor) head(out *update.Struct, kind update.Kind, n uint32) {
	out.Kind = kind
	out.RightOrigin = w.s.RightOrigin
	w.buf, out.Info, out.Origin = appendHead(w.buf, &w.s, kind, out.Clock, w.g.nodes[n].flags&nodeRest != 0)
}

// finish takes the bytes with the content behind them and fills in what refers to them.
func (w *compactor) finish(out *update.Struct, with []byte) {
	at := len(w.buf)
	w.buf = with
	out.Raw, out.Content = w.buf, w.buf[at:]
}

// joining says how a node may be joined with the one before it. The live entries of a map stay apart: joined they would
// still read right, but nobody would derive any more that the older one is deleted.
func (w *compactor) joining(n uint32, nd *node) joining {
	switch gr := w.g.groupOf(n); {
	case gr == nil:
		return joinSafe
	case gr.flags&groupKeyed == 0, nd.flags&nodeDeleted != 0 && w.dead:
		return joinAll
	default:
		return joinNever
	}
}

// deletes returns the delete set of a client: what was in it, and what is deleted besides.
func (g *graph) deletes(client int, w *spanWriter) spanSet {
	var set spanSet
	if g.keep {
		// Structs were not cut, so that the nodes do not tell all.
		for all := g.st.order[client].deleted.cursor(); ; {
			s, ok := all.next()
			if !ok {
				break
			}
			set.add(w, s.start, s.end)
		}
	}
	for n := g.first[client]; n < g.first[client+1]; n++ {
		if g.nodes[n].flags&nodeDeleted != 0 {
			set.add(w, g.nodes[n].clock, g.end(n, client))
		}
	}
	return set
}
