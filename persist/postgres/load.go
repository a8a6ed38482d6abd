package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/yserverd/yserverd/persist"
)

// loadSQL returns a document as one statement sees it: a first row with its snapshot and numbers, and a row for each update
// behind the snapshot. What is deleted or in quarantine has no more than its numbers.
const loadSQL = `
WITH d AS MATERIALIZED (
	SELECT *, deleted_at IS NULL AND quarantined_at IS NULL AS readable
	FROM yserverd.documents WHERE party = $1 AND room = $2
)
SELECT d.snapshot_seq, s.data, 0, 0,
	ARRAY[d.id, d.seq, d.epoch, d.first_seq, d.snapshot_bytes, (d.deleted_at IS NOT NULL)::int, (d.quarantined_at IS NOT NULL)::int, d.quarantine_row],
	ARRAY[d.snapshot_sum, convert_to(d.snapshot_object, 'UTF8'), d.quarantine_reason],
	c.clients
FROM d LEFT JOIN yserverd.snapshots s ON s.document_id = d.id AND d.readable
	LEFT JOIN yserverd.dead_clients c ON c.document_id = d.id AND d.readable
UNION ALL
SELECT u.seq, u.data, u.sum, u.rows, NULL, NULL, NULL
FROM d JOIN yserverd.updates u ON u.document_id = d.id AND u.seq > d.snapshot_seq AND d.readable`

// head is what a row of documents says.
type head struct {
	id             int64
	seq, epoch     uint64
	first          uint64
	snapshotSeq    uint64
	snapshotBytes  int64
	snapshotSum    []byte
	snapshotObject string // empty: the snapshot is in the database
	deleted        bool
	quarantined    bool
	row            uint64
	reason         string
}

// check returns why a document is out of service, or nil.
func (h *head) check(k persist.Key) error {
	switch {
	case h.quarantined:
		return &persist.CorruptError{Key: k, Row: h.row, Reason: h.reason}
	case h.deleted:
		return persist.ErrDeleted
	}
	return nil
}

// loading is a document while it is read.
type loading struct {
	key      persist.Key
	found    bool
	head     head
	snapshot []byte
	dead     []int64
	tail     tail
}

// Load implements persist's contract, in one statement. With a bucket the snapshot is fetched behind it.
func (s *Store) Load(ctx context.Context, k persist.Key) (doc persist.Document, err error) {
	err = s.call(ctx, "load", func(ctx context.Context) error {
		if err := k.Validate(); err != nil {
			return err
		}
		for range maxAttempts {
			doc, err = s.load(ctx, k)
			if !errors.Is(err, errAgain) {
				break
			}
		}
		return err
	})
	if err != nil {
		return persist.Document{}, err
	}
	s.counters.loads.Add(1)
	return doc, nil
}

// load reads a document once. errAgain: it has another snapshot by now.
func (s *Store) load(ctx context.Context, k persist.Key) (persist.Document, error) {
	l, err := s.read(ctx, k)
	if err != nil || !l.found {
		return persist.Document{}, err
	}
	h := &l.head
	if err := h.check(k); err != nil {
		return persist.Document{}, err
	}
	if h.snapshotObject != "" {
		if l.snapshot, err = s.fetchSnapshot(ctx, l); err != nil {
			return persist.Document{}, err
		}
	} else if reason := l.checkSnapshot(); reason != "" {
		return persist.Document{}, s.damaged(ctx, k, h.id, 0, reason)
	}
	if row, reason := l.tail.check(h.snapshotSeq, h.seq); reason != "" {
		return persist.Document{}, s.damaged(ctx, k, h.id, row, reason)
	}
	return l.document(), nil
}

// read asks the database for a document.
func (s *Store) read(ctx context.Context, k persist.Key) (l *loading, err error) {
	err = s.run(ctx, func(ctx context.Context) error {
		l = &loading{key: k, tail: tail{key: k}}
		return l.query(ctx, s)
	})
	if hasCode(err, codeDamaged) {
		err = s.damaged(ctx, k, 0, 0, err.Error())
	}
	return l, err
}

