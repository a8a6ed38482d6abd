//go:build !linux

package yserver

import (
	"errors"
	"math"
	"syscall"
	"time"
)

// canTry tells that sockets are only written through net.Conn here.
const canTry = false

type vector struct{}

func (*vector) write(uintptr, [][]byte) (int, error) { return 0, errors.ErrUnsupported }

func tuneSocket(syscall.RawConn) {}

func unconfirmed(uintptr) int { return 0 }

func lastHeard(uintptr) time.Duration { return math.MaxInt64 }
