package e2e_test

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/ytest"
)

// server is the built program as a process that is killed and started again, on
// one address and one folder.
type server struct {
	t    *testing.T
	bin  string
	addr string
	data string

	cmd *exec.Cmd
	log *logBuffer
}

// buildServer builds the program and chooses where it runs. It is not started.
func buildServer(t *testing.T) *server {
	t.Helper()
	dir := t.TempDir()
	s := &server{t: t, bin: filepath.Join(dir, "yserverd"), data: filepath.Join(dir, "data"), log: &logBuffer{}}
	build := exec.Command("go", "build", "-o", s.bin, "./cmd/yserverd")
	build.Dir = ytest.Root()
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.addr = l.Addr().String()
	require.NoError(t, l.Close())
	t.Cleanup(s.kill)
	return s
}

// start runs the program and waits until it answers.
func (s *server) start() {
	s.t.Helper()
	s.cmd = exec.Command(s.bin, "dev", "--listen", s.addr, "--data", s.data)
	s.cmd.Stderr = s.log
	require.NoError(s.t, s.cmd.Start())
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	require.Eventually(s.t, func() bool {
		resp, err := client.Get("http://" + s.addr + "/readyz")
		if err != nil {
			return false
		}
		return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
	}, 30*time.Second, 5*time.Millisecond, "the server does not come up: %s", s.log)
}

// kill ends the program as kill -9 does, and waits until it is gone.
func (s *server) kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(os.Kill)
	_ = s.cmd.Wait()
	s.cmd = nil
}

// logBuffer keeps what the program logs.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
