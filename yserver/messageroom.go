package yserver

import (
	"context"
	"time"
)

// messageRoom is a room whose clients exchange messages, through the code of a
// room type or by themselves.
type messageRoom struct {
	*room
}

func newMessageRoom(srv *Server, p *party, e *entry) *messageRoom {
	r := &messageRoom{room: &room{}}
	r.room.kind = r
	r.room.init(srv, p, e)
	return r
}

// loadMessageRoom makes the room, or revives it.
func (s *Server) loadMessageRoom(p *party, e *entry, d *dormant) (*room, error) {
	r := newMessageRoom(s, p, e)
	return r.room, nil
}

func (r *messageRoom) handle(m message) {
	r.events = r.now
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

func (r *messageRoom) full() bool { return false }

func (r *messageRoom) committed(commit) {}

func (r *messageRoom) flush() {}

func (r *messageRoom) fire(due) {}

func (r *messageRoom) enter(*member) {}

func (r *messageRoom) leave(*member) {}

func (r *messageRoom) settled() bool { return true }

func (r *messageRoom) hurry() {}

func (r *messageRoom) abandon() {}

func (r *messageRoom) end() {}

func (r *messageRoom) sleep() any { return nil }

func (r *messageRoom) active() (last time.Time, stay bool) { return r.events, false }
