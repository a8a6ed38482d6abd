package costtest

import "testing"

// Unraced skips a test under the race detector, which allocates for itself, empties pools at random and takes its time. The
// name of such a test has to be one that make test runs without it (UNRACED in the Makefile; internal/deps looks).
func Unraced(tb testing.TB) {
	tb.Helper()
	if raced {
		tb.Skip("the race detector would be measured as well")
	}
}
