package object_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/yserverd/yserverd/persist/object"
)

// state looks like a document: text between short bits of structure.
func state(n int) []byte {
	var b bytes.Buffer
	random := noise(n/16 + 128)
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%c%cline %d of the text, %x", random[2*(i%64)], i, i, random[i%len(random)])
	}
	return b.Bytes()[:n]
}

func BenchmarkEncode(b *testing.B) {
	for _, n := range []int{1 << 10, 100 << 10, 8 << 20} {
		b.Run(fmt.Sprintf("bytes=%d", n), func(b *testing.B) {
			data := state(n)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			stored := 0
			for b.Loop() {
				s, _ := object.Encode(data)
				stored = len(s)
			}
			b.ReportMetric(float64(stored)/float64(n), "stored/byte")
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, n := range []int{1 << 10, 100 << 10, 8 << 20} {
		b.Run(fmt.Sprintf("bytes=%d", n), func(b *testing.B) {
			stored, sum := object.Encode(state(n))
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := object.Decode(stored, sum, most); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
