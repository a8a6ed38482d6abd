package ytest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// The kinds of client that a NodeClients process can run.
const (
	YWebsocket  = "y-websocket"   // y-websocket 3.1.0
	YWebsocket2 = "y-websocket-2" // y-websocket 2.1.0
	YProvider   = "yprovider"     // y-partyserver/provider 2.2.0
	PartySocket = "partysocket"   // partysocket 1.3.0, no document
	Socket      = "ws"            // a bare WebSocket, no document
)

// DocumentKinds are the kinds of client that have a Yjs document.
var DocumentKinds = []string{YWebsocket, YWebsocket2, YProvider}

// patience is how long a call may take whose context has no deadline.
const patience = 15 * time.Second

// startTimeout is how long a process may take until it can be asked something; a browser takes its time.
const startTimeout = time.Minute

// NodeClients is one Node process with any number of real clients in it (fixtures/clients), or in a browser that it
// drives. It is safe for concurrent use.
type NodeClients struct {
	cmd    *exec.Cmd
	ready  chan struct{} // closed when it can be asked something
	exited chan struct{} // closed when the process has ended and all it wrote was read
	stderr bytes.Buffer  // valid after that

	mu      sync.Mutex // guards what follows and the order of writes
	in      io.WriteCloser
	next    int
	waiting map[int]chan reply
	console []ConsoleLine
	names   int
}

// ConsoleLine is something that a client printed, or an exception that nobody caught (level "uncaught").
type ConsoleLine struct {
	Level string `json:"level"`
	Text  string `json:"text"`
}

// reply is a line of the process.
type reply struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  string          `json:"error"`

	Event string `json:"event"`
	ConsoleLine
}

// StartNodeClients starts a process, which is ended with the test. Where Node or its packages are missing the test is
// skipped, see RequireEnv.
func StartNodeClients(tb testing.TB) *NodeClients {
	tb.Helper()
	dir := Fixture(tb, "clients")
	cmd := exec.Command(Node(tb), "client.mjs")
	cmd.Dir = dir
	return StartClients(tb, cmd)
}

// StartClients starts a process that speaks the lines of fixtures/clients/client.mjs, and waits until it is ready. It is
// ended with the test.
func StartClients(tb testing.TB, cmd *exec.Cmd) *NodeClients {
	tb.Helper()
	n := &NodeClients{cmd: cmd, ready: make(chan struct{}), exited: make(chan struct{}), waiting: make(map[int]chan reply)}
	n.cmd.Stderr = &n.stderr
	in, err := n.cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	n.in = in
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	go n.read(out)
	tb.Cleanup(func() {
		n.Close()
		if tb.Failed() {
			tb.Logf("clients said:\n%s%s", n.stderr.String(), consoleText(n.Console()))
		}
	})
	select {
	case <-n.ready:
	case <-n.exited:
		tb.Fatal("the process of the clients ended before it was ready")
	case <-time.After(startTimeout):
		tb.Fatalf("the process of the clients is not ready after %v", startTimeout)
	}
	return n
}

// Close ends the process: it is asked to, and killed if it does not. All clients vanish without a word, as closed tabs do.
func (n *NodeClients) Close() {
	n.mu.Lock()
	n.in.Close()
	n.mu.Unlock()
	select {
	case <-n.exited:
	case <-time.After(patience):
		n.Kill()
	}
}

// Kill ends the process at once.
func (n *NodeClients) Kill() {
	_ = n.cmd.Process.Kill() // an error means that it has ended
	<-n.exited
}

// read hands replies to whoever waits for them, until the process ends.
func (n *NodeClients) read(out io.Reader) {
	lines := bufio.NewReaderSize(out, 1<<16)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			break
		}
		var r reply
		if err := json.Unmarshal(line, &r); err != nil {
			r = reply{Event: "console", ConsoleLine: ConsoleLine{"uncaught", "not JSON: " + string(line)}}
		}
		n.mu.Lock()
		switch c := n.waiting[r.ID]; {
		case r.Event == "console":
			n.console = append(n.console, r.ConsoleLine)
		case r.Event == "ready":
			close(n.ready)
		case c != nil:
			delete(n.waiting, r.ID)
			c <- r
		}
		n.mu.Unlock()
	}
	_ = n.cmd.Wait() // how it ended is seen by whoever waits for a reply
	close(n.exited)
}

// Console returns what the clients printed so far.
func (n *NodeClients) Console() []ConsoleLine {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]ConsoleLine(nil), n.console...)
}

// ConsoleErrors returns what the clients printed at the level of errors, and what nobody caught.
func (n *NodeClients) ConsoleErrors() []ConsoleLine {
	var errs []ConsoleLine
	for _, l := range n.Console() {
		if l.Level == "error" || l.Level == "uncaught" {
			errs = append(errs, l)
		}
	}
	return errs
}

func consoleText(lines []ConsoleLine) string {
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&b, "%s: %s\n", l.Level, l.Text)
	}
	return b.String()
}

// call sends one operation and waits for what came of it. The process is given a little less time than the context
// leaves, so that it is the one that says what was missing.
func (n *NodeClients) call(ctx context.Context, result any, request map[string]any) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	deadline, _ := ctx.Deadline()
	request["timeout"] = max(1, (time.Until(deadline) - 200*time.Millisecond).Milliseconds())
	c := make(chan reply, 1)
	n.mu.Lock()
	n.next++
	id := n.next
	request["id"] = id
	line, err := json.Marshal(request)
	if err == nil {
		n.waiting[id] = c
		_, err = n.in.Write(append(line, '\n'))
	}
	n.mu.Unlock()
	if err != nil {
		return fmt.Errorf("%v of client %v: %w", request["op"], request["client"], err)
	}
	select {
	case r := <-c:
		if r.Error != "" {
			return fmt.Errorf("%v of client %v: %s", request["op"], request["client"], r.Error)
		}
		if result == nil {
			return nil
		}
		return json.Unmarshal(r.Result, result)
	case <-n.exited:
		return fmt.Errorf("%v of client %v: the process ended: %s", request["op"], request["client"], n.stderr.String())
	case <-ctx.Done():
		n.mu.Lock()
		delete(n.waiting, id)
		n.mu.Unlock()
		return fmt.Errorf("%v of client %v: %w", request["op"], request["client"], ctx.Err())
	}
}
