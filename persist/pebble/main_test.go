package pebble_test

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// The race detector makes everything some ten times slower, and the models of
// the suites were most of that. Each run draws other checks.
func TestMain(m *testing.M) {
	if raced && !long() {
		_ = flag.Set("rapid.checks", "25") // what the command line says comes later, and wins
	}
	goleak.VerifyTestMain(m)
}

// long says whether tests take their long form.
func long() bool { return os.Getenv("YSERVERD_TEST_LONG") == "1" }

// roundsOf is how often a test does what it does: less often under the race
// detector, unless the run is a long one.
func roundsOf(rounds, under int) int {
	if raced && !long() {
		return under
	}
	return rounds
}
