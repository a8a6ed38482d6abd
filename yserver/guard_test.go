package yserver_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/internal/ytest"
	"github.com/yserverd/yserverd/persist/persisttest"
	"github.com/yserverd/yserverd/protocol"
	"github.com/yserverd/yserverd/yserver"
)

// A party is guarded in one way.
func TestGuardOrAccess(t *testing.T) {
	g, err := gate.NewGuard(gate.GuardConfig{Public: true})
	require.NoError(t, err)
	for name, row := range map[string]struct {
		party serverParty
		want  string
	}{
		"neither": {serverParty{Name: "p", Document: &yserver.Document{}}, "no access rule"},
		"both":    {serverParty{Name: "p", Document: &yserver.Document{}, Access: gate.Public, Guard: g}, "both an access rule and a guard"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := yserver.New(yserver.Config{Store: persisttest.NewMemory()}, row.party)
			require.ErrorContains(t, err, row.want)
		})
	}
}

// The guard decides on upgrades and on other requests, after the hooks, which may
// refuse and never admit.
func TestGuardBeforeTheRoom(t *testing.T) {
	d := newDirectory()
	d.knows("ann")
	d.knows("bob")
	d.set(func() { d.out["bob"] = gate.RefuseFirewall() })
	s := &script{}
	s.request = func(w http.ResponseWriter, r *http.Request) error {
		_, err := w.Write([]byte(yserver.IdentityOf(r.Context()).UserID))
		return err
	}
	var asked []string
	k := start(t, withScriptedDocument(s), guarded(t, d), func(_ *yserver.Config, p *yserver.Party) {
		hook := func(r *http.Request, _ yserver.Lobby) (*http.Request, error) {
			asked = append(asked, r.URL.Query().Get("token"))
			return r.WithContext(context.WithValue(r.Context(), hookValue{}, 1)), nil
		}
		p.OnBeforeConnect, p.OnBeforeRequest = hook, hook
	})
	require.Equal(t, 401, k.refused("/parties/main/r"))
	require.Equal(t, 401, k.refused("/parties/main/r?token=wrong"))
	require.Equal(t, 403, k.refused("/parties/main/r?token=bob"))
	for token, want := range map[string]int{"": 401, "wrong": 401, "bob": 403} {
		resp, body := k.do("GET", "/parties/main/r?token="+token, "")
		require.Equal(t, want, resp.StatusCode)
		require.Contains(t, body, `"layer":`)
	}
	require.Len(t, asked, 6)
	require.Zero(t, k.Srv.Stats().Loads, "a refusal costs no room")
	d.set(func() { d.down = errAway })
	require.Equal(t, 503, k.refused("/parties/main/r?token=ann"))
	d.set(func() { d.down = nil })
	resp, body := k.do("GET", "/parties/main/r?token=ann", "")
	require.Equal(t, 200, resp.StatusCode)
	require.Equal(t, "ann", body)
	k.dial("/parties/main/r?token=ann")
}

type hookValue struct{}

// Who is upgraded for a close code alone is told it whatever he sends, of which
// the server keeps no more than a little.
func TestGuardKeepsLittleOfWhoIsRefused(t *testing.T) {
	d := newDirectory()
	k := start(t, guarded(t, d))
	conn, resp, err := websocket.DefaultDialer.Dial(k.url("/yjs/r?token=wrong"), nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.WriteMessage(websocket.BinaryMessage, make([]byte, 64<<10)))
	eventually(t, "it is too much", func() bool { return yserver.TooLong(k.Srv) == 1 })
	_, _, err = conn.ReadMessage()
	var end *websocket.CloseError
	require.ErrorAs(t, err, &end)
	require.Equal(t, 4401, end.Code)
}

