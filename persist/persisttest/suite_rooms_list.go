package persisttest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
)

func testRoomList(e *env) {
	k := key("chat")
	e.change(persist.RoomChange{Key: k, Puts: puts(history, "a", "1", "b", "2", "ba", "3", "c", "4", "c\xff", "5", "d", "6")})
	e.change(persist.RoomChange{Key: key("cha"), Puts: puts(history, "b", "x")}, persist.RoomChange{Key: key("chatt"), Puts: puts(history, "b", "x")})
	for _, c := range []struct {
		from, to, want string
	}{
		{"", "", "a=1 b=2 ba=3 c=4 c\xff=5 d=6"},
		{"", "a", ""},
		{"", "a\x00", "a=1"},
		{"b", "c", "b=2 ba=3"},
		{"b\x00", "c", "ba=3"},
		{"c", "c\xff", "c=4"},
		{"c", "", "c=4 c\xff=5 d=6"},
		{"c", "d", "c=4 c\xff=5"},
		{"d", "c", ""},
		{"b", "b", ""},
		{"e", "", ""},
	} {
		r := persist.RoomRange{Space: history, From: c.from, To: c.to}
		for limit := range 8 {
			if limit == 0 {
				page, more, err := e.data().ListRoom(e.ctx, k, r, false, 0)
				require.NoError(e, err)
				require.False(e, more)
				require.Equal(e, c.want, items(page), "%q", r)
				continue
			}
			require.Equal(e, c.want, items(e.walk(k, r, false, limit)), "%q in pages of %d", r, limit)
			back := e.walk(k, r, true, limit)
			slices.Reverse(back)
			require.Equal(e, c.want, items(back), "%q against the order in pages of %d", r, limit)
		}
	}
	page, more, err := e.data().ListRoom(e.ctx, k, persist.RoomRange{Space: history}, false, 6)
	require.NoError(e, err)
	require.Len(e, page, 6)
	require.False(e, more, "the page is full, and there is nothing behind it")

	var all []persist.RoomPut
	for i := range persist.DefaultRoomLimit + 1 {
		all = append(all, puts(storage, fmt.Sprintf("%05d", i), "x")...)
	}
	e.change(persist.RoomChange{Key: k, Puts: all})
	for limit, want := range map[int]int{0: 1000, -1: 1000, 1: 1, 1000: 1000, 1001: 1001, 5000: 1001} {
		page, more, err := e.data().ListRoom(e.ctx, k, persist.RoomRange{Space: storage}, false, limit)
		require.NoError(e, err)
		require.Len(e, page, want)
		require.Equal(e, want < 1001, more)
	}
}

func testRoomListBytes(e *env) {
	k := key("chat")
	mib := strings.Repeat("x", 1<<20-1) // and a byte for the key
	for i := range 10 {
		e.change(persist.RoomChange{Key: k, Puts: puts(history, fmt.Sprint(i), mib)})
	}
	for _, reverse := range []bool{false, true} {
		page, more, err := e.data().ListRoom(e.ctx, k, persist.RoomRange{Space: history}, reverse, 0)
		require.NoError(e, err)
		require.True(e, more)
		require.Len(e, page, 8)
		require.Len(e, e.walk(k, persist.RoomRange{Space: history}, reverse, 100), 10)
	}
	// One value that is over the bound alone comes alone.
	large := strings.Repeat("y", persist.MaxRoomPageBytes+1)
	e.change(persist.RoomChange{Key: k, Puts: puts(history, "1", large)})
	page, more, err := e.data().ListRoom(e.ctx, k, persist.RoomRange{Space: history, From: "1"}, false, 0)
	require.NoError(e, err)
	require.True(e, more)
	require.Len(e, page, 1)
	require.Len(e, page[0].Value, len(large))
	page, more, err = e.data().ListRoom(e.ctx, k, persist.RoomRange{Space: history}, false, 0)
	require.NoError(e, err)
	require.True(e, more)
	require.Len(e, page, 1)
	require.Len(e, e.walk(k, persist.RoomRange{Space: history}, false, 100), 10)
}

