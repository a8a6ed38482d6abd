package ydoc

import (
	"slices"

	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
)

// Applied is what an update did. Its slices are valid until the document's next Apply or until the input is reused,
// whichever comes first.
type Applied struct {
	// New is one update of everything that became new: new parts of structs, what was parked and is not any more, new
	// delete ranges. Peers get it. It is the input itself where that says the same. Nil when nothing became new.
	New []byte
	// From is the lowest new clock of each client that has structs in New.
	From []update.ID
	// Log is what a log must hold after this update to restore the document: what became new and what was newly parked.
	// It may repeat what the log has already. Nil when the update brought nothing.
	Log []byte
	// Released: New contains parts that were parked before, so the sender needs New as well.
	Released bool
	// Parked: something of this update waits.
	Parked bool
	// Missing: the update names clocks that the document lacks, by a gap, an origin, a parent or a delete range. The
	// sender may have them.
	Missing bool
}

// Apply takes an update (Y.applyUpdate). On an error, which is [ErrMalformed] or [ErrLimit], the document has not changed.
// The update is not kept: what is stored is copied.
func (d *Doc) Apply(u []byte) (Applied, error) { return d.apply(u, &d.cfg) }

func (d *Doc) apply(u []byte, cfg *Config) (a Applied, err error) {
	t := &d.tx
	t.begin(d, cfg)
	defer d.end()
	var dec update.Decoder
	dec.Reset(u, cfg.limits())
	if err := d.applyStructs(&dec); err != nil {
		d.rollback()
		return Applied{}, d.refusal(err)
	}
	deletes := dec // a copy: a longer delete set is read once to check it and once to apply it
	ranges, one, err := d.checkDeletes(&dec)
	if err != nil {
		d.rollback()
		return Applied{}, d.refusal(err)
	}
	t.plain = t.plain && dec.Canonical()

	// Nothing can fail from here on.
	d.parkStructs()
	d.releaseStructs()
	switch {
	case ranges == 1:
		d.applyDelete(one.client, one.start, one.end-one.start)
	case ranges > 1:
		d.applyDeletes(&deletes)
	}
	d.releaseDeletes()
	d.applied(&a, u)
	return a, nil
}

// applyStructs reads all structs: what continues its client's structs is stored, what lies beyond a gap is noted down.
func (d *Doc) applyStructs(dec *update.Decoder) error {
	var s update.Struct
	for {
		ok, err := dec.Next(&s)
		if err != nil || !ok {
			return err
		}
		if err := d.applyStruct(&s); err != nil {
			return err
		}
	}
}

func (d *Doc) applyStruct(s *update.Struct) error {
	t := &d.tx
	c := t.current
	if c == nil || c.id != s.Client {
		c = d.lookup(s.Client)
		t.current = c
	}
	next := uint64(0)
	if c != nil {
		next = c.next
	}
	switch {
	case s.Kind == update.Skip, s.End() <= next:
		t.plain = false
		return nil
	case s.Clock > next:
		d.stage(s)
		d.note(s) // what comes later in the update, or is parked, may close the gap
		return nil
	case c == nil:
		if len(d.order) >= t.cfg.MaxClients {
			return &LimitError{LimitClients, int64(t.cfg.MaxClients)}
		}
		c = d.insert(s.Client)
		c.fresh = true
		t.current = c
	}
	t.mark(c)
	d.addPart(c, s, next-s.Clock)
	d.note(s)
	if int64(d.size()+d.parked.size()) > t.cfg.MaxBytes {
		return &LimitError{LimitBytes, t.cfg.MaxBytes}
	}
	return nil
}

// addPart stores the units of a struct of the update from cut on.
func (d *Doc) addPart(c *client, s *update.Struct, cut uint64) {
	d.tx.plain = d.tx.plain && cut == 0
	d.tx.slice = d.store.addPart(c, s, cut, d.tx.slice)
}

// stage notes down a struct beyond a gap. Structs that follow each other become one run.
func (d *Doc) stage(s *update.Struct) {
	t := &d.tx
	t.plain = false
	t.beyond = append(t.beyond, s.Raw...)
	if n := len(t.staged); n > 0 {
		last := &t.staged[n-1]
		if last.client == s.Client && last.end == s.Clock {
			last.end = s.End()
			last.n++
			last.raw = t.beyond[len(t.beyond)-len(last.raw)-len(s.Raw):]
			return
		}
	}
	raw := t.beyond[len(t.beyond)-len(s.Raw):]
	t.staged = double(t.staged, piece{client: s.Client, clock: s.Clock, end: s.End(), n: 1, raw: raw})
}

// note notes down the ids that a struct names and nobody has. Those of its own client come before it.
func (d *Doc) note(s *update.Struct) {
	switch {
	case s.Kind == update.GC:
		return
	case s.Info&(update.HasOrigin|update.HasRightOrigin) == 0:
		if s.ParentIsID {
			d.noteID(s.Client, s.Parent)
		}
		return
	}
	if s.Info&update.HasOrigin != 0 {
		d.noteID(s.Client, s.Origin)
	}
	if s.Info&update.HasRightOrigin != 0 {
		d.noteID(s.Client, s.RightOrigin)
	}
}

func (d *Doc) noteID(client uint64, id update.ID) {
	if id.Client != client && !d.has(id) {
		d.tx.missing = double(d.tx.missing, id)
	}
}

// has reports whether a unit is stored.
func (d *Doc) has(id update.ID) bool {
	c := d.find(id.Client)
	return c != nil && id.Clock < c.next
}

