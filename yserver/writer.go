package yserver

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// A single write takes no more than this, so that a room that writes to a
	// peer itself is not held up by one.
	writePieces = 64
	writeBytes  = 256 << 10
	// writeChunk is what is copied together for a socket that can only be
	// written with waiting: one TLS record.
	writeChunk = 16 << 10
)

// writeOp is the scratch of one write. It is pooled, with its callback made
// once: writing to a peer that keeps up allocates nothing.
type writeOp struct {
	pieces [][]byte
	vec    vector
	n      int
	err    error
	once   func(fd uintptr) bool
}

var writeOps = sync.Pool{New: func() any {
	o := &writeOp{pieces: make([][]byte, 0, writePieces)}
	o.once = func(fd uintptr) bool {
		o.n, o.err = o.vec.write(fd, o.pieces)
		return true
	}
	return o
}}

func (o *writeOp) release() {
	clear(o.pieces)
	o.pieces = o.pieces[:0]
	o.n, o.err = 0, nil
	writeOps.Put(o)
}

// try writes the pieces as far as the socket takes them without waiting.
func (o *writeOp) try(raw syscall.RawConn) (int64, error) {
	if err := raw.Write(o.once); err != nil {
		return 0, err
	}
	return int64(o.n), o.err
}

// writeNow writes frames to a socket that nothing waits for, and returns those
// that were not begun. The rest of one that was is put into the queue.
func (p *peer) writeNow(fs []*frame) []*frame {
	op := writeOps.Get().(*writeOp)
	defer op.release()
	left := int64(writeBytes)
	for _, f := range fs {
		for _, b := range [2][]byte{f.head, f.body} {
			if len(b) == 0 || left == 0 || len(op.pieces) == writePieces {
				continue
			}
			b = b[:min(int64(len(b)), left)]
			left -= int64(len(b))
			op.pieces = append(op.pieces, b)
		}
	}
	n, err := op.try(p.raw)
	if err != nil {
		p.hangUpLocked(false)
		return nil
	}
	p.s.stats.bytesOut.Add(n)
	for i, f := range fs {
		switch size := f.size(); {
		case n >= size:
			n -= size
		case n > 0:
			p.out.addWritten(f, n)
			p.startWriter()
			return fs[i+1:]
		default:
			return fs[i:]
		}
	}
	return nil
}

// flushLocked writes what waits as far as the socket takes it now, and leaves
// the rest to a goroutine.
func (p *peer) flushLocked() {
	if p.writing || p.dead || !p.greeted || p.out.empty() {
		return
	}
	if p.raw != nil {
		if _, err := p.writeQueued(); err != nil {
			p.hangUpLocked(false)
			return
		}
		if p.out.empty() && (!p.out.behind || p.told) {
			return
		}
	}
	p.startWriter()
}

// writeQueued writes from the queue once, without waiting. The caller holds mu
// and the peer has a raw socket.
func (p *peer) writeQueued() (int64, error) {
	op := writeOps.Get().(*writeOp)
	defer op.release()
	op.pieces = p.out.peek(op.pieces, writePieces, writeBytes)
	n, err := op.try(p.raw)
	p.wroteLocked(n)
	return n, err
}

// wroteLocked accounts for n bytes of the queue that are written.
func (p *peer) wroteLocked(n int64) {
	if n == 0 {
		return
	}
	p.s.stats.bytesOut.Add(n)
	last := p.out.written(n)
	if p.replied != nil && p.out.waiting[kindReply] <= p.bound/2 {
		p.repliedLocked()
	}
	if last {
		p.shutLocked()
	}
}

// shutLocked follows the close frame: the client sees the end of the stream and
// closes its side, whether the room has taken the news or not.
func (p *peer) shutLocked() {
	p.shut = true
	if p.raw == nil {
		return // the writer does it once the bytes are out
	}
	closeWrite(p.conn.nc)
}

func closeWrite(nc net.Conn) bool {
	cw, ok := nc.(interface{ CloseWrite() error })
	return ok && cw.CloseWrite() == nil
}

// startWriter lets a goroutine write what waits.
func (p *peer) startWriter() {
	p.writing = true
	p.s.wg.Add(1)
	go p.writeRest()
}

// writeRest writes until nothing waits, and ends.
func (p *peer) writeRest() {
	defer p.s.wg.Done()
	step := p.stepWaiting
	if p.raw != nil {
		step = p.stepRaw()
	}
	for {
		p.mu.Lock()
		if p.dead || p.out.empty() {
			break
		}
		p.mu.Unlock()
		if err := step(); err != nil {
			p.writeFailed(err)
		}
	}
	p.writing = false
	if !p.dead {
		_ = p.conn.nc.SetWriteDeadline(time.Time{})
	}
	tell := p.out.behind && !p.told && !p.closing
	if tell {
		p.told, p.telling = true, true
	}
	p.idleLocked()
	p.mu.Unlock()
	if !tell {
		return
	}
	p.s.tellDrained(p)
	p.mu.Lock()
	p.telling = false
	p.idleLocked()
	p.mu.Unlock()
}

// stepRaw returns the function that waits until the socket takes something, and
// writes that. The deadline is for any progress, not for a frame.
func (p *peer) stepRaw() func() error {
	var failed error
	held := -1 // by the kernel when the wait began
	some := func(fd uintptr) bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.dead || p.out.empty() { // all that waited was dropped: the peer fell behind
			return true
		}
		op := writeOps.Get().(*writeOp)
		defer op.release()
		op.pieces = p.out.peek(op.pieces, writePieces, writeBytes)
		var n int
		n, failed = op.vec.write(fd, op.pieces)
		p.wroteLocked(int64(n))
		if n > 0 || failed != nil {
			held = -1
			return true
		}
		if held < 0 {
			held = unconfirmed(fd)
		}
		return false
	}
	return func() error {
		_ = p.conn.nc.SetWriteDeadline(time.Now().Add(p.s.cfg.WriteStall))
		err := p.raw.Write(some)
		if err == nil {
			return failed
		}
		// The kernel asks for more only when a good part of what it holds has
		// gone. A client that takes something of that is slow, not stalled.
		if errors.Is(err, os.ErrDeadlineExceeded) {
			before := held
			_ = p.raw.Control(func(fd uintptr) { held = unconfirmed(fd) })
			if held < before {
				return nil
			}
		}
		return err
	}
}

// stepWaiting writes a chunk through the connection, waiting for it.
func (p *peer) stepWaiting() error {
	chunk := chunks.Get().(*[]byte)
	defer chunks.Put(chunk)
	b := (*chunk)[:0]
	p.mu.Lock()
	var few [writePieces][]byte
	for _, piece := range p.out.peek(few[:0], writePieces, writeChunk) {
		b = append(b, piece...)
	}
	p.wroteLocked(int64(len(b)))
	last := p.shut
	p.mu.Unlock()

	_ = p.conn.nc.SetWriteDeadline(time.Now().Add(p.s.cfg.WriteStall))
	if _, err := p.conn.nc.Write(b); err != nil {
		return err
	}
	if last && !closeWrite(p.conn.nc) {
		// Nothing else can tell the client that this was the end.
		p.mu.Lock()
		p.hangUpLocked(true)
		p.mu.Unlock()
	}
	return nil
}

var chunks = sync.Pool{New: func() any {
	b := make([]byte, 0, writeChunk)
	return &b
}}

// writeFailed ends the connection, which then ends the reading of it.
func (p *peer) writeFailed(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		p.s.stats.stalled.Add(1)
	}
	p.cutLocked()
}
