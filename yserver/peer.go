package yserver

import (
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/yserverd/yserverd/protocol/update"
)

// receiver is what a peer tells its room. The calls come from goroutines of the
// peer; a panic in one of them closes the peer with 1011.
type receiver interface {
	// receive gets the messages of the client, one at a time and in order; msg
	// belongs to the callee. It may block: then nothing more is read from the
	// socket, and the peer is not counted dead meanwhile. It has to return when
	// p.closed fires.
	receive(p *peer, binary bool, msg []byte)
	// drained is called once per conflation, when everything that waited is
	// written: p.takeLost then says what the peer missed. It must not block long.
	drained(p *peer)
	// left is called exactly once, after the last receive and drained.
	left(p *peer, c closeInfo)
}

// closeInfo is how a connection ended.
type closeInfo struct {
	code   int    // 1005: a close frame without a code; 1006: no close frame
	reason string // of the close frame
	clean  bool   // both sides sent a close frame
}

// peer is one WebSocket connection as its room sees it. It outlives nothing but
// its socket, and knows nothing of the melody session that reads it.
//
// Frames are written by push itself as far as the socket takes them without
// waiting; what is left is written by a goroutine that lives only as long as
// something waits.
type peer struct {
	// Static after accept.
	conn      conn // the socket as melody's session sees it
	s         *sockets
	to        receiver
	raw       syscall.RawConn // nil: the socket can only be written with waiting
	bound     int64           // of the queue
	limit     int64           // of a message from the client
	keepalive bool
	remote    string

	// Owned by whoever starts the peer.
	hello *hello // nil once started

	// Guarded by s.mu.
	index int // in s.peers

	// Guarded by mu.
	mu       sync.Mutex
	out      queue
	pushed   uint32 // tick of the last push
	greeted  bool   // the 101 is written, or at the front of the queue
	writing  bool   // a writer goroutine is on its way
	closing  bool   // a close frame is in the queue or written: no more pushes
	ours     bool   // we closed first
	shut     bool   // the close frame is written
	dead     bool   // the socket is closed
	told     bool   // drained was called for this conflation
	telling  bool   // drained is running
	end      closeInfo
	final    error         // why reading ended
	grace    *time.Timer   // of a close
	done     chan struct{} // what closed returns; made on demand
	doneFire bool
	replied  chan struct{} // closed when the answers that wait are few again
	idle     chan struct{} // closed when writing or telling ends
}

// start writes the 101, then what was pushed before, and begins to read. It has
// to be called exactly once for every accepted peer, also for one that was
// closed in between: the frames and the close frame are then delivered.
func (p *peer) start() {
	h := p.hello
	p.hello = nil
	_ = p.conn.nc.SetReadDeadline(time.Now().Add(p.s.cfg.PongWait))
	go p.run(h)
}

// push gives the peer frames, in order; it never blocks. A peer that is closing
// takes no more. Frames of one caller keep their order; a caller that needs an
// order between goroutines has to make it.
//
// Over the bound of the queue, waiting updates and presence are dropped for this
// peer, and so is what comes later: see takeLost. Does not keep fs. It reports
// whether the peer is still one that takes frames.
func (p *peer) push(fs ...*frame) bool {
	if len(fs) == 0 {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing || p.dead {
		return false
	}
	p.pushed = p.s.tick.Load()
	if p.raw != nil && p.greeted && !p.writing && !p.out.behind && p.out.empty() {
		if fs = p.writeNow(fs); len(fs) == 0 && p.out.empty() {
			return !p.dead
		}
	}
	for _, f := range fs {
		switch p.out.offer(f, p.bound) {
		case conflated:
			p.s.stats.conflations.Add(1)
		case overflown:
			p.s.stats.slow.Add(1)
			p.closeLocked(closeTryLater, "too slow")
			return false
		}
	}
	p.flushLocked()
	return true
}

// takeLost ends a conflation: it returns, appended to dst, the lowest clock per
// client of the updates that the peer did not get, and whether presence was
// dropped too. What it missed has to be pushed before any other update, at best
// as a [kindReply]. A dropped update may have had deletes only: dst is then
// returned as it was, and the peer lacks them all the same.
func (p *peer) takeLost(dst []update.ID) ([]update.ID, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told = false
	return p.out.take(dst)
}

// queued is how many bytes wait to be written, replies included.
func (p *peer) queued() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.bytes
}

// open reports whether the peer still takes frames.
func (p *peer) open() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.closing && !p.dead
}

// conflated reports whether updates for the peer are being dropped.
func (p *peer) conflated() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.behind
}

// waitReplies blocks while more answers wait for the peer than its queue may
// hold: one who asks without reading is not listened to. It returns at once for
// a peer that is closing.
func (p *peer) waitReplies() {
	p.mu.Lock()
	for p.out.waiting[kindReply] > p.bound && !p.closing && !p.dead {
		if p.replied == nil {
			p.replied = make(chan struct{})
		}
		ch := p.replied
		p.mu.Unlock()
		<-ch
		p.mu.Lock()
	}
	p.mu.Unlock()
}

// repliedLocked lets waitReplies go on.
func (p *peer) repliedLocked() {
	if p.replied != nil {
		close(p.replied)
		p.replied = nil
	}
}

// frozen reports whether the client is there but does not read: frames wait for
// it, so no ping reaches it that it could answer, while its kernel confirms that
// there is no room. It is asked ever more seldom, the pause being half the time
// since it stopped reading: so this holds for two PongWaits at least, and for
// WriteStall at most.
func (p *peer) frozen() bool {
	p.mu.Lock()
	raw, waits := p.raw, !p.out.empty() && !p.closing && !p.dead
	p.mu.Unlock()
	if raw == nil || !waits {
		return false
	}
	answers := false
	_ = raw.Control(func(fd uintptr) { answers = lastHeard(fd) < p.s.cfg.PongWait })
	return answers
}

