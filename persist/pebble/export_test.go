package pebble

import (
	"bytes"

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
