package costtest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/costtest"
)

// spin works for n steps. Its result depends on all of them, so none is left out.
func spin(n int) (x uint64) {
	for i := range n {
		x = x*6364136223846793005 + uint64(i)
	}
	return x
}

var result uint64

func work(steps func(n int) int) func(n int) func() {
	return func(n int) func() {
		return func() { result += spin(steps(n)) }
	}
}

// ExampleInProportion is what a test does.
func ExampleInProportion() {
	_ = func(t *testing.T) {
		costtest.InProportion(t, 1000, 64, 4, func(n int) func() {
			text := make([]byte, n)
			return func() {
				for i := range text {
					text[i]++
				}
			}
		})
	}
	// Output:
}

func TestWhatIsLinearTakesTimeInProportion(t *testing.T) {
	costtest.InProportion(t, 100_000, 16, 4, work(func(n int) int { return n }))
}

func TestWhatIsQuadraticTakesTimeThatIsSeen(t *testing.T) {
	costtest.Unraced(t)
	few, many, ratio := costtest.Proportion(300, 16, 4, work(func(n int) int { return n * n }))
	require.Greater(t, ratio, 4.0, "%v, %v", few, many)
	require.Greater(t, many, few)
}

func TestProcessorTimeGoesOn(t *testing.T) {
	start := costtest.CPU()
	for costtest.CPU() == start {
		result += spin(1000)
	}
	require.Greater(t, costtest.CPU(), start)
}
