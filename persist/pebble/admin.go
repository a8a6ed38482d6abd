package pebble

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"

	engine "github.com/cockroachdb/pebble/v2"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/object"
)

// List implements persist's contract. It reads only the heads of the page.
func (s *Store) List(ctx context.Context, party, prefix, cursor string, limit int) (page []persist.Info, next string, err error) {
	if err := s.enter(); err != nil {
		return nil, "", err
	}
	defer s.leave()
	if err := errors.Join(ctx.Err(), persist.ValidateParty(party)); err != nil {
		return nil, "", fmt.Errorf("list: %w", err)
	}
	lower := appendRoomPrefix(nil, kindHead, party, prefix)
	o := engine.IterOptions{LowerBound: lower, UpperBound: prefixEnd(lower)}
	if cursor != "" {
		room, err := parseCursor(cursor, prefix)
		if err != nil {
			return nil, "", fmt.Errorf("list: %w", err)
		}
		o.LowerBound = append(appendRoomPrefix(nil, kindHead, party, room), 0, 0)
	}
	it, err := s.db.NewIter(&o)
	if err != nil {
		return nil, "", fmt.Errorf("list: %w", err)
	}
	defer closeIter(it, &err)
	limit = persist.PageLimit(limit)
	for ok := it.First(); ok; ok = it.Next() {
		if len(page) == limit {
			return page, formatCursor(page[limit-1].Key.Room), nil
		}
		if err := ctx.Err(); err != nil {
			return nil, "", fmt.Errorf("list: %w", err)
		}
		if info, ok := s.info(it); ok {
			page = append(page, info)
		}
	}
	if err := it.Error(); err != nil {
		return nil, "", fmt.Errorf("list: %w", err)
	}
	return page, "", nil
}

// info describes the document at the iterator, whose head may be damaged. Only
// what names no document at all is passed over.
func (s *Store) info(it *engine.Iterator) (persist.Info, bool) {
	k, err := parseNameKey(kindHead, it.Key())
	if err != nil {
		return persist.Info{}, false
	}
	value, err := it.ValueAndErr()
	var h head
	if err == nil {
		h, err = parseHead(it.Key(), value)
	}
	info := h.info(k)
	if err != nil {
		info.Quarantined = s.unreadable(k, 0, "head", err).Error()
	}
	if reason := s.quarantined.reason(k); reason != "" {
		info.Quarantined = reason
	}
	return info, true
}

// A cursor is the last room of the page, in URL-safe text.

func formatCursor(room string) string { return base64.RawURLEncoding.EncodeToString([]byte(room)) }

func parseCursor(cursor, prefix string) (string, error) {
	room, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(room) == 0 || !bytes.HasPrefix(room, []byte(prefix)) || bytes.IndexByte(room, 0) >= 0 {
		return "", fmt.Errorf("%w: cursor of another listing", persist.ErrInvalid)
	}
	return string(room), nil
}

// Record is one key and value as stored. Both are borrowed.
type Record struct {
	Key, Value []byte
}

// Records returns everything that is stored of a document and of the room of the
// same key, byte for byte and unchecked, in the layout of the package comment:
// head, quarantine mark, name, dead client ids, pieces, rows, versions and the
// objects that are or were named; then the room's quarantine mark, its values, its
// times and their places in the indexes. It is how what is quarantined or deleted
// can be exported and examined. A record is valid until the next one. An error
// ends the sequence.
func (s *Store) Records(ctx context.Context, k persist.Key) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		err := s.records(ctx, k, func(r Record) bool { return yield(r, nil) })
		if err != nil {
			yield(Record{}, fmt.Errorf("records: %w", err))
		}
	}
}

func (s *Store) records(ctx context.Context, k persist.Key, yield func(Record) bool) (err error) {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := k.Validate(); err != nil {
		return err
	}
	if err := s.settled(ctx, k); err != nil {
		return err
	}
	if err := s.roomSettled(ctx, k); err != nil {
		return err
	}
	it, err := s.db.NewIter(nil)
	if err != nil {
		return err
	}
	defer closeIter(it, &err)
	for _, r := range s.recordRanges(k) {
		it.SetBounds(r[0], r[1])
		for ok := it.First(); ok; ok = it.Next() {
			if err := ctx.Err(); err != nil {
				return err
			}
			value, err := it.ValueAndErr()
			if err != nil {
				return err
			}
			if !yield(Record{Key: it.Key(), Value: value}) {
				return nil
			}
		}
		if err := it.Error(); err != nil {
			return err
		}
	}
	return nil
}

// recordRanges returns where the parts of a document and a room lie.
func (s *Store) recordRanges(k persist.Key) [][2][]byte {
	headKey := appendNameKey(nil, kindHead, k)
	markKey := appendNameKey(nil, kindQuarantine, k)
	ranges := [][2][]byte{only(headKey), only(markKey)}
	if id := s.numberOf(headKey); id != 0 {
		for _, kind := range [...]byte{kindName, kindDead, kindPiece, kindRow, kindVersion, kindVersionID} {
			lower, upper := numberBounds(kind, id)
			ranges = append(ranges, [2][]byte{lower, upper})
		}
	}
	for _, kind := range [...]byte{kindNamed, kindSuperseded} {
		objects := appendObjectKey(nil, kind, object.DocumentPrefix(s.uuid, k))
		ranges = append(ranges, [2][]byte{objects, prefixEnd(objects)})
	}
	values := appendNameKey(nil, kindValue, k)
	ranges = append(ranges, only(appendNameKey(nil, kindRoomQuarantine, k)), [2][]byte{values, prefixEnd(values)})
	for _, t := range [...]*roomTimes{&s.alarmTimes, &s.deliveryTimes} {
		key := appendNameKey(nil, t.record, k)
		ranges = append(ranges, only(key))
		var ms uint64
		found, err := s.read(key, func(value []byte) (err error) {
			ms, err = parseTime(key, value)
			return err
		})
		if found && err == nil {
			ranges = append(ranges, only(appendTimeKey(nil, t.index, ms, k)))
		}
	}
	return ranges
}

// only is the range of one key.
func only(key []byte) [2][]byte { return [2][]byte{key, append(bytes.Clone(key), 0)} }

// numberOf reads a document's number from its head, without checking the rest,
// so that a damaged head still leads to the rows. Zero: there is none, or the
// number is another document's.
func (s *Store) numberOf(headKey []byte) (id uint64) {
	_, _ = s.read(headKey, func(value []byte) error {
		if len(value) > 2 && value[0] == headV1 {
			d := uvarints{b: value[2:]}
			id = d.next()
		}
		return nil
	})
	own := false
	nameKey := appendNumberKey(nil, kindName, id)
	_, _ = s.read(nameKey, func(value []byte) error {
		name, err := parseRecord(nameKey, value)
		own = err == nil && bytes.Equal(name, headKey)
		return nil
	})
	if !own {
		return 0
	}
	return id
}

// Backup writes a consistent copy of the store into dir, which must not exist
// and whose parent must. The store stays in use; files that do not change any
// more are linked instead of copied where the file system can. The copy is
// opened with Open.
func (s *Store) Backup(dir string) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := s.health.err(); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if err := s.db.Checkpoint(dir, engine.WithFlushedWAL()); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return nil
}
