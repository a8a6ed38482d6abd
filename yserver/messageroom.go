package yserver

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/protocol/relay"
)

// messageRoom is a room whose clients exchange messages: through the code of a
// room type, by the rules of its Message, or both.
type messageRoom struct {
	*room
	cfg *Message

	roster  roster
	state   sharedState
	history history

	// What has to be stored before it is sent. One change is under way at most;
	// the rest gathers for the next.
	gathering outgoing
	flight    outgoing
	inFlight  bool
	asked     bool // the change is with the committer
	retry     time.Duration
}

// outgoing is frames on their way, in order, and the change that they wait for.
type outgoing struct {
	frames []addressed
	bytes  int64
	change persist.RoomChange
}

// addressed is a frame with those who get it: all but from.
type addressed struct {
	frame *frame
	from  *member // gets it not; nil: everybody gets it
	to    *member // gets it alone; nil: all do
	tag   string  // only those with this tag, which is not an id; empty: all
}

func newMessageRoom(srv *Server, p *party, e *entry) *messageRoom {
	r := &messageRoom{room: &room{}, cfg: p.Message}
	r.room.kind = r
	r.room.init(srv, p, e)
	return r
}

// loadMessageRoom makes the room, or one that hibernated (d) again, with what it
// has stored.
func (s *Server) loadMessageRoom(p *party, e *entry, d *dormant) (*room, error) {
	r := newMessageRoom(s, p, e)
	if d != nil {
		r.history.epoch, _ = d.kept.(string)
	}
	if r.cfg.State == nil && r.cfg.History == nil {
		return r.room, nil
	}
	ctx, cancel := context.WithTimeout(s.loads, s.cfg.LoadTimeout)
	defer cancel()
	err := r.state.load(ctx, r)
	if err == nil {
		err = r.history.load(ctx, r)
	}
	if err != nil {
		s.counters.loadFailures.Add(1)
		s.log.Error("room cannot be loaded", "party", e.id.party, "room", e.id.room, "err", err)
		return nil, err
	}
	s.counters.loads.Add(1)
	return r.room, nil
}

// receiveMessage takes a message of a client, in the goroutine of its reader:
// what it says is found out here, so that the room has less to do.
func (m *member) receiveMessage(p Payload) {
	cfg := m.party.Message
	if !p.Binary && m.refreshes(p.Data) {
		return
	}
	msg := message{from: m, payload: p, slot: m.party.New != nil}
	if p.Binary || !cfg.configured() || cfg.Relay == RelayRaw {
		m.deliver(msg)
		return
	}
	f, err := relay.Parse(p.Data, relay.Limits{Nesting: m.party.Limits.Nesting})
	switch {
	case errors.Is(err, relay.ErrNotObject):
		m.srv.counters.badFrames.Add(1)
		if msg.slot {
			m.deliver(msg)
		}
	case err != nil:
		m.srv.counters.badFrames.Add(1)
		m.peer.push(errorFrame(relay.CodeBadFrame))
	case f.Kind == relay.Reserved:
		m.srv.counters.badFrames.Add(1)
	case f.Kind == relay.Refresh: // nobody's: there is no gate that could say whose
	case f.Kind == relay.Presence && m.hides():
		m.srv.counters.hidden.Add(1)
	default:
		msg.frame = &f
		msg.slot = msg.slot && f.Kind == relay.Relay
		m.deliver(msg)
	}
}

func errorFrame(code string) *frame {
	return newFrame(opText, kindCustom, relay.AppendError(nil, code), nil)
}

