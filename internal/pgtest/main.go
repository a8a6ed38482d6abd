package pgtest

import (
	"testing"

	"github.com/yserverd/yserverd/internal/pgtest/proc"
)

// shared is the cluster of the process.
var shared = proc.NewShared("pgtest", (*Cluster).remove)

// Main wraps a package's tests, in its TestMain: the shared cluster goes when they end.
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(m)) }
func Main(m proc.TestingM) proc.TestingM { return shared.Main(m) }

// Shared returns the cluster of the process, which the first call starts. A test that stops it takes it from the others:
// New is for those. It skips the test, or fails it, where PostgreSQL is missing.
func Shared(tb testing.TB) *Cluster {
	tb.Helper()
	p := require(tb)
	c, err := shared.Get(func() (*Cluster, error) { return newCluster(p, nil) })
	if err != nil {
		tb.Fatalf("start PostgreSQL: %v", err)
	}
	return c
}
