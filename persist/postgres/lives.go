package postgres

import (
	"context"

	"github.com/yserverd/yserverd/persist"
)

// Delete implements persist's contract: it sets the tombstone and raises the epoch. Log and snapshot stay until they are
// purged.
func (s *Store) Delete(ctx context.Context, k persist.Key, dead []uint64) error {
	const sql = `
WITH d AS MATERIALIZED (
	SELECT * FROM yserverd.documents WHERE party = $1 AND room = $2 FOR NO KEY UPDATE
), dead AS (
	INSERT INTO yserverd.dead_clients AS c (document_id, clients)
	SELECT id, $3::bigint[] FROM d WHERE quarantined_at IS NULL AND cardinality($3::bigint[]) > 0
	ON CONFLICT (document_id) DO UPDATE SET clients = (
		SELECT array_agg(DISTINCT client) FROM unnest(c.clients || excluded.clients) AS client)
), marked AS (
	UPDATE yserverd.documents t SET deleted_at = now(), epoch = d.epoch + 1
	FROM d WHERE t.id = d.id AND d.quarantined_at IS NULL AND d.deleted_at IS NULL
)
SELECT d.seq, d.epoch, false, d.quarantined_at IS NOT NULL, d.quarantine_row, coalesce(d.quarantine_reason, ''), true FROM d`
	return s.call(ctx, "delete", func(ctx context.Context) error {
		if err := k.Validate(); err != nil {
			return err
		}
		if err := persist.ValidateDead(dead); err != nil {
			return err
		}
		_, err := s.ask(ctx, k, sql, []byte(k.Party), []byte(k.Room), signedAll(dead))
		return err
	})
}

// Undelete implements persist's contract.
func (s *Store) Undelete(ctx context.Context, k persist.Key) error {
	const sql = `
WITH d AS MATERIALIZED (
	SELECT * FROM yserverd.documents WHERE party = $1 AND room = $2 FOR NO KEY UPDATE
), back AS (
	UPDATE yserverd.documents t SET deleted_at = NULL
	FROM d WHERE t.id = d.id AND d.quarantined_at IS NULL AND d.deleted_at IS NOT NULL
)
SELECT d.seq, d.epoch, false, d.quarantined_at IS NOT NULL, d.quarantine_row, coalesce(d.quarantine_reason, ''), d.deleted_at IS NOT NULL
FROM d`
	return s.call(ctx, "undelete", func(ctx context.Context) error {
		if err := k.Validate(); err != nil {
			return err
		}
		deleted, err := s.ask(ctx, k, sql, []byte(k.Party), []byte(k.Room))
		if err == nil && !deleted {
			err = persist.ErrNotFound
		}
		return err
	})
}
