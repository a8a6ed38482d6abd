// Package ydoc is the struct store of one Yjs document: it takes updates of format V1 in any order and answers with what
// a peer is missing. It does not integrate. Where an item stands in its list is for clients to find out; a server only
// needs to know which structs exist and which of their units are deleted. So a document costs little more than its
// encoded bytes, and an edit costs a fraction of a microsecond.
//
// Invariants:
//
//   - Of every client all structs from clock 0 up to its entry in the state vector are stored, without a gap, in the form
//     in which they arrived; typed text is joined as Yjs joins it. Whether a struct can be integrated does not matter: its
//     origins and parent may be unknown.
//   - The delete set holds only clocks below the state vector.
//   - What lies beyond a gap is parked, apart from both: never in the state vector or in an answer to a peer, always in
//     what is saved. When the gap closes it is released.
//   - Apply takes an update as a whole or not at all. What Yjs integrates is accepted, what makes a client throw is
//     refused (package update), and so is what is over a limit of [Config].
//   - Everything handed out as immutable stays as it is: later changes happen elsewhere.
//   - Nothing depends on the number of units: nine bytes can claim 2^53-1 of them.
//
// A [Doc] is not safe for concurrent use. A [Frozen] copy is, by itself, and compacts beside the document's owner.
package ydoc

import (
	"cmp"
	"slices"

	"github.com/yserverd/yserverd/protocol/update"
)

// Doc is one document. It has one owner; see the package comment.
type Doc struct {
	cfg Config
	store
	parked parked
	tx     tx

	svCache    []byte // the encoded state vector, nil when it must be made anew
	stateCache []byte // the encoded state, likewise
	fullCache  []byte // likewise, with what is parked; only kept when something is

	lineage uint64 // counts the stores that were adopted: a copy of an older one no longer fits
}

// New returns an empty document.
func New(cfg Config) *Doc {
	return &Doc{cfg: cfg.withDefaults()}
}

// StateVector returns the encoded state vector (Y.encodeStateVector): for every client the clock after the last struct
// held. It is a fresh slice whenever it has changed, may be kept, and must not be modified.
func (d *Doc) StateVector() []byte {
	if d.svCache == nil {
		d.svCache = clip(d.appendStateVector(make([]byte, 0, maxVarUint*(1+2*len(d.order)))))
	}
	return d.svCache
}

// State returns the document as one update (Y.encodeStateAsUpdate), without what is parked. It is made once until the
// document changes, may be kept and shared by any number of readers, and must not be modified.
func (d *Doc) State() []byte {
	if d.stateCache == nil {
		d.stateCache = clip(d.appendState(make([]byte, 0, d.bound())))
	}
	return d.stateCache
}

// Pending returns what is parked as one update, with Skips over what is missing; nil when nothing is. It must not be
// modified and may be kept.
func (d *Doc) Pending() []byte { return d.parked.update() }

// Full returns everything as one update: State and Pending together. Applied to an empty document it restores both, so it
// is what must be saved. It must not be modified and may be kept.
func (d *Doc) Full() []byte {
	if d.parked.empty() {
		return d.State()
	}
	if d.fullCache == nil {
		d.fullCache = clip(appendFull(make([]byte, 0, d.bound()+d.parked.bound()), &d.store, &d.parked))
	}
	return d.fullCache
}

// AppendDiff appends an update with what a peer with the given state vector is missing, and the whole delete set, which no
// vector describes (Y.encodeStateAsUpdate with a target). An error means that the vector is malformed; dst is then
// returned as it was.
func (d *Doc) AppendDiff(dst, sv []byte) ([]byte, error) {
	vector, err := d.vector(sv)
	if err != nil {
		return dst, err
	}
	d.sort()
	pieces := d.tx.pieces[:0]
	for _, c := range d.order {
		for len(vector) > 0 && vector[0].Client > c.id {
			vector = vector[1:]
		}
		from := uint64(0)
		if len(vector) > 0 && vector[0].Client == c.id {
			from = vector[0].Clock
		}
		if from < c.next {
			pieces = append(pieces, piece{client: c.id, clock: from, end: c.next, c: c})
		}
	}
	d.tx.pieces = pieces
	return d.appendDeletes(appendSections(dst, pieces)), nil
}

// AppendSince appends an update with the structs of just these clients from these clocks on, and the whole delete set.
// Clients and clocks that the document does not have are passed over; of two clocks of one client the lower one counts.
func (d *Doc) AppendSince(dst []byte, from []update.ID) []byte {
	pieces := d.tx.pieces[:0]
	for _, id := range from {
		if c := d.lookup(id.Client); c != nil && id.Clock < c.next {
			pieces = append(pieces, piece{client: c.id, clock: id.Clock, end: c.next, c: c})
		}
	}
	pieces = sortPieces(pieces)
	d.tx.pieces = pieces
	return d.appendDeletes(appendSections(dst, pieces))
}

// Claims reports whether a state vector claims clocks that the document lacks, so that asking the peer is useful. An error
// means that the vector is malformed.
func (d *Doc) Claims(sv []byte) (bool, error) {
	vector, err := d.vector(sv)
	if err != nil {
		return false, err
	}
	for _, id := range vector {
		if id.Clock > d.next(id.Client) {
			return true, nil
		}
	}
	return false, nil
}

// vector parses a state vector into entries in descending order of clients, each at most once; the last of several
// counts, as in Yjs. They are valid until the next call.
func (d *Doc) vector(sv []byte) ([]update.ID, error) {
	v, err := update.ParseStateVector(trim(d.tx.vector, 16), sv, d.cfg.limits())
	if err != nil {
		return nil, d.refusal(err)
	}
	descends := func(a, b update.ID) int { return cmp.Compare(b.Client, a.Client) }
	if !slices.IsSortedFunc(v, descends) {
		slices.SortStableFunc(v, descends)
	}
	n := 0
	for i, id := range v {
		if i+1 < len(v) && v[i+1].Client == id.Client {
			continue
		}
		v[n] = id
		n++
	}
	d.tx.vector = v[:n]
	return v[:n], nil
}

// Stats is what a document holds.
type Stats struct {
	Bytes        int // of the encoded state, but for some bytes per client
	Structs      int
	Clients      int
	Deletes      int // ranges in the delete set
	PendingBytes int // of what is parked, encoded
	Pending      int // runs of structs and delete ranges that are parked
}

// Stats returns what the document holds. It only reads counters.
func (d *Doc) Stats() Stats {
	return Stats{
		Bytes:        d.size(),
		Structs:      d.structs,
		Clients:      len(d.order),
		Deletes:      d.spans.spans,
		PendingBytes: d.parked.size(),
		Pending:      d.parked.count(),
	}
}
