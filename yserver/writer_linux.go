package yserver

import (
	"syscall"
	"unsafe"
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
