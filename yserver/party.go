package yserver

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/yserverd/yserverd/gate"
)

// Party is one kind of room, addressed as /<prefix>/<Name>/<room>. The zero
// value of every tunable is its default.
type Party struct {
	// Name is the path segment of the party, compared byte for byte. Bindings
	// in the style of PartyServer are turned into it by [KebabCase].
	Name string
	// Access decides who may open a room, before the room is touched and before
	// the upgrade: [gate.Public] admits everybody. What it decides stands while the
	// connection is open, until Decision.Until or the identity's ExpiresAt, when
	// the connection is closed. Exactly one of Access and Guard has to be set.
	Access gate.Rule
	// Guard decides like Access, and again while a connection is open: when its
	// time is over, every Config.Recheck, when the client brings a new token
	// (auth:refresh) and on Server.Recheck. See [gate.NewGuard].
	Guard gate.Guard
	// RefreshGrace is how long a connection to a document goes on after the time
	// of its access is over, so that its client can bring a new token. Zero means
	// 30 s, negative not at all. It needs a Guard.
	RefreshGrace time.Duration
	// Document makes it a party of Yjs documents.
	Document *Document
	// Message makes it a party of message rooms. Exactly one of Document and
	// Message has to be set.
	Message *Message
	// New makes the live value of a room: see [Starter] and the other hooks for
	// what it may implement. It must not block. Nil means a party without code.
	New func(room *Room) any
	// OnBeforeConnect is asked before an upgrade, and OnBeforeRequest before any
	// other request, before the gate and before there is a room. They may refuse,
	// best with a *gate.Refusal (another error is 500), or return a request with
	// more in its context; they never admit. They must be safe for concurrent use.
	OnBeforeConnect, OnBeforeRequest BeforeHook
	// YWebSocket also serves the rooms to y-websocket clients below this path:
	// the rest of the path, decoded once, is the room. Empty means no mount,
	// "/" mounts at the root.
	YWebSocket string
	// CORS answers browsers of allowed origins on HTTP requests and preflights.
	CORS bool
	// Limits bound what one room and one connection may take.
	Limits Limits
	// PingInterval is how often a silent socket is pinged; a peer that answers
	// nothing is gone after two intervals and ten seconds. Zero means 25 s.
	PingInterval time.Duration
	// NoHibernation keeps the rooms in memory, with their live values, as long as
	// somebody is connected (PartyServer's hibernate: false).
	NoHibernation bool
	// HibernateAfter is how long a room with connections stays in memory when
	// nothing happens in it; heartbeats of presence do not count. Zero means
	// 5 min.
	HibernateAfter time.Duration
	// HookTimeout is how long a hook may take. Zero means 30 s.
	HookTimeout time.Duration
	// UnloadAfter is how long a room without connections stays in memory. Zero
	// means 30 s.
	UnloadAfter time.Duration
}

// BeforeHook is asked about a request to a room that may not exist yet. It
// returns the request to go on with; nil means the same.
type BeforeHook func(r *http.Request, lobby Lobby) (*http.Request, error)

