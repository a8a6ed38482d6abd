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

// alarmTimeKeyLen is the length of what appendAlarmTimeKey appends.
func alarmTimeKeyLen(k persist.Key) int { return 8 + nameKeyLen(k) }

// appendAlarmTimeKey appends the key of a room in the index of alarms.
func appendAlarmTimeKey(dst []byte, ms uint64, k persist.Key) []byte {
	dst = appendAlarmTimePrefix(dst, ms)
	dst = append(append(dst, k.Party...), 0)
	return append(append(dst, k.Room...), 0)
}

// appendAlarmTimePrefix appends what the keys of all alarms at a time begin with.
func appendAlarmTimePrefix(dst []byte, ms uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, kindAlarmTime), ms)
}

// parseAlarmTimeKey is the reverse of appendAlarmTimeKey. The names are copies.
func parseAlarmTimeKey(key []byte) (ms uint64, k persist.Key, err error) {
	if len(key) < 1+8 || key[0] != kindAlarmTime {
		return 0, persist.Key{}, errKey
	}
	k, err = parseNames(key[1+8:])
	if err != nil {
		return 0, persist.Key{}, err
	}
	return binary.BigEndian.Uint64(key[1:]), k, nil
}

// alarmLen is the length of an alarm's data: Unix milliseconds, big-endian.
const alarmLen = 8

func parseAlarm(key, value []byte) (ms uint64, err error) {
	data, err := parseRecord(key, value)
	if err != nil {
		return 0, err
	}
	if len(data) != alarmLen {
		return 0, errTruncated
	}
	return binary.BigEndian.Uint64(data), nil
}
