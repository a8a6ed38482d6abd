package yserver

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/persist"
)

// partykitHeader begins the headers that partyserver's router sets for its
// objects; from a client they are forged.
const partykitHeader = "X-Partykit-"

// ServeHTTP routes a request to a room: /<prefix>/<party>/<room> as partyserver
// does, and the y-websocket mounts. What is nobody's is 404.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rt, bad := s.router.match(r)
	upgrade := strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
	switch {
	case bad != nil && rt.ymnt && upgrade:
		s.refuse(w, r, rt, &gate.Refusal{Status: bad.status, Layer: gate.LayerValidation, Code: gate.CodeRoomID, Message: bad.body})
		return
	case bad != nil && bad.status != 0:
		plain(w, bad.status, bad.body)
		return
	case bad != nil, rt.ymnt && !upgrade:
		plain(w, http.StatusNotFound, "Not Found")
		return
	}
	if !upgrade && rt.party.CORS {
		s.cfg.Origin.SetCORS(w.Header(), r)
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return
		}
	}
	if err := checkUpgrade(r); upgrade && err != nil {
		w.Header().Set("Sec-WebSocket-Version", "13")
		plain(w, upgradeStatus(err), "Bad Request")
		return
	}
	stripPartykit(r.Header)
	if s.draining.Load() {
		s.refuse(w, r, rt, unavailable("DRAINING", "the server is restarting", time.Second))
		return
	}
	if err := s.cfg.Origin.Check(r); err != nil { // before the hooks, which may replace the request
		s.refuse(w, r, rt, asRefusal(err))
		return
	}
	if refusal := s.tooOften(r, rt, upgrade); refusal != nil {
		refusal.Write(w) // on the mount too: it costs less, and every client waits and comes back
		return
	}
	if r = s.before(w, r, rt, upgrade); r == nil {
		return
	}
	rechecks := s.warden.rechecks.Load()
	decision, err := rt.party.admit(r.Context(), &gate.Request{HTTP: r, Party: rt.party.Name, Room: rt.room})
	switch {
	case err != nil:
		refusal := asRefusal(err)
		if refusal.Status >= http.StatusInternalServerError && r.Context().Err() == nil {
			s.warden.undecided(rt.party, err)
		} else {
			s.log.Debug("refused", "party", rt.party.Name, "room", rt.room, "code", refusal.Code)
		}
		s.refuse(w, r, rt, refusal)
	case upgrade:
		s.connect(w, r, rt, admitted{decision, rechecks})
	default:
		s.request(w, r, rt, decision)
	}
}

// tooOften refuses an upgrade of a client that is closed again and again, or one
// of too many.
func (s *Server) tooOften(r *http.Request, rt route, upgrade bool) *gate.Refusal {
	if !upgrade {
		return nil
	}
	if id := connectionID(r); id != "" {
		if wait := s.flapping.wait(flapper{s.cfg.ClientAddr(r), roomID{rt.party.Name, rt.room}, id}); wait > 0 {
			s.counters.upgradesRefused.Add(1)
			return unavailable("RECONNECTING_TOO_FAST", "the connection was closed too often", wait)
		}
	}
	if s.upgrades != nil && !s.upgrades.Allow() {
		s.counters.upgradesRefused.Add(1)
		return unavailable("TOO_MANY_UPGRADES", "too many clients connect now", time.Second)
	}
	return nil
}

// connectionID is the id that a client gives to its connection, if it does.
func connectionID(r *http.Request) string {
	return strings.ToValidUTF8(r.URL.Query().Get("_pk"), "\uFFFD") // it goes into frames of text
}

// before asks the hooks of the party that come before the gate.
func (s *Server) before(w http.ResponseWriter, r *http.Request, rt route, upgrade bool) *http.Request {
	hook := rt.party.OnBeforeRequest
	if upgrade {
		hook = rt.party.OnBeforeConnect
	}
	if hook == nil {
		return r
	}
	next, err := s.awaitBefore(hook, r, rt)
	var refusal *gate.Refusal
	switch {
	case errors.As(err, &refusal):
		s.refuse(w, r, rt, refusal)
		return nil
	case err != nil:
		s.counters.hookErrors.Add(1)
		s.log.Warn("hook failed", "hook", "OnBefore", "party", rt.party.Name, "room", rt.room, "err", err)
		s.refuse(w, r, rt, &gate.Refusal{Status: http.StatusInternalServerError, Layer: gate.LayerAccess, Code: "INTERNAL", Message: "internal error"})
		return nil
	case next == nil:
		return r
	}
	return next
}

