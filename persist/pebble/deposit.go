package pebble

import (
	"context"
	"crypto/sha256"
	"fmt"

	engine "github.com/cockroachdb/pebble/v2"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/object"
)

// maxSnapshotBytes bounds a snapshot or a version: a document has to fit into
// memory several times over anyway.
const maxSnapshotBytes = 1 << 30

// errMoved: the document is another than the one whose pieces were written.
var errMoved = fmt.Errorf("%w: the document was made anew", persist.ErrStale)

// deposit is a state, a snapshot or a version, on its way into the store. It is
// written ahead of the batch that names it.
//
// In the store, that is all pieces but the last, not synced and not visible; the
// last goes into the batch itself. The log keeps the order of batches, so the
// batch is never durable without the pieces. In a bucket it is the object, which
// is durable once it is put. A crash in between leaves pieces or an object that
// nothing names: the former go when the store is opened, the latter with Sweep.
type deposit struct {
	s    *Store
	key  persist.Key
	data []byte
	// check says whether the document takes the state. It is asked under the
	// write lock, before anything is written and again in the end.
	check func(*head) error
	// object names the object of a state with that sum.
	object func(h *head, sum [sha256.Size]byte) string

	place  place
	id     uint64 // number of the document that the pieces are filed under; zero until staging begins
	staged int    // bytes that are written ahead
	name   string // of the object; empty until it is put
}

// checkState checks the arguments that every state comes with.
func checkState(k persist.Key, state []byte) error {
	switch {
	case len(state) == 0:
		return fmt.Errorf("%w: empty state", persist.ErrInvalid)
	case len(state) > maxSnapshotBytes:
		return fmt.Errorf("%w: state of %d bytes", persist.ErrInvalid, len(state))
	}
	return k.Validate()
}

func (s *Store) newDeposit(k persist.Key, data []byte, check func(*head) error) *deposit {
	return &deposit{s: s, key: k, data: data, check: check, place: place{bytes: uint64(len(data))}}
}

// begin is Store.begin, and the document's entry if it takes the state. On an
// error nothing is held.
func (d *deposit) begin(ctx context.Context) (*entry, error) {
	if err := d.s.begin(ctx); err != nil {
		return nil, err
	}
	e, err := d.s.head(d.key)
	if err == nil {
		err = d.check(&e.state)
	}
	if err == nil && d.id != 0 && e.state.id != 0 && e.state.id != d.id {
		err = errMoved
	}
	if err != nil {
		d.s.end()
		return nil, err
	}
	return e, nil
}

// stage writes what can be written ahead.
func (d *deposit) stage(ctx context.Context) error {
	if d.s.opts.Bucket != nil {
		return d.put(ctx)
	}
	d.place.sum = sha256.Sum256(d.data)
	return d.stagePieces(ctx)
}

// put puts the object. The document's lock is held, and stays so until the batch
// is queued that names it: Sweep and Purge take it for one that nothing names.
func (d *deposit) put(ctx context.Context) error {
	e, err := d.begin(ctx)
	if err != nil {
		return err
	}
	h := e.state
	d.s.end()
	stored, sum := object.Encode(d.data)
	d.place.objectBytes, d.place.sum = uint64(len(stored)), sum
	d.name = d.object(&h, sum)
	if err := d.s.opts.Bucket.Put(ctx, d.name, stored); err != nil {
		return fmt.Errorf("put object %q: %w", d.name, err)
	}
	return nil
}

// stagePieces writes all but the last piece, in batches of their own. It first
// leaves a record that they exist, by which dropUnfinished finds those that
// nothing came to name.
func (d *deposit) stagePieces(ctx context.Context) error {
	size := d.s.opts.pieceBytes
	if len(d.data) <= size {
		return nil
	}
	e, err := d.begin(ctx)
	if err != nil {
		return err
	}
	b := d.s.db.NewBatchWithSize(batchHeaderLen + 256)
	if d.id = e.state.id; d.id == 0 {
		d.id = d.s.draw(b)
	}
	d.place.id = d.s.draw(b)
	key := appendWritingKey(nil, d.id, d.place.id)
	_ = b.Set(key, appendRecord(nil, key, nil), nil) // never fails on such a batch
	if err := d.s.wait(ctx, d.s.queue(b, 0)); err != nil {
		return err
	}
	for ; len(d.data)-d.staged > size; d.staged += size {
		if err := d.s.begin(ctx); err != nil {
			return err
		}
		b := d.s.db.NewBatchWithSize(batchHeaderLen + opLen + pieceKeyLen + size + recordOverhead)
		d.putPiece(b, d.data[d.staged:d.staged+size])
		if err := d.s.wait(ctx, d.s.queue(b, 0)); err != nil {
			return err
		}
	}
	return nil
}

func (d *deposit) putPiece(b *engine.Batch, piece []byte) {
	op := b.SetDeferred(pieceKeyLen, len(piece)+recordOverhead)
	appendPieceKey(op.Key[:0], d.id, d.place.id, uint32(d.staged/d.s.opts.pieceBytes))
	putRecord(op.Value, op.Key, piece)
	finish(op)
}

// batchSize bounds the batch that add and a head go into.
func (d *deposit) batchSize() int {
	return 2*batchHeaderLen + 16*opLen + 2048 + 4*persist.MaxNameBytes + len(d.data) - d.staged
}

// add completes the state in the batch that names it. A document that does not
// exist gets its number. The write lock is held.
func (d *deposit) add(b *engine.Batch, h *head) {
	if h.id == 0 {
		if h.id = d.id; h.id == 0 {
			h.id = d.s.draw(b)
		}
	}
	if d.name != "" {
		key := appendObjectKey(nil, kindNamed, d.name)
		_ = b.Set(key, appendRecord(nil, key, nil), nil) // never fails on such a batch
		return
	}
	d.id = h.id
	if d.place.id == 0 {
		d.place.id = d.s.draw(b)
	} else {
		_ = b.Delete(appendWritingKey(nil, d.id, d.place.id), nil) // never fails on such a batch
	}
	d.putPiece(b, d.data[d.staged:])
}

// discard drops the pieces of a state that nothing will name. It does not wait;
// what it cannot queue is dropped when the store opens next. An object is left to
// Sweep.
func (d *deposit) discard() {
	if d.place.id == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), d.s.opts.RetryPause)
	defer cancel()
	if err := d.s.begin(ctx); err != nil {
		return
	}
	b := d.s.db.NewBatch()
	deletePieces(b, d.id, d.place.id)
	_ = b.Delete(appendWritingKey(nil, d.id, d.place.id), nil) // never fails on such a batch
	d.s.queue(b, 0)
	d.id, d.place.id, d.staged = 0, 0, 0
}

// deletePieces drops the pieces of a state.
func deletePieces(b *engine.Batch, id, number uint64) {
	_ = b.DeleteRange(appendPieceKey(nil, id, number, 0), appendPieceKey(nil, id, number+1, 0), nil) // never fails on such a batch
}

// dropSnapshot drops the document's snapshot, if there is one.
func (s *Store) dropSnapshot(b *engine.Batch, k persist.Key, h *head, now uint64) {
	switch {
	case h.snapSeq == 0:
	case h.snap.objectBytes != 0:
		supersede(b, s.snapshotName(k, h), now)
	default:
		deletePieces(b, h.id, h.snap.id)
	}
}

// snapshotName is the name of the object that the document's snapshot is in.
func (s *Store) snapshotName(k persist.Key, h *head) string {
	return object.SnapshotName(s.uuid, k, h.nameEpoch, h.nameSeq, h.snap.sum)
}
