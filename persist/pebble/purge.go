package pebble

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	engine "github.com/cockroachdb/pebble/v2"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/object"
)

// Purge implements persist's contract. All records go in one synced batch, in
// which the objects become superseded ones since ever; then the objects are
// deleted, and then their records. What a crash or a bucket that is away leaves
// of the latter, another Purge or Sweep removes.
func (s *Store) Purge(ctx context.Context, k persist.Key) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	found, err := s.purge(ctx, k, 0)
	if err == nil && !found {
		err = persist.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("purge: %w", err)
	}
	return nil
}

// purge removes everything of a key, and says whether there was anything. With a
// time of deletion it does so only if the document is a tombstone of that time.
func (s *Store) purge(ctx context.Context, k persist.Key, deleted uint64) (found bool, err error) {
	if err := errors.Join(ctx.Err(), k.Validate()); err != nil {
		return false, err
	}
	unlock, err := s.lockDocument(ctx, k)
	if err != nil {
		return false, err
	}
	defer unlock()
	found, err = s.purgeRecords(ctx, k, deleted)
	if err != nil || deleted != 0 && !found {
		return found, err
	}
	objects, err := s.purgeObjects(ctx, k)
	if err != nil {
		return found, err
	}
	if found || objects {
		s.counters.purges.Add(1)
	}
	return found || objects, nil
}

// purgeRecords removes all records but those of superseded objects.
func (s *Store) purgeRecords(ctx context.Context, k persist.Key, deleted uint64) (found bool, err error) {
	if err := s.begin(ctx); err != nil {
		return false, err
	}
	// Everything queued has to be visible for what follows.
	if err := s.await(ctx, &s.applied, s.ticket); err != nil {
		s.end()
		return false, err
	}
	e, err := s.head(k)
	if deleted != 0 && (err != nil || e.state.deleted != deleted) {
		s.end()
		return false, nil
	}
	if err != nil && !errors.Is(err, persist.ErrCorrupt) {
		s.end()
		return false, err
	}
	p := purge{s: s, ctx: ctx, b: s.db.NewBatch(), key: k}
	if err := p.build(); err != nil || p.b.Empty() {
		s.end()
		return false, errors.Join(err, p.b.Close())
	}
	s.ticket++
	durable := s.durable.n.Load()
	s.heads.put(s.forgotten(k), s.ticket, durable)
	room := s.rooms.get(k)
	if room == nil {
		room = &known[roomState]{key: k}
	}
	room.state = roomState{known: true}
	s.rooms.put(room, s.ticket, durable)
	s.alarmTimes.changed.Store(s.ticket)
	s.deliveryTimes.changed.Store(s.ticket)
	s.quarantined.remove(k)
	s.quarantinedRooms.remove(k)
	return true, s.wait(ctx, s.queue(p.b, s.ticket))
}

// forgotten is the entry of a document that does not exist any more.
func (s *Store) forgotten(k persist.Key) *entry {
	e := s.heads.get(k)
	if e == nil {
		e = &entry{key: k}
	}
	e.state = head{}
	return e
}

// purge is one purge while its batch is built, which is under the write lock.
type purge struct {
	s   *Store
	ctx context.Context // of the call
	b   *engine.Batch
	key persist.Key
}

// build adds what is there.
func (p *purge) build() error {
	headKey := appendNameKey(nil, kindHead, p.key)
	ids, err := p.numbers(headKey)
	if err != nil {
		return err
	}
	for _, id := range ids {
		for _, kind := range [...]byte{kindName, kindDead, kindRow, kindPiece, kindVersion, kindVersionID} {
			if err := p.drop(numberBounds(kind, id)); err != nil {
				return err
			}
		}
	}
	for _, kind := range [...]byte{kindHead, kindQuarantine, kindRoomQuarantine, kindValue} {
		lower := appendNameKey(nil, kind, p.key)
		if err := p.drop(lower, prefixEnd(lower)); err != nil {
			return err
		}
	}
	if err := p.dropTombstone(headKey); err != nil {
		return err
	}
	for _, t := range [...]*roomTimes{&p.s.alarmTimes, &p.s.deliveryTimes} {
		if err := p.dropTime(t); err != nil {
			return err
		}
	}
	return p.supersede()
}

// drop adds the deletion of a range, unless there is nothing in it.
func (p *purge) drop(lower, upper []byte) (err error) {
	some := false
	err = p.each(lower, upper, func([]byte) bool {
		some = true
		return false
	})
	if some || err != nil && engine.IsCorruptionError(err) {
		return p.b.DeleteRange(lower, upper, nil)
	}
	return err
}

// each calls fn with the keys of a range while it returns true.
func (p *purge) each(lower, upper []byte, fn func(key []byte) bool) (err error) {
	it, err := p.s.db.NewIter(&engine.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	defer closeIter(it, &err)
	for ok := it.First(); ok && fn(it.Key()); ok = it.Next() {
		if err := p.ctx.Err(); err != nil {
			return err
		}
	}
	return it.Error()
}

// numbers are the document's: the one of its head, or if that is not to be read
// all that name it.
func (p *purge) numbers(headKey []byte) (ids []uint64, err error) {
	_, err = p.s.read(headKey, func(value []byte) error {
		h, err := parseHead(headKey, value)
		if err == nil {
			ids = []uint64{h.id}
		}
		return err
	})
	if err == nil {
		return ids, nil
	}
	if _, bad := badness(err); !bad {
		return nil, err
	}
	it, err := p.s.db.NewIter(kindBounds(kindName))
	if err != nil {
		return nil, err
	}
	defer closeIter(it, &err)
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, err
		}
		name, err := parseRecord(it.Key(), value)
		if err == nil && bytes.Equal(name, headKey) && len(it.Key()) == 1+8 {
			ids = append(ids, binary.BigEndian.Uint64(it.Key()[1:]))
		}
	}
	return ids, it.Error()
}

