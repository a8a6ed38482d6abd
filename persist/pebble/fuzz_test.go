package pebble_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/pebble"
)

// FuzzHead: whatever bytes lie where a head should be, decoding neither panics
// nor accepts what encodes to something else.
func FuzzHead(f *testing.F) {
	key := pebble.HeadKey(notes)
	for _, h := range pebble.SampleHeads() {
		f.Add(h.Append(nil, key))
	}
	f.Add([]byte(nil))
	f.Add(bytes.Repeat([]byte{0xff}, 80))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, value := range [][]byte{data, pebble.Sealed(key, data)} {
			h, err := pebble.ParseHead(key, value)
			if err != nil {
				require.Zero(t, h)
				continue
			}
			again, err := pebble.ParseHead(key, h.Append(nil, key))
			require.NoError(t, err)
			require.Equal(t, h, again)
			_, err = pebble.ParseHead(pebble.HeadKey(sound), value)
			require.Error(t, err, "the head of another document")
		}
	})
}

// FuzzRow: the same for rows, marks and keys.
func FuzzRow(f *testing.F) {
	key := []byte("l-some-row-key")
	f.Add(key, pebble.Row(key, []byte("data")))
	f.Add(key, pebble.Row(key, nil))
	f.Add([]byte("hmain\x00notes\x00"), []byte("\x01"))
	f.Add([]byte(nil), []byte{1, 0, 0, 0, 0})
	markKey, mark := pebble.Mark(&persist.CorruptError{Row: 7, Reason: "why"})
	f.Add(markKey, mark)
	f.Fuzz(func(t *testing.T, key, data []byte) {
		for _, value := range [][]byte{data, pebble.Sealed(key, data)} {
			if got, err := pebble.ParseRow(key, value); err == nil {
				require.Equal(t, value, pebble.Row(key, got), "canonical")
				_, err = pebble.ParseRow(append(bytes.Clone(key), 'x'), value)
				require.Error(t, err, "the row of another key")
			}
			_, _ = pebble.ParseMark(key, value)
		}
		pebble.ParseKeys(key)
		got, err := pebble.ParseRow(key, pebble.Row(key, data))
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, got))
	})
}

// FuzzNames: distinct documents have distinct keys, in the order of their names,
// and a key leads back to its document.
func FuzzNames(f *testing.F) {
	f.Add("main", "notes", "main", "notes2")
	f.Add("a", "bc", "ab", "c")
	f.Add("a", "\xff", "a\xff", "")
	f.Fuzz(func(t *testing.T, party1, room1, party2, room2 string) {
		one, two := persist.Key{Party: party1, Room: room1}, persist.Key{Party: party2, Room: room2}
		if one.Validate() != nil || two.Validate() != nil {
			return
		}
		k1, k2 := pebble.HeadKey(one), pebble.HeadKey(two)
		require.Equal(t, one == two, bytes.Equal(k1, k2))
		back, err := pebble.ParseHeadKey(k1)
		require.NoError(t, err)
		require.Equal(t, one, back)
		if one.Party == two.Party {
			require.Equal(t, one.Room < two.Room, bytes.Compare(k1, k2) < 0)
		}
	})
}

// FuzzRoomKeys: distinct values of rooms have distinct keys, in the order of
// their own keys within a space, and a range holds exactly what is in it.
func FuzzRoomKeys(f *testing.F) {
	f.Add("main", "notes", uint8(1), "a", "main", "notes", uint8(1), "ab")
	f.Add("a", "b", uint8(1), "\x00\x01k", "a", "b\x01", uint8(3), "")
	f.Add("a", "b", uint8(2), "\x00", "a", "b", uint8(3), "\xff")
	f.Fuzz(func(t *testing.T, party1, room1 string, space1 uint8, name1, party2, room2 string, space2 uint8, name2 string) {
		one, two := persist.Key{Party: party1, Room: room1}, persist.Key{Party: party2, Room: room2}
		s1, s2 := persist.Space(space1), persist.Space(space2)
		for _, c := range []persist.RoomChange{
			{Key: one, Deletes: []persist.RoomDelete{{Space: s1, Key: name1}}},
			{Key: two, Deletes: []persist.RoomDelete{{Space: s2, Key: name2}}},
		} {
			if c.Validate() != nil {
				return
			}
		}
		k1, k2 := pebble.ValueKey(one, s1, name1), pebble.ValueKey(two, s2, name2)
		sameSpace := one == two && s1 == s2
		require.Equal(t, sameSpace && name1 == name2, bytes.Equal(k1, k2))
		if sameSpace {
			require.Equal(t, name1 < name2, bytes.Compare(k1, k2) < 0)
		}
		for _, r := range []persist.RoomRange{
			{Space: s1}, {Space: s1, From: name1}, {Space: s1, To: name1}, {Space: s1, From: name1, To: name2}, persist.RoomPrefix(s1, name1),
		} {
			lower, upper := pebble.SpaceBounds(one, r)
			in := bytes.Compare(k2, lower) >= 0 && bytes.Compare(k2, upper) < 0
			require.Equal(t, sameSpace && r.Contains(name2), in, "%q", r)
		}
		require.Equal(t, one == two, bytes.Equal(pebble.AlarmKey(one), pebble.AlarmKey(two)))
		ms1, ms2 := uint64(len(name1))<<32, uint64(len(name2))<<32
		t1, t2 := pebble.AlarmTimeKey(ms1, one), pebble.AlarmTimeKey(ms2, two)
		if ms1 != ms2 {
			require.Equal(t, ms1 < ms2, bytes.Compare(t1, t2) < 0)
		}
		ms, back, err := pebble.ParseAlarmTimeKey(t1)
		require.NoError(t, err)
		require.Equal(t, ms1, ms)
		require.Equal(t, one, back)
	})
}

// FuzzAlarm: whatever bytes lie where an alarm or its place in the index should
// be, decoding neither panics nor accepts what encodes to something else.
func FuzzAlarm(f *testing.F) {
	alarm := pebble.AlarmKey(notes)
	f.Add(pebble.AlarmTimeKey(1<<40, notes), pebble.Row(alarm, []byte{0, 0, 1, 2, 3, 4, 5, 6}))
	f.Add(pebble.AlarmTimeKey(0, notes), pebble.Row(alarm, []byte("short")))
	f.Add([]byte("t"), []byte{1})
	f.Add(append([]byte("t"), make([]byte, 12)...), []byte(nil))
	f.Fuzz(func(t *testing.T, key, data []byte) {
		if ms, k, err := pebble.ParseAlarmTimeKey(key); err == nil {
			require.Equal(t, key, pebble.AlarmTimeKey(ms, k))
		}
		for _, value := range [][]byte{data, pebble.Sealed(alarm, data), pebble.Row(alarm, data)} {
			ms, err := pebble.ParseAlarm(alarm, value)
			if err != nil {
				require.Zero(t, ms)
				continue
			}
			require.Equal(t, value, pebble.Row(alarm, binary.BigEndian.AppendUint64(nil, ms)))
			_, err = pebble.ParseAlarm(pebble.AlarmKey(sound), value)
			require.Error(t, err, "the alarm of another room")
		}
	})
}
