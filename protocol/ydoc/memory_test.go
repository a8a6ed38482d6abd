package ydoc_test

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/protocol/ydoc"
)

// heap returns the bytes that are in use after everything else was collected, and all that were ever allocated.
func heap() (live, total int64) {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc), int64(m.TotalAlloc)
}

// unraced skips a test of memory or time under the race detector.
func unraced(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector would be measured as well")
	}
}

// TestB4AllocatesLittle: a document in use costs at most twice its compacted encoding, before and after its first compaction.
func TestB4AllocatesLittle(t *testing.T) {
	unraced(t)
	updates, _ := b4()
	before, _ := heap()
	d := load(t, updates)
	live, _ := heap()
	size := int64(len(compact(t, d)))
	t.Logf("%d bytes compacted, %d in use before", size, live-before)
	require.LessOrEqual(t, live-before, 2*size)
	_, err := d.Apply(one(5, 0, gc(1))) // so that no state is cached
	require.NoError(t, err)
	live, _ = heap()
	t.Logf("%d in use after", live-before)
	require.LessOrEqual(t, live-before, 2*size)
	runtime.KeepAlive(d)
	runtime.KeepAlive(updates)
}

// TestApplyDoesNotAllocate: memory grows now and then, not with every update.
func TestApplyDoesNotAllocate(t *testing.T) {
	unraced(t)
	trace, _ := b4()
	for name, updates := range map[string][][]byte{
		"b4": trace, "map": mapUpdates(50_000, 50, 1000), "typing": typing(50_000), "deletes": randomDeletes(50_000),
	} {
		n := testing.AllocsPerRun(1, func() { load(t, updates) })
		require.Less(t, n/float64(len(updates)), 0.05, name)
	}
}

// hostile are updates that ask for as much as they can with as few bytes, of about size bytes each.
func hostile(size int) map[string][]byte {
	many := func(n int, f func(i int) []byte) [][]byte {
		list := make([][]byte, n)
		for i := range list {
			list[i] = f(i)
		}
		return list
	}
	ranges := func(n int, client uint64) (dels []del) {
		for i := range n {
			dels = append(dels, del{client, uint64(3 * i), 1})
		}
		return dels
	}
	gaps := many(size/4, func(i int) []byte {
		if i%2 == 0 {
			return gc(1)
		}
		return skip(1)
	})
	var clients, waiting []section
	var waitingDeletes []del
	for i := size / 9; i > 0; i-- {
		clients = append(clients, sec(uint64(i), 0, gc(1)))
		waiting = append(waiting, sec(uint64(i), 1, gc(1)))
		waitingDeletes = append(waitingDeletes, del{uint64(i), 0, 1})
	}
	return map[string][]byte{
		"short structs": one(1, 0, many(size/3, func(i int) []byte {
			if i%2 == 0 {
				return gc(1)
			}
			return deleted(at{left: id(9, 9)}, 1)
		})...),
		"circles": build([]section{
			sec(2, 0, many(size/10, func(i int) []byte { return deleted(at{left: id(1, uint64(i))}, 1) })...),
			sec(1, 0, many(size/10, func(i int) []byte { return deleted(at{left: id(2, uint64(i))}, 1) })...),
		}),
		"keys": one(1, 0, many(size/10, func(i int) []byte {
			return anys(at{root: "m", key: string(lib0.AppendVarUint(nil, uint64(i%100))) + string(rune('a'+i/100%26))}, 1)
		})...),
		"lists":           one(1, 0, many(size/8, func(i int) []byte { return array(at{parent: id(9, uint64(i))}) })...),
		"deletes":         build([]section{sec(1, 0, gc(1<<50))}, ranges(size/4, 1)...),
		"parked":          one(1, 1, gaps...),
		"parked deletes":  deletes(ranges(size/4, 1)...),
		"empty values":    one(1, 0, item(update.Any, at{root: "r"}, append(lib0.AppendVarUint(nil, uint64(size)), make([]byte, 0)...)...)),
		"clients":         build(clients),
		"parked clients":  build(waiting),
		"deletes clients": deletes(waitingDeletes...),
	}
}

// TestHostileUpdatesAllocateLittle: whatever an update says, holding it costs at most 32 times its bytes, and so does its compaction. A
// client costs some hundred bytes, which is what Config.MaxClients is for. What is allocated on the way and given up at
// once may be three times that.
func TestHostileUpdatesAllocateLittle(t *testing.T) {
	unraced(t)
	for name, u := range hostile(200_000) {
		t.Run(name, func(t *testing.T) {
			limit := int64(32*len(u)) + 64<<10
			switch name {
			case "clients", "parked clients", "deletes clients":
				limit = int64(len(u)/6) * 300
			}
			live, total := heap()
			used := func(what string) {
				l, all := heap()
				per := float64(len(u))
				t.Logf("%s: %d bytes, %.1f times as many held, %.1f allocated", what, len(u), float64(l-live)/per, float64(all-total)/per)
				require.LessOrEqual(t, l-live, limit)
				require.LessOrEqual(t, all-total, 3*limit)
				live, total = heap()
			}
			d := ydoc.New(ydoc.Config{MaxPending: 1 << 30})
			a, err := d.Apply(u)
			used("applied")
			runtime.KeepAlive(a)
			if name == "empty values" {
				require.ErrorIs(t, err, ydoc.ErrMalformed)
				return
			}
			require.NoError(t, err)
			compact(t, d)
			used("compacted")
			require.NoError(t, d.Check())
		})
	}
}
