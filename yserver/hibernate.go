package yserver

import (
	"context"
	"time"
)

// dozeAfter is how long a room stays that was woken for something small, such
// as a heartbeat of presence, but not longer than after anything else.
const dozeAfter = time.Second

// dormant is a room that hibernates: its members, whose sockets stay open, and
// what its kind keeps of them. Nothing of it runs.
type dormant struct {
	members []*member
	byID    memberIndex
	events  time.Time
	kept    any
}

// close closes the connections.
func (d *dormant) close(code int, reason string) {
	for _, m := range d.members {
		m.peer.close(code, reason)
	}
}

// doze sets the deadline at which a quiet room hibernates.
func (r *room) doze() {
	if r.party.NoHibernation {
		return
	}
	last, stay := r.lastActive()
	if stay {
		last = r.now
	}
	at := last.Add(r.party.HibernateAfter)
	if soon := r.now.Add(min(dozeAfter, r.party.HibernateAfter)); at.Before(soon) {
		at = soon
	}
	r.timers.at(dueSleep, at)
}

// lastActive returns when something happened last in the room, and whether it
// has a reason to stay awake.
func (r *room) lastActive() (last time.Time, stay bool) {
	last, stay = r.kind.active()
	for _, at := range []time.Time{r.events, r.hooks.used()} {
		if at.After(last) {
			last = at
		}
	}
	return last, stay
}

// hibernate takes a quiet room out of memory. The live value and the document
// go; if nothing else keeps the room awake, so does the room, but for its
// members. Whatever happens next brings it back.
func (r *room) hibernate() {
	last, stay := r.lastActive()
	if r.now.Sub(last) < r.party.HibernateAfter || r.draining || !r.settled() || !r.hooks.rest() {
		r.doze()
		return
	}
	kept := r.kind.sleep()
	if stay || len(r.members) == 0 {
		r.doze()
		return
	}
	d := &dormant{members: r.members, byID: r.byID, events: r.events, kept: kept}
	for _, m := range d.members {
		m.live.Store(nil) // whoever needs the room now holds it, and keeps it awake
	}
	if !r.srv.registry.sleep(r.entry, d, r.hooks.idle) {
		for _, m := range d.members {
			m.live.Store(r)
		}
		r.doze()
		return
	}
	r.srv.counters.hibernations.Add(1)
	r.members = nil
	r.slept.Store(true)
	r.over = true
}

// revive gives a room what it had before it hibernated. Its goroutine does not
// run yet.
func (r *room) revive(d *dormant) {
	r.members, r.byID, r.events = d.members, d.byID, d.events
	for _, m := range r.members {
		m.batch = 0 // batches are counted anew
		m.live.Store(r)
	}
	r.timers.clear(dueUnload)
	r.doze()
}

// home returns the room of a member, waking it up if it hibernates; nil when
// there is none any more.
func (m *member) home(ctx context.Context) *room {
	if r := m.live.Load(); r != nil {
		return r
	}
	g := m.srv.registry
	if err := g.rejoin(ctx, m.entry); err != nil {
		return nil
	}
	defer g.release(m.entry)
	return m.entry.room
}

// deliver hands a message to the room, and reports whether it has it. One for the
// hooks (slot) waits for a place among their calls first.
func (m *member) deliver(msg message) bool {
	for {
		r := m.home(m.lifetime)
		if r == nil {
			return false
		}
		if !msg.slot || r.hooks.reserve(m.peer.closed()) {
			select {
			case r.inbox <- msg:
				return true
			case <-r.done:
			case <-m.peer.closed():
			}
			if msg.slot {
				r.hooks.free()
			}
		}
		if !r.slept.Load() {
			return false
		}
	}
}

// tell runs fn in the goroutine of the member's room, now or later, unless the
// room has ended.
func (m *member) tell(fn func(*room)) {
	for {
		r := m.home(context.Background())
		if r == nil || r.post(func() { fn(r) }) || !r.slept.Load() {
			return
		}
	}
}
