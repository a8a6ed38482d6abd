package pebble

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/object"
)

// Replace implements persist's contract. The snapshot is written first, see
// deposit; then one synced batch drops everything else of the old epoch.
func (s *Store) Replace(ctx context.Context, k persist.Key, epoch persist.Epoch, dead []uint64, snapshot []byte) (persist.Epoch, error) {
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.leave()
	if err := errors.Join(checkState(k, snapshot), persist.ValidateDead(dead)); err != nil {
		return 0, fmt.Errorf("replace: %w", err)
	}
	unlock, err := s.lockDocument(ctx, k)
	if err != nil {
		return 0, fmt.Errorf("replace: %w", err)
	}
	defer unlock()
	// Somebody may create the document while the pieces are written that were
	// meant for one that does not exist.
	for err = errMoved; errors.Is(err, errMoved); {
		err = s.replace(ctx, k, epoch, dead, snapshot)
	}
	if err != nil {
		return 0, fmt.Errorf("replace: %w", err)
	}
	s.counters.replacements.Add(1)
	return epoch + 1, nil
}

func (s *Store) replace(ctx context.Context, k persist.Key, epoch persist.Epoch, dead []uint64, snapshot []byte) error {
	d := s.newDeposit(k, snapshot, func(h *head) error { return h.check(epoch) })
	var nameSeq persist.Seq
	d.object = func(h *head, sum [sha256.Size]byte) string {
		nameSeq = h.seq + 1
		return object.SnapshotName(s.uuid, k, epoch+1, nameSeq, sum)
	}
	err := d.stage(ctx)
	var e *entry
	if err == nil {
		e, err = d.begin(ctx)
	}
	if err != nil {
		d.discard()
		return err
	}
	merged, err := s.mergedDead(ctx, e, dead)
	if err != nil {
		s.end()
		d.discard()
		return err
	}
	h := &e.state
	b := s.db.NewBatchWithSize(d.batchSize())
	now := toMillis(s.opts.Now())
	created := h.id == 0
	d.add(b, h)
	if created {
		h.created = now
		s.putName(b, h.id, k)
	}
	s.dropSnapshot(b, k, h, now)
	if h.rows() > 0 {
		_ = b.DeleteRange(appendRowKey(nil, h.id, h.snapSeq+1), appendRowKey(nil, h.id, h.seq+1), nil)
	}
	putDead(b, h, merged)
	h.epoch, h.first, h.seq = epoch+1, h.seq, h.seq+1
	h.snapSeq, h.snap, h.logBytes, h.updated = h.seq, d.place, 0, now
	h.nameEpoch, h.nameSeq = 0, 0
	if h.snap.objectBytes != 0 {
		h.nameEpoch, h.nameSeq = h.epoch, nameSeq
	}
	s.ticket++
	ticket := s.ticket
	s.putHead(b, e, ticket)
	return s.wait(ctx, s.queue(b, ticket))
}

// Delete implements persist's contract: it sets the tombstone and raises the
// epoch. Log and snapshot stay until they are purged.
func (s *Store) Delete(ctx context.Context, k persist.Key, dead []uint64) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	err := persist.ValidateDead(dead)
	if err == nil {
		err = s.delete(ctx, k, dead)
	}
	if err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	return nil
}

func (s *Store) delete(ctx context.Context, k persist.Key, dead []uint64) error {
	if err := s.beginExisting(ctx, k); err != nil {
		return err
	}
	e, err := s.head(k)
	var merged []uint64
	if err == nil {
		merged, err = s.mergedDead(ctx, e, dead)
	}
	if err != nil {
		s.end()
		return err
	}
	h := &e.state
	if h.deleted != 0 && merged == nil {
		s.end()
		// The tombstone may be that of a call whose outcome is unknown.
		return s.settled(ctx, k)
	}
	b := s.db.NewBatch()
	if h.deleted == 0 {
		h.deleted = toMillis(s.opts.Now())
		h.epoch++
		key := appendTimeKey(nil, kindTombstone, h.deleted, k)
		_ = b.Set(key, appendRecord(nil, key, nil), nil) // never fails on such a batch
	}
	putDead(b, h, merged)
	s.ticket++
	ticket := s.ticket
	s.putHead(b, e, ticket)
	return s.wait(ctx, s.queue(b, ticket))
}

// Undelete implements persist's contract.
func (s *Store) Undelete(ctx context.Context, k persist.Key) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := s.undelete(ctx, k); err != nil {
		return fmt.Errorf("undelete: %w", err)
	}
	return nil
}

func (s *Store) undelete(ctx context.Context, k persist.Key) error {
	if err := s.beginExisting(ctx, k); err != nil {
		return err
	}
	e, err := s.head(k)
	if err == nil && e.state.deleted == 0 {
		err = persist.ErrNotFound
	}
	if err != nil {
		s.end()
		return err
	}
	b := s.db.NewBatch()
	_ = b.Delete(appendTimeKey(nil, kindTombstone, e.state.deleted, k), nil) // never fails on such a batch
	e.state.deleted = 0
	s.ticket++
	ticket := s.ticket
	s.putHead(b, e, ticket)
	return s.wait(ctx, s.queue(b, ticket))
}
