package pebble

import (
	"context"
	"errors"
	"fmt"

	engine "github.com/cockroachdb/pebble/v2"

	"github.com/yserverd/yserverd/persist"
)

// maxBatchBytes bounds the updates of one call; the engine's batches have 32-bit
// offsets.
const maxBatchBytes = 1 << 30

// batchHeaderLen and opLen bound what the engine's batch adds: to the whole, and
// to each operation (kind and two lengths).
const (
	batchHeaderLen = 12
	opLen          = 1 + 2*5
)

// Append implements persist's contract: one batch and one fsync for all
// documents, shared with the calls that run at the same time. Updates are copied
// once, into the batch.
func (s *Store) Append(ctx context.Context, items []persist.Append) ([]persist.Result, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	size, err := batchSize(items)
	if err != nil {
		return nil, err
	}
	if err := s.begin(ctx); err != nil {
		return nil, fmt.Errorf("append: %w", err)
	}
	b := s.db.NewBatchWithSize(size)
	results := make([]persist.Result, len(items))
	s.ticket++
	ticket, now := s.ticket, toMillis(s.opts.Now())
	var rows, bytes uint64
	for i := range items {
		n, err := s.appendOne(b, &items[i], ticket, now, &results[i])
		if err != nil {
			results[i].Err = err
			s.counters.refused.Add(1)
			continue
		}
		rows += uint64(len(items[i].Updates))
		bytes += n
	}
	if b.Empty() {
		s.ticket--
		s.end()
		return results, b.Close()
	}
	if err := s.wait(ctx, s.queue(b, ticket)); err != nil {
		return nil, fmt.Errorf("append: %w", err)
	}
	s.counters.appended.Add(rows)
	s.counters.appendedBytes.Add(bytes)
	return results, nil
}

// batchSize bounds the batch that the items make.
func batchSize(items []persist.Append) (int, error) {
	size, data := batchHeaderLen, 0
	for i := range items {
		k := items[i].Key
		size += 3*opLen + 3*(len(k.Party)+len(k.Room)+3) + maxHeadLen + len(nextKey) + 32
		for _, u := range items[i].Updates {
			data += len(u)
		}
		size += len(items[i].Updates) * (opLen + rowKeyLen + recordOverhead)
	}
	if data > maxBatchBytes {
		return 0, fmt.Errorf("append: %w: %d bytes in one call, more than %d", persist.ErrInvalid, data, maxBatchBytes)
	}
	return size + data, nil
}

// appendOne checks one document and adds its rows and its head to the batch. On
// an error it has added nothing. The write lock is held.
func (s *Store) appendOne(b *engine.Batch, a *persist.Append, ticket, now uint64, r *persist.Result) (uint64, error) {
	e, err := s.head(a.Key)
	if err != nil {
		return 0, err
	}
	h := &e.state
	err = h.check(a.Epoch)
	if err == nil && a.After != h.seq {
		err = persist.ErrConflict
	}
	if !errors.Is(err, persist.ErrDeleted) {
		r.Seq = h.seq
	}
	if err != nil || len(a.Updates) == 0 {
		return 0, err
	}
	if h.id == 0 {
		h.id = s.draw(b)
		h.created = now
		s.putName(b, h.id, a.Key)
	}
	var bytes uint64
	for _, u := range a.Updates {
		h.seq++
		op := b.SetDeferred(rowKeyLen, len(u)+recordOverhead)
		appendRowKey(op.Key[:0], h.id, h.seq)
		putRecord(op.Value, op.Key, u)
		finish(op)
		bytes += uint64(len(u))
	}
	h.logBytes += bytes
	h.updated = now
	s.putHead(b, e, ticket)
	r.Seq = h.seq
	return bytes, nil
}

// putName adds the record that says whose number id is.
func (s *Store) putName(b *engine.Batch, id uint64, k persist.Key) {
	s.scratch = appendNameKey(s.scratch[:0], kindHead, k)
	op := b.SetDeferred(1+8, len(s.scratch)+recordOverhead)
	appendNumberKey(op.Key[:0], kindName, id)
	putRecord(op.Value, op.Key, s.scratch)
	finish(op)
}

// check says whether a writer of that epoch may write.
func (h *head) check(epoch persist.Epoch) error {
	switch {
	case h.deleted != 0:
		return persist.ErrDeleted
	case h.epoch != epoch:
		return persist.ErrEpoch
	}
	return nil
}

// head returns what the store knows of a document, with id 0 when it does not
// exist. The write lock is held, so this is the state behind everything queued.
func (s *Store) head(k persist.Key) (*entry, error) {
	if e := s.heads.get(k); e != nil {
		return e, s.quarantined.check(k)
	}
	if err := k.Validate(); err != nil {
		return nil, err
	}
	if err := s.quarantined.check(k); err != nil {
		return nil, err
	}
	e := &entry{key: k}
	s.scratch = appendNameKey(s.scratch[:0], kindHead, k)
	_, err := s.read(s.scratch, func(value []byte) (err error) {
		e.state, err = parseHead(s.scratch, value)
		return err
	})
	if err != nil {
		return nil, s.unreadable(k, 0, "head", err)
	}
	return e, nil
}

// putHead adds the head to the batch and remembers it.
func (s *Store) putHead(b *engine.Batch, e *entry, ticket uint64) {
	s.scratch = appendNameKey(s.scratch[:0], kindHead, e.key)
	n := len(s.scratch)
	s.scratch = appendHead(s.scratch, s.scratch[:n], &e.state)
	_ = b.Set(s.scratch[:n], s.scratch[n:], nil) // never fails on such a batch
	s.heads.put(e, ticket, s.durable.n.Load())
}
