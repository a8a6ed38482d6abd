package yserver

import (
	"slices"
	"time"

	"github.com/yserverd/yserverd/protocol"
	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/protocol/ydoc"
)

// splitAfter is how long the frame of a sender waits for the commit, in the
// hope that it can be the one that everybody gets. After that it is sent what
// the others wrote, and its own part when the commit is there.
const splitAfter = 5 * time.Millisecond

// item is one accepted update in a batch. Its bytes are never changed.
type item struct {
	data []byte
	from *member // nil: not that of one member alone
}

// batch is what becomes one frame: the updates that came while the room was
// busy. All of it is in the log once generation gen is committed.
type batch struct {
	gen    uint64
	items  []item
	lowest []update.ID // the first new clock of each client
	shared *frame      // all items as one frame, made on demand

	// released: some of it was parked before. Whoever wrote of it, or has anything
	// parked, is told by it that its own is stored, and may lack the rest of it: it
	// gets the batch as a whole, behind the commit.
	released bool
}

// held is something that a peer gets later: a frame, or its share of a batch,
// once generation gen is committed.
//
// A member has two queues of these. What is in main goes out in order and lets
// nothing overtake it; what is in acks tells the member that its own is stored,
// and does not hold up what others write. Whatever is in acks is older than
// whatever is in main, so a client sees its own edits in the order it made them.
type held struct {
	gen   uint64
	frame *frame
	batch *batch
	own   bool   // of batch: only what the peer itself sent
	mixed bool   // of batch: the peer sent some of it, or all; it may be split
	ack   bool   // of frame: it may wait in acks
	sv    []byte // of frame: the state vector that a step 2 answers
}

// add puts an accepted update into the batch being gathered. src is the buffer
// that the update came in; it belongs to the room.
func (r *documentRoom) add(from *member, a ydoc.Applied, src []byte) {
	b, it := r.batch, item{keep(a.New, src), from}
	if a.Released {
		it.from, b.released = nil, true
	}
	b.items = append(b.items, it)
	b.gen = r.journal.latest()
	b.lowest = lowerAll(b.lowest, a.From)
	if from != nil {
		from.batch = r.serial
	}
}

// keep returns data for good: itself if it lies in src, which is ours, else a
// copy.
func keep(data, src []byte) []byte {
	if aliases(data, src) {
		return data
	}
	return slices.Clone(data)
}

// aliases reports whether two slices end in the same array.
func aliases(a, b []byte) bool {
	return cap(a) > 0 && cap(b) > 0 && &a[:cap(a)][cap(a)-1] == &b[:cap(b)][cap(b)-1]
}

// lowerAll merges clocks into ids, keeping the lowest of each client. Batches
// have few clients; one with many is sorted out by a map.
func lowerAll(ids, more []update.ID) []update.ID {
	if len(ids)+len(more) > 64 {
		return lowerMany(ids, more)
	}
next:
	for _, id := range more {
		for i := range ids {
			if ids[i].Client == id.Client {
				ids[i].Clock = min(ids[i].Clock, id.Clock)
				continue next
			}
		}
		ids = append(ids, id)
	}
	return ids
}

func lowerMany(ids, more []update.ID) []update.ID {
	at := make(map[uint64]int, len(ids)+len(more))
	for i, id := range ids {
		at[id.Client] = i
	}
	for _, id := range more {
		if i, ok := at[id.Client]; ok {
			ids[i].Clock = min(ids[i].Clock, id.Clock)
			continue
		}
		at[id.Client] = len(ids)
		ids = append(ids, id)
	}
	return ids
}

// sole returns the member that sent all of the batch, nil if there is none.
func (b *batch) sole() *member {
	first := b.items[0].from
	for _, it := range b.items[1:] {
		if it.from != first {
			return nil
		}
	}
	return first
}

// all returns the frame of the whole batch, encoded once for all peers.
func (b *batch) all() *frame {
	if b.shared == nil {
		b.shared = b.encode(func(item) bool { return true })
	}
	return b.shared
}

// part returns the frame of what m sent (own), or of what the others did; nil
// when there is none of it.
func (b *batch) part(m *member, own bool) *frame {
	if own && b.sole() == m {
		return b.all()
	}
	return b.encode(func(it item) bool { return (it.from == m) == own })
}

func (b *batch) encode(want func(item) bool) *frame {
	parts := make([][]byte, 0, len(b.items))
	for _, it := range b.items {
		if want(it) {
			parts = append(parts, it.data)
		}
	}
	if len(parts) == 0 {
		return nil
	}
	return updateFrame(mergeUpdates(parts), b.lowest)
}

// updateFrame frames an update, whose bytes it keeps.
func updateFrame(u []byte, lowest []update.ID) *frame {
	f := newFrame(opBinary, kindUpdate, protocol.AppendSyncHeader(nil, protocol.SyncUpdate, len(u)), u)
	f.from = lowest
	return f
}

