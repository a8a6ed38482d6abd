package changes

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// reader takes a message of pgoutput apart. The first mistake stays: what is read behind it is zero.
type reader struct {
	rest []byte
	size int
	err  error
}

func newReader(b []byte) *reader { return &reader{rest: b, size: len(b)} }

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("pgoutput: %s at byte %d of %d", what, r.size-len(r.rest), r.size)
	}
	r.rest = nil
}

// take borrows the next n bytes.
func (r *reader) take(n int) []byte {
	if r.err != nil || n < 0 || n > len(r.rest) {
		r.fail("message ends too early")
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint16() int {
	if b := r.take(2); b != nil {
		return int(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// string copies up to the next zero.
func (r *reader) string() string {
	n := bytes.IndexByte(r.rest, 0)
	if n < 0 {
		r.fail("text without an end")
		return ""
	}
	s := string(r.rest[:n])
	r.rest = r.rest[n+1:]
	return s
}

// end fails if something is left: a server speaks the version that was asked for.
func (r *reader) end() error {
	if r.err == nil && len(r.rest) > 0 {
		r.fail("message goes on")
	}
	return r.err
}
