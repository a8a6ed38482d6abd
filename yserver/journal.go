package yserver

import (
	"context"
	"errors"
	"time"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/protocol/update"
)

const (
	retryFirst = 20 * time.Millisecond
	retryMost  = time.Second
	// joinAnyway is how long the store may fail before peers that claim nothing
	// uncommitted are answered without it.
	joinAnyway = 5 * time.Second
	// updateCost is what an accepted update takes until it is committed, beside
	// its bytes: its places in the log, in a batch and in what is held for the
	// echo. One character weighs more than its bytes by far.
	updateCost = 256
)

// journal is the room's end of the log: one append under way, and what
// gathers for the next. Everything accepted belongs to a generation; the
// generations are committed in order.
type journal struct {
	epoch persist.Epoch
	seq   persist.Seq // of the last committed row

	gen       uint64 // of what gathers now
	committed uint64 // the last committed generation

	gathering entries
	flight    entries
	inFlight  bool // an append is under way, or about to be retried
	asked     bool // it is with the committer
	retry     time.Duration
	conflicts int
	released  uint64    // how often parked structs were released
	watchers  []watcher // in order of their generation
}

// entries are rows to be, with the clocks that they bring.
type entries struct {
	rows    [][]byte
	bytes   int64
	updates int64 // that came; rows may be fewer
	lowest  []update.ID
}

func (e *entries) add(row []byte, from []update.ID) {
	e.rows = append(e.rows, row)
	e.bytes += int64(len(row))
	e.updates++
	e.lowest = lowerAll(e.lowest, from)
}

// init takes up a document that was loaded. In a room whose document was out of
// memory for a while the generations go on: all that there were are stored.
func (j *journal) init(l loaded) {
	j.epoch, j.seq, j.gen = l.epoch, l.seq, max(j.gen, 1)
}

// bytes is what the store does not have yet.
func (j *journal) bytes() int64 { return j.gathering.bytes + j.flight.bytes }

// weight is what the room has in memory for the sake of that.
func (j *journal) weight() int64 {
	return j.bytes() + updateCost*(j.gathering.updates+j.flight.updates)
}

func (j *journal) empty() bool { return len(j.gathering.rows) == 0 && !j.inFlight }

// latest is the generation after whose commit everything accepted so far is
// stored.
func (j *journal) latest() uint64 {
	switch {
	case len(j.gathering.rows) > 0:
		return j.gen
	case j.inFlight:
		return j.gen - 1
	default:
		return j.committed
	}
}

// uncommitted reports whether a state vector claims clocks that the store does
// not have.
func (j *journal) uncommitted(sv []byte) bool {
	claims, err := update.ParseStateVector(nil, sv, update.Limits{})
	if err != nil {
		return true
	}
	for _, lowest := range [][]update.ID{j.gathering.lowest, j.flight.lowest} {
		for _, id := range lowest {
			if clockOf(claims, id.Client) > id.Clock {
				return true
			}
		}
	}
	return false
}

// clockOf returns the clock that a state vector has for a client.
func clockOf(sv []update.ID, client uint64) uint64 {
	for _, id := range sv {
		if id.Client == client {
			return id.Clock
		}
	}
	return 0
}

// logUpdate puts an accepted update into the next append.
func (r *documentRoom) logUpdate(row []byte, from []update.ID) {
	r.journal.gathering.add(row, from)
	r.srv.counters.pendingBytes.Add(int64(len(row)))
	r.srv.counters.pendingUpdates.Add(1)
}

// append starts an append when there is something and none is under way.
func (r *documentRoom) append() {
	j := &r.journal
	if j.inFlight || len(j.gathering.rows) == 0 {
		return
	}
	j.flight, j.gathering = j.gathering, entries{}
	j.gen++
	j.inFlight = true
	j.retry = 0
	if len(j.flight.rows) > 1 {
		// One row instead of many: fewer to write, and fewer to load.
		merged := mergeUpdates(j.flight.rows)
		r.srv.counters.pendingBytes.Add(int64(len(merged)) - j.flight.bytes)
		j.flight.rows = [][]byte{merged}
		j.flight.bytes = int64(len(merged))
	}
	r.submit()
}

// submit gives the append under way to the committer.
func (r *documentRoom) submit() {
	j := &r.journal
	j.asked = true
	r.srv.committer.submit(persist.Append{Key: r.key, Epoch: j.epoch, After: j.seq, Updates: j.flight.rows}, r.commits)
}

// resubmit tries again after a failure.
func (r *documentRoom) resubmit() {
	if r.journal.inFlight && !r.journal.asked {
		r.submit()
	}
}

// committed takes the outcome of an append.
func (r *documentRoom) committed(c commit) {
	j := &r.journal
	j.asked = false
	switch {
	case c.unknown == nil && c.result.Err == nil:
		r.stored(c.result.Seq)
	case c.unknown == nil && errors.Is(c.result.Err, persist.ErrConflict):
		r.readBack()
	case c.unknown == nil && errors.Is(c.result.Err, persist.ErrDeleted),
		c.unknown == nil && errors.Is(c.result.Err, persist.ErrEpoch):
		r.outdate(c.result.Err)
	default:
		r.retryAppend()
	}
}

