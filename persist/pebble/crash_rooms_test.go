package pebble_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/pebble"
)

// A writer of rooms writes version after version of all its rooms, each version
// in one call: whatever a crash leaves must be one version, in every space and
// in every room.
const (
	roomWriters = 2
	crashRooms  = 4
)

func roomKey(writer, room int) persist.Key {
	return persist.Key{Party: fmt.Sprint("rooms", writer), Room: fmt.Sprint("room", room)}
}

func versionName(v int) string { return fmt.Sprintf("%08d", v) }

// message is large now and then: more than a block, and more than a memtable.
func message(k persist.Key, v int) string {
	size := v % 50
	switch {
	case v%19 == 0:
		size = 100 << 10
	case v%7 == 0:
		size = 5000
	}
	return fmt.Sprintf("%v.%d.%s", k, v, strings.Repeat("x", size))
}

// messages are the keys that a version adds to a room's history, and oldest is
// the first version of which it still has them: most rooms drop one version with
// each, the last room drops many values at a time.
func messages(room, v int) (names []string) {
	n := 1
	if room == crashRooms-1 {
		n = 12
	}
	for i := range n {
		names = append(names, fmt.Sprintf("%s.%02d", versionName(v), i))
	}
	return names
}

func oldest(room, v int) int {
	if room == crashRooms-1 {
		return max(v/8*8, 1)
	}
	return max(v-4, 1)
}

// roomChanges is one version.
func roomChanges(writer, v int) (changes []persist.RoomChange) {
	for room := range crashRooms {
		c := persist.RoomChange{
			Key:     roomKey(writer, room),
			Deletes: []persist.RoomDelete{{Space: storage, Key: versionName(v - 1)}},
			Puts:    append(puts(state, "version", strconv.Itoa(v)), puts(storage, versionName(v), "x")...),
			Alarm:   alarmAt(int64(v)),
		}
		if old := oldest(room, v); old != oldest(room, v-1) {
			c.Ranges = []persist.RoomRange{{Space: history, To: versionName(old)}}
		}
		for _, name := range messages(room, v) {
			c.Puts = append(c.Puts, puts(history, name, message(c.Key, v))...)
		}
		if v%5 == 0 {
			c.Alarm = &time.Time{}
		}
		changes = append(changes, c)
	}
	return changes
}

func (c *crasher) writeRooms(ctx context.Context, s *pebble.Store, writer int) error {
	v, err := roomVersion(ctx, s, writer, 0)
	if err != nil {
		return ignoreDone(ctx, err)
	}
	for ctx.Err() == nil {
		v++
		if err := s.ChangeRooms(ctx, roomChanges(writer, v)); err != nil {
			return ignoreDone(ctx, err)
		}
		c.acknowledgeRooms(writer, v)
		c.progressed()
	}
	return nil
}

func (c *crasher) acknowledgeRooms(writer, v int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ackedRooms[writer] = max(c.ackedRooms[writer], v)
}

// readRooms reads versions and alarms until the context ends. What is returned
// is as good as acknowledged.
func (c *crasher) readRooms(ctx context.Context, s *pebble.Store, rng *rand.Rand) error {
	for ctx.Err() == nil {
		writer := rng.IntN(roomWriters)
		v, err := roomVersion(ctx, s, writer, rng.IntN(crashRooms))
		if err != nil {
			return ignoreDone(ctx, err)
		}
		c.acknowledgeRooms(writer, v)
		alarms, err := s.Alarms(ctx, time.Time{}, 0)
		if err != nil {
			return ignoreDone(ctx, err)
		}
		for _, a := range alarms {
			if _, err := fmt.Sscanf(a.Key.Party, "rooms%d", &writer); err != nil {
				return err
			}
			c.acknowledgeRooms(writer, int(a.At.UnixMilli()))
		}
	}
	return nil
}

func roomVersion(ctx context.Context, s *pebble.Store, writer, room int) (int, error) {
	values, err := s.GetRoom(ctx, roomKey(writer, room), state, []string{"version"})
	if err != nil || values[0] == nil {
		return 0, err
	}
	return strconv.Atoi(string(values[0]))
}

