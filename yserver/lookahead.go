package yserver

import "time"

const (
	// lookAfter is how long a message may keep its room busy before somebody
	// else looks at what the client sends behind it.
	lookAfter = 100 * time.Millisecond
	lookBytes = 64 << 10
	lookChunk = 4 << 10
)

// receiving surrounds the time in which the room takes a message. When that is
// long, the socket is read ahead, up to 64 KiB, to see a client that wants to
// close: it gets its answer at once. The messages before its close frame are
// still received in their turn.
func (c *conn) receiving(busy bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = busy
	switch {
	case !busy:
		c.timer.Stop()
	case c.timer == nil:
		c.timer = time.AfterFunc(lookAfter, c.look)
	default:
		c.timer.Reset(lookAfter)
	}
}

// look reads ahead while the room is busy.
func (c *conn) look() {
	c.mu.Lock()
	if !c.busy || c.looking || c.stop || c.err != nil {
		c.mu.Unlock()
		return
	}
	// The reading goroutine counts for the peer, and waits for this one.
	c.looking = true
	c.looked = make(chan struct{})
	var b [lookChunk]byte
	for c.busy && !c.stop && c.err == nil && !c.scan.closed && len(c.ahead) < lookBytes {
		c.mu.Unlock()
		n, _ := c.fill(b[:])
		c.mu.Lock()
		c.ahead = append(c.ahead, b[:n]...)
	}
	if code, reason, ok := parseClosePayload(c.scan.close); ok && c.scan.closed {
		c.mu.Unlock()
		c.p.answerClose(appendCloseFrame(nil, code, reason), closeInfo{code: code, reason: reason})
		c.mu.Lock()
	}
	c.looking = false
	close(c.looked)
	c.mu.Unlock()
}

// stopReading ends a look ahead that is still waiting for the client, and waits
// for it. Nothing more will be read for a session.
func (c *conn) stopReading() {
	c.mu.Lock()
	c.stop = true
	if c.timer != nil {
		c.timer.Stop()
	}
	for c.looking {
		looked := c.looked
		_ = c.nc.SetReadDeadline(time.Unix(1, 0))
		c.mu.Unlock()
		<-looked
		c.mu.Lock()
	}
	c.mu.Unlock()
	c.releaseHold()
}
