package yserver

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/yserverd/yserverd/gate"
)

const (
	// maxClientText is the longest message of a client: it has nothing to say.
	maxClientText = 1 << 10
	// Messages of a client are read at this rate, after so many at once.
	clientTextEvery = 100 * time.Millisecond
	clientTextBurst = 20
)

// userScope is the ScopeKey of a ticket for a user's own scope. No resource has an
// empty name.
const userScope = ":user"

// codeNoOrg refuses a caller without an organisation.
const codeNoOrg = "ACCESS_NO_ORG"

func refuseNoOrg() *gate.Refusal {
	return &gate.Refusal{
		Status: http.StatusForbidden, Layer: gate.LayerAccess, Code: codeNoOrg,
		Message: "the caller has no active organisation", Hint: `ask for {"scope":"user"} or for a resource`,
	}
}

// subscriber is a broadcast socket.
type subscriber struct {
	// Static after construction.
	b     *Broadcaster
	peer  *peer
	addr  string
	scope scope
	user  string

	id atomic.Pointer[gate.Identity] // as it is now; replaced, never changed

	// Guarded by the lock of subscribers.
	at   [lists]int
	mark uint64

	// Guarded by the lock of the clock.
	lease *lease

	// Owned by the reader of the peer.
	read time.Time // when what it sent is read up to now, at the rate
}

var pongText = newFrame(opText, kindReply, nil, []byte("pong"))

// receive answers "ping" and ignores everything else.
func (s *subscriber) receive(p *peer, binary bool, msg []byte) {
	now := time.Now()
	if least := now.Add(-clientTextBurst * clientTextEvery); s.read.Before(least) {
		s.read = least
	}
	s.read = s.read.Add(clientTextEvery)
	if wait := s.read.Sub(now); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-p.closed():
			return
		}
	}
	if !binary && string(msg) == "ping" {
		p.push(pongText)
	}
}

func (s *subscriber) drained(*peer) {}

func (s *subscriber) left(_ *peer, c closeInfo) {
	s.b.index.remove(s)
	s.b.clock.forget(s)
	s.b.srv.released(s.addr)
	s.b.srv.counters.closed(c)
}

// serveSocket is GET websocket. The ticket comes first, also for a request that
// upgrades nothing.
func (b *Broadcaster) serveSocket(w http.ResponseWriter, r *http.Request) {
	s, err := b.admit(r)
	if err != nil {
		asRefusal(err).Write(w)
		return
	}
	if err := checkUpgrade(r); err != nil {
		w.Header().Set("Sec-WebSocket-Version", "13")
		plain(w, upgradeStatus(err), "Bad Request")
		return
	}
	srv := b.srv
	switch {
	case b.draining.Load() || srv.draining.Load():
		unavailable("DRAINING", "the server is restarting", time.Second).Write(w)
		return
	case srv.upgrades != nil && !srv.upgrades.Allow():
		srv.counters.upgradesRefused.Add(1)
		unavailable("TOO_MANY_UPGRADES", "too many clients connect now", time.Second).Write(w)
		return
	case !srv.connected(s.addr):
		unavailable("TOO_MANY_CONNECTIONS", "too many connections", 5*time.Second).Write(w)
		return
	}
	if s.peer, err = b.sockets.accept(w, r, acceptOptions{receiver: s}); err != nil {
		srv.released(s.addr)
		unavailable("UPGRADE_FAILED", "the connection cannot be upgraded now", closeRetry).Write(w)
		return
	}
	b.index.add(s)
	b.clock.reset(s)
	b.outage.greet(s)
	s.peer.start()
}

// admit decides on a request for a socket. Its error is a *gate.Refusal, or says
// that it cannot decide.
func (b *Broadcaster) admit(r *http.Request) (*subscriber, error) {
	if err := b.srv.cfg.Origin.Check(r); err != nil {
		return nil, err
	}
	query := r.URL.Query()
	tokens, orgs := query["ws_ticket"], query["organizationId"]
	switch {
	case len(tokens) == 0 || tokens[0] == "":
		return nil, gate.RefuseMissing()
	case len(tokens) > 1:
		return nil, gate.RefuseInvalid()
	}
	id, t, err := b.cfg.Tickets.VerifyTicket(r.Context(), tokens[0])
	switch {
	case err != nil:
		return nil, err
	case !id.Authenticated():
		return nil, gate.RefuseInvalid()
	case !id.ExpiresAt.IsZero() && !time.Now().Before(id.ExpiresAt):
		return nil, gate.RefuseExpired()
	case t.Party != "" || t.Room != "" || len(id.Scope) > 0:
		return nil, gate.RefuseDenied() // it is for rooms
	}
	for _, org := range orgs {
		if org != id.OrgID {
			return nil, gate.RefuseDenied()
		}
	}
	s := &subscriber{b: b, user: id.UserID, addr: b.srv.cfg.ClientAddr(r)}
	switch {
	case t.ScopeKey == userScope:
		s.scope = scope{scopeUser, id.UserID}
	case t.ScopeKey != "":
		s.scope = scope{scopeResource, t.ScopeKey}
	case id.OrgID == "":
		return nil, refuseNoOrg()
	default:
		s.scope = scope{scopeOrg, id.OrgID}
	}
	id.Scope = nil // it was about rooms
	s.id.Store(&id)
	return s, nil
}

// dismiss closes a socket whose access ended.
func (s *subscriber) dismiss(code int, reason string) {
	s.b.counters.dismissed.Add(1)
	s.peer.close(code, reason)
}

// allowed asks again whether a socket of a resource may have it.
func (s *subscriber) allowed(ctx context.Context, id gate.Identity) *gate.Refusal {
	if s.scope.kind != scopeResource || s.b.cfg.Resource == nil {
		return nil
	}
	resource, key, _ := strings.Cut(s.scope.id, ":")
	_, err := awaitHook(ctx, s.b.srv, hookGrace, func() (struct{}, error) {
		return struct{}{}, s.b.cfg.Resource(ctx, id, resource, key)
	})
	var refusal *gate.Refusal
	if err != nil && !errors.As(err, &refusal) {
		refusal = gate.RefuseAccessUnavailable()
	}
	return refusal
}
