package pebble

import (
	"bytes"
	"encoding/binary"

	"github.com/yserverd/yserverd/persist"
)

// The first byte of a key tells its kind.
const (
	kindMeta       = 'm'
	kindHead       = 'h'
	kindName       = 'd'
	kindRow        = 'l'
	kindPiece      = 's'
	kindWriting    = 'w'
	kindQuarantine = 'q'

	kindValue          = 'v'
	kindAlarm          = 'a'
	kindAlarmTime      = 't'
	kindRoomQuarantine = 'x'
	kindDelivery       = 'b'
	kindDeliveryTime   = 'u'

	kindDead       = 'c'
	kindVersion    = 'e'
	kindVersionID  = 'i'
	kindTombstone  = 'z'
	kindNamed      = 'n'
	kindSuperseded = 'o'
	kindSince      = 'p'
)

// Lengths of the keys of fixed length, in bytes.
const (
	rowKeyLen     = 1 + 8 + 8
	pieceKeyLen   = 1 + 8 + 8 + 4
	writingKeyLen = 1 + 8 + 8
	versionKeyLen = 1 + 8 + 8 // and the version's id
)

var (
	formatKey = []byte{kindMeta, 'f', 'o', 'r', 'm', 'a', 't'}
	nextKey   = []byte{kindMeta, 'n', 'e', 'x', 't'}
)

// nameKeyLen is the length of what appendNameKey appends.
func nameKeyLen(k persist.Key) int { return 1 + len(k.Party) + 1 + len(k.Room) + 1 }

// appendNameKey appends the key of a document's head (kindHead) or quarantine
// mark (kindQuarantine), of a room's alarm (kindAlarm), delivery (kindDelivery) or
// quarantine mark (kindRoomQuarantine), or what the keys of its values (kindValue) begin with.
func appendNameKey(dst []byte, kind byte, k persist.Key) []byte {
	dst = appendRoomPrefix(dst, kind, k.Party, k.Room)
	return append(dst, 0)
}

// appendRoomPrefix appends what the keys of all rooms of a party that begin with
// prefix have in common.
func appendRoomPrefix(dst []byte, kind byte, party, prefix string) []byte {
	dst = append(dst, kind)
	dst = append(dst, party...)
	dst = append(dst, 0)
	return append(dst, prefix...)
}

// parseNameKey is the reverse of appendNameKey. The names are copies.
func parseNameKey(kind byte, key []byte) (persist.Key, error) {
	if len(key) == 0 || key[0] != kind {
		return persist.Key{}, errKey
	}
	return parseNames(key[1:])
}

// parseNames reads party 0 room 0.
func parseNames(b []byte) (persist.Key, error) {
	party, rest, ok := bytes.Cut(b, []byte{0})
	if !ok {
		return persist.Key{}, errKey
	}
	room, rest, ok := bytes.Cut(rest, []byte{0})
	if !ok || len(rest) != 0 {
		return persist.Key{}, errKey
	}
	return persist.Key{Party: string(party), Room: string(room)}, nil
}

// prefixEnd returns the smallest key above all keys that begin with prefix, or
// nil when there is none.
func prefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			end := bytes.Clone(prefix[:i+1])
			end[i]++
			return end
		}
	}
	return nil
}

// appendNumberKey appends the key of the record that names a document (kindName)
// or of its dead client ids (kindDead), or what the keys of its versions begin
// with (kindVersion, kindVersionID).
func appendNumberKey(dst []byte, kind byte, id uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, kind), id)
}

// numberBounds are the bounds of what begins with such a key.
func numberBounds(kind byte, id uint64) (lower, upper []byte) {
	return appendNumberKey(nil, kind, id), appendNumberKey(nil, kind, id+1)
}

// appendVersionKey appends the key of a version, by its time.
func appendVersionKey(dst []byte, id, created uint64, version string) []byte {
	dst = binary.BigEndian.AppendUint64(appendNumberKey(dst, kindVersion, id), created)
	return append(dst, version...)
}

// parseVersionKey is the reverse of appendVersionKey, for a document that the
// caller knows.
func parseVersionKey(key []byte) (created uint64, version string, err error) {
	if len(key) <= versionKeyLen || key[0] != kindVersion || persist.ValidateVersionID(string(key[versionKeyLen:])) != nil {
		return 0, "", errKey
	}
	return binary.BigEndian.Uint64(key[9:]), string(key[versionKeyLen:]), nil
}

// appendVersionIDKey appends the key that leads from the id of a version to its
// time.
func appendVersionIDKey(dst []byte, id uint64, version string) []byte {
	return append(appendNumberKey(dst, kindVersionID, id), version...)
}

// appendObjectKey appends the key of an object that a row names (kindNamed) or
// named until now (kindSuperseded).
func appendObjectKey(dst []byte, kind byte, name string) []byte {
	return append(append(dst, kind), name...)
}

// appendSinceKey appends the key of an object in the index of the superseded.
func appendSinceKey(dst []byte, ms uint64, name string) []byte {
	return append(appendTimePrefix(dst, kindSince, ms), name...)
}

// parseSinceKey is the reverse of appendSinceKey.
func parseSinceKey(key []byte) (ms uint64, name string, err error) {
	if len(key) <= 1+8 || key[0] != kindSince {
		return 0, "", errKey
	}
	return binary.BigEndian.Uint64(key[1:]), string(key[1+8:]), nil
}

func appendRowKey(dst []byte, id uint64, seq persist.Seq) []byte {
	dst = append(dst, kindRow)
	dst = binary.BigEndian.AppendUint64(dst, id)
	return binary.BigEndian.AppendUint64(dst, seq)
}

// rowKeySeq returns the sequence number of a row's key, whose document the
// caller knows.
func rowKeySeq(key []byte) (persist.Seq, error) {
	if len(key) != rowKeyLen {
		return 0, errKey
	}
	return binary.BigEndian.Uint64(key[9:]), nil
}

func appendPieceKey(dst []byte, id, snapshot uint64, piece uint32) []byte {
	dst = append(dst, kindPiece)
	dst = binary.BigEndian.AppendUint64(dst, id)
	dst = binary.BigEndian.AppendUint64(dst, snapshot)
	return binary.BigEndian.AppendUint32(dst, piece)
}

func pieceKeyIndex(key []byte) (uint32, error) {
	if len(key) != pieceKeyLen {
		return 0, errKey
	}
	return binary.BigEndian.Uint32(key[17:]), nil
}

func appendWritingKey(dst []byte, id, snapshot uint64) []byte {
	dst = append(dst, kindWriting)
	dst = binary.BigEndian.AppendUint64(dst, id)
	return binary.BigEndian.AppendUint64(dst, snapshot)
}

func parseWritingKey(key []byte) (id, snapshot uint64, err error) {
	if len(key) != writingKeyLen || key[0] != kindWriting {
		return 0, 0, errKey
	}
	return binary.BigEndian.Uint64(key[1:]), binary.BigEndian.Uint64(key[9:]), nil
}
