package persist_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/yserverd/yserverd/persist"
)

func TestRoomPrefix(t *testing.T) {
	for prefix, to := range map[string]string{
		"": "", "a": "b", "ab": "ac", "a\xff": "b", "a\xff\xff": "b", "\xff": "", "\xff\xff": "", "\x00": "\x01", "a\x7f": "a\x80",
	} {
		want := persist.RoomRange{Space: persist.SpaceState, From: prefix, To: to}
		require.Equal(t, want, persist.RoomPrefix(persist.SpaceState, prefix), "%q", prefix)
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.SampledFrom([]rune{0, 'a', 'b', 0x7f, 0xff}), 0, 4, -1)
		raw := func(label string) string { // one byte for each rune
			var b []byte
			for _, r := range text.Draw(t, label) {
				b = append(b, byte(r))
			}
			return string(b)
		}
		prefix, key := raw("prefix"), raw("key")
		r := persist.RoomPrefix(persist.SpaceState, prefix)
		require.Equal(t, strings.HasPrefix(key, prefix), r.Contains(key))
		require.False(t, r.Empty())
	})
}

func TestRoomRange(t *testing.T) {
	r := persist.RoomRange{Space: persist.SpaceHistory, From: "b", To: "d"}
	for key, in := range map[string]bool{"": false, "a\xff": false, "b": true, "b\x00": true, "c\xff": true, "d": false, "e": false} {
		require.Equal(t, in, r.Contains(key), "%q", key)
	}
	rest := r.Rest("b", false)
	require.False(t, rest.Contains("b"))
	require.True(t, rest.Contains("b\x00"))
	rest = r.Rest("c", true)
	require.False(t, rest.Contains("c"))
	require.True(t, rest.Contains("b\xff"))
	require.True(t, persist.RoomRange{From: "b", To: "b"}.Empty())
	require.True(t, persist.RoomRange{From: "b", To: "a"}.Empty())
	require.False(t, persist.RoomRange{From: "b"}.Empty())
}

func TestRoomChangeValidate(t *testing.T) {
	key := persist.Key{Party: "main", Room: "r"}
	longest := strings.Repeat("k", persist.MaxRoomKeyBytes)
	at := func(t time.Time) *time.Time { return &t }
	put := func(space persist.Space, key string, value []byte) []persist.RoomPut {
		return []persist.RoomPut{{Space: space, RoomItem: persist.RoomItem{Key: key, Value: value}}}
	}
	for _, c := range []persist.RoomChange{
		{},
		{Puts: put(persist.SpaceStorage, longest, make([]byte, persist.MaxRoomValueBytes))},
		{Puts: put(persist.SpaceHistory, "", nil)},
		{Deletes: []persist.RoomDelete{{Space: persist.SpaceState, Key: "\x00"}}},
		{Ranges: []persist.RoomRange{{Space: persist.SpaceState, From: longest + "\x00", To: "a"}}},
		{Alarm: at(time.Time{})},
		{Alarm: at(time.Unix(0, 0))},
		{Alarm: at(time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC))},
	} {
		c.Key = key
		require.NoError(t, c.Validate())
	}
	for i, c := range []persist.RoomChange{
		{Key: persist.Key{Party: "main"}},
		{Key: key, Puts: put(0, "k", nil)},
		{Key: key, Puts: put(persist.SpaceHistory+1, "k", nil)},
		{Key: key, Puts: put(persist.SpaceState, longest+"k", nil)},
		{Key: key, Puts: put(persist.SpaceState, "k", make([]byte, persist.MaxRoomValueBytes+1))},
		{Key: key, Deletes: []persist.RoomDelete{{Key: "k"}}},
		{Key: key, Deletes: []persist.RoomDelete{{Space: persist.SpaceState, Key: longest + "k"}}},
		{Key: key, Ranges: []persist.RoomRange{{From: "k"}}},
		{Key: key, Ranges: []persist.RoomRange{{Space: persist.SpaceState, To: longest + "kk"}}},
		{Key: key, Alarm: at(time.Unix(-1, 0))},
		{Key: key, Alarm: at(time.Time{}.Add(1))},
		{Key: key, Alarm: at(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC))},
	} {
		require.ErrorIs(t, c.Validate(), persist.ErrInvalid, "%d", i)
	}
}

func TestRoomNames(t *testing.T) {
	require.Equal(t, "storage state history", strings.Join([]string{
		persist.SpaceStorage.String(), persist.SpaceState.String(), persist.SpaceHistory.String(),
	}, " "))
	require.Equal(t, "space 9", persist.Space(9).String())
	require.Equal(t, persist.DefaultRoomLimit, persist.RoomLimit(-1))
	require.Equal(t, 7, persist.RoomLimit(7))
}
