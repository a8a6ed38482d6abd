package relay_test

import (
	"math"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/relay"
)

// cpu returns the processor time that f takes once, as the mean of several times.
func cpu(times int, f func()) time.Duration {
	runtime.GC()
	start := cpuTime()
	for range times {
		f()
	}
	return (cpuTime() - start) / time.Duration(times)
}

// TestEverythingTakesTimeInProportion: six doublings of the input, 64 times as much of it, are measured at once, as a
// single one may be the one at which a cache of the processor is full. What is quadratic takes 4096 times as long, what is
// allowed is 400. The least of some measurements counts, as a busy machine may disturb one; what is far outside is not
// measured for long.
func TestEverythingTakesTimeInProportion(t *testing.T) {
	unraced(t)
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	const doublings, small, most = 6, 800, 400
	for name, family := range hostile {
		t.Run(name, func(t *testing.T) {
			all := func(n int) func() {
				text := family(n)
				dst := make([]byte, 0, 3*len(text)+200)
				return func() {
					f, err := relay.Parse(text, relay.Limits{Data: 1 << 30})
					if err == nil {
						f.AppendRelay(dst, relay.Stamp{From: "c", HasOffset: true})
					}
					_, _ = relay.MergePatch(dst, text, text, 1<<30, 0)
					_, _ = relay.MergePatch(dst, nil, text, 1<<30, 0)
				}
			}
			few, many := all(small), all(small<<doublings)
			a, b := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
			ratio := math.Inf(1)
			for attempt := 0; attempt < 2 || attempt < 10 && ratio > most && ratio < 3*most; attempt++ {
				a, b = min(a, cpu(1<<doublings/4, few)), min(b, cpu(1, many))
				ratio = float64(b) / float64(max(a, 1))
			}
			t.Logf("%v for %d, %v for %d: %.1f times as much", a, small, b, small<<doublings, ratio)
			require.LessOrEqual(t, ratio, float64(most))
		})
	}
}
