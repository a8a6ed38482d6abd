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

func testDelete(e *env) {
	k := key("notes")
	require.ErrorIs(e, e.store.Delete(e.ctx, k, nil), persist.ErrNotFound)
	e.mustAppend(k, 0, "a", "b")
	e.mustAppend(key("notes2"), 0, "kept")
	before := e.load(k)
	require.NoError(e, e.store.Delete(e.ctx, k, nil))
	for range 2 {
		_, err := e.store.Load(e.ctx, k)
		require.ErrorIs(e, err, persist.ErrDeleted)
		_, err = e.store.LoadAfter(e.ctx, k, 0)
		require.ErrorIs(e, err, persist.ErrDeleted)
		require.ErrorIs(e, e.append(k, 2, "x").Err, persist.ErrDeleted)
		require.ErrorIs(e, e.append(k, 0, "x").Err, persist.ErrDeleted)
		require.ErrorIs(e, e.store.Compact(e.ctx, k, 0, 2, []byte("x")), persist.ErrDeleted)
		require.NoError(e, e.store.Delete(e.ctx, k, nil), "deleting again")
		e.reopen()
	}
	page, _, err := e.store.List(e.ctx, "main", "", "", 0)
	require.NoError(e, err)
	require.Len(e, page, 2)
	require.False(e, page[0].Deleted.IsZero())
	require.Equal(e, before.Epoch+1, page[0].Epoch)
	require.True(e, page[1].Deleted.IsZero())
	require.Equal(e, "kept", content(e.load(key("notes2"))))
}

func testList(e *env) {
	rooms := []string{"a", "a\x01", "a/1", "a/10", "a/2", "aa", "b", "b\xff", "b\xff\xff", "z", "\xff", "\xff\xff", "ä", "😀"}
	for _, room := range rooms {
		e.mustAppend(key(room), 0, "x")
	}
	e.mustAppend(persist.Key{Party: "main2", Room: "a"}, 0, "x")
	e.mustAppend(persist.Key{Party: "mai", Room: "na"}, 0, "x")
	slices.Sort(rooms)
	for _, limit := range []int{1, 2, 3, len(rooms), 1000} {
		require.Equal(e, rooms, e.rooms("main", "", limit), "pages of %d", limit)
	}
	for _, prefix := range []string{"a", "a/", "a/1", "b", "b\xff", "\xff", "\xff\xff", "x", "ä"} {
		want := slices.DeleteFunc(slices.Clone(rooms), func(r string) bool { return !strings.HasPrefix(r, prefix) })
		for _, limit := range []int{1, 2, 1000} {
			require.Equal(e, len(want), len(e.rooms("main", prefix, limit)), "%q", prefix)
			require.ElementsMatch(e, want, e.rooms("main", prefix, limit), "%q", prefix)
		}
	}
	require.Equal(e, []string{"a"}, e.rooms("main2", "", 10))
	require.Empty(e, e.rooms("nobody", "", 10))
}

func testListChanging(e *env) {
	for i := range 9 {
		e.mustAppend(key(fmt.Sprintf("r%d", i)), 0, "x")
	}
	page, next, err := e.store.List(e.ctx, "main", "", "", 4)
	require.NoError(e, err)
	require.Len(e, page, 4)
	require.NotEmpty(e, next)
	// What comes before the cursor, at it and behind it.
	e.mustAppend(key("r0b"), 0, "x")
	e.mustAppend(key("r3b"), 0, "x")
	e.mustAppend(key("r5b"), 0, "x")
	require.NoError(e, e.store.Delete(e.ctx, key("r3"), nil))
	var rooms []string
	for next != "" {
		page, next, err = e.store.List(e.ctx, "main", "", next, 4)
		require.NoError(e, err)
		for _, info := range page {
			rooms = append(rooms, info.Key.Room)
		}
	}
	require.Equal(e, []string{"r3b", "r4", "r5", "r5b", "r6", "r7", "r8"}, rooms)
}

