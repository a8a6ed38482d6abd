package pebble

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	engine "github.com/cockroachdb/pebble/v2"

	"github.com/yserverd/yserverd/persist"
)

// Load implements persist's contract. It reads through one iterator, which is
// one state of the store whatever is appended or compacted meanwhile.
func (s *Store) Load(ctx context.Context, k persist.Key) (persist.Document, error) {
	var doc persist.Document
	err := s.view(ctx, k, func(r *reader, h *head) error {
		if h.id == 0 {
			return nil
		}
		doc = persist.Document{Seq: h.seq, Epoch: h.epoch, Exists: true}
		var err error
		if h.snapSeq != 0 {
			if doc.Snapshot.Data, err = r.snapshot(h); err != nil {
				return err
			}
			doc.Snapshot.Seq = h.snapSeq
		}
		doc.Tail, err = r.rows(h, h.snapSeq)
		return err
	})
	if err != nil {
		return persist.Document{}, fmt.Errorf("load: %w", err)
	}
	s.counters.loads.Add(1)
	return doc, nil
}

// LoadAfter implements persist's contract.
func (s *Store) LoadAfter(ctx context.Context, k persist.Key, after persist.Seq) (rows []persist.Update, err error) {
	err = s.view(ctx, k, func(r *reader, h *head) error {
		switch {
		case after > h.seq:
			return persist.ErrConflict
		case after < h.snapSeq:
			return persist.ErrStale
		case after == h.seq:
			return nil
		}
		rows, err = r.rows(h, after)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("load after %d: %w", after, err)
	}
	return rows, nil
}

// view calls fn with the head of a document (id 0: it does not exist) and a
// reader of the same state of the store. All of that state is durable.
func (s *Store) view(ctx context.Context, k persist.Key, fn func(*reader, *head) error) (err error) {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := k.Validate(); err != nil {
		return err
	}
	if err := errors.Join(ctx.Err(), s.quarantined.check(k)); err != nil {
		return err
	}
	// What was asked for before this call is part of the answer. What comes
	// between the wait and the iterator may be in it, and is waited for after.
	if err := s.settled(ctx, k); err != nil {
		return err
	}
	it, err := s.db.NewIter(nil)
	if err != nil {
		return fmt.Errorf("open iterator: %w", err)
	}
	defer closeIter(it, &err)
	if err := s.settled(ctx, k); err != nil {
		return err
	}
	r := &reader{s: s, ctx: ctx, it: it, doc: k}
	h, err := r.head()
	if err != nil {
		return err
	}
	if h.deleted != 0 {
		return persist.ErrDeleted
	}
	return fn(r, &h)
}

// closeIter closes an iterator at the end of a function that returns *err. Close
// repeats the error that reading met, so it only counts when there is none.
func closeIter(it *engine.Iterator, err *error) {
	if cerr := it.Close(); *err == nil {
		*err = cerr
	}
}

// reader reads the parts of one document in one state of the store.
type reader struct {
	s   *Store
	ctx context.Context // of the call that the reader lives in
	it  *engine.Iterator
	doc persist.Key
	buf [2 * pieceKeyLen]byte
}

func (r *reader) head() (head, error) {
	key := appendNameKey(nil, kindHead, r.doc)
	r.it.SetBounds(key, append(bytes.Clone(key), 0))
	if !r.it.First() {
		if err := r.it.Error(); err != nil {
			return head{}, r.s.unreadable(r.doc, 0, "head", err)
		}
		return head{}, nil
	}
	value, err := r.it.ValueAndErr()
	if err != nil {
		return head{}, r.s.unreadable(r.doc, 0, "head", err)
	}
	h, err := parseHead(key, value)
	if err != nil {
		return head{}, r.s.unreadable(r.doc, 0, "head", err)
	}
	return h, nil
}

// snapshot puts the pieces together. Each is checked where it lies, and the
// whole against the head's digest.
func (r *reader) snapshot(h *head) ([]byte, error) {
	lower := appendPieceKey(r.buf[:0], h.id, h.snapID, 0)
	upper := appendPieceKey(r.buf[pieceKeyLen:pieceKeyLen], h.id, h.snapID+1, 0)
	r.it.SetBounds(lower, upper)
	data := make([]byte, 0, h.snapBytes)
	piece := uint32(0)
	err := r.each(func(key, value []byte) error {
		index, err := pieceKeyIndex(key)
		if err != nil {
			return err
		}
		if index != piece {
			return errMissing
		}
		piece++
		if uint64(len(data)+len(value)) > h.snapBytes {
			return errSize
		}
		data = append(data, value...)
		return nil
	})
	if err == nil && uint64(len(data)) != h.snapBytes {
		err = errSize
	}
	if err == nil && sha256.Sum256(data) != h.snapSum {
		err = errDigest
	}
	if err != nil {
		return nil, r.s.unreadable(r.doc, 0, fmt.Sprintf("snapshot %d, piece %d", h.snapSeq, piece), err)
	}
	return data, nil
}

// rows reads the rows behind after up to the head's sequence number, into one
// allocation for the bytes of all of them.
func (r *reader) rows(h *head, after persist.Seq) ([]persist.Update, error) {
	if after == h.seq {
		return nil, r.noRowsBeyond(h)
	}
	lower := appendRowKey(r.buf[:0], h.id, after+1)
	upper := appendRowKey(r.buf[rowKeyLen:rowKeyLen], h.id+1, 0)
	r.it.SetBounds(lower, upper)
	// A damaged head cannot make this large: heads are checked, and the number
	// of rows is bounded by their bytes or by what is found.
	rows := make([]persist.Update, 0, min(h.seq-after, 1<<16))
	data := make([]byte, 0, h.bytesAfter(after))
	next := after + 1
	err := r.each(func(key, value []byte) error {
		seq, err := rowKeySeq(key)
		switch {
		case err != nil:
			return err
		case seq > h.seq:
			next = seq
			return errSurplus
		case seq != next:
			return errMissing
		}
		next++
		from := len(data)
		data = append(data, value...)
		rows = append(rows, persist.Update{Seq: seq, Data: data[from:len(data):len(data)]})
		return nil
	})
	if err == nil && next <= h.seq {
		err = errMissing
	}
	if err != nil {
		return nil, r.s.unreadable(r.doc, next, "log", err)
	}
	return rows, nil
}

// bytesAfter guesses the bytes of the rows behind after, exactly when that is
// all of them.
func (h *head) bytesAfter(after persist.Seq) uint64 {
	if after == h.snapSeq {
		return h.logBytes
	}
	return h.logBytes / h.rows() * (h.seq - after)
}

// noRowsBeyond makes sure that the log ends where the head says.
func (r *reader) noRowsBeyond(h *head) error {
	lower := appendRowKey(r.buf[:0], h.id, h.seq+1)
	upper := appendRowKey(r.buf[rowKeyLen:rowKeyLen], h.id+1, 0)
	r.it.SetBounds(lower, upper)
	if r.it.First() {
		return r.s.unreadable(r.doc, binary.BigEndian.Uint64(r.it.Key()[9:]), "log", errSurplus)
	}
	if err := r.it.Error(); err != nil {
		return r.s.unreadable(r.doc, h.seq+1, "log", err)
	}
	return nil
}

// each calls fn with key and data of every record within the iterator's bounds.
func (r *reader) each(fn func(key, data []byte) error) error {
	for ok := r.it.First(); ok; ok = r.it.Next() {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		value, err := r.it.ValueAndErr()
		if err != nil {
			return err
		}
		data, err := parseRecord(r.it.Key(), value)
		if err != nil {
			return err
		}
		if err := fn(r.it.Key(), data); err != nil {
			return err
		}
	}
	return r.it.Error()
}
