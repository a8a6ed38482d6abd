package yserver

import "github.com/yserverd/yserverd/protocol/update"

// frameKind says what may become of a frame for a peer that reads slower than
// its room writes.
type frameKind uint8

const (
	// kindReply is the answer to something the peer asked (sync step 1 and 2,
	// auth, sync status) or the state that it starts from: always delivered,
	// exempt from the bound of the queue.
	kindReply frameKind = iota
	// kindUpdate is a document update. It may be dropped for a peer that then
	// gets one diff for all that it missed.
	kindUpdate
	// kindAwareness is presence: dropped together with updates.
	kindAwareness
	// kindCustom is a message of an application: never dropped. A peer for which
	// too many of them wait is closed with 1013.
	kindCustom
	// kindKeepalive is only sent to a peer for which nothing waits.
	kindKeepalive
	// kindControl is a WebSocket control frame, or the handshake's answer. It
	// overtakes the frames that wait, but never splits one.
	kindControl

	frameKinds
)

// mergeBelow is the size of a body up to which it is copied behind its header:
// one piece of memory is written faster than two.
const mergeBelow = 2 << 10

// frame is a WebSocket frame, encoded once and shared by all peers it is sent
// to. It is immutable, and so is the memory of its body.
type frame struct {
	head []byte // header and prefix; for a small frame the body too
	body []byte // may be nil
	from []update.ID
	kind frameKind
	last bool // the frame closes the connection
}

// newFrame encodes an unfragmented server frame of prefix and body. A large body
// is kept, not copied: the caller must never change it. For a [kindUpdate] the
// caller sets from before the frame is pushed: the lowest clock per client that
// a peer lacks if it does not get the frame.
func newFrame(op opcode, kind frameKind, prefix, body []byte) *frame {
	n := len(prefix) + len(body)
	f := &frame{kind: kind}
	if len(body) <= mergeBelow {
		f.head = appendFrameHeader(make([]byte, 0, frameHeaderLen(n)+n), op, n)
		f.head = append(append(f.head, prefix...), body...)
		return f
	}
	f.head = appendFrameHeader(make([]byte, 0, frameHeaderLen(n)+len(prefix)), op, n)
	f.head = append(f.head, prefix...)
	f.body = body
	return f
}

func frameHeaderLen(n int) int {
	switch {
	case n <= maxControlPayload:
		return 2
	case n <= 0xffff:
		return 4
	default:
		return 10
	}
}

// newControlFrame wraps an encoded control frame; raw is copied.
func newControlFrame(raw []byte, last bool) *frame {
	return &frame{head: append([]byte(nil), raw...), kind: kindControl, last: last}
}

// op is the opcode of the frame. It is meaningless for the handshake's answer.
func (f *frame) op() opcode { return opcode(f.head[0] & 0xf) }

// size is the number of bytes on the wire.
func (f *frame) size() int64 { return int64(len(f.head) + len(f.body)) }

// frameOverhead is what a waiting frame counts beside its bytes, so that many
// small ones are bounded too.
const frameOverhead = 64

// cost is what the frame counts against the bound of a queue.
func (f *frame) cost() int64 { return f.size() + frameOverhead }
