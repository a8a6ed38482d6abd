package ydoc_test

import (
	"fmt"
	"testing"

	"github.com/yserverd/yserverd/internal/costtest"
	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/ydoc"
)

// The scenarios here and in fixtures/yjs/bench.mjs are the same, so that CPU times on one machine can be compared.

// load applies updates one by one to a new document.
func load(tb testing.TB, updates [][]byte) *ydoc.Doc {
	d := ydoc.New(ydoc.Config{})
	for _, u := range updates {
		if _, err := d.Apply(u); err != nil {
			tb.Fatal(err)
		}
	}
	return d
}

// compact compacts a document in place.
func compact(tb testing.TB, d *ydoc.Doc) []byte {
	c, err := d.Freeze().Compact()
	if err != nil {
		tb.Fatal(err)
	}
	if !d.Adopt(c) {
		tb.Fatal("not adopted")
	}
	return c.Update()
}

// mapUpdates are n updates of as many clients as given who set the keys of one map in turn, each knowing of all before.
func mapUpdates(n, clients, keys int) [][]byte {
	type entry struct{ client, clock uint64 }
	last := make(map[int]entry)
	next := make([]uint64, clients)
	x := uint32(1)
	updates := make([][]byte, 0, n)
	for i := range n {
		c := i % clients
		id := uint64(1000 + c)
		x = x*1664525 + 1013904223
		key := int(x>>8) % keys
		u := []byte{1, 1}
		u = lib0.AppendVarUint(u, id)
		u = lib0.AppendVarUint(u, next[c])
		old, known := last[key]
		if known {
			u = append(u, 0xa8)
			u = lib0.AppendVarUint(lib0.AppendVarUint(u, old.client), old.clock)
		} else {
			u = append(u, 0x28, 1)
			u = lib0.AppendVarString(u, "map")
			u = lib0.AppendVarString(u, fmt.Sprintf("key%d", key))
		}
		u = lib0.AppendVarInt(append(u, 1, 125), uint64(i), false)
		if known {
			u = lib0.AppendVarUint(append(u, 1), old.client)
			u = append(lib0.AppendVarUint(append(u, 1), old.clock), 1)
		} else {
			u = append(u, 0)
		}
		last[key] = entry{id, next[c]}
		next[c]++
		updates = append(updates, u)
	}
	return updates
}

// typing is one client that types n characters at the end of a text.
func typing(n int) [][]byte {
	w := newWriter(b4Client)
	updates := make([][]byte, n)
	for i := range updates {
		updates[i] = w.insert(i, string(rune('a'+i%26)))
	}
	return updates
}

// unjoinable is one update of n items that nothing can join: each put before the one before it in an array.
func unjoinable(n int) []byte {
	u := lib0.AppendVarUint([]byte{1}, uint64(n))
	u = append(lib0.AppendVarUint(u, b4Client), 0)
	for i := range n {
		if i == 0 {
			u = lib0.AppendVarString(append(u, 0x08, 1), "array")
		} else {
			u = lib0.AppendVarUint(append(u, 0x48), b4Client)
			u = lib0.AppendVarUint(u, uint64(i-1))
		}
		u = lib0.AppendVarInt(append(u, 1, 125), uint64(i), false)
	}
	return append(u, 0)
}

// randomDeletes are n updates that delete single characters of one text in random order.
func randomDeletes(n int) [][]byte {
	updates := typing(1)
	u := []byte{1, 1}
	u = lib0.AppendVarUint(lib0.AppendVarUint(u, b4Client), 1)
	u = append(lib0.AppendVarUint(append(u, 0x84), b4Client), 0)
	updates = append(updates, append(lib0.AppendVarString(u, string(make([]byte, 2*n))), 0))
	for _, i := range shuffled(n) {
		u := append(lib0.AppendVarUint([]byte{0, 1}, b4Client), 1)
		updates = append(updates, append(lib0.AppendVarUint(u, uint64(2*i)), 1))
	}
	return updates
}

// shuffled returns the numbers below n in an order that bench.mjs makes as well.
func shuffled(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	x := uint32(1)
	for i := n - 1; i > 0; i-- {
		x = x*1664525 + 1013904223
		j := int(x) % (i + 1)
		list[i], list[j] = list[j], list[i]
	}
	return list
}

// reversed is typing that arrives backwards.
func reversed(n int) [][]byte {
	updates := typing(n)
	for i, j := 0, n-1; i < j; i, j = i+1, j-1 {
		updates[i], updates[j] = updates[j], updates[i]
	}
	return updates
}