// Document is what a party of Yjs documents may be told. All hooks are
// optional. Hooks run beside the room: one that blocks delays neither its own
// room's traffic nor that of others.
type Document struct {
	// OnLoad returns the initial content of a document, as a Yjs update (V1),
	// or nil. It is called once per load, before anybody is let in; what it
	// returns is used only when nothing was ever stored in this epoch of the
	// document. An error refuses the load.
	OnLoad func(ctx context.Context, room *Room) ([]byte, error)
	// OnSave receives the document some time after it changed (see
	// CallbackOptions), when the last connection left and at shutdown, once
	// what it holds is committed. It is retried with back-off until it returns
	// nil or a newer state took its place. Calls for one room never overlap.
	OnSave func(ctx context.Context, room *Room, save Save) error
	// Webhook is told of changed documents over HTTP, when OnSave would be called.
	// Nil means none. It needs a store for the data of rooms.
	Webhook *Webhook
	// IsReadOnly reports whether a connection may not write. It is asked on
	// every sync message, on the goroutine of the connection, so it should be
	// quick and must be safe for concurrent use.
	IsReadOnly func(conn *Connection) bool
	// OnCustomMessage receives what the client sent with sendMessage. Calls for
	// one room come one after the other, those of one connection in order.
	OnCustomMessage func(conn *Connection, message string)
	// CallbackOptions time OnSave.
	CallbackOptions CallbackOptions
	// Durability says when an update reaches the other clients.
	Durability Durability
	// KeepDeleted keeps the content of what was deleted, for applications that
	// use Y.Snapshot (Yjs's gc: false).
	KeepDeleted bool
	// AwarenessInterval merges presence to the newest state per client when it
	// comes faster than this. Zero means 16 ms, negative forwards each.
	AwarenessInterval time.Duration
	// SnapshotUpdates and SnapshotBytes fold the log into a snapshot after so
	// many rows or bytes. A document of more than eight times the log waits
	// longer, for at most twenty times the rows. Zero means 500 rows, 1 MiB.
	SnapshotUpdates int
	SnapshotBytes   int64
	// VersionInterval keeps a version of a document that changes once in this
	// time, and when everybody has left. Zero means 10 min, negative none.
	VersionInterval time.Duration
	// VersionsMax is how many of these versions a document keeps; those that
	// somebody made with Room.PutVersion are not counted, and stay. Zero means 50.
	VersionsMax int
	// RequireEpoch refuses clients that do not say with ?epoch= of which epoch
	// their copy is (empty: they have none), with 428 and on the y-websocket mount
	// 4400.
	RequireEpoch bool
}

// CallbackOptions time the OnSave hook, under the names of y-partyserver.
type CallbackOptions struct {
	// DebounceWait is how long a document must be quiet. Zero means 2 s.
	DebounceWait time.Duration
	// DebounceMaxWait is the longest a change waits while edits go on. Zero
	// means 10 s; less than DebounceWait means DebounceWait.
	DebounceMaxWait time.Duration
	// Timeout cancels the context of one call. Zero means 30 s.
	Timeout time.Duration
}

// Durability says when an update is sent to the others.
type Durability uint8

const (
	// DurabilityEcho sends to the others at once and acknowledges to the
	// sender after the commit.
	DurabilityEcho Durability = iota
	// DurabilityCommitted sends to everybody after the commit only.
	DurabilityCommitted
)

// Save is what OnSave receives. State must not be modified.
type Save struct {
	// State is the whole document as one Yjs update (V1).
	State []byte
	// Seq is the position in the document's log that State covers.
	Seq uint64
	// Epoch is the life of the document that Seq belongs to.
	Epoch uint64
}

// Limits bound one room and its connections. Sizes are bytes; zero means the
// default given.
type Limits struct {
	Message       int64 // one frame from a client; 32 MiB
	Document      int64 // the encoded document; 256 MiB
	Pending       int64 // parked updates, whose causes are missing; 8 MiB
	Uncommitted   int64 // accepted updates that wait for the store; 32 MiB
	Nesting       int   // depth of a value; 512
	Request       int64 // the body of a plain HTTP request; 4 MiB
	Storage       int64 // keys and values of Room.Storage; 64 MiB
	Peers         int   // connections of a room; 2,000
	PeerQueue     int64 // what waits for one peer; 4 MiB
	Awareness     int64 // one presence state; 64 KiB
	AwarenessIDs  int   // presence ids of one connection; 64
	AwarenessRoom int64 // all presence states of a room; 4 MiB
	// MessagesPerSecond slows down a connection that sends faster, after a
	// burst of as many. Zero means no limit.
	MessagesPerSecond float64
}

func (l Limits) withDefaults() Limits {
	setDefault(&l.Message, 32<<20)
	setDefault(&l.Document, 256<<20)
	setDefault(&l.Pending, 8<<20)
	setDefault(&l.Uncommitted, 32<<20)
	setDefault(&l.Nesting, 512)
	setDefault(&l.Request, 4<<20)
	setDefault(&l.Storage, 64<<20)
	setDefault(&l.Peers, 2000)
	setDefault(&l.PeerQueue, 4<<20)
	setDefault(&l.Awareness, 64<<10)
	setDefault(&l.AwarenessIDs, 64)
	setDefault(&l.AwarenessRoom, 4<<20)
	return l
}

