package ydoc

import (
	"slices"

	"github.com/yserverd/yserverd/protocol/lib0"
)

// span is a range of clocks, end exclusive.
type span struct{ start, end uint64 }

// spanSet is a set of clocks: spans that neither overlap nor touch. Many clients delete nothing or one run, so one span is
// in the set itself and the list is made for a second one. The zero value is an empty set.
type spanSet struct {
	one  span      // the only span, or nothing
	many *spanList // not nil once there was a second span; never empty
}

// spanTally adds up what sets hold: how many spans, and their bytes in an encoded delete set.
type spanTally struct {
	spans int
	bytes int
}

func (t *spanTally) add(s span) {
	t.spans++
	t.bytes += lib0.VarUintLen(s.start) + lib0.VarUintLen(s.end-s.start)
}

func (t *spanTally) sub(s span) {
	t.spans--
	t.bytes -= lib0.VarUintLen(s.start) + lib0.VarUintLen(s.end-s.start)
}

// clientSpan is a range of one client's clocks.
type clientSpan struct {
	client uint64
	span
}

// spanWriter is what a change of sets needs: the epoch that its chunks must have, the tally to keep, and the list that
// takes the parts which were not in the set before, named by client; nil when nobody asks.
type spanWriter struct {
	epoch  uint32
	client uint64
	tally  *spanTally
	fresh  *[]clientSpan
}

func (w *spanWriter) report(start, end uint64) {
	if w.fresh != nil && start < end {
		*w.fresh = append(*w.fresh, clientSpan{w.client, span{start, end}})
	}
}

func (s *spanSet) empty() bool { return s.many == nil && s.one.end == 0 }

// len returns the number of spans.
func (s *spanSet) len() int {
	switch {
	case s.many != nil:
		return s.many.len()
	case s.one.end > 0:
		return 1
	}
	return 0
}

// first returns the lowest clock of a set that is not empty.
func (s *spanSet) first() uint64 {
	if s.many != nil {
		return s.many.chunks[0].spans[0].start
	}
	return s.one.start
}

// covers reports whether the whole range is in the set.
func (s *spanSet) covers(start, end uint64) bool {
	if s.many != nil {
		return s.many.covers(start, end)
	}
	return s.one.start <= start && end <= s.one.end
}

// add puts [start, end) into the set and reports each part that was not in it.
func (s *spanSet) add(w *spanWriter, start, end uint64) {
	if start >= end {
		return
	}
	if s.many == nil {
		if s.addOne(w, start, end) {
			return
		}
		s.many = &spanList{chunks: []*spanChunk{{spans: []span{s.one}, epoch: w.epoch}}}
		s.one = span{}
	}
	s.many.add(w, start, end)
}

// addOne is add where the result is a single span, and reports whether it is.
func (s *spanSet) addOne(w *spanWriter, start, end uint64) bool {
	one := s.one
	switch {
	case one.end == 0:
		s.one = span{start, end}
		w.report(start, end)
	case end < one.start, one.end < start:
		return false
	default:
		s.one = span{min(start, one.start), max(end, one.end)}
		w.report(start, one.start)
		w.report(one.end, end)
		w.tally.sub(one)
	}
	w.tally.add(s.one)
	return true
}

// cut removes everything below clock and hands it to out, in order.
func (s *spanSet) cut(w *spanWriter, clock uint64, out func(span)) {
	switch {
	case s.many != nil:
		if s.many.cut(w, clock, out); len(s.many.chunks) == 0 {
			s.many = nil
		}
	case s.one.end > 0 && s.one.start < clock:
		w.tally.sub(s.one)
		out(span{s.one.start, min(s.one.end, clock)})
		if s.one.end <= clock {
			s.one = span{}
			return
		}
		s.one.start = clock
		w.tally.add(s.one)
	}
}

// since hands out the spans that may be younger than a copy with the given epoch.
func (s *spanSet) since(epoch uint32, out func(span)) {
	if s.many == nil {
		if s.one.end > 0 {
			out(s.one)
		}
		return
	}
	for _, c := range s.many.chunks {
		if c.epoch > epoch {
			for _, sp := range c.spans {
				out(sp)
			}
		}
	}
}

// freeze returns a copy that stays as it is when the set changes, provided that its writer has a new epoch from now on.
func (s *spanSet) freeze() spanSet {
	f := *s
	if s.many != nil {
		f.many = &spanList{chunks: slices.Clone(s.many.chunks)}
	}
	return f
}

// appendTo appends the spans as a delete set has them, without their client and number.
func (s *spanSet) appendTo(dst []byte) []byte {
	if s.many != nil {
		return s.many.appendTo(dst)
	}
	if s.one.end > 0 {
		dst = appendSpan(dst, s.one)
	}
	return dst
}

// equal reports whether both sets hold the same clocks.
func (s *spanSet) equal(o *spanSet) bool {
	a, b := s.cursor(), o.cursor()
	for {
		x, okX := a.next()
		y, okY := b.next()
		if okX != okY || x != y {
			return false
		}
		if !okX {
			return true
		}
	}
}

// spanCursor walks over a set in order.
type spanCursor struct {
	one    span
	chunks []*spanChunk
	index  int
}

func (s *spanSet) cursor() spanCursor {
	if s.many != nil {
		return spanCursor{chunks: s.many.chunks}
	}
	return spanCursor{one: s.one}
}

// peek returns the span that the cursor is at.
func (c *spanCursor) peek() (span, bool) {
	if len(c.chunks) == 0 {
		return c.one, c.one.end > 0
	}
	return c.chunks[0].spans[c.index], true
}

// next returns the span that the cursor is at and moves on.
func (c *spanCursor) next() (span, bool) {
	sp, ok := c.peek()
	switch {
	case !ok:
	case len(c.chunks) == 0:
		c.one = span{}
	default:
		if c.index++; c.index == len(c.chunks[0].spans) {
			c.chunks, c.index = c.chunks[1:], 0
		}
	}
	return sp, ok
}

func appendSpan(dst []byte, sp span) []byte {
	dst = lib0.AppendVarUint(dst, sp.start)
	return lib0.AppendVarUint(dst, sp.end-sp.start)
}
