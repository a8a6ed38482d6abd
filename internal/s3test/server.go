package s3test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
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
	program = "versitygw"
	health  = "/healthz"
)

// Server is an S3 server with its objects. Start, Stop and their like are for one goroutine at a time.
type Server struct {
	server proc.Server
	path   string
	scheme string       // http or https
	args   []string     // for the server as a whole
	named  atomic.Int64 // buckets so far
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
	s := &Server{path: path, scheme: scheme, args: args}
	s.server = proc.Server{Name: program, Folder: folder, Taken: "address already in use", Command: s.command, Ready: s.ready}
	if err = os.Mkdir(s.data(), 0o700); err == nil {
		err = s.server.StartSomewhere()
	}
	if err != nil {
		return nil, errors.Join(err, s.remove())
	}
	return s, nil
}

func (s *Server) data() string { return filepath.Join(s.server.Folder.Path, "data") }

// command says how the server is run.
func (s *Server) command() proc.Command {
	args := append([]string{"--port", s.Address(), "--region", Region, "--health", health, "--keep-alive", "--quiet"}, s.args...)
	return proc.Command{
		Path: s.path, Args: append(args, "posix", "--concurrency", "1", s.data()),
		Env: []string{"ROOT_ACCESS_KEY=" + AccessKey, "ROOT_SECRET_KEY=" + SecretKey},
	}
}

// ready tells that the server answers.
func (s *Server) ready(context.Context) error {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // the certificate is its users' matter
	}}
	resp, err := client.Get(s.scheme + "://" + s.Address() + health)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(health + ": " + resp.Status)
	}
	return nil
}

// Start starts the server and returns when it answers.
func (s *Server) Start() error { return s.server.Start() }

// Stop lets the server finish what it does. Without one that runs it does nothing, and so does Kill.
func (s *Server) Stop() error { return s.server.Stop(syscall.SIGTERM) }

// Kill ends the server in the middle of what it does.
func (s *Server) Kill() error { return s.server.Stop(syscall.SIGKILL) }

// remove ends the server and removes its objects.
func (s *Server) remove() error { return s.server.Remove(syscall.SIGKILL) }

// Address returns host and port.
func (s *Server) Address() string { return s.server.Address() }

// Log returns the end of what the server has written, in all its runs.
func (s *Server) Log() string { return s.server.Log() }
