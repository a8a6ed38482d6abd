package ydoc

import (
	"maps"
	"slices"
)

// Frozen is a document as it was at one moment. It shares the document's bytes and never changes, so that it may be read,
// by one goroutine at a time, while the document goes on.
type Frozen struct {
	cfg    Config
	store  store
	parked parked

	doc     *Doc
	lineage uint64
}

// Freeze returns the document as it is now. It copies the index, some hundredths of the document's size, and what is
// parked but for its bytes; what the document changes later it copies first.
func (d *Doc) Freeze() *Frozen {
	return &Frozen{cfg: d.cfg, store: d.store.freeze(), parked: d.parked.freeze(), doc: d, lineage: d.lineage}
}

// AppendFull appends everything as one update, as [Doc.Full] returned it when the copy was made.
func (f *Frozen) AppendFull(dst []byte) []byte {
	dst = slices.Grow(dst, f.store.bound()+f.parked.bound())
	return appendFull(dst, &f.store, &f.parked)
}

// freeze returns a copy that shares all bytes with the store and stays as it is. It has no index of clients: look them up
// in its order.
func (st *store) freeze() store {
	st.sort()
	f := *st
	st.epoch++
	f.clients = index{}
	f.order = make([]*client, len(st.order))
	copies := make([]client, len(st.order))
	for i, c := range st.order {
		c.freeze(&copies[i])
		f.order[i] = &copies[i]
	}
	return f
}

// freeze makes f a copy that stays as it is when the client gets more structs and deletes.
func (c *client) freeze(f *client) {
	c.shared = true
	*f = *c
	if len(c.chunks) == 1 {
		f.one[0] = c.chunks[0]
		f.chunks = f.one[:]
	} else {
		f.chunks = slices.Clone(c.chunks)
	}
	f.deleted = c.deleted.freeze()
}

// freeze returns a copy that shares all bytes and stays as it is.
func (p *parked) freeze() parked {
	if p.empty() {
		return parked{}
	}
	f := *p
	p.epoch++
	f.chunks = make([][]segment, len(p.chunks))
	for i, c := range p.chunks {
		f.chunks[i] = slices.Clone(c)
	}
	f.deletes = maps.Clone(p.deletes)
	for id, set := range f.deletes {
		s := set.freeze()
		f.deletes[id] = &s
	}
	return f
}
