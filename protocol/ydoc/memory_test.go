package ydoc_test

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/costtest"
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

// TestB4AllocatesLittle: a document in use costs at most twice its compacted encoding, before and after its first compaction.
func TestB4AllocatesLittle(t *testing.T) {
	costtest.Unraced(t)
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
	costtest.Unraced(t)
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

// TestHostileUpdatesAllocateLittle: whatever updates say, holding them costs at most 32 times their bytes, with all that
// a document caches, before and after its compaction. What is allocated on the way and given up at once may be three times
// that.
func TestHostileUpdatesAllocateLittle(t *testing.T) {
	costtest.Unraced(t)
	shapes := map[string][][]byte{}
	for name, u := range hostile(200_000) {
		shapes[name] = [][]byte{u}
	}
	for name, updates := range hostileClients() {
		shapes[name] = updates
	}
	for name, updates := range shapes {
		t.Run(name, func(t *testing.T) {
			size := 0
			for _, u := range updates {
				size += len(u)
			}
			limit := int64(32*size) + 64<<10
			before, total := heap()
			used := func(what string) {
				live, all := heap()
				per := float64(size)
				t.Logf("%s: %d bytes, %.1f times as many held, %.1f allocated", what, size, float64(live-before)/per, float64(all-total)/per)
				require.LessOrEqual(t, live-before, limit)
				require.LessOrEqual(t, all-total, 3*limit)
				total = all
			}
			d := ydoc.New(ydoc.Config{MaxPending: 1 << 30})
			var a ydoc.Applied
			for _, u := range updates {
				var err error
				a, err = d.Apply(u)
				if name == "empty values" {
					require.ErrorIs(t, err, ydoc.ErrMalformed)
					return
				}
				require.NoError(t, err)
			}
			used("applied")
			d.StateVector()
			d.Full()
			used("encoded")
			compact(t, d)
			used("compacted")
			runtime.KeepAlive(a)
			runtime.KeepAlive(updates)
			require.NoError(t, d.Check())
		})
	}
}

// hostileClients are updates of as many clients as a document may have, of one struct each, in as few bytes as that takes:
// all at once and one by one, with the least ids and with the greatest.
func hostileClients() map[string][][]byte {
	shapes := map[string][][]byte{}
	for _, ids := range []struct {
		name  string
		first uint64
		n     int
	}{
		{"least clients", 0, 1<<14 - 1},
		{"most clients", 0, 1 << 17},
		{"wide clients", 1<<53 - 1<<17, 1 << 17},
	} {
		var together, each, dead []section
		var dels []del
		var apart [][]byte
		other := update.ID{Client: 1 << 52, Clock: 9}
		for i := range ids.n {
			id := ids.first + uint64(ids.n-1-i)
			together = append(together, sec(id, 0, gc(1)))
			each = append(each, sec(id, 0, text(at{}, "x")))
			apart = append(apart, one(id, 0, gc(1)))
			dead = append(dead, sec(id, 0, deleted(at{left: &other}, 2)))
			dels = append(dels, del{id, 0, 1})
		}
		shapes[ids.name+", together"] = [][]byte{build(together)}
		shapes[ids.name+", apart"] = apart
		shapes[ids.name+", text"] = [][]byte{build(each)}
		shapes[ids.name+", deleted"] = [][]byte{build(dead, dels...)}
	}
	return shapes
}

// TestClientSize: a size class of the allocator is filled and not passed.
func TestClientSize(t *testing.T) { require.LessOrEqual(t, int(ydoc.ClientSize), 128) }