func testRoomSize(e *env) {
	k := key("chat")
	e.change(persist.RoomChange{Key: k, Puts: append(puts(storage, "", "", "a", "12345", "bcd", ""), puts(state, "s", "1")...)})
	require.Equal(e, int64(9), e.size(k, storage))
	require.Equal(e, int64(2), e.size(k, state))
	require.Zero(e, e.size(k, history))
	e.change(persist.RoomChange{Key: k, Deletes: []persist.RoomDelete{{Space: storage, Key: "a"}}, Puts: puts(storage, "bcd", "123")})
	require.Equal(e, int64(6), e.size(k, storage))
	e.change(persist.RoomChange{Key: k, Ranges: []persist.RoomRange{{Space: storage}}})
	require.Zero(e, e.size(k, storage))
	require.Equal(e, int64(2), e.size(k, state))
}

func (e *env) alarm(k persist.Key) time.Time {
	e.Helper()
	t, err := e.data().Alarm(e.ctx, k)
	require.NoError(e, err)
	return t
}

// alarms is what Alarms returns as text: "party/room@milliseconds".
func (e *env) alarms(before time.Time, limit int) string {
	e.Helper()
	all, err := e.data().Alarms(e.ctx, before, limit)
	require.NoError(e, err)
	var words []string
	for _, a := range all {
		words = append(words, fmt.Sprintf("%s@%d", a.Key, a.At.UnixMilli()))
	}
	return strings.Join(words, " ")
}

func (e *env) setAlarm(room string, t time.Time) {
	e.Helper()
	e.change(persist.RoomChange{Key: key(room), Alarm: at(t)})
}

func testAlarm(e *env) {
	k := key("chat")
	now := time.Date(2030, 1, 2, 3, 4, 5, 678_900_000, time.FixedZone("there", 3600))
	kept := time.Date(2030, 1, 2, 2, 4, 5, 678_000_000, time.UTC)
	for range 2 { // again is the same
		e.setAlarm("chat", now)
		require.Equal(e, kept, e.alarm(k))
		require.Equal(e, fmt.Sprintf("main/chat@%d", kept.UnixMilli()), e.alarms(time.Time{}, 0))
	}
	for range 2 {
		e.change(persist.RoomChange{Key: k, Puts: puts(storage, "a", "1"), Ranges: []persist.RoomRange{{Space: state}}})
		require.Equal(e, kept, e.alarm(k), "a change that names no alarm leaves it")
		e.reopen()
	}
	for _, moved := range []time.Time{now.Add(time.Hour), now.Add(-time.Hour), time.UnixMilli(0), time.UnixMilli(1), time.UnixMilli(253402300799999)} {
		e.setAlarm("chat", moved)
		require.Equal(e, moved.UnixMilli(), e.alarm(k).UnixMilli())
		require.Equal(e, fmt.Sprintf("main/chat@%d", moved.UnixMilli()), e.alarms(time.Time{}, 0))
	}
	e.reopen()
	for range 2 {
		e.setAlarm("chat", time.Time{})
		require.True(e, e.alarm(k).IsZero())
		require.Empty(e, e.alarms(time.Time{}, 0))
	}
	require.Equal(e, "a=1", e.roomText(k, storage))
	e.setAlarm("chat", now)
	e.change(persist.RoomChange{Key: k, Ranges: []persist.RoomRange{{Space: storage}}})
	require.Equal(e, kept, e.alarm(k), "an alarm needs no values")
}

func testAlarms(e *env) {
	ms := time.UnixMilli
	for room, t := range map[string]int64{"d": 500, "a": 300, "c": 100, "b": 300, "b\x01": 300, "ba": 300, "e": 1 << 40, "z": 0} {
		e.setAlarm(room, ms(t))
	}
	e.change(persist.RoomChange{Key: persist.Key{Party: "mai", Room: "z"}, Alarm: at(ms(300))},
		persist.RoomChange{Key: persist.Key{Party: "main2", Room: "a"}, Alarm: at(ms(300))})
	order := []string{
		"main/z@0", "main/c@100", "mai/z@300", "main/a@300", "main/b@300", "main/b\x01@300", "main/ba@300", "main2/a@300", "main/d@500", "main/e@1099511627776",
	}
	first := func(n int) string { return strings.Join(order[:n], " ") }
	for limit := 1; limit <= len(order)+1; limit++ {
		require.Equal(e, first(min(limit, len(order))), e.alarms(time.Time{}, limit))
	}
	require.Equal(e, first(10), e.alarms(time.Time{}, 0))
	require.Equal(e, first(10), e.alarms(time.Time{}, -3))
	for before, n := range map[time.Time]int{
		ms(-5): 0, ms(0): 0, ms(1): 1, ms(100): 1, ms(100).Add(1): 2, ms(101): 2, ms(300): 2, ms(301): 8, ms(500): 8, ms(501): 9, time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC): 10,
	} {
		require.Equal(e, first(n), e.alarms(before, 0), before)
		require.Equal(e, first(min(n, 3)), e.alarms(before, 3), before)
	}
	// Serving page by page: what has been served is cleared or moved.
	var served []string
	for {
		page, err := e.data().Alarms(e.ctx, ms(501), 2)
		require.NoError(e, err)
		if len(page) == 0 {
			break
		}
		var changes []persist.RoomChange
		for _, a := range page {
			served = append(served, fmt.Sprintf("%s@%d", a.Key, a.At.UnixMilli()))
			next := time.Time{}
			if a.Key.Room == "b" {
				next = ms(2000)
			}
			changes = append(changes, persist.RoomChange{Key: a.Key, Alarm: at(next)})
		}
		e.change(changes...)
	}
	require.Equal(e, order[:9], served)
	e.reopen()
	require.Equal(e, "main/b@2000 main/e@1099511627776", e.alarms(time.Time{}, 0))
}

