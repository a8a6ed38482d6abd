package yserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/yserver/masking"
)

// BroadcastTickets issues and verifies what opens a broadcast socket.
type BroadcastTickets interface {
	// IssueTicket returns a ticket for an identity that did not come by a ticket
	// itself, and when it ceases to open anything. An error that is a
	// *gate.Refusal is the answer; any other one is 503.
	IssueTicket(ctx context.Context, id gate.Identity, t BroadcastTicket) (token string, expires time.Time, err error)
	// VerifyTicket returns what a ticket says. Its error is a *gate.Refusal; any
	// other one counts as 503. A ticket for one use is used up.
	VerifyTicket(ctx context.Context, token string) (gate.Identity, BroadcastTicket, error)
}

// BroadcastTicket says what a ticket is for. The zero value is one for everything
// that its identity may do.
type BroadcastTicket struct {
	ScopeKey    string // for the broadcast socket of a resource, or of a user
	Party, Room string // for one room alone
}

// BroadcastConfig is what a [Broadcaster] is made of. Zero means the default given.
type BroadcastConfig struct {
	// Path is below what the handlers are. "/broadcast/v1".
	Path string
	// Tickets opens sockets. Required.
	Tickets BroadcastTickets
	// Guard knows who asks for a ticket, and whether who has a socket may keep it.
	// It has to admit every identity, tickets too, and nobody else: see
	// [gate.NewGuard] without an Authorizer. Required.
	Guard gate.Guard
	// Resource decides whether an identity may have the messages of a resource's
	// row. Its errors are those of a gate.Rule. Nil means that there are none.
	Resource func(ctx context.Context, id gate.Identity, resource, key string) error
	// InternalToken opens the internal API. Empty means that there is none.
	InternalToken string
	// MaxPayload is the longest body of a request to it, in bytes. 256 KiB.
	MaxPayload int64
	// PeerQueue is what may wait for one socket, in bytes: of more, it is closed
	// with 1013. 4 MiB.
	PeerQueue int64
	// PingInterval is how often a socket is pinged. 30 s.
	PingInterval time.Duration
	// Hierarchy lists roles from the lowest to the highest, for "role+".
	Hierarchy []string
	// Tables are those whose changes are sent.
	Tables []BroadcastTable
}

// BroadcastTable is a table whose changes are sent.
type BroadcastTable struct {
	Schema, Name string // Schema: "public"
	// NoInsert, NoUpdate and NoDelete leave out events, as clients see them: a
	// row that goes out of somebody's sight is a DELETE.
	NoInsert, NoUpdate, NoDelete bool
	// RequiredRoles are those of which one is needed to see changes, "role+" for
	// it and those above. Empty means none.
	RequiredRoles []string
	// Masking is what is shown of a row. The roles of its masks may be "role+".
	Masking masking.Config
}

// Broadcaster sends messages from the server to clients, each of which listens to
// one scope: an organisation, a user or a row of a resource. Nothing is kept: who
// is not there does not get it, and who comes back fetches anew.
//
// It serves, below its Path, POST ws-ticket, GET websocket and the internal POST
// api/broadcast (spec: broadcast). It is safe for concurrent use.
//
// Who listens to what is known by one index with one lock, which is held to find
// the sockets of a scope and never while something is written. A message is
// encoded once for all that may see the same of it. Messages of one caller arrive
// in the order in which it sent them.
type Broadcaster struct {
	// Static after construction.
	srv     *Server
	cfg     BroadcastConfig
	tables  map[tableName]*broadcastTable
	sockets *sockets
	clock   *broadcastClock

	index    subscribers
	outage   outage
	draining atomic.Bool
	counters broadcastCounters
}

type tableName struct{ schema, name string }

// broadcastTable is a BroadcastTable, ready for use.
type broadcastTable struct {
	BroadcastTable
	masks *masking.Table
	head  []byte // the JSON of an event up to its type
}

type broadcastCounters struct {
	published  atomic.Int64
	delivered  atomic.Int64
	encodings  atomic.Int64
	failures   atomic.Int64
	withheld   atomic.Int64
	gaps       atomic.Int64
	dismissed  atomic.Int64
	badRequest atomic.Int64
}

// BroadcastStats are the figures of a Broadcaster. Counts are since it was made.
type BroadcastStats struct {
	Sockets         int   // open now
	Published       int64 // messages, changes and gaps
	Delivered       int64 // to sockets
	Encodings       int64 // of messages: one per set of effective masks
	MaskingFailures int64 // encodings that failed; nobody got what they were for
	Withheld        int64 // decisions that something unknown was needed for
	Gaps            int64 // told to clients
	TooSlow         int64 // sockets closed because too much waited
	Dismissed       int64 // sockets closed because their access ended
	BadRequests     int64 // to the internal API
}

