package protocol_test

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol"
	"github.com/yserverd/yserverd/protocol/lib0"
)

func TestFramesDoNotAllocate(t *testing.T) {
	update := []byte("\x01\x01\x05\x00\x04\x01\x01t\x02hi\x00")
	dst := make([]byte, 0, 256)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		d := protocol.AppendUpdate(dst, update)
		m, err := protocol.Parse(d)
		if err != nil || len(m.Payload) != len(update) {
			t.Error("did not read what was written")
		}
		d = protocol.AppendSyncStep1(d, update)
		d = protocol.AppendSyncStep2(d, update)
		d = protocol.AppendAwareness(d, update)
		d = protocol.AppendSyncStatus(d, update)
		d = protocol.AppendPermissionDenied(d, "read only")
		_ = protocol.AppendCustom(d, update)
	}))
}

func TestAwarenessDoesNotAllocate(t *testing.T) {
	a := protocol.NewAwareness(protocol.AwarenessConfig{})
	u := rawUpdate(entryOf(1, 0, `{"user":{"name":"Ada"}}`), entryOf(2, 0, "{}"))
	entries := make([]protocol.AwarenessEntry, 0, 8)
	dst := make([]byte, 0, 256)
	clock := uint64(0)
	renew := func() {
		var err error
		if entries, err = protocol.ParseAwareness(entries[:0], u, protocol.AwarenessLimits{}); err != nil {
			t.Error(err)
		}
		clock++
		for _, e := range entries {
			e.Clock = clock
			a.Apply(e, start)
		}
		dst = protocol.AppendAwarenessUpdate(dst[:0], entries)
	}
	renew()
	require.Zero(t, testing.AllocsPerRun(100, renew))
}

func TestMemoryIsBoundedByInput(t *testing.T) {
	const n = 1 << 20
	entry := []byte("\x01\x01\x010")
	count := func(c uint64) []byte { return lib0.AppendVarUint(nil, c) }
	wide := protocol.AwarenessLimits{Entries: n, State: 4 * n}
	for name, u := range map[string][]byte{
		"small entries":      append(count(n/4), bytes.Repeat(entry, n/4)...),
		"the last one wrong": append(count(n/4), append(bytes.Repeat(entry, n/4-1), "\x01\x01\x01x"...)...),
		"huge count":         append(count(lib0.MaxInteger), make([]byte, n)...),
		"huge state":         append([]byte("\x01\x01\x01"), count(lib0.MaxInteger)...),
		"nested":             append(append([]byte("\x01\x01\x01"), count(3*n)...), bytes.Repeat([]byte("["), 3*n)...),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _ = protocol.ParseAwareness(nil, u, wide)
		runtime.ReadMemStats(&after)
		require.LessOrEqual(t, after.TotalAlloc-before.TotalAlloc, uint64(16*len(u)+64<<10), name)
	}
}
