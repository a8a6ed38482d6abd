package persisttest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
)

// RunRooms tests that the stores that open returns keep package persist's
// contract for the data of rooms. They have to be Rooms, too.
func RunRooms(t *testing.T, open Open) {
	for _, rule := range []struct {
		name string
		test func(*env)
	}{
		{"room without data is empty and reading it writes nothing", testRoomUnknown},
		{"change is applied in the order of its fields", testRoomChangeOrder},
		{"change of many rooms and spaces", testRoomChangeMany},
		{"change of one room twice in one call", testRoomChangeTwice},
		{"change copies, reading lends", testRoomOwnership},
		{"values and keys are any bytes", testRoomBytes},
		{"rooms, spaces and keys are kept apart", testRoomsApart},
		{"ranges are dropped exactly", testRoomDropRanges},
		{"list pages both ways", testRoomList},
		{"list bounds the bytes of a page", testRoomListBytes},
		{"size counts keys and values", testRoomSize},
		{"alarm is set, moved and cleared", testAlarm},
		{"alarms are ordered and bounded", testAlarms},
		{"delivery is set, moved and cleared", exchanging(testAlarm)},
		{"deliveries are ordered and bounded", exchanging(testAlarms)},
		{"deliveries and alarms are apart", testDeliveriesApart},
		{"invalid arguments are refused whole", testRoomInvalid},
		{"quarantine takes a room out of service", testRoomQuarantine},
		{"done contexts are respected", testRoomContext},
		{"closed store refuses", testRoomClosed},
		{"reopening finds everything", testRoomReopen},
		{"documents are not touched", testRoomDocuments},
		{"concurrent writers and readers", testRoomsConcurrent},
		{"alarms are seen by whoever set them", testAlarmsConcurrent},
		{"repeating after an unknown outcome is right", testRoomFaults},
		{"deliveries are seen by whoever set them", exchanging(testAlarmsConcurrent)},
		{"behaves as the model", testRoomModel},
		{"behaves as the model, in deliveries", exchanging(testRoomModel)},
	} {
		t.Run(rule.name, func(t *testing.T) {
			e := newEnv(t, open)
			require.Implements(t, (*Rooms)(nil), e.store)
			rule.test(e)
		})
	}
}

const (
	storage = persist.SpaceStorage
	state   = persist.SpaceState
	history = persist.SpaceHistory
)

var spaces = []persist.Space{storage, state, history}

func (e *env) data() Rooms { return e.store.(Rooms) }

// change makes changes, which must succeed.
func (e *env) change(changes ...persist.RoomChange) {
	e.Helper()
	require.NoError(e, e.data().ChangeRooms(e.ctx, changes))
}

// puts makes puts of key, value, key, value.
func puts(space persist.Space, pairs ...string) (all []persist.RoomPut) {
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, persist.RoomPut{Space: space, RoomItem: persist.RoomItem{Key: pairs[i], Value: []byte(pairs[i+1])}})
	}
	return all
}

func at(t time.Time) *time.Time { return &t }

// items is a page as a line of text: "key=value key=value".
func items(page []persist.RoomItem) string {
	var words []string
	for _, item := range page {
		words = append(words, item.Key+"="+string(item.Value))
	}
	return strings.Join(words, " ")
}

// roomText is all of a space, read in small pages, as items has it.
func (e *env) roomText(k persist.Key, space persist.Space) string {
	e.Helper()
	return items(e.walk(k, persist.RoomRange{Space: space}, false, 3))
}

// walk reads a range in pages of limit.
func (e *env) walk(k persist.Key, r persist.RoomRange, reverse bool, limit int) (all []persist.RoomItem) {
	e.Helper()
	for {
		page, more, err := e.data().ListRoom(e.ctx, k, r, reverse, limit)
		require.NoError(e, err)
		require.LessOrEqual(e, len(page), limit)
		for _, item := range page {
			require.NotNil(e, item.Value)
		}
		all = append(all, page...)
		if !more {
			return all
		}
		require.NotEmpty(e, page, "there is more, but not on this page")
		r = r.Rest(page[len(page)-1].Key, reverse)
	}
}

