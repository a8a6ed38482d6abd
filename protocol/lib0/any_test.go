package lib0_test

import (
	"bytes"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/lib0"
)

func nestedArrays(depth int) []byte {
	return append(bytes.Repeat([]byte{117, 1}, depth), 126)
}

func TestAnyDepth(t *testing.T) {
	for _, c := range []struct {
		b     []byte
		limit int
		err   error
	}{
		{nestedArrays(0), 0, nil},
		{nestedArrays(1), 0, kind(lib0.ErrDepth)},
		{nestedArrays(512), 512, nil},
		{nestedArrays(513), 512, kind(lib0.ErrDepth)},
		{nestedArrays(3_000_000), 512, kind(lib0.ErrDepth)},
		{nestedArrays(3_000_000), math.MaxInt, kind(lib0.ErrDepth)},
		{nestedArrays(lib0.MaxDepth), math.MaxInt, nil},
		{bytes.Repeat([]byte{118, 1, 0}, 600), 512, kind(lib0.ErrDepth)},
	} {
		r := lib0.NewReader(c.b)
		require.ErrorIs(t, r.SkipAny(c.limit), c.err)
		r = lib0.NewReader(c.b)
		_, err := r.Any(c.limit)
		require.ErrorIs(t, err, c.err)
	}
}

func TestAnyTags(t *testing.T) {
	for tag := range 256 {
		b := append([]byte{byte(tag)}, make([]byte, 8)...)
		r := lib0.NewReader(b)
		err := r.SkipAny(1)
		if tag >= 116 && tag <= 127 {
			require.NoError(t, err, tag)
		} else {
			require.ErrorIs(t, err, kind(lib0.ErrTag), tag)
		}
	}
	r := lib0.NewReader(nil)
	require.ErrorIs(t, r.SkipAny(1), kind(lib0.ErrEnd))
}

func TestAnyRepeatedKeys(t *testing.T) {
	var want lib0.Object
	b := lib0.AppendVarUint([]byte{118}, 60)
	for i := range 60 {
		key := string(rune('a' + i%20))
		b, _ = lib0.AppendAny(lib0.AppendVarString(b, key), i)
		if i >= 40 {
			want = append(want, lib0.Member{Key: key, Value: float64(i)})
		}
	}
	r := lib0.NewReader(b)
	v, err := r.Any(1)
	require.NoError(t, err)
	require.Equal(t, want, v)
}

func TestAppendAnyOfGoValues(t *testing.T) {
	m := map[string]any{"b": 1, "a": float32(0.5)}
	b, err := lib0.AppendAny(nil, m)
	require.NoError(t, err)
	r := lib0.NewReader(b)
	v, err := r.Any(1)
	require.NoError(t, err)
	require.Equal(t, lib0.Object{{Key: "a", Value: 0.5}, {Key: "b", Value: 1.0}}, v)

	dst := []byte("kept")
	for _, bad := range []any{struct{}{}, []any{1, []any{make(chan int)}}, lib0.Object{{Value: uint8(1)}}} {
		b, err = lib0.AppendAny(dst, bad)
		require.ErrorIs(t, err, kind(lib0.ErrType))
		require.Equal(t, "kept", string(b))
	}
	deep := any("x")
	for range lib0.MaxDepth + 1 {
		deep = []any{deep}
	}
	_, err = lib0.AppendAny(nil, deep)
	require.ErrorIs(t, err, kind(lib0.ErrDepth))
}

func TestCheckJSONDepth(t *testing.T) {
	text := func(open, inner, close string, n int) []byte {
		return []byte(string(bytes.Repeat([]byte(open), n)) + inner + string(bytes.Repeat([]byte(close), n)))
	}
	for _, pair := range [][3]string{{"[", "1", "]"}, {`{"a":`, "[]", "}"}, {"[", "", "]"}} {
		depth := 512
		if pair[1] == "[]" {
			depth-- // the innermost one counts
		}
		require.NoError(t, lib0.CheckJSON(text(pair[0], pair[1], pair[2], depth), 512))
		require.ErrorIs(t, lib0.CheckJSON(text(pair[0], pair[1], pair[2], depth+1), 512), kind(lib0.ErrDepth))
		require.NoError(t, lib0.CheckJSON(text(pair[0], pair[1], pair[2], 3000), 3001))
	}
	require.ErrorIs(t, lib0.CheckJSON(bytes.Repeat([]byte("["), 3_000_000), 512), kind(lib0.ErrDepth))
	// Brackets of the wrong kind far down, where the levels spill out of the scanner.
	mixed := append(bytes.Repeat([]byte("["), 700), '}')
	require.ErrorIs(t, lib0.CheckJSON(mixed, 1000), kind(lib0.ErrJSON))
}

func TestCheckJSONStrings(t *testing.T) {
	for c := range 128 {
		raw := []byte{'"', byte(c), '"'}
		escaped := []byte{'"', '\\', byte(c), '"'}
		require.Equal(t, c >= 0x20 && c != '"' && c != '\\', lib0.CheckJSON(raw, 1) == nil, "%q", raw)
		require.Equal(t, bytes.ContainsRune([]byte(`"\/bfnrt`), rune(c)), lib0.CheckJSON(escaped, 1) == nil, "%q", escaped)
		hex := []byte{'"', '\\', 'u', '0', '0', '0', byte(c), '"'}
		require.Equal(t, bytes.ContainsRune([]byte("0123456789abcdefABCDEF"), rune(c)), lib0.CheckJSON(hex, 1) == nil, "%q", hex)
	}
}
