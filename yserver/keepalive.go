package yserver

import "time"

const (
	// keepaliveEvery is how often the sockets are looked at.
	keepaliveEvery = 5 * time.Second
	// keepaliveAfter is how many of these looks a document peer may be sent
	// nothing. y-websocket gives up a connection on which it heard nothing for
	// 30 s; a WebSocket ping does not count there.
	keepaliveAfter = 4
	// walkStep is how many peers are looked at under one lock.
	walkStep = 512
)

// keepaliveFrame is an awareness update of no client (01 01 00): it changes
// nothing anywhere.
var keepaliveFrame = newFrame(opBinary, kindKeepalive, []byte{1, 1, 0}, nil)

// walk looks at all sockets from time to time, until the sockets end.
func (s *sockets) walk(every time.Duration) {
	defer close(s.walked)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var some []*peer
	for {
		select {
		case <-s.stop:
			return
		case now := <-ticker.C:
			some = s.keepAlive(some)
			for _, p := range s.inbound.lagging(now, s.cfg.inboundPatience) {
				s.stats.lagging.Add(1)
				p.refuse(closePolicy, "message arrives too slowly")
			}
		}
	}
}

// keepAlive sends the keepalive frame to the document peers that were sent
// nothing for a while. some is scratch.
func (s *sockets) keepAlive(some []*peer) []*peer {
	tick := s.tick.Add(1)
	// From the end: a peer that leaves is replaced by the last, which then was
	// looked at already.
	for end := -1; end != 0; {
		some = some[:0]
		s.mu.Lock()
		if end < 0 || end > len(s.peers) {
			end = len(s.peers)
		}
		for n := 0; end > 0 && n < walkStep; n++ {
			end--
			if s.peers[end].keepalive {
				some = append(some, s.peers[end])
			}
		}
		s.mu.Unlock()
		for _, p := range some {
			p.keepUp(tick)
		}
	}
	clear(some[:cap(some)])
	return some[:0]
}

// keepUp sends a keepalive frame if the peer was sent nothing for long.
func (p *peer) keepUp(tick uint32) {
	p.mu.Lock()
	silent := tick-p.pushed >= keepaliveAfter && p.greeted
	p.mu.Unlock()
	if silent {
		p.s.stats.keepalives.Add(1)
		p.push(keepaliveFrame)
	}
}

// pingFrame is every ping: the session's have no payload either.
var pingFrame = newControlFrame(appendFrameHeader(nil, opPing, 0), false)

// pingsAhead is how many pings may wait to be written.
const pingsAhead = 1024

// ping writes the pings of all sessions, until the sockets end. A session has a
// goroutine for its ticks; the stack of that stays at the smallest size as long
// as it does not write itself.
func (s *sockets) ping() {
	defer close(s.pinged)
	for {
		select {
		case <-s.stop:
			return
		case p := <-s.pings:
			p.control(pingFrame)
		}
	}
}

// control sends a control frame.
func (p *peer) control(f *frame) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.greeted && !p.closing && !p.dead {
		p.out.addControl(f)
		p.flushLocked()
	}
}
