package ydoc

import (
	"bytes"
	"fmt"
	"math"
	"unsafe"

	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
)

// Check walks over everything a document holds and reports the first thing that is not as the package comment says.
func (d *Doc) Check() error {
	if err := d.store.check(); err != nil {
		return err
	}
	if err := d.parked.check(&d.store); err != nil {
		return err
	}
	for _, u := range [][]byte{d.State(), d.Full(), d.Pending()} {
		if u == nil {
			continue
		}
		if err := update.Validate(u, update.Limits{Nesting: lib0.MaxDepth, Clients: math.MaxInt}); err != nil {
			return fmt.Errorf("encoded document: %w", err)
		}
	}
	again := New(d.cfg)
	if err := again.Restore(d.Full()); err != nil {
		return fmt.Errorf("full does not apply: %w", err)
	}
	if !bytes.Equal(d.Full(), again.Full()) && !Equal(d, again) {
		return fmt.Errorf("full restores another document")
	}
	sv, err := update.StateVector(nil, d.State())
	if err != nil || !bytes.Equal(sv, d.StateVector()) {
		return fmt.Errorf("state vector %x, of the state %x: %w", d.StateVector(), sv, err)
	}
	return nil
}

func (st *store) check() error {
	structs, size := 0, 0
	var tally spanTally
	if st.clients.n != len(st.order) {
		return fmt.Errorf("%d clients, %d in order", st.clients.n, len(st.order))
	}
	for i, c := range st.order {
		if i > 0 && i < st.sorted && st.order[i-1].id <= c.id {
			return fmt.Errorf("client %d behind %d", c.id, st.order[i-1].id)
		}
		if st.clients.search(c.id) != c {
			return fmt.Errorf("client %d is not in the index", c.id)
		}
		n, err := c.check()
		if err != nil {
			return fmt.Errorf("client %d: %w", c.id, err)
		}
		structs += int(c.n)
		size += n
		if err := c.deleted.check(&tally, c.next); err != nil {
			return fmt.Errorf("client %d: %w", c.id, err)
		}
	}
	if structs != st.structs || size != st.bytes || tally != st.spans {
		return fmt.Errorf("counted %d structs, %d bytes, %v; noted %d, %d, %v", structs, size, tally, st.structs, st.bytes, st.spans)
	}
	return nil
}

// check returns the bytes of a client's structs.
func (c *client) check() (int, error) {
	clock, n, size := uint64(0), 0, 0
	var s update.Struct
	for i := range c.chunks {
		ch := &c.chunks[i]
		size += len(ch.buf)
		if ch.clock != clock || ch.n == 0 {
			return 0, fmt.Errorf("chunk %d begins at %d, not %d, with %d structs", i, ch.clock, clock, ch.n)
		}
		inChunk := 0
		for w := c.walk(i); !w.done(); inChunk++ {
			at := w.pos
			w.next(&s)
			if s.Len == 0 || s.Kind == update.Skip {
				return 0, fmt.Errorf("struct at %d: length %d, kind %d", s.Clock, s.Len, s.Kind)
			}
			clock = w.clock
			if i == len(c.chunks)-1 && w.done() && (int(c.last) != at || int(c.head) != w.pos-len(s.Content)) {
				return 0, fmt.Errorf("last struct at %d and %d, not %d and %d", c.last, c.head, at, w.pos-len(s.Content))
			}
		}
		if inChunk != ch.n {
			return 0, fmt.Errorf("chunk %d has %d structs, not %d", i, inChunk, ch.n)
		}
		n += inChunk
	}
	if clock != c.next || n != int(c.n) || n == 0 {
		return 0, fmt.Errorf("%d structs up to %d; noted %d and %d", n, clock, c.n, c.next)
	}
	return size, nil
}

func (s *spanSet) check(tally *spanTally, limit uint64) error {
	if s.many == nil {
		if s.one.end > 0 {
			tally.add(s.one)
		}
		if s.one.end > limit || s.one.start > s.one.end || s.one.end > 0 && s.one.start == s.one.end {
			return fmt.Errorf("span %v, limit %d", s.one, limit)
		}
		return nil
	}
	if len(s.many.chunks) == 0 || s.one.end > 0 {
		return fmt.Errorf("an empty list of spans, or a span beside it")
	}
	end, first := uint64(0), true
	for i, c := range s.many.chunks {
		if len(c.spans) == 0 || len(c.spans) > maxSpans {
			return fmt.Errorf("chunk %d has %d spans", i, len(c.spans))
		}
		for _, sp := range c.spans {
			if sp.start >= sp.end || sp.end > limit || !first && sp.start <= end {
				return fmt.Errorf("span %v behind %d, limit %d", sp, end, limit)
			}
			end, first = sp.end, false
			tally.add(sp)
		}
	}
	return nil
}

