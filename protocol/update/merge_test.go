package update_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/costtest"
	"github.com/yserverd/yserverd/protocol/update"
)

func merge(t testing.TB, updates ...[]byte) []byte {
	t.Helper()
	b, err := update.Merge(nil, updates...)
	require.NoError(t, err)
	require.NoError(t, update.Validate(b, update.Limits{}))
	return b
}

func TestMergeNothing(t *testing.T) {
	require.Equal(t, update.Empty, merge(t))
	require.Equal(t, update.Empty, merge(t, update.Empty))
	require.Equal(t, update.Empty, merge(t, update.Empty, u(1, 0, 9, 0, 1, 9, 0)))
	require.Equal(t, u("x", 0, 0), func() []byte { b, _ := update.Merge(u("x")); return b }())
}

func TestMergeJoins(t *testing.T) {
	list := func(clock int, first bool, values ...byte) []byte {
		if first {
			return u(1, 1, 9, clock, 8, 1, "l", len(values), values, 0)
		}
		return u(1, 1, 9, clock, byte(0x88), 9, clock-1, len(values), values, 0)
	}
	for _, c := range []struct {
		name    string
		updates [][]byte
		want    []byte
	}{
		{"text", typed(9, 0, "hello"), text(9, 0, "hello")},
		{"text, backwards", [][]byte{text(9, 2, "c"), text(9, 1, "b"), text(9, 0, "a")}, text(9, 0, "abc")},
		{"text past 127 bytes", typed(9, 0, strings.Repeat("x", 300)), text(9, 0, strings.Repeat("x", 300))},
		{"overlapping text", [][]byte{text(9, 0, "abc"), u(1, 1, 9, 1, byte(0x84), 9, 0, "bcde", 0)}, text(9, 0, "abcde")},
		{"values", [][]byte{list(0, true, 126), list(1, false, 120, 121), list(3, false, 127)}, list(0, true, 126, 120, 121, 127)},
		{"values after something unknown", [][]byte{list(5, false, 126), list(6, false, 120)}, u(1, 2, 9, 5, byte(0x88), 9, 4, 1, []byte{126}, byte(0x88), 9, 5, 1, []byte{120}, 0)},
		{"values of a map", [][]byte{u(1, 1, 9, 0, byte(0x28), 1, "m", "k", 1, []byte{126}, 0), list(1, false, 120)}, u(1, 2, 9, 0, byte(0x28), 1, "m", "k", 1, []byte{126}, byte(0x88), 9, 0, 1, []byte{120}, 0)},
		{"text of a map", [][]byte{u(1, 1, 9, 0, byte(0x24), 1, "m", "k", "a", 0), u(1, 1, 9, 1, byte(0xa4), 9, 0, "b", 0)}, u(1, 2, 9, 0, byte(0x24), 1, "m", "k", "a", byte(0xa4), 9, 0, "b", 0)},
		{"deleted of a map", [][]byte{u(1, 1, 9, 0, byte(0x21), 1, "m", "k", 1, 0), u(1, 1, 9, 1, byte(0xa1), 9, 0, 1, 0)}, u(1, 1, 9, 0, byte(0x21), 1, "m", "k", 2, 0)},
		{"json values", [][]byte{u(1, 1, 9, 0, 2, 1, "j", 1, "1", 0), u(1, 1, 9, 1, byte(0x82), 9, 0, 1, "{}", 0)}, u(1, 1, 9, 0, 2, 1, "j", 2, "1", "{}", 0)},
		{"collected", [][]byte{u(1, 1, 9, 0, 0, 5, 0), u(1, 1, 9, 5, 0, 200, 0)}, u(1, 1, 9, 0, 0, 205, 0)},
		{"deleted", [][]byte{u(1, 1, 9, 0, 1, 1, "t", 5, 0), u(1, 1, 9, 5, byte(0x81), 9, 4, 3, 0)}, u(1, 1, 9, 0, 1, 1, "t", 8, 0)},
		{"another right origin", [][]byte{u(1, 1, 9, 0, byte(0x44), 3, 4, "a", 0), u(1, 1, 9, 1, byte(0xc4), 9, 0, 3, 5, "b", 0)}, u(1, 2, 9, 0, byte(0x44), 3, 4, "a", byte(0xc4), 9, 0, 3, 5, "b", 0)},
		{"the same right origin", [][]byte{u(1, 1, 9, 0, byte(0x44), 3, 4, "a", 0), u(1, 1, 9, 1, byte(0xc4), 9, 0, 3, 4, "b", 0)}, u(1, 1, 9, 0, byte(0x44), 3, 4, "ab", 0)},
		{"another origin", [][]byte{text(9, 0, "ab"), u(1, 1, 9, 2, byte(0x84), 9, 0, "c", 0)}, u(1, 2, 9, 0, 4, 1, "t", "ab", byte(0x84), 9, 0, "c", 0)},
		{"another kind", [][]byte{text(9, 0, "ab"), u(1, 1, 9, 2, byte(0x81), 9, 1, 3, 0)}, u(1, 2, 9, 0, 4, 1, "t", "ab", byte(0x81), 9, 1, 3, 0)},
		{"embeds never", [][]byte{u(1, 1, 9, 0, 5, 1, "t", "{}", 0), u(1, 1, 9, 1, byte(0x85), 9, 0, "{}", 0)}, u(1, 2, 9, 0, 5, 1, "t", "{}", byte(0x85), 9, 0, "{}", 0)},
	} {
		require.Equal(t, c.want, merge(t, c.updates...), c.name)
	}
}

