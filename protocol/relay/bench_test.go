package relay_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/yserverd/yserverd/protocol/relay"
)

func benchFrames() map[string][]byte {
	return map[string][]byte{
		"move":    []byte(`{"type":"move","x":812.25,"y":377.5,"id":"a81bc81b-dead-4e5d-abff-90865d1e13b1"}`),
		"forged":  []byte(`{"type":"move","from":"c9","userId":"root","offset":7,"x":812.25,"y":377.5}`),
		"chat":    []byte(`{"type":"chat","text":"` + strings.Repeat("some words, ", 80) + `"}`),
		"members": object(100, func(i int) string { return fmt.Sprintf(`"key%d":{"a":%d,"b":[1,2,3]}`, i, i) }),
	}
}

func BenchmarkParse(b *testing.B) {
	for name, text := range benchFrames() {
		b.Run(fmt.Sprintf("%s=%d", name, len(text)), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, err := relay.Parse(text, relay.Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendRelay(b *testing.B) {
	stamp := relay.Stamp{From: "a81bc81b-dead-4e5d-abff-90865d1e13b1", UserID: "ada", Offset: 1 << 30, HasOffset: true}
	for name, text := range benchFrames() {
		f, err := relay.Parse(text, relay.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("%s=%d", name, len(text)), func(b *testing.B) {
			dst := make([]byte, 0, len(text)+200)
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				f.AppendRelay(dst, stamp)
			}
		})
	}
}

func BenchmarkMergePatch(b *testing.B) {
	for _, keys := range []int{10, 1_000, 5_000, 100_000} {
		state := object(keys, func(i int) string { return fmt.Sprintf(`"key%d":{"x":%d,"y":"some text"}`, i, i) })
		one := []byte(`{"key7":{"x":-1}}`)
		for name, patch := range map[string][]byte{"one": one, "all": state} {
			b.Run(fmt.Sprintf("keys=%d/state=%d/patch=%s", keys, len(state), name), func(b *testing.B) {
				dst := make([]byte, 0, len(state)+len(patch))
				b.ReportAllocs()
				b.SetBytes(int64(len(state) + len(patch)))
				for b.Loop() {
					if _, err := relay.MergePatch(dst, state, patch, 1<<30, 0); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
