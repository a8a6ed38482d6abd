package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/ytest"
)

// fullDisk is set in a process that may mount a disk of its own.
const fullDisk = "YSERVERD_E2E_FULL_DISK"

const (
	smallDisk = 40 << 20
	largeDisk = 400 << 20

	// fullDiskMemory is what the flood may cost: floodMemory, and what the engine keeps in memory besides.
	fullDiskMemory = (floodMemory + 2) * uncommittedBytes
)

// While eight stock clients type, the disk that the embedded store is on becomes
// full. The server says so in its log and by /readyz; the clients go on and see
// each other's edits, none of them is told that anything is stored, and one that
// floods is held back. When there is space again the server stores everything by
// itself, and nobody's connection ends. Then the disk becomes full once more, the
// server is killed, and started on the full disk: it says why it does not start,
// or does. With space again everything is there, once.
//
// The disk is a small tmpfs in a mount namespace of the test's own, so nothing but
// user namespaces is needed. Where those are forbidden too, the test is skipped even
// if nothing may be missing: TestDiskTrouble of the store has the same errors from
// a file system in memory.
func TestFullDisk(t *testing.T) {
	if os.Getenv(fullDisk) == "" {
		t.Parallel()
		inNamespace(t)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	disk := mountDisk(t)
	f := &fullDiskTest{newKilling(t, &depot{folder: filepath.Join(disk.path, "data")}), disk, nil}
	require.NoError(t, f.s.Start())
	f.typists = f.join(ctx, 0)
	f.recovers(ctx)
	f.restarts(ctx)
}

// inNamespace runs the test in a process that has user and mount namespaces of its
// own, in which it is root; or, where only root may do that, in one with a mount
// namespace.
func inNamespace(t *testing.T) {
	t.Helper()
	var out []byte
	var err error
	for _, flags := range []uintptr{syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS, syscall.CLONE_NEWNS} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestFullDisk$", "-test.v", "-test.timeout=5m")
		cmd.Env = append(os.Environ(), fullDisk+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL}
		if flags&syscall.CLONE_NEWUSER != 0 {
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
			cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
		}
		out, err = cmd.CombinedOutput()
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			t.Fatalf("%v:\n%s", err, out)
		}
		if err == nil && !strings.Contains(string(out), "--- SKIP") {
			t.Logf("in namespaces %#x:\n%s", flags, out)
			return
		}
	}
	t.Skipf("no disk can be mounted here (%v); the store's TestDiskTrouble has full disks too\n%s", err, out)
}

// disk is a file system that becomes full.
type disk struct {
	t    *testing.T
	path string
}

