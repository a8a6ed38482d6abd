package difftest_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The operations of fixtures/yjs/lib/rpc.mjs and materialise.mjs that come here.
const (
	opFailure = 31
	opDone    = 32
	opRead    = 40
	opReplace = 41
	opEdit    = 42
)

// The statuses of an answer.
const (
	statusOK      = 0
	statusRefused = 1
	statusBroken  = 2
)

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
		if len(body) < 4 || int64(binary.LittleEndian.Uint32(body)) > int64(len(body)-4) {
			return 0, nil, fmt.Errorf("operation %d: cut off blob", op)
		}
		n := binary.LittleEndian.Uint32(body)
		blobs = append(blobs, body[4:4+n:4+n])
		body = body[4+n:]
	}
	return op, blobs, nil
}

// answer encodes an answer.
func answer(status byte, blobs ...[]byte) []byte {
	body := []byte{status}
	for _, b := range blobs {
		body = append(binary.LittleEndian.AppendUint32(body, uint32(len(b))), b...)
	}
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(body))), body...)
}
