package yserver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/gate/identity"
	"github.com/yserverd/yserverd/yserver"
	"github.com/yserverd/yserverd/yserver/masking"
)

const internalToken = "the-token-of-the-backend"

// tickets are real ones.
type tickets struct{ *identity.Issuer }

func newTickets(t testing.TB) tickets {
	issuer, err := identity.NewIssuer(identity.IssuerConfig{Secret: []byte(strings.Repeat("s", 32))})
	require.NoError(t, err)
	return tickets{issuer}
}

func (i tickets) IssueTicket(_ context.Context, id gate.Identity, t yserver.BroadcastTicket) (string, time.Time, error) {
	o := identity.IssueOptions{ScopeKey: t.ScopeKey}
	if t.Party != "" {
		o.Rooms = []string{t.Party + "/" + t.Room}
	}
	return i.Issue(id, o)
}

func (i tickets) VerifyTicket(ctx context.Context, token string) (gate.Identity, yserver.BroadcastTicket, error) {
	t, err := i.Verify(ctx, token)
	if t.Identity.UserID == "brief" { // in less than the seconds that a ticket counts
		t.Identity.ExpiresAt = time.Now().Add(briefly)
	}
	b := yserver.BroadcastTicket{ScopeKey: t.ScopeKey}
	if len(t.Identity.Scope) > 0 {
		b.Party, b.Room, _ = strings.Cut(t.Identity.Scope[0], "/")
	}
	return t.Identity, b, err
}

// radio is a server with a broadcaster beside it.
type radio struct {
	*kit
	b       *yserver.Broadcaster
	d       *directory
	tickets tickets
}

// claims is the table of most tests.
func claims() yserver.BroadcastTable {
	return yserver.BroadcastTable{Name: "claims", Masking: masking.Config{
		Fields: []string{"id", "title", "email"}, Owner: "owner_id",
		Masks: map[string]masking.Mask{"email": {Type: masking.Email, Roles: []string{"admin"}, Owner: true}},
	}}
}

// broadcasting starts a server with a broadcaster, which fn may change before.
func broadcasting(t testing.TB, fn func(*yserver.BroadcastConfig), opts ...func(*yserver.Config, *yserver.Party)) *radio {
	t.Helper()
	r := &radio{d: newDirectory(), tickets: newTickets(t)}
	guard, err := gate.NewGuard(gate.GuardConfig{Authenticator: r.d, Tickets: gate.TicketsToo})
	require.NoError(t, err)
	r.kit = start(t, append([]func(*yserver.Config, *yserver.Party){guarded(t, r.d)}, opts...)...)
	cfg := yserver.BroadcastConfig{
		Tickets: r.tickets, Guard: guard, InternalToken: internalToken,
		Hierarchy: []string{"viewer", "member", "admin"}, Tables: []yserver.BroadcastTable{claims()},
	}
	if fn != nil {
		fn(&cfg)
	}
	r.b, err = yserver.NewBroadcaster(r.Srv, cfg)
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/broadcast/v1/", r.b)
	mux.Handle("/", r.Srv)
	r.http.Close()
	r.http = httptest.NewServer(mux)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(t, r.b.Shutdown(ctx))
		require.Zero(t, r.b.Stats().Sockets)
		require.Zero(t, r.b.Indexed())
	})
	return r
}

// person is an identity that the directory knows too.
func (r *radio) person(user, org string, roles ...string) gate.Identity {
	id := gate.Identity{UserID: user, OrgID: org, Roles: roles, Method: gate.MethodSession, Proof: user}
	r.d.set(func() { r.d.who[user] = id })
	return id
}

func (r *radio) socketPath(id gate.Identity, t yserver.BroadcastTicket) string {
	r.t.Helper()
	token, _, err := r.tickets.IssueTicket(context.Background(), id, t)
	require.NoError(r.t, err)
	return "/broadcast/v1/websocket?ws_ticket=" + url.QueryEscape(token)
}

// listen opens a broadcast socket.
func (r *radio) listen(id gate.Identity, t yserver.BroadcastTicket) *wire {
	r.t.Helper()
	return r.dial(r.socketPath(id, t))
}

var forUser = yserver.BroadcastTicket{ScopeKey: ":user"}

func forRow(key string) yserver.BroadcastTicket { return yserver.BroadcastTicket{ScopeKey: key} }

// hears requires the next text.
func (w *wire) hears(want string) {
	w.t.Helper()
	select {
	case got := <-w.text:
		require.JSONEq(w.t, want, got)
	case err := <-w.end:
		w.t.Fatal("connection ended", err)
	case <-time.After(patience):
		w.t.Fatal("nothing came, but should have: ", want)
	}
}

// deaf requires that nothing came up to now: what is asked for comes behind it.
func (w *wire) deaf() {
	w.t.Helper()
	w.sendText("ping")
	select {
	case got := <-w.text:
		require.Equal(w.t, "pong", got)
	case <-time.After(patience):
		w.t.Fatal("no pong")
	}
}

func event(name string, payload any) string {
	raw, _ := json.Marshal(payload)
	return fmt.Sprintf(`{"type":"broadcast","event":%q,"payload":%s}`, name, raw)
}

func change(kind, row, old string) string {
	return fmt.Sprintf(`{"type":"postgres_changes","table":"claims","schema":"public","eventType":%q,"new":%s,"old":%s}`, kind, row, old)
}

// post sends a request to the broadcaster and returns status and body.
func (r *radio) post(path, body string, header ...string) (int, string) {
	r.t.Helper()
	req, err := http.NewRequest(http.MethodPost, r.http.URL+"/broadcast/v1"+path, strings.NewReader(body))
	require.NoError(r.t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(r.t, err)
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	require.NoError(r.t, err)
	return resp.StatusCode, string(got)
}

// say posts messages with the right secret.
func (r *radio) say(query, body string) (int, string) {
	r.t.Helper()
	return r.post("/api/broadcast"+query, body, "X-Internal-Secret", internalToken)
}

// said requires that a message is taken by so many.
func (r *radio) said(delivered int, body string) {
	r.t.Helper()
	status, got := r.say("", body)
	require.Equal(r.t, 202, status, got)
	require.JSONEq(r.t, fmt.Sprintf(`{"ok":true,"delivered":%d}`, delivered), got)
}
