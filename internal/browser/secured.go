package browser

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/yserverd/yserverd/internal/ytest"
)

// securedSteps are what the page of fixtures/secured is made of, some modules of fixtures/editors among it.
var securedSteps = []ytest.Step{
	{Output: "node_modules", Inputs: []string{"package.json", "package-lock.json", ".npmrc"}, Args: []string{"ci", "--ignore-scripts", "--no-progress"}},
	{Output: "dist", Inputs: []string{"package-lock.json", "build.mjs", "src"}, Args: []string{"run", "build"}},
}

// Secured is the application of fixtures/secured, with its login, as it runs.
type Secured struct {
	URL string // of its page, with a slash at the end

	dir      string
	tools    Tools
	database string
}

// SecuredApp is how the application is started.
type SecuredApp struct {
	Database string // the URL of a database, which may be empty
	Secret   string // signs its cookies
	Server   string // where yserverd is, such as ws://127.0.0.1:1234
	Port     int    // that it listens on
}

// Origin is that of the application's page.
func (a SecuredApp) Origin() string { return fmt.Sprintf("http://127.0.0.1:%d", a.Port) }

// StartSecured builds the application and starts it. It ends with the test.
func StartSecured(tb testing.TB, app SecuredApp) *Secured {
	tb.Helper()
	tools := Require(tb)
	dir := filepath.Join(ytest.Root(), "fixtures", "secured")
	if err := ytest.Make(dir, tools.NPM, securedSteps...); err != nil {
		tb.Fatalf("build the application: %v", err)
	}
	s := &Secured{URL: app.Origin() + "/", dir: dir, tools: tools, database: app.Database}
	cmd := exec.Command(tools.Node, "app.mjs", "--port", fmt.Sprint(app.Port), "--server", app.Server)
	cmd.Dir, cmd.Stderr = dir, tb.Output()
	cmd.Env = append(os.Environ(), "DATABASE_URL="+app.Database, "AUTH_SECRET="+app.Secret)
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatalf("start the application: %v", err)
	}
	tb.Cleanup(sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself, which the wait tells
		hung := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
		defer hung.Stop()
		if err := cmd.Wait(); err != nil {
			tb.Errorf("the application ends: %v", err)
		}
	}))
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "open "+s.URL+" ") {
		tb.Fatalf("the application says %q (%v)", line, err)
	}
	return s
}

// Drive has people of two organisations use the application. Anything that goes wrong fails the test, with what the
// driver said; its screenshots are in the artifacts folder, as after [Drive].
func (s *Secured) Drive(tb testing.TB) Result {
	tb.Helper()
	return drive(tb, s.tools, s.dir, artifacts(tb), []string{"--page", s.URL, "--database", s.database}, nil)
}
