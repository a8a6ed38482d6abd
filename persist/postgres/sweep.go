package postgres

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/object"
)

// purgeSQL removes what there is of a key, but remembers its objects. It says whether there was anything, which
// objects are remembered, which are planned, and when it was. Arguments: party, room, the time before which it must have been deleted (NULL: it
// need not be), the first name of its objects and what is behind the last.
const purgeSQL = `
WITH d AS MATERIALIZED (
	SELECT id, snapshot_object FROM yserverd.documents WHERE party = $1 AND room = $2
		AND ($3::timestamptz IS NULL OR deleted_at < $3 AND quarantined_at IS NULL)
), r AS MATERIALIZED (
	SELECT * FROM yserverd.rooms WHERE party = $1 AND room = $2 AND ($3::timestamptz IS NULL OR EXISTS (SELECT FROM d))
), updates AS (
	DELETE FROM yserverd.updates t USING d WHERE t.document_id = d.id
), snapshots AS (
	DELETE FROM yserverd.snapshots t USING d WHERE t.document_id = d.id
), dead AS (
	DELETE FROM yserverd.dead_clients t USING d WHERE t.document_id = d.id
), versions AS (
	DELETE FROM yserverd.versions t USING d WHERE t.document_id = d.id RETURNING object
), documents AS (
	DELETE FROM yserverd.documents t USING d WHERE t.id = d.id
), room_values AS (
	DELETE FROM yserverd.room_values t USING r WHERE t.room_id = r.id RETURNING 1
), rooms AS (
	DELETE FROM yserverd.rooms t USING r WHERE t.id = r.id
), objects AS (
	INSERT INTO yserverd.objects (name, planned)
	SELECT snapshot_object, false FROM d WHERE snapshot_object IS NOT NULL
	UNION SELECT object, false FROM versions WHERE object IS NOT NULL
	ON CONFLICT (name) DO UPDATE SET planned = false
	RETURNING name
)
SELECT EXISTS (SELECT FROM d) OR EXISTS (SELECT FROM room_values)
		OR EXISTS (SELECT FROM r WHERE alarm IS NOT NULL OR delivery IS NOT NULL OR quarantined_at IS NOT NULL),
	ARRAY(SELECT name FROM objects UNION SELECT name FROM yserverd.objects WHERE NOT planned AND name >= $4 AND name < $5),
	ARRAY(SELECT name FROM yserverd.objects WHERE planned AND name >= $4 AND name < $5),
	now()`

// Purge implements persist's contract.
func (s *Store) Purge(ctx context.Context, k persist.Key) error {
	return s.call(ctx, "purge", func(ctx context.Context) error {
		if err := k.Validate(); err != nil {
			return err
		}
		there, err := s.purge(ctx, k, nil)
		if err == nil && !there {
			err = persist.ErrNotFound
		}
		return err
	})
}

// purge removes the rows of a key, if it is a tombstone of before that time (nil: whatever it is), and then its objects,
// those too that an earlier purge has left. It reports whether there was anything.
func (s *Store) purge(ctx context.Context, k persist.Key, deletedBefore *time.Time) (there bool, err error) {
	party, room := []byte(k.Party), []byte(k.Room)
	prefix := object.DocumentPrefix(s.uuid, k)
	var remembered, planned []string
	var at time.Time
	err = s.run(ctx, func(ctx context.Context) error {
		b := &pgx.Batch{}
		b.Queue(`SELECT id FROM yserverd.documents WHERE party = $1 AND room = $2 FOR UPDATE`, party, room)
		b.Queue(`SELECT id FROM yserverd.rooms WHERE party = $1 AND room = $2 FOR UPDATE`, party, room)
		b.Queue(purgeSQL, party, room, deletedBefore, prefix, prefix+"\x7f").QueryRow(func(row pgx.Row) error {
			return row.Scan(&there, &remembered, &planned, &at)
		})
		return s.send(ctx, b)
	})
	if err != nil || s.opts.Bucket == nil || deletedBefore != nil && !there {
		return there, err
	}
	listed, err := s.listAll(ctx, prefix)
	if err != nil {
		return there, err
	}
	// What another document of that key has been given since then is left alone. The names are forgotten with the objects,
	// so that whoever repeats a purge that has failed is told that there was something.
	there = there || len(remembered) > 0 || len(listed) > 0
	_, err = s.remove(ctx, claimPurgedSQL, slices.Concat(listed, remembered, planned), at)
	return there, err
}