// handle does what a message calls for.
func (r *messageRoom) handle(m message) {
	r.events = r.now
	if !m.from.mayWrite() && (m.frame == nil || m.frame.Kind != relay.Presence) {
		r.srv.counters.refusedWrites.Add(1)
		m.from.peer.push(errorFrame(relay.CodeReadOnly))
		if m.slot {
			r.hooks.free()
		}
		return
	}
	switch {
	case m.frame == nil:
		r.relayPayload(m)
	case m.frame.Kind == relay.Presence && m.from.hides():
		r.srv.counters.hidden.Add(1)
	case m.frame.Kind == relay.Presence && r.cfg.Presence:
		r.roster.set(r, m.from, m.frame.Data)
	case m.frame.Kind == relay.State && r.cfg.State != nil:
		r.patch(m.from, m.frame)
	case m.frame.Kind == relay.Relay:
		r.relayFrame(m.from, m.frame, len(m.payload.Data))
	}
	if m.slot {
		r.hooks.put(r.messageCall(m))
	}
}

// messageCall gives a message to the room type.
func (r *messageRoom) messageCall(m message) hookCall {
	return hookCall{name: "OnMessage", slot: true, fn: func(ctx context.Context, value any) error {
		if h, ok := value.(MessageHandler); ok {
			return h.OnMessage(ctx, m.from.conn, m.payload)
		}
		return nil
	}}
}

// relayPayload sends something on as it is.
func (r *messageRoom) relayPayload(m message) {
	if r.cfg.Relay == RelayRaw || r.cfg.Relay == RelayJSON && m.payload.Binary {
		r.send(addressed{frame: m.payload.frame(), from: m.from})
	}
}

// relayFrame sends a stamped frame to all others, or to those it names.
func (r *messageRoom) relayFrame(from *member, f *relay.ClientFrame, size int) {
	if r.cfg.Relay != RelayJSON {
		return
	}
	stamp := relay.Stamp{From: from.conn.id, UserID: from.conn.userID()}
	if f.HasTo || f.HasToTag {
		r.relayTo(from, f, stamp, size)
		return
	}
	if r.cfg.History == nil {
		out, _ := stamped(f, stamp, size)
		r.sendAll(addressed{frame: out, from: from})
		return
	}
	stamp.HasOffset, stamp.Offset = true, r.history.next
	out, text := stamped(f, stamp, size)
	if r.history.keep(r, text) {
		r.sendStored(addressed{frame: out, from: from})
	} else {
		from.peer.push(errorFrame(relay.CodeBadFrame))
	}
}

// relayTo sends a frame to the newest connection with an id, or to all with a tag
// that the server gave them; an id is no such tag. It is not in the history, and
// so has no offset, not even one that its sender made up.
func (r *messageRoom) relayTo(from *member, f *relay.ClientFrame, stamp relay.Stamp, size int) {
	a := addressed{from: from, tag: f.ToTag}
	if f.HasTo {
		a.tag = ""
		if a.to = r.byID.find(f.To, r.members); a.to == nil {
			return
		}
	} else if a.tag == "" {
		return
	}
	stamp.HasOffset = r.cfg.History != nil
	out, text := stamped(f, stamp, size)
	if stamp.HasOffset {
		out = textFrame(append(bytes.TrimSuffix(text, []byte(`,"offset":0}`)), '}'))
	}
	r.send(a.with(out))
}

func (a addressed) with(f *frame) addressed {
	a.frame = f
	return a
}

// stamped makes the frame of a client's text of so many bytes, in one piece of
// memory, and returns its text too.
func stamped(f *relay.ClientFrame, s relay.Stamp, size int) (_ *frame, text []byte) {
	const header = 10
	b := f.AppendRelay(make([]byte, header, header+size+len(s.From)+len(s.UserID)+64), s)
	text = b[header:len(b):len(b)]
	at := header - frameHeaderLen(len(text))
	appendFrameHeader(b[at:at], opText, len(text))
	return &frame{head: b[at:], kind: kindCustom}, text
}

func textFrame(text []byte) *frame { return newFrame(opText, kindCustom, nil, text) }

// sendAll sends a frame now.
func (r *messageRoom) sendAll(a addressed) {
	if a.to != nil {
		if a.to != a.from {
			a.to.peer.push(a.frame)
		}
		return
	}
	for _, m := range r.members {
		if m != a.from && (a.tag == "" || containsID(m.conn.Tags()[1:], a.tag)) {
			m.peer.push(a.frame)
		}
	}
}