func testRoomInvalid(e *env) {
	ok := persist.RoomChange{Key: key("chat"), Puts: puts(storage, "a", "1"), Alarm: at(time.UnixMilli(5))}
	long := strings.Repeat("k", persist.MaxRoomKeyBytes+1)
	bad := []persist.RoomChange{
		{Key: persist.Key{Party: "main"}},
		{Key: persist.Key{Party: "main", Room: "a\x00"}},
		{Key: ok.Key, Puts: puts(0, "a", "1")},
		{Key: ok.Key, Puts: puts(history+1, "a", "1")},
		{Key: ok.Key, Puts: puts(storage, long, "1")},
		{Key: ok.Key, Puts: puts(storage, "a", strings.Repeat("x", persist.MaxRoomValueBytes+1))},
		{Key: ok.Key, Deletes: []persist.RoomDelete{{Key: "a"}}},
		{Key: ok.Key, Deletes: []persist.RoomDelete{{Space: state, Key: long}}},
		{Key: ok.Key, Ranges: []persist.RoomRange{{}}},
		{Key: ok.Key, Ranges: []persist.RoomRange{{Space: state, From: long + "k"}}},
		{Key: ok.Key, Alarm: at(time.UnixMilli(-1))},
	}
	for i, c := range bad {
		require.ErrorIs(e, e.data().ChangeRooms(e.ctx, []persist.RoomChange{ok, c}), persist.ErrInvalid, "%d", i)
	}
	require.Empty(e, e.roomText(ok.Key, storage))
	require.Empty(e, e.alarms(time.Time{}, 0))
	for _, k := range []persist.Key{{}, {Party: "main"}, {Party: "main", Room: "\x00"}} {
		_, err := e.data().GetRoom(e.ctx, k, storage, []string{"a"})
		require.ErrorIs(e, err, persist.ErrInvalid)
		_, _, err = e.data().ListRoom(e.ctx, k, persist.RoomRange{Space: storage}, false, 0)
		require.ErrorIs(e, err, persist.ErrInvalid)
		_, err = e.data().RoomSize(e.ctx, k, storage)
		require.ErrorIs(e, err, persist.ErrInvalid)
		_, err = e.data().Alarm(e.ctx, k)
		require.ErrorIs(e, err, persist.ErrInvalid)
	}
	for _, space := range []persist.Space{0, history + 1} {
		_, err := e.data().GetRoom(e.ctx, ok.Key, space, nil)
		require.ErrorIs(e, err, persist.ErrInvalid)
		_, _, err = e.data().ListRoom(e.ctx, ok.Key, persist.RoomRange{Space: space}, false, 0)
		require.ErrorIs(e, err, persist.ErrInvalid)
		_, err = e.data().RoomSize(e.ctx, ok.Key, space)
		require.ErrorIs(e, err, persist.ErrInvalid)
	}
	_, err := e.data().GetRoom(e.ctx, ok.Key, storage, []string{"a", long})
	require.ErrorIs(e, err, persist.ErrInvalid)
	_, _, err = e.data().ListRoom(e.ctx, ok.Key, persist.RoomRange{Space: storage, To: long + "k"}, false, 0)
	require.ErrorIs(e, err, persist.ErrInvalid)
}

