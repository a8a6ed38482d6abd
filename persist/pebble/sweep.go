package pebble

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	engine "github.com/cockroachdb/pebble/v2"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/object"
)

// sweeping is what one Sweep leaves for the next. There is one at a time.
type sweeping struct {
	slot  chan struct{}
	after string // the last object that was looked at, for the next to go on behind it
}

// Sweep implements persist's contract. It reads indexes of what is due, and of
// the bucket a page. Whatever it removes it looks at again under the document's
// lock, which everybody holds who puts an object and then names it, and after
// everything that was queued has become durable.
func (s *Store) Sweep(ctx context.Context, o persist.SweepOptions) (stats persist.SweepStats, err error) {
	if err := s.enter(); err != nil {
		return stats, err
	}
	defer s.leave()
	if err := ctx.Err(); err != nil {
		return stats, fmt.Errorf("sweep: %w", err)
	}
	select {
	case s.sweeping.slot <- struct{}{}:
	case <-ctx.Done():
		return stats, fmt.Errorf("sweep: %w", ctx.Err())
	}
	defer func() { <-s.sweeping.slot }()
	limit := persist.SweepLimit(o.Limit)
	if !o.TombstonesBefore.IsZero() {
		err = s.sweepTombstones(ctx, o.TombstonesBefore, limit, &stats)
	}
	if err == nil && !o.SupersededBefore.IsZero() {
		err = s.sweepSuperseded(ctx, o.SupersededBefore, limit, &stats)
	}
	if err == nil && !o.OrphansBefore.IsZero() && s.opts.Bucket != nil {
		err = s.sweepOrphans(ctx, o.OrphansBefore, limit, &stats)
	}
	if err != nil {
		return stats, fmt.Errorf("sweep: %w", err)
	}
	return stats, nil
}

// tombstone is an entry of the index of tombstones.
type tombstone struct {
	key     persist.Key
	deleted uint64
}

func (s *Store) sweepTombstones(ctx context.Context, before time.Time, limit int, stats *persist.SweepStats) error {
	if err := s.allDurable(ctx); err != nil {
		return err
	}
	var due []tombstone
	err := s.index(kindTombstone, before, func(key []byte) bool {
		deleted, k, err := parseTimeKey(kindTombstone, key)
		if err == nil && s.quarantined.check(k) == nil {
			due = append(due, tombstone{k, deleted})
		}
		return len(due) <= limit
	})
	if err != nil {
		return err
	}
	if len(due) > limit {
		due, stats.More = due[:limit], true
	}
	for _, t := range due {
		purged, err := s.purge(ctx, t.key, t.deleted)
		if err != nil {
			return err
		}
		if purged {
			stats.Purged++
		}
	}
	return nil
}

// index calls fn with the keys of an index of times that are earlier than before,
// while it returns true.
func (s *Store) index(kind byte, before time.Time, fn func(key []byte) bool) (err error) {
	it, err := s.db.NewIter(&engine.IterOptions{LowerBound: []byte{kind}, UpperBound: appendTimePrefix(nil, kind, alarmBound(before))})
	if err != nil {
		return err
	}
	defer closeIter(it, &err)
	for ok := it.First(); ok && fn(it.Key()); ok = it.Next() { //nolint:revive // fn does the work
	}
	return it.Error()
}

func (s *Store) sweepSuperseded(ctx context.Context, before time.Time, limit int, stats *persist.SweepStats) error {
	var due []superseded
	err := s.index(kindSince, before, func(key []byte) bool {
		if since, name, err := parseSinceKey(key); err == nil {
			due = append(due, superseded{name: name, since: since})
		}
		return len(due) <= limit
	})
	if err != nil {
		return err
	}
	if len(due) > limit {
		due, stats.More = due[:limit], true
	}
	if len(due) > 0 && s.opts.Bucket == nil {
		return s.noBucket(due[0].name)
	}
	slices.SortFunc(due, func(a, b superseded) int { return cmp.Compare(a.name, b.name) })
	for _, of := range byDocument(due, func(o superseded) string { return o.name }) {
		n, err := s.sweepDocument(ctx, prefixOf(of[0].name), of)
		stats.Superseded += n
		if err != nil {
			return err
		}
	}
	return nil
}