// mergeUpdates makes one update of several that the document has accepted.
func mergeUpdates(parts [][]byte) []byte {
	if len(parts) == 1 {
		return parts[0]
	}
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	merged, err := update.Merge(make([]byte, 0, size), parts...)
	if err != nil {
		panic("yserver: accepted updates do not merge: " + err.Error())
	}
	return merged
}

// fanOut sends the batch: at once to those who sent none of it, to the senders
// as splitAfter describes.
func (r *documentRoom) fanOut() {
	b := r.batch
	if len(b.items) == 0 {
		return
	}
	sole, serial := b.sole(), r.serial
	r.batch = &batch{}
	r.serial++
	committed := r.party.Document.Durability == DurabilityCommitted
	for _, m := range r.members {
		switch {
		case m.stale:
		case !m.synced:
			m.lacks, m.missed = lowerAll(m.lacks, b.lowest), true
		case committed, b.released && (m.batch == serial || m.parked):
			r.hold(m, b)
		case m == sole && len(m.main) == 0:
			m.acks = append(m.acks, held{gen: b.gen, batch: b, own: true})
			r.await(m)
		case m.batch == serial:
			m.main = append(m.main, held{gen: b.gen, batch: b, mixed: true})
			r.await(m)
			r.timers.atMost(dueSplit, r.now.Add(splitAfter))
		case len(m.main) == 0:
			m.peer.push(b.all())
		default:
			m.main = append(m.main, held{batch: b})
		}
	}
}

// hold gives m a batch as a whole, behind what it waits for and behind the commit.
func (r *documentRoom) hold(m *member, b *batch) {
	if b.gen <= r.journal.committed && len(m.main) == 0 {
		m.peer.push(b.all())
		return
	}
	m.main = append(m.main, held{gen: b.gen, batch: b})
	r.await(m)
}

// await remembers that a member waits for a commit.
func (r *documentRoom) await(m *member) {
	if !m.waits {
		m.waits = true
		r.waiting = append(r.waiting, m)
	}
}

// releaseWaiting sends what the last commit has set free.
func (r *documentRoom) releaseWaiting() {
	still := r.waiting[:0]
	for _, m := range r.waiting {
		if r.release(m) {
			still = append(still, m)
		} else {
			m.waits = false
		}
	}
	clear(r.waiting[len(still):])
	r.waiting = still
}

// release sends the front of what is held for m, in order, and reports whether
// anything is left.
func (r *documentRoom) release(m *member) bool {
	if m.gone {
		return false
	}
	fs := r.frames[:0]
	fs, m.acks = r.ready(fs, m, m.acks)
	fs, m.main = r.ready(fs, m, m.main)
	r.pushAll(m, fs)
	return len(m.main)+len(m.acks) > 0
}

// ready moves what is committed from the front of q to fs.
func (r *documentRoom) ready(fs []*frame, m *member, q []held) ([]*frame, []held) {
	n := 0
	for n < len(q) && q[n].gen <= r.journal.committed {
		fs = append(fs, q[n].open(m))
		n++
	}
	return fs, dropFront(q, n)
}

// open returns the frame of what was held.
func (h held) open(m *member) *frame {
	switch {
	case h.frame != nil:
		return h.frame
	case h.own:
		return h.batch.part(m, true)
	default:
		return h.batch.all()
	}
}

func (r *documentRoom) pushAll(m *member, fs []*frame) {
	if len(fs) > 0 {
		m.peer.push(fs...)
	}
	clear(fs)
	r.frames = fs[:0]
}

// splitWaiting gives senders that waited long enough what the others wrote.
func (r *documentRoom) splitWaiting() {
	for _, m := range r.waiting {
		if !m.gone {
			r.split(m)
		}
	}
}

// split sends the front of m.main without what m wrote itself; that becomes an
// acknowledgement. It stops at the first thing that must wait as a whole.
func (r *documentRoom) split(m *member) {
	fs, n := r.frames[:0], 0
	for ; n < len(m.main); n++ {
		h := m.main[n]
		switch {
		case h.mixed:
			if f := h.batch.part(m, false); f != nil {
				fs = append(fs, f)
			}
			m.acks = append(m.acks, held{gen: h.gen, batch: h.batch, own: true})
			continue
		case h.ack:
			m.acks = append(m.acks, h)
			continue
		case h.gen <= r.journal.committed:
			fs = append(fs, h.open(m))
			continue
		}
		break
	}
	m.main = dropFront(m.main, n)
	r.pushAll(m, fs)
}

// dropFront removes the first n, keeping the array while it is small.
func dropFront(q []held, n int) []held {
	if n == len(q) {
		clear(q)
		if cap(q) > 64 {
			return nil
		}
		return q[:0]
	}
	return slices.Delete(q, 0, n)
}

// send gives m a frame behind what it waits for, after generation gen.
func (r *documentRoom) send(m *member, h held) {
	if h.gen <= r.journal.committed && len(m.main) == 0 {
		m.peer.push(h.frame)
		return
	}
	m.main = append(m.main, h)
	r.await(m)
}
