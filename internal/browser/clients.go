package browser

import (
	"os/exec"
	"testing"

	"github.com/yserverd/yserverd/internal/ytest"
)

// StartClients starts a browser with a page in which PartySocket clients run, driven as those in Node are. Both end with
// the test.
func StartClients(tb testing.TB) *ytest.NodeClients {
	tb.Helper()
	tools := Require(tb)
	dir := ytest.Fixture(tb, "clients")
	cmd := exec.Command(tools.Node, "chromium.mjs", "--chromium", tools.Chromium)
	cmd.Dir = dir
	return ytest.StartClients(tb, cmd)
}
