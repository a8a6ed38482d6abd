package materialise_test

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/yserver/materialise"
)

// deep is a state with types inside each other, the outermost deleted or not.
func deep(levels int, deleted bool) []byte {
	u := bytesOf([]byte{1}, levels, 7, 0, []byte{byte(update.Type), 1}, "r", []byte{0})
	for i := 1; i < levels; i++ {
		u = add(u, []byte{byte(update.Type), 0}, 7, i-1, []byte{0})
	}
	if deleted {
		return add(u, []byte{1}, 7, 1, 0, 1)
	}
	return append(u, 0)
}

// Types nested as deeply as one likes exhaust no stack, neither ours nor that of y-crdt.
func TestDeepNesting(t *testing.T) {
	const levels = 100_000
	d := open(t, deep(levels, false))
	_, err := d.JSON(t.Context(), "r", materialise.Array)
	require.ErrorIs(t, err, materialise.ErrLimit)
	_, err = d.AllJSON(t.Context())
	require.ErrorIs(t, err, materialise.ErrLimit)
	_, err = materialise.Replace(t.Context(), update.Empty, deep(levels, false), materialise.EditOptions{})
	var l *materialise.LimitError
	require.ErrorAs(t, err, &l)
	require.Equal(t, "depth", l.Limit)

	require.Equal(t, "[]", jsonOf(t, deep(levels, true), "r", materialise.Array))
	require.False(t, materialise.CrossChecked(open(t, deep(levels, true))))
	after := change(t, deep(levels, true), func(tx *materialise.Tx) error { return tx.ArrayInsert(materialise.At("r"), 0, 1) })
	require.Equal(t, "[1]", jsonOf(t, after, "r", materialise.Array))
	// Emptying is a deletion of the outermost, however deep it is.
	u, err := materialise.Replace(t.Context(), deep(levels, false), update.Empty, materialise.EditOptions{})
	require.NoError(t, err)
	require.Less(t, len(u), 20)

	within := deep(500, false)
	require.Equal(t, strings.Repeat("[", 501)+strings.Repeat("]", 501), strings.ReplaceAll(jsonOf(t, within, "r", materialise.Array), " ", ""))
}

// Some bytes can claim as many units as there are numbers.
func TestHugeLengths(t *testing.T) {
	huge := uint64(math.MaxInt32) << 20
	for name, u := range map[string][]byte{
		"gc":      bytesOf([]byte{1, 1, 7, 0, byte(update.GC)}, huge, []byte{0}),
		"deleted": bytesOf([]byte{1, 1, 7, 0, byte(update.Deleted), 1}, "r", huge, []byte{0}),
		"cut":     bytesOf([]byte{1, 1, 7, 0, byte(update.Deleted), 1}, "r", huge, []byte{1}, 7, 2, 5, 1, 9, huge),
		"deletes": bytesOf([]byte{1, 1, 7, 0, byte(update.String), 1}, "r", "x", []byte{1}, 7, 1, 0, huge),
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, "[]", jsonOf(t, u, "r", materialise.Array))
			after := change(t, u, func(tx *materialise.Tx) error { return tx.ArrayInsert(materialise.At("r"), 0, 1) })
			require.Equal(t, "[1]", jsonOf(t, after, "r", materialise.Array))
		})
	}
}