// y-websocket stops on 44xx alone: what is final is told so, at once or later,
// and what passes is not.
func TestInteropGuard(t *testing.T) {
	d := newDirectory()
	for _, name := range []string{"ann", "stranger", "nobody", "lost"} {
		d.knows(name)
	}
	d.set(func() {
		d.out["stranger"] = gate.RefuseFirewall()
		d.out["nobody"] = gate.RefuseNotFound()
		d.out["lost"] = gate.RefuseRoomID()
	})
	k := start(t, guarded(t, d))
	p := people{t, ytest.StartNodeClients(t)}
	ctx := t.Context()
	as := func(kind, name string) *ytest.NodeClient {
		cfg := k.config(kind, "r")
		cfg.Params = map[string]string{"token": name}
		return p.join(cfg)
	}
	for name, code := range map[string]int{"": 4401, "wrong": 4401, "stranger": 4403, "nobody": 4404, "lost": 4400} {
		c := as(ytest.YWebsocket, name)
		require.NoError(t, c.AwaitStopped(ctx, code))
		require.Equal(t, 1, p.view(c).Sockets)
	}
	ann, provider := as(ytest.YWebsocket, "ann"), as(ytest.YProvider, "ann")
	require.NoError(t, ann.AwaitSynced(ctx))
	require.NoError(t, provider.AwaitSynced(ctx))

	d.set(func() { d.down = errAway })
	late := as(ytest.YWebsocket, "ann")
	require.NoError(t, late.AwaitSockets(ctx, 3))
	view := p.view(late)
	require.Equal(t, 4503, view.Closes[0].Code)
	require.Nil(t, view.Stopped, "what passes is tried again")
	_, err := k.Srv.Recheck(ctx, yserver.RecheckFilter{})
	require.ErrorIs(t, err, errAway)
	require.True(t, p.view(ann).Connected, "nobody is closed because nobody can know")
	d.set(func() { d.down = nil })
	require.NoError(t, late.AwaitSynced(ctx))

	d.set(func() { d.out["ann"] = gate.RefuseFirewall() })
	require.Equal(t, 3, k.recheck(yserver.RecheckFilter{}).Closed)
	require.NoError(t, ann.AwaitStopped(ctx, 4403))
	require.NoError(t, late.AwaitStopped(ctx, 4403))
	require.NoError(t, provider.AwaitRefused(ctx, http.StatusForbidden))
}

// A client that comes back as soon as it was closed has to wait: but it alone.
func TestFlappingClientWaits(t *testing.T) {
	s := &script{}
	k := start(t, withScript(s))
	s.connect = func(_ context.Context, c *yserver.Connection, _ *http.Request) error {
		if c.ID() == "bad" || c.ID() == "none" {
			return errAway
		}
		return nil
	}
	const closes = 6 // one more than are forgiven
	for range closes {
		w := k.dial("/parties/main/r?_pk=bad")
		w.expectClose(1011)
		eventually(t, "the close is noticed", func() bool { return k.Srv.Stats().Connections == 0 })
	}
	_, resp, err := k.tryDial("/parties/main/r?_pk=bad")
	require.Error(t, err)
	require.Equal(t, 503, resp.StatusCode)
	require.NotEmpty(t, resp.Header.Get("Retry-After"))
	require.EqualValues(t, 1, k.Srv.Stats().UpgradesRefused)
	k.dial("/parties/main/r?_pk=good")
	k.dial("/parties/main/other?_pk=bad").expectClose(1011)
	for range closes + 1 { // who closes by itself does not flap
		w := k.dial("/parties/main/r?_pk=fine")
		require.NoError(t, w.conn.Close())
	}
	k.dial("/parties/main/r?_pk=fine")
}

// The setup of a connection that fails counts as well.
func TestFlappingSetup(t *testing.T) {
	s := &script{}
	s.tags = func(context.Context, *yserver.Connection, *http.Request) ([]string, error) { return nil, errAway }
	k := start(t, withScript(s))
	for range 6 {
		k.dial("/parties/main/r?_pk=bad").expectClose(1011)
	}
	require.Equal(t, 503, k.refused("/parties/main/r?_pk=bad"))
}

// An IPv6 network is one client: whoever has one has more addresses in it than
// there are connections.
func TestConnectionsPerNetwork(t *testing.T) {
	k := start(t, func(c *yserver.Config, _ *yserver.Party) {
		c.Limits.ConnectionsPerIP = 1
		c.ClientAddr = func(r *http.Request) string { return r.URL.Query().Get("addr") }
	})
	k.join("/parties/main/r?addr=2001:db8::1")
	require.Equal(t, 503, k.refused("/parties/main/r?addr=2001:db8::2"))
	other, _ := k.join("/parties/main/r?addr=2001:db8:0:1::1")
	k.join("/parties/main/r?addr=192.0.2.1")
	k.join("/parties/main/r?addr=192.0.2.2")
	require.Equal(t, 503, k.refused("/parties/main/r?addr=192.0.2.1"))
	require.NoError(t, other.conn.Close())
	eventually(t, "it has left", func() bool { return k.Srv.Stats().Connections == 3 })
	k.join("/parties/main/r?addr=2001:db8:0:1::2")
}

