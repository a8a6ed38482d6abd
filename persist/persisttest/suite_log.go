package persisttest

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
)

func testUnknown(e *env) {
	d, err := e.store.Load(e.ctx, key("nowhere"))
	require.NoError(e, err)
	require.Zero(e, d)
	rows, err := e.store.LoadAfter(e.ctx, key("nowhere"), 0)
	require.NoError(e, err)
	require.Empty(e, rows)
	require.Empty(e, e.rooms("main", "", 10))
}

func testAppend(e *env) {
	k := key("notes")
	e.mustAppend(k, 0, "a", "b")
	d := e.load(k)
	require.Equal(e, "a b", content(d))
	require.Equal(e, uint64(2), d.Seq)
	require.Zero(e, d.Epoch)
	e.mustAppend(k, 2, "c")
	require.Equal(e, "a b c", content(e.load(k)))

	// Bytes are opaque: empty, zero, large.
	large := strings.Repeat("\x00\xff", 3<<20)
	e.mustAppend(k, 3, "", "\x00", large)
	rows := e.load(k).Tail
	require.Empty(e, rows[3].Data)
	require.Equal(e, "\x00", string(rows[4].Data))
	require.True(e, large == string(rows[5].Data), "a large update changed")
}

func testAppendMany(e *env) {
	e.mustAppend(key("old"), 0, "a")
	e.mustAppend(key("gone"), 0, "a")
	require.NoError(e, e.store.Delete(e.ctx, key("gone"), nil))

	results, err := e.store.Append(e.ctx, []persist.Append{
		{Key: key("new"), Updates: text("1", "2")},
		{Key: key("old"), After: 7, Updates: text("x")},
		{Key: key("gone"), After: 1, Updates: text("x")},
		{Key: key("old"), Epoch: 3, After: 1, Updates: text("x")},
		{Key: persist.Key{Party: "main"}, Updates: text("x")},
		{Key: key("old"), After: 1, Updates: text("b")},
		{Key: persist.Key{Party: "other", Room: "old"}, Updates: text("z")},
	})
	require.NoError(e, err)
	require.Len(e, results, 7)
	require.Equal(e, persist.Result{Seq: 2}, results[0])
	require.ErrorIs(e, results[1].Err, persist.ErrConflict)
	require.Equal(e, uint64(1), results[1].Seq)
	require.ErrorIs(e, results[2].Err, persist.ErrDeleted)
	require.ErrorIs(e, results[3].Err, persist.ErrEpoch)
	require.Equal(e, uint64(1), results[3].Seq)
	require.ErrorIs(e, results[4].Err, persist.ErrInvalid)
	require.Equal(e, persist.Result{Seq: 2}, results[5])
	require.Equal(e, persist.Result{Seq: 1}, results[6])

	require.Equal(e, "1 2", content(e.load(key("new"))))
	require.Equal(e, "a b", content(e.load(key("old"))))
	require.Equal(e, "z", content(e.load(persist.Key{Party: "other", Room: "old"})))

	results, err = e.store.Append(e.ctx, nil)
	require.NoError(e, err)
	require.Empty(e, results)
}

func testAppendTwice(e *env) {
	k := key("notes")
	results, err := e.store.Append(e.ctx, []persist.Append{
		{Key: k, After: 0, Updates: text("a")},
		{Key: k, After: 1, Updates: text("b")},
		{Key: k, After: 1, Updates: text("x")},
		{Key: k, After: 2, Updates: text("c", "d")},
	})
	require.NoError(e, err)
	require.Equal(e, persist.Result{Seq: 1}, results[0])
	require.Equal(e, persist.Result{Seq: 2}, results[1])
	require.ErrorIs(e, results[2].Err, persist.ErrConflict)
	require.Equal(e, uint64(2), results[2].Seq)
	require.Equal(e, persist.Result{Seq: 4}, results[3])
	require.Equal(e, "a b c d", content(e.load(k)))
}

