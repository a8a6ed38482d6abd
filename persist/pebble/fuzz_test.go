package pebble_test

import (
	"bytes"
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