// send sends a frame now, but does not let it overtake messages that wait for
// the history: clients get what one of them sent in the order in which it did.
func (r *messageRoom) send(a addressed) {
	if r.cfg.History != nil && !r.settled() {
		r.sendStored(a)
		return
	}
	r.sendAll(a)
}

// sendStored sends a frame once what gathers is stored.
func (r *messageRoom) sendStored(a addressed) {
	r.gathering.frames = append(r.gathering.frames, a)
	r.gathering.bytes += a.frame.cost()
	r.srv.counters.pendingBytes.Add(a.frame.cost())
}

// commit starts to store what gathered, when nothing is under way.
func (r *messageRoom) commit() {
	if r.inFlight || len(r.gathering.frames) == 0 {
		return
	}
	r.flight, r.gathering = r.gathering, outgoing{}
	c := &r.flight.change
	c.Key = r.key
	r.state.write(c)
	r.history.write(c)
	r.inFlight, r.retry = true, 0
	if len(c.Puts) == 0 {
		r.stored() // it only waited for its turn
		return
	}
	r.submit()
}

func (r *messageRoom) submit() {
	r.asked = true
	r.srv.changer.submit(r.flight.change, r.commits)
}

// committed sends what is stored now, or tries again: nothing is dropped, and
// nobody is told. What the store will never take, being out of service for this
// room, ends the room.
func (r *messageRoom) committed(c commit) {
	r.asked = false
	switch {
	case !r.inFlight: // it was abandoned
	case c.unknown != nil:
		r.retry = min(max(2*r.retry, retryFirst), retryMost)
		r.timers.at(dueRetry, r.now.Add(r.retry))
	case c.result.Err != nil:
		r.log.Error("the store does not take the data of the room", "err", c.result.Err)
		r.evict(closeInternalError, "internal error")
	default:
		r.stored()
	}
}

// stored sends what waited for the change under way.
func (r *messageRoom) stored() {
	r.inFlight = false
	r.srv.counters.pendingBytes.Add(-r.flight.bytes)
	r.state.stored()
	r.history.stored()
	for _, a := range r.flight.frames {
		r.sendAll(a)
	}
	r.flight = outgoing{}
}

func (r *messageRoom) full() bool {
	return r.gathering.bytes+r.flight.bytes > r.party.Limits.Uncommitted || (r.inFlight || r.gathering.bytes > 0) && r.srv.laden()
}

func (r *messageRoom) flush() {
	r.commit()
	r.roster.flush(r)
}

func (r *messageRoom) fire(d due) {
	if d == dueRetry && r.inFlight && !r.asked {
		r.submit()
	}
	// duePresence: flush runs at the end of every turn
}

// enter tells a newcomer where the room stands, as far as that is stored; the
// rest reaches it like everybody.
func (r *messageRoom) enter(m *member) {
	r.state.greet(r, m)
	r.history.greet(r, m)
	r.roster.touch(r)
}

func (r *messageRoom) leave(m *member) {
	m.data = nil
	r.roster.touch(r)
}

func (r *messageRoom) settled() bool { return !r.inFlight && len(r.gathering.frames) == 0 }

func (r *messageRoom) hurry() {}

func (r *messageRoom) abandon() {
	r.srv.counters.pendingBytes.Add(-r.gathering.bytes - r.flight.bytes)
	r.gathering, r.flight, r.inFlight = outgoing{}, outgoing{}, false
}

func (r *messageRoom) end() {}

// sleep keeps the epoch of a history that has no message yet: what a client set
// is with its member, the rest is stored.
func (r *messageRoom) sleep() any {
	if r.history.isNew {
		return r.history.epoch
	}
	return nil
}

func (r *messageRoom) active() (last time.Time, stay bool) { return r.events, r.roster.dirty }