func testAppendNothing(e *env) {
	require.Equal(e, persist.Result{}, e.append(key("new"), 0))
	require.Empty(e, e.rooms("main", "", 10))

	e.mustAppend(key("notes"), 0, "a")
	require.Equal(e, persist.Result{Seq: 1}, e.append(key("notes"), 1))
	require.ErrorIs(e, e.append(key("notes"), 0).Err, persist.ErrConflict)
	require.ErrorIs(e, e.append(key("new"), 1).Err, persist.ErrConflict)
	require.Equal(e, "a", content(e.load(key("notes"))))
}

func testAppendRefused(e *env) {
	k := key("notes")
	require.ErrorIs(e, e.append(k, 1, "x").Err, persist.ErrConflict, "there is no document to be behind")
	e.mustAppend(k, 0, "a", "b")
	for _, after := range []persist.Seq{0, 1, 3, 1 << 60} {
		r := e.append(k, after, "x")
		require.ErrorIs(e, r.Err, persist.ErrConflict, "after %d", after)
		require.Equal(e, uint64(2), r.Seq, "after %d", after)
	}
	results, err := e.store.Append(e.ctx, []persist.Append{
		{Key: k, Epoch: 1, After: 2, Updates: text("x")},
		{Key: key("new"), Epoch: 1, Updates: text("x")},
	})
	require.NoError(e, err)
	require.ErrorIs(e, results[0].Err, persist.ErrEpoch)
	require.ErrorIs(e, results[1].Err, persist.ErrEpoch)
	require.Equal(e, "a b", content(e.load(k)))
	require.Equal(e, []string{"notes"}, e.rooms("main", "", 10))
}

func testOwnership(e *env) {
	k := key("notes")
	updates := text("aaaa", "bbbb")
	results, err := e.store.Append(e.ctx, []persist.Append{{Key: k, Updates: updates}})
	require.NoError(e, err)
	require.NoError(e, results[0].Err)
	copy(updates[0], "####")
	snapshot := []byte("snap")
	require.NoError(e, e.store.Compact(e.ctx, k, 0, 1, snapshot))
	copy(snapshot, "####")

	for range 2 {
		d := e.load(k)
		require.Equal(e, "snap@1 bbbb", content(d))
		copy(d.Snapshot.Data, "####")
		copy(d.Tail[0].Data, "####")
		rows, err := e.store.LoadAfter(e.ctx, k, 1)
		require.NoError(e, err)
		require.Equal(e, "bbbb", rowsText(rows))
		copy(rows[0].Data, "####")
	}
	// Growing one row must not run into the next.
	e.mustAppend(k, 2, "cccc")
	d := e.load(k)
	_ = append(d.Tail[0].Data, "####"...)
	require.Equal(e, "snap@1 bbbb cccc", content(d))
}

func testLoadAfter(e *env) {
	k := key("notes")
	e.mustAppend(k, 0, "a", "b", "c", "d")
	check := func(after persist.Seq, want string) {
		rows, err := e.store.LoadAfter(e.ctx, k, after)
		require.NoError(e, err)
		require.Equal(e, want, rowsText(rows))
		for i, u := range rows {
			require.Equal(e, after+uint64(i)+1, u.Seq)
		}
	}
	check(0, "a b c d")
	check(3, "d")
	check(4, "")
	_, err := e.store.LoadAfter(e.ctx, k, 5)
	require.ErrorIs(e, err, persist.ErrConflict)

	e.mustCompact(k, 2, "ab")
	check(2, "c d")
	check(4, "")
	for _, after := range []persist.Seq{0, 1} {
		_, err = e.store.LoadAfter(e.ctx, k, after)
		require.ErrorIs(e, err, persist.ErrStale, "after %d", after)
	}
	_, err = e.store.LoadAfter(e.ctx, key("nowhere"), 1)
	require.ErrorIs(e, err, persist.ErrConflict)
}

