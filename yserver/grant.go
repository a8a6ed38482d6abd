package yserver

import (
	"reflect"
	"time"

	"github.com/yserverd/yserverd/gate"
)

// grant is what a connection may do, and as whom: what the gate decided last. It
// is replaced, never changed.
type grant struct{ gate.Decision }

// strangersGrants are those of nobody in particular, read-only and not: most
// connections of a public party share them.
var strangersGrants = [2]*grant{{}, {gate.Decision{Write: true}}}

func newGrant(d gate.Decision) *grant {
	if ends := d.Identity.ExpiresAt; d.Until.IsZero() || !ends.IsZero() && ends.Before(d.Until) {
		d.Until = ends
	}
	if d.Until.IsZero() && !d.NoPresence && reflect.ValueOf(d.Identity).IsZero() {
		if d.Write {
			return strangersGrants[1]
		}
		return strangersGrants[0]
	}
	return &grant{d}
}

// over reports whether the time of the grant has come: its end, or that it has
// to be decided again.
func (g *grant) over(now time.Time) bool { return !g.Until.IsZero() && !now.Before(g.Until) }

// userID is who the connection belongs to, empty for nobody.
func (c *Connection) userID() string { return c.grant.Load().Identity.UserID }

// mayWrite reports whether the gate and the limits let the member write.
func (m *member) mayWrite() bool { return m.conn.grant.Load().Write && !m.limited.Load() }

// hides reports whether the presence of the member is nobody's business.
func (m *member) hides() bool { return m.conn.grant.Load().NoPresence }

// regrant replaces the grant that was decided upon, unless another decision was
// quicker, and lets everybody know whom it concerns. A room that hibernates goes
// on to do so, but for what others see of the member.
func (m *member) regrant(was, is *grant) bool {
	if !m.conn.grant.CompareAndSwap(was, is) {
		return false
	}
	m.srv.warden.reset(m)
	switch {
	case was.Write && !is.Write:
		if m.party.Document != nil {
			m.tellReadOnly("")
		}
	case !was.Write && is.Write && !m.limited.Load():
		m.told.Store(false) // it would be news again
	}
	hidden := is.NoPresence && !was.NoPresence
	renamed := was.Identity.UserID != is.Identity.UserID || was.Identity.Name != is.Identity.Name
	if hidden || renamed && m.party.Message != nil && m.party.Message.Presence {
		m.srv.warden.beside.Go(func() { m.tell(func(r *room) { r.kind.regranted(m, hidden) }) })
	}
	return true
}

// regranted takes back the presence of a member that is not to have any.
func (r *documentRoom) regranted(m *member, hidden bool) {
	if hidden && !m.gone {
		r.presence.leave(m)
	}
}

// regranted shows the member as who it is now.
func (r *messageRoom) regranted(m *member, hidden bool) {
	if m.gone {
		return
	}
	if hidden {
		m.data = nil
	}
	r.roster.touch(r)
}
