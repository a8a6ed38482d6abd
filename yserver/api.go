package yserver

import (
	"context"
	"errors"
	"fmt"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/protocol"
	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/protocol/ydoc"
)

// ErrReadOnlyLimit is returned by [Room.Apply] for an update that a limit
// refuses.
var ErrReadOnlyLimit = errors.New("update is over a limit of the room")

// Room is a handle of a room, live or not. It is safe for concurrent use, and
// cheap: each call finds the room, or loads it.
type Room struct {
	srv *Server
	id  roomID
}

// Name returns the canonical room id.
func (r *Room) Name() string { return r.id.room }

// Party returns the name of the room's party.
func (r *Room) Party() string { return r.id.party }

// State returns the whole document as one Yjs update (V1), with what is not yet
// committed. The bytes must not be modified.
func (r *Room) State(ctx context.Context) ([]byte, error) {
	var state []byte
	err := r.with(ctx, func(live *room) { state = live.doc.State() })
	return state, err
}

// Apply applies a Yjs update (V1) as a client's would be: it is sent to every
// connection, and it is committed when Apply returns nil. An update that
// changes nothing is no error. It must not be called from a hook that the room
// waits for (OnLoad).
func (r *Room) Apply(ctx context.Context, u []byte) error {
	var (
		stored   = make(chan struct{})
		ended    <-chan struct{}
		applyErr error
	)
	src := append([]byte(nil), u...)
	err := r.with(ctx, func(live *room) {
		ended = live.done
		var applied ydoc.Applied
		applied, applyErr = live.doc.Apply(src)
		if applyErr != nil {
			return
		}
		live.take(nil, applied, src)
		live.whenCommitted(func() { close(stored) })
	})
	switch {
	case err != nil:
		return err
	case errors.Is(applyErr, update.ErrLimit):
		return fmt.Errorf("%w: %w", ErrReadOnlyLimit, applyErr)
	case applyErr != nil:
		return fmt.Errorf("apply update: %w", applyErr)
	}
	select {
	case <-stored:
		return nil
	case <-ended:
		return errRoomEnded
	case <-ctx.Done():
		return ctx.Err()
	}
}

// SendCustomMessage sends a custom message to one connection. One that does not
// speak text frames (y-websocket) is left out, as are closed ones.
func (r *Room) SendCustomMessage(conn *Connection, message string) {
	conn.sendText(protocol.CustomPrefix + message)
}

// BroadcastCustomMessage sends a custom message to the room's connections but
// those in except. Nobody is in a room that is not live: then it does nothing.
func (r *Room) BroadcastCustomMessage(message string, except ...*Connection) {
	live := r.srv.registry.find(r.id)
	if live == nil {
		return
	}
	f := newFrame(opText, kindCustom, []byte(protocol.CustomPrefix+message), nil)
	live.post(func() {
		for _, m := range live.members {
			if m.speaksText.Load() && !contains(except, m.conn) {
				m.peer.push(f)
			}
		}
	})
}

// Connections returns who is in the room now.
func (r *Room) Connections() []*Connection {
	live := r.srv.registry.find(r.id)
	if live == nil {
		return nil
	}
	var conns []*Connection
	live.do(func() {
		for _, m := range live.members {
			conns = append(conns, m.conn)
		}
	})
	return conns
}

// with runs fn in the goroutine of the live room.
func (r *Room) with(ctx context.Context, fn func(*room)) error {
	p := r.srv.router.parties[r.id.party]
	e, err := r.srv.registry.acquire(ctx, r.id, func(e *entry) (*room, error) { return r.srv.loadRoom(p, e) })
	if err != nil {
		return err
	}
	defer r.srv.registry.release(e)
	if !e.room.do(func() { fn(e.room) }) {
		return errRoomEnded
	}
	return nil
}

func contains(conns []*Connection, c *Connection) bool {
	for _, x := range conns {
		if x == c {
			return true
		}
	}
	return false
}

// Connection is a client's connection to a room. It is safe for concurrent use.
type Connection struct {
	id       string
	uri      string
	addr     string
	room     *Room
	identity gate.Identity
	member   *member

	ended <-chan struct{}
	end   context.CancelFunc
}

// ID returns the connection id: the client's _pk, or a random one. A client
// that reconnects uses the same, so two connections may share one for a while.
func (c *Connection) ID() string { return c.id }

// URI returns the URL of the upgrade request. It holds what the client put into
// its query, tokens included: do not log it.
func (c *Connection) URI() string { return c.uri }

// RemoteAddr returns the client's address.
func (c *Connection) RemoteAddr() string { return c.addr }

// Room returns the room of the connection.
func (c *Connection) Room() *Room { return c.room }

// Identity returns who the gate says this is.
func (c *Connection) Identity() gate.Identity { return c.identity }

// Close ends the connection with a close code and a reason of at most 123
// bytes. It returns at once.
func (c *Connection) Close(code int, reason string) { c.member.peer.close(code, reason) }

// Done is closed when the connection has ended.
func (c *Connection) Done() <-chan struct{} { return c.ended }

func (c *Connection) sendText(text string) {
	if c.member.speaksText.Load() {
		c.member.peer.push(newFrame(opText, kindCustom, []byte(text), nil))
	}
}