func (l *loading) query(ctx context.Context, s *Store) error {
	rows, err := s.pool.Query(ctx, loadSQL, []byte(l.key.Party), []byte(l.key.Room))
	if err != nil {
		return err
	}
	var seq int64
	var sum, packed int32
	var numbers []int64
	var texts [][]byte
	var dead []int64
	_, err = pgx.ForEachRow(rows, []any{&seq, &l.tail.arena, &sum, &packed, &numbers, &texts, &dead}, func() error {
		if numbers == nil {
			l.tail.add(uint64(seq), sum, packed)
			return nil
		}
		l.found, l.tail.after = true, uint64(seq)
		l.snapshot, l.dead = l.tail.arena.take(), dead
		l.head = head{
			id: numbers[0], seq: uint64(numbers[1]), epoch: uint64(numbers[2]), first: uint64(numbers[3]), snapshotBytes: numbers[4],
			deleted: numbers[5] != 0, quarantined: numbers[6] != 0, row: uint64(numbers[7]),
			snapshotSeq: uint64(seq), snapshotSum: texts[0], snapshotObject: string(texts[1]), reason: string(texts[2]),
		}
		l.tail.expect(l.head.seq - min(l.head.seq, l.head.snapshotSeq))
		return nil
	})
	return err
}

// checkSnapshot returns what is wrong with a snapshot in the database, or nothing.
func (l *loading) checkSnapshot() string {
	h := &l.head
	switch {
	case h.snapshotSeq == 0 && l.snapshot == nil:
		return ""
	case l.snapshot == nil:
		return "snapshot: it is missing"
	case !isStateSum(h.snapshotSum, sumSnapshot, l.key, h.snapshotSeq, "", l.snapshot):
		return "snapshot: checksum mismatch"
	}
	return ""
}

func (l *loading) document() persist.Document {
	h := &l.head
	d := persist.Document{Seq: h.seq, Epoch: h.epoch, First: h.first, Exists: true, Tail: l.tail.rows}
	if h.snapshotSeq != 0 {
		d.Snapshot = persist.Snapshot{Seq: h.snapshotSeq, Data: l.snapshot}
	}
	d.Dead = persist.MergeDead(unsignedAll(l.dead), nil)
	return d
}

// The database has client ids as numbers of the same 64 bits.

func unsignedAll(all []int64) []uint64 {
	out := make([]uint64, len(all))
	for i, n := range all {
		out[i] = uint64(n)
	}
	return out
}

func signedAll(all []uint64) []int64 {
	out := make([]int64, len(all))
	for i, n := range all {
		out[i] = int64(n)
	}
	return out
}

// afterHeadSQL locks the row of the document, which waits for an append in flight, and says what it has.
const afterHeadSQL = `
SELECT seq, snapshot_seq, deleted_at IS NOT NULL, quarantined_at IS NOT NULL, quarantine_row, coalesce(quarantine_reason, '')
FROM yserverd.documents WHERE party = $1 AND room = $2 FOR SHARE`

const afterRowsSQL = `
SELECT u.seq, u.data, u.sum, u.rows
FROM yserverd.documents d JOIN yserverd.updates u ON u.document_id = d.id AND u.seq > $3
WHERE d.party = $1 AND d.room = $2 AND d.snapshot_seq <= $3 AND d.deleted_at IS NULL AND d.quarantined_at IS NULL`

// LoadAfter implements persist's contract, in two statements of one transaction and one round trip. It waits for whoever
// is writing the document, a call included whose outcome its caller does not know and that the server still works at.
func (s *Store) LoadAfter(ctx context.Context, k persist.Key, after persist.Seq) (rows []persist.Update, err error) {
	err = s.query(ctx, "load after", func(ctx context.Context) error {
		if err := k.Validate(); err != nil {
			return err
		}
		rows, err = s.loadAfter(ctx, k, after)
		return err
	})
	return rows, err
}

func (s *Store) loadAfter(ctx context.Context, k persist.Key, after persist.Seq) ([]persist.Update, error) {
	var seq, snapshotSeq, row int64
	var h head
	var reason []byte
	t := tail{key: k, after: after}
	b := &pgx.Batch{}
	b.Queue(afterHeadSQL, []byte(k.Party), []byte(k.Room)).Query(func(rows pgx.Rows) error {
		_, err := one(rows, nil, &seq, &snapshotSeq, &h.deleted, &h.quarantined, &row, &reason)
		return err
	})
	b.Queue(afterRowsSQL, []byte(k.Party), []byte(k.Room), signed(after)).Query(t.read)
	err := s.send(ctx, b)
	switch {
	case hasCode(err, codeDamaged):
		return nil, s.damaged(ctx, k, 0, 0, err.Error())
	case err != nil:
		return nil, err
	}
	h.seq, h.snapshotSeq, h.row, h.reason = uint64(seq), uint64(snapshotSeq), uint64(row), string(reason)
	if err := h.check(k); err != nil {
		return nil, err
	}
	switch {
	case after > h.seq:
		return nil, persist.ErrConflict
	case after < h.snapshotSeq:
		return nil, persist.ErrStale
	}
	if row, reason := t.check(after, h.seq); reason != "" {
		return nil, s.damaged(ctx, k, 0, row, reason)
	}
	return t.rows, nil
}