func testListInfo(e *env) {
	k := key("notes")
	begun := time.Now().Add(-time.Second)
	e.mustAppend(k, 0, "12345", "67")
	e.mustCompact(k, 1, "snapshot")
	e.mustAppend(k, 2, "890")
	page, next, err := e.store.List(e.ctx, "main", "no", "", 0)
	require.NoError(e, err)
	require.Empty(e, next)
	require.Len(e, page, 1)
	info := page[0]
	for _, at := range []time.Time{info.Created, info.Updated} {
		require.False(e, at.Before(begun), at)
		require.False(e, at.After(time.Now().Add(time.Second)), at)
	}
	require.False(e, info.Updated.Before(info.Created))
	info.Created, info.Updated = time.Time{}, time.Time{}
	require.Equal(e, persist.Info{Key: k, Seq: 3, SnapshotSeq: 1, SnapshotBytes: 8, LogBytes: 5}, info)
}

func testKeys(e *env) {
	longest := strings.Repeat("k", persist.MaxNameBytes)
	keys := []persist.Key{
		{Party: "a", Room: "bc"},
		{Party: "ab", Room: "c"},
		{Party: "a", Room: "b/c"},
		{Party: "a/b", Room: "c"},
		{Party: "a", Room: "b\x01c"},
		{Party: "a\x01b", Room: "c"},
		{Party: "a", Room: "\xff"},
		{Party: "a\xff", Room: "\xff"},
		{Party: "a", Room: "é"},
		{Party: "a", Room: "e\u0301"},
		{Party: "a", Room: "\xe9"},
		{Party: "a", Room: "A"},
		{Party: "a", Room: " A"},
		{Party: "a", Room: "%00"},
		{Party: longest, Room: longest},
		{Party: longest, Room: longest[1:]},
	}
	for i, k := range keys {
		e.mustAppend(k, 0, fmt.Sprint("doc", i))
	}
	e.mustCompact(keys[0], 1, "snap")
	require.NoError(e, e.store.Delete(e.ctx, keys[1], nil))
	for i, k := range keys[2:] {
		require.Equal(e, fmt.Sprint("doc", i+2), content(e.load(k)), "%q", k)
	}
	require.Equal(e, "snap@1", content(e.load(keys[0])))
}

func testInvalid(e *env) {
	e.mustAppend(key("notes"), 0, "a")
	for _, k := range []persist.Key{
		{},
		{Party: "main"},
		{Room: "notes"},
		{Party: "main", Room: "no\x00tes"},
		{Party: strings.Repeat("k", persist.MaxNameBytes+1), Room: "notes"},
	} {
		_, err := e.store.Load(e.ctx, k)
		require.ErrorIs(e, err, persist.ErrInvalid, "%q", k)
		_, err = e.store.LoadAfter(e.ctx, k, 0)
		require.ErrorIs(e, err, persist.ErrInvalid, "%q", k)
		require.ErrorIs(e, e.append(k, 0, "x").Err, persist.ErrInvalid, "%q", k)
		require.ErrorIs(e, e.store.Compact(e.ctx, k, 0, 1, []byte("x")), persist.ErrInvalid, "%q", k)
		require.ErrorIs(e, e.store.Delete(e.ctx, k, nil), persist.ErrInvalid, "%q", k)
	}
	_, _, err := e.store.List(e.ctx, "", "", "", 0)
	require.ErrorIs(e, err, persist.ErrInvalid)
	_, _, err = e.store.List(e.ctx, "main", "", "!no cursor!", 0)
	require.ErrorIs(e, err, persist.ErrInvalid)
	_, next, err := e.store.List(e.ctx, "main", "", "", 1)
	require.NoError(e, err)
	require.Empty(e, next)
}