func testCompact(e *env) {
	k := key("notes")
	e.mustAppend(k, 0, "a", "b", "c")
	e.mustCompact(k, 3, "abc")
	require.Equal(e, "abc@3", content(e.load(k)))

	e.mustAppend(k, 3, "d", "e")
	require.Equal(e, "abc@3 d e", content(e.load(k)))
	e.mustCompact(k, 4, "abcd")
	require.Equal(e, "abcd@4 e", content(e.load(k)))
	require.ErrorIs(e, e.append(k, 4, "x").Err, persist.ErrConflict)
	e.mustAppend(k, 5, "f")
	require.Equal(e, "abcd@4 e f", content(e.load(k)))

	// Neighbours are not touched.
	e.mustAppend(key("note"), 0, "1")
	e.mustAppend(key("notes2"), 0, "1")
	e.mustCompact(k, 6, "abcdef")
	require.Equal(e, "1", content(e.load(key("note"))))
	require.Equal(e, "1", content(e.load(key("notes2"))))
}

func testCompactRefused(e *env) {
	k := key("notes")
	compact := func(k persist.Key, epoch persist.Epoch, upTo persist.Seq, snapshot string) error {
		return e.store.Compact(e.ctx, k, epoch, upTo, []byte(snapshot))
	}
	require.ErrorIs(e, compact(key("nowhere"), 0, 1, "x"), persist.ErrStale)
	require.ErrorIs(e, compact(key("nowhere"), 0, 0, "x"), persist.ErrStale)
	e.mustAppend(k, 0, "a", "b", "c", "d")
	require.ErrorIs(e, compact(k, 0, 0, "x"), persist.ErrStale)
	require.ErrorIs(e, compact(k, 0, 5, "x"), persist.ErrStale)
	require.ErrorIs(e, compact(k, 1, 4, "x"), persist.ErrEpoch)
	require.ErrorIs(e, compact(k, 0, 4, ""), persist.ErrInvalid)
	require.Equal(e, "a b c d", content(e.load(k)))

	e.mustCompact(k, 3, "abc")
	for _, upTo := range []persist.Seq{1, 2, 3, 5} {
		require.ErrorIs(e, compact(k, 0, upTo, "x"), persist.ErrStale, "up to %d", upTo)
	}
	require.Equal(e, "abc@3 d", content(e.load(k)))
}

func testCompactLarge(e *env) {
	k := key("notes")
	for i, size := range []int{1 << 20, 1<<20 + 1, 5<<20 + 17, 3, 2 << 20} {
		seq := uint64(i) + 1
		e.mustAppend(k, seq-1, fmt.Sprint("row", seq))
		snapshot := bytes.Repeat([]byte{byte('a' + i), 0}, size/2+1)[:size]
		require.NoError(e, e.store.Compact(e.ctx, k, 0, seq, snapshot))
		d := e.load(k)
		require.Equal(e, seq, d.Snapshot.Seq)
		require.True(e, bytes.Equal(snapshot, d.Snapshot.Data), "a snapshot of %d bytes changed", size)
		require.Empty(e, d.Tail)
		// A refused one leaves nothing behind that could be seen.
		require.ErrorIs(e, e.store.Compact(e.ctx, k, 0, seq, bytes.Repeat([]byte("x"), 3<<20)), persist.ErrStale)
		require.ErrorIs(e, e.store.Compact(e.ctx, k, 9, seq, bytes.Repeat([]byte("x"), 3<<20)), persist.ErrEpoch)
	}
	e.reopen()
	d := e.load(k)
	require.Len(e, d.Snapshot.Data, 2<<20)
	require.Equal(e, uint64(5), d.Seq)
}

func testCompactKeepsNewer(e *env) {
	k := key("notes")
	e.mustAppend(k, 0, "a", "b")
	d := e.load(k)
	e.mustAppend(k, 2, "c")
	e.mustCompact(k, d.Seq, "ab")
	require.Equal(e, "ab@2 c", content(e.load(k)))
	page, _, err := e.store.List(e.ctx, "main", "", "", 0)
	require.NoError(e, err)
	require.Equal(e, int64(1), page[0].LogBytes)
}