// refused checks that every method of a room fails with the error.
func (e *env) refused(ctx context.Context, k persist.Key, want error) {
	e.Helper()
	_, err := e.data().GetRoom(ctx, k, storage, []string{"a"})
	require.ErrorIs(e, err, want)
	_, _, err = e.data().ListRoom(ctx, k, persist.RoomRange{Space: storage}, false, 0)
	require.ErrorIs(e, err, want)
	_, err = e.data().RoomSize(ctx, k, storage)
	require.ErrorIs(e, err, want)
	_, err = e.data().Alarm(ctx, k)
	require.ErrorIs(e, err, want)
	other := persist.RoomChange{Key: key("bystander"), Puts: puts(storage, "a", "new"), Alarm: at(time.UnixMilli(1))}
	require.ErrorIs(e, e.data().ChangeRooms(ctx, []persist.RoomChange{other, {Key: k, Puts: puts(storage, "a", "new"), Alarm: at(time.Time{})}}), want)
}

func testRoomQuarantine(e *env) {
	q, ok := e.store.(RoomQuarantiner)
	if !ok {
		e.Skip("the store has no quarantine of rooms")
	}
	k := key("chat")
	require.ErrorIs(e, q.QuarantineRoom(e.ctx, persist.Key{}, "why"), persist.ErrInvalid)
	require.ErrorIs(e, q.ReleaseRoom(e.ctx, persist.Key{}), persist.ErrInvalid)
	require.NoError(e, q.ReleaseRoom(e.ctx, k), "not quarantined")
	e.change(persist.RoomChange{Key: k, Puts: puts(storage, "a", "1"), Alarm: at(time.UnixMilli(5))})
	e.change(persist.RoomChange{Key: key("other"), Puts: puts(storage, "a", "1"), Alarm: at(time.UnixMilli(9))})
	e.mustAppend(k, 0, "document")
	for range 2 {
		require.NoError(e, q.QuarantineRoom(e.ctx, k, "does not decode"))
	}
	for range 2 {
		e.refused(e.ctx, k, persist.ErrCorrupt)
		err := e.data().ChangeRooms(e.ctx, []persist.RoomChange{{Key: key("other"), Puts: puts(storage, "b", "2")}, {Key: k}})
		var corrupt *persist.CorruptError
		require.ErrorAs(e, err, &corrupt)
		require.Equal(e, k, corrupt.Key)
		require.ErrorContains(e, err, "does not decode")
		require.Equal(e, "a=1", e.roomText(key("other"), storage), "nothing is written")
		require.Empty(e, e.roomText(key("bystander"), storage))
		require.Equal(e, "main/other@9", e.alarms(time.Time{}, 0), "nobody could serve the other")
		require.Equal(e, "document", content(e.load(k)))
		e.reopen()
	}
	q = e.store.(RoomQuarantiner)
	require.NoError(e, q.ReleaseRoom(e.ctx, k))
	require.Equal(e, "a=1", e.roomText(k, storage))
	require.Equal(e, "main/chat@5 main/other@9", e.alarms(time.Time{}, 0))
	e.change(persist.RoomChange{Key: k, Puts: puts(storage, "b", "2")})
	e.reopen()
	require.Equal(e, "a=1 b=2", e.roomText(k, storage))
}

func testRoomContext(e *env) {
	k := key("chat")
	e.change(persist.RoomChange{Key: k, Puts: puts(storage, "a", "1")})
	ctx, cancel := context.WithCancel(e.ctx)
	cancel()
	e.refused(ctx, k, context.Canceled)
	_, err := e.data().Alarms(ctx, time.Time{}, 0)
	require.ErrorIs(e, err, context.Canceled)
	require.NotEmpty(e, e.roomText(k, storage), "the store still works")
}

func testRoomClosed(e *env) {
	k := key("chat")
	e.change(persist.RoomChange{Key: k, Puts: puts(storage, "a", "1")})
	require.NoError(e, e.store.Close())
	e.refused(e.ctx, k, persist.ErrClosed)
	_, err := e.data().Alarms(e.ctx, time.Time{}, 0)
	require.ErrorIs(e, err, persist.ErrClosed)
	if q, ok := e.store.(RoomQuarantiner); ok {
		require.ErrorIs(e, q.QuarantineRoom(e.ctx, k, "why"), persist.ErrClosed)
		require.ErrorIs(e, q.ReleaseRoom(e.ctx, k), persist.ErrClosed)
	}
}
