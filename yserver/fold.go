package yserver

import (
	"context"
	"errors"
	"fmt"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/protocol/ydoc"
)

const (
	foldShare    = 8  // the log is at least this part of the document,
	foldPatience = 20 // or has so many times the rows that suffice for a small one
)

// fold counts the log behind the last snapshot, and remembers whether it is
// being folded into the next.
type fold struct {
	rows    int
	bytes   int64
	atRows  int // fold when there are so many rows
	atBytes int64
	running bool
}

// init takes what loading found behind the snapshot.
func (f *fold) init(d *Document, rows int, bytes int64) {
	f.rows, f.bytes = rows, bytes
	f.atRows, f.atBytes = d.SnapshotUpdates, d.SnapshotBytes
}

// due reports whether the log has grown enough. Folding writes the whole
// document, so a large one waits until that is in proportion to the log, or the
// log has too many rows to be loaded quickly.
func (f *fold) due(document int64) bool {
	if f.rows < f.atRows && f.bytes < f.atBytes {
		return false
	}
	return f.bytes >= document/foldShare || f.rows >= foldPatience*f.atRows
}

// tail notes rows that no snapshot covers.
func (f *fold) tail(rows int, bytes int64) {
	f.rows += rows
	f.bytes += bytes
}

// startFold compacts the document beside the room when the log has grown
// enough. The room goes on meanwhile; what comes is appended behind.
func (r *documentRoom) startFold() {
	f := &r.fold
	if f.running || !f.due(r.docBytes) {
		return
	}
	f.running = true
	rows, bytes, upTo, epoch := f.rows, f.bytes, r.journal.seq, r.journal.epoch
	frozen := r.doc.Freeze()
	r.goBeside(func() func() {
		r.srv.folding <- struct{}{}
		defer func() { <-r.srv.folding }()
		compacted, err := r.compact(frozen, epoch, upTo)
		return func() { r.folded(compacted, rows, bytes, err) }
	})
}

// compact makes a snapshot, proves that it is the document, and stores it in
// place of the rows up to upTo. The snapshot may hold more than those rows: what
// was accepted and not yet committed. Applying it again changes nothing.
func (r *documentRoom) compact(frozen *ydoc.Frozen, epoch persist.Epoch, upTo persist.Seq) (c *ydoc.Compacted, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic while compacting: %v", v)
		}
	}()
	c, err = frozen.Compact()
	if err != nil {
		return nil, err
	}
	if err := frozen.Check(c.Update()); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTime(r.srv.cfg.StoreTimeout, int64(len(c.Update()))))
	defer cancel()
	err = r.srv.cfg.Store.Compact(ctx, r.key, epoch, upTo, c.Update())
	if err != nil && !errors.Is(err, persist.ErrStale) { // stale: a snapshot that reaches as far is there
		return nil, err
	}
	return c, nil
}

// folded takes the outcome.
func (r *documentRoom) folded(c *ydoc.Compacted, rows int, bytes int64, err error) {
	f, d := &r.fold, r.party.Document
	f.running = false
	if errors.Is(err, persist.ErrEpoch) || errors.Is(err, persist.ErrDeleted) {
		r.outdate(err)
		return
	}
	if err != nil {
		r.srv.counters.foldFailures.Add(1)
		r.log.Error("snapshot failed; the log keeps growing until the next try", "err", err)
		f.atRows, f.atBytes = f.rows+d.SnapshotUpdates, f.bytes+d.SnapshotBytes
		return
	}
	f.init(d, f.rows-rows, f.bytes-bytes)
	r.srv.counters.folds.Add(1)
	if r.doc.Adopt(c) {
		r.state, r.stateBody = nil, nil
		r.account()
	}
	r.versions.offer(r)
}