func TestMergeGaps(t *testing.T) {
	require.Equal(t, u(1, 3, 9, 2, byte(0x84), 9, 1, "c", 10, 4, byte(0x84), 9, 6, "h", 0), merge(t, text(9, 7, "h"), text(9, 2, "c")))
	// Skips of the inputs are filled where another has what is missing, and do not lead or trail.
	skips := u(1, 5, 9, 0, 10, 2, byte(0x84), 9, 1, "c", 10, 4, byte(0x84), 9, 6, "h", 10, 9, 0)
	require.Equal(t, u(1, 3, 9, 2, byte(0x84), 9, 1, "c", 10, 4, byte(0x84), 9, 6, "h", 0), merge(t, skips))
	require.Equal(t, u(1, 1, 9, 2, byte(0x84), 9, 1, "cdefgh", 0), merge(t, skips, u(1, 1, 9, 3, byte(0x84), 9, 2, "defg", 0)))
}

func TestMergeClientsAndDeletes(t *testing.T) {
	got := merge(t,
		u(2, 1, 5, 0, 0, 1, 1, 9, 0, 0, 1, 2, 5, 2, 7, 1, 1, 2, 9, 1, 0, 1), // clients ascend, ranges descend
		u(1, 1, 7, 0, 0, 1, 2, 9, 2, 1, 1, 5, 0, 5, 2, 3, 2, 4, 2))
	require.Equal(t, u(3, 1, 9, 0, 0, 1, 1, 7, 0, 0, 1, 1, 5, 0, 0, 1, 2, 9, 1, 0, 2, 5, 2, 1, 5, 7, 1), got)
	require.True(t, canonical(t, got))
}

// TestMergeOneClientTwice: Yjs keeps the last section of a client alone; both count.
func TestMergeOneClientTwice(t *testing.T) {
	b := u(2, 1, 9, 1, byte(0x84), 9, 0, "b", 1, 9, 0, 4, 1, "t", "a", 0)
	require.Equal(t, text(9, 0, "ab"), merge(t, b))
	sv, err := update.StateVector(nil, b)
	require.NoError(t, err)
	require.Equal(t, u(1, 9, 2), sv)
}

func TestMergeOneIsACopy(t *testing.T) {
	b := u(1, 2, 9, 0, 4, 1, "t", "a", byte(0x84), 9, 0, "b", 0) // could be joined
	require.Equal(t, b, merge(t, b))
}

func TestMergeErrors(t *testing.T) {
	dst := []byte("kept")
	got, err := update.Merge(dst, update.Empty, u(1, 1))
	require.ErrorIs(t, err, update.ErrMalformed)
	require.EqualError(t, err, "update 2 of 2: update: unexpected end at byte 0")
	require.Equal(t, dst, got)
	got, err = update.Merge(dst, u(0, 1, 9))
	require.EqualError(t, err, "update: unexpected end at byte 1")
	require.Equal(t, dst, got)
	got, err = update.Diff(dst, update.Empty, nil)
	require.ErrorIs(t, err, update.ErrMalformed)
	require.Equal(t, dst, got)
	got, err = update.Diff(dst, nil, u(0))
	require.ErrorIs(t, err, update.ErrMalformed)
	require.Equal(t, dst, got)
	got, err = update.StateVector(dst, u(1, 1))
	require.ErrorIs(t, err, update.ErrMalformed)
	require.Equal(t, dst, got)
}

