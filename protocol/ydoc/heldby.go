package ydoc

import "bytes"

// HeldBy reports whether d holds everything that the copy does and no struct more: equal state vectors, equal parked
// structs and deletes, and a delete set that covers the copy's. It may cover more: compaction adds what peers derive. It is
// how a snapshot is proven before what it replaces is deleted. d must not be in use elsewhere.
func (f *Frozen) HeldBy(d *Doc) bool {
	d.sort()
	if len(f.store.order) != len(d.order) || !bytes.Equal(f.parked.update(), d.Pending()) {
		return false
	}
	for i, c := range f.store.order {
		other := d.order[i]
		if other.id != c.id || other.next != c.next || !other.deleted.coversAll(&c.deleted) {
			return false
		}
	}
	return true
}

// coversAll reports whether every span of t lies within spans of s.
func (s *spanSet) coversAll(t *spanSet) bool {
	for _, chunk := range t.chunks {
		for _, sp := range chunk.spans {
			if !s.covers(sp.start, sp.end) {
				return false
			}
		}
	}
	return true
}
