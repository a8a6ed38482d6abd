package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/persist/pebble"
	"github.com/yserverd/yserverd/yserver"
)

// roomsChild names the folder of the data of a process that serves rooms: the
// test binary itself, which a test may kill and measure.
const roomsChild = "YSERVERD_E2E_ROOMS"

// serveRooms serves three kinds of rooms on the address that it prints, until its
// standard input ends: "lobby", configured; "notes", whose code writes into
// storage and reports what is stored; "alarms", which set one and report it, and
// when it comes. A line of standard input is answered by the process's figures.
func serveRooms(t *testing.T, dir string) {
	store, err := pebble.Open(dir, pebble.Options{})
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	short := 50 * time.Millisecond
	srv, err := yserver.New(
		yserver.Config{Store: store},
		yserver.Party{
			Name: "lobby", Access: gate.Public, HibernateAfter: short,
			Message: &yserver.Message{
				Presence: true, Relay: yserver.RelayJSON,
				State: &yserver.SharedState{}, History: &yserver.History{Messages: keptMessages},
			},
		},
		yserver.Party{
			Name: "notes", Access: gate.Public, Message: &yserver.Message{},
			New: func(room *yserver.Room) any { return &notes{room} },
		},
		yserver.Party{
			Name: "alarms", Access: gate.Public, Message: &yserver.Message{},
			New: func(room *yserver.Room) any { return &clock{room} },
		},
		yserver.Party{
			Name: "idle", Access: gate.Public, HibernateAfter: short,
			Message: &yserver.Message{Presence: true, Relay: yserver.RelayJSON},
		},
		yserver.Party{
			Name: "awake", Access: gate.Public, NoHibernation: true,
			Message: &yserver.Message{Presence: true, Relay: yserver.RelayJSON},
		},
	)
	require.NoError(t, err)
	go func() { _ = (&http.Server{Handler: srv, ReadHeaderTimeout: time.Minute}).Serve(l) }()
	say("listens %s", l.Addr())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		debug.FreeOSMemory()
		st := srv.Stats()
		say("figures %d %d %d %d", st.Connections, st.Rooms, st.Hibernations, rssOf(t, os.Getpid()))
	}
}

// say prints a line for the test: it is out when say returns.
func say(format string, args ...any) { _, _ = fmt.Printf(format+"\n", args...) }

// notes is a room that stores numbers: a message is how many. Each transaction
// writes the number under "last" and under its own key.
type notes struct {
	room *yserver.Room
}

func (n *notes) OnMessage(ctx context.Context, _ *yserver.Connection, _ yserver.Payload) error {
	_ = n.room.Go(func(ctx context.Context) func() {
		for ctx.Err() == nil {
			last, err := n.write(ctx)
			if err == nil {
				say("stored %s %d", n.room.Name(), last)
			}
		}
		return nil
	})
	return ctx.Err()
}

func (n *notes) write(ctx context.Context) (last int, err error) {
	s := n.room.Storage()
	err = s.Transaction(ctx, func(tx *yserver.Tx) error {
		last, _, err = yserver.GetJSON[int](ctx, tx, "last")
		if err != nil {
			return err
		}
		last++
		if err := yserver.PutJSON(ctx, tx, "last", last); err != nil {
			return err
		}
		return yserver.PutJSON(ctx, tx, fmt.Sprintf("note %06d", last), last)
	})
	return last, err
}

// clock is a room that sets its alarm, again and again.
type clock struct {
	room *yserver.Room
}

func (c *clock) OnMessage(ctx context.Context, _ *yserver.Connection, _ yserver.Payload) error {
	// Long enough that it does not come before the process is killed.
	if err := c.room.SetAlarm(ctx, time.Now().Add(2*time.Second)); err != nil {
		return err
	}
	say("set %s", c.room.Name())
	return nil
}

func (c *clock) OnAlarm(context.Context) error {
	say("rung %s", c.room.Name())
	return nil
}

// roomServer is such a process.
type roomServer struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	addr  string
	lines chan string // what it printed
}

// startRooms starts a process on a folder.
func startRooms(t *testing.T, dir string) *roomServer {
	t.Helper()
	s := startChild(t, "TestKilledServerKeepsTheDataOfRooms", roomsChild+"="+dir)
	s.addr = s.line("listens ")
	return s
}

// startChild starts the test binary as a server: a test of it, with a variable that
// tells it to be one.
func startChild(t *testing.T, test, variable string) *roomServer {
	t.Helper()
	s := &roomServer{t: t, cmd: exec.Command(os.Args[0], "-test.run=^"+test+"$"), lines: make(chan string, 1<<16)}
	s.cmd.Env = append(os.Environ(), variable)
	s.cmd.Stderr = os.Stderr
	var err error
	s.in, err = s.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := s.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, s.cmd.Start())
	go func() {
		defer close(s.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			s.lines <- lines.Text()
		}
	}()
	return s
}

// line waits for a line that begins so, passing over others, and returns its
// rest.
func (s *roomServer) line(prefix string) string {
	s.t.Helper()
	for deadline := time.After(time.Minute); ; {
		select {
		case line, ok := <-s.lines:
			require.True(s.t, ok, "the server ended")
			if rest, found := strings.CutPrefix(line, prefix); found {
				return rest
			}
		case <-deadline:
			s.t.Fatalf("no line %q came", prefix)
		}
	}
}

// kill kills the process and returns what it had printed before it died.
func (s *roomServer) kill() []string {
	_ = s.cmd.Process.Kill()
	var rest []string
	for line := range s.lines {
		rest = append(rest, line)
	}
	_ = s.cmd.Wait()
	_ = s.in.Close()
	return rest
}

// figures asks for the connections, rooms and hibernations, and the resident
// bytes after a collection.
func (s *roomServer) figures() (connections, rooms, hibernations, rss int) {
	s.t.Helper()
	_, err := io.WriteString(s.in, "\n")
	require.NoError(s.t, err)
	_, err = fmt.Sscan(s.line("figures "), &connections, &rooms, &hibernations, &rss)
	require.NoError(s.t, err)
	return connections, rooms, hibernations, rss
}

func rssOf(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0 // only Linux tells
	}
	for line := range strings.Lines(string(status)) {
		var kib int
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	return 0
}

// decode reads a JSON frame.
func decode[T any](t *testing.T, text []byte) T {
	t.Helper()
	var v T
	require.NoError(t, json.Unmarshal(text, &v), string(text))
	return v
}
