package proc

import (
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// prepare makes the child a user's, and binds its life to this process.
func prepare(cmd *exec.Cmd, name string, orphaned os.Signal) error {
	deathSignal, ok := orphaned.(syscall.Signal)
	if !ok {
		deathSignal = syscall.SIGKILL
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: deathSignal}
	if name == "" {
		return nil
	}
	uid, gid, err := lookup(name)
	if err != nil {
		return err
	}
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return nil
}

// Own gives a file to a user.
func Own(path, name string) error {
	uid, gid, err := lookup(name)
	if err != nil {
		return err
	}
	return os.Chown(path, uid, gid)
}

func lookup(name string) (uid, gid int, err error) {
	u, err := user.Lookup(name)
	if err != nil {
		return 0, 0, err
	}
	if uid, err = strconv.Atoi(u.Uid); err != nil {
		return 0, 0, err
	}
	gid, err = strconv.Atoi(u.Gid)
	return uid, gid, err
}

// tryLock takes an advisory lock, which lasts as long as the file is open.
func tryLock(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
