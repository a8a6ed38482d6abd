package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/object"
)

// placement says where a state is: in the row itself, or in an object that the row names. The other is nil.
type placement struct {
	data   []byte
	sum    []byte // of the object's bytes, or what stateSum says
	object *string
}

// placeSnapshot puts a snapshot where it belongs.
func (s *Store) placeSnapshot(ctx context.Context, k persist.Key, epoch persist.Epoch, seq persist.Seq, state []byte) (placement, error) {
	if s.opts.Bucket == nil {
		return placement{data: state, sum: stateSum(sumSnapshot, k, seq, "", state)}, nil
	}
	stored, sum := object.Encode(state)
	name := object.SnapshotName(s.uuid, k, epoch, seq, sum)
	return placement{sum: sum[:], object: &name}, s.put(ctx, name, stored)
}

// placeVersion puts the state of a version where it belongs.
func (s *Store) placeVersion(ctx context.Context, k persist.Key, v *persist.Version, state []byte) (placement, error) {
	if s.opts.Bucket == nil {
		return placement{data: state, sum: stateSum(sumVersion, k, v.Seq, v.ID, state)}, nil
	}
	stored, sum := object.Encode(state)
	name := object.VersionName(s.uuid, k, v.ID, sum)
	return placement{sum: sum[:], object: &name}, s.put(ctx, name, stored)
}

// planSQL says that an object is about to be named. It waits for whoever is removing it: then it is put again.
const planSQL = `
INSERT INTO yserverd.objects (name, planned) VALUES ($1, true)
ON CONFLICT (name) DO UPDATE SET planned = true, since = now()`

// put plans and puts an object. The row that names it takes it out of the plan.
func (s *Store) put(ctx context.Context, name string, stored []byte) error {
	err := s.run(ctx, func(ctx context.Context) error {
		_, err := s.pool.Exec(ctx, planSQL, name)
		return err
	})
	if err != nil {
		return err
	}
	if err := s.opts.Bucket.Put(ctx, name, stored); err != nil {
		return fmt.Errorf("put object: %w", err)
	}
	return nil
}

// get returns the state in an object of which a row says how large the state is. Errors of the object itself match
// persist.ErrNotFound or persist.ErrCorrupt.
func (s *Store) get(ctx context.Context, name string, sum []byte, bytes int64) ([]byte, error) {
	if s.opts.Bucket == nil {
		return nil, fmt.Errorf("%w: object %q is in a bucket, and there is none", persist.ErrUnavailable, name)
	}
	if len(sum) != 32 || bytes < 0 || bytes > maxCallBytes {
		return nil, &object.DamageError{Reason: "its row has no sum or size"}
	}
	most := bytes + bytes/64 + 1<<16 // what does not compress becomes a little longer
	stored, err := s.opts.Bucket.Get(ctx, name, most)
	if err != nil {
		return nil, fmt.Errorf("get object: %w", err)
	}
	return object.Decode(stored, [32]byte(sum), bytes)
}

// fetchSnapshot returns the snapshot of a document that keeps it in an object. errAgain: the document has another by now.
func (s *Store) fetchSnapshot(ctx context.Context, l *loading) ([]byte, error) {
	h := &l.head
	state, err := s.get(ctx, h.snapshotObject, h.snapshotSum, h.snapshotBytes)
	switch {
	case errors.Is(err, persist.ErrNotFound):
		now, readErr := s.read(ctx, l.key)
		if readErr != nil {
			return nil, readErr
		}
		if now.head.snapshotObject != h.snapshotObject {
			return nil, errAgain
		}
	case !errors.Is(err, persist.ErrCorrupt):
		return state, err
	}
	return nil, s.damaged(ctx, l.key, h.id, 0, fmt.Sprintf("snapshot: object %s: %v", h.snapshotObject, err))
}

// unnamed is a condition on objects o: no row names them.
const unnamed = `NOT EXISTS (SELECT FROM yserverd.documents d WHERE d.snapshot_object = o.name)
	AND NOT EXISTS (SELECT FROM yserverd.versions v WHERE v.object = o.name)`

// remove drops the objects whose names claim returns, and returns how many. The transaction has their rows locked until
// they are gone, so that nobody can plan to name one meanwhile. The bucket takes the time that it takes.
func (s *Store) remove(ctx context.Context, claim string, args ...any) (n int, err error) {
	var tx pgx.Tx
	var names []string
	err = s.attempt(ctx, func(ctx context.Context) error {
		if tx, err = s.pool.Begin(ctx); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, claim, args...)
		if err != nil {
			return err
		}
		names, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if tx != nil {
		defer s.rollback(ctx, tx)
	}
	if err != nil || len(names) == 0 {
		return 0, err
	}
	if err := s.opts.Bucket.Delete(ctx, names); err != nil {
		return 0, fmt.Errorf("delete objects: %w", err)
	}
	err = s.attempt(ctx, func(ctx context.Context) error {
		if _, err := tx.Exec(ctx, `DELETE FROM yserverd.objects WHERE name = ANY($1)`, names); err != nil {
			return err
		}
		return tx.Commit(ctx)
	})
	if err != nil {
		return 0, err
	}
	return len(names), nil
}

// rollback ends a transaction, also for a caller who has gone. Behind a commit it does nothing.
func (s *Store) rollback(ctx context.Context, tx pgx.Tx) {
	_ = s.attempt(context.WithoutCancel(ctx), tx.Rollback) // a connection that cannot do that is closed
}

// claimSQL claims of the names those that no row names. What is remembered it claims if a condition holds.
const claimSQL = `
INSERT INTO yserverd.objects AS known (name, planned)
SELECT DISTINCT o.name, false FROM unnest($1::text[]) AS o(name) WHERE ` + unnamed + ` ORDER BY o.name
ON CONFLICT (name) DO UPDATE SET planned = false WHERE `

// claimOrphansSQL claims what is not remembered, or is planned since too long.
const claimOrphansSQL = claimSQL + `known.planned AND known.since < $2 RETURNING name`

// claimPurgedSQL claims what is not remembered since.
const claimPurgedSQL = claimSQL + `known.since <= $2 RETURNING name`

// claimSupersededSQL claims what was superseded before a time.
const claimSupersededSQL = `
SELECT o.name FROM yserverd.objects o WHERE NOT o.planned AND o.since < $1 AND ` + unnamed + `
ORDER BY o.since LIMIT $2 FOR UPDATE SKIP LOCKED`