// awaitBefore calls the hook with a context that ends when it takes too long.
func (s *Server) awaitBefore(hook BeforeHook, r *http.Request, rt route) (*http.Request, error) {
	ctx, cancel := context.WithCancelCause(r.Context()) // what the hook returns lives on in it
	watch := time.AfterFunc(rt.party.HookTimeout, func() { cancel(context.DeadlineExceeded) })
	defer watch.Stop()
	return awaitHook(ctx, s, min(hookGrace, rt.party.HookTimeout), func() (*http.Request, error) {
		return hook(r.WithContext(ctx), Lobby{Party: rt.party.Name, Room: rt.room})
	})
}

// admitted is what the gate decided, and how many rechecks had begun before: what
// came after them may not know of the connection.
type admitted struct {
	gate.Decision
	rechecks uint64
}

// connect loads the room, upgrades the request and joins.
func (s *Server) connect(w http.ResponseWriter, r *http.Request, rt route, d admitted) {
	claim, refusal := claimOf(r, rt.party)
	if refusal != nil {
		s.refuse(w, r, rt, refusal)
		return
	}
	addr := s.cfg.ClientAddr(r)
	if !s.connected(addr) {
		s.refuse(w, r, rt, unavailable("TOO_MANY_CONNECTIONS", "too many connections", 5*time.Second))
		return
	}
	e, err := s.registry.acquire(r.Context(), rt.party, roomID{rt.party.Name, rt.room})
	if err != nil {
		s.released(addr)
		s.refuseLoad(w, r, rt, err)
		return
	}
	defer s.registry.release(e)
	m := newMember(s, e, rt, r, d.Decision, addr)
	m.claim = claim
	if err := e.room.prepare(r.Context(), m, r, m.speaksText.Load()); err != nil {
		s.released(addr)
		m.conn.end()
		s.refuseSetup(w, r, rt, m, err)
		return
	}
	m.peer, err = rt.party.sockets.accept(w, r, acceptOptions{receiver: m, keepalive: rt.party.Document != nil})
	if err != nil {
		s.released(addr)
		m.conn.end()
		unavailable("UPGRADE_FAILED", "the connection cannot be upgraded now", closeRetry).Write(w)
		return
	}
	m.conn.peer.Store(m.peer)
	s.warden.reset(m)
	s.users.Load().add(m)
	if s.warden.rechecks.Load() != d.rechecks {
		s.warden.again(m)
	}
	s.enter(e.room, m, r)
	m.peer.start()
}

// enter makes a member one of the room's; whatever goes wrong is told by the
// close code of the connection, which is not yet open for the client.
func (s *Server) enter(room *room, m *member, r *http.Request) {
	connected := make(chan error, 1)
	if err := room.join(m, room.connectHook(m, r, connected)); err != nil {
		m.peer.close(closeTryLater, err.Error())
		return
	}
	select {
	case err := <-connected:
		if err != nil {
			sayFailed(m.peer, m)
		}
	case <-m.peer.closed():
	}
}

// newMember makes the member of a request that was admitted.
func newMember(s *Server, e *entry, rt route, r *http.Request, d gate.Decision, addr string) *member {
	id := connectionID(r)
	lifetime, end := context.WithCancel(context.Background())
	m := &member{srv: s, party: rt.party, entry: e, ymnt: rt.ymnt, lifetime: lifetime, ownID: id != "", gone: true}
	m.conn = &Connection{
		id: id, uri: requestURI(r, s.cfg.SecretParams), addr: addr, room: e.room.api,
		member: m, ended: lifetime.Done(), end: end,
	}
	if id == "" {
		m.conn.id = newConnectionID()
	}
	m.speaksText.Store(m.ownID)
	m.conn.grant.Store(newGrant(d))
	if perSecond := rt.party.Limits.MessagesPerSecond; perSecond > 0 {
		m.limiter = rate.NewLimiter(rate.Limit(perSecond), int(max(1, perSecond)))
	}
	return m
}

