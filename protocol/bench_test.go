package protocol_test

import (
	"fmt"
	"testing"

	"github.com/yserverd/yserverd/protocol"
)

func BenchmarkParse(b *testing.B) {
	frame := protocol.AppendUpdate(nil, make([]byte, 27))
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := protocol.Parse(frame); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendUpdate(b *testing.B) {
	update := make([]byte, 27)
	dst := make([]byte, 0, 64)
	b.SetBytes(int64(len(update)))
	b.ReportAllocs()
	for b.Loop() {
		dst = protocol.AppendUpdate(dst[:0], update)
	}
}

const cursor = `{"user":{"name":"Ada Lovelace","color":"#30bced"},"cursor":{"anchor":{"type":null,"tname":"t","item":{"client":2847563920,"clock":120}},"head":null}}`

func BenchmarkParseAwareness(b *testing.B) {
	u := rawUpdate(entryOf(2847563920, 12, cursor))
	entries := make([]protocol.AwarenessEntry, 0, 4)
	b.SetBytes(int64(len(u)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := protocol.ParseAwareness(entries, u, protocol.AwarenessLimits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAwarenessApply(b *testing.B) {
	a := protocol.NewAwareness(protocol.AwarenessConfig{})
	e := entryOf(2847563920, 0, cursor)
	b.SetBytes(int64(len(cursor)))
	b.ReportAllocs()
	for b.Loop() {
		e.Clock++
		a.Apply(e, start)
	}
}

func BenchmarkAwarenessAppendAll(b *testing.B) {
	for _, peers := range []int{10, 1000} {
		b.Run(fmt.Sprintf("peers=%d", peers), func(b *testing.B) {
			a := protocol.NewAwareness(protocol.AwarenessConfig{})
			for i := range peers {
				a.Apply(entryOf(uint64(i*7919), 1, cursor), start)
			}
			var dst []byte
			b.SetBytes(int64(len(a.AppendAll(nil))))
			b.ReportAllocs()
			for b.Loop() {
				dst = a.AppendAll(dst[:0])
			}
		})
	}
}