// manyClients are n clients that type one character each.
func manyClients(n int) [][]byte {
	updates := make([][]byte, n)
	for i := range updates {
		u := lib0.AppendVarUint([]byte{1, 1}, uint64(1+i*7919%n))
		u = lib0.AppendVarString(append(u, 0, 4, 1), "text")
		updates[i] = append(lib0.AppendVarString(u, "x"), 0)
	}
	return updates
}

func BenchmarkApply(b *testing.B) {
	trace, _ := b4()
	for _, s := range []struct {
		name    string
		updates [][]byte
	}{
		{"b4", trace},
		{"map/updates=100000/clients=50", mapUpdates(100_000, 50, 1000)},
		{"typing/chars=100000", typing(100_000)},
		{"load/items=1000000", [][]byte{unjoinable(1_000_000)}},
		{"deletes=100000", randomDeletes(100_000)},
		{"deletes=200000", randomDeletes(200_000)},
		{"reversed=100000", reversed(100_000)},
		{"reversed=200000", reversed(200_000)},
		{"clients=50000", manyClients(50_000)},
		{"clients=100000", manyClients(100_000)},
	} {
		b.Run(s.name, func(b *testing.B) {
			b.ReportAllocs()
			start := costtest.CPU()
			for b.Loop() {
				load(b, s.updates)
			}
			each := float64(costtest.CPU()-start) / float64(b.N)
			b.ReportMetric(each/1e6, "cpu-ms/op")
			b.ReportMetric(each/float64(len(s.updates)), "cpu-ns/update")
		})
	}
}

// BenchmarkApplyCompacting is the B4 trace with 51 compactions on the way.
func BenchmarkApplyCompacting(b *testing.B) {
	updates, _ := b4()
	b.ReportAllocs()
	start := costtest.CPU()
	defer func() { b.ReportMetric(float64(costtest.CPU()-start)/float64(b.N)/1e6, "cpu-ms/op") }()
	for b.Loop() {
		d := ydoc.New(ydoc.Config{})
		for i, u := range updates {
			if _, err := d.Apply(u); err != nil {
				b.Fatal(err)
			}
			if i%5000 == 4999 {
				compact(b, d)
			}
		}
	}
}

func BenchmarkState(b *testing.B) {
	trace, _ := b4()
	for _, s := range scenarios(trace) {
		b.Run(s.name, func(b *testing.B) {
			d := load(b, s.updates)
			u := []byte{0, 0}
			b.ReportAllocs()
			b.SetBytes(int64(len(d.State())))
			for i := uint64(0); b.Loop(); i++ {
				// A client of its own with one more character, so that nothing is cached.
				u = lib0.AppendVarUint(append(u[:0], 1, 1, 5), i)
				u = append(u, 0x04, 1, 1, 'e', 1, 'x', 0)
				if _, err := d.Apply(u); err != nil {
					b.Fatal(err)
				}
				d.State()
			}
		})
	}
}

func scenarios(trace [][]byte) []struct {
	name    string
	updates [][]byte
} {
	return []struct {
		name    string
		updates [][]byte
	}{
		{"b4", trace},
		{"map", mapUpdates(100_000, 50, 1000)},
		{"typing", typing(100_000)},
		{"load", [][]byte{unjoinable(1_000_000)}},
	}
}

func BenchmarkDiffFromHalf(b *testing.B) {
	trace, _ := b4()
	for _, s := range scenarios(trace)[:3] {
		b.Run(s.name, func(b *testing.B) {
			sv := load(b, s.updates[:len(s.updates)/2]).StateVector()
			d := load(b, s.updates)
			var diff []byte
			var err error
			b.ReportAllocs()
			for b.Loop() {
				if diff, err = d.AppendDiff(diff[:0], sv); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(len(diff)))
		})
	}
}

func BenchmarkCompact(b *testing.B) {
	trace, _ := b4()
	for _, s := range scenarios(trace) {
		b.Run(s.name, func(b *testing.B) {
			d := load(b, s.updates)
			size := 0
			b.ReportAllocs()
			start := costtest.CPU()
			for b.Loop() {
				c, err := d.Freeze().Compact()
				if err != nil {
					b.Fatal(err)
				}
				size = len(c.Update())
			}
			b.ReportMetric(float64(costtest.CPU()-start)/float64(b.N)/1e6, "cpu-ms/op")
			b.ReportMetric(float64(size), "compacted-bytes")
			b.ReportMetric(float64(len(d.State())), "bytes")
		})
	}
}
