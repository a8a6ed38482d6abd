package proc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
)

// shownLog is how much of a log an error carries, in bytes.
const shownLog = 8 << 10

// Command says what to run.
type Command struct {
	Path string
	Args []string
	Env  []string // the whole environment; nil is the one of the tests
	Dir  string

	// User is who runs it, where the tests run as root. Empty is the user of the tests.
	User string

	// Log is the file that output and errors are appended to.
	Log string

	// Orphaned is the signal that the child gets when the process of the tests dies; zero kills it.
	Orphaned os.Signal
}

// Run runs a command to its end. The error has the end of its log.
func Run(c Command) error {
	p, err := Start(c)
	if err != nil {
		return err
	}
	<-p.Ended()
	if !p.cmd.ProcessState.Success() {
		return fmt.Errorf("%s: %v:\n%s", c.Path, p.cmd.ProcessState, Tail(c.Log))
	}
	return nil
}

// Process is a child that was started. Its methods may be called from any goroutine.
type Process struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

// Start starts a command. Whoever starts a process also ends it.
func Start(c Command) (*Process, error) {
	log, err := os.OpenFile(c.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the child has its own
	cmd := exec.Command(c.Path, c.Args...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = c.Env, c.Dir, log, log
	if err := prepare(cmd, c.User, c.Orphaned); err != nil {
		return nil, fmt.Errorf("run %s as %s: %w", c.Path, c.User, err)
	}
	p, started := &Process{cmd: cmd, ended: make(chan struct{})}, make(chan error)
	go func() {
		// The system means the death of the thread that started the child when it speaks of the parent's: this one lives
		// as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in its state
			close(p.ended)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// Ended is closed when the child is gone.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// State says how it ended. It is for after that.
func (p *Process) State() string { return p.cmd.ProcessState.String() }

// Pid returns the child's number.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Signal sends a signal. That the child is gone already is no error.
func (p *Process) Signal(s os.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// Tail returns the end of a log, as far as it can be read.
func Tail(name string) string {
	text, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err.Error()
	}
	return string(text[max(0, len(text)-shownLog):])
}