// checkRooms checks that a writer's rooms are all of one version, at least that
// which it was told is stored.
func checkRooms(ctx context.Context, s *pebble.Store, writer, atLeast int) (v int, err error) {
	v, err = roomVersion(ctx, s, writer, 0)
	if err == nil && v < atLeast {
		err = fmt.Errorf("version %d, %d acknowledged", v, atLeast)
	}
	for room := 0; room < crashRooms && err == nil; room++ {
		err = checkRoom(ctx, s, writer, room, v)
	}
	if err != nil {
		return v, fmt.Errorf("rooms of writer %d: %w", writer, err)
	}
	return v, nil
}

// checkRoom checks that a room is of that version in every part.
func checkRoom(ctx context.Context, s *pebble.Store, writer, room, v int) error {
	k := roomKey(writer, room)
	if got, err := roomVersion(ctx, s, writer, room); err != nil || got != v {
		return fmt.Errorf("%v: version %d, beside %d: %w", k, got, v, err)
	}
	var want []string
	if v > 0 {
		want = append(want, versionName(v))
	}
	if err := checkSpace(ctx, s, k, storage, want, func(string) string { return "x" }); err != nil {
		return err
	}
	want = want[:0]
	for i := oldest(room, v); i <= v; i++ {
		want = append(want, messages(room, i)...)
	}
	err := checkSpace(ctx, s, k, history, want, func(name string) string {
		n, _ := strconv.Atoi(name[:8])
		return message(k, n)
	})
	if err != nil {
		return err
	}
	at, err := s.Alarm(ctx, k)
	if err != nil {
		return err
	}
	if v%5 == 0 != at.IsZero() || v%5 != 0 && int(at.UnixMilli()) != v {
		return fmt.Errorf("%v: alarm %v of version %d", k, at, v)
	}
	return nil
}

func checkSpace(ctx context.Context, s *pebble.Store, k persist.Key, space persist.Space, want []string, value func(string) string) error {
	items, more, err := s.ListRoom(ctx, k, persist.RoomRange{Space: space}, false, 0)
	if err != nil || more || len(items) != len(want) {
		return fmt.Errorf("%v %v: %d values instead of %d: %w", k, space, len(items), len(want), err)
	}
	for i, item := range items {
		if item.Key != want[i] || string(item.Value) != value(want[i]) {
			return fmt.Errorf("%v %v: %q=%.40q instead of %q", k, space, item.Key, item.Value, want[i])
		}
	}
	return nil
}

// lostRooms returns what is wrong with the rooms that a power cut left, and
// whether they go on.
func lostRooms(ctx context.Context, s *pebble.Store, acked map[int]int) error {
	values, alarms := 0, 0
	for writer := range roomWriters {
		v, err := checkRooms(ctx, s, writer, acked[writer])
		if err != nil {
			return err
		}
		if err := s.ChangeRooms(ctx, roomChanges(writer, v+1)); err != nil {
			return fmt.Errorf("change after recovery: %w", err)
		}
		if v, err = checkRooms(ctx, s, writer, v+1); err != nil {
			return fmt.Errorf("after recovery: %w", err)
		}
		for room := range crashRooms {
			values += 2 + (v-oldest(room, v)+1)*len(messages(room, v))
		}
		if v%5 != 0 {
			alarms += crashRooms
		}
	}
	for kind, want := range map[byte]int{'v': values, 'a': alarms, 't': alarms} {
		if n, err := s.CountKind(kind); err != nil || n != want {
			return fmt.Errorf("%d of %d records of kind %q: %w", n, want, kind, err)
		}
	}
	return nil
}

// TestPowerCutOfRooms is TestPowerCut with nothing but rooms, so that every
// fsync is theirs.
func TestPowerCutOfRooms(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for round := range uint64(2) {
		c := newCrasher(seed+round, pebble.Options{Heads: 3}.Small())
		c.roomsOnly = true
		for _, cr := range c.run(t, 12) {
			require.NoError(t, cr.lost(t, c.options), "%d%% of the unsynced data", cr.percent)
		}
	}
}

// TestPowerCutOfRoomsFindsLoss guards the test above, as TestPowerCutFindsLoss
// does.
func TestPowerCutOfRoomsFindsLoss(t *testing.T) {
	c := newCrasher(1, pebble.Options{}.Small().NoSync())
	c.roomsOnly = true
	losses := 0
	for _, cr := range c.run(t, 15) {
		if err := cr.lost(t, c.options); err != nil {
			require.ErrorContains(t, err, "acknowledged")
			losses++
		}
	}
	require.Positive(t, losses, "no loss found without fsync: the power cut test proves nothing")
}
