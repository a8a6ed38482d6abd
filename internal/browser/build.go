package browser

import (
	"testing"

	"github.com/yserverd/yserverd/internal/ytest"
)

// steps are what the page is made of.
var steps = []ytest.Step{
	{Output: "node_modules", Inputs: []string{"package.json", "package-lock.json", ".npmrc"}, Args: []string{"ci", "--no-progress"}},
	{Output: "dist", Inputs: []string{"package-lock.json", "build.mjs", "src"}, Args: []string{"run", "build"}},
}

// Build installs the page's packages and builds it, unless both are up to date, and returns the folder
// fixtures/editors. Test processes that run at the same time take turns.
func Build(tb testing.TB, tools Tools) string {
	tb.Helper()
	dir := editors()
	if err := ytest.Make(dir, tools.NPM, steps...); err != nil {
		tb.Fatalf("build the page: %v", err)
	}
	return dir
}
