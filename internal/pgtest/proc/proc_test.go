package proc_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/pgtest/proc"
)

// helperEnv makes the test program a parent, with folders of that kind, which TestChildDiesWithItsParent kills.
const helperEnv = "PROC_TEST_FOLDER_KIND"

// Example runs a program in a folder of its own.
func Example() {
	_ = func() error {
		folder, err := proc.NewFolder("example")
		if err != nil {
			return err
		}
		err = proc.Run(proc.Command{Path: "/bin/true", Log: filepath.Join(folder.Path, "log")})
		return errors.Join(err, folder.Remove())
	}
	// Output:
}

func logFile(t *testing.T) string { return filepath.Join(t.TempDir(), "log") }

func TestRunShowsWhatFailed(t *testing.T) {
	log := logFile(t)
	require.NoError(t, proc.Run(proc.Command{Path: "/bin/sh", Args: []string{"-c", "echo $WORD"}, Env: []string{"WORD=fine"}, Log: log}))
	require.Equal(t, "fine\n", proc.Tail(log))
	err := proc.Run(proc.Command{Path: "/bin/sh", Args: []string{"-c", "echo no such luck >&2; exit 3"}, Log: log})
	require.ErrorContains(t, err, "exit status 3")
	require.ErrorContains(t, err, "no such luck")
	require.Error(t, proc.Run(proc.Command{Path: "/no/such/program", Log: log}))
	require.Empty(t, proc.Tail(log+"x"))
}

func TestProcessIsSignalled(t *testing.T) {
	p, err := proc.Start(proc.Command{Path: "/bin/sleep", Args: []string{"600"}, Log: logFile(t)})
	require.NoError(t, err)
	require.NoError(t, p.Signal(syscall.SIGTERM))
	<-p.Ended()
	require.Equal(t, "signal: terminated", p.State())
	require.NoError(t, p.Signal(syscall.SIGTERM), "it is gone")
}

func TestProcessIsAnotherUser(t *testing.T) {
	if os.Getuid() != 0 || runtime.GOOS != "linux" {
		t.Skip("only root on Linux runs programs as somebody else")
	}
	log := logFile(t)
	require.NoError(t, proc.Run(proc.Command{Path: "/usr/bin/id", Args: []string{"-un"}, User: "nobody", Log: log}))
	require.Equal(t, "nobody\n", proc.Tail(log))
	require.NoError(t, proc.Own(log, "nobody"))
	require.Error(t, proc.Own(log, "no-such-user"))
	require.Error(t, proc.Run(proc.Command{Path: "/usr/bin/id", User: "no-such-user", Log: log}))
}

func TestFreePortIsFree(t *testing.T) {
	port, err := proc.FreePort()
	require.NoError(t, err)
	l, err := net.Listen("tcp", proc.Address(port))
	require.NoError(t, err)
	require.NoError(t, l.Close())
}

func TestFolderIsHeld(t *testing.T) {
	const kind = "yserverd-proctest"
	mine, err := proc.NewFolder(kind)
	require.NoError(t, err)
	other, err := proc.NewFolder(kind)
	require.NoError(t, err)
	require.DirExists(t, mine.Path, "the process that has it lives")
	require.NoError(t, mine.Remove())
	require.NoError(t, other.Remove())
	require.NoDirExists(t, mine.Path)
	require.NoDirExists(t, other.Path)
}

// parent is what the next test runs and kills: it has a child and a folder, and says which.
func parent(kind string) error {
	folder, err := proc.NewFolder(kind)
	if err != nil {
		return err
	}
	p, err := proc.Start(proc.Command{Path: "/bin/sleep", Args: []string{"600"}, Log: filepath.Join(folder.Path, "log")})
	if err != nil {
		return err
	}
	if _, err := fmt.Printf("%d %s\n", p.Pid(), folder.Path); err != nil {
		return err
	}
	<-p.Ended()
	return nil
}

func TestChildDiesWithItsParent(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only on Linux")
	}
	const kind = "yserverd-proctest-parent"
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), helperEnv+"="+kind)
	out, err := parent.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	var child int
	var left string
	_, scanErr := fmt.Fscan(out, &child, &left)
	require.NoError(t, parent.Process.Kill())
	_ = parent.Wait() // it was killed
	require.NoError(t, scanErr)
	require.Eventually(t, func() bool { return gone(child) }, 10*time.Second, time.Millisecond)

	require.DirExists(t, left)
	folder, err := proc.NewFolder(kind)
	require.NoError(t, err)
	require.NoDirExists(t, left, "its process is gone")
	require.NoError(t, folder.Remove())
}

// gone reports whether a process has ended, be it that nobody has waited for it yet.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || bytes.Contains(stat, []byte(") Z "))
}

// run is a package's tests.
type run func() int

func (r run) Run() int { return r() }

func TestSharedGoesWithMain(t *testing.T) {
	started, removed := 0, 0
	var removeErr error
	shared := proc.NewShared("some", func(n int) error {
		require.Equal(t, started, n)
		removed++
		return removeErr
	})
	get := func() (int, error) {
		return shared.Get(func() (int, error) { started++; return started, nil })
	}
	_, err := get()
	require.ErrorContains(t, err, "some.Main")
	require.Equal(t, 3, shared.Main(run(func() int { return 3 })).Run(), "nobody asks for it")
	require.Zero(t, started+removed)

	for n := 1; n <= 2; n++ {
		require.Zero(t, shared.Main(run(func() int {
			for range 2 {
				server, err := get()
				require.NoError(t, err)
				require.Equal(t, n, server, "it is started once")
			}
			require.Equal(t, n-1, removed)
			return 0
		})).Run())
		require.Equal(t, n, removed)
	}

	removeErr = errors.New("stuck")
	require.Equal(t, 1, shared.Main(run(func() int { _, _ = get(); return 0 })).Run())
	removed = 0
	require.Zero(t, shared.Main(run(func() int {
		for range 2 {
			_, err := shared.Get(func() (int, error) { return 0, errors.New("no luck") })
			require.ErrorContains(t, err, "no luck")
		}
		return 0
	})).Run())
	require.Zero(t, removed, "it was never there")
}
