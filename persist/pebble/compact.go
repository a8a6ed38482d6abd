package pebble

import (
	"context"
	"crypto/sha256"
	"fmt"

	engine "github.com/cockroachdb/pebble/v2"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/object"
)

// Compact implements persist's contract. The snapshot is written first, see
// deposit; then one synced batch switches the head to it and drops the rows and
// the snapshot that it replaces.
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
	if err := checkState(k, snapshot); err != nil {
		return err
	}
	if s.opts.Bucket != nil {
		unlock, err := s.lockDocument(ctx, k)
		if err != nil {
			return err
		}
		defer unlock()
	}
	d := s.newDeposit(k, snapshot, func(h *head) error {
		err := h.check(epoch)
		if err == nil && (upTo <= h.snapSeq || upTo > h.seq) {
			err = persist.ErrStale
		}
		return err
	})
	d.object = func(_ *head, sum [sha256.Size]byte) string { return object.SnapshotName(s.uuid, k, epoch, upTo, sum) }
	if err := d.stage(ctx); err != nil {
		d.discard()
		return err
	}
	return s.switchTo(ctx, d, epoch, upTo)
}

// switchTo makes the state the document's snapshot. The document is checked
// again, since it may have moved while the state was written.
func (s *Store) switchTo(ctx context.Context, d *deposit, epoch persist.Epoch, upTo persist.Seq) error {
	e, err := d.begin(ctx)
	if err != nil {
		d.discard()
		return err
	}
	h := &e.state
	covered, err := s.coveredBytes(ctx, e, upTo)
	if err != nil {
		s.end()
		d.discard()
		return s.unreadable(d.key, 0, "log", err)
	}
	b := s.db.NewBatchWithSize(d.batchSize())
	now := toMillis(s.opts.Now())
	d.add(b, h)
	s.dropSnapshot(b, d.key, h, now)
	_ = b.DeleteRange(appendRowKey(nil, h.id, h.snapSeq+1), appendRowKey(nil, h.id, upTo+1), nil)
	h.logBytes -= min(covered, h.logBytes)
	h.snapSeq, h.snap, h.nameEpoch, h.nameSeq = upTo, d.place, epoch, upTo
	if h.snap.objectBytes == 0 {
		h.nameEpoch, h.nameSeq = 0, 0
	}
	h.updated = now
	s.ticket++
	ticket := s.ticket
	s.putHead(b, e, ticket)
	return s.wait(ctx, s.queue(b, ticket))
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

// dropUnfinished drops the pieces of states that were never switched to, because the
// process died in between. It looks only at the records that stage left, so it
// does not depend on how much is stored.
func (s *Store) dropUnfinished() (err error) {
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
