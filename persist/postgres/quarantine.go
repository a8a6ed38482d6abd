package postgres

import (
	"cmp"
	"context"

	"github.com/yserverd/yserverd/persist"
)

// damaged takes a document out of service because a part of it does not verify, and returns what its caller gets. The
// document is the one with the number that was read, unless that is zero. When the mark cannot be stored the next reader
// finds the damage again.
func (s *Store) damaged(ctx context.Context, k persist.Key, id int64, row persist.Seq, reason string) error {
	if row == 0 && reason == "" {
		reason = "damaged"
	}
	mark := &persist.CorruptError{Key: k, Row: row, Reason: reason}
	s.found(mark, "document")
	const sql = `
UPDATE yserverd.documents SET quarantined_at = now(), quarantine_row = $4, quarantine_reason = $5
WHERE party = $1 AND room = $2 AND ($3 = 0 OR id = $3) AND quarantined_at IS NULL`
	s.mark(ctx, sql, []byte(k.Party), []byte(k.Room), id, signed(row), []byte(reason))
	return mark
}

// damagedRoom is damaged for the data of a room.
func (s *Store) damagedRoom(ctx context.Context, k persist.Key, reason string) error {
	mark := &persist.CorruptError{Key: k, Reason: reason}
	s.found(mark, "data of a room")
	const sql = `
UPDATE yserverd.rooms SET quarantined_at = now(), quarantine_reason = $3
WHERE party = $1 AND room = $2 AND quarantined_at IS NULL`
	s.mark(ctx, sql, []byte(k.Party), []byte(k.Room), []byte(reason))
	return mark
}

func (s *Store) found(mark *persist.CorruptError, what string) {
	s.counters.corruptions.Add(1)
	s.log.Error(what+" quarantined", "party", mark.Key.Party, "room", mark.Key.Room, "row", mark.Row, "reason", mark.Reason)
}

// mark stores a mark, also for a caller who has gone.
func (s *Store) mark(ctx context.Context, sql string, args ...any) {
	err := s.attempt(context.WithoutCancel(ctx), func(ctx context.Context) error {
		_, err := s.pool.Exec(ctx, sql, args...)
		return err
	})
	if err != nil {
		s.log.Warn("storing the quarantine mark failed, the next reader will find the damage again", "err", err)
	}
}

// noReason is for those who give none, since an empty reason means that there is no quarantine.
const noReason = "no reason given"

// Quarantine takes a document out of service, see persist. Nothing that is stored of it is touched.
func (s *Store) Quarantine(ctx context.Context, k persist.Key, reason string) error {
	const sql = `
UPDATE yserverd.documents SET quarantined_at = coalesce(quarantined_at, now()),
	quarantine_reason = CASE WHEN quarantined_at IS NULL THEN $3 ELSE quarantine_reason END,
	quarantine_row = CASE WHEN quarantined_at IS NULL THEN 0 ELSE quarantine_row END
WHERE party = $1 AND room = $2`
	return s.existing(ctx, "quarantine", k, sql, []byte(cmp.Or(reason, noReason)))
}

// Release puts a quarantined document back into service, see persist. If it is still damaged the next Load quarantines it
// again.
func (s *Store) Release(ctx context.Context, k persist.Key) error {
	const sql = `
UPDATE yserverd.documents SET quarantined_at = NULL, quarantine_row = 0, quarantine_reason = NULL
WHERE party = $1 AND room = $2`
	return s.existing(ctx, "release", k, sql)
}

// existing makes a change of a document that must exist.
func (s *Store) existing(ctx context.Context, name string, k persist.Key, sql string, args ...any) error {
	return s.query(ctx, name, func(ctx context.Context) error {
		if err := k.Validate(); err != nil {
			return err
		}
		tag, err := s.pool.Exec(ctx, sql, append([]any{[]byte(k.Party), []byte(k.Room)}, args...)...)
		if err == nil && tag.RowsAffected() == 0 {
			err = persist.ErrNotFound
		}
		return err
	})
}

// QuarantineRoom takes the data of a room out of service, see persist. Nothing that is stored of it is touched.
func (s *Store) QuarantineRoom(ctx context.Context, k persist.Key, reason string) error {
	const sql = `
INSERT INTO yserverd.rooms AS r (party, room, quarantined_at, quarantine_reason) VALUES ($1, $2, now(), $3)
ON CONFLICT (party, room) DO UPDATE SET quarantined_at = now(), quarantine_reason = excluded.quarantine_reason
WHERE r.quarantined_at IS NULL`
	return s.room(ctx, "quarantine room", k, sql, []byte(cmp.Or(reason, noReason)))
}

// ReleaseRoom puts the data of a quarantined room back into service, see persist. If it is still damaged, reading it
// quarantines it again.
func (s *Store) ReleaseRoom(ctx context.Context, k persist.Key) error {
	const sql = `UPDATE yserverd.rooms SET quarantined_at = NULL, quarantine_reason = NULL WHERE party = $1 AND room = $2`
	return s.room(ctx, "release room", k, sql)
}

func (s *Store) room(ctx context.Context, name string, k persist.Key, sql string, args ...any) error {
	return s.query(ctx, name, func(ctx context.Context) error {
		if err := k.Validate(); err != nil {
			return err
		}
		_, err := s.pool.Exec(ctx, sql, append([]any{[]byte(k.Party), []byte(k.Room)}, args...)...)
		return err
	})
}
