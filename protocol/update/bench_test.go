package update_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/yserverd/yserverd/protocol/update"
)

// keystrokes is what one client sends while it writes a text: an update for each key. Mostly it types on, now and then it
// deletes what it wrote or goes elsewhere.
func keystrokes(n int) (updates [][]byte) {
	const client = 2_847_563_920
	r := rand.New(rand.NewPCG(7, 7))
	clock, left, right := 1, 0, -1
	updates = append(updates, u(1, 1, client, 0, 4, 1, "t", "a", 0))
	for len(updates) < n {
		switch r.IntN(12) {
		case 0:
			updates = append(updates, u(0, 1, client, 1, r.IntN(clock), 1))
			continue
		case 1:
			left, right = r.IntN(clock), r.IntN(clock)
		}
		if right < 0 {
			updates = append(updates, u(1, 1, client, clock, byte(0x84), client, left, "x", 0))
		} else {
			updates = append(updates, u(1, 1, client, clock, byte(0xc4), client, left, client, right, "x", 0))
		}
		left = clock
		clock++
	}
	return updates
}

func sizeOf(updates [][]byte) (n int64) {
	for _, b := range updates {
		n += int64(len(b))
	}
	return n
}

func BenchmarkValidate(b *testing.B) {
	state, err := update.Merge(nil, keystrokes(100_000)...)
	if err != nil {
		b.Fatal(err)
	}
	long, err := update.Merge(nil, typed(5, 0, string(make([]byte, 100_000)))...)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		list [][]byte
	}{{"keystrokes=10000", keystrokes(10_000)}, {"state=100000", [][]byte{state}}, {"text=100000", [][]byte{long}}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(sizeOf(c.list))
			b.ReportAllocs()
			for b.Loop() {
				for _, one := range c.list {
					if err := update.Validate(one, update.Limits{}); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

func BenchmarkMerge(b *testing.B) {
	for _, n := range []int{2, 16, 1000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("updates=%d", n), func(b *testing.B) {
			list := keystrokes(n)
			dst := make([]byte, 0, sizeOf(list))
			b.SetBytes(sizeOf(list))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := update.Merge(dst, list...); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDiff(b *testing.B) {
	state, err := update.Merge(nil, keystrokes(100_000)...)
	if err != nil {
		b.Fatal(err)
	}
	sv, err := update.StateVector(nil, state)
	if err != nil {
		b.Fatal(err)
	}
	ids, err := update.ParseStateVector(nil, sv, update.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	for _, percent := range []uint64{0, 50, 100} {
		b.Run(fmt.Sprintf("known=%d%%", percent), func(b *testing.B) {
			from := update.AppendStateVector(nil, []update.ID{{Client: ids[0].Client, Clock: ids[0].Clock * percent / 100}})
			dst := make([]byte, 0, len(state))
			b.SetBytes(int64(len(state)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := update.Diff(dst, state, from); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkStateVector(b *testing.B) {
	state, err := update.Merge(nil, keystrokes(100_000)...)
	if err != nil {
		b.Fatal(err)
	}
	dst := make([]byte, 0, 64)
	b.SetBytes(int64(len(state)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := update.StateVector(dst, state); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendSlice(b *testing.B) {
	for name, s := range map[string]string{"ascii": "abcdefghijklmnop", "emoji": "😀😀😀😀😀😀😀😀"} {
		b.Run(name, func(b *testing.B) {
			one := structsOf(b, text(2_847_563_920, 0, s))[0]
			dst := make([]byte, 0, 64)
			b.ReportAllocs()
			for b.Loop() {
				_ = update.AppendSlice(dst, &one, 5, 11)
			}
		})
	}
}
