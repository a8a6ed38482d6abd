package lib0_test

import (
	"encoding/json"
	"math"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/lib0"
)

// FuzzReader reads every kind of value at the start of the input, and writes again what it got.
func FuzzReader(f *testing.F) {
	f.Add([]byte{0xac, 0x02})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add([]byte{0xc0, 0x80, 0x00})
	f.Add([]byte("\x07a\xf0\x9f\x98\x80bc"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := lib0.NewReader(b)
		if n, err := r.VarUint(); err == nil {
			require.LessOrEqual(t, n, uint64(lib0.MaxInteger))
			again := lib0.NewReader(lib0.AppendVarUint(nil, n))
			m, err := again.VarUint()
			require.NoError(t, err)
			require.Equal(t, n, m)
			require.LessOrEqual(t, lib0.VarUintLen(n), r.Pos())
		}
		r = lib0.NewReader(b)
		if n, negative, err := r.VarInt(); err == nil {
			again := lib0.NewReader(lib0.AppendVarInt(nil, n, negative))
			m, sign, err := again.VarInt()
			require.NoError(t, err)
			require.Equal(t, n, m)
			require.Equal(t, negative, sign)
		}
		plain := lib0.NewReader(b)
		s, err := plain.VarString()
		r = lib0.NewReader(b)
		u, units, unitsErr := r.VarStringUnits()
		require.Equal(t, err, unitsErr)
		if err != nil {
			return
		}
		require.Equal(t, s, u)
		require.True(t, utf8.Valid(s))
		require.Len(t, utf16.Encode([]rune(string(s))), int(units))
	})
}

// FuzzUTF16Offset holds the search for an offset against a walk over the runes.
func FuzzUTF16Offset(f *testing.F) {
	f.Add("a😀é日b", uint64(2))
	f.Add("1234567😀1234567😀", uint64(8))
	f.Fuzz(func(t *testing.T, s string, index uint64) {
		if !utf8.ValidString(s) {
			return
		}
		index %= uint64(len(s) + 2)
		offset, split := lib0.UTF16Offset([]byte(s), index)
		want, left, cut := len(s), index, false
		for at, c := range s {
			units := uint64(utf16.RuneLen(c))
			if left < units {
				want, cut = at, left > 0
				break
			}
			left -= units
		}
		require.Equal(t, want, offset)
		require.Equal(t, cut, split)
	})
}

// FuzzAny holds skipping, reading and writing any values against each other.
func FuzzAny(f *testing.F) {
	for _, v := range []any{nil, lib0.Undefined{}, true, 1, math.Copysign(0, -1), 0.5, 0.1, int64(7), "x😀", []byte{1}, []any{1, []any{}}, lib0.Object{{Key: "k", Value: nil}}} {
		b, _ := lib0.AppendAny(nil, v)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		skip := lib0.NewReader(b)
		skipErr := skip.SkipAny(64)
		r := lib0.NewReader(b)
		v, err := r.Any(64)
		require.Equal(t, skipErr, err)
		if err != nil {
			return
		}
		require.Equal(t, skip.Pos(), r.Pos())
		enc, err := lib0.AppendAny(nil, v)
		require.NoError(t, err)
		again := lib0.NewReader(enc)
		w, err := again.Any(64)
		require.NoError(t, err)
		require.Zero(t, again.Len())
		require.Equal(t, show(v), show(w))
	})
}

// FuzzJSON holds the check against encoding/json, which accepts the same texts when they are valid UTF-8.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5e-3,"\ud800"],"b":{}}`, ` [ ] `, `-0`, "\ufeff1", `"\u12"`, `[1,]`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) {
			return
		}
		err := lib0.CheckJSON([]byte(s), lib0.MaxDepth)
		require.Equal(t, json.Valid([]byte(s)), err == nil, "%q: %v", s, err)
	})
}
