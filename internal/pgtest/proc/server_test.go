package proc_test

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/pgtest/proc"
)

// shell is a server that runs a line of a shell, and is ready as the test says.
func shell(t *testing.T, line string, ready func() error) *proc.Server {
	folder, err := proc.NewFolder("yserverd-proctest-server")
	require.NoError(t, err)
	s := &proc.Server{
		Name: "shell", Folder: folder, Taken: "taken",
		Command: func() proc.Command { return proc.Command{Path: "/bin/sh", Args: []string{"-c", line}} },
		Ready:   func(context.Context) error { return ready() },
	}
	t.Cleanup(func() {
		require.NoError(t, s.Remove(syscall.SIGKILL))
		require.NoDirExists(t, folder.Path)
	})
	return s
}

func TestServerKeepsItsPort(t *testing.T) {
	asked := 0
	s := shell(t, "echo started; exec sleep 600", func() error {
		if asked++; asked%3 != 0 {
			return errors.New("not yet")
		}
		return nil
	})
	require.NoError(t, s.Stop(syscall.SIGTERM), "none runs")
	require.NoError(t, s.StartSomewhere())
	require.Equal(t, 3, asked)
	port, pid := s.Port(), s.Pid()
	require.Equal(t, proc.Address(port), s.Address())
	require.ErrorContains(t, s.Start(), "runs already")
	require.NoError(t, s.Stop(syscall.SIGTERM))
	require.True(t, gone(pid))
	require.NoError(t, s.Start())
	require.Equal(t, port, s.Port())
	require.NotEqual(t, pid, s.Pid())
}

func TestServerThatEndsIsNotReady(t *testing.T) {
	s := shell(t, "echo no luck; exit 3", func() error { return errors.New("nobody answers") })
	require.ErrorContains(t, s.StartSomewhere(), "shell ended (exit status 3):\nno luck")
	require.Equal(t, 1, strings.Count(s.Log(), "no luck"), "another port would not help")
	require.ErrorContains(t, s.Start(), "no luck", "it may be tried again")
}

func TestServerWhosePortIsTakenGetsAnother(t *testing.T) {
	s := shell(t, "echo taken; exit 1", func() error { return errors.New("nobody answers") })
	require.ErrorContains(t, s.StartSomewhere(), "taken")
	require.Greater(t, strings.Count(s.Log(), "taken"), 1)
}
