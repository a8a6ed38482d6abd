package yserver

import (
	"context"
	"net/http"
)

// The hooks of a room type. [Party.New] makes a live value for each room; it
// implements any of the interfaces below, which are PartyServer's life cycle.
//
// The methods of one value are never called concurrently, so its fields need no
// locks. They run beside the room: while one of them works, or blocks, presence,
// relayed messages and documents go on, and other rooms notice nothing. A
// method gets a context that ends with the room and after [Party.HookTimeout];
// one that does not return soon after that loses its room: the connections are
// closed with 1011, and the next event starts a new value. Blocking work belongs
// into [Room.Go].
//
// An error or a panic is logged and counted; what else it does is told with each
// hook. Clients never see its text.
type (
	// Starter is called before anything else happens to a value, again after
	// hibernation. While it fails the value is not used: the connection or
	// request that caused the start fails, and the next one tries again.
	Starter interface {
		OnStart(ctx context.Context) error
	}
	// ConnectionTagger names the tags of a connection, before it is one of the
	// room's. The id of the connection is always the first tag; with it there
	// are at most ten, none of them empty or longer than 256 UTF-16 code units.
	// An error refuses the connection, as in [Connecter].
	ConnectionTagger interface {
		ConnectionTags(ctx context.Context, conn *Connection, r *http.Request) ([]string, error)
	}
	// Connecter is called for a connection that is one of the room's now, before
	// the client sees it open: what is sent here arrives first. An error refuses
	// it: the client is told {"error": …} and closed with 1011.
	Connecter interface {
		OnConnect(ctx context.Context, conn *Connection, r *http.Request) error
	}
	// MessageHandler receives what clients send to a message room, in order for
	// each connection. An error leaves the connection open.
	MessageHandler interface {
		OnMessage(ctx context.Context, conn *Connection, p Payload) error
	}
	// CustomMessageHandler receives what y-partyserver's sendMessage sends to a
	// document room.
	CustomMessageHandler interface {
		OnCustomMessage(ctx context.Context, conn *Connection, message string) error
	}
	// CloseHandler is called when a connection has ended and is no longer one of
	// the room's. Code 1005 means that the client gave none, 1006 (wasClean
	// false) that it is just gone.
	CloseHandler interface {
		OnClose(ctx context.Context, conn *Connection, code int, reason string, wasClean bool) error
	}
	// ErrorHandler is called, before OnClose, for a connection that a transport
	// error ended: a message over the limit, or a broken protocol.
	ErrorHandler interface {
		OnError(ctx context.Context, conn *Connection, err error)
	}
	// RequestHandler answers plain HTTP requests to the room's URL. The body is
	// read before and the answer is sent afterwards, both within limits, so that
	// a slow client does not hold up the room. Without it they are 404; an error
	// is 500.
	RequestHandler interface {
		OnRequest(w http.ResponseWriter, r *http.Request) error
	}
	// AlarmHandler is called when the time that [Room.SetAlarm] set has come,
	// whether the room is live or not. It is repeated with back-off until it
	// returns nil, six times at most.
	AlarmHandler interface {
		OnAlarm(ctx context.Context) error
	}
)

// Lobby names the room that a request asks for, before there is one.
type Lobby struct {
	Party string // the party's name
	Room  string // the room's canonical id
}
