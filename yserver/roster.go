package yserver

import (
	"time"

	"github.com/yserverd/yserverd/protocol/relay"
)

// rosterBytes bounds what the rosters of one room send in a second: a room of
// very many peers, of which each gets the list of all, learns less often.
const rosterBytes = 32 << 20

// roster is who is present in a message room. It goes out whole, the newest in
// place of those that a slow peer did not get.
type roster struct {
	dirty bool
	next  time.Time // not before
	last  *frame    // of those who catch up; nil when nobody did since it changed
	peers []relay.Peer
}

// set takes the data of a peer; nil removes it.
func (p *roster) set(r *messageRoom, m *member, data []byte) {
	m.data = append([]byte(nil), data...)
	p.touch(r)
}

// touch has a new roster sent.
func (p *roster) touch(r *messageRoom) {
	if r.cfg.Presence {
		p.dirty, p.last = true, nil
	}
}

// flush sends the roster: the first after a pause at once, then one per interval.
func (p *roster) flush(r *messageRoom) {
	if !p.dirty {
		return
	}
	if r.now.Before(p.next) {
		r.timers.atMost(duePresence, p.next)
		return
	}
	p.dirty = false
	r.timers.clear(duePresence)
	f := p.frame(r)
	for _, m := range r.members {
		m.peer.push(f)
	}
	seconds := float64(f.size()) * float64(len(r.members)) / rosterBytes
	p.next = r.now.Add(max(r.cfg.PresenceInterval, time.Duration(seconds*float64(time.Second))))
}

func (p *roster) frame(r *messageRoom) *frame {
	peers := p.peers[:0]
	for _, m := range inOrder(r.members) {
		who := &m.conn.grant.Load().Identity
		peers = append(peers, relay.Peer{ID: m.conn.id, UserID: who.UserID, Name: who.Name, Data: m.data})
	}
	f := newFrame(opText, kindAwareness, relay.AppendPresence(nil, peers), nil)
	clear(peers)
	p.peers = peers[:0]
	return f
}

// catchUp sends the roster to a peer that did not get one, unless a newer one is
// about to go out anyway.
func (p *roster) catchUp(r *messageRoom, m *member) {
	if m.gone {
		return
	}
	if _, lost := m.peer.takeLost(nil); !lost || p.dirty {
		return
	}
	if p.last == nil {
		p.last = p.frame(r)
	}
	m.peer.push(p.last)
}
