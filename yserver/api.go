package yserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/protocol"
	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/protocol/ydoc"
)

// ErrReadOnlyLimit is returned by [Room.Apply] for an update that a limit
// refuses.
var ErrReadOnlyLimit = errors.New("update is over a limit of the room")

// ErrNotDocument is returned when a document is asked of a message room.
var ErrNotDocument = errors.New("the room has no document")

// Room is a handle of a room, live or not. It is safe for concurrent use, and
// cheap: each call finds the room, or loads it where that is said.
type Room struct {
	srv   *Server
	party *party
	id    roomID
}

// Name returns the canonical room id.
func (r *Room) Name() string { return r.id.room }

// Party returns the name of the room's party.
func (r *Room) Party() string { return r.id.party }

// Logger returns the server's logger with the room's party and name.
func (r *Room) Logger() *slog.Logger { return r.srv.log.With("party", r.id.party, "room", r.id.room) }

// Broadcast sends a message to every connection of the room but those whose ids
// are in without. It returns at once; a connection for which too much waits is
// closed with 1013. Nobody is in a room that is not in memory: then it does
// nothing. In a document room only connections that know text frames get text.
func (r *Room) Broadcast(p Payload, without ...string) {
	f := p.frame()
	r.visit(func(live *room) {
		for _, m := range live.members {
			if m.takes(p) && !containsID(without, m.conn.id) {
				m.peer.push(f)
			}
		}
	})
}

// Connections returns who is in the room now and not closing, in the order in
// which they came. With a tag, those that have it; every connection has its id as a tag.
func (r *Room) Connections(tag ...string) []*Connection {
	var conns []*Connection
	r.visit(func(live *room) {
		for _, m := range inOrder(live.members) {
			if m.peer.open() && (len(tag) == 0 || tag[0] == "" || containsID(m.conn.Tags(), tag[0])) {
				conns = append(conns, m.conn)
			}
		}
	})
	return conns
}

// Connection returns the connection with this id, nil if there is none. A client
// that reconnects may have two for a while; this is the newest.
func (r *Room) Connection(id string) *Connection {
	var conn *Connection
	r.visit(func(live *room) {
		if m := live.byID.find(id, live.members); m != nil {
			conn = m.conn
		}
	})
	return conn
}

// Go runs work beside the room, for what blocks: requests to others, queries,
// waiting. Its context ends with the room, which stays in memory until then.
// What it returns, if not nil, is then called as a hook: with the room's value
// to itself, and no other method of it running.
func (r *Room) Go(work func(ctx context.Context) func()) error {
	e, err := r.srv.registry.acquire(context.Background(), r.party, r.id)
	if err != nil {
		return err
	}
	live := e.room
	if !live.hooks.begun() {
		r.srv.registry.release(e)
		return errRoomEnded
	}
	go func() {
		defer r.srv.registry.release(e)
		defer live.hooks.done()
		live.hooks.beside(work)
	}()
	return nil
}

// Call runs fn with the live value of the room, as a hook: it is loaded and
// started if need be, and no method of the value runs meanwhile. It returns the
// error of fn, of the start or of ctx. It must not be called from a hook of the
// same room, which would wait for itself.
func (r *Room) Call(ctx context.Context, fn func(ctx context.Context, value any) error) error {
	e, err := r.srv.registry.acquire(ctx, r.party, r.id)
	if err != nil {
		return err
	}
	defer r.srv.registry.release(e)
	return e.room.hooks.call(ctx, "Call", fn)
}

// State returns the whole document as one Yjs update (V1), with what is not yet
// committed. The bytes must not be modified.
func (r *Room) State(ctx context.Context) ([]byte, error) {
	var state []byte
	err := r.withDocument(ctx, func(live *documentRoom) { state = live.doc.State() })
	return state, err
}

// Apply applies a Yjs update (V1) as a client's would be: it is sent to every
// connection, and it is committed when Apply returns nil. An update that
// changes nothing is no error; one of a former epoch is [ErrStaleCopy]. It must not be called from a hook that the room
// waits for (OnLoad).
func (r *Room) Apply(ctx context.Context, u []byte) error { return r.apply(ctx, u, nil) }

// apply is Apply to the document of an epoch, nil for any.
func (r *Room) apply(ctx context.Context, u []byte, epoch *persist.Epoch) error {
	var (
		stored   = make(chan struct{})
		ended    <-chan struct{}
		applyErr error
	)
	src := append([]byte(nil), u...)
	err := r.withDocument(ctx, func(live *documentRoom) {
		ended = live.done
		if applyErr = live.mayApply(src, epoch); applyErr != nil {
			return
		}
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
	case errors.Is(applyErr, ErrStaleCopy), errors.Is(applyErr, persist.ErrEpoch):
		return applyErr
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
	conn.Send(Text(protocol.CustomPrefix + message))
}

// BroadcastCustomMessage sends a custom message to the room's connections but
// those in except. Nobody is in a room that is not in memory: then it does
// nothing.
func (r *Room) BroadcastCustomMessage(message string, except ...*Connection) {
	p := Text(protocol.CustomPrefix + message)
	f := p.frame()
	r.visit(func(live *room) {
		for _, m := range live.members {
			if m.takes(p) && !contains(except, m.conn) {
				m.peer.push(f)
			}
		}
	})
}

// visit runs fn in the goroutine of a room that is in memory, be it that it
// hibernates, and waits for it.
func (r *Room) visit(fn func(*room)) {
	e, err := r.srv.registry.find(context.Background(), r.id)
	if err != nil {
		return
	}
	defer r.srv.registry.release(e)
	e.room.do(func() { fn(e.room) })
}

// withDocument runs fn in the goroutine of the room, with its document loaded.
func (r *Room) withDocument(ctx context.Context, fn func(*documentRoom)) error {
	if r.party.Document == nil {
		return ErrNotDocument
	}
	e, err := r.srv.registry.acquire(ctx, r.party, r.id)
	if err != nil {
		return err
	}
	defer r.srv.registry.release(e)
	return e.room.awake(ctx, fn)
}

func contains(conns []*Connection, c *Connection) bool {
	for _, x := range conns {
		if x == c {
			return true
		}
	}
	return false
}

func containsID(ids []string, id string) bool {
	for _, x := range ids {
		if x == id {
			return true
		}
	}
	return false
}
