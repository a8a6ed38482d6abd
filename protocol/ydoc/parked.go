package ydoc

import (
	"bytes"
	"maps"
	"slices"
	"sort"
)

// segment is a run of parked structs of one client: contiguous, with a gap before them.
type segment struct {
	client     uint64
	clock, end uint64
	n          int // structs
	buf        []byte
}

// maxSegments is how many segments a chunk of parked holds.
const maxSegments = 128

// parked holds what came before what it depends on: structs beyond a gap in the clocks of their client, and delete
// ranges of clocks that are not there. It is no part of the document: not in its state vector, not in answers.
type parked struct {
	// Segments, clients descending and clocks ascending, in chunks that are never empty.
	chunks  [][]segment
	n       int // segments
	bytes   int // of their structs
	deletes map[uint64]*spanSet
	spans   spanTally
	epoch   uint32
	encoded []byte // as an update; nil when it must be made anew
}

func (p *parked) empty() bool { return p.n == 0 && p.spans.spans == 0 }

// size returns about how many bytes are parked.
func (p *parked) size() int { return p.bytes + p.spans.bytes }

// count returns how many things are parked.
func (p *parked) count() int { return p.n + p.spans.spans }

// bound returns how many bytes the encoded update takes at most.
func (p *parked) bound() int {
	return p.size() + 2*maxVarUint + (5*p.n+2*len(p.deletes))*maxVarUint
}

// find returns the place of the first segment of the client that ends after the clock, or of what comes behind it.
func (p *parked) find(client, clock uint64) (chunk, index int) {
	after := func(s *segment) bool {
		return s.client < client || s.client == client && s.end > clock
	}
	chunk = sort.Search(len(p.chunks), func(i int) bool {
		c := p.chunks[i]
		return after(&c[len(c)-1])
	})
	if chunk == len(p.chunks) {
		return chunk, 0
	}
	c := p.chunks[chunk]
	return chunk, sort.Search(len(c), func(i int) bool { return after(&c[i]) })
}

// at returns the segment at a place, nil if it belongs to another client or is past the end.
func (p *parked) at(chunk, index int, client uint64) *segment {
	if chunk == len(p.chunks) || p.chunks[chunk][index].client != client {
		return nil
	}
	return &p.chunks[chunk][index]
}

// before returns the segment before a place, nil if it belongs to another client or there is none.
func (p *parked) before(chunk, index int, client uint64) *segment {
	if index > 0 {
		return p.at(chunk, index-1, client)
	}
	if chunk == 0 {
		return nil
	}
	return p.at(chunk-1, len(p.chunks[chunk-1])-1, client)
}

// gaps calls f for each part of [clock, end) that no segment of the client holds.
func (p *parked) gaps(client, clock, end uint64, f func(from, to uint64)) {
	i, j := p.find(client, clock)
	for clock < end {
		s := p.at(i, j, client)
		if s == nil || s.clock >= end {
			f(clock, end)
			return
		}
		if clock < s.clock {
			f(clock, s.clock)
		}
		clock = s.end
		if j++; j == len(p.chunks[i]) {
			i, j = i+1, 0
		}
	}
}

// lacks reports whether any of the client's clocks from clock to end is not parked.
func (p *parked) lacks(client, clock, end uint64) bool {
	lacks := false
	p.gaps(client, clock, end, func(uint64, uint64) { lacks = true })
	return lacks
}

// insert adds a run of encoded structs that overlaps no segment. The bytes are copied.
func (p *parked) insert(r piece) {
	p.encoded = nil
	p.bytes += len(r.raw)
	i, j := p.find(r.client, r.clock)
	next := p.at(i, j, r.client)
	if s := p.before(i, j, r.client); s != nil && s.end == r.clock {
		s.append(r.end, r.n, r.raw)
		if next != nil && next.follows(s) {
			s.append(next.end, next.n, next.buf)
			p.remove(i, j)
		}
		return
	}
	s := segment{client: r.client, clock: r.clock, end: r.end, n: r.n, buf: bytes.Clone(r.raw)}
	if next != nil && next.follows(&s) {
		s.append(next.end, next.n, next.buf)
		*next = s
		return
	}
	p.put(i, j, s)
}

