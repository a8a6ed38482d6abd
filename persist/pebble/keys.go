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
)

// Lengths of the keys of fixed length, in bytes.
const (
	rowKeyLen     = 1 + 8 + 8
	pieceKeyLen   = 1 + 8 + 8 + 4
	writingKeyLen = 1 + 8 + 8
)

var (
	formatKey = []byte{kindMeta, 'f', 'o', 'r', 'm', 'a', 't'}
	nextKey   = []byte{kindMeta, 'n', 'e', 'x', 't'}
)

// nameKeyLen is the length of what appendNameKey appends.
func nameKeyLen(k persist.Key) int { return 1 + len(k.Party) + 1 + len(k.Room) + 1 }

// appendNameKey appends the key of a document's head (kindHead) or quarantine
// mark (kindQuarantine), of a room's alarm (kindAlarm) or quarantine mark
// (kindRoomQuarantine), or what the keys of its values (kindValue) begin with.
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

// appendNumberKey appends the key of the record that names a document.
func appendNumberKey(dst []byte, id uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, kindName), id)
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
