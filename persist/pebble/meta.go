package pebble

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	engine "github.com/cockroachdb/pebble/v2"

	"github.com/yserverd/yserverd/persist"
)

// storeFormat is the version of the layout in the package comment. A store of a
// higher version is refused, and one of version 1 is turned into one of this.
const storeFormat = 2

// openMeta reads the format record, or writes it if the store is new, and the
// next free number.
func (s *Store) openMeta() error {
	var version uint64
	var id [16]byte
	found, err := s.read(formatKey, func(value []byte) error {
		data, err := parseRecord(formatKey, value)
		if err != nil {
			return err
		}
		d := uvarints{b: data}
		version = d.next()
		if version <= storeFormat {
			copy(id[:], d.b)
		}
		return d.err
	})
	switch {
	case err != nil:
		return fmt.Errorf("format record: %w", err)
	case !found:
		if id, err = s.createMeta(); err != nil {
			return err
		}
	case version == 1:
		if err := s.upgrade(id); err != nil {
			return fmt.Errorf("upgrade from format 1: %w", err)
		}
	case version != storeFormat:
		return &persist.FormatError{Place: s.dir, Found: version, Supported: storeFormat}
	}
	s.uuid = uuidText(id)
	return s.openNext()
}

func (s *Store) createMeta() (id [16]byte, err error) {
	empty, err := s.isEmpty()
	if err != nil {
		return id, err
	}
	if !empty {
		return id, &persist.FormatError{Place: s.dir, Supported: storeFormat}
	}
	_, _ = rand.Read(id[:]) // never fails
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id, s.putFormat(id)
}

// putFormat writes the format record.
func (s *Store) putFormat(id [16]byte) error {
	data := append(binary.AppendUvarint(nil, storeFormat), id[:]...)
	return s.db.Set(formatKey, appendRecord(nil, formatKey, data), engine.Sync)
}

// upgrade turns a store of format 1 into one of format 2: it puts the tombstones
// into their index. The format record comes last, so a crash makes it begin again.
func (s *Store) upgrade(id [16]byte) (err error) {
	it, err := s.db.NewIter(kindBounds(kindHead))
	if err != nil {
		return err
	}
	defer closeIter(it, &err)
	tombstones := 0
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		h, err := parseHead(it.Key(), value)
		k, kerr := parseNameKey(kindHead, it.Key())
		if err != nil || kerr != nil || h.deleted == 0 {
			continue // what is damaged is noticed by whoever reads it
		}
		key := appendTimeKey(nil, kindTombstone, h.deleted, k)
		if err := s.db.Set(key, appendRecord(nil, key, nil), engine.NoSync); err != nil {
			return err
		}
		tombstones++
	}
	if err := it.Error(); err != nil {
		return err
	}
	s.log.Info("store upgraded", "from", 1, "to", storeFormat, "tombstones", tombstones)
	return s.putFormat(id)
}

func (s *Store) isEmpty() (bool, error) {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return false, err
	}
	some := it.First()
	return !some, it.Close()
}

func (s *Store) openNext() error {
	s.next = 1
	_, err := s.read(nextKey, func(value []byte) error {
		data, err := parseRecord(nextKey, value)
		if err != nil {
			return err
		}
		d := uvarints{b: data}
		s.next = d.next()
		return d.err
	})
	if err != nil {
		return fmt.Errorf("number record: %w", err)
	}
	return nil
}

// draw returns a number that was never used, and adds to the batch what keeps it
// from being used again. The write lock is held; batches reach the log in the
// order in which they were built, so no later batch can survive without this.
func (s *Store) draw(b *engine.Batch) uint64 {
	n := s.next
	s.next++
	s.scratch = binary.AppendUvarint(s.scratch[:0], s.next)
	op := b.SetDeferred(len(nextKey), len(s.scratch)+recordOverhead)
	copy(op.Key, nextKey)
	putRecord(op.Value, nextKey, s.scratch)
	finish(op)
	return n
}

// finish ends a deferred operation. It can only fail on an indexed batch.
func finish(op *engine.DeferredBatchOp) { _ = op.Finish() }

// read calls fn with the value at key, which it must not keep, and says whether
// there is one.
func (s *Store) read(key []byte, fn func(value []byte) error) (bool, error) {
	value, closer, err := s.db.Get(key)
	if errors.Is(err, engine.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	err = fn(value)
	if cerr := closer.Close(); err == nil {
		err = cerr
	}
	return true, err
}

func uuidText(id [16]byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