// byDocument cuts objects that are in the order of their names into those of one
// document each.
func byDocument[T any](all []T, name func(T) string) (parts [][]T) {
	for len(all) > 0 {
		n := 1
		for n < len(all) && prefixOf(name(all[n])) == prefixOf(name(all[0])) {
			n++
		}
		parts = append(parts, all[:n])
		all = all[n:]
	}
	return parts
}

// sweepDocument deletes a document's superseded objects, and drops their records.
func (s *Store) sweepDocument(ctx context.Context, prefix string, due []superseded) (deleted int, err error) {
	unlock, err := s.documents.lock(ctx, prefix)
	if err != nil {
		return 0, err
	}
	defer unlock()
	if err := s.allDurable(ctx); err != nil {
		return 0, err
	}
	var names []string
	for i := range due {
		o := &due[i]
		named, err := s.isNamed(o.name)
		if err != nil {
			return 0, err
		}
		since, err := s.supersededSince(o.name)
		if err != nil {
			if _, bad := badness(err); !bad {
				return 0, err
			}
			since = o.since // the record cannot be read: the index has it
		}
		// It may have come back under the same name, and been superseded again.
		o.stale = since != o.since
		if !named && !o.stale {
			names = append(names, o.name)
		}
	}
	if len(names) > 0 {
		if err := s.opts.Bucket.Delete(ctx, names); err != nil {
			return 0, fmt.Errorf("delete objects %q: %w", prefix, err)
		}
		s.counters.swept.Add(uint64(len(names)))
	}
	return len(names), s.forgetObjects(ctx, due)
}

// sweepOrphans looks at a page of the bucket.
func (s *Store) sweepOrphans(ctx context.Context, before time.Time, limit int, stats *persist.SweepStats) error {
	limit = min(limit, object.MaxListLimit)
	page, err := s.opts.Bucket.List(ctx, object.StorePrefix(s.uuid), s.sweeping.after, limit)
	if err != nil {
		return fmt.Errorf("list objects: %w", err)
	}
	var old []string
	for i := range page {
		if _, err := object.ParseName(page[i].Name); err == nil && page[i].Modified.Before(before) {
			old = append(old, page[i].Name)
		}
	}
	for _, of := range byDocument(old, func(name string) string { return name }) {
		n, err := s.sweepOrphansOf(ctx, prefixOf(of[0]), of)
		stats.Orphans += n
		if err != nil {
			return err
		}
	}
	s.sweeping.after = ""
	if len(page) == limit {
		s.sweeping.after, stats.More = page[limit-1].Name, true
	}
	return nil
}

// sweepOrphansOf deletes those objects of a document that no record knows.
func (s *Store) sweepOrphansOf(ctx context.Context, prefix string, old []string) (deleted int, err error) {
	unlock, err := s.documents.lock(ctx, prefix)
	if err != nil {
		return 0, err
	}
	defer unlock()
	if err := s.allDurable(ctx); err != nil {
		return 0, err
	}
	var names []string
	for _, name := range old {
		named, err := s.isNamed(name)
		if err != nil {
			return 0, err
		}
		since, err := s.supersededSince(name)
		if err != nil {
			if _, bad := badness(err); !bad {
				return 0, err
			}
			since = 1 // there is a record, if not a good one
		}
		if !named && since == 0 {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return 0, nil
	}
	if err := s.opts.Bucket.Delete(ctx, names); err != nil {
		return 0, fmt.Errorf("delete objects %q: %w", prefix, err)
	}
	s.counters.swept.Add(uint64(len(names)))
	return len(names), nil
}
