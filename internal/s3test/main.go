package s3test

import (
	"testing"

	"github.com/yserverd/yserverd/internal/pgtest/proc"
)

// shared is the server of the process.
var shared = proc.NewShared("s3test", (*Server).remove)

// Main wraps a package's tests, in its TestMain: the shared server goes when they end.
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(s3test.Main(m)) }
func Main(m proc.TestingM) proc.TestingM { return shared.Main(m) }

// Shared returns the server of the process, which the first call starts. A test that stops it takes it from the others:
// New is for those. It skips the test, or fails it, where the program is missing.
func Shared(tb testing.TB) *Server {
	tb.Helper()
	path := require(tb)
	s, err := shared.Get(func() (*Server, error) { return newServer(path, "http", nil) })
	if err != nil {
		tb.Fatalf("start %s: %v", program, err)
	}
	return s
}
