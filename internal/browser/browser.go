// Package browser lets Go tests use a server through real editors in a real browser.
//
// It builds the page of fixtures/editors when it has changed, and runs that folder's driver, which has two people type
// into one document at once, in CodeMirror and in Quill, over y-websocket and over y-partyserver's provider, and which
// asks for the server to be restarted under them. It runs the driver of fixtures/rooms, which has two people meet in
// each of the example rooms. It starts the application of fixtures/secured and runs its driver, which has people of two
// organisations sign in. And it starts PartySocket clients in a page, for tests that drive them one by one.
//
// Invariants:
//
//   - Nothing is downloaded but the npm packages of the committed lock file.
//   - Where Node or Chromium is missing the test is skipped with the reason; with YSERVERD_TEST_REQUIRE=1 in the
//     environment it fails instead, so that a run that is meant to cover the browser cannot pass without it.
//   - Every process started here has ended when the function that started it returns.
package browser

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/yserverd/yserverd/internal/ytest"
)

// ChromiumEnv names the environment variable with the path of the browser to use instead of the first one found.
const ChromiumEnv = "YSERVERD_TEST_CHROMIUM"

// Tools are the programs that a browser test needs, as absolute paths.
type Tools struct {
	Node, NPM, Chromium string
}

// Require returns the tools, or skips the test (or fails it, see ytest.RequireEnv) with the name of what is missing.
func Require(tb testing.TB) Tools {
	tb.Helper()
	tools, err := find(os.Getenv, exec.LookPath)
	if err != nil {
		ytest.Skip(tb, err)
	}
	return tools
}

// chromiumNames are the names under which distributions install the browser.
var chromiumNames = []string{"chromium", "chromium-browser", "google-chrome-stable", "google-chrome"}

// find looks the tools up with the given environment and search path.
func find(getenv func(string) string, look func(string) (string, error)) (Tools, error) {
	var tools Tools
	var err error
	if tools.Node, err = look("node"); err != nil {
		return Tools{}, fmt.Errorf("browser tests need Node: %w", err)
	}
	if tools.NPM, err = look("npm"); err != nil {
		return Tools{}, fmt.Errorf("browser tests need npm: %w", err)
	}
	names := chromiumNames
	if name := getenv(ChromiumEnv); name != "" {
		names = []string{name}
	}
	for _, name := range names {
		if tools.Chromium, err = look(name); err == nil {
			return tools, nil
		}
	}
	return Tools{}, fmt.Errorf("browser tests need Chromium: %w", err)
}

// editors is the folder of the page and its driver.
func editors() string { return filepath.Join(ytest.Root(), "fixtures", "editors") }