func TestDiff(t *testing.T) {
	b := merge(t, text(9, 0, "abcdef"), text(7, 0, "xyz"), u(0, 1, 9, 1, 1, 2))
	for _, c := range []struct {
		sv   []update.ID
		want []byte
	}{
		{nil, b},
		{[]update.ID{{Client: 9, Clock: 6}, {Client: 7, Clock: 3}}, u(0, 1, 9, 1, 1, 2)},
		{[]update.ID{{Client: 9, Clock: 600}, {Client: 7, Clock: 2}}, u(1, 1, 7, 2, byte(0x84), 7, 1, "z", 1, 9, 1, 1, 2)},
		{[]update.ID{{Client: 7, Clock: 3}, {Client: 9, Clock: 2}}, u(1, 1, 9, 2, byte(0x84), 9, 1, "cdef", 1, 9, 1, 1, 2)},
		{[]update.ID{{Client: 7, Clock: 3}, {Client: 9, Clock: 2}, {Client: 9, Clock: 5}}, u(1, 1, 9, 5, byte(0x84), 9, 4, "f", 1, 9, 1, 1, 2)},
		{[]update.ID{{Client: 8, Clock: 3}, {Client: 10, Clock: 1}}, b},
	} {
		got, err := update.Diff(u("x"), b, update.AppendStateVector(nil, c.sv))
		require.NoError(t, err)
		require.Equal(t, u("x", c.want), got, "%v", c.sv)
	}
}

// TestMergeInAnyOrder: what is merged first, and in how many steps, is no matter.
func TestMergeInAnyOrder(t *testing.T) {
	v := readVectors(t)
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var updates [][]byte
		for range 1 + r.IntN(20) {
			updates = append(updates, v.Updates[r.IntN(len(v.Updates))].U)
		}
		want, ok := meaningOf(t, updates...)
		require.True(t, ok)
		whole, ok := meaningOf(t, merge(t, updates...))
		require.True(t, ok)
		adoptEither(want, whole)
		requireSame(t, want, whole)

		steps := merge(t)
		for _, i := range r.Perm(len(updates)) {
			steps = merge(t, steps, updates[i])
		}
		stepwise, ok := meaningOf(t, steps)
		require.True(t, ok)
		adoptEither(whole, stepwise)
		requireSame(t, whole, stepwise)
	}
}

// TestMergeUsesNothingOfItsInputs: the result must live on when the inputs are used again.
func TestMergeUsesNothingOfItsInputs(t *testing.T) {
	updates := typed(9, 0, "hello")
	got := merge(t, updates...)
	for _, b := range updates {
		clear(b)
	}
	require.Equal(t, text(9, 0, "hello"), got)
	one := text(9, 0, "one")
	got = merge(t, one)
	clear(one)
	require.True(t, bytes.Contains(got, []byte("one")))
}

// TestMergeTakesTimeInProportion: one merge of sixteen times as much takes about as long as sixteen merges, and nothing like
// sixteen times that.
func TestMergeTakesTimeInProportion(t *testing.T) {
	repeated := func(n int) (list [][]byte) {
		whole := merge(t, typed(9, 0, "abc")...)
		for range n {
			list = append(list, whole)
		}
		return list
	}
	for name, shape := range map[string]func(n int) [][]byte{
		"typed":     keystrokes,
		"backwards": func(n int) [][]byte { list := keystrokes(n); slices.Reverse(list); return list },
		"repeated":  repeated,
		"gaps": func(n int) (list [][]byte) {
			for i := range n {
				list = append(list, u(1, 1, 9, 2*i, 0, 1, 0))
			}
			return list
		},
		"clients": func(n int) (list [][]byte) {
			for i := range n {
				list = append(list, u(1, 1, i, 0, 0, 1, 1, i, 1, 0, 1))
			}
			return list
		},
		"one text, many times cut": func(n int) [][]byte {
			list := [][]byte{text(9, 0, strings.Repeat("x", n))}
			for i := range n {
				list = append(list, text(9, i+1, "xy"))
			}
			return list
		},
	} {
		t.Run(name, func(t *testing.T) {
			costtest.InProportion(t, 2000, 16, 4, func(n int) func() {
				updates := shape(n)
				return func() {
					_, err := update.Merge(nil, updates...)
					require.NoError(t, err)
				}
			})
		})
	}
}
