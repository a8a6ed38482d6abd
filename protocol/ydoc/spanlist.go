package ydoc

import (
	"slices"
	"sort"
)

// maxSpans is how many spans a chunk holds. An insertion moves half of them on average, and the list of chunks once for
// as many insertions: with 256 both stay below a microsecond for millions of spans.
const maxSpans = 256

// spanChunk is a piece of a spanSet. Chunks of an older epoch than the set's writer may be shared with a frozen copy and
// are replaced before they change.
type spanChunk struct {
	spans []span
	epoch uint32
}

// spanList is spans in ascending order that neither overlap nor touch, in chunks that are never empty.
type spanList struct {
	chunks []*spanChunk
}

// len returns the number of spans.
func (s *spanList) len() int {
	n := 0
	for _, c := range s.chunks {
		n += len(c.spans)
	}
	return n
}

// find returns the place of the first span that ends at or after clock: the first that a span starting there could
// touch. Past the end the chunk index is len(chunks).
func (s *spanList) find(clock uint64) (chunk, index int) {
	n := len(s.chunks)
	if n == 0 {
		return 0, 0
	}
	// Most edits happen near the end.
	last := s.chunks[n-1].spans
	if last[0].start <= clock {
		chunk = n - 1
	} else {
		chunk = sort.Search(n, func(i int) bool {
			spans := s.chunks[i].spans
			return spans[len(spans)-1].end >= clock
		})
	}
	if chunk == n {
		return n, 0
	}
	spans := s.chunks[chunk].spans
	lo, hi := 0, len(spans)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if spans[mid].end < clock {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == len(spans) {
		return chunk + 1, 0
	}
	return chunk, lo
}

// covers reports whether the whole range is in the set.
func (s *spanList) covers(start, end uint64) bool {
	i, j := s.find(start + 1)
	if i == len(s.chunks) {
		return false
	}
	sp := s.chunks[i].spans[j]
	return sp.start <= start && end <= sp.end
}

// add puts [start, end) into the set and reports each part that was not in it.
func (s *spanList) add(w *spanWriter, start, end uint64) {
	if start >= end {
		return
	}
	i, j := s.find(start)
	if i == len(s.chunks) || s.chunks[i].spans[j].start > end {
		w.report(start, end)
		s.insert(w, i, j, span{start, end})
		return
	}
	first := s.chunks[i].spans[j]
	if first.start <= start && end <= first.end {
		return
	}
	s.join(w, i, j, start, end)
}

// join merges [start, end) with the span at (i, j), which it touches, and with all that follow and touch it.
func (s *spanList) join(w *spanWriter, i, j int, start, end uint64) {
	merged := span{min(start, s.chunks[i].spans[j].start), end}
	at := start
	ei, ej := i, j
	for ei < len(s.chunks) {
		spans := s.chunks[ei].spans
		for ; ej < len(spans) && spans[ej].start <= end; ej++ {
			w.tally.sub(spans[ej])
			w.report(at, min(spans[ej].start, end))
			at = max(at, spans[ej].end)
			merged.end = max(merged.end, spans[ej].end)
		}
		if ej < len(spans) {
			break
		}
		ei, ej = ei+1, 0
	}
	w.report(at, end)
	w.tally.add(merged)
	s.own(w, i)
	s.chunks[i].spans[j] = merged
	s.remove(w, i, j+1, ei, ej)
}

// remove drops the spans from (i, j) up to (ei, ej), end exclusive. The chunk i must be owned and keep a span.
func (s *spanList) remove(w *spanWriter, i, j, ei, ej int) {
	if ei == i {
		c := s.chunks[i]
		c.spans = append(c.spans[:j], c.spans[ej:]...)
		return
	}
	s.chunks[i].spans = s.chunks[i].spans[:j]
	if ei < len(s.chunks) && ej > 0 {
		s.own(w, ei)
		c := s.chunks[ei]
		c.spans = append(c.spans[:0], c.spans[ej:]...)
	}
	s.chunks = slices.Delete(s.chunks, i+1, ei)
}

// insert puts a span that touches no other before (i, j).
func (s *spanList) insert(w *spanWriter, i, j int, sp span) {
	w.tally.add(sp)
	if i == len(s.chunks) {
		// Behind everything: into the last chunk if it has room. A full one stays full, so that a set filled in order wastes
		// nothing.
		if i == 0 || len(s.chunks[i-1].spans) == maxSpans {
			room := 1
			if i > 0 {
				room = maxSpans // a set that filled a chunk fills another one
			}
			s.chunks = append(s.chunks, &spanChunk{spans: append(make([]span, 0, room), sp), epoch: w.epoch})
			return
		}
		i, j = i-1, len(s.chunks[i-1].spans)
	}
	s.own(w, i)
	c := s.chunks[i]
	if len(c.spans) == maxSpans {
		half := maxSpans / 2
		right := &spanChunk{spans: append(make([]span, 0, maxSpans), c.spans[half:]...), epoch: w.epoch}
		c.spans = c.spans[:half]
		s.chunks = slices.Insert(s.chunks, i+1, right)
		if j > half {
			c, j = right, j-half
		}
	}
	c.spans = slices.Insert(c.room(), j, sp)
}

// room returns the spans with room for one more, and never for more than a chunk holds.
func (c *spanChunk) room() []span {
	if len(c.spans) < cap(c.spans) {
		return c.spans
	}
	return append(make([]span, 0, min(maxSpans, 2*len(c.spans))), c.spans...)
}

// own makes the chunk at i one that may be changed.
func (s *spanList) own(w *spanWriter, i int) {
	if c := s.chunks[i]; c.epoch != w.epoch {
		s.chunks[i] = &spanChunk{spans: slices.Clone(c.spans), epoch: w.epoch}
	}
}

// cut removes everything below clock and hands it to out, in order.
func (s *spanList) cut(w *spanWriter, clock uint64, out func(span)) {
	for len(s.chunks) > 0 {
		s.own(w, 0)
		c := s.chunks[0]
		for len(c.spans) > 0 {
			sp := c.spans[0]
			if sp.start >= clock {
				return
			}
			w.tally.sub(sp)
			if sp.end > clock {
				out(span{sp.start, clock})
				c.spans[0].start = clock
				w.tally.add(c.spans[0])
				return
			}
			out(sp)
			c.spans = c.spans[1:]
		}
		s.chunks[0] = nil
		s.chunks = s.chunks[1:]
	}
}

// appendTo appends the spans as a delete set has them, without their client and number.
func (s *spanList) appendTo(dst []byte) []byte {
	for _, c := range s.chunks {
		for _, sp := range c.spans {
			dst = appendSpan(dst, sp)
		}
	}
	return dst
}
