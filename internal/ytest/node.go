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
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
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

// skip ends the test for want of something: as skipped, or as failed where everything is required.
func skip(tb testing.TB, err error) {
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
		skip(tb, fmt.Errorf("this test needs Node: %w", err))
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
	if err != nil && !installed(dir) {
		skip(tb, fmt.Errorf("this test needs the npm packages of fixtures/%s: %w", name, err))
	}
	if err := install(dir, npm); err != nil {
		skip(tb, fmt.Errorf("this test needs the npm packages of fixtures/%s: %w", name, err))
	}
	return dir
}

// stamp is the file inside node_modules that says what was installed.
func stamp(dir string) string { return filepath.Join(dir, "node_modules", ".installed") }

// digest names the state of a folder's package files.
func digest(dir string) ([]byte, error) {
	h := sha256.New()
	for _, name := range []string{"package.json", "package-lock.json"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(h, "%s %d\n", name, len(b))
		h.Write(b)
	}
	return []byte(hex.EncodeToString(h.Sum(nil))), nil
}

// installed reports whether the packages are there as the files say.
func installed(dir string) bool {
	want, err := digest(dir)
	if err != nil {
		return false
	}
	have, err := os.ReadFile(stamp(dir))
	return err == nil && bytes.Equal(have, want)
}

// install runs npm ci unless that was done for these package files. One process at a time does.
func install(dir, npm string) error {
	if _, err := digest(dir); err != nil {
		return err
	}
	if installed(dir) {
		return nil
	}
	sum := sha256.Sum256([]byte(dir))
	unlock, err := lock(filepath.Join(os.TempDir(), "yserverd-npm-"+hex.EncodeToString(sum[:8])+".lock"))
	if err != nil {
		return err
	}
	defer unlock()
	if installed(dir) {
		return nil
	}
	if err := os.Remove(stamp(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	cmd := exec.Command(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	want, err := digest(dir)
	if err != nil {
		return err
	}
	return os.WriteFile(stamp(dir), want, 0o644)
}
