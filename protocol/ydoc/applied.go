package ydoc

import (
	"slices"

	"github.com/yserverd/yserverd/protocol/update"
)

// applied says in a what the update did, and forgets what it made outdated.
func (d *Doc) applied(a *Applied, u []byte) {
	t := &d.tx
	a.Released, a.Parked = t.released, t.parked
	a.Missing = t.parked // a delete range beyond all structs
	newly := len(t.waiting) > 0
	for i := range t.staged {
		// A gap may have been closed by what came later in the same update.
		if r := &t.staged[i]; r.clock > d.next(r.client) {
			a.Parked, a.Missing = true, true
			newly = newly || r.raw != nil
		}
	}
	for _, id := range t.missing {
		a.Missing = a.Missing || !d.has(id)
	}
	grown := d.grown()
	if grown {
		d.svCache = nil
	}
	if grown || len(t.fresh) > 0 {
		d.stateCache = nil
		a.New = d.encodeNew(u)
		a.From = t.from
		a.Log = a.New
	}
	if newly {
		a.Log = d.encodeLog()
	}
	if a.Log != nil {
		d.fullCache = nil
	}
}

// encodeNew returns an update of what became new: the input if it is that.
func (d *Doc) encodeNew(u []byte) []byte {
	t := &d.tx
	t.from = slices.Grow(t.from, len(t.marks)+len(d.order)-t.order)
	for c, from := range d.touched {
		t.from = append(t.from, update.ID{Client: c.id, Clock: from})
	}
	if t.plain {
		return u
	}
	t.pieces = sortPieces(d.newPieces(t.pieces[:0]))
	t.out = appendSpans(appendSections(t.out[:0], t.pieces), t.fresh)
	return t.out
}

// newPieces appends what each client got. What is new of a client is what follows on what it had.
func (d *Doc) newPieces(pieces []piece) []piece {
	for c, from := range d.touched {
		pieces = append(pieces, piece{client: c.id, clock: from, end: c.next, c: c})
	}
	return pieces
}

// encodeLog returns an update of what became new and what was parked.
func (d *Doc) encodeLog() []byte {
	t := &d.tx
	// What the same update released again is among the new.
	t.staged = slices.DeleteFunc(t.staged, func(p piece) bool { return p.raw == nil || p.clock < d.next(p.client) })
	t.staged = d.newPieces(t.staged)
	slices.SortFunc(t.staged, comparePieces)
	t.waiting = append(t.waiting, t.fresh...)
	t.log = appendSpans(appendSections(t.log[:0], t.staged), t.waiting)
	return t.log
}
