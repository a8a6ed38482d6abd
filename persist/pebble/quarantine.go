package pebble

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"

	engine "github.com/cockroachdb/pebble/v2"

	"github.com/yserverd/yserverd/persist"
)

// quarantined is the set of documents, or of rooms' data, that are out of
// service. It is in memory as a whole, since every call looks at it and it is
// empty on a sound disk.
type quarantined struct {
	kind byte   // of the marks' keys
	what string // is quarantined, for people

	mu    sync.RWMutex
	marks map[persist.Key]*persist.CorruptError
}

// check returns why a document or room is out of service, or nil.
func (q *quarantined) check(k persist.Key) error {
	q.mu.RLock()
	defer q.mu.RUnlock()
	if mark := q.marks[k]; mark != nil {
		return mark
	}
	return nil
}

// reason is check for List.
func (q *quarantined) reason(k persist.Key) string {
	q.mu.RLock()
	defer q.mu.RUnlock()
	mark := q.marks[k]
	switch {
	case mark == nil:
		return ""
	case mark.Row != 0:
		return fmt.Sprintf("row %d: %s", mark.Row, mark.Reason)
	default:
		return mark.Reason
	}
}

// add returns false when there was a mark already.
func (q *quarantined) add(mark *persist.CorruptError) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.marks[mark.Key] != nil {
		return false
	}
	if q.marks == nil {
		q.marks = make(map[persist.Key]*persist.CorruptError)
	}
	q.marks[mark.Key] = mark
	return true
}

func (q *quarantined) remove(k persist.Key) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.marks, k)
}

func (q *quarantined) len() int {
	q.mu.RLock()
	defer q.mu.RUnlock()
	return len(q.marks)
}

// A mark's data is: Unix milliseconds, row (uvarints), reason.

func appendMark(dst []byte, now uint64, mark *persist.CorruptError) []byte {
	dst = binary.AppendUvarint(dst, now)
	dst = binary.AppendUvarint(dst, mark.Row)
	return append(dst, mark.Reason...)
}

func parseMark(key, value []byte) (persist.CorruptError, error) {
	data, err := parseRecord(key, value)
	if err != nil {
		return persist.CorruptError{}, err
	}
	d := uvarints{b: data}
	d.next()
	row := d.next()
	return persist.CorruptError{Row: row, Reason: string(d.b)}, d.err
}

// openQuarantine reads the marks. A mark that does not read is a mark still.
func (s *Store) openQuarantine(q *quarantined) (err error) {
	it, err := s.db.NewIter(kindBounds(q.kind))
	if err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	defer closeIter(it, &err)
	for ok := it.First(); ok; ok = it.Next() {
		k, err := parseNameKey(q.kind, it.Key())
		if err != nil {
			continue // names nothing
		}
		mark, err := parseMark(it.Key(), it.Value())
		if err != nil {
			mark.Reason = "quarantined, the reason is unreadable"
		}
		mark.Key = k
		q.add(&mark)
	}
	return it.Error()
}

func kindBounds(kind byte) *engine.IterOptions {
	return &engine.IterOptions{LowerBound: []byte{kind}, UpperBound: []byte{kind + 1}}
}

// unreadable turns an error of reading a part of a document into what its caller
// gets. If the part itself is bad, and not the reading, the document is
// quarantined, at once in memory and as soon as possible on disk.
func (s *Store) unreadable(k persist.Key, row persist.Seq, what string, err error) error {
	return s.unreadableOf(&s.quarantined, k, row, what, err)
}

// unreadableRoom is unreadable for a part of the data of a room.
func (s *Store) unreadableRoom(k persist.Key, what string, err error) error {
	return s.unreadableOf(&s.quarantinedRooms, k, 0, what, err)
}

func (s *Store) unreadableOf(q *quarantined, k persist.Key, row persist.Seq, what string, err error) error {
	reason, corrupt := badness(err)
	if !corrupt {
		return fmt.Errorf("read %s of %q: %w", what, k.String(), err)
	}
	mark := &persist.CorruptError{Key: k, Row: row, Reason: what + ": " + reason}
	if q.add(mark) {
		s.counters.corruptions.Add(1)
		s.log.Error(q.what+" quarantined", "party", k.Party, "room", k.Room, "row", row, "reason", mark.Reason)
		s.background.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), s.opts.DiskTimeout)
			defer cancel()
			if err := s.writeMark(ctx, q, mark); err != nil {
				s.log.Warn("storing the quarantine mark failed, the next reader will find the damage again", "err", err)
			}
		})
	}
	return mark
}

