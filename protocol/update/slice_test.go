package update_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/update"
)

// reparse puts the encoding of one struct back into an update and reads it.
func reparse(t testing.TB, client, clock uint64, raw []byte) update.Struct {
	t.Helper()
	s := structsOf(t, u(1, 1, int(client), int(clock), raw, 0))
	require.Len(t, s, 1)
	return s[0]
}

func TestSliceRewritesOrigin(t *testing.T) {
	b := u(1, 1, 7, 10, byte(0xe4), 3, 4, 5, 6, "abcdef", 0)
	s := structsOf(t, b)[0]
	require.Equal(t, s.Raw, update.AppendSlice(nil, &s, 0, 6))
	require.Equal(t, u(byte(0xe4), 3, 4, 5, 6, "abc"), update.AppendSlice(nil, &s, 0, 3))
	require.Equal(t, u("x", byte(0xe4), 7, 11, 5, 6, "cd"), update.AppendSlice(u("x"), &s, 2, 4), "the right origin stays")

	// Without origins the parent and key are only written for the first part; the flag of the key stays, as in Yjs.
	s = structsOf(t, u(1, 1, 7, 0, byte(0x28), 1, "m", "key", 2, []byte{126, 127}, 0))[0]
	require.Equal(t, u(byte(0x28), 1, "m", "key", 1, []byte{126}), update.AppendSlice(nil, &s, 0, 1))
	require.Equal(t, u(byte(0xa8), 7, 0, 1, []byte{127}), update.AppendSlice(nil, &s, 1, 2))
}

func TestSliceOfSurrogates(t *testing.T) {
	s := structsOf(t, text(1, 0, "a😀😀b"))[0]
	require.Equal(t, uint64(6), s.Len)
	for _, c := range []struct {
		from, to uint64
		want     string
	}{
		{0, 2, "a\ufffd"},
		{2, 3, "\ufffd"},
		{1, 3, "😀"},
		{2, 4, "\ufffd\ufffd"},
		{2, 5, "\ufffd😀"},
		{4, 6, "\ufffdb"},
		{3, 4, "\ufffd"},
		{5, 6, "b"},
	} {
		part := reparse(t, 1, c.from, update.AppendSlice(nil, &s, c.from, c.to))
		require.Equal(t, u(c.want), part.Content, "%+v", c)
		require.Equal(t, c.to-c.from, part.Len)
	}
}

func TestSliceImpossible(t *testing.T) {
	s := structsOf(t, text(1, 0, "abc"))[0]
	for _, c := range [][2]uint64{{0, 0}, {2, 2}, {2, 1}, {0, 4}, {3, 4}, {most, 1}} {
		require.Equal(t, []byte("x"), update.AppendSlice([]byte("x"), &s, c[0], c[1]), "%v", c)
	}
}

// requireParts cuts a struct at two places and holds the units of the parts against those of the whole.
func requireParts(t testing.TB, s *update.Struct, a, b uint64) {
	t.Helper()
	whole := unitValues(t, s)
	var parts []string
	for _, cut := range [][2]uint64{{0, a}, {a, b}, {b, s.Len}} {
		if cut[0] == cut[1] {
			continue
		}
		raw := update.AppendSlice(nil, s, cut[0], cut[1])
		part := reparse(t, s.Client, s.Clock+cut[0], raw)
		require.Equal(t, cut[1]-cut[0], part.Len)
		require.Equal(t, s.Kind, part.Kind)
		if s.IsItem() {
			require.Equal(t, s.Info&^update.HasOrigin, part.Info&^update.HasOrigin)
			require.Equal(t, s.RightOrigin, part.RightOrigin)
			if cut[0] > 0 {
				require.Equal(t, update.ID{Client: s.Client, Clock: s.Clock + cut[0] - 1}, part.Origin)
			} else {
				require.Equal(t, s.Origin, part.Origin)
				require.Equal(t, s.Parent, part.Parent)
				require.Equal(t, s.ParentName, part.ParentName)
				require.Equal(t, s.ParentSub, part.ParentSub)
			}
		}
		parts = append(parts, unitValues(t, &part)...)
	}
	require.Len(t, parts, len(whole))
	for i := range whole {
		if whole[i] != parts[i] {
			require.Equal(t, "65533", parts[i], "only half a pair may differ")
			cut := uint64(i) == a || uint64(i) == b || uint64(i)+1 == a || uint64(i)+1 == b
			require.True(t, cut, "unit %d of %d is at no cut", i, len(whole))
		}
	}
}

func TestSlicePartsCover(t *testing.T) {
	for _, c := range readVectors(t).Updates {
		for _, s := range structsOf(t, c.U) {
			for a := uint64(0); a <= min(s.Len, 20); a++ {
				for b := a; b <= min(s.Len, 20); b++ {
					requireParts(t, &s, a, b)
				}
			}
		}
	}
}