// listAll returns the names of the objects of a document.
func (s *Store) listAll(ctx context.Context, prefix string) (all []string, err error) {
	for after := ""; ; {
		page, err := s.opts.Bucket.List(ctx, prefix, after, 0)
		if err != nil {
			return nil, err
		}
		all = append(all, names(page, nil)...)
		if len(page) < object.MaxListLimit {
			return all, nil
		}
		after = page[len(page)-1].Name
	}
}

// names are those of the objects that are ours and were put before a time (nil: whenever).
func names(page []object.Info, before *time.Time) []string {
	all := make([]string, 0, len(page))
	for _, info := range page {
		if _, err := object.ParseName(info.Name); err == nil && (before == nil || info.Modified.Before(*before)) {
			all = append(all, info.Name)
		}
	}
	return all
}

// orphanCursor is where the search for orphans goes on.
type orphanCursor struct {
	mu    sync.Mutex
	after string
}

// Sweep implements persist's contract.
func (s *Store) Sweep(ctx context.Context, o persist.SweepOptions) (stats persist.SweepStats, err error) {
	err = s.call(ctx, "sweep", func(ctx context.Context) error {
		limit := persist.SweepLimit(o.Limit)
		if !o.TombstonesBefore.IsZero() {
			if err := s.sweepTombstones(ctx, o.TombstonesBefore, limit, &stats); err != nil {
				return err
			}
		}
		if !o.SupersededBefore.IsZero() && s.opts.Bucket != nil {
			if stats.Superseded, err = s.remove(ctx, claimSupersededSQL, o.SupersededBefore, limit); err != nil {
				return err
			}
			stats.More = stats.More || stats.Superseded == limit
		}
		if !o.OrphansBefore.IsZero() && s.opts.Bucket != nil {
			return s.sweepOrphans(ctx, o.OrphansBefore, limit, &stats)
		}
		return nil
	})
	return stats, err
}

func (s *Store) sweepTombstones(ctx context.Context, before time.Time, limit int, stats *persist.SweepStats) error {
	const sql = `
SELECT party, room FROM yserverd.documents WHERE deleted_at < $1 AND quarantined_at IS NULL
ORDER BY deleted_at, party, room LIMIT $2`
	var due []persist.Key
	err := s.run(ctx, func(ctx context.Context) error {
		rows, err := s.pool.Query(ctx, sql, before, limit+1)
		if err != nil {
			return err
		}
		due, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (persist.Key, error) {
			var party, room []byte
			err := row.Scan(&party, &room)
			return persist.Key{Party: string(party), Room: string(room)}, err
		})
		return err
	})
	if err != nil {
		return err
	}
	if len(due) > limit {
		due, stats.More = due[:limit], true
	}
	for _, k := range due {
		gone, err := s.purge(ctx, k, &before)
		if gone {
			stats.Purged++
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sweepOrphans looks at the next page of the store's objects.
func (s *Store) sweepOrphans(ctx context.Context, before time.Time, limit int, stats *persist.SweepStats) error {
	s.orphans.mu.Lock()
	defer s.orphans.mu.Unlock()
	page, err := s.opts.Bucket.List(ctx, object.StorePrefix(s.uuid), s.orphans.after, limit)
	if err != nil {
		return err
	}
	if due := names(page, &before); len(due) > 0 {
		if stats.Orphans, err = s.remove(ctx, claimOrphansSQL, due, before); err != nil {
			return err
		}
	}
	if len(page) < min(limit, object.MaxListLimit) {
		s.orphans.after = ""
		return s.forgetPlans(ctx, before)
	}
	s.orphans.after = page[len(page)-1].Name
	stats.More = true
	return nil
}

// forgetPlans drops the plans of calls that have ended before that time without naming their objects. Those objects are
// orphans with and without them.
func (s *Store) forgetPlans(ctx context.Context, before time.Time) error {
	return s.run(ctx, func(ctx context.Context) error {
		_, err := s.pool.Exec(ctx, `DELETE FROM yserverd.objects WHERE planned AND since < $1`, before)
		return err
	})
}
