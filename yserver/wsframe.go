package yserver

import (
	"encoding/binary"
	"strings"
	"unicode/utf8"
)

// opcode is the type of a WebSocket frame (RFC 6455, section 5.2).
type opcode uint8

const (
	opContinuation opcode = 0x0
	opText         opcode = 0x1
	opBinary       opcode = 0x2
	opClose        opcode = 0x8
	opPing         opcode = 0x9
	opPong         opcode = 0xa
)

// control reports whether op is a control frame: at most 125 bytes, never
// fragmented, allowed between the fragments of a message.
func (op opcode) control() bool { return op >= opClose }

// Close codes (RFC 6455, section 7.4). 1005 and 1006 never travel: they say that
// a close frame had no code, and that there was none.
const (
	closeNormal         = 1000
	closeGoingAway      = 1001
	closeProtocolError  = 1002
	closeNoStatus       = 1005
	closeAbnormal       = 1006
	closeInvalidPayload = 1007
	closePolicy         = 1008
	closeTooBig         = 1009
	closeInternalError  = 1011
	closeServiceRestart = 1012
	closeTryLater       = 1013
)

const (
	finBit  = 0x80
	maskBit = 0x80

	maxControlPayload = 125
	maxCloseReason    = maxControlPayload - 2
	maxClientHeader   = 2 + 8 + 4
)

// appendFrameHeader encodes the header of an unfragmented, unmasked frame.
//
//	FIN|opcode, length (7 bits, or 126 and 16 bits, or 127 and 64 bits)
func appendFrameHeader(dst []byte, op opcode, n int) []byte {
	dst = append(dst, finBit|byte(op))
	switch {
	case n <= maxControlPayload:
		return append(dst, byte(n))
	case n <= 0xffff:
		return binary.BigEndian.AppendUint16(append(dst, 126), uint16(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, 127), uint64(n))
	}
}

// appendCloseFrame encodes a close frame. [closeNoStatus] gives an empty one, a
// code that must not travel becomes [closeInternalError]; the reason is made
// valid UTF-8 and cut to 123 bytes between two characters.
func appendCloseFrame(dst []byte, code int, reason string) []byte {
	if code == closeNoStatus {
		return appendFrameHeader(dst, opClose, 0)
	}
	code, reason = closeCode(code), closeReason(reason)
	dst = appendFrameHeader(dst, opClose, 2+len(reason))
	dst = binary.BigEndian.AppendUint16(dst, uint16(code))
	return append(dst, reason...)
}

// closeCode returns the code that is sent for one that may not be.
func closeCode(code int) int {
	if code == closeNoStatus {
		return code
	}
	if code < closeNormal || code > 4999 || code == closeAbnormal || code == 1004 || code == 1015 {
		return closeInternalError
	}
	return code
}

func closeReason(reason string) string {
	reason = strings.ToValidUTF8(reason, "\uFFFD")
	if len(reason) <= maxCloseReason {
		return reason
	}
	cut := maxCloseReason
	for !utf8.RuneStart(reason[cut]) {
		cut--
	}
	return reason[:cut]
}

// parseClosePayload reads what a close frame carries. ok is false when it breaks
// the protocol.
func parseClosePayload(p []byte) (code int, reason string, ok bool) {
	if len(p) == 0 {
		return closeNoStatus, "", true
	}
	if len(p) == 1 || !utf8.Valid(p[2:]) {
		return 0, "", false
	}
	code = int(binary.BigEndian.Uint16(p))
	switch {
	case code >= 3000 && code <= 4999:
	case code >= closeNormal && code <= 1003, code >= closeInvalidPayload && code <= 1014:
	default:
		return 0, "", false
	}
	return code, string(p[2:]), true
}

// frameScan follows the frames of a client as their bytes pass, without keeping
// them: how long the message is that is under way, where one begins that is
// longer than allowed, and what a close frame says.
//
// It judges nothing else; what breaks the protocol is refused by the reader
// above it, which sees the same bytes.
type frameScan struct {
	header  [maxClientHeader]byte
	have    uint8 // bytes of the header that are here
	op      opcode
	fin     bool
	payload bool  // the header is complete
	maskAt  uint8 // of the next payload byte; for close frames
	rest    int64 // payload bytes of the frame that are missing

	total  int64  // payload announced by the frames of the message so far
	got    int64  // payload of the message so far
	close  []byte // payload of a close frame, unmasked
	closed bool   // a close frame is complete
}

// scan takes the next bytes of the stream. It stops at a message longer than
// limit: n is then how many bytes of b come before the end of the header that
// says so, and ok is false.
func (f *frameScan) scan(b []byte, limit int64) (n int, ok bool) {
	for n < len(b) {
		if f.payload {
			n += f.skip(b[n:])
			continue
		}
		f.header[f.have] = b[n]
		f.have++
		if int(f.have) == f.headerLen() && !f.begin(limit) {
			return n, false
		}
		n++
	}
	return n, true
}

// headerLen is the length of the header as far as the bytes here tell.
func (f *frameScan) headerLen() int {
	if f.have < 2 {
		return maxClientHeader + 1
	}
	n := 2
	switch f.header[1] &^ maskBit {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if f.header[1]&maskBit != 0 {
		n += 4
	}
	return n
}

// begin reads a complete header. It returns false when the message is too long.
func (f *frameScan) begin(limit int64) bool {
	h := f.header[:f.have]
	op := opcode(h[0] & 0xf)
	length := int64(h[1] &^ maskBit)
	switch length {
	case 126:
		length = int64(binary.BigEndian.Uint16(h[2:]))
	case 127:
		length = int64(binary.BigEndian.Uint64(h[2:]) & (1<<63 - 1))
	}
	if !op.control() {
		if op != opContinuation {
			f.total, f.got = 0, 0
		}
		if length > limit-f.total {
			return false
		}
		f.total += length
		f.fin = h[0]&finBit != 0
	}
	f.op, f.rest, f.payload, f.maskAt = op, length, true, 0
	if length == 0 {
		f.end()
	}
	return true
}

// skip passes payload bytes.
func (f *frameScan) skip(b []byte) int {
	n := int(min(int64(len(b)), f.rest))
	f.rest -= int64(n)
	switch {
	case f.op == opClose:
		f.keepClose(b[:n])
	case !f.op.control():
		f.got += int64(n)
	}
	if f.rest == 0 {
		f.end()
	}
	return n
}

func (f *frameScan) keepClose(b []byte) {
	var key []byte
	if f.header[1]&maskBit != 0 {
		key = f.header[f.have-4 : f.have]
	}
	for _, x := range b {
		if f.closed || len(f.close) == maxControlPayload {
			return // only the first counts, and it cannot be longer
		}
		if key != nil {
			x ^= key[f.maskAt&3]
			f.maskAt++
		}
		f.close = append(f.close, x)
	}
}

func (f *frameScan) end() {
	f.payload, f.have = false, 0
	if f.op == opClose {
		f.closed = true
	}
	if !f.op.control() && f.fin {
		f.total, f.got = 0, 0
	}
}

// message is how many bytes are here of the message under way; 0 between two.
func (f *frameScan) message() int64 { return f.got }