// get reads values, with "-" for what is not there.
func (e *env) get(k persist.Key, space persist.Space, keys ...string) string {
	e.Helper()
	values, err := e.data().GetRoom(e.ctx, k, space, keys)
	require.NoError(e, err)
	require.Len(e, values, len(keys))
	var words []string
	for _, v := range values {
		if v == nil {
			v = []byte("-")
		}
		words = append(words, string(v))
	}
	return strings.Join(words, " ")
}

func (e *env) size(k persist.Key, space persist.Space) int64 {
	e.Helper()
	n, err := e.data().RoomSize(e.ctx, k, space)
	require.NoError(e, err)
	return n
}

func testRoomUnknown(e *env) {
	k := key("nowhere")
	for _, space := range spaces {
		require.Equal(e, "- -", e.get(k, space, "a", ""))
		require.Empty(e, e.get(k, space))
		require.Empty(e, e.roomText(k, space))
		require.Zero(e, e.size(k, space))
	}
	require.Zero(e, e.alarm(k))
	require.Empty(e, e.alarms(time.Time{}, 0))
	e.change()
	e.change(persist.RoomChange{Key: k})
	e.change(persist.RoomChange{
		Key: k, Ranges: []persist.RoomRange{{Space: state}}, Deletes: []persist.RoomDelete{{Space: state, Key: "a"}}, Alarm: at(time.Time{}),
	})
	require.Empty(e, e.roomText(k, state))
	require.Empty(e, e.rooms("main", "", 10), "a document was created")
}

func testRoomChangeOrder(e *env) {
	k := key("chat")
	e.change(persist.RoomChange{Key: k, Puts: puts(storage, "a", "1", "b", "2", "c", "3", "d", "4")})
	require.Equal(e, "a=1 b=2 c=3 d=4", e.roomText(k, storage))
	require.Equal(e, "3 - 1 1", e.get(k, storage, "c", "x", "a", "a"))

	e.change(persist.RoomChange{
		Key:     k,
		Ranges:  []persist.RoomRange{{Space: storage, From: "a", To: "c"}},
		Deletes: []persist.RoomDelete{{Space: storage, Key: "d"}, {Space: storage, Key: "not there"}},
		Puts:    puts(storage, "b", "new", "d", "old", "d", "new"),
	})
	require.Equal(e, "b=new c=3 d=new", e.roomText(k, storage))
	e.change(persist.RoomChange{Key: k, Puts: puts(storage, "c", "")})
	require.Equal(e, "b=new c= d=new", e.roomText(k, storage))
	e.change(persist.RoomChange{Key: k, Puts: []persist.RoomPut{{Space: storage, RoomItem: persist.RoomItem{Key: "d"}}}})
	require.Equal(e, "b=new c= d=", e.roomText(k, storage), "a nil value is an empty one")
}

func testRoomChangeMany(e *env) {
	one, two, gone := key("one"), key("two"), persist.Key{Party: "other", Room: "one"}
	e.change(persist.RoomChange{Key: gone, Puts: puts(state, "s", "old"), Alarm: at(time.UnixMilli(5))})
	e.change(
		persist.RoomChange{Key: one, Puts: append(puts(state, "s", "1"), puts(history, "1", "hello")...), Alarm: at(time.UnixMilli(9))},
		persist.RoomChange{Key: two, Puts: puts(state, "s", "2")},
		persist.RoomChange{Key: gone, Ranges: []persist.RoomRange{{Space: state}}, Alarm: at(time.Time{})},
	)
	require.Equal(e, "s=1", e.roomText(one, state))
	require.Equal(e, "1=hello", e.roomText(one, history))
	require.Equal(e, "s=2", e.roomText(two, state))
	require.Empty(e, e.roomText(gone, state))
	require.Equal(e, "main/one@9", e.alarms(time.Time{}, 0))

	var many []persist.RoomChange
	for i := range 300 {
		many = append(many, persist.RoomChange{Key: key(fmt.Sprint("room", i)), Puts: puts(storage, "n", fmt.Sprint(i)), Alarm: at(time.UnixMilli(int64(1000 - i)))})
	}
	e.change(many...)
	for i := range many {
		require.Equal(e, fmt.Sprint(i), e.get(many[i].Key, storage, "n"))
	}
	require.Equal(e, "main/one@9 main/room299@701", e.alarms(time.Time{}, 2))
}

