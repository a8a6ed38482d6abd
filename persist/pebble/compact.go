package pebble

import (
	"context"
	"crypto/sha256"
	"fmt"

	engine "github.com/cockroachdb/pebble/v2"

	"github.com/yserverd/yserverd/persist"
)

// maxSnapshotBytes bounds a snapshot: a document has to fit into memory several
// times over anyway.
const maxSnapshotBytes = 1 << 30

// Compact implements persist's contract. The pieces of the snapshot are written
// first, not synced and not visible; then one synced batch switches the head to
// them and drops the rows and the snapshot that they replace. A small snapshot
// goes into that batch itself. The log keeps the order of batches, so the switch
// is never durable without its pieces.
func (s *Store) Compact(ctx context.Context, k persist.Key, epoch persist.Epoch, upTo persist.Seq, snapshot []byte) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := s.compact(ctx, k, epoch, upTo, snapshot); err != nil {
		return fmt.Errorf("compact: %w", err)
	}
	s.counters.compactions.Add(1)
	return nil
}

func (s *Store) compact(ctx context.Context, k persist.Key, epoch persist.Epoch, upTo persist.Seq, snapshot []byte) error {
	switch {
	case len(snapshot) == 0:
		return fmt.Errorf("%w: empty snapshot", persist.ErrInvalid)
	case len(snapshot) > maxSnapshotBytes:
		return fmt.Errorf("%w: snapshot of %d bytes", persist.ErrInvalid, len(snapshot))
	}
	c := compaction{s: s, key: k, epoch: epoch, upTo: upTo, data: snapshot, sum: sha256.Sum256(snapshot)}
	if err := c.stage(ctx); err != nil {
		c.discard()
		return err
	}
	return c.commit(ctx)
}

// compaction is one call of Compact.
type compaction struct {
	s     *Store
	key   persist.Key
	epoch persist.Epoch
	upTo  persist.Seq
	data  []byte
	sum   [sha256.Size]byte

	id     uint64 // of the document; zero until staging begins
	snap   uint64 // number of the snapshot
	staged int    // bytes that are written ahead of the switch
}

// beginChecked is begin, and the document's entry if it may be compacted. On an
// error nothing is held.
func (c *compaction) beginChecked(ctx context.Context) (*entry, error) {
	if err := c.s.begin(ctx); err != nil {
		return nil, err
	}
	e, err := c.s.head(c.key)
	if err == nil {
		err = e.state.check(c.epoch)
	}
	if err == nil && (c.upTo <= e.state.snapSeq || c.upTo > e.state.seq) {
		err = persist.ErrStale
	}
	if err != nil {
		c.s.end()
	}
	return e, err
}

// stage writes all but the last piece, in batches of their own. It first leaves
// a record that they exist, by which sweep finds those that no switch followed.
func (c *compaction) stage(ctx context.Context) error {
	size := c.s.opts.pieceBytes
	if len(c.data) <= size {
		return nil
	}
	e, err := c.beginChecked(ctx)
	if err != nil {
		return err
	}
	b := c.s.db.NewBatchWithSize(batchHeaderLen + 256)
	c.id, c.snap = e.state.id, c.s.draw(b)
	key := appendWritingKey(nil, c.id, c.snap)
	_ = b.Set(key, appendRecord(nil, key, nil), nil) // never fails on such a batch
	if err := c.s.wait(ctx, c.s.queue(b, 0)); err != nil {
		return err
	}
	for ; len(c.data)-c.staged > size; c.staged += size {
		if err := c.s.begin(ctx); err != nil {
			return err
		}
		b := c.s.db.NewBatchWithSize(batchHeaderLen + opLen + pieceKeyLen + size + recordOverhead)
		c.putPiece(b, c.data[c.staged:c.staged+size])
		if err := c.s.wait(ctx, c.s.queue(b, 0)); err != nil {
			return err
		}
	}
	return nil
}

func (c *compaction) putPiece(b *engine.Batch, piece []byte) {
	op := b.SetDeferred(pieceKeyLen, len(piece)+recordOverhead)
	appendPieceKey(op.Key[:0], c.id, c.snap, uint32(c.staged/c.s.opts.pieceBytes))
	putRecord(op.Value, op.Key, piece)
	finish(op)
}

