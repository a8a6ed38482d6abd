package lib0_test

import (
	"strings"
	"testing"

	"github.com/yserverd/yserverd/protocol/lib0"
)

func BenchmarkVarUint(b *testing.B) {
	for name, n := range map[string]uint64{"bytes=1": 5, "bytes=3": 100_000, "bytes=5": 2_847_563_920, "bytes=8": lib0.MaxInteger} {
		b.Run(name, func(b *testing.B) {
			var buf []byte
			for range 1000 {
				buf = lib0.AppendVarUint(buf, n)
			}
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			for b.Loop() {
				r := lib0.NewReader(buf)
				for r.Len() > 0 {
					if _, err := r.VarUint(); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

func BenchmarkString(b *testing.B) {
	for name, s := range map[string]string{
		"ascii=1": "a", "ascii=10k": strings.Repeat("lorem ipsum ", 833), "latin=10k": strings.Repeat("größer ", 1111), "emoji=10k": strings.Repeat("😀", 2500),
	} {
		b.Run(name, func(b *testing.B) {
			buf := lib0.AppendVarString(nil, s)
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			for b.Loop() {
				r := lib0.NewReader(buf)
				if _, _, err := r.VarStringUnits(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCheckJSON(b *testing.B) {
	for name, text := range map[string]string{
		"true": "true", "object": `{"href":"https://example.org","title":"x"}`,
		"large": "[" + strings.Repeat(`{"id":12345,"name":"someone","tags":["a","b"],"ok":true},`, 500) + "null]",
	} {
		b.Run(name, func(b *testing.B) {
			data := []byte(text)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if err := lib0.CheckJSON(data, 512); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSkipAny(b *testing.B) {
	values := make([]any, 1000)
	for i := range values {
		values[i] = lib0.Object{{Key: "id", Value: i}, {Key: "text", Value: "some words"}, {Key: "at", Value: 0.5}}
	}
	buf, err := lib0.AppendAny(nil, values)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		r := lib0.NewReader(buf)
		if err := r.SkipAny(8); err != nil {
			b.Fatal(err)
		}
	}
}