// NewBroadcaster makes a broadcaster beside the rooms of a server, to which it can
// send too. It has to be made before the server gets requests, and shut down
// before it.
func NewBroadcaster(srv *Server, cfg BroadcastConfig) (*Broadcaster, error) {
	setDefault(&cfg.Path, "/broadcast/v1")
	cfg.Path = "/" + strings.Trim(cfg.Path, "/")
	setDefault(&cfg.MaxPayload, 256<<10)
	setDefault(&cfg.PeerQueue, 4<<20)
	setDefault(&cfg.PingInterval, 30*time.Second)
	switch {
	case cfg.Tickets == nil:
		return nil, errors.New("yserver: broadcast: no tickets")
	case cfg.Guard == nil:
		return nil, errors.New("yserver: broadcast: no guard")
	}
	b := &Broadcaster{srv: srv, cfg: cfg, tables: map[tableName]*broadcastTable{}}
	for _, t := range cfg.Tables {
		setDefault(&t.Schema, "public")
		ready, err := newBroadcastTable(t, cfg.Hierarchy)
		if err != nil {
			return nil, fmt.Errorf("yserver: broadcast: table %q: %w", t.Name, err)
		}
		name := tableName{t.Schema, t.Name}
		if b.tables[name] != nil {
			return nil, fmt.Errorf("yserver: broadcast: table %q: it is there twice", t.Name)
		}
		b.tables[name] = ready
	}
	b.index.init()
	b.sockets = newSockets(socketConfig{
		MaxMessage:   maxClientText,
		PingInterval: cfg.PingInterval,
		PongWait:     2*cfg.PingInterval + 10*time.Second,
		WriteStall:   writeStall,
		QueueBytes:   cfg.PeerQueue,
		Logger:       srv.log,
	})
	srv.users.CompareAndSwap(nil, newUserMembers())
	b.clock = newBroadcastClock(b)
	b.clock.start()
	return b, nil
}

func newBroadcastTable(t BroadcastTable, hierarchy []string) (*broadcastTable, error) {
	if t.Name == "" {
		return nil, errors.New("it has no name")
	}
	var err error
	if t.RequiredRoles, err = expandRoles(t.RequiredRoles, hierarchy); err != nil {
		return nil, err
	}
	masks := make(map[string]masking.Mask, len(t.Masking.Masks))
	for column, m := range t.Masking.Masks {
		if m.Roles, err = expandRoles(m.Roles, hierarchy); err != nil {
			return nil, fmt.Errorf("masking of %q: %w", column, err)
		}
		masks[column] = m
	}
	t.Masking.Masks = masks
	ready := &broadcastTable{BroadcastTable: t}
	if ready.masks, err = masking.New(t.Masking); err != nil {
		return nil, err
	}
	ready.head = append(ready.head, `{"type":"postgres_changes","table":`...)
	ready.head = appendJSON(ready.head, t.Name)
	ready.head = append(ready.head, `,"schema":`...)
	ready.head = appendJSON(ready.head, t.Schema)
	ready.head = append(ready.head, `,"eventType":"`...)
	return ready, nil
}

// expandRoles resolves "role+" by the hierarchy.
func expandRoles(list, hierarchy []string) ([]string, error) {
	var names []string
	for _, role := range list {
		base, above := strings.CutSuffix(role, "+")
		at := slices.Index(hierarchy, base)
		switch {
		case !above:
			names = append(names, role)
		case at < 0:
			return nil, fmt.Errorf("role %q: no hierarchy knows it", role)
		default:
			names = append(names, hierarchy[at:]...)
		}
	}
	return names, nil
}

// hasRole reports whether an identity has one of the roles, if any is asked for.
func hasRole(id *gate.Identity, required []string) bool {
	if len(required) == 0 {
		return true
	}
	for _, r := range id.Roles {
		if slices.Contains(required, r) {
			return true
		}
	}
	return false
}

// ServeHTTP answers the requests below Path, and any other with 404.
func (b *Broadcaster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rest, ok := strings.CutPrefix(r.URL.Path, b.cfg.Path)
	switch {
	case ok && rest == "/ws-ticket":
		b.serveTicket(w, r)
	case ok && rest == "/websocket":
		b.serveSocket(w, r)
	case ok && rest == "/api/broadcast":
		b.serveAPI(w, r)
	default:
		plain(w, http.StatusNotFound, "Not Found")
	}
}

// Stats returns the figures of the broadcaster.
func (b *Broadcaster) Stats() BroadcastStats {
	c := &b.counters
	return BroadcastStats{
		Sockets:         b.sockets.live(),
		Published:       c.published.Load(),
		Delivered:       c.delivered.Load(),
		Encodings:       c.encodings.Load(),
		MaskingFailures: c.failures.Load(),
		Withheld:        c.withheld.Load(),
		Gaps:            c.gaps.Load(),
		TooSlow:         b.sockets.stats.slow.Load(),
		Dismissed:       c.dismissed.Load(),
		BadRequests:     c.badRequest.Load(),
	}
}

// Shutdown lets no new socket in, closes those that are open with 1012 and waits
// until they are gone; when ctx ends first they are cut. It may be called again.
func (b *Broadcaster) Shutdown(ctx context.Context) error {
	b.draining.Store(true)
	b.clock.stop()
	for _, p := range b.sockets.all() {
		p.close(closeServiceRestart, "server is restarting")
	}
	return b.sockets.shutdown(ctx)
}
