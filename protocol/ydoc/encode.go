package ydoc

import (
	"cmp"
	"slices"

	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
)

// piece is a part of an update that is being put together: the structs that a client of the store has from clock on, or,
// without one, a run of encoded structs.
type piece struct {
	client     uint64
	clock, end uint64
	c          *client
	n          int // structs
	raw        []byte
}

// comparePieces puts clients in descending and clocks in ascending order.
func comparePieces(a, b piece) int {
	return cmp.Or(cmp.Compare(b.client, a.client), cmp.Compare(a.clock, b.clock))
}

// appendSections appends the structs part of an update. The pieces must be sorted and not overlap. Gaps between those of
// one client become Skips.
func appendSections(dst []byte, pieces []piece) []byte {
	sections := 0
	for i := range pieces {
		if i == 0 || pieces[i].client != pieces[i-1].client {
			sections++
		}
	}
	dst = lib0.AppendVarUint(dst, uint64(sections))
	for len(pieces) > 0 {
		n := 1
		for n < len(pieces) && pieces[n].client == pieces[0].client {
			n++
		}
		dst = appendPieces(dst, pieces[:n])
		pieces = pieces[n:]
	}
	return dst
}

// appendPieces appends one section. Only the first piece can be one of the store: what is stored ends before any gap.
func appendPieces(dst []byte, pieces []piece) []byte {
	first := pieces[0]
	var t tail
	structs := 0
	if first.c != nil {
		t = first.c.tail(first.clock)
		structs = t.n - first.n
	}
	for i, p := range pieces {
		structs += p.n
		if i > 0 && p.clock > pieces[i-1].end {
			structs++
		}
	}
	dst = lib0.AppendVarUint(dst, uint64(structs))
	dst = lib0.AppendVarUint(dst, first.client)
	dst = lib0.AppendVarUint(dst, first.clock)
	for i, p := range pieces {
		if i > 0 && p.clock > pieces[i-1].end {
			dst = appendSkip(dst, p.clock-pieces[i-1].end)
		}
		if p.c != nil {
			dst = t.appendTo(dst)
		} else {
			dst = append(dst, p.raw...)
		}
	}
	return dst
}

// appendSkip appends a Skip of the given length.
func appendSkip(dst []byte, length uint64) []byte {
	return lib0.AppendVarUint(append(dst, byte(update.Skip)), length)
}

// appendSpans appends the delete set part of an update and may reorder and join the spans.
func appendSpans(dst []byte, spans []clientSpan) []byte {
	spans = joinSpans(spans)
	clients := 0
	for i := range spans {
		if i == 0 || spans[i].client != spans[i-1].client {
			clients++
		}
	}
	dst = lib0.AppendVarUint(dst, uint64(clients))
	for len(spans) > 0 {
		n := 1
		for n < len(spans) && spans[n].client == spans[0].client {
			n++
		}
		dst = lib0.AppendVarUint(dst, spans[0].client)
		dst = lib0.AppendVarUint(dst, uint64(n))
		for _, s := range spans[:n] {
			dst = appendSpan(dst, s.span)
		}
		spans = spans[n:]
	}
	return dst
}

// joinSpans sorts spans, clients descending, and joins those that touch or overlap.
func joinSpans(spans []clientSpan) []clientSpan {
	slices.SortFunc(spans, func(a, b clientSpan) int {
		return cmp.Or(cmp.Compare(b.client, a.client), cmp.Compare(a.start, b.start))
	})
	n := 0
	for _, s := range spans {
		if n > 0 && spans[n-1].client == s.client && s.start <= spans[n-1].end {
			spans[n-1].end = max(spans[n-1].end, s.end)
			continue
		}
		spans[n] = s
		n++
	}
	return spans[:n]
}

// appendFull appends what the store holds and what is parked as one update.
func appendFull(dst []byte, st *store, p *parked) []byte {
	if p.empty() {
		return st.appendState(dst)
	}
	st.sort()
	pieces := make([]piece, 0, len(st.order)+p.n)
	for _, c := range st.order {
		pieces = append(pieces, piece{client: c.id, end: c.next, c: c, n: int(c.n)})
	}
	pieces = p.pieces(pieces)
	slices.SortFunc(pieces, comparePieces)
	return appendFullDeletes(appendSections(dst, pieces), st, p)
}

// appendFullDeletes appends the delete set of the store and the parked one as one. A client's stored ranges end where
// its parked ones may begin.
func appendFullDeletes(dst []byte, st *store, p *parked) []byte {
	waiting := p.deleteClients()
	type entry struct {
		id      uint64
		stored  *spanSet
		waiting *spanSet
	}
	var none spanSet
	var entries []entry
	for _, c := range st.order {
		for len(waiting) > 0 && waiting[0] > c.id {
			entries = append(entries, entry{waiting[0], &none, p.deletes[waiting[0]]})
			waiting = waiting[1:]
		}
		e := entry{c.id, &c.deleted, &none}
		if len(waiting) > 0 && waiting[0] == c.id {
			e.waiting = p.deletes[c.id]
			waiting = waiting[1:]
		}
		if !e.stored.empty() || !e.waiting.empty() {
			entries = append(entries, e)
		}
	}
	for _, id := range waiting {
		entries = append(entries, entry{id, &none, p.deletes[id]})
	}
	dst = lib0.AppendVarUint(dst, uint64(len(entries)))
	for _, e := range entries {
		dst = lib0.AppendVarUint(dst, e.id)
		dst = lib0.AppendVarUint(dst, uint64(e.stored.len()+e.waiting.len()))
		dst = e.waiting.appendTo(e.stored.appendTo(dst))
	}
	return dst
}
