package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/yserverd/yserverd/persist"
)

// replaceSQL begins a new epoch, as compactSQL switches to a snapshot. Arguments: party, room, epoch, size of the state,
// its bytes or NULL, sum, object or NULL, the number that the snapshot has been placed for, the dead clients.
const replaceSQL = `
WITH d AS MATERIALIZED (
	SELECT * FROM yserverd.documents WHERE party = $1 AND room = $2
), fit AS MATERIALIZED (
	SELECT * FROM d WHERE quarantined_at IS NULL AND deleted_at IS NULL AND epoch = $3 AND seq + 1 = $8
), dropped AS (
	DELETE FROM yserverd.updates u USING fit WHERE u.document_id = fit.id
), created AS (
	INSERT INTO yserverd.documents (party, room, seq, epoch, snapshot_seq, snapshot_bytes, snapshot_sum, snapshot_object)
	SELECT $1::bytea, $2::bytea, 1, 1, 1, $4::bigint, $6::bytea, $7::text WHERE $3 = 0 AND $8 = 1 AND NOT EXISTS (SELECT FROM d)
	ON CONFLICT (party, room) DO NOTHING RETURNING id
), target AS MATERIALIZED (
	SELECT id FROM fit UNION ALL SELECT id FROM created
), snapshot AS (
	INSERT INTO yserverd.snapshots (document_id, data) SELECT id, $5::bytea FROM target WHERE $5::bytea IS NOT NULL
	ON CONFLICT (document_id) DO UPDATE SET data = excluded.data
), outside AS (
	DELETE FROM yserverd.snapshots s USING fit WHERE s.document_id = fit.id AND $5::bytea IS NULL
), superseded AS (
	INSERT INTO yserverd.objects (name, planned) SELECT snapshot_object, false FROM fit WHERE snapshot_object IS NOT NULL
	ON CONFLICT (name) DO UPDATE SET planned = false, since = now()
), named AS (
	DELETE FROM yserverd.objects o USING target WHERE o.name = $7::text
), dead AS (
	INSERT INTO yserverd.dead_clients AS c (document_id, clients)
	SELECT id, $9::bigint[] FROM target WHERE cardinality($9::bigint[]) > 0
	ON CONFLICT (document_id) DO UPDATE SET clients = (
		SELECT array_agg(DISTINCT client) FROM unnest(c.clients || excluded.clients) AS client)
), switched AS (
	UPDATE yserverd.documents d SET seq = $8, epoch = fit.epoch + 1, first_seq = fit.seq, log_bytes = 0, snapshot_seq = $8,
		snapshot_bytes = $4, snapshot_sum = $6, snapshot_object = $7::text, updated_at = now()
	FROM fit WHERE d.id = fit.id
)
SELECT seq, epoch, deleted_at IS NOT NULL, quarantined_at IS NOT NULL, quarantine_row, coalesce(quarantine_reason, ''),
	EXISTS (SELECT FROM target)
FROM d
UNION ALL
SELECT 0, 0, false, false, 0, '', true FROM created`

// Replace implements persist's contract. The snapshot's number is part of what is stored, so the document is looked at
// first, and again when an append comes in between.
func (s *Store) Replace(ctx context.Context, k persist.Key, epoch persist.Epoch, dead []uint64, snapshot []byte) (persist.Epoch, error) {
	err := s.call(ctx, "replace", func(ctx context.Context) error {
		if err := checkState(k, snapshot); err != nil {
			return err
		}
		if err := persist.ValidateDead(dead); err != nil {
			return err
		}
		for range maxAttempts {
			if done, err := s.replace(ctx, k, epoch, signedAll(dead), snapshot); done || err != nil {
				return err
			}
		}
		return errAgain
	})
	if err != nil {
		return 0, err
	}
	return epoch + 1, nil
}

func (s *Store) replace(ctx context.Context, k persist.Key, epoch persist.Epoch, dead []int64, snapshot []byte) (bool, error) {
	party, room := []byte(k.Party), []byte(k.Room)
	a, err := s.look(ctx, `SELECT `+flags+`, false FROM yserverd.documents d WHERE d.party = $1 AND d.room = $2`, party, room)
	if err == nil {
		err = a.err(k, epoch)
	}
	if err != nil {
		return false, err
	}
	seq := a.head.seq + 1
	p, err := s.placeSnapshot(ctx, k, epoch+1, seq, snapshot)
	if err != nil {
		return false, err
	}
	err = s.bring(ctx, int64(len(p.data)), func(ctx context.Context) error {
		b := &pgx.Batch{}
		b.Queue(lockSQL, party, room)
		b.Queue(replaceSQL, party, room, signed(epoch), int64(len(snapshot)), p.data, p.sum, p.object, signed(seq), dead).Query(a.read)
		return s.send(ctx, b)
	})
	if err != nil || a.done {
		return a.done, err
	}
	return false, a.err(k, epoch)
}