func mountDisk(t *testing.T) *disk {
	t.Helper()
	d := &disk{t, t.TempDir()}
	err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
	if err == nil {
		err = syscall.Mount("tmpfs", d.path, "tmpfs", 0, fmt.Sprintf("size=%d", smallDisk))
	}
	if err != nil {
		t.Skipf("mount a disk: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(d.path, syscall.MNT_DETACH)) })
	return d
}

func (d *disk) left() int64 {
	d.t.Helper()
	var st syscall.Statfs_t
	require.NoError(d.t, syscall.Statfs(d.path, &st))
	return int64(st.Bavail) * st.Bsize
}

// resize gives the disk so many bytes.
func (d *disk) resize(bytes int64) {
	d.t.Helper()
	require.NoError(d.t, syscall.Mount("tmpfs", d.path, "tmpfs", syscall.MS_REMOUNT, fmt.Sprintf("size=%d", bytes)))
}

// shrink gives it what is used, and so much more.
func (d *disk) shrink(more int64) {
	d.t.Helper()
	var st syscall.Statfs_t
	require.NoError(d.t, syscall.Statfs(d.path, &st))
	d.resize(int64(st.Blocks-st.Bfree)*st.Bsize + more)
}

// ballast writes until so many bytes are left.
func (d *disk) ballast(left int64) {
	d.t.Helper()
	f, err := os.OpenFile(d.ballastFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	require.NoError(d.t, err)
	defer f.Close()
	block := make([]byte, 4<<10)
	for err == nil && d.left() > left {
		_, err = f.Write(block)
	}
	if err != nil {
		require.ErrorIs(d.t, err, syscall.ENOSPC)
	}
}

func (d *disk) ballastFile() string { return filepath.Join(d.path, "ballast") }

// keepFull takes all space, and what the server frees, until it is called.
func (d *disk) keepFull() (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			d.ballast(0)
			select {
			case <-quit:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	return func() { close(quit); <-done }
}

// fullDiskTest is the test of a full disk.
type fullDiskTest struct {
	*killing
	disk    *disk
	typists []*ytest.NodeClient
}

// fill lets clients write until nothing more can be stored, and sees to it that it
// stays so until stop is called.
func (f *fullDiskTest) fill(ctx context.Context) (stop func()) {
	for n := 0; ; n++ {
		require.NoError(f.t, f.typists[n%killRooms].Edit(ctx, ytest.FillKey(fmt.Sprint("f", n), 64<<10)))
		if status, err := readiness(f.s); err == nil && status == http.StatusServiceUnavailable {
			return f.disk.keepFull()
		}
	}
}

// recovers: the disk becomes full under load, and the server gets over it.
func (f *fullDiskTest) recovers(ctx context.Context) {
	t := f.t
	before := startTyping(ctx, t, f.typists, 0, outageNotes)
	f.moment()
	f.disk.ballast(1 << 20)
	stop := f.fill(ctx)
	before.Wait()
	require.Contains(t, f.s.Log(), "no space left on device")
	startTyping(ctx, t, f.typists, 1, outageNotes).Wait()
	awaitEachOther(ctx, t, f.typists, 0, 1)
	f.nothingIsAcknowledged(ctx, f.typists, 1)
	flood := newFlood(t, f.s, "flood", 1, 16<<10)
	memory := resident(t, f.s.PID())
	flood.start()
	flood.awaitStuck(t)
	memory = resident(t, f.s.PID()) - memory
	require.Less(t, flood.bytes.Load(), int64(uncommittedBytes+betweenBytes))
	require.Less(t, memory, int64(fullDiskMemory))
	t.Logf("%d MiB taken of a flood, for %d MiB of memory", flood.bytes.Load()>>20, memory>>20)
	status, err := readiness(f.s)
	require.NoError(t, err)
	require.Equal(t, http.StatusServiceUnavailable, status)

	stop()
	require.NoError(t, os.Remove(f.disk.ballastFile()))
	f.disk.resize(largeDisk) // for the flood
	awaitReadiness(t, f.s, http.StatusOK)
	awaitSaved(ctx, t, f.typists)
	flood.stop.Store(true)
	select {
	case <-flood.saved:
	case err := <-flood.reading:
		require.NoError(t, err, "the flood was closed")
	case <-ctx.Done():
		t.Fatal("the flood is never told that it is saved")
	}
	require.NoError(t, <-flood.writing)
	requireConnected(ctx, t, f.typists)
	f.s.Kill()
	f.storedOnce(ctx, 0, 0, 1)
	docs := f.d.open(ctx, t, f.s)
	defer docs.close()
	require.Equal(t, flood.sent.Load(), docs.clock(ctx, "flood", 1))
}

// restarts: the disk becomes full, and the server is killed and started on it.
func (f *fullDiskTest) restarts(ctx context.Context) {
	t := f.t
	require.NoError(t, f.s.Start())
	awaitSaved(ctx, t, f.typists)
	f.disk.shrink(1 << 20)
	before := startTyping(ctx, t, f.typists, 2, outageNotes)
	stop := f.fill(ctx)
	before.Wait()
	startTyping(ctx, t, f.typists, 3, outageNotes).Wait()
	f.nothingIsAcknowledged(ctx, f.typists, 3)
	f.s.Kill()
	err := f.s.Start()
	stop()
	if err != nil {
		require.ErrorContains(t, err, "no space left on device")
		t.Logf("on a full disk it does not start: %v", err)
	} else {
		t.Log("it starts on a full disk")
	}
	f.s.Kill()

	require.NoError(t, os.Remove(f.disk.ballastFile()))
	f.disk.resize(largeDisk)
	f.storedOnce(ctx, 0, 0, 1)
	sum := f.checkStore(ctx, f.typists, 0)
	t.Logf("killed on a full disk: %v", sum)
	require.Less(t, sum.echoed, sum.made)
	require.NoError(t, f.s.Start())
	awaitSaved(ctx, t, f.typists)
	awaitEachOther(ctx, t, f.typists, 0, 1, 2, 3)
	f.s.Kill()
	f.storedOnce(ctx, 0, 0, 1, 2, 3)
}