// stored ends the append under way: its generation is committed.
func (r *documentRoom) stored(seq persist.Seq) {
	j := &r.journal
	rows, bytes, updates := len(j.flight.rows), j.flight.bytes, j.flight.updates
	j.seq = seq
	j.committed = j.gen - 1
	j.inFlight, j.retry, j.conflicts = false, 0, 0
	j.flight = entries{}
	r.srv.counters.pendingBytes.Add(-bytes)
	r.srv.counters.pendingUpdates.Add(-updates)
	r.releaseWaiting()
	j.notify()
	r.saver.committed(r)
	r.notifier.committed(r)
	r.fold.tail(rows, bytes)
	r.startFold()
}

// retryAppend waits and tries the same rows again. Nothing is dropped: they
// stay in memory, and whoever waits for them is told nothing.
func (r *documentRoom) retryAppend() {
	j := &r.journal
	j.retry = min(max(2*j.retry, retryFirst), retryMost)
	r.timers.at(dueRetry, r.now.Add(j.retry))
	if since := r.srv.committer.failingSince(); !since.IsZero() && r.now.Sub(since) >= joinAnyway {
		r.answerClean()
	}
}

// answerClean answers, while the store fails, the peers that claim nothing
// which only this process has: they may read and write on, and nobody tells
// them that anything is stored.
func (r *documentRoom) answerClean() {
	for _, m := range r.waiting {
		for i, h := range m.main {
			if h.sv == nil {
				continue
			}
			if r.journal.uncommitted(h.sv) {
				break
			}
			fs := r.frames[:0]
			for _, h := range m.main[:i+1] {
				fs = append(fs, h.open(m))
			}
			m.main = dropFront(m.main, i+1)
			r.pushAll(m, fs)
			break
		}
	}
}

// readBack looks what is in the log behind our position. Rows that equal ours
// are ours: a commit whose answer got lost. Others were written by another
// server on the same store; they are taken in like a client's.
func (r *documentRoom) readBack() {
	j := &r.journal
	j.conflicts++
	after, epoch := j.seq, j.epoch
	r.goBeside(func() func() {
		ctx, cancel := context.WithTimeout(context.Background(), r.srv.cfg.StoreTimeout)
		defer cancel()
		rows, err := r.rowsAfter(ctx, after, epoch)
		return func() { r.takeIn(rows, err) }
	})
}

// rowsAfter reads the log behind a position. When another server has folded a
// part of it, the snapshot stands for that part.
func (r *documentRoom) rowsAfter(ctx context.Context, after persist.Seq, epoch persist.Epoch) ([]persist.Update, error) {
	rows, err := r.srv.cfg.Store.LoadAfter(ctx, r.key, after)
	if !errors.Is(err, persist.ErrStale) {
		return rows, err
	}
	d, err := r.srv.cfg.Store.Load(ctx, r.key)
	switch {
	case err != nil:
		return nil, err
	case d.Epoch != epoch: // its snapshot is of another life
		return nil, persist.ErrEpoch
	}
	return append([]persist.Update{{Seq: d.Snapshot.Seq, Data: d.Snapshot.Data}}, d.Tail...), nil
}

func (r *documentRoom) takeIn(rows []persist.Update, err error) {
	j := &r.journal
	switch {
	case errors.Is(err, persist.ErrEpoch), errors.Is(err, persist.ErrDeleted), errors.Is(err, persist.ErrConflict):
		r.outdate(err) // conflict: the log is shorter than it was, so it was purged
		return
	case err != nil:
		r.retryAppend()
		return
	}
	for i := range rows {
		if r.isOurs(rows[i:]) {
			r.stored(rows[i+len(j.flight.rows)-1].Seq)
			return
		}
		applied, err := r.doc.Apply(rows[i].Data)
		if err != nil {
			r.log.Error("row of the log does not apply", "seq", rows[i].Seq, "err", err)
			r.evict(closeInternalError, "internal error")
			return
		}
		if applied.New != nil {
			r.add(nil, applied, rows[i].Data)
		}
		j.seq = rows[i].Seq
		r.fold.tail(1, int64(len(rows[i].Data)))
	}
	if j.conflicts > 5 {
		r.retryAppend()
		return
	}
	r.submit()
}

// isOurs reports whether rows begin with the append under way.
func (r *documentRoom) isOurs(rows []persist.Update) bool {
	ours := r.journal.flight.rows
	if len(rows) < len(ours) {
		return false
	}
	for i, row := range ours {
		if string(rows[i].Data) != string(row) {
			return false
		}
	}
	return true
}

// forgetLog drops what was not committed, for a document that is no more.
func (r *documentRoom) forgetLog() {
	r.srv.counters.pendingBytes.Add(-r.journal.bytes())
	r.srv.counters.pendingUpdates.Add(-r.journal.gathering.updates - r.journal.flight.updates)
	r.journal.gathering, r.journal.flight, r.journal.inFlight = entries{}, entries{}, false
}

// whenCommitted calls fn in the room's goroutine once everything accepted so
// far is stored.
func (r *documentRoom) whenCommitted(fn func()) {
	if gen := r.journal.latest(); gen > r.journal.committed {
		r.journal.watchers = append(r.journal.watchers, watcher{gen, fn})
		return
	}
	fn()
}

// watcher waits for a generation.
type watcher struct {
	gen uint64
	fn  func()
}

// notify calls the watchers of what is committed.
func (j *journal) notify() {
	n := 0
	for n < len(j.watchers) && j.watchers[n].gen <= j.committed {
		j.watchers[n].fn()
		n++
	}
	j.watchers = j.watchers[n:]
}
