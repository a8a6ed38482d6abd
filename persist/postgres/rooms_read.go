package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/yserverd/yserverd/persist"
)

// roomView is one reading of a room's data.
type roomView struct {
	s     *Store
	key   persist.Key
	space persist.Space

	summer  summer
	items   []persist.RoomItem // verified, and the caller's
	cut     bool               // there is one more
	bad     string             // why a value does not verify
	corrupt error              // why the room is out of service
}

// read makes a statement whose rows say whether the room is in quarantine and why, and then have key, value and sum of a
// value: no key where there is none, no sum for one that is not read.
func (v *roomView) read(ctx context.Context, sql string, args ...any) error {
	args = append([]any{[]byte(v.key.Party), []byte(v.key.Room)}, args...)
	err := v.s.run(ctx, func(ctx context.Context) error {
		rows, err := v.s.pool.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		v.items, v.cut, v.bad, v.corrupt = nil, false, "", nil
		return v.scan(rows)
	})
	switch {
	case hasCode(err, codeDamaged):
		return v.s.damagedRoom(ctx, v.key, fmt.Sprintf("%v: %v", v.space, err))
	case err == nil && v.bad != "":
		return v.s.damagedRoom(ctx, v.key, v.bad)
	}
	return errors.Join(err, v.corrupt)
}

func (v *roomView) scan(rows pgx.Rows) error {
	var quarantined bool
	var reason, name []byte
	var value arena
	var sum *int32
	_, err := pgx.ForEachRow(rows, []any{&quarantined, &reason, &name, &value, &sum}, func() error {
		item := persist.RoomItem{Key: string(name), Value: value.take()}
		switch {
		case quarantined:
			v.corrupt = &persist.CorruptError{Key: v.key, Reason: string(reason)}
		case name == nil:
		case sum == nil:
			v.cut = true
		case v.summer.value(v.key, v.space, item.Key, item.Value) != *sum:
			v.bad = fmt.Sprintf("%v %.200q: checksum mismatch", v.space, name)
		default:
			v.items = append(v.items, item)
		}
		return nil
	})
	return err
}

