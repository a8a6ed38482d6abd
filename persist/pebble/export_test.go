package pebble

import (
	"bytes"
	"context"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/yserverd/yserverd/persist"
)

// Sizes of test stores: everything that happens at size happens early.
const (
	TestPieceBytes = 512
	TestTableBytes = 16 << 10
)

// Small makes the store write many small pieces and tables.
func (o Options) Small() Options {
	o.MemTableBytes = 64 << 10
	o.pieceBytes = TestPieceBytes
	o.tableBytes = TestTableBytes
	return o
}

// NoSync makes the store lie about durability.
func (o Options) NoSync() Options {
	o.noSync = true
	return o
}

// DB is the engine beneath, to damage things with.
func (s *Store) DB() *pebble.DB { return s.db }

// Well is closed while the disk takes writes.
func (s *Store) Well() <-chan struct{} { return s.health.well() }

// Heads is how many heads are remembered.
func (s *Store) Heads() int { return s.heads.len() }

// RowKey is the key of a document's row.
func (s *Store) RowKey(k persist.Key, seq persist.Seq) []byte {
	return appendRowKey(nil, s.numberOf(HeadKey(k)), seq)
}

// HeadKey is the key of a document's head.
func HeadKey(k persist.Key) []byte { return appendNameKey(nil, kindHead, k) }

// FormatRecord is the record of a store's format version, for a store of the
// future.
func FormatRecord(version byte) (key, value []byte) {
	return formatKey, appendRecord(nil, formatKey, append([]byte{version}, "from the future"...))
}

// CountKind counts the keys of a kind, by its letter.
func (s *Store) CountKind(kind byte) (n int, err error) {
	it, err := s.db.NewIter(kindBounds(kind))
	if err != nil {
		return 0, err
	}
	for ok := it.First(); ok; ok = it.Next() {
		n++
	}
	return n, it.Close()
}

// Sealed ends a value with the checksum that fits its key.
func Sealed(key, body []byte) []byte { return appendSum(bytes.Clone(body), 0, key) }

// Head is the record of a document.
type Head = head

// Append is appendHead.
func (h *head) Append(dst, key []byte) []byte { return appendHead(dst, key, h) }

// ParseHead is parseHead.
func ParseHead(key, value []byte) (Head, error) { return parseHead(key, value) }

// SampleHeads are heads with every combination of parts, small and large.
func SampleHeads() []Head {
	small := head{id: 1, seq: 1, logBytes: 3, created: 1, updated: 1}
	large := head{id: 1 << 63, epoch: 1 << 40, seq: 1<<64 - 1, logBytes: 1 << 50, created: 1 << 41, updated: 1 << 42}
	var all []Head
	for _, h := range []head{small, large} {
		all = append(all, h)
		h.deleted = 1 << 41
		all = append(all, h)
		h.snapSeq, h.snapID, h.snapBytes = h.seq, 1<<62, 1<<30
		h.snapSum[31] = 0xff
		all = append(all, h)
		h.deleted = 0
		all = append(all, h)
	}
	return all
}

// Row is a record of data at key.
func Row(key, data []byte) []byte { return appendRecord(nil, key, data) }

// ParseRow is parseRecord.
func ParseRow(key, value []byte) ([]byte, error) { return parseRecord(key, value) }

// Mark is a quarantine mark with its key.
func Mark(mark *persist.CorruptError) (key, value []byte) {
	key = appendNameKey(nil, kindQuarantine, persist.Key{Party: "main", Room: "notes"})
	return key, appendRecord(nil, key, appendMark(nil, 1<<41, mark))
}

// ParseMark is parseMark.
func ParseMark(key, value []byte) (persist.CorruptError, error) { return parseMark(key, value) }

// ParseHeadKey is parseNameKey for heads.
func ParseHeadKey(key []byte) (persist.Key, error) { return parseNameKey(kindHead, key) }

// ParseKeys gives the key to everything that decodes keys.
func ParseKeys(key []byte) {
	_, _ = parseNameKey(kindHead, key)
	_, _ = parseNameKey(kindQuarantine, key)
	_, _ = rowKeySeq(key)
	_, _ = pieceKeyIndex(key)
	_, _, _ = parseWritingKey(key)
	_, _, _ = parseAlarmTimeKey(key)
	_ = prefixEnd(key)
}

// Applied is how many commits are visible.
func (s *Store) Applied() int { return int(s.applied.n.Load()) }

// ValueKey is the key of a room's value.
func ValueKey(k persist.Key, space persist.Space, name string) []byte {
	return appendValueKey(nil, k, space, name)
}

// SpaceBounds is spaceBounds.
func SpaceBounds(k persist.Key, r persist.RoomRange) (lower, upper []byte) { return spaceBounds(k, r) }

// AlarmKey is the key of a room's alarm.
func AlarmKey(k persist.Key) []byte { return appendNameKey(nil, kindAlarm, k) }

// AlarmTimeKey is the key of a room in the index of alarms.
func AlarmTimeKey(ms uint64, k persist.Key) []byte { return appendAlarmTimeKey(nil, ms, k) }

// ParseAlarmTimeKey is parseAlarmTimeKey.
func ParseAlarmTimeKey(key []byte) (uint64, persist.Key, error) { return parseAlarmTimeKey(key) }

// ParseAlarm is parseAlarm.
func ParseAlarm(key, value []byte) (uint64, error) { return parseAlarm(key, value) }

// MaxPointDeletes is maxPointDeletes.
const MaxPointDeletes = maxPointDeletes

// Rooms is how many rooms are remembered.
func (s *Store) Rooms() int { return s.rooms.len() }

// RangeDeletions is how many deletions of ranges the changes would turn into.
func (s *Store) RangeDeletions(ctx context.Context, changes ...persist.RoomChange) (n int, err error) {
	if err := s.begin(ctx); err != nil {
		return 0, err
	}
	defer s.end()
	w := roomWrite{s: s, ctx: ctx, b: s.db.NewBatch(), index: make(map[persist.Key]int)}
	defer w.b.Close()
	for i := range changes {
		if err := w.change(&changes[i]); err != nil {
			return 0, err
		}
	}
	for r := w.b.Reader(); ; {
		kind, _, _, ok, err := r.Next()
		if !ok || err != nil {
			return n, err
		}
		if kind == pebble.InternalKeyKindRangeDelete {
			n++
		}
	}
}

// HoldCommits keeps queued commits from being applied until release is called.
func (s *Store) HoldCommits() (release func()) {
	s.places <- struct{}{}
	c := &commit{batch: s.db.NewBatch(), begun: time.Now(), done: make(chan error)}
	s.commitq <- c // its outcome, which nobody takes, holds up what comes behind
	return func() { <-c.done }
}

// Queued is how many commits wait to be applied.
func (s *Store) Queued() int { return len(s.commitq) }
