package yserver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/internal/ytest"
	"github.com/yserverd/yserverd/yserver"
)

// refreshed is the answer to a refresh.
type refreshed struct {
	Type      string
	OK        bool
	ExpiresAt *time.Time
	Code      string
	Error     string
}

// refresh brings a token and returns the answer; prefix is that of custom
// messages in a document room.
func (w *wire) refresh(prefix, token string) (r refreshed) {
	w.t.Helper()
	w.sendText(fmt.Sprintf(`%s{"type":"auth:refresh","token":%q}`, prefix, token))
	text, ok := strings.CutPrefix(w.nextText(), prefix)
	require.True(w.t, ok)
	require.NoError(w.t, json.Unmarshal([]byte(text), &r))
	require.Equal(w.t, "auth:refresh", r.Type)
	return r
}

// A client of a document that brings a new token in time goes on; a token that
// is not its own changes nothing. What it brings is nobody else's.
func TestRefreshOfDocuments(t *testing.T) {
	d := newDirectory()
	at := far().Truncate(time.Second).UTC()
	d.knows("ann")
	d.set(func() {
		d.lasts["ann"] = briefly
		d.who["secret-new"] = gate.Identity{UserID: "ann", OrgID: "org", Name: "Ann", ExpiresAt: at}
		d.who["secret-bob"] = gate.Identity{UserID: "bob", OrgID: "org"}
		d.who["secret-org"] = gate.Identity{UserID: "ann", OrgID: "other"}
	})
	heard := make(chan string, 10)
	said := &logs{}
	k := start(t, guarded(t, d), withGrace(time.Minute), func(c *yserver.Config, p *yserver.Party) {
		c.Logger = slog.New(slog.NewTextHandler(said, &slog.HandlerOptions{Level: slog.LevelDebug}))
		p.Document.OnCustomMessage = func(_ *yserver.Connection, text string) { heard <- text }
	})
	ann, _ := k.join("/parties/main/r?_pk=a&token=ann")
	other, _ := k.join("/parties/main/r?_pk=o&token=secret-bob")
	conn := k.room("r").Connection("a")
	eventually(t, "the token is over", func() bool { return time.Now().After(conn.Identity().ExpiresAt) })
	for token, code := range map[string]string{
		"secret-bob": gate.CodeInvalid, "secret-org": gate.CodeInvalid, "secret-wrong": gate.CodeInvalid,
	} {
		r := ann.refresh("__YPS:", token)
		require.False(t, r.OK)
		require.Equal(t, code, r.Code)
		require.NotEmpty(t, r.Error)
		require.Equal(t, "ann", conn.Identity().UserID)
	}
	r := ann.refresh("__YPS:", "secret-new")
	require.True(t, r.OK)
	require.True(t, at.Equal(*r.ExpiresAt))
	require.Equal(t, "Ann", conn.Identity().Name)
	require.True(t, at.Equal(conn.Identity().ExpiresAt))
	ann.sendText("__YPS:hello")
	require.Equal(t, "hello", <-heard, "hooks hear nothing of it")
	other.noText()
	stats := k.Srv.Stats()
	require.EqualValues(t, 1, stats.Refreshes)
	require.EqualValues(t, 3, stats.RefreshFailures)
	require.NotContains(t, said.String(), "secret")
}

// Without a token in time the grace ends; with one it does not matter any more.
func TestRefreshEndsTheGrace(t *testing.T) {
	t.Parallel()
	d := newDirectory()
	d.knows("ann")
	d.lasts["ann"] = briefly
	d.knows("new", func(id *gate.Identity) { id.UserID = "ann" })
	k := start(t, guarded(t, d), withGrace(time.Second))
	late, _ := k.join("/parties/main/r?token=ann")
	intime, _ := k.join("/parties/main/r?token=ann")
	require.True(t, intime.refresh("__YPS:", "new").OK)
	late.expectEnd(4401, "token expired")
	intime.update(typed(7, 0, "on"))
	require.EqualValues(t, 2, clocks(t, intime.collect(2))[0].Clock)
}

// The gate runs again: it may take the right to write, and refuses as it does.
func TestRefreshAsksTheGate(t *testing.T) {
	d := newDirectory()
	d.knows("ann")
	k := start(t, guarded(t, d))
	ann, _ := k.join("/parties/main/r?token=ann")
	d.set(func() { d.out["ann"] = gate.RefuseFirewall() })
	require.Equal(t, gate.CodeFirewall, ann.refresh("__YPS:", "ann").Code)
	d.set(func() { d.down = errAway })
	require.Equal(t, gate.CodeAuthUnavailable, ann.refresh("__YPS:", "ann").Code)
	d.set(func() { d.down, d.out, d.may["ann"] = nil, nil, gate.Decision{} })
	require.True(t, ann.refresh("__YPS:", "ann").OK)
	ann.expect("02 00 09 726561642d6f6e6c79")
}

// What a connection tries counts for its address, as at the door.
func TestRefreshCountsFailures(t *testing.T) {
	d := newDirectory()
	d.knows("ann")
	g, err := gate.NewGuard(gate.GuardConfig{Authenticator: d, Authorizer: d, Failures: gate.NewFailureLimit(1)})
	require.NoError(t, err)
	k := start(t, func(_ *yserver.Config, p *yserver.Party) { p.Access, p.Guard = nil, g })
	ann, _ := k.join("/parties/main/r?token=ann")
	require.Equal(t, gate.CodeInvalid, ann.refresh("__YPS:", "wrong").Code)
	require.Equal(t, gate.CodeRateLimited, ann.refresh("__YPS:", "wrong").Code)
	require.Equal(t, 429, k.refused("/parties/main/r?token=wrong"))
	require.True(t, ann.refresh("__YPS:", "ann").OK)
}

