package costtest

import (
	"math"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

const (
	repeated    = 16 // runs of the small input in one measurement, so that no clock is too coarse for it
	leastTries  = 3
	mostTries   = 20
	undisturbed = 4 // so far beyond what is allowed it is no disturbance, and is not measured again
)

// InProportion fails the test when work on scale times the input takes more than most times as long as is proportional.
// With a scale of 64 what is quadratic takes 64 times as long as that; a scale of two would say little, as its doubling may
// be the one at which a cache of the processor is full. The work is made for each of the two inputs before it is measured.
// It is measured without the collection of garbage, whose share jumps with the size of the heap. The least of some
// measurements counts, as a busy machine may disturb one. Under the race detector the test is skipped.
func InProportion(tb testing.TB, n, scale int, most float64, work func(n int) func()) {
	tb.Helper()
	Unraced(tb)
	few, many, ratio := proportion(n, scale, most, work)
	tb.Logf("%v for %d, %v for %d: %.2f of what is proportional", few, n, many, n*scale, ratio)
	if ratio > most {
		tb.Errorf("%d times as much takes %.1f times as long as is proportional, at most %v is allowed", scale, ratio, most)
	}
}

// proportion measures until it is sure, and returns the least times and how they relate: one is proportional.
func proportion(n, scale int, most float64, work func(n int) func()) (few, many time.Duration, ratio float64) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	small, large := work(n), work(n*scale)
	few, many, ratio = math.MaxInt64, math.MaxInt64, math.Inf(1)
	for try := 0; try < leastTries || try < mostTries && ratio > most; try++ {
		few, many = min(few, mean(repeated, small)), min(many, mean(1, large))
		ratio = float64(many) / float64(max(few, 1)) / float64(scale)
		if ratio > undisturbed*most {
			break
		}
	}
	return few, many, ratio
}

// mean returns the processor time that f takes once, as the mean of several times.
func mean(times int, f func()) time.Duration {
	runtime.GC()
	start := CPU()
	for range times {
		f()
	}
	return (CPU() - start) / time.Duration(times)
}
