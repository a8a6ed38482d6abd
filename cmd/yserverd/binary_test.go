package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

// binary is the built program, made once for all tests that run it.
var binary struct {
	once sync.Once
	dir  string
	err  error
}

// MustBuild returns the path of the built program.
func MustBuild(t *testing.T) string {
	t.Helper()
	binary.once.Do(func() {
		if binary.dir, binary.err = os.MkdirTemp("", "yserverd-test-"); binary.err != nil {
			return
		}
		if out, err := exec.Command("go", "build", "-o", filepath.Join(binary.dir, "yserverd"), ".").CombinedOutput(); err != nil {
			binary.err = fmt.Errorf("go build: %w: %s", err, out)
		}
	})
	require.NoError(t, binary.err)
	return filepath.Join(binary.dir, "yserverd")
}

// removeBinary is for the end of all tests.
func removeBinary() {
	if binary.dir != "" {
		_ = os.RemoveAll(binary.dir)
	}
}

// exit ends the test process.
var exit = os.Exit

// process is a built program that runs.
type process struct {
	cmd    *exec.Cmd
	addr   string
	token  string // of the admin API
	stderr *bufio.Reader
}

// MustStart starts the built program as a development server, with its data in a folder.
func MustStart(t *testing.T, data string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(MustBuild(t), "dev", "--listen", "127.0.0.1:0", "--data", data)}
	stdout, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	stderr, err := p.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
	})
	p.stderr = bufio.NewReader(stderr)
	out := bufio.NewReader(stdout)
	url, token := regexp.MustCompile(`ws://(\S+)/<room>`), regexp.MustCompile(`its token +(\S+)`)
	for p.addr == "" || p.token == "" {
		line, err := out.ReadString('\n')
		require.NoError(t, err, "the program ended")
		if m := url.FindStringSubmatch(line); m != nil && p.addr == "" {
			p.addr = m[1]
		}
		if m := token.FindStringSubmatch(line); m != nil {
			p.token = m[1]
		}
	}
	return p
}

// signal sends a signal.
func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(s))
}

// await reads the log up to a line that holds the text.
func (p *process) await(t *testing.T, text string) {
	t.Helper()
	for {
		line, err := p.stderr.ReadString('\n')
		require.NoError(t, err, "waiting for %q", text)
		if strings.Contains(line, text) {
			return
		}
	}
}

// wait returns the exit code and the rest of the log.
func (p *process) wait(t *testing.T) (code int, log string) {
	t.Helper()
	kill := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	defer kill.Stop()
	rest, err := io.ReadAll(p.stderr)
	require.NoError(t, err)
	var exited *exec.ExitError
	if err := p.cmd.Wait(); err != nil && !errors.As(err, &exited) {
		require.NoError(t, err)
	}
	return p.cmd.ProcessState.ExitCode(), string(rest)
}

func TestBinaryEndsOnSignals(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(s.String(), func(t *testing.T) {
			p := MustStart(t, t.TempDir())
			conn := dial(t, p.addr, "/my-room")
			send(t, conn, typed)
			expect(t, conn, typed)
			p.signal(t, s)
			err := hangUp(conn)
			require.True(t, websocket.IsCloseError(err, websocket.CloseServiceRestart), "closed with %v", err)
			code, log := p.wait(t)
			require.Equal(t, exitOK, code, log)
			_, err = net.Dial("tcp", p.addr)
			require.ErrorIs(t, err, syscall.ECONNREFUSED)
		})
	}
}

// TestBinarySecondSignal holds the shutdown up with a request that does not end, for which plain requests get a moment.
func TestBinarySecondSignal(t *testing.T) {
	p := MustStart(t, t.TempDir())
	conn, err := net.Dial("tcp", p.addr)
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /healthz HTTP/1.1\r\n"))
	require.NoError(t, err)
	_, err = bufio.NewReader(conn).ReadString('\n') // the first is answered, so the second has begun
	require.NoError(t, err)

	p.signal(t, syscall.SIGTERM)
	p.await(t, "shutting down")
	p.signal(t, syscall.SIGINT)
	code, log := p.wait(t)
	require.Equal(t, exitStart, code, log)
	require.Contains(t, log, "a second signal: ended at once")
}

func TestBinaryExitCodes(t *testing.T) {
	program := MustBuild(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	for _, row := range []struct {
		args []string
		code int
		text string
	}{
		{[]string{"version"}, exitOK, "go1."},
		{[]string{"--help"}, exitOK, "serve"},
		{[]string{"serve", "-c", filepath.Join(t.TempDir(), "none.yaml")}, exitConfig, "no such file"},
		{[]string{"nonsense"}, exitUsage, "unexpected argument nonsense"},
		{[]string{"dev", "--listen", "0.0.0.0:0"}, exitUsage, "loopback"},
		{[]string{"dev", "--listen", listener.Addr().String(), "--data", t.TempDir()}, exitStart, "is in use"},
	} {
		cmd := exec.Command(program, row.args...)
		out, _ := cmd.CombinedOutput()
		require.Equal(t, row.code, cmd.ProcessState.ExitCode(), "%q: %s", row.args, out)
		require.Contains(t, string(out), row.text)
	}
}
