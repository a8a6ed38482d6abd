package postgres

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/yserverd/yserverd/persist"
)

const listSQL = `
SELECT room, seq, epoch, snapshot_seq, snapshot_bytes, log_bytes, created_at, updated_at, deleted_at,
	quarantined_at IS NOT NULL, quarantine_row, coalesce(quarantine_reason, '')
FROM yserverd.documents WHERE party = $1 AND room >= $2 AND room < $3
ORDER BY room LIMIT $4`

// List implements persist's contract.
func (s *Store) List(ctx context.Context, party, prefix, cursor string, limit int) (page []persist.Info, next string, err error) {
	limit = persist.PageLimit(limit)
	err = s.query(ctx, "list", func(ctx context.Context) error {
		page = nil
		from, err := parseCursor(cursor, prefix)
		if err = errors.Join(persist.ValidateParty(party), err); err != nil {
			return err
		}
		rows, err := s.pool.Query(ctx, listSQL, []byte(party), from, prefixEnd(prefix, persist.MaxNameBytes), limit+1)
		if err != nil {
			return err
		}
		page, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (persist.Info, error) { return scanInfo(row, party) })
		return err
	})
	if err != nil {
		return nil, "", err
	}
	if len(page) > limit {
		page = page[:limit]
		next = formatCursor(page[limit-1].Key.Room)
	}
	return page, next, nil
}

func scanInfo(row pgx.CollectableRow, party string) (persist.Info, error) {
	var room, reason []byte
	var seq, epoch, snapshotSeq, badRow int64
	var quarantined bool
	var deleted *time.Time
	var info persist.Info
	err := row.Scan(&room, &seq, &epoch, &snapshotSeq, &info.SnapshotBytes, &info.LogBytes, &info.Created, &info.Updated, &deleted,
		&quarantined, &badRow, &reason)
	info.Key = persist.Key{Party: party, Room: string(room)}
	info.Seq, info.Epoch, info.SnapshotSeq = uint64(seq), uint64(epoch), uint64(snapshotSeq)
	if deleted != nil {
		info.Deleted = *deleted
	}
	if quarantined {
		info.Quarantined = string(reason)
		if badRow != 0 {
			info.Quarantined = fmt.Sprintf("row %d: %s", badRow, reason)
		}
	}
	return info, err
}

// prefixEnd is behind every name of at most so many bytes that begins with prefix.
func prefixEnd(prefix string, most int) []byte {
	return append([]byte(prefix), bytes.Repeat([]byte{0xff}, most+1)...)
}

// A cursor is the last room of the page, in URL-safe text.

func formatCursor(room string) string { return base64.RawURLEncoding.EncodeToString([]byte(room)) }

// parseCursor returns the first room that can be on the page.
func parseCursor(cursor, prefix string) ([]byte, error) {
	if cursor == "" {
		return []byte(prefix), nil
	}
	room, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(room) == 0 || !strings.HasPrefix(string(room), prefix) || bytes.IndexByte(room, 0) >= 0 {
		return nil, fmt.Errorf("%w: cursor of another listing", persist.ErrInvalid)
	}
	return append(room, 0), nil
}