func testRoomChangeTwice(e *env) {
	k := key("chat")
	e.change(persist.RoomChange{Key: k, Puts: puts(history, "1", "a", "2", "b"), Alarm: at(time.UnixMilli(1))})
	e.change(
		persist.RoomChange{Key: k, Puts: puts(history, "3", "c", "4", "d"), Alarm: at(time.UnixMilli(2))},
		persist.RoomChange{Key: key("other"), Puts: puts(history, "1", "x")},
		persist.RoomChange{Key: k, Ranges: []persist.RoomRange{{Space: history, From: "2", To: "4"}}, Puts: puts(history, "2", "back"), Alarm: at(time.UnixMilli(3))},
		persist.RoomChange{Key: k, Deletes: []persist.RoomDelete{{Space: history, Key: "1"}}},
	)
	require.Equal(e, "2=back 4=d", e.roomText(k, history))
	require.Equal(e, "1=x", e.roomText(key("other"), history))
	require.Equal(e, "main/chat@3", e.alarms(time.Time{}, 0))
	e.change(
		persist.RoomChange{Key: k, Alarm: at(time.UnixMilli(4))},
		persist.RoomChange{Key: k, Alarm: at(time.Time{})},
	)
	require.Empty(e, e.alarms(time.Time{}, 0))
}

func testRoomOwnership(e *env) {
	k := key("chat")
	p := puts(storage, "a", "aaaa", "b", "bbbb")
	e.change(persist.RoomChange{Key: k, Puts: p})
	copy(p[0].Value, "####")
	for range 2 {
		values, err := e.data().GetRoom(e.ctx, k, storage, []string{"a", "b", "a"})
		require.NoError(e, err)
		_ = append(values[0], "####"...)
		copy(values[0], "####")
		require.Equal(e, "bbbb aaaa", string(bytes.Join(values[1:], []byte(" "))))
		page, _, err := e.data().ListRoom(e.ctx, k, persist.RoomRange{Space: storage}, false, 0)
		require.NoError(e, err)
		require.Equal(e, "a=aaaa b=bbbb", items(page))
		_ = append(page[0].Value, "####"...)
		require.Equal(e, "bbbb", string(page[1].Value))
		copy(page[1].Value, "####")
	}
	require.Equal(e, "a=aaaa b=bbbb", e.roomText(k, storage))
}

func testRoomBytes(e *env) {
	k := key("chat")
	longest := strings.Repeat("\xff", persist.MaxRoomKeyBytes)
	keys := []string{"", "\x00", "\x00\x00", "\x00\x01", "\x01", "a", "a\x00", "a\x00b", "a\x01", "ab", "é", "\xff", "\xff\x00", "\xff\xff", longest}
	var all []persist.RoomPut
	for i, name := range keys {
		all = append(all, puts(storage, name, fmt.Sprint(i))...)
	}
	e.change(persist.RoomChange{Key: k, Puts: all})
	for _, reverse := range []bool{false, true} {
		for limit := 1; limit <= len(keys); limit += 3 {
			got := e.walk(k, persist.RoomRange{Space: storage}, reverse, limit)
			require.Len(e, got, len(keys))
			for i, item := range got {
				if reverse {
					i = len(keys) - 1 - i
				}
				require.Equal(e, keys[i], item.Key)
				require.Equal(e, fmt.Sprint(i), string(item.Value))
			}
		}
	}
	for i, name := range keys {
		require.Equal(e, fmt.Sprint(i), e.get(k, storage, name))
	}
	for _, name := range keys {
		e.change(persist.RoomChange{Key: k, Deletes: []persist.RoomDelete{{Space: storage, Key: name}}})
		require.Equal(e, "-", e.get(k, storage, name))
	}
	require.Zero(e, e.size(k, storage))

	large := strings.Repeat("\x00\xff", 3<<20)
	e.change(persist.RoomChange{Key: k, Puts: puts(state, "large", large, "empty", "", "zero", "\x00")})
	require.True(e, large == e.get(k, state, "large"), "a large value changed")
	values, err := e.data().GetRoom(e.ctx, k, state, []string{"empty", "zero", "none"})
	require.NoError(e, err)
	require.Equal(e, [][]byte{{}, {0}, nil}, values)
}