func (p Party) withDefaults() Party {
	p.Limits = p.Limits.withDefaults()
	setDefault(&p.PingInterval, 25*time.Second)
	setDefault(&p.UnloadAfter, 30*time.Second)
	setDefault(&p.RefreshGrace, 30*time.Second)
	setDefault(&p.HibernateAfter, 5*time.Minute)
	setDefault(&p.HookTimeout, 30*time.Second)
	if p.Document != nil {
		d := p.Document.withDefaults()
		p.Document = &d
	}
	if p.Message != nil {
		m := p.Message.withDefaults()
		p.Message = &m
	}
	return p
}

func (d Document) withDefaults() Document {
	setDefault(&d.CallbackOptions.DebounceWait, 2*time.Second)
	setDefault(&d.CallbackOptions.DebounceMaxWait, 10*time.Second)
	d.CallbackOptions.DebounceMaxWait = max(d.CallbackOptions.DebounceMaxWait, d.CallbackOptions.DebounceWait)
	setDefault(&d.CallbackOptions.Timeout, 30*time.Second)
	if d.Webhook != nil {
		w := d.Webhook.withDefaults()
		d.Webhook = &w
	}
	setDefault(&d.AwarenessInterval, 16*time.Millisecond)
	setDefault(&d.SnapshotUpdates, 500)
	setDefault(&d.SnapshotBytes, 1<<20)
	setDefault(&d.VersionInterval, 10*time.Minute)
	setDefault(&d.VersionsMax, 50)
	return d
}

func (p Party) validate() error {
	if p.Name == "" || strings.ContainsAny(p.Name, "/?#%") {
		return fmt.Errorf("party name %q: want one plain path segment", p.Name)
	}
	if (p.Document == nil) == (p.Message == nil) {
		return fmt.Errorf("party %q: set one of Document and Message", p.Name)
	}
	if p.Access == nil && p.Guard == nil {
		return fmt.Errorf("party %q: no access rule: set Guard or Access (gate.Public admits everybody)", p.Name)
	}
	if p.Access != nil && p.Guard != nil {
		return fmt.Errorf("party %q: both an access rule and a guard: set one of Access and Guard", p.Name)
	}
	if p.YWebSocket != "" && !strings.HasPrefix(p.YWebSocket, "/") {
		return fmt.Errorf("party %q: y-websocket path %q: want a leading slash", p.Name, p.YWebSocket)
	}
	if p.Message != nil {
		if err := p.Message.validate(); err != nil {
			return fmt.Errorf("party %q: %w", p.Name, err)
		}
	}
	if p.YWebSocket != "" && p.Document == nil {
		return fmt.Errorf("party %q: y-websocket path %q: a message room has no document", p.Name, p.YWebSocket)
	}
	if p.Document != nil && p.Document.Webhook != nil {
		if err := p.Document.Webhook.validate(); err != nil {
			return fmt.Errorf("party %q: %w", p.Name, err)
		}
	}
	if p.Document != nil && p.Document.Durability > DurabilityCommitted {
		return fmt.Errorf("party %q: unknown durability %d", p.Name, p.Document.Durability)
	}
	return nil
}

// setDefault gives *v its default when it is zero.
func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// KebabCase turns a PartyServer binding name (MyServer, MY_SERVER) into the
// party's path segment (my-server), as partyserver's camelCaseToKebabCase does.
func KebabCase(binding string) string {
	upper, lower := strings.ToUpper(binding), strings.ToLower(binding)
	if binding == upper && binding != lower {
		return strings.ReplaceAll(lower, "_", "-")
	}
	var b strings.Builder
	for _, c := range binding {
		if c >= 'A' && c <= 'Z' {
			b.WriteByte('-')
			c += 'a' - 'A'
		}
		b.WriteRune(c)
	}
	kebab := strings.ReplaceAll(strings.TrimPrefix(b.String(), "-"), "_", "-")
	return strings.TrimSuffix(kebab, "-")
}