// connected counts a connection, unless there are too many.
func (s *Server) connected(addr string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.total >= s.cfg.Limits.Connections {
		return false
	}
	if most := s.cfg.Limits.ConnectionsPerIP; most > 0 {
		key := network(addr)
		if s.perIP[key] >= most {
			return false
		}
		s.perIP[key]++
	}
	s.total++
	return true
}

// released ends the count of a connection.
func (s *Server) released(addr string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
	if s.cfg.Limits.ConnectionsPerIP == 0 {
		return
	}
	key := network(addr)
	if s.perIP[key]--; s.perIP[key] <= 0 {
		delete(s.perIP, key)
	}
}

// network is what of an address one client has to itself: of IPv6 the first 64
// bits, so that it has no more connections for all the addresses in it.
func network(addr string) string {
	a, err := netip.ParseAddr(addr)
	if a = a.Unmap().WithZone(""); err != nil || !a.Is6() {
		return addr
	}
	p, _ := a.Prefix(64) // a length that IPv6 has
	return p.String()
}

// refuse answers a request that may not go on: with its status, or, to a
// y-websocket client, which stops trying on 44xx close codes alone, with an
// upgrade and a close.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, rt route, refusal *gate.Refusal) {
	if !rt.ymnt {
		refusal.Write(w)
		return
	}
	s.closeAtOnce(w, r, rt, refusal.CloseCode(), refusal.Message)
}

// refuseLoad answers when the room could not be had.
func (s *Server) refuseLoad(w http.ResponseWriter, r *http.Request, rt route, err error) {
	switch {
	case errors.Is(err, persist.ErrDeleted):
		s.refuse(w, r, rt, &gate.Refusal{Status: http.StatusGone, Layer: gate.LayerValidation, Code: "DELETED", Message: "the document was deleted"})
	case rt.ymnt:
		s.closeAtOnce(w, r, rt, closeTryLater, "the room cannot be loaded now")
	default:
		unavailable("LOAD_FAILED", "the room cannot be loaded now", time.Second).Write(w)
	}
}

// closeAtOnce upgrades a request for no other purpose than a close code.
func (s *Server) closeAtOnce(w http.ResponseWriter, r *http.Request, rt route, code int, reason string) {
	p, err := rt.party.sockets.accept(w, r, acceptOptions{receiver: strangers{}, maxMessage: strangersMessage})
	if err != nil {
		unavailable("UPGRADE_FAILED", "the connection cannot be upgraded now", closeRetry).Write(w)
		return
	}
	p.close(code, reason)
	p.start()
}

// strangers is the receiver of a socket that belongs to no room. Whoever it is
// may be nobody: of what they send little is kept, and nothing of the budget that
// rooms have for large messages.
type strangers struct{}

// strangersMessage is the longest message of theirs, in bytes.
const strangersMessage = 16 << 10

func (strangers) receive(*peer, bool, []byte) {}
func (strangers) drained(*peer)               {}
func (strangers) left(*peer, closeInfo)       {}

// upgradeStatus is the status that answers a handshake which is none.
func upgradeStatus(err error) int {
	var bad *upgradeError
	if errors.As(err, &bad) {
		return bad.Status
	}
	return http.StatusBadRequest
}

func asRefusal(err error) *gate.Refusal {
	var refusal *gate.Refusal
	if errors.As(err, &refusal) {
		return refusal
	}
	return unavailable("UNAVAILABLE", "access cannot be decided now", time.Second)
}

func unavailable(code, message string, retry time.Duration) *gate.Refusal {
	return &gate.Refusal{Status: http.StatusServiceUnavailable, Layer: gate.LayerAccess, Code: code, Message: message, RetryAfter: retry}
}

func plain(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body)) // the client may be gone
}

func stripPartykit(h http.Header) {
	for name := range h {
		if strings.HasPrefix(http.CanonicalHeaderKey(name), partykitHeader) {
			delete(h, name)
		}
	}
}

// remoteHost is the address of a request without its port.
func remoteHost(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
