package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/yserverd/yserverd/persist"
)

// lockSQL locks the row of a document for a batch whose statements must see what those have done who were faster.
const lockSQL = `SELECT id FROM yserverd.documents WHERE party = $1 AND room = $2 FOR NO KEY UPDATE`

// unpackSQL makes rows again of a page that the snapshot would cut.
const unpackSQL = `SELECT yserverd.unpack(id, $3) FROM yserverd.documents WHERE party = $1 AND room = $2 AND snapshot_seq < $3`

// compactSQL switches to a snapshot, unless the row does not agree, and returns the row as it was. Arguments: party, room,
// epoch, up to, size of the state, its bytes (NULL: they are in an object), sum, object (NULL: there is none).
const compactSQL = `
WITH d AS MATERIALIZED (
	SELECT * FROM yserverd.documents WHERE party = $1 AND room = $2
), fit AS MATERIALIZED (
	SELECT * FROM d
	WHERE quarantined_at IS NULL AND deleted_at IS NULL AND epoch = $3 AND snapshot_seq < $4 AND $4 <= seq
), dropped AS (
	DELETE FROM yserverd.updates u USING fit WHERE u.document_id = fit.id AND u.seq <= $4
	RETURNING octet_length(u.data)::bigint - CASE WHEN u.rows > 1 THEN 8 * u.rows ELSE 0 END AS bytes
), snapshot AS (
	INSERT INTO yserverd.snapshots (document_id, data) SELECT id, $6::bytea FROM fit WHERE $6::bytea IS NOT NULL
	ON CONFLICT (document_id) DO UPDATE SET data = excluded.data
), outside AS (
	DELETE FROM yserverd.snapshots s USING fit WHERE s.document_id = fit.id AND $6::bytea IS NULL
), superseded AS (
	INSERT INTO yserverd.objects (name, planned) SELECT snapshot_object, false FROM fit
	WHERE snapshot_object IS NOT NULL AND snapshot_object IS DISTINCT FROM $8::text
	ON CONFLICT (name) DO UPDATE SET planned = false, since = now()
), named AS (
	DELETE FROM yserverd.objects o USING fit WHERE o.name = $8::text
), switched AS (
	UPDATE yserverd.documents d SET snapshot_seq = $4, snapshot_bytes = $5, snapshot_sum = $7, snapshot_object = $8::text,
		log_bytes = d.log_bytes - coalesce((SELECT sum(bytes) FROM dropped), 0), updated_at = now()
	FROM fit WHERE d.id = fit.id
)
SELECT seq, epoch, deleted_at IS NOT NULL, quarantined_at IS NOT NULL, quarantine_row, coalesce(quarantine_reason, ''),
	EXISTS (SELECT FROM fit)
FROM d`

// Compact implements persist's contract: one transaction and one round trip, behind what the bucket takes.
func (s *Store) Compact(ctx context.Context, k persist.Key, epoch persist.Epoch, upTo persist.Seq, snapshot []byte) error {
	err := s.call(ctx, "compact", func(ctx context.Context) error { return s.compact(ctx, k, epoch, upTo, snapshot) })
	if err == nil {
		s.counters.compactions.Add(1)
	}
	return err
}

func checkState(k persist.Key, state []byte) error {
	if err := k.Validate(); err != nil {
		return err
	}
	switch {
	case len(state) == 0:
		return fmt.Errorf("%w: empty state", persist.ErrInvalid)
	case len(state) > maxCallBytes:
		return fmt.Errorf("%w: state of %d bytes, more than %d", persist.ErrInvalid, len(state), maxCallBytes)
	}
	return nil
}

func (s *Store) compact(ctx context.Context, k persist.Key, epoch persist.Epoch, upTo persist.Seq, snapshot []byte) error {
	if err := checkState(k, snapshot); err != nil {
		return err
	}
	party, room := []byte(k.Party), []byte(k.Room)
	if s.opts.Bucket != nil {
		// Looking first saves an object for what will be refused.
		if err := s.compactable(ctx, k, epoch, upTo); err != nil {
			return err
		}
	}
	p, err := s.placeSnapshot(ctx, k, epoch, upTo, snapshot)
	if err != nil {
		return err
	}
	var a answer
	err = s.bring(ctx, int64(len(p.data)), func(ctx context.Context) error {
		b := &pgx.Batch{}
		b.Queue(lockSQL, party, room)
		b.Queue(unpackSQL, party, room, signed(upTo))
		b.Queue(compactSQL, party, room, signed(epoch), signed(upTo), int64(len(snapshot)), p.data, p.sum, p.object).Query(a.read)
		return s.send(ctx, b)
	})
	if err != nil {
		return err
	}
	return a.compacted(k, epoch)
}

const compactableSQL = `
SELECT ` + flags + `, d.snapshot_seq < $3 AND $3 <= d.seq FROM yserverd.documents d WHERE d.party = $1 AND d.room = $2`

func (s *Store) compactable(ctx context.Context, k persist.Key, epoch persist.Epoch, upTo persist.Seq) error {
	a, err := s.look(ctx, compactableSQL, []byte(k.Party), []byte(k.Room), signed(upTo))
	if err != nil {
		return err
	}
	return a.compacted(k, epoch)
}

// look makes one statement that says what answer reads.
func (s *Store) look(ctx context.Context, sql string, args ...any) (a answer, err error) {
	err = s.run(ctx, func(ctx context.Context) error {
		rows, err := s.pool.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		return a.read(rows)
	})
	return a, err
}

// flags are what statements say of a document d, as answer reads it, with an own value last.
const flags = `d.seq, d.epoch, d.deleted_at IS NOT NULL, d.quarantined_at IS NOT NULL, d.quarantine_row, coalesce(d.quarantine_reason, '')`

// answer is what a statement says that changes a document as a whole.
type answer struct {
	found bool
	head  head
	done  bool
}

func (a *answer) read(rows pgx.Rows) error {
	*a = answer{}
	var seq, epoch, row int64
	var reason []byte
	found, err := one(rows, nil, &seq, &epoch, &a.head.deleted, &a.head.quarantined, &row, &reason, &a.done)
	a.found = found
	a.head.seq, a.head.epoch, a.head.row, a.head.reason = uint64(seq), uint64(epoch), uint64(row), string(reason)
	return err
}

// compacted is what Compact returns.
func (a *answer) compacted(k persist.Key, epoch persist.Epoch) error {
	err := a.err(k, epoch)
	if err == nil && !a.done {
		err = persist.ErrStale
	}
	return err
}

// err is why a document that should be at the epoch was not changed.
func (a *answer) err(k persist.Key, epoch persist.Epoch) error {
	if err := a.head.check(k); err != nil {
		return err
	}
	if a.head.epoch != epoch {
		return persist.ErrEpoch
	}
	return nil
}
