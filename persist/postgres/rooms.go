package postgres

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/yserverd/yserverd/persist"
)

// The statements of a change of rooms, in the order in which they are made, in one transaction. Each begins with the rooms:
// party, room, and whether there has to be a row for it. Once the rows are locked nobody else changes these rooms, and the
// statements behind it see all that was done before. They do nothing unless every row is there and none is in quarantine.

const roomsAsked = `
WITH asked AS MATERIALIZED (
	SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::boolean[]) WITH ORDINALITY AS a(party, room, needed, n)
)`

// createRoomsSQL makes the rows that are not there.
const createRoomsSQL = roomsAsked + `
INSERT INTO yserverd.rooms (party, room)
SELECT a.party, a.room FROM asked a
WHERE a.needed AND NOT EXISTS (SELECT FROM yserverd.rooms r WHERE r.party = a.party AND r.room = a.room)
	AND NOT EXISTS (
		SELECT FROM asked b JOIN yserverd.rooms r ON r.party = b.party AND r.room = b.room AND r.quarantined_at IS NOT NULL)
ORDER BY a.party, a.room
ON CONFLICT (party, room) DO NOTHING`

// lockRoomsSQL locks the rows, in the order of their numbers, so that two such statements never wait for each other in
// turn, and says which are in quarantine.
const lockRoomsSQL = roomsAsked + `
SELECT a.n, r.quarantined_at IS NOT NULL, r.quarantine_reason
FROM asked a JOIN yserverd.rooms r ON r.party = a.party AND r.room = a.room
ORDER BY r.id
FOR NO KEY UPDATE OF r`

const roomsTargets = roomsAsked + `, row AS MATERIALIZED (
	SELECT a.n, a.needed, r.id, r.quarantined_at FROM asked a LEFT JOIN yserverd.rooms r ON r.party = a.party AND r.room = a.room
), target AS MATERIALIZED (
	SELECT n, id FROM row
	WHERE id IS NOT NULL AND NOT EXISTS (SELECT FROM row WHERE quarantined_at IS NOT NULL OR needed AND id IS NULL)
)`

const dropRangesSQL = roomsTargets + `
DELETE FROM yserverd.room_values v
USING unnest($4::bigint[], $5::smallint[], $6::bytea[], $7::bytea[]) AS x(n, space, first, behind), target t
WHERE t.n = x.n AND v.room_id = t.id AND v.space = x.space AND v.key >= x.first AND v.key < x.behind`

const dropValuesSQL = roomsTargets + `
DELETE FROM yserverd.room_values v
USING unnest($4::bigint[], $5::smallint[], $6::bytea[]) AS x(n, space, key), target t
WHERE t.n = x.n AND v.room_id = t.id AND v.space = x.space AND v.key = x.key`

const putValuesSQL = roomsTargets + `
INSERT INTO yserverd.room_values (room_id, space, key, value, sum)
SELECT t.id, x.space, x.key, x.value, x.sum
FROM unnest($4::bigint[], $5::smallint[], $6::bytea[], $7::bytea[], $8::integer[]) AS x(n, space, key, value, sum)
	JOIN target t ON t.n = x.n
ON CONFLICT (room_id, space, key) DO UPDATE SET value = excluded.value, sum = excluded.sum`

const setTimesSQL = roomsTargets + `
UPDATE yserverd.rooms r SET
	alarm = CASE WHEN x.alarmed THEN x.alarm ELSE r.alarm END,
	delivery = CASE WHEN x.delivered THEN x.delivery ELSE r.delivery END
FROM unnest($4::bigint[], $5::boolean[], $6::timestamptz[], $7::boolean[], $8::timestamptz[]) AS x(n, alarmed, alarm, delivered, delivery)
	JOIN target t ON t.n = x.n
WHERE r.id = t.id`

// ChangeRooms implements persist's contract: one transaction and one round trip for all changes. What the changes come to
// is found out first, so that the database sees each value once.
func (s *Store) ChangeRooms(ctx context.Context, changes []persist.RoomChange) error {
	err := s.call(ctx, "change rooms", func(ctx context.Context) error {
		w, err := newRoomWrite(changes)
		if err != nil || len(w.keys) == 0 {
			return err
		}
		return s.bring(ctx, w.size, func(ctx context.Context) error { return w.send(ctx, s) })
	})
	if err == nil {
		s.counters.roomChanges.Add(uint64(len(changes)))
	}
	return err
}

// roomWrite is what the changes of a call come to.
type roomWrite struct {
	keys   []persist.Key
	states []roomState // of the keys
	index  map[persist.Key]int
	summer summer
	size   int64 // of keys and values, in bytes
}

// roomState is what the changes of one room come to: ranges of what is stored, values that are dropped or put behind that,
// times.
type roomState struct {
	ranges          []persist.RoomRange
	values          map[roomValue][]byte // nil: dropped
	alarm, delivery *time.Time
}

type roomValue struct {
	space persist.Space
	key   string
}

func newRoomWrite(changes []persist.RoomChange) (*roomWrite, error) {
	w := &roomWrite{index: make(map[persist.Key]int, len(changes))}
	for i := range changes {
		c := &changes[i]
		if err := c.Validate(); err != nil {
			return nil, err
		}
		for j := range c.Puts {
			w.size += int64(len(c.Puts[j].Key) + len(c.Puts[j].Value))
		}
		at, there := w.index[c.Key]
		if !there {
			at = len(w.keys)
			w.index[c.Key] = at
			w.keys, w.states = append(w.keys, c.Key), append(w.states, roomState{values: make(map[roomValue][]byte)})
		}
		w.states[at].add(c)
	}
	if w.size > maxCallBytes {
		return nil, fmt.Errorf("%w: %d bytes in one call, more than %d", persist.ErrInvalid, w.size, maxCallBytes)
	}
	return w, nil
}