// commit switches the document to the snapshot. The document is checked again,
// since it may have moved while the pieces were written.
func (c *compaction) commit(ctx context.Context) error {
	e, err := c.beginChecked(ctx)
	if err != nil {
		c.discard()
		return err
	}
	h := &e.state
	covered, err := c.s.coveredBytes(ctx, e, c.upTo)
	if err != nil {
		c.s.end()
		c.discard()
		return c.s.unreadable(c.key, 0, "log", err)
	}
	b := c.s.db.NewBatchWithSize(2*batchHeaderLen + 8*opLen + 512 + 2*persist.MaxNameBytes + len(c.data) - c.staged)
	if c.snap == 0 {
		c.id, c.snap = h.id, c.s.draw(b)
	} else {
		_ = b.Delete(appendWritingKey(nil, c.id, c.snap), nil) // never fails on such a batch
	}
	c.putPiece(b, c.data[c.staged:])
	if h.snapSeq != 0 {
		deletePieces(b, h.id, h.snapID)
	}
	_ = b.DeleteRange(appendRowKey(nil, h.id, h.snapSeq+1), appendRowKey(nil, h.id, c.upTo+1), nil)
	h.logBytes -= min(covered, h.logBytes)
	h.snapSeq, h.snapID, h.snapBytes, h.snapSum = c.upTo, c.snap, uint64(len(c.data)), c.sum
	h.updated = toMillis(c.s.opts.Now())
	c.s.ticket++
	ticket := c.s.ticket
	c.s.putHead(b, e, ticket)
	return c.s.wait(ctx, c.s.queue(b, ticket))
}

// coveredBytes returns the bytes of the rows up to upTo. Usually that is all of
// them, which the head knows; otherwise the rows are walked that stay, which are
// those appended while the snapshot was made. The write lock is held.
func (s *Store) coveredBytes(ctx context.Context, e *entry, upTo persist.Seq) (bytes uint64, err error) {
	h := &e.state
	if upTo == h.seq {
		return h.logBytes, nil
	}
	// The head is ahead of the rows by what is queued.
	if err := s.await(ctx, &s.applied, s.heads.ticket(e.key)); err != nil {
		return 0, err
	}
	it, err := s.db.NewIter(&engine.IterOptions{
		LowerBound: appendRowKey(nil, h.id, upTo+1),
		UpperBound: appendRowKey(nil, h.id+1, 0),
	})
	if err != nil {
		return 0, err
	}
	defer closeIter(it, &err)
	var stays uint64
	for ok := it.First(); ok; ok = it.Next() {
		value := it.LazyValue()
		stays += uint64(max(value.Len()-recordOverhead, 0))
	}
	return h.logBytes - min(stays, h.logBytes), it.Error()
}

// discard drops the pieces of a snapshot that will not be switched to. It does
// not wait; what it cannot queue is swept when the store opens next.
func (c *compaction) discard() {
	if c.snap == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.s.opts.RetryPause)
	defer cancel()
	if err := c.s.begin(ctx); err != nil {
		return
	}
	b := c.s.db.NewBatch()
	deletePieces(b, c.id, c.snap)
	_ = b.Delete(appendWritingKey(nil, c.id, c.snap), nil) // never fails on such a batch
	c.s.queue(b, 0)
}

// deletePieces drops a snapshot's pieces.
func deletePieces(b *engine.Batch, id, snap uint64) {
	_ = b.DeleteRange(appendPieceKey(nil, id, snap, 0), appendPieceKey(nil, id, snap+1, 0), nil) // never fails on such a batch
}

// sweep drops the pieces of snapshots that were never switched to, because the
// process died in between. It looks only at the records that stage left, so it
// does not depend on how much is stored.
func (s *Store) sweep() (err error) {
	it, err := s.db.NewIter(kindBounds(kindWriting))
	if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	defer closeIter(it, &err)
	b := s.db.NewBatch()
	swept := 0
	for ok := it.First(); ok; ok = it.Next() {
		id, snap, err := parseWritingKey(it.Key())
		if err != nil {
			continue
		}
		deletePieces(b, id, snap)
		_ = b.Delete(it.Key(), nil) // never fails on such a batch
		swept++
	}
	if err := it.Error(); err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	if swept == 0 {
		return b.Close()
	}
	s.log.Info("unfinished snapshots swept", "count", swept)
	if err := s.db.Apply(b, engine.Sync); err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	return b.Close()
}