// testRoomsApart gives many rooms, whose names are parts of each other, the same
// keys, and empties one after the other.
func testRoomsApart(e *env) {
	longest := strings.Repeat("k", persist.MaxNameBytes)
	rooms := []persist.Key{
		{Party: "a", Room: "b"},
		{Party: "a", Room: "bc"},
		{Party: "ab", Room: "c"},
		{Party: "ab", Room: "\x01"},
		{Party: "a", Room: "b\x01"},
		{Party: "a", Room: "b\x01b"},
		{Party: "a\x01", Room: "b"},
		{Party: "a", Room: "\xff"},
		{Party: "a", Room: "\xff\xff"},
		{Party: "a\xff", Room: "\xff"},
		{Party: longest, Room: longest},
		{Party: longest, Room: longest[1:]},
	}
	keys := []string{"", "\x00", "\x01", "b", "b\x00\x01k", "c\x00\x02", "\xff", "\xff\xff"}
	value := func(k persist.Key, space persist.Space, name string) string {
		return fmt.Sprintf("%q %v %q", k, space, name)
	}
	full := func(k persist.Key, space persist.Space) (text string) {
		var all []persist.RoomItem
		for _, name := range keys {
			all = append(all, persist.RoomItem{Key: name, Value: []byte(value(k, space, name))})
		}
		return items(all)
	}
	for _, k := range rooms {
		c := persist.RoomChange{Key: k, Alarm: at(time.UnixMilli(77))}
		for _, space := range spaces {
			for _, name := range keys {
				c.Puts = append(c.Puts, puts(space, name, value(k, space, name))...)
			}
		}
		e.change(c)
	}
	for i, k := range rooms {
		for j, space := range spaces {
			e.change(persist.RoomChange{Key: k, Ranges: []persist.RoomRange{{Space: space}}})
			for i2, k2 := range rooms {
				for j2, space2 := range spaces {
					want := full(k2, space2)
					if i2 < i || i2 == i && j2 <= j {
						want = ""
					}
					require.Equal(e, want, e.roomText(k2, space2))
				}
			}
		}
		require.True(e, time.UnixMilli(77).Equal(e.alarm(k)))
	}
}

func testRoomDropRanges(e *env) {
	k := key("chat")
	name := func(i int) string { return fmt.Sprintf("%04d", i) }
	fill := func(n int) {
		var all []persist.RoomPut
		for i := range n {
			all = append(all, puts(history, name(i), "x")...)
			all = append(all, puts(state, name(i), "x")...)
		}
		e.change(persist.RoomChange{Key: k, Puts: all})
	}
	check := func(from, to, n int) {
		e.Helper()
		got := e.walk(k, persist.RoomRange{Space: history}, false, 100)
		require.Len(e, got, n-(to-from))
		for i, item := range got {
			if i >= from {
				i += to - from
			}
			require.Equal(e, name(i), item.Key)
		}
	}
	const n = 900 // more than a store might drop one by one
	for _, c := range [][2]int{{0, 1}, {0, 20}, {5, 70}, {0, 500}, {100, 100}, {20, 10}, {880, n}, {0, n}} {
		fill(n)
		e.change(persist.RoomChange{Key: k, Ranges: []persist.RoomRange{{Space: history, From: name(c[0]), To: name(c[1])}}})
		check(c[0], max(c[0], c[1]), n)
	}
	fill(n)
	e.change(persist.RoomChange{Key: k, Ranges: []persist.RoomRange{{Space: history, To: name(2)}, {Space: history, From: name(1), To: name(30)}}})
	check(0, 30, n)
	e.change(persist.RoomChange{Key: k, Ranges: []persist.RoomRange{{Space: history, From: name(400)}}, Puts: puts(history, name(0), "again")})
	require.Equal(e, "again - - x x -", e.get(k, history, name(0), name(1), name(29), name(30), name(399), name(400)))
	e.change(persist.RoomChange{Key: k, Ranges: []persist.RoomRange{{Space: history}}})
	require.Empty(e, e.roomText(k, history))
	require.Len(e, e.walk(k, persist.RoomRange{Space: state}, false, 1000), n)
}