func (r *roomState) add(c *persist.RoomChange) {
	for _, rng := range c.Ranges {
		if rng.Empty() {
			continue
		}
		r.ranges = append(r.ranges, rng)
		for v := range r.values {
			if v.space == rng.Space && rng.Contains(v.key) {
				delete(r.values, v)
			}
		}
	}
	for _, d := range c.Deletes {
		r.values[roomValue{d.Space, d.Key}] = nil
	}
	for i := range c.Puts {
		p := &c.Puts[i]
		r.values[roomValue{p.Space, p.Key}] = solid(p.Value)
	}
	if c.Alarm != nil {
		r.alarm = c.Alarm
	}
	if c.Delivery != nil {
		r.delivery = c.Delivery
	}
}

// needed reports whether there has to be a row for the room: what only drops something needs none.
func (r *roomState) needed() bool {
	for _, value := range r.values {
		if value != nil {
			return true
		}
	}
	return r.alarm != nil && !r.alarm.IsZero() || r.delivery != nil && !r.delivery.IsZero()
}

// send makes the statements. errAgain: a room was purged in between, and nothing was done.
func (w *roomWrite) send(ctx context.Context, s *Store) error {
	parties, rooms, needed := make([][]byte, len(w.keys)), make([][]byte, len(w.keys)), make([]bool, len(w.keys))
	missing, create := 0, false
	for i, k := range w.keys {
		parties[i], rooms[i], needed[i] = []byte(k.Party), []byte(k.Room), w.states[i].needed()
		if needed[i] {
			missing++
			create = true
		}
	}
	b := &pgx.Batch{}
	queue := func(sql string, args ...any) *pgx.QueuedQuery {
		return b.Queue(sql, append([]any{parties, rooms, needed}, args...)...)
	}
	if create {
		queue(createRoomsSQL)
	}
	var corrupt *persist.CorruptError
	queue(lockRoomsSQL).Query(func(rows pgx.Rows) error {
		var n int64
		var quarantined bool
		var reason []byte
		_, err := pgx.ForEachRow(rows, []any{&n, &quarantined, &reason}, func() error {
			if needed[n-1] {
				missing--
			}
			if quarantined && corrupt == nil {
				corrupt = &persist.CorruptError{Key: w.keys[n-1], Reason: string(reason)}
			}
			return nil
		})
		return err
	})
	w.queueDrops(queue)
	w.queuePuts(queue)
	w.queueTimes(queue)
	err := s.send(ctx, b)
	switch {
	case err != nil:
		return err
	case corrupt != nil:
		return corrupt
	case missing > 0:
		return errAgain
	}
	return nil
}

type queueFunc func(sql string, args ...any) *pgx.QueuedQuery

// behindAll is behind every key of a value.
var behindAll = bytes.Repeat([]byte{0xff}, persist.MaxRoomKeyBytes+1)

func (w *roomWrite) queueDrops(queue queueFunc) {
	var places, dropPlaces []int64
	var spaces, dropSpaces []int16
	var first, behind, keys [][]byte
	for i := range w.states {
		for _, r := range w.states[i].ranges {
			to := []byte(r.To)
			if r.To == "" {
				to = behindAll
			}
			places, spaces = append(places, int64(i+1)), append(spaces, int16(r.Space))
			first, behind = append(first, []byte(r.From)), append(behind, to)
		}
		for v, value := range w.states[i].values {
			if value == nil {
				dropPlaces, dropSpaces = append(dropPlaces, int64(i+1)), append(dropSpaces, int16(v.space))
				keys = append(keys, []byte(v.key))
			}
		}
	}
	if len(places) > 0 {
		queue(dropRangesSQL, places, spaces, first, behind)
	}
	if len(keys) > 0 {
		queue(dropValuesSQL, dropPlaces, dropSpaces, keys)
	}
}

func (w *roomWrite) queuePuts(queue queueFunc) {
	var places []int64
	var spaces []int16
	var keys, values [][]byte
	var sums []int32
	for i := range w.states {
		for v, value := range w.states[i].values {
			if value == nil {
				continue
			}
			places, spaces = append(places, int64(i+1)), append(spaces, int16(v.space))
			keys, values = append(keys, []byte(v.key)), append(values, value)
			sums = append(sums, w.summer.value(w.keys[i], v.space, v.key, value))
		}
	}
	if len(places) > 0 {
		queue(putValuesSQL, places, spaces, keys, values, sums)
	}
}

func (w *roomWrite) queueTimes(queue queueFunc) {
	var places []int64
	var alarmed, delivered []bool
	var alarms, deliveries []*time.Time
	for i := range w.states {
		r := &w.states[i]
		if r.alarm == nil && r.delivery == nil {
			continue
		}
		places = append(places, int64(i+1))
		alarmed, alarms = append(alarmed, r.alarm != nil), append(alarms, kept(r.alarm))
		delivered, deliveries = append(delivered, r.delivery != nil), append(deliveries, kept(r.delivery))
	}
	if len(places) > 0 {
		queue(setTimesSQL, places, alarmed, alarms, delivered, deliveries)
	}
}

// kept is a time as it is stored; nil clears it.
func kept(t *time.Time) *time.Time {
	if t == nil || t.IsZero() {
		return nil
	}
	at := millis(*t)
	return &at
}
