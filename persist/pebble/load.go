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
	if err := s.enter(); err != nil {
		return persist.Document{}, err
	}
	defer s.leave()
	doc, err := s.load(ctx, k)
	if err != nil {
		return persist.Document{}, fmt.Errorf("load: %w", err)
	}
	s.counters.loads.Add(1)
	return doc, nil
}

func (s *Store) load(ctx context.Context, k persist.Key) (doc persist.Document, err error) {
	var name string
	object, err := s.fetchOf(ctx, k, func() (_ string, p place, err error) {
		name, doc = "", persist.Document{}
		err = s.view(ctx, k, func(r *reader, h *head) (err error) {
			if h.id == 0 {
				return nil
			}
			if h.snap.objectBytes != 0 {
				name, p = s.snapshotName(k, h), h.snap
			}
			doc, err = r.document(h)
			return err
		})
		return name, p, err
	})
	var bad badRecord
	switch {
	case errors.As(err, &bad):
		return persist.Document{}, s.unreadable(k, 0, fmt.Sprintf("snapshot %d, object %q", doc.Snapshot.Seq, name), bad)
	case err != nil:
		return persist.Document{}, err
	case name != "":
		doc.Snapshot.Data = object
	}
	return doc, nil
}

// document reads everything but a snapshot that is in a bucket.
func (r *reader) document(h *head) (doc persist.Document, err error) {
	doc = persist.Document{Seq: h.seq, Epoch: h.epoch, First: h.first, Exists: true}
	if doc.Dead, err = r.dead(h); err != nil {
		return doc, err
	}
	doc.Snapshot.Seq = h.snapSeq
	if h.snapSeq != 0 && h.snap.objectBytes == 0 {
		var piece uint32
		doc.Snapshot.Data, piece, err = r.pieces(h.id, &h.snap)
		if err != nil {
			return doc, r.s.unreadable(r.doc, 0, fmt.Sprintf("snapshot %d, piece %d", h.snapSeq, piece), err)
		}
	}
	doc.Tail, err = r.rows(h, h.snapSeq)
	return doc, err
}

// LoadAfter implements persist's contract.
func (s *Store) LoadAfter(ctx context.Context, k persist.Key, after persist.Seq) (rows []persist.Update, err error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
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
func (s *Store) view(ctx context.Context, k persist.Key, fn func(*reader, *head) error) error {
	if err := k.Validate(); err != nil {
		return err
	}
	if err := errors.Join(ctx.Err(), s.quarantined.check(k)); err != nil {
		return err
	}
	return s.viewAny(ctx, k, func(r *reader) error {
		h, err := r.head()
		if err != nil {
			return err
		}
		if h.deleted != 0 {
			return persist.ErrDeleted
		}
		return fn(r, &h)
	})
}

// viewAny is view for a document that may be out of service.
func (s *Store) viewAny(ctx context.Context, k persist.Key, fn func(*reader) error) (err error) {
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
	return fn(&reader{s: s, ctx: ctx, it: it, doc: k})
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

// pieces puts the pieces of a state together. Each is checked where it lies, and
// the whole against the digest. On an error it returns the piece that is at fault.
func (r *reader) pieces(id uint64, p *place) ([]byte, uint32, error) {
	lower := appendPieceKey(r.buf[:0], id, p.id, 0)
	upper := appendPieceKey(r.buf[pieceKeyLen:pieceKeyLen], id, p.id+1, 0)
	r.it.SetBounds(lower, upper)
	data := make([]byte, 0, p.bytes)
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
		if uint64(len(data)+len(value)) > p.bytes {
			return errSize
		}
		data = append(data, value...)
		return nil
	})
	if err == nil && uint64(len(data)) != p.bytes {
		err = errSize
	}
	if err == nil && sha256.Sum256(data) != p.sum {
		err = errDigest
	}
	if err != nil {
		return nil, piece, err
	}
	return data, 0, nil
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
