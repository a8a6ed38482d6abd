package difftest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/protocol/ydoc"
)

// What sessions found, told without them.

// typed is an update with text in the root "t", from clock 0 of client 7, and with delete ranges [clock, length).
func typed(text string, deletes ...[2]uint64) []byte {
	u := []byte{}
	if text == "" {
		u = append(u, 0)
	} else {
		u = append(u, 1, 1, 7, 0, byte(update.String), 1, 1, 't')
		u = lib0.AppendVarString(u, text)
	}
	if len(deletes) == 0 {
		return append(u, 0)
	}
	u = append(u, 1, 7)
	u = lib0.AppendVarUint(u, uint64(len(deletes)))
	for _, d := range deletes {
		u = lib0.AppendVarUint(lib0.AppendVarUint(u, d[0]), d[1])
	}
	return u
}

// A parked delete range of which a part was released: what is pending was cached, with as many ranges and bytes as before.
func TestPendingAfterPartOfADeleteIsReleased(t *testing.T) {
	d := ydoc.New(ydoc.Config{})
	_, err := d.Apply(typed("", [2]uint64{0, 2}, [2]uint64{4, 1}))
	require.NoError(t, err)
	require.Equal(t, typed("", [2]uint64{0, 2}, [2]uint64{4, 1}), d.Pending())
	a, err := d.Apply(typed("x"))
	require.NoError(t, err)
	require.True(t, a.Released)
	require.Equal(t, typed("x", [2]uint64{0, 1}), a.New)
	require.Equal(t, typed("", [2]uint64{1, 1}, [2]uint64{4, 1}), d.Pending())
	again := ydoc.New(ydoc.Config{})
	_, err = again.Apply(d.Full())
	require.NoError(t, err)
	require.True(t, ydoc.Equal(again, d))
}

// Deleting from the middle of a surrogate pair on, wherever in the text that is.
func TestCompactionCutsPairsAnywhere(t *testing.T) {
	for before := range 40 {
		text := ""
		for i := range before {
			text += string(rune('a' + i%26))
		}
		units := uint64(before) + 6
		d := ydoc.New(ydoc.Config{})
		_, err := d.Apply(typed(text+"😀x😀y", [2]uint64{uint64(before) + 1, 3})) // half of the first, x, half of the second
		require.NoError(t, err)
		c, err := d.Freeze().Compact()
		require.NoError(t, err)
		require.NoError(t, update.Validate(c.Update(), update.Limits{}))
		require.True(t, d.Adopt(c))
		sv, err := update.StateVector(nil, c.Update())
		require.NoError(t, err)
		require.Equal(t, []byte{1, 7, byte(units)}, sv)
		require.Contains(t, string(c.Update()), text+"\ufffd", before)
		require.Contains(t, string(c.Update()), "\ufffdy", before)
	}
}
