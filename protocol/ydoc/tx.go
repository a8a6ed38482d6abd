package ydoc

import (
	"slices"

	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
)

// tx is what one Apply notes down, kept between calls for its memory.
type tx struct {
	cfg      *Config      // its limits hold
	marks    []mark       // clients that got structs, as they were; those that are new are not among them
	staged   []piece      // runs of structs beyond a gap
	beyond   []byte       // their bytes
	missing  []update.ID  // named by structs of the input and unknown when these came
	fresh    []clientSpan // deleted by this update or by released ranges, and not before
	waiting  []clientSpan // newly parked delete ranges
	plain    bool         // so far the input is exactly what became new
	released bool
	parked   bool // some of the input waits

	// As the document was before.
	order, structs, bytes int

	current *client // that the last struct was of
	named   *client // that the last origin was of

	pieces []piece
	from   []update.ID
	vector []update.ID // a parsed state vector
	slice  []byte      // the part of a struct that is new
	out    []byte      // New
	log    []byte      // Log
}

// double appends to a list that may become long for one update, and then is given up: growing by a quarter each time, as
// append does, would leave five times its size behind.
func double[T any](s []T, v T) []T {
	if len(s) == cap(s) {
		s = slices.Grow(s, max(8, len(s)))
	}
	return append(s, v)
}

// keep is how much memory of each kind a document holds on to between updates.
const keep = 64 << 10

// trim returns an empty list with the memory of s, unless that is too much to hold on to. It is cleared: no list keeps
// alive what it named.
func trim[T any](s []T, size int) []T {
	if len(s) == 0 && cap(s)*size <= keep {
		return s
	}
	return trimUsed(s, size)
}

func trimUsed[T any](s []T, size int) []T {
	if cap(s)*size > keep {
		return nil
	}
	clear(s)
	return s[:0]
}

// begin prepares for another update. What the last one returned is void.
func (t *tx) begin(d *Doc, cfg *Config) {
	t.cfg = cfg
	t.from = trim(t.from, 16)
	t.out = trim(t.out, 1)
	t.log = trim(t.log, 1)
	t.plain, t.released, t.parked = true, false, false
	t.order, t.structs, t.bytes = len(d.order), d.structs, d.bytes
}

// end gives up what was noted down.
func (d *Doc) end() {
	t := &d.tx
	for _, c := range d.order[t.order:] {
		c.fresh = false
	}
	t.current, t.named = nil, nil
	t.marks = trim(t.marks, 72)
	t.staged = trim(t.staged, 64)
	t.beyond = trim(t.beyond, 1)
	t.missing = trim(t.missing, 16)
	t.fresh = trim(t.fresh, 24)
	t.waiting = trim(t.waiting, 24)
	t.pieces = trim(t.pieces, 64)
	t.slice = trim(t.slice, 1)
}

// mark is a client as it was before the update.
type mark struct {
	c      *client
	next   uint64
	n      uint32
	chunks int
	size   int    // bytes of the last chunk
	inLast int    // structs of the last chunk
	count  uint64 // the number that the last struct's content begins with
	last   uint32
	head   uint32
	shared bool
}

// mark notes down a client before its first change. New clients need none: they are the last ones in order.
func (t *tx) mark(c *client) {
	if i := int(c.mark); c.fresh || i < len(t.marks) && t.marks[i].c == c {
		return
	}
	c.mark = uint32(len(t.marks))
	last := &c.chunks[len(c.chunks)-1]
	m := mark{
		c: c, next: c.next, n: c.n, chunks: len(c.chunks), size: len(last.buf), inLast: last.n,
		last: c.last, head: c.head, shared: c.shared,
	}
	m.count, _ = uvarint(last.buf[c.head:])
	t.marks = append(t.marks, m)
}

// touched yields the clients that got structs from the update, and the clock after what they had before.
func (d *Doc) touched(yield func(c *client, from uint64) bool) {
	for i := range d.tx.marks {
		if m := &d.tx.marks[i]; !yield(m.c, m.next) {
			return
		}
	}
	for _, c := range d.order[d.tx.order:] {
		if !yield(c, 0) {
			return
		}
	}
}

// grown reports whether any client got structs.
func (d *Doc) grown() bool { return len(d.tx.marks) > 0 || len(d.order) > d.tx.order }

// rollback makes the store what it was: the structs of the update are gone. Nothing else may have changed yet.
func (d *Doc) rollback() {
	t := &d.tx
	for i := range t.marks {
		t.marks[i].restore()
	}
	for _, c := range d.order[t.order:] {
		d.clients.remove(c)
	}
	clear(d.order[t.order:])
	d.order = d.order[:t.order]
	d.structs, d.bytes = t.structs, t.bytes
}

func (m *mark) restore() {
	c := m.c
	clear(c.chunks[m.chunks:])
	c.chunks = c.chunks[:m.chunks]
	c.next, c.n, c.last, c.head, c.shared = m.next, m.n, m.last, m.head, m.shared
	last := &c.chunks[m.chunks-1]
	last.n = m.inLast
	if count, size := uvarint(last.buf[c.head:]); count != m.count {
		// Joined with structs of the update: the number at its content's begin has grown, perhaps in width.
		old := lib0.VarUintLen(m.count)
		copy(last.buf[int(c.head)+old:], last.buf[int(c.head)+size:])
		putUvarint(last.buf[c.head:], m.count)
	}
	last.buf = last.buf[:m.size]
}

// sortPieces sorts pieces of the store and keeps the first of each client.
func sortPieces(pieces []piece) []piece {
	slices.SortFunc(pieces, comparePieces)
	return slices.CompactFunc(pieces, func(a, b piece) bool { return a.client == b.client })
}
