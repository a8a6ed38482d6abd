package ydoc

import (
	"fmt"

	"github.com/yserverd/yserverd/protocol/update"
)

// Compacted is a document made as small as it can be without anyone noticing: content that is deleted is gone, children of
// deleted types are garbage collected, neighbours are joined. What peers would find out for themselves (see derive) is
// part of its delete set.
type Compacted struct {
	update []byte
	parked bool // the update holds parked structs or deletes as well

	store   *store // nil once adopted
	doc     *Doc
	lineage uint64
	epoch   uint32 // of the delete sets' chunks that are older than the copy
}

// Update returns the compacted document with what is parked as one update: what a snapshot holds. It must not be
// modified and may be kept.
func (c *Compacted) Update() []byte { return c.update }

// Compact returns the document compacted. It may run on any goroutine beside the document's owner, and changes neither the
// copy nor the document. An error means that the result is not sound, which is a fault of this package.
func (f *Frozen) Compact() (*Compacted, error) {
	if f.store.structs+2*f.store.spans.spans >= maxNodes {
		return nil, fmt.Errorf("compact: more than %d structs", maxNodes)
	}
	g := newGraph(&f.store, f.cfg.KeepDeleted)
	g.analyse()
	st := g.write()
	for i, c := range f.store.order {
		if st.order[i].id != c.id || st.order[i].next != c.next {
			return nil, fmt.Errorf("compact: client %d ends at %d, not %d", c.id, st.order[i].next, c.next)
		}
	}
	c := &Compacted{parked: !f.parked.empty(), store: st, doc: f.doc, lineage: f.lineage, epoch: f.store.epoch}
	c.update = clip(appendFull(make([]byte, 0, st.bound()+f.parked.bound()), st, &f.parked))
	return c, nil
}

// Adopt puts the compacted store in the place of the document's, with what the document got since the copy was made behind
// it. It reports false, and changes nothing, when that copy is not one of the document as it is now: after another Adopt,
// or a second time.
func (d *Doc) Adopt(c *Compacted) bool {
	if c.store == nil || c.doc != d || c.lineage != d.lineage {
		return false
	}
	st := c.store
	c.store = nil
	st.epoch = d.epoch
	changed := false
	d.sort()
	for _, live := range d.order {
		mine := st.lookup(live.id)
		if mine == nil {
			st.move(live)
			changed = true
			continue
		}
		if live.next > mine.next {
			st.follow(mine, live)
			changed = true
		}
		w := spanWriter{epoch: st.epoch, tally: &st.spans}
		live.deleted.since(c.epoch, func(s span) {
			if !mine.deleted.covers(s.start, s.end) {
				changed = true
				mine.deleted.add(&w, s.start, s.end)
			}
		})
	}
	d.store = *st
	d.lineage++
	d.stateCache, d.fullCache = nil, nil
	if !changed && !c.parked {
		d.stateCache = c.update
	}
	return true
}

// move puts a client of another store, which is given up, into this one.
func (st *store) move(c *client) {
	st.clients.add(c)
	st.order = append(st.order, c)
	st.structs += int(c.n)
	for _, ch := range c.chunks {
		st.bytes += len(ch.buf)
	}
	for all := c.deleted.cursor(); ; {
		s, ok := all.next()
		if !ok {
			break
		}
		st.spans.add(s)
	}
}

// follow puts behind a client's structs those that another record of it has more.
func (st *store) follow(c, more *client) {
	var s update.Struct
	var scratch []byte
	for i := more.chunkOf(c.next); i < len(more.chunks); i++ {
		for w := more.walk(i); !w.done(); {
			w.next(&s)
			if s.End() > c.next {
				scratch = st.addPart(c, &s, c.next-s.Clock, scratch)
			}
		}
	}
}
