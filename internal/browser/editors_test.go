package browser_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/browser"
)

// TestEditors has two people write in both editors over both providers while yserverd is killed, not ended, under them.
// "Saved" must mean what it says: everything else is in the log when the server comes back.
func TestEditors(t *testing.T) {
	if testing.Short() {
		t.Skip("starts browsers")
	}
	browser.Require(t) // before anything is built
	server := newServer(t)
	require.NoError(t, server.start())
	url := "ws://" + server.address
	result := browser.Drive(t, browser.Scenario{
		YWebsocket: url,
		YProvider:  url,
		Saved:      true,
		Restart: func() error {
			server.kill()
			return server.start()
		},
	})
	require.Len(t, result.Sessions, 4)
	for _, session := range result.Sessions {
		require.Positive(t, session.Length, session.Session)
		require.Len(t, session.Screenshots, 2, session.Session)
	}
}

// server is a yserverd that can be killed and started again with the same address and folder.
type server struct {
	program, address, data string
	cmd                    *exec.Cmd
	ended                  chan struct{}
	output                 *bytes.Buffer
}

// newServer builds the program. The server that runs when the test ends is killed.
func newServer(t *testing.T) *server {
	t.Helper()
	dir := t.TempDir()
	s := &server{program: filepath.Join(dir, "yserverd"), data: filepath.Join(dir, "data")}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", s.program, "github.com/yserverd/yserverd/cmd/yserverd")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.address = l.Addr().String()
	require.NoError(t, l.Close())
	t.Cleanup(s.kill)
	return s
}

// start returns when the server accepts connections.
func (s *server) start() error {
	s.cmd = exec.Command(s.program, "dev", "--listen", s.address, "--data", s.data)
	s.output, s.ended = &bytes.Buffer{}, make(chan struct{})
	s.cmd.Stdout, s.cmd.Stderr = s.output, s.output
	if err := s.cmd.Start(); err != nil {
		return err
	}
	go func() {
		s.cmd.Wait() //nolint:errcheck // it is killed
		close(s.ended)
	}()
	for deadline := time.Now().Add(30 * time.Second); ; {
		conn, err := net.Dial("tcp", s.address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-s.ended:
			return fmt.Errorf("yserverd ended:\n%s", s.output)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return errors.Join(errors.New("yserverd does not listen"), err)
		}
	}
}

// kill ends the server as a power cut would, and waits until it is gone.
func (s *server) kill() {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	s.cmd.Process.Kill() //nolint:errcheck // it may be gone
	<-s.ended
}