// GetRoom implements persist's contract.
func (s *Store) GetRoom(ctx context.Context, k persist.Key, space persist.Space, keys []string) ([][]byte, error) {
	const sql = `
SELECT r.quarantined_at IS NOT NULL, r.quarantine_reason, v.key, v.value, v.sum
FROM yserverd.rooms r LEFT JOIN yserverd.room_values v
	ON v.room_id = r.id AND v.space = $3 AND v.key = ANY($4::bytea[]) AND r.quarantined_at IS NULL
WHERE r.party = $1 AND r.room = $2`
	values := make([][]byte, len(keys))
	err := s.call(ctx, "get room", func(ctx context.Context) error {
		err := errors.Join(k.Validate(), space.Validate())
		asked, places := make([][]byte, 0, len(keys)), make(map[string][]int, len(keys))
		for i, name := range keys {
			err = errors.Join(err, persist.ValidateRoomKey(space, name))
			if places[name] == nil {
				asked = append(asked, []byte(name))
			}
			places[name] = append(places[name], i)
		}
		if err != nil {
			return err
		}
		v := roomView{s: s, key: k, space: space}
		err = v.read(ctx, sql, int16(space), asked)
		for _, item := range v.items {
			for n, i := range places[item.Key] {
				values[i] = item.Value
				if n > 0 { // each is the caller's
					values[i] = append(make([]byte, 0, len(item.Value)), item.Value...)
				}
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return values, nil
}

// listRoomSQL returns the values of a page, and the key alone of what would be over it, which comes last. Sizes are known
// without reading the values. The direction is written into it.
const listRoomSQL = `
SELECT r.quarantined_at IS NOT NULL, r.quarantine_reason, p.key, p.value, p.sum
FROM yserverd.rooms r LEFT JOIN LATERAL (
	SELECT key, CASE WHEN n = 1 OR n <= $6 AND size <= $7 THEN value END AS value,
		CASE WHEN n = 1 OR n <= $6 AND size <= $7 THEN sum END AS sum, n
	FROM (
		SELECT key, value, sum, row_number() OVER page AS n,
			sum(octet_length(key) + octet_length(value)) OVER page AS size,
			sum(octet_length(key) + octet_length(value)) OVER page - octet_length(key) - octet_length(value) AS before
		FROM yserverd.room_values v
		WHERE v.room_id = r.id AND v.space = $3 AND v.key >= $4 AND v.key < $5 AND r.quarantined_at IS NULL
		WINDOW page AS (ORDER BY key %[1]s ROWS UNBOUNDED PRECEDING)
		ORDER BY key %[1]s LIMIT $6 + 1
	) sized WHERE n <= 2 OR before <= $7
) p ON true
WHERE r.party = $1 AND r.room = $2
ORDER BY p.n`

var (
	listRoomUpSQL   = fmt.Sprintf(listRoomSQL, "ASC")
	listRoomDownSQL = fmt.Sprintf(listRoomSQL, "DESC")
)

// ListRoom implements persist's contract.
func (s *Store) ListRoom(ctx context.Context, k persist.Key, r persist.RoomRange, reverse bool, limit int) (items []persist.RoomItem, more bool, err error) {
	err = s.call(ctx, "list room", func(ctx context.Context) error {
		if err := errors.Join(k.Validate(), r.Validate()); err != nil {
			return err
		}
		from, to := []byte(r.From), []byte(r.To)
		switch {
		case r.Empty():
			to = from
		case r.To == "":
			to = behindAll
		}
		sql := listRoomUpSQL
		if reverse {
			sql = listRoomDownSQL
		}
		v := roomView{s: s, key: k, space: r.Space}
		err := v.read(ctx, sql, int16(r.Space), from, to, int64(persist.RoomLimit(limit)), int64(persist.MaxRoomPageBytes))
		items, more = v.items, v.cut
		return err
	})
	if err != nil {
		return nil, false, err
	}
	return items, more, nil
}

// RoomSize implements persist's contract. It looks at all keys of the space, but reads no large value.
func (s *Store) RoomSize(ctx context.Context, k persist.Key, space persist.Space) (size int64, err error) {
	const sql = `
SELECT r.quarantined_at IS NOT NULL, coalesce(r.quarantine_reason, ''), (
	SELECT coalesce(sum(octet_length(v.key) + octet_length(v.value)), 0)::bigint
	FROM yserverd.room_values v WHERE v.room_id = r.id AND v.space = $3)
FROM yserverd.rooms r WHERE r.party = $1 AND r.room = $2`
	err = s.query(ctx, "room size", func(ctx context.Context) error {
		if err := errors.Join(k.Validate(), space.Validate()); err != nil {
			return err
		}
		return s.ofRoom(ctx, k, &size, sql, int16(space))
	})
	return size, err
}

// ofRoom reads one value of a room, behind whether and why it is in quarantine. Without a row it leaves dst alone.
func (s *Store) ofRoom(ctx context.Context, k persist.Key, dst any, sql string, args ...any) error {
	var quarantined bool
	var reason []byte
	rows, err := s.pool.Query(ctx, sql, append([]any{[]byte(k.Party), []byte(k.Room)}, args...)...)
	if _, err := one(rows, err, &quarantined, &reason, dst); err != nil {
		return err
	}
	if quarantined {
		return &persist.CorruptError{Key: k, Reason: string(reason)}
	}
	return nil
}

// Alarm implements persist's contract.
func (s *Store) Alarm(ctx context.Context, k persist.Key) (time.Time, error) {
	return s.timeOf(ctx, "alarm", k)
}

// Alarms implements persist's contract.
func (s *Store) Alarms(ctx context.Context, before time.Time, limit int) ([]persist.RoomAlarm, error) {
	return s.timesBefore(ctx, "alarms", "alarm", before, limit)
}

// Delivery implements persist's contract.
func (s *Store) Delivery(ctx context.Context, k persist.Key) (time.Time, error) {
	return s.timeOf(ctx, "delivery", k)
}

// Deliveries implements persist's contract.
func (s *Store) Deliveries(ctx context.Context, before time.Time, limit int) ([]persist.RoomAlarm, error) {
	return s.timesBefore(ctx, "deliveries", "delivery", before, limit)
}

func (s *Store) timeOf(ctx context.Context, column string, k persist.Key) (time.Time, error) {
	sql := `SELECT quarantined_at IS NOT NULL, coalesce(quarantine_reason, ''), ` + column + `
FROM yserverd.rooms WHERE party = $1 AND room = $2`
	var at *time.Time
	err := s.query(ctx, column, func(ctx context.Context) error {
		if err := k.Validate(); err != nil {
			return err
		}
		at = nil
		return s.ofRoom(ctx, k, &at, sql)
	})
	if err != nil || at == nil {
		return time.Time{}, err
	}
	return at.UTC(), nil
}

func (s *Store) timesBefore(ctx context.Context, name, column string, before time.Time, limit int) (all []persist.RoomAlarm, err error) {
	sql := `SELECT party, room, ` + column + ` FROM yserverd.rooms
WHERE ` + column + ` IS NOT NULL AND quarantined_at IS NULL AND ` + column + ` < $1
ORDER BY ` + column + `, party, room LIMIT $2`
	if before.IsZero() {
		before = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	// The database has whole microseconds: what is before an instant between two of them is before the second.
	before = before.Add(time.Microsecond - 1).Truncate(time.Microsecond)
	err = s.query(ctx, name, func(ctx context.Context) error {
		all = nil
		rows, err := s.pool.Query(ctx, sql, before, int64(persist.RoomLimit(limit)))
		if err != nil {
			return err
		}
		var party, room []byte
		var at time.Time
		_, err = pgx.ForEachRow(rows, []any{&party, &room, &at}, func() error {
			all = append(all, persist.RoomAlarm{Key: persist.Key{Party: string(party), Room: string(room)}, At: at.UTC()})
			return nil
		})
		return err
	})
	return all, err
}
