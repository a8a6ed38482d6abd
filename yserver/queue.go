package yserver

import (
	"cmp"
	"slices"

	"github.com/yserverd/yserverd/protocol/update"
)

// verdict is what became of a frame that was offered to a queue.
type verdict uint8

const (
	taken     verdict = iota // it waits
	folded                   // dropped; what it brought is in lost
	conflated                // as folded, and it is the first: the peer fell behind
	refused                  // not wanted now (keepalive)
	overflown                // too many frames wait that must not be dropped
)

// queue is what waits to be written to one peer, bounded in bytes. It is not
// safe for concurrent use: the lock of its peer guards it.
//
// Over the bound the peer is conflated: waiting updates and presence are
// dropped, and so is what comes later, until take. Frames are shared with other
// peers, so the bound is about how far a peer may fall behind rather than memory.
type queue struct {
	frames []*frame
	head   int   // index of the next frame to write
	off    int64 // bytes of it that are written

	bytes   int64             // all that waits, to the byte
	waiting [frameKinds]int64 // cost of frames of which nothing is written

	lost          []update.ID // sorted by client; lowest clock that was dropped
	lostAwareness bool
	behind        bool // conflated
}

// empty reports whether everything is written.
func (q *queue) empty() bool { return q.head == len(q.frames) }

// split reports whether the next frame is half written: nothing may come before
// its rest.
func (q *queue) split() bool { return q.off > 0 }

// offer takes a frame, or does what the bound demands.
func (q *queue) offer(f *frame, bound int64) verdict {
	switch f.kind {
	case kindUpdate, kindAwareness:
		if q.behind {
			q.lose(f)
			return folded
		}
		if !q.empty() && q.bounded()+f.cost() > bound {
			q.conflate()
			q.lose(f)
			return conflated
		}
	case kindCustom:
		if q.waiting[kindCustom] > bound {
			return overflown
		}
		if !q.empty() && !q.behind && q.bounded()+f.cost() > bound && q.droppable() {
			q.conflate()
			q.add(f)
			return conflated
		}
	case kindKeepalive:
		if !q.empty() || q.behind {
			return refused
		}
	}
	q.add(f)
	return taken
}

// bounded is what counts against the bound.
func (q *queue) bounded() int64 {
	return q.waiting[kindUpdate] + q.waiting[kindAwareness] + q.waiting[kindCustom]
}

func (q *queue) droppable() bool { return q.waiting[kindUpdate]+q.waiting[kindAwareness] > 0 }

// add appends a frame whatever the bound says.
func (q *queue) add(f *frame) {
	if q.head > 32 && q.head*2 > len(q.frames) {
		n := copy(q.frames, q.frames[q.head:])
		clear(q.frames[n:])
		q.frames, q.head = q.frames[:n], 0
	}
	q.frames = append(q.frames, f)
	q.bytes += f.size()
	q.waiting[f.kind] += f.cost()
}

// addWritten appends a frame of which n bytes are already written. The queue is
// empty.
func (q *queue) addWritten(f *frame, n int64) {
	q.frames = append(q.frames, f)
	q.bytes += f.size() - n
	q.off = n
	if n == 0 {
		q.waiting[f.kind] += f.cost()
	}
}

// addControl puts a control frame before all that waits, but behind the rest of
// a frame that is half written and behind control frames that came before. A
// ping or pong replaces one that waits: only the latest has to be answered.
func (q *queue) addControl(f *frame) {
	i := q.head
	if q.split() {
		i++
	}
	for ; i < len(q.frames) && q.frames[i].kind == kindControl; i++ {
		old := q.frames[i]
		if op := f.op(); old.op() == op && (op == opPing || op == opPong) {
			q.bytes += f.size() - old.size()
			q.waiting[kindControl] += f.cost() - old.cost()
			q.frames[i] = f
			return
		}
	}
	q.frames = slices.Insert(q.frames, i, f)
	q.bytes += f.size()
	q.waiting[kindControl] += f.cost()
}

// addFirst puts a frame before everything. Nothing is half written yet.
func (q *queue) addFirst(f *frame) {
	q.frames = slices.Insert(q.frames, q.head, f)
	q.bytes += f.size()
	q.waiting[f.kind] += f.cost()
}

// peek appends the bytes to write next, as long as they fit into both bounds; at
// least one piece.
func (q *queue) peek(dst [][]byte, pieces int, size int64) [][]byte {
	skip, left := q.off, size
	for _, f := range q.frames[q.head:] {
		for _, b := range [2][]byte{f.head, f.body} {
			if skip >= int64(len(b)) {
				skip -= int64(len(b))
				continue
			}
			b, skip = b[skip:], 0
			if int64(len(b)) > left {
				b = b[:left]
			}
			dst = append(dst, b)
			left -= int64(len(b))
			if left == 0 || len(dst) == pieces {
				return dst
			}
		}
	}
	return dst
}

// written takes n bytes off the queue. last is true when the frame that closes
// the connection went with them.
func (q *queue) written(n int64) (last bool) {
	q.bytes -= n
	for n > 0 {
		f := q.frames[q.head]
		if q.off == 0 {
			q.waiting[f.kind] -= f.cost()
		}
		rest := f.size() - q.off
		if n < rest {
			q.off += n
			return last
		}
		n -= rest
		q.frames[q.head] = nil
		q.head++
		q.off = 0
		last = last || f.last
	}
	if q.empty() {
		q.frames, q.head = nil, 0
	}
	return last
}

// conflate drops what a diff can replace.
func (q *queue) conflate() {
	q.behind = true
	q.drop(func(f *frame) bool { return f.kind == kindUpdate || f.kind == kindAwareness })
}

// drop removes the frames of which nothing is written and that gone names.
func (q *queue) drop(gone func(*frame) bool) {
	i := q.head
	if q.split() {
		i++
	}
	kept := q.frames[:i]
	for _, f := range q.frames[i:] {
		if !gone(f) {
			kept = append(kept, f)
			continue
		}
		q.bytes -= f.size()
		q.waiting[f.kind] -= f.cost()
		q.lose(f)
	}
	clear(q.frames[len(kept):])
	q.frames = kept
	if q.empty() {
		q.frames, q.head = nil, 0
	}
}

// dropAll forgets everything, written or not: the connection is gone.
func (q *queue) dropAll() {
	*q = queue{behind: q.behind, lost: q.lost, lostAwareness: q.lostAwareness}
}

// lose notes what a peer misses without f.
func (q *queue) lose(f *frame) {
	switch f.kind {
	case kindAwareness:
		q.lostAwareness = true
	case kindUpdate:
		for _, id := range f.from {
			i, found := slices.BinarySearchFunc(q.lost, id, func(a, b update.ID) int { return cmp.Compare(a.Client, b.Client) })
			switch {
			case !found:
				q.lost = slices.Insert(q.lost, i, id)
			case id.Clock < q.lost[i].Clock:
				q.lost[i].Clock = id.Clock
			}
		}
	}
}

// take returns what was lost, appended to dst, and ends the conflation.
func (q *queue) take(dst []update.ID) ([]update.ID, bool) {
	dst, awareness := append(dst, q.lost...), q.lostAwareness
	q.lost, q.lostAwareness, q.behind = nil, false, false
	return dst, awareness
}
