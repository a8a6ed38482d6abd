//go:build !linux

package yserver

import "errors"

// canTry tells that sockets are only written through net.Conn here.
const canTry = false

type vector struct{}

func (*vector) write(uintptr, [][]byte) (int, error) { return 0, errors.ErrUnsupported }