func testQuarantine(e *env) {
	q, ok := e.store.(Quarantiner)
	if !ok {
		e.Skip("the store has no quarantine")
	}
	k := key("notes")
	require.ErrorIs(e, q.Quarantine(e.ctx, k, "why"), persist.ErrNotFound)
	require.ErrorIs(e, q.Release(e.ctx, k), persist.ErrNotFound)
	e.mustAppend(k, 0, "a", "b")
	e.mustCompact(k, 1, "snap")
	e.mustAppend(key("other"), 0, "x")
	require.NoError(e, q.Release(e.ctx, k), "not quarantined")
	require.NoError(e, q.Quarantine(e.ctx, k, "does not decode"))

	for range 2 {
		_, err := e.store.Load(e.ctx, k)
		require.ErrorIs(e, err, persist.ErrCorrupt)
		var corrupt *persist.CorruptError
		require.ErrorAs(e, err, &corrupt)
		require.Equal(e, k, corrupt.Key)
		require.ErrorContains(e, err, "does not decode")
		_, err = e.store.LoadAfter(e.ctx, k, 1)
		require.ErrorIs(e, err, persist.ErrCorrupt)
		require.ErrorIs(e, e.append(k, 2, "x").Err, persist.ErrCorrupt)
		require.ErrorIs(e, e.store.Compact(e.ctx, k, 0, 2, []byte("x")), persist.ErrCorrupt)
		require.ErrorIs(e, e.store.Delete(e.ctx, k, nil), persist.ErrCorrupt)
		page, _, err := e.store.List(e.ctx, "main", "", "", 0)
		require.NoError(e, err)
		require.Equal(e, "does not decode", page[0].Quarantined)
		require.Empty(e, page[1].Quarantined)
		e.mustAppend(key("other"), e.load(key("other")).Seq, "y")
		e.reopen()
		q = e.store.(Quarantiner)
	}
	require.NoError(e, q.Release(e.ctx, k))
	require.Equal(e, "snap@1 b", content(e.load(k)))
	e.mustAppend(k, 2, "c")
}

func testContext(e *env) {
	k := key("notes")
	e.mustAppend(k, 0, "a")
	ctx, cancel := context.WithCancel(e.ctx)
	cancel()
	_, err := e.store.Load(ctx, k)
	require.ErrorIs(e, err, context.Canceled)
	_, err = e.store.LoadAfter(ctx, k, 0)
	require.ErrorIs(e, err, context.Canceled)
	_, err = e.store.Append(ctx, []persist.Append{{Key: k, After: 1, Updates: text("b")}})
	require.ErrorIs(e, err, context.Canceled)
	require.ErrorIs(e, e.store.Compact(ctx, k, 0, 1, []byte("x")), context.Canceled)
	require.ErrorIs(e, e.store.Delete(ctx, k, nil), context.Canceled)
	_, _, err = e.store.List(ctx, "main", "", "", 0)
	require.ErrorIs(e, err, context.Canceled)

	rows, err := e.store.LoadAfter(e.ctx, k, 0)
	require.NoError(e, err, "the store still works")
	require.NotEmpty(e, rows)
}

func testClosed(e *env) {
	k := key("notes")
	e.mustAppend(k, 0, "a")
	require.NoError(e, e.store.Close())
	require.NoError(e, e.store.Close(), "closing again")
	_, err := e.store.Load(e.ctx, k)
	require.ErrorIs(e, err, persist.ErrClosed)
	_, err = e.store.LoadAfter(e.ctx, k, 0)
	require.ErrorIs(e, err, persist.ErrClosed)
	_, err = e.store.Append(e.ctx, []persist.Append{{Key: k, After: 1, Updates: text("b")}})
	require.ErrorIs(e, err, persist.ErrClosed)
	require.ErrorIs(e, e.store.Compact(e.ctx, k, 0, 1, []byte("x")), persist.ErrClosed)
	require.ErrorIs(e, e.store.Delete(e.ctx, k, nil), persist.ErrClosed)
	_, _, err = e.store.List(e.ctx, "main", "", "", 0)
	require.ErrorIs(e, err, persist.ErrClosed)
}

func testReopen(e *env) {
	for i := range 20 {
		k := key(fmt.Sprintf("r%d", i))
		e.mustAppend(k, 0, "a", "b", "c")
		if i%2 == 0 {
			e.mustCompact(k, 2, "ab")
		}
		if i%5 == 0 {
			require.NoError(e, e.store.Delete(e.ctx, k, nil))
		}
	}
	for range 2 {
		e.reopen()
		for i := range 20 {
			k := key(fmt.Sprintf("r%d", i))
			switch {
			case i%5 == 0:
				_, err := e.store.Load(e.ctx, k)
				require.ErrorIs(e, err, persist.ErrDeleted)
			case i%2 == 0:
				require.Equal(e, "ab@2 c", content(e.load(k)))
			default:
				require.Equal(e, "a b c", content(e.load(k)))
			}
		}
	}
	e.mustAppend(key("r1"), 3, "d")
	e.mustAppend(key("new"), 0, "n")
	require.Equal(e, "a b c d", content(e.load(key("r1"))))
	require.Equal(e, "a b c", content(e.load(key("r3"))))
	require.Len(e, e.rooms("main", "", 7), 21)
}
