package ydoc

import "bytes"

// Equal reports whether two documents hold the same: state vector, delete set and what is parked.
func Equal(a, b *Doc) bool {
	if !bytes.Equal(a.StateVector(), b.StateVector()) || !bytes.Equal(a.Pending(), b.Pending()) {
		return false
	}
	for i, c := range a.order {
		if !c.deleted.equal(&b.order[i].deleted) {
			return false
		}
	}
	return true
}
