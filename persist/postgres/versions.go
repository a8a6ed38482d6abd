package postgres

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/yserverd/yserverd/persist"
)

const versionThereSQL = `
SELECT ` + flags + `, EXISTS (SELECT FROM yserverd.versions v WHERE v.document_id = d.id AND v.id = $3)
FROM yserverd.documents d WHERE d.party = $1 AND d.room = $2`

// putVersionSQL stores a version, unless its id is there. Arguments: party, room, id, name, author, automatic, created,
// epoch, seq, size of the state, sum, its bytes or NULL, object or NULL.
const putVersionSQL = `
WITH d AS MATERIALIZED (
	SELECT * FROM yserverd.documents WHERE party = $1 AND room = $2 FOR SHARE
), put AS (
	INSERT INTO yserverd.versions (document_id, id, name, author, automatic, created_at, epoch, seq, bytes, sum, data, object)
	SELECT id, $3::text, $4::bytea, $5::bytea, $6::boolean, $7::timestamptz, $8::bigint, $9::bigint, $10::bigint, $11::bytea,
		$12::bytea, $13::text
	FROM d WHERE deleted_at IS NULL AND quarantined_at IS NULL
	ON CONFLICT (document_id, id) DO NOTHING RETURNING object
), named AS (
	DELETE FROM yserverd.objects o WHERE o.name = $13::text
		AND (EXISTS (SELECT FROM put) OR EXISTS (SELECT FROM yserverd.versions v WHERE v.object = $13::text))
)
SELECT ` + flags + `, EXISTS (SELECT FROM put) FROM d`

// PutVersion implements persist's contract.
func (s *Store) PutVersion(ctx context.Context, k persist.Key, v persist.Version, state []byte) error {
	return s.call(ctx, "put version", func(ctx context.Context) error {
		if err := errors.Join(v.Validate(), checkState(k, state)); err != nil {
			return err
		}
		// Looking first saves an object for what is refused or there.
		party, room := []byte(k.Party), []byte(k.Room)
		there, err := s.ask(ctx, k, versionThereSQL, party, room, v.ID)
		if err != nil || there {
			return err
		}
		p, err := s.placeVersion(ctx, k, &v, state)
		if err != nil {
			return err
		}
		_, err = s.ask(ctx, k, putVersionSQL, party, room, v.ID, []byte(v.Name), []byte(v.Author), v.Automatic,
			millis(v.Created), signed(v.Epoch), signed(v.Seq), int64(len(state)), p.sum, p.data, p.object)
		return err
	})
}

// millis is a time as the contract keeps it.
func millis(t time.Time) time.Time { return time.UnixMilli(t.UnixMilli()).UTC() }

// ask makes a statement about a document that must exist and be in service, and returns its last value.
func (s *Store) ask(ctx context.Context, k persist.Key, sql string, args ...any) (bool, error) {
	a, err := s.look(ctx, sql, args...)
	if err == nil && !a.found {
		err = persist.ErrNotFound
	}
	if err == nil {
		err = a.head.check(k)
	}
	return a.done, err
}

// DeleteVersion implements persist's contract. The object, if there is one, is left to Sweep.
func (s *Store) DeleteVersion(ctx context.Context, k persist.Key, id string) error {
	const sql = `
WITH d AS MATERIALIZED (
	SELECT * FROM yserverd.documents WHERE party = $1 AND room = $2 FOR SHARE
), gone AS (
	DELETE FROM yserverd.versions v USING d
	WHERE v.document_id = d.id AND v.id = $3 AND d.deleted_at IS NULL AND d.quarantined_at IS NULL
	RETURNING v.object
), superseded AS (
	INSERT INTO yserverd.objects (name, planned) SELECT object, false FROM gone WHERE object IS NOT NULL
	ON CONFLICT (name) DO UPDATE SET planned = false, since = now()
)
SELECT ` + flags + `, EXISTS (SELECT FROM gone) FROM d`
	return s.call(ctx, "delete version", func(ctx context.Context) error {
		if err := errors.Join(k.Validate(), persist.ValidateVersionID(id)); err != nil {
			return err
		}
		gone, err := s.ask(ctx, k, sql, []byte(k.Party), []byte(k.Room), id)
		if err == nil && !gone {
			err = persist.ErrNotFound
		}
		return err
	})
}

// versionColumns are what scanVersion reads.
const versionColumns = `v.id, v.name, v.author, v.automatic, v.created_at, v.epoch, v.seq, v.bytes`

// versionRow is a version, or none, of a document.
type versionRow struct {
	persist.Version // once scanned

	deleted           bool // the document
	found             bool // once scanned: there is a version
	id                *string
	name, author      []byte
	automatic         *bool
	created           *time.Time
	epoch, seq, bytes *int64
	sum, data         []byte
	object            *string
}

// columns are where to scan versionColumns, behind whether the document is deleted.
func (r *versionRow) columns() []any {
	return []any{&r.deleted, &r.id, &r.name, &r.author, &r.automatic, &r.created, &r.epoch, &r.seq, &r.bytes}
}

// scanned makes a Version of the columns.
func (r *versionRow) scanned() {
	r.found = r.id != nil
	if r.found {
		r.Version = persist.Version{
			ID: *r.id, Name: string(r.name), Author: string(r.author), Automatic: *r.automatic, Created: r.created.UTC(),
			Epoch: uint64(*r.epoch), Seq: uint64(*r.seq), Bytes: *r.bytes,
		}
	}
}

