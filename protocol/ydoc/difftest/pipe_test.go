package difftest_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The operations of fixtures/yjs/lib/rpc.mjs.
const (
	opReset        = 1
	opApply        = 2
	opStateVector  = 3
	opState        = 4
	opDiff         = 5
	opSince        = 6
	opClaims       = 7
	opPending      = 8
	opFull         = 9
	opRestart      = 10
	opFreeze       = 11
	opCompact      = 12
	opAdopt        = 13
	opStats        = 14
	opCrash        = 15
	opMerge        = 16
	opUpdateDiff   = 17
	opUpdateVector = 18
	opSplit        = 19
	opCheck        = 20
	opProgress     = 30
	opFailure      = 31
	opDone         = 32
)

// The statuses of an answer.
const (
	statusOK      = 0
	statusRefused = 1
	statusBroken  = 2
)

// brokenError says that the store does not keep a promise.
type brokenError string

func (e brokenError) Error() string { return string(e) }

func broken(format string, args ...any) error { return brokenError(fmt.Sprintf(format, args...)) }

// readRequest reads one request: its operation and its blobs.
func readRequest(r io.Reader) (op byte, blobs [][]byte, err error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	body := make([]byte, binary.LittleEndian.Uint32(head[:]))
	if _, err := io.ReadFull(r, body); err != nil {
		return 0, nil, err
	}
	if len(body) == 0 {
		return 0, nil, errors.New("empty request")
	}
	op, body = body[0], body[1:]
	for len(body) > 0 {
		if len(body) < 4 {
			return 0, nil, errors.New("cut off request")
		}
		n := binary.LittleEndian.Uint32(body)
		if int64(n) > int64(len(body)-4) {
			return 0, nil, errors.New("cut off blob")
		}
		blobs = append(blobs, body[4:4+n:4+n])
		body = body[4+n:]
	}
	return op, blobs, nil
}

// appendAnswer appends an answer.
func appendAnswer(dst []byte, blobs [][]byte, err error) []byte {
	status := byte(statusOK)
	if err != nil {
		status = statusRefused
		var b brokenError
		if errors.As(err, &b) {
			status = statusBroken
		}
		blobs = [][]byte{[]byte(err.Error())}
	}
	size := 1
	for _, b := range blobs {
		size += 4 + len(b)
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(size))
	dst = append(dst, status)
	for _, b := range blobs {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(b)))
		dst = append(dst, b...)
	}
	return dst
}
