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
		h.snapSeq, h.snap = h.seq, place{id: 1 << 62, bytes: 1 << 30}
		h.snap.sum[31] = 0xff
		all = append(all, h)
		h.deleted = 0
		all = append(all, h)
		h.first, h.dead = h.seq-1, true
		all = append(all, h)
		h.nameEpoch, h.nameSeq = 1<<40, 1<<63
		h.snap.id, h.snap.objectBytes = 0, 1<<29
		all = append(all, h)
	}
	return all
}

// HeadLimit is the most that an encoded head takes.
const HeadLimit = maxHeadLen

// DeadKey is the key of the dead client ids of a document.
func (s *Store) DeadKey(k persist.Key) []byte {
	return appendNumberKey(nil, kindDead, s.numberOf(HeadKey(k)))
}

// Dead is a record of dead client ids.
func Dead(key []byte, dead []uint64) []byte { return appendRecord(nil, key, appendDead(nil, dead)) }

// ParseDead is parseDead.
func ParseDead(key, value []byte) ([]uint64, error) { return parseDead(key, value) }

// Version is the record of a version.
type Version = version

// VersionKey is the key of a version.
func VersionKey(id uint64, v *Version) []byte {
	return appendVersionKey(nil, id, uint64(v.Created.UnixMilli()), v.ID)
}

// Append is the record of a version.
func (v *version) Append(key []byte) []byte { return appendRecord(nil, key, appendVersion(nil, v)) }

// ParseVersion is parseVersion.
func ParseVersion(key, value []byte) (Version, error) { return parseVersion(key, value) }

// SampleVersions are versions in pieces and in an object.
func SampleVersions() []Version {
	v := version{Version: persist.Version{ID: "a", Created: time.UnixMilli(0).UTC(), Bytes: 1}, place: place{id: 1, bytes: 1}}
	w := version{
		Version: persist.Version{
			ID: "Az09_-", Name: "before", Author: "somebody", Automatic: true, Created: time.UnixMilli(1 << 41).UTC(),
			Epoch: 1 << 40, Seq: 1 << 63, Bytes: 1 << 20,
		},
		place: place{bytes: 1 << 20, objectBytes: 1 << 19},
	}
	w.place.sum[0] = 0xff
	return []Version{v, w}
}

// SinceKey is the key of an object in the index of the superseded.
func SinceKey(ms uint64, name string) []byte { return appendSinceKey(nil, ms, name) }

// ParseSinceKey is parseSinceKey.
func ParseSinceKey(key []byte) (uint64, string, error) { return parseSinceKey(key) }

// Downgrade turns the store into one of format 1.
func (s *Store) Downgrade() error {
	var id [16]byte
	_, err := s.read(formatKey, func(value []byte) error {
		copy(id[:], value[2:])
		return nil
	})
	if err != nil {
		return err
	}
	b := s.db.NewBatch()
	_ = b.Set(formatKey, appendRecord(nil, formatKey, append([]byte{1}, id[:]...)), nil)
	_ = b.DeleteRange([]byte{kindTombstone}, []byte{kindTombstone + 1}, nil)
	return s.db.Apply(b, pebble.Sync)
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
	_, _, _ = parseTimeKey(kindAlarmTime, key)
	_, _, _ = parseVersionKey(key)
	_, _, _ = parseSinceKey(key)
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
func AlarmTimeKey(ms uint64, k persist.Key) []byte { return appendTimeKey(nil, kindAlarmTime, ms, k) }

// ParseAlarmTimeKey is parseTimeKey for alarms.
func ParseAlarmTimeKey(key []byte) (uint64, persist.Key, error) {
	return parseTimeKey(kindAlarmTime, key)
}

// ParseAlarm is parseTime.
func ParseAlarm(key, value []byte) (uint64, error) { return parseTime(key, value) }

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
	return func() {
		if err := <-c.done; err != nil {
			panic(err)
		}
	}
}

// Queued is how many commits wait to be applied.
func (s *Store) Queued() int { return len(s.commitq) }

// StageThen writes a state ahead for a document of that epoch, calls between, and
// returns whether the document would still take the state. It leaves nothing.
func (s *Store) StageThen(ctx context.Context, k persist.Key, epoch persist.Epoch, state []byte, between func()) error {
	d := s.newDeposit(k, state, func(h *head) error { return h.check(epoch) })
	if err := d.stage(ctx); err != nil {
		return err
	}
	between()
	_, err := d.begin(ctx)
	if err == nil {
		s.end()
	}
	d.discard()
	return err
}

// PurgeTombstone is purge for a tombstone of that time, as Sweep calls it.
func (s *Store) PurgeTombstone(ctx context.Context, k persist.Key, deleted time.Time) (bool, error) {
	return s.purge(ctx, k, toMillis(deleted))
}