// Versions implements persist's contract.
func (s *Store) Versions(ctx context.Context, k persist.Key, cursor string, limit int) (page []persist.Version, next string, err error) {
	const sql = `
SELECT d.deleted_at IS NOT NULL, ` + versionColumns + `
FROM yserverd.documents d LEFT JOIN LATERAL (
	SELECT * FROM yserverd.versions v WHERE v.document_id = d.id AND d.deleted_at IS NULL AND (v.created_at, v.id) < ($3, $4)
	ORDER BY v.created_at DESC, v.id DESC LIMIT $5) v ON true
WHERE d.party = $1 AND d.room = $2
ORDER BY v.created_at DESC, v.id DESC`
	limit = persist.PageLimit(limit)
	deleted := false
	err = s.query(ctx, "versions", func(ctx context.Context) error {
		page = nil
		at, id, err := parseVersionCursor(cursor)
		if err = errors.Join(k.Validate(), err); err != nil {
			return err
		}
		rows, err := s.pool.Query(ctx, sql, []byte(k.Party), []byte(k.Room), at, id, limit+1)
		if err != nil {
			return err
		}
		var r versionRow
		_, err = pgx.ForEachRow(rows, r.columns(), func() error {
			deleted = r.deleted
			if r.scanned(); r.found {
				page = append(page, r.Version)
			}
			return nil
		})
		if err == nil && deleted {
			err = persist.ErrDeleted
		}
		return err
	})
	if err != nil {
		return nil, "", err
	}
	if len(page) > limit {
		page = page[:limit]
		next = formatVersionCursor(page[limit-1])
	}
	return page, next, nil
}

// A cursor is the last version of the page: its time in milliseconds, and its id.

func formatVersionCursor(v persist.Version) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d %s", v.Created.UnixMilli(), v.ID))
}

// parseVersionCursor returns what the page is behind. An empty cursor is before all that there can be.
func parseVersionCursor(cursor string) (time.Time, string, error) {
	if cursor == "" {
		return time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), "", nil
	}
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	at, id, _ := strings.Cut(string(text), " ")
	ms, numberErr := strconv.ParseInt(at, 10, 64)
	if err = errors.Join(err, numberErr, persist.ValidateVersionID(id), persist.ValidateAlarm(time.UnixMilli(ms))); err != nil {
		return time.Time{}, "", fmt.Errorf("%w: cursor of another listing", persist.ErrInvalid)
	}
	return time.UnixMilli(ms).UTC(), id, nil
}

// Version implements persist's contract.
func (s *Store) Version(ctx context.Context, k persist.Key, id string) (v persist.Version, state []byte, err error) {
	err = s.call(ctx, "version", func(ctx context.Context) error {
		if err := errors.Join(k.Validate(), persist.ValidateVersionID(id)); err != nil {
			return err
		}
		r, err := s.version(ctx, k, id)
		if err != nil {
			return err
		}
		v = r.Version
		state, err = s.versionState(ctx, k, r)
		return err
	})
	if err != nil {
		return persist.Version{}, nil, err
	}
	return v, state, nil
}

func (s *Store) version(ctx context.Context, k persist.Key, id string) (*versionRow, error) {
	const sql = `
SELECT d.deleted_at IS NOT NULL, ` + versionColumns + `, v.sum, v.data, v.object
FROM yserverd.documents d LEFT JOIN yserverd.versions v ON v.document_id = d.id AND v.id = $3 AND d.deleted_at IS NULL
WHERE d.party = $1 AND d.room = $2`
	r := &versionRow{}
	err := s.run(ctx, func(ctx context.Context) error {
		rows, err := s.pool.Query(ctx, sql, []byte(k.Party), []byte(k.Room), id)
		_, err = one(rows, err, append(r.columns(), &r.sum, &r.data, &r.object)...)
		return err
	})
	r.scanned()
	switch {
	case hasCode(err, codeDamaged):
		return nil, &persist.CorruptError{Key: k, Reason: "version " + id, Err: err}
	case err != nil:
		return nil, err
	case r.deleted:
		return nil, persist.ErrDeleted
	case !r.found:
		return nil, persist.ErrNotFound
	}
	return r, nil
}

// versionState returns the state of a version, verified.
func (s *Store) versionState(ctx context.Context, k persist.Key, r *versionRow) ([]byte, error) {
	bad := func(reason string) error {
		s.counters.corruptions.Add(1)
		return &persist.CorruptError{Key: k, Reason: fmt.Sprintf("version %s: %s", r.ID, reason)}
	}
	if r.object == nil {
		if !isStateSum(r.sum, sumVersion, k, r.Seq, r.ID, r.data) {
			return nil, bad("checksum mismatch")
		}
		return r.data, nil
	}
	state, err := s.get(ctx, *r.object, r.sum, r.Bytes)
	switch {
	case errors.Is(err, persist.ErrNotFound):
		// It may have been dropped, and swept, since its row was read.
		if now, err := s.version(ctx, k, r.ID); err != nil || now.object == nil || *now.object != *r.object {
			return nil, errors.Join(err, persist.ErrNotFound)
		}
		return nil, bad(fmt.Sprintf("object %s is missing", *r.object))
	case errors.Is(err, persist.ErrCorrupt):
		return nil, bad(fmt.Sprintf("object %s: %v", *r.object, err))
	}
	return state, err
}
