package lib0_test

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/lib0"
)

func TestReadingDoesNotAllocate(t *testing.T) {
	b := lib0.AppendVarUint(nil, 1<<40)
	b = lib0.AppendVarInt(b, 1<<30, true)
	b = lib0.AppendVarString(b, "text 😀")
	b, _ = lib0.AppendAny(b, lib0.Object{{Key: "a", Value: []any{1, "x", nil, 2.5}}})
	text := []byte(`{"a":[1,{"b":"\u00e9"}]}`)
	b = lib0.AppendVarBytes(b, text)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		r := lib0.NewReader(b)
		_, e1 := r.VarUint()
		_, _, e2 := r.VarInt()
		s, _, e3 := r.VarStringUnits()
		e4 := r.SkipAny(4)
		js, e5 := r.VarString()
		e6 := lib0.CheckJSON(js, 8)
		if e1 != nil || e2 != nil || e3 != nil || e4 != nil || e5 != nil || e6 != nil || len(s) != 9 {
			t.Error("did not read what was written")
		}
	}))
	dst := make([]byte, 0, 256)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		d := lib0.AppendVarUint(dst, 1<<50)
		d = lib0.AppendVarInt(d, 7, false)
		d = lib0.AppendVarBytes(d, text)
		_ = lib0.AppendVarString(d, "s")
	}))
}

// allocated returns how many bytes f allocates, whether or not they are still in use.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestMemoryIsBoundedByInput(t *testing.T) {
	const n = 1 << 20
	repeat := func(unit string) []byte { return bytes.Repeat([]byte(unit), n/len(unit)) }
	array := func(unit string) []byte {
		return append(lib0.AppendVarUint([]byte{117}, uint64(n/len(unit))), repeat(unit)...)
	}
	chain := append(bytes.Repeat([]byte{117, 1}, 500), 127)
	for name, b := range map[string][]byte{
		"null":           array("\x7e"),
		"empty arrays":   array("\x75\x00"),
		"empty objects":  array("\x76\x00"),
		"single arrays":  array("\x75\x01\x7f"),
		"single objects": array("\x76\x01\x00\x7f"),
		"integers":       array("\x7d\x05"),
		"short strings":  array("\x77\x01a"),
		"short bytes":    array("\x74\x01a"),
		"chains":         array(string(chain)),
		"huge counts":    repeat("\x75\xff\xff\x01"),
		"members":        append(lib0.AppendVarUint([]byte{118}, n/3), repeat("\x01a\x7f")...),
	} {
		got := allocated(func() {
			r := lib0.NewReader(b)
			require.NotPanics(t, func() { _ = r.SkipAny(512) })
		})
		require.LessOrEqual(t, got, uint64(16<<10), "skip %s", name)
		got = allocated(func() {
			r := lib0.NewReader(b)
			_, _ = r.Any(512)
		})
		require.LessOrEqual(t, got, uint64(24*len(b)+64<<10), "%s", name)
	}
	deep := bytes.Repeat([]byte("["), 3*n)
	require.LessOrEqual(t, allocated(func() { _ = lib0.CheckJSON(deep, lib0.MaxDepth) }), uint64(64<<10))
}
