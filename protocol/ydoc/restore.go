package ydoc

import (
	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
)

// Restore takes an update that was stored: a snapshot or a row of a log. It is Apply without the limits of the
// configuration, which may be lower than they were, and which compaction may pass; nesting alone stays bounded.
func (d *Doc) Restore(u []byte) error {
	if d.restoreKeystroke(u) {
		return nil
	}
	_, err := d.apply(u, &unlimited)
	return err
}

// restoreKeystroke is Restore for most rows of a log: a text that a known client has put in, or one run of units that was
// deleted, with nothing parked that might be released. What the document becomes is what apply makes of it, for a quarter of
// the time: nobody asks what the update did, and nothing that is checked can fail after the first change. It reports
// whether it took the update; if not, nothing has changed.
func (d *Doc) restoreKeystroke(u []byte) bool {
	if len(u) < 2 || u[1] != 1 || !d.parked.empty() {
		return false
	}
	took := false
	switch u[0] {
	case 0: // sections of structs, and one client in the delete set
		took = d.restoreDelete(u[2:])
	case 1: // section with one struct
		took = d.restoreText(u[2:])
	}
	if took {
		d.svCache, d.stateCache, d.fullCache = nil, nil, nil
	}
	return took
}

// restoreText takes what is behind the counts of an update of one item, if that is text next in turn and nothing is deleted.
func (d *Doc) restoreText(u []byte) bool {
	if len(u) == 0 || u[len(u)-1] != 0 { // the delete set
		return false
	}
	r := lib0.NewReader(u[:len(u)-1])
	var s update.Struct
	var err error
	if s.Client, err = r.VarUint(); err != nil {
		return false
	}
	if s.Clock, err = r.VarUint(); err != nil {
		return false
	}
	c := d.lookup(s.Client)
	if c == nil || s.Clock != c.next {
		return false
	}
	start := r.Pos()
	if !readText(&r, &s) || s.Len > lib0.MaxInteger-s.Clock {
		return false
	}
	s.Raw = r.From(start)
	d.addStruct(c, &s, joinSafe)
	return true
}

// readText reads a text that names an origin, up to the end of the input, and reports whether there is one. The client and
// the clock are known.
func readText(r *lib0.Reader, s *update.Struct) bool {
	var err error
	if s.Info, err = r.Uint8(); err != nil {
		return false
	}
	s.Kind = update.Kind(s.Info & refBits)
	if s.Kind != update.String || s.Info&(update.HasOrigin|update.HasRightOrigin) == 0 {
		return false
	}
	if s.Info&update.HasOrigin != 0 && !readPast(r, s, &s.Origin) {
		return false
	}
	if s.Info&update.HasRightOrigin != 0 && !readPast(r, s, &s.RightOrigin) {
		return false
	}
	content := r.Pos()
	_, s.Len, err = r.VarStringUnits()
	s.Content = r.From(content)
	return err == nil && s.Len > 0 && r.Len() == 0
}

// readPast reads an id that a struct names, and reports whether it may: none of its own client's future.
func readPast(r *lib0.Reader, s *update.Struct, id *update.ID) bool {
	var err error
	if id.Client, err = r.VarUint(); err != nil {
		return false
	}
	id.Clock, err = r.VarUint()
	return err == nil && (id.Client != s.Client || id.Clock < s.Clock)
}

// restoreDelete takes what is behind the counts of an update without structs, if that is one range of known units.
func (d *Doc) restoreDelete(u []byte) bool {
	r := lib0.NewReader(u)
	id, err := r.VarUint()
	if err != nil {
		return false
	}
	c := d.lookup(id)
	if ranges, err := r.Uint8(); c == nil || err != nil || ranges != 1 {
		return false
	}
	clock, err := r.VarUint()
	if err != nil {
		return false
	}
	length, err := r.VarUint()
	if err != nil || r.Len() > 0 || length == 0 || clock >= c.next || length > c.next-clock {
		return false
	}
	w := spanWriter{epoch: d.epoch, tally: &d.spans}
	c.deleted.add(&w, clock, clock+length)
	return true
}
