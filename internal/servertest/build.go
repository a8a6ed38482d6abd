package servertest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/yserverd/yserverd/internal/ytest"
)

// binary is the program, built once for all tests of a process.
var binary struct {
	mu   sync.Mutex
	dir  string // temporary; empty while Main does not run
	path string // empty until it is built
}

// TestingM is what goleak and Main take for a *testing.M.
type TestingM interface{ Run() int }

// Main wraps a package's tests, in its TestMain: the program is built into a temporary folder, which goes when they end.
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(servertest.Main(m)) }
func Main(m TestingM) TestingM { return tests{m} }

type tests struct{ TestingM }

// Run runs the tests and returns their exit code.
func (t tests) Run() int {
	dir, err := os.MkdirTemp("", "yserverd-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "servertest:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary.mu.Lock()
	binary.dir = dir
	binary.mu.Unlock()
	return t.TestingM.Run()
}

// build returns the path of the program, which it builds the first time.
func build() (string, error) {
	binary.mu.Lock()
	defer binary.mu.Unlock()
	if binary.path != "" {
		return binary.path, nil
	}
	if binary.dir == "" {
		return "", errors.New("the package's TestMain does not run servertest.Main")
	}
	path := filepath.Join(binary.dir, "yserverd")
	cmd := exec.Command("go", "build", "-o", path, "./cmd/yserverd")
	cmd.Dir = ytest.Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	binary.path = path
	return path, nil
}
