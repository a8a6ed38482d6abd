package pebble

import (
	"encoding/binary"

	"github.com/yserverd/yserverd/persist"
)

// appendSpaceKey appends what the keys of all values of a space begin with. What
// follows is the value's own key, which may be any bytes: it is the last part.
func appendSpaceKey(dst []byte, k persist.Key, space persist.Space) []byte {
	return append(appendNameKey(dst, kindValue, k), byte(space))
}

// valueKeyLen is the length of what appendValueKey appends.
func valueKeyLen(k persist.Key, name string) int { return nameKeyLen(k) + 1 + len(name) }

func appendValueKey(dst []byte, k persist.Key, space persist.Space, name string) []byte {
	return append(appendSpaceKey(dst, k, space), name...)
}

// spaceBounds returns the bounds of a range of values.
func spaceBounds(k persist.Key, r persist.RoomRange) (lower, upper []byte) {
	lower = appendValueKey(make([]byte, 0, valueKeyLen(k, r.From)), k, r.Space, r.From)
	upper = make([]byte, 0, valueKeyLen(k, r.To))
	if r.To == "" {
		return lower, appendSpaceKey(upper, k, r.Space+1)
	}
	return lower, appendValueKey(upper, k, r.Space, r.To)
}

// timeKeyLen is the length of what appendTimeKey appends.
func timeKeyLen(k persist.Key) int { return 8 + nameKeyLen(k) }

// appendTimeKey appends the key of a room in the index of alarms (kindAlarmTime)
// or deliveries (kindDeliveryTime), or of a document in that of the tombstones
// (kindTombstone).
func appendTimeKey(dst []byte, kind byte, ms uint64, k persist.Key) []byte {
	dst = appendTimePrefix(dst, kind, ms)
	dst = append(append(dst, k.Party...), 0)
	return append(append(dst, k.Room...), 0)
}

// appendTimePrefix appends what the keys of everything at a time begin with.
func appendTimePrefix(dst []byte, kind byte, ms uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, kind), ms)
}

// parseTimeKey is the reverse of appendTimeKey. The names are copies.
func parseTimeKey(kind byte, key []byte) (ms uint64, k persist.Key, err error) {
	if len(key) < 1+8 || key[0] != kind {
		return 0, persist.Key{}, errKey
	}
	k, err = parseNames(key[1+8:])
	if err != nil {
		return 0, persist.Key{}, err
	}
	return binary.BigEndian.Uint64(key[1:]), k, nil
}

// timeLen is the length of a time's data: Unix milliseconds, big-endian.
const timeLen = 8

// appendTime appends the record of a time at key.
func appendTime(dst, key []byte, ms uint64) []byte {
	var data [timeLen]byte
	binary.BigEndian.PutUint64(data[:], ms)
	return appendRecord(dst, key, data[:])
}

func parseTime(key, value []byte) (ms uint64, err error) {
	data, err := parseRecord(key, value)
	if err != nil {
		return 0, err
	}
	if len(data) != timeLen {
		return 0, errTruncated
	}
	return binary.BigEndian.Uint64(data), nil
}
