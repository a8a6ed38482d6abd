package yserver

import (
	"math"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// canTry tells that sockets can be written without waiting.
const canTry = true

// vector is the argument of writev(2).
type vector [writePieces]syscall.Iovec

// write writes pieces to fd, at least one, in one system call. A socket that
// takes nothing now is n = 0 without an error.
func (v *vector) write(fd uintptr, pieces [][]byte) (int, error) {
	for {
		var n uintptr
		var errno syscall.Errno
		if len(pieces) == 1 {
			b := pieces[0]
			n, _, errno = syscall.Syscall(syscall.SYS_WRITE, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		} else {
			for i, b := range pieces {
				v[i].Base = unsafe.SliceData(b)
				v[i].SetLen(len(b))
			}
			n, _, errno = syscall.Syscall(syscall.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&v[0])), uintptr(len(pieces)))
			clear(v[:len(pieces)])
		}
		switch errno {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, nil
		default:
			return 0, errno
		}
	}
}

// unsentBytes bounds what the kernel holds of a socket that the network does not
// take yet. By default that is megabytes: a peer would fall behind by them before
// anybody notices, and a slow one would be offered more only minutes later.
const unsentBytes = 128 << 10

// tuneSocket prepares a TCP socket for a peer; where that fails it works as well.
func tuneSocket(raw syscall.RawConn) {
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentBytes)
	})
}

// unconfirmed is how many bytes the kernel holds that the client has not
// confirmed; 0 if it does not say.
func unconfirmed(fd uintptr) int {
	n, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
	if err != nil {
		return 0
	}
	return n
}

// lastHeard is how long ago the kernel got a confirmation of the client's, be it
// that its window is closed; for ever if it does not say.
func lastHeard(fd uintptr) time.Duration {
	info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return math.MaxInt64
	}
	return time.Duration(info.Last_ack_recv) * time.Millisecond
}
