package pebble_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/pebble"
)

// chatRooms makes changes as chat rooms make them with each message: the message
// is put, the oldest is dropped by its key, and the alarm moves.
func chatRooms(n, round int) []persist.RoomChange {
	text := make([]byte, 256)
	at := time.UnixMilli(int64(round))
	changes := make([]persist.RoomChange, n)
	for i := range changes {
		changes[i] = persist.RoomChange{
			Key:     persist.Key{Party: "chat", Room: fmt.Sprint("room", i)},
			Deletes: []persist.RoomDelete{{Space: history, Key: versionName(round - 100)}},
			Puts: []persist.RoomPut{
				{Space: history, RoomItem: persist.RoomItem{Key: versionName(round), Value: text}},
				{Space: state, RoomItem: persist.RoomItem{Key: "state", Value: text}},
			},
			Alarm: &at,
		}
	}
	return changes
}

// BenchmarkChangeRooms is one caller, fsynced on the real file system. Making the
// changes is not counted.
func BenchmarkChangeRooms(b *testing.B) {
	for _, rooms := range []int{1, 100} {
		b.Run(fmt.Sprintf("rooms=%d", rooms), func(b *testing.B) {
			s := mustOpen(b, b.TempDir(), pebble.Options{})
			rounds := make([][]persist.RoomChange, 16)
			for i := range rounds {
				rounds[i] = chatRooms(rooms, 1000+i)
			}
			b.ReportAllocs()
			b.SetBytes(int64(rooms * 512))
			n := 0
			for b.Loop() {
				if err := s.ChangeRooms(b.Context(), rounds[n%len(rounds)]); err != nil {
					b.Fatal(err)
				}
				n++
			}
			b.ReportMetric(float64(rooms*b.N)/b.Elapsed().Seconds(), "changes/s")
			b.StopTimer()
			require.NoError(b, s.Close())
		})
	}
}

// BenchmarkChangeRoomsRange drops the oldest message as a range, from the
// beginning of the space, which has to look past all that were dropped before.
func BenchmarkChangeRoomsRange(b *testing.B) {
	s := mustOpen(b, b.TempDir(), pebble.Options{})
	key := persist.Key{Party: "chat", Room: "room"}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		change := persist.RoomChange{Key: key, Puts: puts(history, versionName(n), "hello")}
		change.Ranges = []persist.RoomRange{{Space: history, To: versionName(max(n-100, 0))}}
		if err := s.ChangeRooms(b.Context(), []persist.RoomChange{change}); err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.StopTimer()
	require.NoError(b, s.Close())
}

// BenchmarkListRoom is what a joiner gets: the last hundred messages.
func BenchmarkListRoom(b *testing.B) {
	for _, flushed := range []bool{false, true} {
		b.Run(fmt.Sprintf("items=100/flushed=%v", flushed), func(b *testing.B) {
			s := mustOpen(b, b.TempDir(), pebble.Options{})
			for i := range 200 {
				mustChange(b, s, chatRooms(1, i)...)
			}
			if flushed {
				require.NoError(b, s.DB().Flush())
			}
			key := chatRooms(1, 0)[0].Key
			b.ReportAllocs()
			for b.Loop() {
				items, _, err := s.ListRoom(b.Context(), key, persist.RoomRange{Space: history}, true, 100)
				if err != nil || len(items) != 100 {
					b.Fatal(err, len(items))
				}
			}
			b.StopTimer()
			require.NoError(b, s.Close())
		})
	}
}

// BenchmarkAlarms asks for the next alarm of 10,000.
func BenchmarkAlarms(b *testing.B) {
	s := mustOpen(b, b.TempDir(), pebble.Options{})
	for round := range 3 {
		mustChange(b, s, chatRooms(10000, round)...)
	}
	b.ReportAllocs()
	for b.Loop() {
		alarms, err := s.Alarms(b.Context(), time.Time{}, 1)
		if err != nil || len(alarms) != 1 {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	require.NoError(b, s.Close())
}
