package yserver

import (
	"context"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"golang.org/x/time/rate"

	"github.com/yserverd/yserverd/protocol"
	"github.com/yserverd/yserverd/protocol/update"
)

// member is a connection as its room sees it. It lives on while the room
// hibernates.
type member struct {
	// Static after construction.
	srv      *Server
	party    *party
	entry    *entry
	conn     *Connection
	peer     *peer
	ymnt     bool // a y-websocket client: no text frames, presence times out
	claim    claim
	ownID    bool // its connection id is its own
	limiter  *rate.Limiter
	lifetime context.Context // ends with the socket

	// Atomic.
	live       atomic.Pointer[room] // nil while the room hibernates
	speaksText atomic.Bool          // it has _pk, or sent text: it knows text frames
	limited    atomic.Bool          // a limit took its right to write, for good
	told       atomic.Bool          // that it may not write

	// Owned by the room's goroutine.
	index    int
	order    uint64
	older    *member // see memberIndex
	gone     bool    // not, or no longer, one of room.members
	stale    bool    // its copy is of a former epoch: it is muted
	joined   time.Time
	synced   bool        // it gets updates; see activate
	lacks    []update.ID // the first clocks that it did not get, while not synced
	missed   bool        // it did not get something, deletes perhaps
	asked    asking      // step 1 sent because of what it knows and we lack
	batch    uint64      // the serial of the last batch that it sent something of
	parked   bool        // something that it sent was parked, once
	main     []held      // what it gets in order, behind a commit
	acks     []held      // what tells it that its own is stored
	waits    bool        // it is in room.waiting
	presence int         // ids that it owns
	data     []byte      // what it set in the roster, JSON

	// Guarded by the lock of the warden.
	lease *lease // nil: its access does not end

	// Guarded by the lock of userMembers.
	user   string // whose it was when it came; empty: it is not among them
	userAt int

	// Owned by the reader of the peer.
	refreshed int64 // see refreshedTooOften

	// Owned by the hook calls of the room.
	connected bool // OnConnect was called without an error, so OnClose will be
}

// receive is called by the reader of the peer, in order. It returns once the
// room has the message.
func (m *member) receive(_ *peer, binary bool, msg []byte) {
	if m.limiter != nil {
		if err := m.limiter.Wait(m.lifetime); err != nil {
			return
		}
	}
	if !binary && !utf8.Valid(msg) {
		// Sent on it would end the connections of those who get it.
		m.peer.refuse(closeInvalidPayload, "text is not UTF-8")
		return
	}
	switch {
	case m.party.Document == nil:
		m.receiveMessage(Payload{Binary: binary, Data: msg})
	case binary:
		m.receiveBinary(msg)
	default:
		m.receiveText(msg)
	}
}

func (m *member) receiveBinary(frame []byte) {
	msg, err := protocol.Parse(frame)
	if err != nil {
		m.srv.counters.badFrames.Add(1)
		return
	}
	switch msg.Type {
	case protocol.MessageSync:
		if msg.Sync != protocol.SyncStep1 && m.mayNotWrite() {
			m.refuseWrite(msg.Payload)
			return
		}
	case protocol.MessageAwareness:
		if m.hides() { // no reason to wake a room up
			m.srv.counters.hidden.Add(1)
			return
		}
	case protocol.MessageSyncStatus:
	default:
		return
	}
	m.deliver(message{from: m, doc: msg})
}

// mayNotWrite asks the hook on every message, as y-partyserver does.
func (m *member) mayNotWrite() bool {
	if !m.mayWrite() {
		return true
	}
	hook := m.party.Document.IsReadOnly
	return hook != nil && hook(m.conn)
}

// refuseWrite drops what a read-only client sent and lets it know, once. The
// empty step 2 that answers our step 1 is no attempt to write.
func (m *member) refuseWrite(update []byte) {
	m.srv.counters.refusedWrites.Add(1)
	if isEmptyUpdate(update) {
		return
	}
	m.tellReadOnly("")
}

// tellReadOnly sends the y-protocols auth message, once, unless the connection
// could write in between.
func (m *member) tellReadOnly(reason string) {
	p := m.conn.peer.Load()
	if p == nil || m.told.Swap(true) {
		return
	}
	if reason == "" {
		reason = "read-only"
	}
	p.push(newFrame(opBinary, kindReply, protocol.AppendPermissionDenied(nil, reason), nil))
}

// receiveText takes a text frame of a document's client: a custom message.
func (m *member) receiveText(text []byte) {
	m.speaksText.Store(true)
	custom, ok := protocol.ParseCustom(text)
	if ok && m.refreshes(custom) {
		return
	}
	if ok && (m.party.Document.OnCustomMessage != nil || m.party.New != nil) {
		m.deliver(message{from: m, payload: Payload{Data: custom}, slot: true})
	}
}

// drained is called when everything that waited for a conflated peer has been
// written: it gets what it missed in one piece.
func (m *member) drained(_ *peer) {
	m.tell(func(r *room) {
		switch k := r.kind.(type) {
		case *documentRoom:
			k.wake(func(err error) {
				if err != nil {
					m.peer.close(closeTryLater, "the document cannot be loaded now") // it lacks what nobody will tell it
					return
				}
				k.catchUp(m)
			})
		case *messageRoom:
			k.roster.catchUp(k, m)
		}
	})
}

// left is called once, after the last receive.
func (m *member) left(_ *peer, c closeInfo) {
	m.srv.counters.closed(c)
	m.conn.end()
	m.srv.released(m.conn.addr)
	m.srv.warden.forget(m)
	m.srv.users.Load().remove(m)
	if m.peer.weClosed() {
		m.srv.flaps(m)
	}
	m.tell(func(r *room) { r.goodbye(m, c) })
}

func isEmptyUpdate(u []byte) bool {
	return len(u) == 2 && u[0] == 0 && u[1] == 0
}