// checkDeletes reads the delete set without applying it, and sees to the limits. It returns how many ranges there are, and
// the last: most often there is none or one, so that they need not be read again.
func (d *Doc) checkDeletes(dec *update.Decoder) (ranges int, one clientSpan, err error) {
	t := &d.tx
	waiting, count, stored := 0, 0, 0
	for i := range t.staged {
		if r := &t.staged[i]; d.parked.lacks(r.client, r.clock, r.end) {
			waiting += len(r.raw)
			count++
		}
	}
	for {
		id, clock, length, ok, err := dec.NextDelete()
		if err != nil {
			return 0, one, err
		}
		if !ok {
			break
		}
		ranges++
		one = clientSpan{id, span{clock, clock + length}}
		c, end, next := d.find(id), clock+length, uint64(0)
		if c != nil {
			next = c.next
		}
		size := lib0.VarUintLen(clock) + lib0.VarUintLen(length)
		if clock < next && !c.deleted.covers(clock, min(end, next)) {
			stored += size
		}
		if end > next && !d.parked.hasDelete(id, max(clock, next), end) {
			waiting += size
			count++
		}
	}
	switch {
	case waiting > 0 && int64(d.parked.size()+waiting) > t.cfg.MaxPendingBytes:
		return 0, one, &LimitError{LimitPendingBytes, t.cfg.MaxPendingBytes}
	case count > 0 && d.parked.count()+count > t.cfg.MaxPending:
		return 0, one, &LimitError{LimitPending, int64(t.cfg.MaxPending)}
	case waiting+stored > 0 && int64(d.size()+d.parked.size()+waiting+stored) > t.cfg.MaxBytes:
		return 0, one, &LimitError{LimitBytes, t.cfg.MaxBytes}
	}
	t.fresh = slices.Grow(t.fresh, ranges)
	return ranges, one, nil
}

// parkStructs parks what was noted down beyond gaps. Of what was parked before no bytes stay noted down.
func (d *Doc) parkStructs() {
	t := &d.tx
	var gaps []span
	for i, n := 0, len(t.staged); i < n; i++ {
		r := t.staged[i]
		gaps = gaps[:0]
		d.parked.gaps(r.client, r.clock, r.end, func(clock, end uint64) { gaps = append(gaps, span{clock, end}) })
		if len(gaps) == 1 && gaps[0] == (span{r.clock, r.end}) {
			d.parked.insert(r)
			continue
		}
		t.staged[i].raw = nil
		for _, p := range cutRun(r, gaps) {
			d.parked.insert(p)
			t.staged = double(t.staged, p)
		}
	}
}

// releaseStructs stores what was parked and follows on the structs that the update has brought.
func (d *Doc) releaseStructs() {
	if d.parked.n == 0 {
		return
	}
	t := &d.tx
	for c := range d.touched {
		for {
			s, ok := d.parked.take(c.id, c.next)
			if !ok {
				break
			}
			if s.end > c.next {
				t.plain, t.released = false, true
				d.release(c, &s)
			}
		}
	}
}

// release stores the part of a parked segment that its client does not have yet.
func (d *Doc) release(c *client, seg *segment) {
	w := walker{buf: seg.buf, client: c.id, clock: seg.clock}
	var s update.Struct
	for !w.done() {
		w.next(&s)
		if s.End() > c.next {
			d.addPart(c, &s, c.next-s.Clock)
		}
	}
}

// applyDeletes adds the update's delete set to the document's, and parks what names clocks that are not there.
func (d *Doc) applyDeletes(dec *update.Decoder) {
	for {
		id, clock, length, ok, err := dec.NextDelete()
		if err != nil || !ok {
			return
		}
		d.applyDelete(id, clock, length)
	}
}

// applyDelete adds one range to the delete set, and parks what of it is not there.
func (d *Doc) applyDelete(id, clock, length uint64) {
	t := &d.tx
	end, next := clock+length, uint64(0)
	if c := d.find(id); c != nil {
		next = c.next
		if clock < next {
			d.delete(c, clock, min(end, next), length)
		}
	}
	if end > next {
		t.plain, t.parked = false, true
		from := max(clock, next)
		if d.parked.addDelete(id, from, end) {
			t.waiting = double(t.waiting, clientSpan{id, span{from, end}})
		}
	}
}

// delete adds a range of stored clocks to the delete set. Length is what the update said: where less became new, its
// bytes say too much.
func (d *Doc) delete(c *client, start, end, length uint64) {
	t := &d.tx
	n := len(t.fresh)
	w := spanWriter{epoch: d.epoch, client: c.id, tally: &d.spans, fresh: &t.fresh}
	c.deleted.add(&w, start, end)
	if len(t.fresh) != n+1 || t.fresh[n].end-t.fresh[n].start != length {
		t.plain = false
	}
}

// releaseDeletes adds to the delete set what was parked and names clocks that the update has brought.
func (d *Doc) releaseDeletes() {
	if d.parked.spans.spans == 0 {
		return
	}
	t := &d.tx
	for c := range d.touched {
		n := len(t.fresh)
		d.parked.takeDeletes(c.id, c.next, func(s span) { d.delete(c, s.start, s.end, 0) })
		t.released = t.released || len(t.fresh) > n
	}
}

// find returns a client, or nil. Those named one after the other are often the same.
func (d *Doc) find(id uint64) *client {
	c := d.tx.named
	if c == nil || c.id != id {
		if c = d.lookup(id); c != nil {
			d.tx.named = c
		}
	}
	return c
}