func TestMalformed(t *testing.T) {
	for _, u := range [][]byte{nil, {}, {1}, {1, 1, 7, 0, 31, 0}, {1, 200, 7}, {0}} {
		_, err := materialise.Open(t.Context(), u, materialise.Limits{})
		require.ErrorIs(t, err, materialise.ErrMalformed, "%x", u)
		_, err = materialise.Replace(t.Context(), update.Empty, u, materialise.EditOptions{})
		require.ErrorIs(t, err, materialise.ErrMalformed, "%x", u)
	}
	// What is known to hang y-crdt, or to make it allocate without end, never comes to it: counts beyond the bytes that follow.
	defer materialise.SetSecond(func([]byte, materialise.Limits) ([]byte, error) { panic("reached") })()
	for _, u := range [][]byte{
		{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0},
		{0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
		{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1, 0},
		{1, 1, 7, 0, byte(update.Any), 1, 1, 'a', 0xff, 0xff, 0xff, 0xff, 7},
		{1, 1, 7, 0, byte(update.Any), 1, 1, 'a', 1, 117, 0xff, 0xff, 0xff, 0xff, 7},
	} {
		_, err := materialise.Replace(t.Context(), u, update.Empty, materialise.EditOptions{})
		require.ErrorIs(t, err, materialise.ErrMalformed, "%x", u)
	}

	// Not as a store would have it, but sound: two sections of one client, an empty delete range.
	u := bytesOf([]byte{2, 1}, 7, 1, []byte{byte(update.String) | update.HasOrigin}, 7, 0, "b", []byte{1}, 7, 0, []byte{byte(update.String), 1}, "t", "a", []byte{1}, 7, 1, 0, 0)
	require.Equal(t, `"ab"`, jsonOf(t, u, "t", materialise.Text))
}

func TestLimits(t *testing.T) {
	state := change(t, update.Empty, func(tx *materialise.Tx) error {
		for i := range 100 {
			if err := tx.ArrayInsert(materialise.At("a"), 0, strings.Repeat("x", i)); err != nil {
				return err
			}
		}
		return nil
	})
	limit := func(err error) string {
		t.Helper()
		var l *materialise.LimitError
		require.ErrorAs(t, err, &l)
		require.ErrorIs(t, err, materialise.ErrLimit)
		return l.Limit
	}
	_, err := materialise.Open(t.Context(), state, materialise.Limits{Bytes: 100})
	require.Equal(t, "bytes", limit(err))
	_, err = materialise.Open(t.Context(), state, materialise.Limits{Items: 99})
	require.Equal(t, "items", limit(err))
	d, err := materialise.Open(t.Context(), state, materialise.Limits{Items: 100, Output: 1000})
	require.NoError(t, err)
	_, err = d.JSON(t.Context(), "a", materialise.Unknown)
	require.Equal(t, "output", limit(err))
	_, err = materialise.Replace(t.Context(), update.Empty, state, materialise.EditOptions{Limits: materialise.Limits{Output: 1000}})
	require.Equal(t, "output", limit(err))
}

// manyFormats is a text with as many formats in effect as it has characters, each of which would have to be repeated.
func manyFormats(n int) []byte {
	u := bytesOf([]byte{1}, 2*n, 7, 0)
	for i := range n {
		if i == 0 {
			u = add(u, []byte{byte(update.Format), 1}, "t")
		} else {
			u = add(u, []byte{byte(update.Format) | update.HasOrigin}, 7, 2*i-1)
		}
		u = add(u, strings.Repeat("k", 1+i%7)+string(rune('a'+i%26))+string(rune(0x1000+i)), "true", []byte{byte(update.String) | update.HasOrigin}, 7, 2*i, "x")
	}
	return append(u, 0)
}

func TestFormatsThatMultiply(t *testing.T) {
	d, err := materialise.Open(t.Context(), manyFormats(20_000), materialise.Limits{Output: 1 << 20})
	require.NoError(t, err)
	for name, render := range map[string]func() ([]byte, error){
		"delta": func() ([]byte, error) { return d.Delta(t.Context(), "t") },
		"xml":   func() ([]byte, error) { return d.XML(t.Context(), "t", materialise.XMLText) },
		"json":  func() ([]byte, error) { return d.JSON(t.Context(), "t", materialise.XMLText) },
	} {
		_, err := render()
		require.ErrorIs(t, err, materialise.ErrLimit, name)
	}
	text, err := d.Text(t.Context(), "t")
	require.NoError(t, err)
	require.Len(t, text, 20_000)
}

// conflicts is a list in which each item has to be compared with all that were put in before: all claim the beginning, and
// each another right neighbour, in a text of as many units.
func conflicts(n int) []byte {
	u := bytesOf(n+1, []byte{1}, n+1, 0, []byte{byte(update.String), 1}, "t", strings.Repeat("x", n))
	for i := range n {
		u = add(u, []byte{1}, n-i, 0, []byte{byte(update.String) | update.HasRightOrigin}, n+1, n-1-i, "y")
	}
	return append(u, 0)
}

// What takes more time than allowed ends, and at once.
func TestTime(t *testing.T) {
	state := conflicts(60_000)
	start := time.Now()
	_, err := materialise.Open(t.Context(), state, materialise.Limits{Time: 100 * time.Millisecond})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, time.Since(start), 20*time.Second)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = materialise.Open(ctx, update.Empty, materialise.Limits{})
	require.ErrorIs(t, err, context.Canceled)
	d := open(t, conflicts(100))
	_, err = d.JSON(ctx, "t", materialise.Text)
	require.ErrorIs(t, err, context.Canceled)
}

// Clients that wait for each other in a ring, and for one that never comes.
func TestRings(t *testing.T) {
	const n = 20_000
	u := bytesOf(n + 1)
	for i := range n {
		u = add(u, []byte{1}, n-i+10, 0, []byte{byte(update.String) | update.HasOrigin}, (n-i)%n+11, 0, "x")
	}
	u = add(u, []byte{1}, 3, 0, []byte{byte(update.String), 1}, "t", "here", []byte{0})
	d := open(t, u)
	require.True(t, d.Pending())
	require.Equal(t, `"here"`, jsonOf(t, u, "t", materialise.Text))
}

// One value may be nested as deeply as the decoder takes it, and an array as long as it likes.
func TestBigValues(t *testing.T) {
	value := any(1.0)
	for range 500 {
		value = []any{value}
	}
	list := make([]any, 200_000)
	for i := range list {
		list[i] = float64(i)
	}
	state := change(t, update.Empty, func(tx *materialise.Tx) error {
		return tx.ArrayInsert(materialise.At("a"), 0, value, list, lib0.Object{{Key: "k", Value: list}})
	})
	require.Len(t, jsonOf(t, state, "a", materialise.Array), 2*1288890+1000+1+len(`[,,{"k":}]`)+2)
	u, err := materialise.Replace(t.Context(), update.Empty, state, materialise.EditOptions{})
	require.NoError(t, err)
	require.InDelta(t, len(state), len(u), 8)
}