// closed fires when the room has closed the peer, when its socket had to be cut,
// and at the latest when it has left: nothing it still sends is of interest. It
// does not fire because the client wants to close: what it sent before counts.
func (p *peer) closed() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done == nil {
		p.done = make(chan struct{})
		if p.doneFire {
			close(p.done)
		}
	}
	return p.done
}

func (p *peer) fireLocked() {
	if !p.doneFire {
		p.doneFire = true
		if p.done != nil {
			close(p.done)
		}
	}
}

// close ends the connection: the frames that wait are written, then a close
// frame with code and reason (at most 123 bytes of it); after the client's
// answer, or CloseGrace, the socket is closed. With 1013 what waits is dropped.
// It never blocks; only the first close counts.
func (p *peer) close(code int, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closeLocked(code, reason)
}

func (p *peer) closeLocked(code int, reason string) {
	if p.closing || p.dead {
		return
	}
	p.ours = true
	p.end = closeInfo{code: closeCode(code), reason: closeReason(reason)}
	if code == closeTryLater {
		p.out.drop(func(f *frame) bool { return f.kind != kindControl })
	}
	p.fireLocked()
	p.out.add(&frame{head: appendCloseFrame(nil, code, reason), kind: kindControl, last: true})
	p.closingLocked()
}

// refuse closes because of what the client sends: what waits for it is dropped.
func (p *peer) refuse(code int, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out.drop(func(f *frame) bool { return f.kind != kindControl })
	p.closeLocked(code, reason)
}

// answerClose answers the close frame of the client with its own code, before
// everything that waits: the client wants no more. raw is the close frame.
func (p *peer) answerClose(raw []byte, end closeInfo) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answerCloseLocked(raw, end)
}

func (p *peer) answerCloseLocked(raw []byte, end closeInfo) {
	if p.dead {
		return
	}
	p.out.drop(func(f *frame) bool { return f.kind != kindControl })
	if p.closing {
		p.flushLocked() // ours is next now
		return
	}
	p.end = end
	p.out.addControl(newControlFrame(raw, true))
	p.closingLocked()
}

// closingLocked gives the close frame in the queue its time.
func (p *peer) closingLocked() {
	p.closing = true
	p.repliedLocked()
	p.grace = time.AfterFunc(p.s.cfg.CloseGrace, func() { p.cut() })
	p.flushLocked()
}

// weClosed reports whether the connection ended, or ends, because we closed it.
func (p *peer) weClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ours
}

// cut closes the socket at once, whatever waits.
func (p *peer) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cutLocked()
}

func (p *peer) cutLocked() {
	p.fireLocked()
	p.hangUpLocked(false)
}

// hangUpLocked closes the socket: gently when all is said, else so that the
// kernel keeps nothing for it.
func (p *peer) hangUpLocked(gently bool) {
	if p.dead {
		return
	}
	p.dead = true
	p.out.dropAll()
	p.repliedLocked()
	if p.grace != nil {
		p.grace.Stop()
	}
	nc := p.conn.nc
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok && !gently {
		nc = t.NetConn() // TLS would first write its farewell
	}
	if t, ok := nc.(*net.TCPConn); ok && !gently {
		_ = t.SetLinger(0)
	}
	// Close waits for those who are using the socket, and a writer that does may
	// be waiting for the lock held here.
	p.s.wg.Go(func() { _ = nc.Close() })
}

// run is the goroutine of the peer: melody's session reads in it, from the 101 to
// the last byte. Its stack is most of what an idle connection costs, so what it
// does is kept shallow; it keeps nothing of h.
func (p *peer) run(h *hello) {
	defer p.s.wg.Done()
	defer p.leave()
	defer p.s.survive(p, "session")
	p.s.began(p, p.s.m.HandleRequestWithKeys(&h.writer, h.request, nil))
}

// leave is all that happens after the last byte that is read for the room.
func (p *peer) leave() {
	p.conn.stopReading()
	info := p.leaving()
	p.s.tellLeft(p, info)
	p.hangUp(info)
	p.s.forget(p)
}

// leaving ends what the room may still expect of the peer and says how the
// connection ended. Without a close frame to deliver, the socket is closed.
func (p *peer) leaving() closeInfo {
	p.mu.Lock()
	defer p.mu.Unlock()
	info := p.end
	code, reason, answered := closeOf(p.final)
	switch {
	case !p.closing:
		info = closeInfo{code: closeAbnormal}
		p.hangUpLocked(false)
	case answered && p.ours:
		info.clean = true
	case answered:
		info = closeInfo{code: code, reason: reason, clean: true}
	}
	p.closing = true
	for p.telling {
		p.waitIdleLocked()
	}
	return info
}

// hangUp closes the socket once the close frame is out. A client that has not
// sent one itself may still be sending something else: closing over that would
// reset the connection and could take the close frame with it.
func (p *peer) hangUp(info closeInfo) {
	if !info.clean {
		p.conn.linger()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.writing && !p.dead {
		p.waitIdleLocked()
	}
	p.fireLocked()
	p.hangUpLocked(p.shut)
}

// waitIdleLocked waits until a writer goroutine has taken a step towards its
// end; the caller looks again.
func (p *peer) waitIdleLocked() {
	if p.idle == nil {
		p.idle = make(chan struct{})
	}
	ch := p.idle
	p.mu.Unlock()
	<-ch
	p.mu.Lock()
}

func (p *peer) idleLocked() {
	if p.idle != nil {
		close(p.idle)
		p.idle = nil
	}
}
