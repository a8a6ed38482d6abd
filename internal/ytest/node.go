// Package ytest lets Go tests use real Yjs clients in Node.
//
// Invariants:
//
//   - Nothing is downloaded but the npm packages of a fixture's committed lock file, once for each state of it, whichever
//     test process comes first.
//   - Where Node or npm is missing, or the packages cannot be had, the test is skipped with the reason; with
//     YSERVERD_TEST_REQUIRE=1 in the environment it fails instead, so that a run that is meant to cover real clients cannot
//     pass without them.
//   - Every process started here has ended when the test that started it has.
package ytest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// RequireEnv names the environment variable that turns whatever is missing from a skip into a failure.
const RequireEnv = "YSERVERD_TEST_REQUIRE"

// Required reports whether missing programs must fail a test.
func Required() bool { return os.Getenv(RequireEnv) == "1" }

// Skip ends the test for want of something: as skipped, or as failed where everything is required.
func Skip(tb testing.TB, err error) {
	tb.Helper()
	if Required() {
		tb.Fatalf("%v (%s=1)", err, RequireEnv)
	}
	tb.Skip(err)
}

// Node returns the path of the Node program, or skips the test.
func Node(tb testing.TB) string {
	tb.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		Skip(tb, fmt.Errorf("this test needs Node: %w", err))
	}
	return path
}

// Root is the folder of the module, found from this file's own place in it.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// Fixture returns the folder fixtures/<name> with its npm packages installed as its lock file says, or skips the test.
func Fixture(tb testing.TB, name string) string {
	tb.Helper()
	Node(tb)
	dir := filepath.Join(Root(), "fixtures", name)
	npm, err := exec.LookPath("npm")
	if err != nil && !made(dir, packages) {
		Skip(tb, fmt.Errorf("this test needs the npm packages of fixtures/%s: %w", name, err))
	}
	if err := Make(dir, npm, packages); err != nil {
		Skip(tb, fmt.Errorf("this test needs the npm packages of fixtures/%s: %w", name, err))
	}
	return dir
}
