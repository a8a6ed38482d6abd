package yserver

import (
	"time"

	"github.com/yserverd/yserverd/protocol"
)

// presenceTimeout is after what the presence of y-websocket clients is removed
// when they do not renew it, as y-websocket-server does. YProvider sends no heartbeats, so what
// its connections own stays until they close.
const (
	presenceTimeout = 30 * time.Second
	presenceCheck   = 5 * time.Second
)

// presence is the awareness of a room: the table of y-protocols, which
// connection owns which client id, and what has changed since the last frame.
type presence struct {
	table    *protocol.Awareness
	owners   map[uint64]*member
	changed  map[uint64]struct{}
	order    []uint64 // of changed, as it came
	interval time.Duration
	sent     time.Time
	limits   protocol.AwarenessLimits
	entries  []protocol.AwarenessEntry // scratch
}

func (p *presence) init(pt *party) {
	p.limits = protocol.AwarenessLimits{State: int(pt.Limits.Awareness)}
	p.table = protocol.NewAwareness(protocol.AwarenessConfig{Bytes: int(pt.Limits.AwarenessRoom)})
	p.owners = map[uint64]*member{}
	p.changed = map[uint64]struct{}{}
	p.interval = pt.Document.AwarenessInterval
}

// handleAwareness takes a client's awareness update. What the merge rule
// accepts is sent on, to everybody.
func (r *documentRoom) handleAwareness(m *member, payload []byte) {
	p := &r.presence
	if m.hides() {
		r.srv.counters.hidden.Add(1)
		return
	}
	entries, err := protocol.ParseAwareness(p.entries[:0], payload, p.limits)
	if err != nil {
		r.srv.counters.badFrames.Add(1)
		return
	}
	for _, e := range entries {
		p.apply(r, m, e)
	}
	clear(entries)
	p.entries = entries[:0]
}

// apply takes one entry. The last connection that sent a state for an id owns
// it, whoever made it known first: that survives reconnects, and tabs that
// relay each other.
func (p *presence) apply(r *documentRoom, m *member, e protocol.AwarenessEntry) {
	if p.owners[e.Client] != m && !e.Gone() && m.presence >= r.party.Limits.AwarenessIDs {
		r.srv.counters.overLimit.Add(1)
		return
	}
	switch p.table.Apply(e, r.now) {
	case protocol.AwarenessIgnored:
		return
	case protocol.AwarenessRefused:
		r.srv.counters.overLimit.Add(1)
		return
	case protocol.AwarenessRemoved:
		p.disown(e.Client)
	default:
		p.disown(e.Client)
		p.owners[e.Client] = m
		m.presence++
		if m.ymnt && !r.timers.set(dueStale) {
			r.timers.at(dueStale, r.now.Add(presenceCheck))
		}
	}
	p.note(e.Client)
}

func (p *presence) disown(id uint64) {
	if owner := p.owners[id]; owner != nil {
		owner.presence--
		delete(p.owners, id)
	}
}

// note puts an id into the next frame.
func (p *presence) note(id uint64) {
	if _, ok := p.changed[id]; !ok {
		p.changed[id] = struct{}{}
		p.order = append(p.order, id)
	}
}

// leave removes what a connection owned.
func (p *presence) leave(m *member) {
	if m.presence == 0 {
		return
	}
	for id, owner := range p.owners {
		if owner == m {
			p.remove(id)
		}
	}
}

// remove takes an id out; the others learn it by a null with the last clock.
func (p *presence) remove(id uint64) {
	p.disown(id)
	if p.entries = p.table.Remove(p.entries[:0], id); len(p.entries) > 0 {
		p.note(id)
	}
}

// flushPresence sends the newest states of the ids that changed: the first
// after a pause at once, then at most one frame per interval.
func (r *documentRoom) flushPresence() {
	p := &r.presence
	if len(p.order) == 0 {
		return
	}
	if next := p.sent.Add(p.interval); p.interval > 0 && r.now.Before(next) {
		r.timers.at(duePresence, next)
		return
	}
	p.sent = r.now
	p.entries = p.entries[:0]
	r.timers.clear(duePresence)
	for _, id := range p.order {
		if e, known := p.table.Entry(id); known {
			p.entries = append(p.entries, e)
		}
	}
	f := awarenessFrame(protocol.AppendAwarenessUpdate(nil, p.entries))
	clear(p.entries)
	p.entries = p.entries[:0]
	p.order = p.order[:0]
	clear(p.changed)
	for _, m := range r.members {
		m.peer.push(f)
	}
}

// all frames every state, nil when there is none.
func (p *presence) all() *frame {
	if p.table.Len() == 0 {
		return nil
	}
	return awarenessFrame(p.table.AppendAll(nil))
}

func awarenessFrame(update []byte) *frame {
	return newFrame(opBinary, kindAwareness, protocol.AppendAwareness(nil, update), nil)
}

// expirePresence removes what y-websocket clients did not renew.
func (r *documentRoom) expirePresence() {
	p := &r.presence
	for _, id := range p.table.Outdated(nil, r.now.Add(-presenceTimeout)) {
		if owner := p.owners[id]; owner != nil && owner.ymnt {
			p.remove(id)
		}
	}
	for _, owner := range p.owners {
		if owner.ymnt {
			r.timers.at(dueStale, r.now.Add(presenceCheck))
			return
		}
	}
}
