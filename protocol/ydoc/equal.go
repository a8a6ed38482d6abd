package ydoc

import (
	"bytes"
	"errors"
	"fmt"
)

// Equal reports whether two documents hold the same: state vector, delete set and what is parked. Deletions that every
// peer finds out for itself (overwritten entries of maps, children of deleted types) may be missing in a delete set or
// not, which depends on when it was compacted; they make no difference.
func Equal(a, b *Doc) bool {
	return difference(&a.store, &b.store, &a.parked, &b.parked) == nil
}

// Check reports whether an update restores the document as it was: what a new document that takes it holds is compared as
// [Equal] does. It is for snapshots, before what they stand for is removed.
func (f *Frozen) Check(u []byte) error {
	d := New(f.cfg)
	if err := d.Restore(u); err != nil {
		return fmt.Errorf("check snapshot: %w", err)
	}
	if err := difference(&f.store, &d.store, &f.parked, &d.parked); err != nil {
		return fmt.Errorf("check snapshot: %w", err)
	}
	return nil
}

var (
	errStateVector = errors.New("state vectors differ")
	errPending     = errors.New("parked parts differ")
	errDeletes     = errors.New("delete sets differ")
)

// difference returns the first difference between two documents, nil if they are equal.
func difference(a, b *store, parkedA, parkedB *parked) error {
	switch {
	case !bytes.Equal(a.appendStateVector(nil), b.appendStateVector(nil)):
		return errStateVector
	case !bytes.Equal(parkedA.update(), parkedB.update()):
		return errPending
	case sameDeletes(a.deletes(), b.deletes()):
		return nil
	case sameDeletes(a.allDeletes(), b.allDeletes()):
		return nil
	}
	return errDeletes
}

// deletes returns the delete sets of the clients in order.
func (st *store) deletes() []*spanSet {
	sets := make([]*spanSet, len(st.order))
	for i, c := range st.order {
		sets[i] = &c.deleted
	}
	return sets
}

// allDeletes returns the delete sets of the clients in order, with what every peer would add.
func (st *store) allDeletes() []*spanSet {
	g := newGraph(st, false)
	g.analyse()
	sets := make([]*spanSet, len(st.order))
	for i := range st.order {
		set := g.deletes(i, &spanWriter{tally: new(spanTally)})
		sets[i] = &set
	}
	return sets
}

func sameDeletes(a, b []*spanSet) bool {
	for i := range a {
		if !a[i].equal(b[i]) {
			return false
		}
	}
	return true
}
