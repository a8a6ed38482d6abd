package s3test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/yserverd/yserverd/internal/pgtest/proc"
	"github.com/yserverd/yserverd/internal/ytest"
)

// What every server knows. Keys and region are those of nobody else.
const (
	AccessKey = "test-access"
	SecretKey = "test-secret-of-nobody"
	Region    = "us-east-1"
)

const (
	program      = "versitygw"
	health       = "/healthz"
	startTimeout = 30 * time.Second
	stopTimeout  = 30 * time.Second
	pollInterval = 5 * time.Millisecond
	startTries   = 5 // of a port that somebody else takes
)

// Server is an S3 server with its objects. Start, Stop and their like are for one goroutine at a time.
type Server struct {
	folder  *proc.Folder
	path    string
	scheme  string   // http or https
	args    []string // for the server as a whole
	port    int
	process *proc.Process // nil while none runs
	named   atomic.Int64  // buckets so far
}

// New returns a started server that is the test's own, to be stopped and started by it. The arguments are added to the
// program's, in front of those of its storage. It skips the test, or fails it, where the program is missing.
func New(tb testing.TB, args ...string) *Server {
	tb.Helper()
	return start(tb, "http", args)
}

// NewTLS returns a started server as New does, with a certificate and its key, the names of files.
func NewTLS(tb testing.TB, certificate, key string) *Server {
	tb.Helper()
	return start(tb, "https", []string{"--cert", certificate, "--key", key})
}

// start starts a server for a test.
func start(tb testing.TB, scheme string, args []string) *Server {
	tb.Helper()
	path := require(tb)
	s, err := newServer(path, scheme, args)
	if err != nil {
		tb.Fatalf("start %s: %v", program, err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("%s wrote:\n%s", program, s.Log())
		}
		if err := s.remove(); err != nil {
			tb.Errorf("stop %s: %v", program, err)
		}
	})
	return s
}

// require returns the path of the program, or skips the test (or fails it, see ytest.RequireEnv) with what is missing.
func require(tb testing.TB) string {
	tb.Helper()
	path, err := findProgram()
	if err == nil {
		return path
	}
	if ytest.Required() {
		tb.Fatalf("%v (%s=1)", err, ytest.RequireEnv)
	}
	tb.Skip(err)
	return ""
}

func findProgram() (string, error) {
	path, err := exec.LookPath(filepath.Join(ytest.Root(), ".cache", "bin", program))
	if err != nil {
		path, err = exec.LookPath(program)
	}
	if err != nil {
		return "", fmt.Errorf("the S3 server %s is not here (make needs builds it): %w", program, err)
	}
	return path, nil
}

// newServer starts a server, with another port if somebody else was faster.
func newServer(path, scheme string, args []string) (*Server, error) {
	folder, err := proc.NewFolder("yserverd-s3")
	if err != nil {
		return nil, err
	}
	s := &Server{folder: folder, path: path, scheme: scheme, args: args}
	if err = os.Mkdir(s.data(), 0o700); err == nil {
		err = s.startSomewhere()
	}
	if err != nil {
		return nil, errors.Join(err, s.remove())
	}
	return s, nil
}

func (s *Server) data() string { return filepath.Join(s.folder.Path, "data") }
func (s *Server) log() string  { return filepath.Join(s.folder.Path, "log") }

// startSomewhere chooses the port for good.
func (s *Server) startSomewhere() error {
	var err error
	for range startTries {
		if s.port, err = proc.FreePort(); err != nil {
			return err
		}
		if err = s.Start(); err == nil || !strings.Contains(err.Error(), "address already in use") {
			return err
		}
	}
	return err
}

// Start starts the server and returns when it answers.
func (s *Server) Start() error {
	if s.process != nil {
		return fmt.Errorf("%s runs already", program)
	}
	args := append([]string{"--port", s.Address(), "--region", Region, "--health", health, "--keep-alive", "--quiet"}, s.args...)
	process, err := proc.Start(proc.Command{
		Path: s.path, Args: append(args, "posix", "--concurrency", "1", s.data()),
		Env: []string{"ROOT_ACCESS_KEY=" + AccessKey, "ROOT_SECRET_KEY=" + SecretKey},
		Dir: s.folder.Path, Log: s.log(),
	})
	if err != nil {
		return err
	}
	s.process = process
	return s.awaitReady()
}

// awaitReady polls, since a process cannot say otherwise that it is ready.
func (s *Server) awaitReady() error {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // the certificate is its users' matter
	}}
	late := time.After(startTimeout)
	for {
		resp, err := client.Get(s.scheme + "://" + s.Address() + health)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(health + ": " + resp.Status)
		}
		select {
		case <-s.process.Ended():
			err = fmt.Errorf("%s ended (%s):\n%s", program, s.process.State(), s.Log())
			s.process = nil
			return err
		case <-late:
			return fmt.Errorf("%s is not ready after %v: %w", program, startTimeout, err)
		case <-time.After(pollInterval):
		}
	}
}

// Stop lets the server finish what it does. Without one that runs it does nothing, and so does Kill.
func (s *Server) Stop() error { return s.end(syscall.SIGTERM) }

// Kill ends the server in the middle of what it does.
func (s *Server) Kill() error { return s.end(syscall.SIGKILL) }

// end signals the server and waits until it is gone. One that does not go is killed, which is an error.
func (s *Server) end(how syscall.Signal) error {
	if s.process == nil {
		return nil
	}
	if err := s.process.Signal(how); err != nil {
		return err
	}
	var err error
	select {
	case <-s.process.Ended():
	case <-time.After(stopTimeout):
		err = fmt.Errorf("%s was killed, since it did not end in %v", program, stopTimeout)
		err = errors.Join(err, s.process.Signal(syscall.SIGKILL))
		<-s.process.Ended()
	}
	s.process = nil
	return err
}

// remove ends the server and removes its objects.
func (s *Server) remove() error { return errors.Join(s.Kill(), s.folder.Remove()) }

// Address returns host and port.
func (s *Server) Address() string { return proc.Address(s.port) }

// Log returns the end of what the server has written, in all its runs.
func (s *Server) Log() string { return proc.Tail(s.log()) }
