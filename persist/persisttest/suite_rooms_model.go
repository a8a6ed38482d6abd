package persisttest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/yserverd/yserverd/persist"
)

// roomModel is what a store should hold of the rooms of one party.
type roomModel struct {
	e      *env
	party  string
	values map[roomValue]string
	alarms map[string]int64 // by room
	n      int
}

type roomValue struct {
	room  string
	space persist.Space
	key   string
}

// testRoomModel holds the store against the model through random calls, as
// testModel does.
func testRoomModel(e *env) {
	runs := 0
	rapid.Check(e.T, func(t *rapid.T) {
		runs++
		m := &roomModel{e: e, party: fmt.Sprintf("party%d", runs), values: make(map[roomValue]string), alarms: make(map[string]int64)}
		t.Repeat(map[string]func(*rapid.T){
			"change": m.change,
			"list":   m.list,
			"get":    m.get,
			"reopen": m.reopen,
			"":       m.check,
		})
	})
}

var (
	modelRooms = []string{"a", "ab", "b", "b\xff"}
	modelKeys  = []string{"", "\x00", "\x00\x00", "a", "a\x00", "a\x00b", "ab", "b", "\xff", "\xff\xff"}
)

func (m *roomModel) key(room string) persist.Key { return persist.Key{Party: m.party, Room: room} }

func drawKey(t *rapid.T, what string) string { return rapid.SampledFrom(modelKeys).Draw(t, what) }

func drawSpace(t *rapid.T) persist.Space { return rapid.SampledFrom(spaces).Draw(t, "space") }

func drawRange(t *rapid.T) persist.RoomRange {
	return persist.RoomRange{Space: drawSpace(t), From: drawKey(t, "from"), To: drawKey(t, "to")}
}

func (m *roomModel) change(t *rapid.T) {
	var changes []persist.RoomChange
	for range rapid.IntRange(1, 4).Draw(t, "changes") {
		room := rapid.SampledFrom(modelRooms).Draw(t, "room")
		c := persist.RoomChange{Key: m.key(room)}
		for range rapid.IntRange(0, 2).Draw(t, "ranges") {
			r := drawRange(t)
			c.Ranges = append(c.Ranges, r)
			maps.DeleteFunc(m.values, func(v roomValue, _ string) bool {
				return v.room == room && v.space == r.Space && r.Contains(v.key)
			})
		}
		for range rapid.IntRange(0, 2).Draw(t, "deletes") {
			d := persist.RoomDelete{Space: drawSpace(t), Key: drawKey(t, "key")}
			c.Deletes = append(c.Deletes, d)
			delete(m.values, roomValue{room, d.Space, d.Key})
		}
		for range rapid.IntRange(0, 6).Draw(t, "puts") {
			m.n++
			v := roomValue{room, drawSpace(t), drawKey(t, "key")}
			m.values[v] = fmt.Sprint(m.n)
			c.Puts = append(c.Puts, puts(v.space, v.key, m.values[v])...)
		}
		m.drawAlarm(t, room, &c)
		changes = append(changes, c)
	}
	require.NoError(t, m.e.data().ChangeRooms(m.e.ctx, changes))
}

func (m *roomModel) drawAlarm(t *rapid.T, room string, c *persist.RoomChange) {
	switch ms := rapid.Int64Range(-2, 5).Draw(t, "alarm"); ms {
	case -2:
	case -1:
		c.Alarm = at(time.Time{})
		delete(m.alarms, room)
	default:
		c.Alarm = at(time.UnixMilli(ms))
		m.alarms[room] = ms
	}
}

// expect is what a range of a room should hold, in order.
func (m *roomModel) expect(room string, r persist.RoomRange) (all []persist.RoomItem) {
	for v, text := range m.values {
		if v.room == room && v.space == r.Space && r.Contains(v.key) {
			all = append(all, persist.RoomItem{Key: v.key, Value: []byte(text)})
		}
	}
	slices.SortFunc(all, func(a, b persist.RoomItem) int { return strings.Compare(a.Key, b.Key) })
	return all
}

func (m *roomModel) list(t *rapid.T) {
	room, r := rapid.SampledFrom(modelRooms).Draw(t, "room"), drawRange(t)
	reverse, limit := rapid.Bool().Draw(t, "reverse"), rapid.IntRange(1, 6).Draw(t, "limit")
	want := m.expect(room, r)
	if reverse {
		slices.Reverse(want)
	}
	got, more, err := m.e.data().ListRoom(m.e.ctx, m.key(room), r, reverse, limit)
	require.NoError(t, err)
	require.Equal(t, len(want) > limit, more)
	require.Equal(t, want[:min(len(want), limit)], got)
}

func (m *roomModel) get(t *rapid.T) {
	room, space := rapid.SampledFrom(modelRooms).Draw(t, "room"), drawSpace(t)
	keys := rapid.SliceOfN(rapid.SampledFrom(modelKeys), 0, 5).Draw(t, "keys")
	got, err := m.e.data().GetRoom(m.e.ctx, m.key(room), space, keys)
	require.NoError(t, err)
	require.Len(t, got, len(keys))
	for i, k := range keys {
		text, there := m.values[roomValue{room, space, k}]
		require.Equal(t, there, got[i] != nil)
		require.Equal(t, text, string(got[i]))
	}
}

func (m *roomModel) reopen(t *rapid.T) {
	if rapid.IntRange(0, 9).Draw(t, "rarely") != 0 {
		t.Skip("opening takes its time")
	}
	m.e.reopen()
}

// check compares everything.
func (m *roomModel) check(t *rapid.T) {
	for _, room := range modelRooms {
		for _, space := range spaces {
			got, more, err := m.e.data().ListRoom(m.e.ctx, m.key(room), persist.RoomRange{Space: space}, false, 0)
			require.NoError(t, err)
			require.False(t, more)
			want := m.expect(room, persist.RoomRange{Space: space})
			require.Equal(t, items(want), items(got))
			n, err := m.e.data().RoomSize(m.e.ctx, m.key(room), space)
			require.NoError(t, err)
			for _, item := range want {
				n -= int64(len(item.Key) + len(item.Value))
			}
			require.Zero(t, n, "of the size is not in the values")
		}
		set, there := m.alarms[room]
		alarm, err := m.e.data().Alarm(m.e.ctx, m.key(room))
		require.NoError(t, err)
		require.Equal(t, there, !alarm.IsZero())
		require.True(t, !there || alarm.UnixMilli() == set)
	}
	m.checkAlarms(t)
}

// checkAlarms compares this run's part of the index, which is one for all.
func (m *roomModel) checkAlarms(t *rapid.T) {
	var want []persist.RoomAlarm
	for room, ms := range m.alarms {
		want = append(want, persist.RoomAlarm{Key: m.key(room), At: time.UnixMilli(ms).UTC()})
	}
	slices.SortFunc(want, func(a, b persist.RoomAlarm) int {
		return cmp.Or(a.At.Compare(b.At), strings.Compare(a.Key.Room, b.Key.Room))
	})
	got, err := m.e.data().Alarms(m.e.ctx, time.Time{}, 1<<20)
	require.NoError(t, err)
	var own []persist.RoomAlarm
	for _, a := range got {
		if a.Key.Party == m.party {
			own = append(own, a)
		}
	}
	require.Equal(t, want, own)
}