func TestUpgradesPerSecond(t *testing.T) {
	t.Parallel()
	k := start(t, func(c *yserver.Config, _ *yserver.Party) { c.Limits.UpgradesPerSecond = 1 })
	k.dial("/parties/main/r")
	_, resp, err := k.tryDial("/parties/main/r")
	require.Error(t, err)
	require.Equal(t, 503, resp.StatusCode)
	require.Equal(t, "1", resp.Header.Get("Retry-After"))
	require.Equal(t, 503, k.refused("/yjs/r"), "on the mount too, where every client tries again")
	resp, _ = k.do("GET", "/parties/main/r", "")
	require.Equal(t, 404, resp.StatusCode, "other requests are no upgrades")
	eventually(t, "there is room again", func() bool {
		_, _, err := k.tryDial("/parties/main/r")
		return err == nil
	})
}

// What proved who a client is can be seen nowhere.
func TestURIHidesCredentials(t *testing.T) {
	k := start(t, func(c *yserver.Config, _ *yserver.Party) { c.SecretParams = []string{"apikey"} })
	k.dial("/parties/main/r?_pk=a&x=1%202+3&api_key=s1&key=s2&ws_ticket=s3&token=s4&apikey=s5&%74oken=s6&key&since=t:1")
	require.Equal(t, k.http.URL+"/parties/main/r?_pk=a&x=1%202+3&api_key=redacted&key=redacted&ws_ticket=redacted"+
		"&token=redacted&apikey=redacted&%74oken=redacted&key&since=t:1", k.room("r").Connection("a").URI())
}

// A caller whose presence is nobody's business is seen by nobody, and stays
// connected.
func TestNoPresence(t *testing.T) {
	d := newDirectory()
	d.knows("ann")
	d.knows("shy")
	d.set(func() { d.may["shy"] = gate.Decision{NoPresence: true} })
	t.Run("document", func(t *testing.T) {
		k := start(t, guarded(t, d))
		ann, _ := k.join("/parties/main/r?token=ann")
		shy, _ := k.join("/parties/main/r?token=shy")
		shy.presence(7, 1, `{"at":1}`)
		ann.presence(5, 1, `{"at":2}`)
		want := protocol.AppendAwarenessUpdate(nil, []protocol.AwarenessEntry{{Client: 5, Clock: 1, State: []byte(`{"at":2}`)}})
		for _, w := range []*wire{ann, shy} {
			require.Equal(t, protocol.AppendAwareness(nil, want), w.next())
		}
		eventually(t, "it is counted", func() bool { return k.Srv.Stats().Hidden == 1 })
		d.set(func() { d.may["ann"] = gate.Decision{Write: true, NoPresence: true} })
		require.Equal(t, 2, k.recheck(yserver.RecheckFilter{}).Checked)
		gone := protocol.AppendAwarenessUpdate(nil, []protocol.AwarenessEntry{{Client: 5, Clock: 1}})
		require.Equal(t, protocol.AppendAwareness(nil, gone), shy.next(), "what was seen before goes")
		ann.update(typed(9, 0, "x"))
		require.EqualValues(t, 1, clocks(t, shy.collect(1))[0].Clock)
		d.set(func() { delete(d.may, "ann") })
	})
	t.Run("messages", func(t *testing.T) {
		k := start(t, messages(yserver.Message{Presence: true, PresenceInterval: time.Millisecond}), guarded(t, d))
		ann := k.visit("a", "token=ann")
		ann.rosterOf("a")
		shy := k.visit("s", "token=shy")
		ann.rosterOf("a", "s")
		shy.sendText(`{"type":"presence","data":{"at":1}}`)
		eventually(t, "it is counted", func() bool { return k.Srv.Stats().Hidden == 1 })
		ann.sendText(`{"type":"presence","data":{"at":2}}`)
		roster := ann.rosterOf("a", "s")
		require.JSONEq(t, `{"at":2}`, string(roster[0].Data))
		require.Nil(t, roster[1].Data)
		d.set(func() { d.may["ann"] = gate.Decision{Write: true, NoPresence: true} })
		k.recheck(yserver.RecheckFilter{UserID: "ann"})
		require.Nil(t, ann.rosterOf("a", "s")[0].Data, "what was seen before goes")
	})
}