// A connection may try a few tokens, and then has to wait.
func TestRefreshIsLimited(t *testing.T) {
	d := newDirectory()
	d.knows("ann")
	k := start(t, guarded(t, d))
	ann, _ := k.join("/parties/main/r?token=ann")
	for i := range 5 {
		require.Equal(t, gate.CodeInvalid, ann.refresh("__YPS:", fmt.Sprint("guess", i)).Code)
	}
	require.Equal(t, gate.CodeRateLimited, ann.refresh("__YPS:", "ann").Code)
	require.Len(t, d.tried(), 5, "what is too much is not even looked at")
	require.True(t, func() bool { w, _ := k.join("/parties/main/r?token=ann"); return w.refresh("__YPS:", "ann").OK }())
}

// What is no token is refused; what is no refresh is not ours.
func TestRefreshSpellings(t *testing.T) {
	d := newDirectory()
	d.knows("ann")
	heard := make(chan string, 10)
	k := start(t, guarded(t, d), func(_ *yserver.Config, p *yserver.Party) {
		p.Document.OnCustomMessage = func(_ *yserver.Connection, text string) { heard <- text }
	})
	for _, text := range []string{
		`{"type":"auth:refresh"}`, `{"type":"auth:refresh","token":7}`, `{"type":"auth:refresh","token":""}`,
		`{"type":"auth:refresh","token":"` + strings.Repeat("x", 20<<10) + `"}`,
	} {
		w, _ := k.join("/parties/main/r?token=ann")
		w.sendText("__YPS:" + text)
		require.Contains(t, w.nextText(), gate.CodeInvalid)
	}
	require.Empty(t, d.tried())
	w, _ := k.join("/parties/main/r?token=ann")
	w.sendText(`__YPS: { "token" : "ann", "ty\u0070e":"auth\u003arefresh" }`)
	require.Contains(t, w.nextText(), `"ok":true`)
	for _, text := range []string{`refresh`, `{"type":"refresh"}`, `["auth:refresh"]`, `{"type":["auth:refresh"]}`} {
		w.sendText("__YPS:" + text)
		require.Equal(t, text, <-heard)
	}
}

// In a message room, too, the token is relayed to nobody, whatever the room does
// with messages, and a read-only caller may bring one.
func TestRefreshOfMessageRooms(t *testing.T) {
	t.Parallel()
	s := &script{}
	s.message = func(_ context.Context, c *yserver.Connection, p yserver.Payload) error {
		c.Room().Broadcast(p)
		return nil
	}
	for name, row := range map[string]struct {
		room yserver.Message
		live func(*yserver.Config, *yserver.Party)
	}{
		"json":    {yserver.Message{Relay: yserver.RelayJSON}, nil},
		"history": {yserver.Message{Relay: yserver.RelayJSON, History: &yserver.History{Messages: 9}}, nil},
		"raw":     {yserver.Message{Relay: yserver.RelayRaw}, nil},
		"code":    {yserver.Message{}, func(_ *yserver.Config, p *yserver.Party) { p.New = s.live }},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDirectory()
			d.knows("ann")
			d.knows("bob")
			d.set(func() { d.may["ann"] = gate.Decision{} })
			if row.live == nil {
				row.live = func(*yserver.Config, *yserver.Party) {}
			}
			k := start(t, messages(row.room), row.live, guarded(t, d))
			ann, bob := k.visit("a", "token=ann"), k.visit("b", "token=bob")
			if row.room.History != nil {
				ann.message()
				bob.message()
			}
			require.True(t, ann.refresh("", "ann").OK)
			require.Equal(t, gate.CodeInvalid, ann.refresh("", "bob").Code)
			ann.noText()
			bob.noText()
		})
	}
}

// YProvider's sendMessage brings a token, and its event custom-message the answer.
func TestInteropRefresh(t *testing.T) {
	d := newDirectory()
	d.knows("ann", until(far()))
	d.knows("new", func(id *gate.Identity) { id.UserID = "ann" })
	k := start(t, guarded(t, d))
	p := people{t, ytest.StartNodeClients(t)}
	cfg := k.config(ytest.YProvider, "r")
	cfg.Params = map[string]string{"token": "ann"}
	ann := p.join(cfg)
	require.NoError(t, ann.AwaitSynced(t.Context()))
	require.NoError(t, ann.SendCustom(t.Context(), `{"type":"auth:refresh","token":"new"}`))
	eventually(t, "it is answered", func() bool { return len(p.view(ann).Customs) == 1 })
	require.JSONEq(t, `{"type":"auth:refresh","ok":true}`, p.view(ann).Customs[0])
	require.Equal(t, 1, p.view(ann).Sockets)
}

// Without a guard nobody could say whose token it is: the message is the
// application's.
func TestRefreshWithoutAGuard(t *testing.T) {
	heard := make(chan string, 1)
	k := start(t, func(_ *yserver.Config, p *yserver.Party) {
		p.Document.OnCustomMessage = func(_ *yserver.Connection, text string) { heard <- text }
	})
	w, _ := k.join("/parties/main/r")
	const text = `{"type":"auth:refresh","token":"x"}`
	w.sendText("__YPS:" + text)
	require.Equal(t, text, <-heard)
	w.noText()
}