// dropTombstone takes the document out of the index of tombstones.
func (p *purge) dropTombstone(headKey []byte) error {
	var deleted uint64
	found, err := p.s.read(headKey, func(value []byte) error {
		h, err := parseHead(headKey, value)
		deleted = h.deleted
		return err
	})
	if err == nil && found && deleted != 0 {
		return p.b.Delete(appendTimeKey(nil, kindTombstone, deleted, p.key), nil)
	}
	if err != nil {
		return p.dropFromIndex(kindTombstone)
	}
	return nil
}

// dropTime drops one of the room's times.
func (p *purge) dropTime(t *roomTimes) error {
	key := appendNameKey(nil, t.record, p.key)
	var ms uint64
	found, err := p.s.read(key, func(value []byte) (err error) {
		ms, err = parseTime(key, value)
		return err
	})
	if err == nil && !found {
		return nil
	}
	if derr := p.b.Delete(key, nil); derr != nil {
		return derr
	}
	if err == nil {
		return p.b.Delete(appendTimeKey(nil, t.index, ms, p.key), nil)
	}
	return p.dropFromIndex(t.index)
}

// dropFromIndex looks for the key in all of an index of times, for a record that
// does not tell the time any more.
func (p *purge) dropFromIndex(kind byte) error {
	bounds := kindBounds(kind)
	var derr error
	err := p.each(bounds.LowerBound, bounds.UpperBound, func(key []byte) bool {
		if _, k, err := parseTimeKey(kind, key); err == nil && k == p.key {
			derr = p.b.Delete(key, nil)
		}
		return derr == nil
	})
	return errors.Join(err, derr)
}

// supersede turns all objects that are named into superseded ones, since ever.
func (p *purge) supersede() error {
	lower := appendObjectKey(nil, kindNamed, object.DocumentPrefix(p.s.uuid, p.key))
	return p.each(lower, prefixEnd(lower), func(key []byte) bool {
		supersede(p.b, string(key[1:]), 1)
		return true
	})
}

// purgeObjects deletes all objects of a document of which there are no records
// but those of superseded objects, and then these.
func (s *Store) purgeObjects(ctx context.Context, k persist.Key) (found bool, err error) {
	prefix := object.DocumentPrefix(s.uuid, k)
	remembered, err := s.supersededOf(prefix)
	if err != nil {
		return false, err
	}
	if s.opts.Bucket == nil {
		if len(remembered) > 0 {
			return true, s.noBucket(remembered[0].name)
		}
		return false, nil
	}
	// A new document of the key may have none before the lock is released.
	for more := true; more; {
		page, err := s.opts.Bucket.List(ctx, prefix, "", object.MaxListLimit)
		if err != nil {
			return found, fmt.Errorf("list objects %q: %w", prefix, err)
		}
		names := make([]string, len(page))
		for i := range page {
			names[i] = page[i].Name
		}
		if len(names) > 0 {
			found = true
			if err := s.opts.Bucket.Delete(ctx, names); err != nil {
				return found, fmt.Errorf("delete objects %q: %w", prefix, err)
			}
		}
		more = len(page) == object.MaxListLimit
	}
	if len(remembered) == 0 {
		return found, nil
	}
	return true, s.forgetObjects(ctx, remembered)
}

// superseded is an object that no row names any more.
type superseded struct {
	name  string
	since uint64 // milliseconds
	stale bool   // its place in the index is not the one that counts
}

// supersededOf returns what is remembered of a document's objects.
func (s *Store) supersededOf(prefix string) (all []superseded, err error) {
	lower := appendObjectKey(nil, kindSuperseded, prefix)
	it, err := s.db.NewIter(&engine.IterOptions{LowerBound: lower, UpperBound: prefixEnd(lower)})
	if err != nil {
		return nil, err
	}
	defer closeIter(it, &err)
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, err
		}
		since, err := parseTime(it.Key(), value)
		if err != nil {
			since = 0 // its place in the index leads Sweep to it
		}
		all = append(all, superseded{name: string(it.Key()[1:]), since: since})
	}
	return all, it.Error()
}

// forgetObjects drops the records of objects that are deleted, or that came back.
func (s *Store) forgetObjects(ctx context.Context, gone []superseded) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	b := s.db.NewBatch()
	for _, o := range gone {
		_ = b.Delete(appendSinceKey(nil, o.since, o.name), nil) // neither fails on such a batch
		if !o.stale {
			_ = b.Delete(appendObjectKey(nil, kindSuperseded, o.name), nil)
		}
	}
	s.ticket++
	return s.wait(ctx, s.queue(b, s.ticket))
}
