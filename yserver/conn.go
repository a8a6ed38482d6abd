package yserver

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

var (
	errTooLong = errors.New("message is too large")
	errSilent  = errors.New("nothing was heard for too long")
)

// conn is the net.Conn that a melody session gets. Reading goes to the socket,
// with a deadline that every byte extends; what the session writes are control
// frames (ping, pong, the answer to a close) and the 101, which take their place
// between the frames of the peer without ever waiting. Deadlines and Close of
// the session have no effect: the peer decides when its socket ends.
type conn struct {
	p  *peer
	nc net.Conn

	// Owned by the reading goroutine.
	hold *hold // of the budget for large messages

	// Guarded by mu.
	mu      sync.Mutex
	scan    frameScan
	ahead   []byte // read from the socket already
	err     error  // what comes behind ahead
	looking bool   // a goroutine reads ahead
	looked  chan struct{}
	stop    bool // nobody will read any more
	busy    bool // a message is being received
	timer   *time.Timer
}

var (
	_ net.Conn = (*conn)(nil)
	_ net.Addr = (*conn)(nil)
)

func (c *conn) LocalAddr() net.Addr              { return c.nc.LocalAddr() }
func (c *conn) RemoteAddr() net.Addr             { return c }
func (c *conn) Network() string                  { return c.nc.RemoteAddr().Network() }
func (c *conn) String() string                   { return c.nc.RemoteAddr().String() }
func (c *conn) SetDeadline(time.Time) error      { return nil }
func (c *conn) SetReadDeadline(time.Time) error  { return nil }
func (c *conn) SetWriteDeadline(time.Time) error { return nil }
func (c *conn) Close() error                     { return nil }

// Write takes the 101 or one control frame.
func (c *conn) Write(b []byte) (int, error) {
	if opcode(b[0]&0xf) == opPing {
		select {
		case c.p.s.pings <- c.p:
			return len(b), nil
		default:
		}
	}
	return c.write(b)
}

func (c *conn) write(b []byte) (int, error) {
	p := c.p
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.dead:
		return 0, net.ErrClosed
	case !p.greeted:
		p.greeted = true
		p.out.addFirst(newControlFrame(b, false))
		p.flushLocked()
	case opcode(b[0]&0xf) == opClose:
		c.writeClose(b)
	case !p.closing:
		p.out.addControl(newControlFrame(b, false))
		p.flushLocked()
	}
	return len(b), nil
}

// writeClose handles the close frame that the session sends: its answer to the
// client's, which lacks the reason that the client gave, or what it has to say
// about a broken protocol.
func (c *conn) writeClose(raw []byte) {
	code, reason, _ := parseClosePayload(raw[2:])
	c.mu.Lock()
	if c.scan.closed {
		if clientCode, clientReason, ok := parseClosePayload(c.scan.close); ok && clientCode == code {
			reason = clientReason
			raw = appendCloseFrame(nil, code, reason)
		}
	}
	c.mu.Unlock()
	c.p.answerCloseLocked(raw, closeInfo{code: code, reason: reason})
}

// Read reads from the socket, or what was read ahead of it.
func (c *conn) Read(b []byte) (int, error) {
	if n, err := c.before(b); n > 0 || err != nil {
		return n, err
	}
	n, err := c.fill(b)
	if err != nil {
		c.refuse(err)
	}
	return n, err
}

// before gives what is here already; nothing when the socket is to be read.
func (c *conn) before(b []byte) (n int, err error) {
	c.mu.Lock()
	for len(c.ahead) == 0 && c.looking {
		looked := c.looked
		c.mu.Unlock()
		<-looked
		c.mu.Lock()
	}
	if len(c.ahead) > 0 {
		n = copy(b, c.ahead)
		if c.ahead = c.ahead[n:]; len(c.ahead) == 0 {
			c.ahead = nil
		}
		c.mu.Unlock()
		return n, nil
	}
	err, message := c.err, c.scan.message()
	c.mu.Unlock()
	if err == nil {
		err = c.reserve(message)
	}
	if err != nil {
		c.refuse(err)
	}
	return 0, err
}

// refuse tells the client why nothing more is read, where that helps.
func (c *conn) refuse(err error) {
	switch {
	case errors.Is(err, errTooLong):
		c.p.s.stats.tooLong.Add(1)
		c.p.refuse(closeTooBig, "Message is too large")
	case errors.Is(err, errSilent):
		c.p.s.stats.silent.Add(1)
	}
}

// fill reads from the socket. Only a client that sends nothing at all while it
// is waited for is given up: time in which nobody reads does not count.
func (c *conn) fill(b []byte) (int, error) {
	since := c.p.s.now()
	for {
		n, err := c.nc.Read(b)
		if n > 0 || err == nil || !c.wait(&err, since) {
			return c.note(b[:n], err)
		}
	}
}

// wait looks at an error of the socket: the deadline may be that of an earlier
// read, and then there is time left.
func (c *conn) wait(err *error, since time.Duration) bool {
	if !errors.Is(*err, os.ErrDeadlineExceeded) {
		return false
	}
	left := c.p.s.cfg.PongWait - (c.p.s.now() - since)
	if left > 0 && !c.stopped() {
		_ = c.nc.SetReadDeadline(time.Now().Add(left))
		if !c.stopped() {
			return true
		}
	}
	if c.p.frozen() && !c.stopped() {
		_ = c.nc.SetReadDeadline(time.Now().Add(c.p.s.cfg.PongWait / 4))
		return !c.stopped()
	}
	*err = errSilent
	return false
}

// note follows the frames in what was read. An error behind some bytes is kept
// for the next read.
func (c *conn) note(b []byte, err error) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(b)
	if n > 0 {
		c.p.s.stats.bytesIn.Add(int64(n))
		before, ok := c.scan.scan(b, c.p.limit)
		if !ok {
			n, err = before, errTooLong
		}
	}
	if c.err == nil {
		c.err = err
	}
	if n > 0 {
		return n, nil
	}
	return 0, c.err
}

func (c *conn) stopped() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stop
}

// reserve asks the common budget for room for the message under way, and gives
// back what an earlier one had.
func (c *conn) reserve(message int64) error {
	if message < inboundFree {
		c.releaseHold()
		return nil
	}
	if c.hold == nil {
		c.hold = &hold{p: c.p}
	}
	return c.p.s.inbound.grow(c.hold, message)
}

func (c *conn) releaseHold() {
	if c.hold != nil {
		c.p.s.inbound.release(c.hold)
		c.hold = nil
	}
}

// lingerBuffer is what is read at once of what nobody wants any more.
const lingerBuffer = 8 << 10

// linger reads and forgets what the client sends, until it has closed its side
// or the grace of the close is over.
func (c *conn) linger() {
	_ = c.nc.SetReadDeadline(time.Time{})
	chunk := chunks.Get().(*[]byte)
	defer chunks.Put(chunk)
	for {
		if _, err := c.nc.Read((*chunk)[:lingerBuffer]); err != nil {
			return
		}
	}
}