// maxFollowing is the size up to which a segment is added to the one that it follows on. Without it parked clocks could be
// many segments side by side, and a few bytes that name them all would cost the time to pass over each.
const maxFollowing = 512

// follows reports whether s begins where t ends and is small enough to be added to it.
func (s *segment) follows(t *segment) bool {
	return s.clock == t.end && len(s.buf) <= maxFollowing
}

// append adds structs that follow on the segment's.
func (s *segment) append(end uint64, n int, raw []byte) {
	s.end = end
	s.n += n
	s.buf = append(s.buf, raw...)
}

// put puts a segment before a place.
func (p *parked) put(i, j int, s segment) {
	p.n++
	if i == len(p.chunks) {
		if i == 0 || len(p.chunks[i-1]) == maxSegments {
			p.chunks = append(p.chunks, []segment{s})
			return
		}
		i, j = i-1, len(p.chunks[i-1])
	}
	c := p.chunks[i]
	if len(c) == maxSegments {
		half := maxSegments / 2
		right := append(make([]segment, 0, maxSegments), c[half:]...)
		clear(c[half:])
		p.chunks[i] = c[:half]
		p.chunks = slices.Insert(p.chunks, i+1, right)
		if j > half {
			i, j = i+1, j-half
		}
	}
	p.chunks[i] = slices.Insert(p.chunks[i], j, s)
}

// take removes and returns the client's first segment if it begins at or before clock.
func (p *parked) take(client, clock uint64) (segment, bool) {
	i, j := p.find(client, 0)
	s := p.at(i, j, client)
	if s == nil || s.clock > clock {
		return segment{}, false
	}
	out := *s
	p.encoded = nil
	p.bytes -= len(out.buf)
	p.remove(i, j)
	return out, true
}

// remove drops the segment at a place.
func (p *parked) remove(i, j int) {
	p.n--
	switch c := p.chunks[i]; {
	case len(c) == 1:
		p.chunks = slices.Delete(p.chunks, i, i+1)
	case j == 0:
		c[0] = segment{}
		p.chunks[i] = c[1:]
	default:
		p.chunks[i] = slices.Delete(c, j, j+1)
	}
}

// hasDelete reports whether a whole delete range is parked.
func (p *parked) hasDelete(client, start, end uint64) bool {
	set := p.deletes[client]
	return set != nil && set.covers(start, end)
}

// addDelete parks a delete range and reports whether any of it was not parked before.
func (p *parked) addDelete(client, start, end uint64) bool {
	if p.hasDelete(client, start, end) {
		return false
	}
	set := p.deletes[client]
	if set == nil {
		if p.deletes == nil {
			p.deletes = make(map[uint64]*spanSet)
		}
		set = new(spanSet)
		p.deletes[client] = set
	}
	p.encoded = nil
	set.add(&spanWriter{epoch: p.epoch, tally: &p.spans}, start, end)
	return true
}

// takeDeletes removes the client's parked delete ranges below clock and hands them to out.
func (p *parked) takeDeletes(client, clock uint64, out func(span)) {
	set := p.deletes[client]
	if set == nil {
		return
	}
	set.cut(&spanWriter{epoch: p.epoch, tally: &p.spans}, clock, func(s span) {
		p.encoded = nil
		out(s)
	})
	if set.empty() {
		delete(p.deletes, client)
	}
}

// update returns everything as one update with Skips, nil if there is nothing. It must not be modified.
func (p *parked) update() []byte {
	if p.encoded == nil && !p.empty() {
		p.encoded = clip(appendFull(make([]byte, 0, p.bound()), new(store), p))
	}
	return p.encoded
}

// pieces appends every segment to list.
func (p *parked) pieces(list []piece) []piece {
	for _, c := range p.chunks {
		for i := range c {
			list = append(list, piece{client: c[i].client, clock: c[i].clock, end: c[i].end, n: c[i].n, raw: c[i].buf})
		}
	}
	return list
}

// deleteClients returns the clients that have parked delete ranges, descending.
func (p *parked) deleteClients() []uint64 {
	ids := slices.Sorted(maps.Keys(p.deletes))
	slices.Reverse(ids)
	return ids
}
