package yserver

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/yserverd/yserverd/protocol"
	"github.com/yserverd/yserverd/protocol/update"
)

// member is a connection as its room sees it.
type member struct {
	// Static after construction.
	room     *room
	conn     *Connection
	peer     *peer
	ymnt     bool // a y-websocket client: no text frames, presence times out
	limiter  *rate.Limiter
	lifetime context.Context // ends with the socket

	// Atomic.
	speaksText atomic.Bool // it has _pk, or sent text: it knows text frames
	readOnly   atomic.Bool // by the gate, or by a limit

	// Owned by the room's goroutine.
	index    int
	gone     bool // not, or no longer, one of room.members
	told     bool // that it may not write
	joined   time.Time
	synced   bool        // it gets updates; see activate
	lacks    []update.ID // the first clocks that it did not get, while not synced
	missed   bool        // it did not get something, deletes perhaps
	asked    asking      // step 1 sent because of what it knows and we lack
	batch    uint64      // the serial of the last batch that it sent something of
	main     []held      // what it gets in order, behind a commit
	acks     []held      // what tells it that its own is stored
	waits    bool        // it is in room.waiting
	presence int         // ids that it owns
	reason   string      // why it may not write
}

// receive is called by the reader of the peer, in order. It returns once the
// room has the message.
func (m *member) receive(_ *peer, binary bool, msg []byte) {
	if m.limiter != nil {
		if err := m.limiter.Wait(m.lifetime); err != nil {
			return
		}
	}
	if binary {
		m.receiveBinary(msg)
		return
	}
	m.receiveText(msg)
}

func (m *member) receiveBinary(frame []byte) {
	msg, err := protocol.Parse(frame)
	if err != nil {
		m.room.srv.counters.badFrames.Add(1)
		return
	}
	switch msg.Type {
	case protocol.MessageSync:
		if msg.Sync != protocol.SyncStep1 && m.mayNotWrite() {
			m.refuseWrite(msg.Payload)
			return
		}
	case protocol.MessageAwareness, protocol.MessageSyncStatus:
	default:
		return
	}
	select {
	case m.room.inbox <- message{from: m, msg: msg}:
	case <-m.room.done:
	case <-m.peer.closed():
	}
}

// mayNotWrite asks the hook on every message, as y-partyserver does.
func (m *member) mayNotWrite() bool {
	if m.readOnly.Load() {
		return true
	}
	hook := m.room.party.Document.IsReadOnly
	return hook != nil && hook(m.conn)
}

// refuseWrite drops what a read-only client sent and lets it know, once. The
// empty step 2 that answers our step 1 is no attempt to write.
func (m *member) refuseWrite(update []byte) {
	m.room.srv.counters.refusedWrites.Add(1)
	if isEmptyUpdate(update) {
		return
	}
	m.room.post(func() { m.tellReadOnly("") })
}

// tellReadOnly sends the y-protocols auth message, once per connection.
func (m *member) tellReadOnly(reason string) {
	if m.told || m.gone {
		return
	}
	m.told = true
	if reason == "" {
		reason = m.reason
	}
	if reason == "" {
		reason = "read-only"
	}
	m.peer.push(newFrame(opBinary, kindReply, protocol.AppendPermissionDenied(nil, reason), nil))
}

func (m *member) receiveText(text []byte) {
	m.speaksText.Store(true)
	custom, ok := protocol.ParseCustom(text)
	hook := m.room.party.Document.OnCustomMessage
	if !ok || hook == nil {
		return
	}
	payload := string(custom)
	m.room.hooks.put(m.lifetime, func() { hook(m.conn, payload) })
}

// drained is called when everything that waited for a conflated peer has been
// written: it gets what it missed in one piece.
func (m *member) drained(_ *peer) {
	m.room.post(func() { m.room.catchUp(m) })
}

// left is called once, after the last receive.
func (m *member) left(_ *peer, c closeInfo) {
	m.room.srv.counters.closed(c)
	m.conn.end()
	m.room.srv.released(m.conn.addr)
	m.room.post(func() { m.room.leave(m) })
}

func isEmptyUpdate(u []byte) bool {
	return len(u) == 2 && u[0] == 0 && u[1] == 0
}