// badness says whether an error of reading means that what was read is bad, and
// if so how.
func badness(err error) (reason string, corrupt bool) {
	reason, _, _ = strings.Cut(err.Error(), "\n") // the engine's go on for several lines
	var bad badRecord
	switch {
	case errors.As(err, &bad):
		return reason, true
	case engine.IsCorruptionError(err):
		return "damaged block: " + reason, true
	}
	return "", false
}

// writeMark stores a mark, unless it has been taken back since.
func (s *Store) writeMark(ctx context.Context, q *quarantined, mark *persist.CorruptError) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	if q.check(mark.Key) != error(mark) {
		s.end()
		return nil
	}
	return s.wait(ctx, s.queueMark(q.kind, mark))
}

// queueMark queues the mark's record. It releases the write lock.
func (s *Store) queueMark(kind byte, mark *persist.CorruptError) *commit {
	b := s.db.NewBatch()
	key := appendNameKey(nil, kind, mark.Key)
	data := appendMark(nil, toMillis(s.opts.Now()), mark)
	_ = b.Set(key, appendRecord(nil, key, data), nil) // never fails on such a batch
	s.ticket++
	return s.queue(b, s.ticket)
}

// Quarantine takes a document out of service, see persist. Nothing that is
// stored of it is touched.
func (s *Store) Quarantine(ctx context.Context, k persist.Key, reason string) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := s.beginExisting(ctx, k); err != nil {
		if errors.Is(err, persist.ErrCorrupt) {
			return nil
		}
		return fmt.Errorf("quarantine: %w", err)
	}
	mark := &persist.CorruptError{Key: k, Reason: reason}
	s.quarantined.add(mark)
	if err := s.wait(ctx, s.queueMark(kindQuarantine, mark)); err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	return nil
}

// Release puts a quarantined document back into service, see persist. If it is
// still damaged the next Load quarantines it again.
func (s *Store) Release(ctx context.Context, k persist.Key) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	switch err := s.beginExisting(ctx, k); {
	case err == nil:
		s.end()
		return nil // not quarantined
	case !errors.Is(err, persist.ErrCorrupt):
		return fmt.Errorf("release: %w", err)
	}
	if err := s.removeMark(ctx, &s.quarantined, k); err != nil {
		return fmt.Errorf("release: %w", err)
	}
	return nil
}

func (s *Store) removeMark(ctx context.Context, q *quarantined, k persist.Key) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	b := s.db.NewBatch()
	_ = b.Delete(appendNameKey(nil, q.kind, k), nil) // never fails on such a batch
	s.ticket++
	if err := s.wait(ctx, s.queue(b, s.ticket)); err != nil {
		return err
	}
	q.remove(k)
	return nil
}

// QuarantineRoom takes the data of a room out of service, see persist. Nothing
// that is stored of it is touched.
func (s *Store) QuarantineRoom(ctx context.Context, k persist.Key, reason string) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := k.Validate(); err != nil {
		return fmt.Errorf("quarantine room: %w", err)
	}
	if err := s.begin(ctx); err != nil {
		return fmt.Errorf("quarantine room: %w", err)
	}
	mark := &persist.CorruptError{Key: k, Reason: reason}
	if !s.quarantinedRooms.add(mark) {
		s.end()
		return nil
	}
	if err := s.wait(ctx, s.queueMark(kindRoomQuarantine, mark)); err != nil {
		return fmt.Errorf("quarantine room: %w", err)
	}
	return nil
}

// ReleaseRoom puts the data of a quarantined room back into service, see
// persist. If it is still damaged, reading it quarantines it again.
func (s *Store) ReleaseRoom(ctx context.Context, k persist.Key) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := errors.Join(ctx.Err(), k.Validate()); err != nil {
		return fmt.Errorf("release room: %w", err)
	}
	if s.quarantinedRooms.check(k) == nil {
		return nil
	}
	if err := s.removeMark(ctx, &s.quarantinedRooms, k); err != nil {
		return fmt.Errorf("release room: %w", err)
	}
	return nil
}

// beginExisting is begin for a document that exists. On an error nothing is
// held.
func (s *Store) beginExisting(ctx context.Context, k persist.Key) error {
	if err := k.Validate(); err != nil {
		return err
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	e, err := s.head(k)
	if err == nil && e.state.id == 0 {
		err = persist.ErrNotFound
	}
	if err != nil {
		s.end()
	}
	return err
}
