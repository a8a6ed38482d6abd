package proc

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	startTimeout = time.Minute // with recovery, on a busy machine
	stopTimeout  = time.Minute
	pollInterval = 5 * time.Millisecond
	startTries   = 5 // of a port that somebody else takes
)

// Server is a program that answers on a port, which is its own for good, with its data in a folder. It is for one goroutine
// at a time.
type Server struct {
	// Name is what errors call it.
	Name string
	// Folder has its log, and whatever else it needs.
	Folder *Folder
	// Taken is what it writes when somebody else has the port.
	Taken string
	// Command says how it is run. Folder and log are added.
	Command func() Command
	// Ready returns nil once it answers. It is asked again and again, since a process cannot say otherwise that it is ready.
	Ready func(ctx context.Context) error

	port    int
	process *Process // nil while none runs
}

// StartSomewhere chooses the port for good, another one if somebody else was faster, and starts the server.
func (s *Server) StartSomewhere() error {
	var err error
	for range startTries {
		if s.port, err = FreePort(); err != nil {
			return err
		}
		if err = s.Start(); err == nil || !strings.Contains(err.Error(), s.Taken) {
			return err
		}
	}
	return err
}

// Start starts the server and returns when it answers.
func (s *Server) Start() error {
	if s.process != nil {
		return fmt.Errorf("%s runs already", s.Name)
	}
	c := s.Command()
	c.Dir, c.Log = s.Folder.Path, s.log()
	process, err := Start(c)
	if err != nil {
		return err
	}
	s.process = process
	return s.awaitReady()
}

func (s *Server) awaitReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for {
		err := s.Ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.process.Ended():
			err = fmt.Errorf("%s ended (%s):\n%s", s.Name, s.process.State(), s.Log())
			s.process = nil
			return err
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer after %v: %w", s.Name, startTimeout, err)
		case <-time.After(pollInterval):
		}
	}
}

// Stop signals the server and waits until it is gone. One that does not go is killed, which is an error. Without one that
// runs it does nothing.
func (s *Server) Stop(how syscall.Signal) error {
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
		err = fmt.Errorf("%s was killed, since it did not end in %v", s.Name, stopTimeout)
		err = errors.Join(err, s.process.Signal(syscall.SIGKILL))
		<-s.process.Ended()
	}
	s.process = nil
	return err
}

// Remove ends the server with a signal and removes its folder.
func (s *Server) Remove(how syscall.Signal) error {
	return errors.Join(s.Stop(how), s.Folder.Remove())
}

// Pid returns the number of the process, which has to run.
func (s *Server) Pid() int { return s.process.Pid() }

// Port returns its port.
func (s *Server) Port() int { return s.port }

// Address returns host and port.
func (s *Server) Address() string { return Address(s.port) }

// Log returns the end of what the server has written, in all its runs.
func (s *Server) Log() string { return Tail(s.log()) }

func (s *Server) log() string { return filepath.Join(s.Folder.Path, "log") }
