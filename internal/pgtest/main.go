package pgtest

import (
	"fmt"
	"os"
	"sync"
	"testing"
)

// shared is the cluster of the process.
var shared struct {
	mu      sync.Mutex
	running bool // Main
	cluster *Cluster
	err     error // of making it: once is enough
}

// TestingM is what goleak and Main take for a *testing.M.
type TestingM interface{ Run() int }

// Main wraps a package's tests, in its TestMain: the shared cluster goes when they end.
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(m)) }
func Main(m TestingM) TestingM { return tests{m} }

type tests struct{ TestingM }

// Run runs the tests and returns their exit code.
func (t tests) Run() (code int) {
	shared.mu.Lock()
	before := shared.running
	shared.running = true
	shared.mu.Unlock()
	defer func() {
		if err := end(before); err != nil {
			fmt.Fprintln(os.Stderr, "pgtest:", err)
			code = max(code, 1)
		}
	}()
	return t.TestingM.Run()
}

// end removes the shared cluster, if there is one; before is whether another Main goes on.
func end(before bool) error {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	shared.running = before
	if shared.cluster == nil {
		return nil
	}
	c := shared.cluster
	shared.cluster = nil
	return c.remove()
}

// Shared returns the cluster of the process, which the first call starts. A test that stops it takes it from the others:
// New is for those. It skips the test, or fails it, where PostgreSQL is missing.
func Shared(tb testing.TB) *Cluster {
	tb.Helper()
	p := require(tb)
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if !shared.running {
		tb.Fatal("the package's TestMain does not run pgtest.Main")
	}
	if shared.cluster == nil && shared.err == nil {
		shared.cluster, shared.err = newCluster(p, nil)
	}
	if shared.err != nil {
		tb.Fatalf("start PostgreSQL: %v", shared.err)
	}
	return shared.cluster
}
