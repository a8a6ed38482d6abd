package update_test

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/costtest"
	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
)

func TestDecodingDoesNotAllocate(t *testing.T) {
	b := u(1, 4, 70000, 10,
		byte(0x84), 70000, 9, "typed 😀",
		byte(0x88), 70000, 17, 2, []byte{118, 1}, "k", []byte{117, 2, 126, 125, 5, 120},
		byte(0x86), 70000, 19, "link", `{"href":["x"]}`,
		byte(0x89), 70000, 20, "guid", []byte{118, 0},
		1, 9, 2, 0, 1, 4, 2)
	var d update.Decoder
	var s update.Struct
	dst := make([]byte, 0, 512)
	require.NoError(t, update.Validate(b, update.Limits{}))
	require.Zero(t, testing.AllocsPerRun(100, func() {
		d.Reset(b, update.Limits{})
		out := dst
		for {
			ok, err := d.Next(&s)
			if err != nil {
				t.Error(err)
			}
			if !ok {
				break
			}
			out = update.AppendSlice(out, &s, 0, s.Len)
			out = update.AppendSlice(out, &s, 1, s.Len)
		}
		for {
			_, _, _, ok, err := d.NextDelete()
			if err != nil {
				t.Error(err)
			}
			if !ok {
				break
			}
		}
		if !d.Canonical() {
			t.Error("not canonical")
		}
	}))
	require.Zero(t, testing.AllocsPerRun(100, func() { _ = update.Validate(b, update.Limits{}) }))
}

func TestMergingFewDoesNotAllocate(t *testing.T) {
	costtest.Unraced(t)
	updates := append(typed(2847563920, 5, "hello"), u(0, 2, 9, 1, 5, 2, 4, 1, 3, 1))
	sv := u(1, 2847563920, 7)
	dst := make([]byte, 0, 512)
	ids := make([]update.ID, 0, 8)
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		b, err := update.Merge(dst, updates...)
		if err != nil {
			t.Error(err)
		}
		if b, err = update.Diff(b, b, sv); err != nil {
			t.Error(err)
		}
		if _, err = update.StateVector(b, updates[0]); err != nil {
			t.Error(err)
		}
		if _, err = update.ParseStateVector(ids, sv, update.Limits{}); err != nil {
			t.Error(err)
		}
		_ = update.AppendStateVector(b, ids)
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

// hostile are updates that claim or cost as much as they can for their size.
func hostile() map[string][]byte {
	const n = 1 << 20
	huge := lib0.AppendVarUint(nil, lib0.MaxInteger)
	rest := make([]byte, n)
	repeat := func(head []byte, count int, part ...any) []byte {
		b := append(head, lib0.AppendVarUint(nil, uint64(count))...)
		return append(b, bytes.Repeat(u(part...), count)...)
	}
	return map[string][]byte{
		"huge count of sections":   append(huge[:8:8], rest...),
		"huge count of structs":    append(append([]byte{1}, huge...), rest...),
		"huge count of deletes":    append(append([]byte{0, 1, 9}, huge...), rest...),
		"huge string":              append(u(1, 1, 9, 0, 4, 1, "t", lib0.MaxInteger), rest...),
		"huge count of values":     append(u(1, 1, 9, 0, 8, 1, "t", lib0.MaxInteger), rest...),
		"huge lengths":             append(repeat(nil, n/12, 1, 9, 0, 0, lib0.MaxInteger), 0),
		"nested arrays":            append(u(1, 1, 9, 0, 8, 1, "t", 1), bytes.Repeat([]byte{117, 1}, 3_000_000)...),
		"nested huge arrays":       append(u(1, 1, 9, 0, 8, 1, "t", 1), bytes.Repeat([]byte{117, 0xff, 0xff, 0x3f}, n/4)...),
		"nested json":              append(u(1, 1, 9, 0, 5, 1, "t", 3*n), bytes.Repeat([]byte("["), 3*n)...),
		"sections of one struct":   append(repeat(nil, n/5, 1, 9, 0, 0, 1), 0),
		"structs":                  structs(n/2, 0, 1),
		"structs between skips":    structs(n/2, 0, 1, 10, 1),
		"delete ranges":            append([]byte{0, 1, 9}, repeat(nil, n/2, 5, 1)...),
		"delete ranges of clients": append([]byte{0}, repeat(nil, n/4, 9, 1, 5, 1)...),
		"empty delete sections":    append([]byte{0}, repeat(nil, n/2, 9, 0)...),
	}
}

// structs is one section of n structs, which repeat those given.
func structs(n int, part ...byte) []byte {
	b := append(u(1, n, 9, 0), bytes.Repeat(part, 2*n/len(part))...)
	return append(b, 0)
}

func TestMemoryIsBoundedByInput(t *testing.T) {
	sv := lib0.AppendVarUint(nil, 1<<19)
	sv = append(sv, bytes.Repeat([]byte{5, 1}, 1<<19)...)
	for name, b := range hostile() {
		bound := uint64(16*len(b) + 64<<10)
		require.LessOrEqual(t, allocated(func() { _ = update.Validate(b, update.Limits{}) }), uint64(4<<10), "validate %s", name)
		require.LessOrEqual(t, allocated(func() { _, _ = update.Merge(nil, b, update.Empty) }), bound, "merge %s", name)
		require.LessOrEqual(t, allocated(func() { _, _ = update.StateVector(nil, b) }), bound, "state vector %s", name)
		require.LessOrEqual(t, allocated(func() { _, _ = update.Diff(nil, b, sv) }), bound+uint64(16*len(sv)), "diff %s", name)
	}
	require.LessOrEqual(t, allocated(func() { _, _ = update.ParseStateVector(nil, sv, update.Limits{Clients: 1 << 20}) }), uint64(16*len(sv)+64<<10))
}

// TestMemoryOfManySmallUpdates: what counts is all inputs together, however they are divided.
func TestMemoryOfManySmallUpdates(t *testing.T) {
	for name, one := range map[string][]byte{
		"empty":          update.Empty,
		"one struct":     u(1, 1, 9, 0, 0, 1, 0),
		"two runs":       u(1, 3, 9, 0, 0, 1, 10, 1, 0, 1, 0),
		"four runs":      u(1, 7, 9, 0, 0, 1, 10, 1, 0, 1, 10, 1, 0, 1, 10, 1, 0, 1, 0),
		"one delete":     u(0, 1, 9, 1, 5, 1),
		"two deletes":    u(0, 1, 9, 2, 5, 1, 7, 1),
		"eight deletes":  u(0, 1, 9, 8, 1, 1, 3, 1, 5, 1, 7, 1, 9, 1, 11, 1, 13, 1, 15, 1),
		"struct, delete": u(1, 1, 9, 0, 0, 1, 1, 9, 1, 5, 1),
	} {
		updates := make([][]byte, 1<<16)
		for i := range updates {
			updates[i] = one
		}
		size := len(updates) * len(one)
		got := allocated(func() { _, _ = update.Merge(nil, updates...) })
		require.LessOrEqual(t, got, uint64(16*size+64<<10), "%s: %.1f", name, float64(got)/float64(size))
	}
}
