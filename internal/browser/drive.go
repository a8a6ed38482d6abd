package browser

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/yserverd/yserverd/internal/ytest"
)

// Scenario says what is driven.
type Scenario struct {
	// YWebsocket and YProvider are the server URLs for the two providers, such as ws://127.0.0.1:1234. An empty one is
	// not driven; one of them must be given.
	YWebsocket, YProvider string

	// Party is the party of YProvider's rooms. Zero means main.
	Party string

	// Editors are the editors to use. Zero means codemirror and quill.
	Editors []string

	// Saved requires the page to show "Saved" after each round: message type 102, answered by the server.
	Saved bool

	// Restart stops the server, any way it likes, and returns once it listens again at the same address. It runs on the
	// calling goroutine. Zero means no restart.
	Restart func() error

	// Artifacts is the folder for screenshots. Zero means artifacts/browser/<test> in the module's folder.
	Artifacts string
}

// Result is what the driver found out.
type Result struct {
	OK       bool
	Error    string // why not
	Chromium string // its version
	Seconds  float64
	Sessions []Session
}

// Session is one document in one editor over one provider, or one of the example rooms.
type Session struct {
	Session                     string // editor-provider, or the example
	Length                      int    // of the text at the end, in UTF-16 units
	Clients                     int    // ids in its state vector
	RefusedSocketsDuringRestart int    // console errors of Chromium's network layer, allowed only while the server restarts
	Screenshots                 []string
}

// Drive builds the page if it has to and runs the scenario. Anything that goes wrong fails the test, with what the
// driver said; its screenshots are then in the artifacts folder too.
func Drive(tb testing.TB, scenario Scenario) Result {
	tb.Helper()
	tools := Require(tb)
	dir := Build(tb, tools)
	if scenario.Artifacts == "" {
		scenario.Artifacts = artifacts(tb)
	}
	return drive(tb, tools, dir, scenario.Artifacts, scenario.args(), scenario.Restart)
}

// artifacts is the folder for what a test leaves behind.
func artifacts(tb testing.TB) string {
	name := strings.NewReplacer("/", "_", " ", "_").Replace(tb.Name())
	return filepath.Join(ytest.Root(), "artifacts", "browser", name)
}

// drive runs the driver of a folder, drive.mjs.
func drive(tb testing.TB, tools Tools, dir, artifacts string, args []string, restart func() error) Result {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), tools.Node, append([]string{"drive.mjs", "--chromium", tools.Chromium, "--artifacts", artifacts}, args...)...)
	cmd.Dir = dir
	result, err := converse(cmd, restart, tb.Log)
	if err != nil {
		tb.Fatalf("drive the browser: %v", err)
	}
	if !result.OK {
		tb.Fatalf("in the browser: %s\nscreenshots: %s", result.Error, artifacts)
	}
	return result
}

// args is the scenario on the driver's command line.
func (s Scenario) args() []string {
	var args []string
	for flag, value := range map[string]string{
		"--y-websocket": s.YWebsocket,
		"--yprovider":   s.YProvider,
		"--party":       s.Party,
		"--editors":     strings.Join(s.Editors, ","),
	} {
		if value != "" {
			args = append(args, flag, value)
		}
	}
	if s.Saved {
		args = append(args, "--saved")
	}
	if s.Restart == nil {
		args = append(args, "--no-restart")
	}
	return args
}

// converse runs the driver, answers its requests and returns its result. What it writes to standard error goes to log
// line by line.
func converse(cmd *exec.Cmd, restart func() error, log func(...any)) (Result, error) {
	// Asked politely the driver takes its browser down with it; killed, it could not.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	progress := &lineWriter{line: func(line string) { log(line) }}
	cmd.Stderr = progress
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return Result{}, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return Result{}, err
	}
	if err := cmd.Start(); err != nil {
		return Result{}, err
	}
	result, said, talkErr := talk(stdout, stdin, restart)
	if talkErr != nil {
		cmd.Cancel() //nolint:errcheck // it may have ended already
	}
	waitErr := cmd.Wait()
	progress.flush()
	switch {
	case talkErr != nil:
		return Result{}, talkErr
	case said: // its exit code says the same as its result
		return result, nil
	default:
		return Result{}, fmt.Errorf("no result: %w", waitErr)
	}
}

// talk serves the driver's line protocol until its output ends.
func talk(stdout io.Reader, stdin io.Writer, restart func() error) (result Result, said bool, err error) {
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 16<<20) // a failure quotes whole documents
	for lines.Scan() {
		switch line := lines.Text(); {
		case line == "READY restart" && restart != nil:
			if err := restart(); err != nil {
				return Result{}, false, fmt.Errorf("restart the server: %w", err)
			}
			if _, err := io.WriteString(stdin, "restarted\n"); err != nil {
				return Result{}, false, fmt.Errorf("tell the driver of the restart: %w", err)
			}
		case strings.HasPrefix(line, "RESULT "):
			if err := json.Unmarshal([]byte(line[len("RESULT "):]), &result); err != nil {
				return Result{}, false, fmt.Errorf("read the driver's result: %w", err)
			}
			said = true
		default:
			return Result{}, false, fmt.Errorf("driver said %q", line)
		}
	}
	return result, said, lines.Err()
}

// lineWriter calls line for every whole line written to it, and for the rest on flush.
type lineWriter struct {
	line func(string)
	rest []byte
}

// Write never fails.
func (w *lineWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		line, rest, ok := bytes.Cut(w.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		w.line(string(line))
		w.rest = rest
	}
}

func (w *lineWriter) flush() {
	if len(w.rest) > 0 {
		w.line(string(w.rest))
		w.rest = nil
	}
}
