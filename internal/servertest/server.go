// Package servertest runs the built yserverd as a process of its own, which tests kill and start again.
//
// Invariants:
//
//   - The program is built once for each test process, from the sources as they are.
//   - A server keeps its address, a free one on the loopback interface, and its folder from one start to the next.
//   - It is gone when the test that made it has ended. Where that failed, the end of what it wrote is shown.
//   - Only what the test says configures it: YSERVERD_ variables are not inherited.
package servertest

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	startTimeout = 30 * time.Second
	pollInterval = 5 * time.Millisecond
	shownLog     = 32 << 10 // bytes of a failed test's log
)

// Options say how the program runs. The zero value is the development server.
type Options struct {
	// Config is the text of a configuration file. With one the program is run as "yserverd serve", and address and folder
	// are set over the file's; without one as "yserverd dev".
	Config string

	// Args are added to the command line.
	Args []string

	// Env is added to the environment, each as name=value.
	Env []string
}

// Server is a yserverd that is started, killed and started again. It is for one goroutine.
type Server struct {
	Address string // host and port
	Data    string // folder, which the program makes

	program string
	args    []string
	env     []string
	log     log
	cmd     *exec.Cmd     // nil while none runs
	ended   chan struct{} // closed when cmd has ended, and its output was read
}

// New builds the program and chooses an address and a folder. It does not start it.
func New(tb testing.TB, o Options) *Server {
	tb.Helper()
	program, err := build()
	if err != nil {
		tb.Fatalf("build yserverd: %v", err)
	}
	address, err := freeAddress()
	if err != nil {
		tb.Fatalf("find a free port: %v", err)
	}
	dir := tb.TempDir()
	s := &Server{Address: address, Data: filepath.Join(dir, "data"), program: program, env: environment(os.Environ())}
	if o.Config == "" {
		s.args = []string{"dev", "--listen", s.Address, "--data", s.Data}
	} else {
		file := filepath.Join(dir, "yserverd.yaml")
		if err := os.WriteFile(file, []byte(o.Config), 0o600); err != nil {
			tb.Fatalf("write the configuration: %v", err)
		}
		s.args = []string{"serve", "--config", file}
		s.env = append(s.env, "YSERVERD_LISTEN="+s.Address, "YSERVERD_DATA_DIR="+s.Data)
	}
	s.args = append(s.args, o.Args...)
	s.env = append(s.env, o.Env...)
	tb.Cleanup(func() {
		s.Kill()
		if tb.Failed() {
			tb.Logf("yserverd wrote:\n%s", s.log.tail(shownLog))
		}
	})
	return s
}

// Start runs the program and returns when it is ready: GET /readyz is answered with 200.
func (s *Server) Start() error {
	if s.cmd != nil {
		return errors.New("yserverd runs already")
	}
	cmd, ended := exec.Command(s.program, s.args...), make(chan struct{})
	cmd.Env, cmd.Stdout, cmd.Stderr = s.env, &s.log, &s.log
	if err := cmd.Start(); err != nil {
		return err
	}
	s.cmd, s.ended = cmd, ended
	go func() {
		_ = cmd.Wait() // how it ended is in its state
		close(ended)
	}()
	return s.awaitReady()
}

// awaitReady polls, since a process cannot say otherwise that it is ready.
func (s *Server) awaitReady() error {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	late := time.After(startTimeout)
	for {
		resp, err := client.Get(s.URL() + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New("/readyz: " + resp.Status)
		}
		select {
		case <-s.ended:
			return fmt.Errorf("yserverd ended (%v):\n%s", s.cmd.ProcessState, s.log.tail(shownLog))
		case <-late:
			return fmt.Errorf("yserverd is not ready after %v: %w", startTimeout, err)
		case <-time.After(pollInterval):
		}
	}
}

// Kill ends the program as kill -9 does, and returns when it is gone. Without one that runs it does nothing.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill() // it may have ended by itself
	<-s.ended
	s.cmd = nil
}

// Restart kills the program and starts it again, with the same address and folder.
func (s *Server) Restart() error {
	s.Kill()
	return s.Start()
}

// PID returns the number of the process that runs, zero without one.
func (s *Server) PID() int {
	if s.cmd == nil {
		return 0
	}
	return s.cmd.Process.Pid
}

// URL returns the server's address for requests, without a slash at the end.
func (s *Server) URL() string { return "http://" + s.Address }

// WebSocketURL returns the server's address for sockets, without a slash at the end.
func (s *Server) WebSocketURL() string { return "ws://" + s.Address }

// Log returns what the program has written so far, in all its runs. A server may be ready before its first line is read.
func (s *Server) Log() string { return s.log.String() }

// freeAddress returns an address on which nobody listens. Somebody else may take it before the server does, in theory:
// systems do not hand out a port again at once.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// environment returns the variables without those that would configure the server.
func environment(variables []string) []string {
	var kept []string
	for _, v := range variables {
		if !strings.HasPrefix(v, "YSERVERD_") {
			kept = append(kept, v)
		}
	}
	return kept
}
