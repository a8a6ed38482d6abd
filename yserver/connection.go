package yserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/yserverd/yserverd/gate"
)

// MaxConnectionState bounds the state of one connection, as JSON, in bytes.
const MaxConnectionState = 16 << 10

// ErrStateTooLarge is returned by [Connection.SetState].
var ErrStateTooLarge = errors.New("connection state is too large")

// Connection is a client's connection to a room. It is safe for concurrent use,
// and outlives the hibernation of its room.
type Connection struct {
	id     string
	uri    string
	addr   string
	room   *Room
	member *member
	peer   atomic.Pointer[peer] // nil before the upgrade
	grant  atomic.Pointer[grant]

	tags  atomic.Pointer[[]string] // nil: the id alone
	state atomic.Pointer[[]byte]   // JSON

	ended <-chan struct{}
	end   context.CancelFunc
}

// ID returns the connection id: the client's _pk, or a random one. A client
// that reconnects uses the same, so two connections may share one for a while.
func (c *Connection) ID() string { return c.id }

// URI returns the URL of the upgrade request, with what the client put into its
// query but the values of api_key, key, ws_ticket, token and
// Config.SecretParams, which are "redacted": what proved who the client is, is
// neither logged nor shown.
func (c *Connection) URI() string { return c.uri }

// RemoteAddr returns the client's address.
func (c *Connection) RemoteAddr() string { return c.addr }

// Room returns the room of the connection.
func (c *Connection) Room() *Room { return c.room }

// Identity returns who the gate says this is: said last, for roles and times
// change while a connection is open.
func (c *Connection) Identity() gate.Identity { return c.grant.Load().Identity }

// MayWrite reports whether the gate and the limits let the connection write now.
// Custom messages of those who may not reach OnCustomMessage all the same: a hook
// that changes something for them asks.
func (c *Connection) MayWrite() bool { return c.member.mayWrite() }

// Tags returns the connection's tags: its id, then those that ConnectionTags
// gave it. The slice must not be modified.
func (c *Connection) Tags() []string {
	if tags := c.tags.Load(); tags != nil {
		return *tags
	}
	return []string{c.id}
}

// State decodes the connection's state into the value that into points to, and
// leaves that alone when no state was set.
func (c *Connection) State(into any) error {
	state := c.state.Load()
	if state == nil {
		return nil
	}
	return json.Unmarshal(*state, into)
}

// SetState replaces the connection's state by v, which is kept as JSON: it
// survives the hibernation of the room, and ends with the connection. More than
// [MaxConnectionState] is ErrStateTooLarge, and changes nothing.
func (c *Connection) SetState(v any) error {
	state, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("connection state: %w", err)
	}
	if len(state) > MaxConnectionState {
		return fmt.Errorf("%w: %d bytes of JSON, more than %d", ErrStateTooLarge, len(state), MaxConnectionState)
	}
	c.state.Store(&state)
	return nil
}

// Send sends a message to the client. It returns at once; a connection for which
// too much waits is closed with 1013, and one that is closed gets nothing. In a
// document room, a client that does not speak text frames (y-websocket) gets no
// text. Before OnConnect there is nothing to send to, and it does nothing.
func (c *Connection) Send(p Payload) {
	if to := c.peer.Load(); to != nil && c.member.takes(p) {
		to.push(p.frame())
	}
}

// Close ends the connection with a close code, 1011 in place of one that may not
// be sent, and a reason of at most 123 bytes. It returns at once. Before OnConnect it does nothing: a hook refuses a
// connection by its error.
func (c *Connection) Close(code int, reason string) {
	if p := c.peer.Load(); p != nil {
		p.close(code, reason)
	}
}

// Done is closed when the connection has ended.
func (c *Connection) Done() <-chan struct{} { return c.ended }

// takes reports whether a message may be sent to the member.
func (m *member) takes(p Payload) bool {
	return p.Binary || m.party.Document == nil || m.speaksText.Load()
}

// inOrder returns the members in the order in which they came.
func inOrder(members []*member) []*member {
	sorted := slices.Clone(members)
	slices.SortFunc(sorted, func(a, b *member) int {
		if a.order < b.order {
			return -1
		}
		return 1
	})
	return sorted
}