func (p *parked) check(st *store) error {
	n, size := 0, 0
	var last *segment
	for i, c := range p.chunks {
		if len(c) == 0 || len(c) > maxSegments {
			return fmt.Errorf("parked chunk %d has %d segments", i, len(c))
		}
		for j := range c {
			s := &c[j]
			if last != nil && (last.client < s.client || last.client == s.client && last.end > s.clock) {
				return fmt.Errorf("segment %d:%d behind %d:%d", s.client, s.clock, last.client, last.end)
			}
			if s.clock <= st.next(s.client) {
				return fmt.Errorf("segment %d:%d is not beyond a gap", s.client, s.clock)
			}
			w := walker{buf: s.buf, client: s.client, clock: s.clock}
			structs := 0
			var u update.Struct
			for ; !w.done(); structs++ {
				w.next(&u)
			}
			if structs != s.n || w.clock != s.end {
				return fmt.Errorf("segment %d:%d ends at %d, not %d", s.client, s.clock, w.clock, s.end)
			}
			last = s
			n++
			size += len(s.buf)
		}
	}
	var tally spanTally
	for id, set := range p.deletes {
		if set.empty() || set.first() < st.next(id) {
			return fmt.Errorf("parked deletes of client %d are none or known", id)
		}
		if err := set.check(&tally, math.MaxUint64); err != nil {
			return err
		}
	}
	if n != p.n || size != p.bytes || tally != p.spans {
		return fmt.Errorf("counted %d segments, %d bytes, %v; noted %d, %d, %v", n, size, tally, p.n, p.bytes, p.spans)
	}
	return nil
}

// Unlimited is the configuration of Restore.
var Unlimited = unlimited

// RestoreKeystroke is the short way of Restore, and reports whether it took the update.
func (d *Doc) RestoreKeystroke(u []byte) bool { return d.restoreKeystroke(u) }

// Set is a spanSet with its tally, for tests.
type Set struct {
	set   spanSet
	tally spanTally
	epoch uint32
	fresh []clientSpan
}

// Add puts a range into the set and returns the parts that are new.
func (s *Set) Add(start, end uint64) (fresh [][2]uint64) {
	s.fresh = s.fresh[:0]
	s.set.add(&spanWriter{epoch: s.epoch, tally: &s.tally, fresh: &s.fresh}, start, end)
	for _, f := range s.fresh {
		fresh = append(fresh, [2]uint64{f.start, f.end})
	}
	return fresh
}

// Cut removes what is below clock and returns it.
func (s *Set) Cut(clock uint64) (removed [][2]uint64) {
	s.set.cut(&spanWriter{epoch: s.epoch, tally: &s.tally}, clock, func(sp span) {
		removed = append(removed, [2]uint64{sp.start, sp.end})
	})
	return removed
}

// Covers reports whether the range is in the set.
func (s *Set) Covers(start, end uint64) bool { return s.set.covers(start, end) }

// Freeze returns a copy.
func (s *Set) Freeze() *Set {
	s.epoch++
	return &Set{set: s.set.freeze(), tally: s.tally, epoch: s.epoch}
}

// Spans returns all ranges.
func (s *Set) Spans() (spans [][2]uint64) {
	for c := s.set.cursor(); ; {
		sp, ok := c.next()
		if !ok {
			return spans
		}
		spans = append(spans, [2]uint64{sp.start, sp.end})
	}
}

// Check reports what is wrong with the set.
func (s *Set) Check() error {
	var tally spanTally
	if err := s.set.check(&tally, math.MaxUint64); err != nil {
		return err
	}
	if tally != s.tally {
		return fmt.Errorf("counted %v, noted %v", tally, s.tally)
	}
	return nil
}

// Index is an index of clients, for tests.
type Index struct{ x index }

// Add puts in a client that is not there.
func (x *Index) Add(id uint64) { x.x.add(&client{id: id}) }

// Remove takes out a client that is there.
func (x *Index) Remove(id uint64) { x.x.remove(x.x.get(id)) }

// Has reports whether a client is there, and is found past the one that was found last.
func (x *Index) Has(id uint64) bool { return x.x.get(id) != nil && x.x.search(id).id == id }

// ClientSize is the size of what a store keeps of a client.
var ClientSize = unsafe.Sizeof(client{})

// NodeSize is the size of a node of the analysis that compaction makes.
var NodeSize = unsafe.Sizeof(node{})
