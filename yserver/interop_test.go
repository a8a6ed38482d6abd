package yserver_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/internal/ytest"
	"github.com/yserverd/yserverd/protocol/ydoc"
	"github.com/yserverd/yserverd/yserver"
)

// config is where a kind of client finds a room of the server. The kinds that speak to the y-websocket mount and
// YProvider meet in the same rooms.
func (k *kit) config(kind, room string) ytest.ClientConfig {
	if kind == ytest.YProvider {
		return ytest.ClientConfig{Kind: kind, URL: k.url(""), Room: room, Party: "main"}
	}
	return ytest.ClientConfig{Kind: kind, URL: k.url("/yjs"), Room: room}
}

// people are the clients of a test.
type people struct {
	t testing.TB
	n *ytest.NodeClients
}

func (p people) join(cfg ytest.ClientConfig) *ytest.NodeClient {
	p.t.Helper()
	c, err := p.n.New(p.t.Context(), cfg)
	require.NoError(p.t, err)
	return c
}

func (p people) view(c *ytest.NodeClient) ytest.ClientView {
	p.t.Helper()
	v, err := c.View(p.t.Context())
	require.NoError(p.t, err)
	return v
}

// converge waits until all have what the first has, and nothing waits anywhere.
func (p people) converge(first *ytest.NodeClient, others ...*ytest.NodeClient) {
	p.t.Helper()
	want := p.view(first)
	require.False(p.t, want.Pending)
	for _, c := range others {
		require.NoError(p.t, c.AwaitStateVector(p.t.Context(), want.StateVector))
		require.NoError(p.t, c.AwaitText(p.t.Context(), want.Text))
		require.False(p.t, p.view(c).Pending)
	}
}

// eachKind runs a test for every kind of client against one server, all in one Node process, which must not have
// complained at the end.
func eachKind(t *testing.T, k *kit, test func(t *testing.T, p people, kind string)) {
	n := ytest.StartNodeClients(t)
	for _, kind := range ytest.DocumentKinds {
		t.Run(kind, func(t *testing.T) { test(t, people{t, n}, kind) })
	}
	require.Empty(t, n.ConsoleErrors())
}

func TestInteropSync(t *testing.T) {
	k := start(t)
	eachKind(t, k, func(t *testing.T, p people, kind string) {
		ctx := t.Context()
		offline := k.config(kind, "sync-"+kind)
		offline.Disconnected = true
		a := p.join(offline)
		require.NoError(t, a.Edit(ctx, ytest.InsertText(0, "héllo 😀"), ytest.SetKey("k", map[string]any{"n": 1.5, "x": nil})))
		require.NoError(t, a.Connect(ctx))
		require.NoError(t, a.AwaitSynced(ctx))
		for _, other := range ytest.DocumentKinds { // of whatever kind they are
			b := p.join(k.config(other, "sync-"+kind))
			require.NoError(t, b.AwaitText(ctx, "héllo 😀"))
			require.NoError(t, b.AwaitSettled(ctx))
			require.NoError(t, b.AwaitJSON(ctx, map[string]any{"m": map[string]any{"k": map[string]any{"n": 1.5, "x": nil}}}))
			require.Equal(t, 1, p.view(b).Sockets)
		}
		saved(t, a)
		sv := p.view(a).StateVector
		require.Equal(t, sv, vectorText(k.in(t).stored("sync-"+kind)))
	})
}

// vectorText is a document's state vector as clients show theirs.
func vectorText(doc *ydoc.Doc) string { return base64.StdEncoding.EncodeToString(doc.StateVector()) }

// saved waits until everything that a client sent is stored, the way applications do.
func saved(t testing.TB, c *ytest.NodeClient) {
	t.Helper()
	number, err := c.Save(t.Context())
	require.NoError(t, err)
	require.NoError(t, c.AwaitSaved(t.Context(), number))
}

func TestInteropTyping(t *testing.T) {
	k := start(t)
	eachKind(t, k, func(t *testing.T, p people, kind string) {
		ctx := t.Context()
		room := "typing-" + kind
		a, b, c := p.join(k.config(kind, room)), p.join(k.config(kind, room)), p.join(k.config(ytest.YWebsocket, room))
		all := []*ytest.NodeClient{a, b, c}
		for _, client := range all {
			require.NoError(t, client.AwaitSynced(ctx))
		}
		var wg sync.WaitGroup
		for i, client := range all {
			wg.Go(func() {
				if err := client.Burst(ctx, string(rune('a'+i))+"#,", 60, 0); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, client := range all {
			require.NoError(t, client.AwaitEchoed(ctx))
			require.NoError(t, client.AwaitTextLength(ctx, 3*(10*3+50*4)))
		}
		p.converge(a, b, c)
		text := p.view(a).Text
		for i, client := range all {
			made, back, notes, err := client.Echoes(ctx)
			require.NoError(t, err)
			require.Equal(t, [2]int{60, 60}, [2]int{made, back})
			require.Equal(t, 60, strings.Count(text, string(rune('a'+i))))
			require.Len(t, notes, 60)
			saved(t, client)
		}
		require.Equal(t, p.view(a).StateVector, vectorText(k.in(t).stored(room)), "saved means stored")
	})
}

func TestInteropPresence(t *testing.T) {
	k := start(t)
	eachKind(t, k, func(t *testing.T, p people, kind string) {
		ctx := t.Context()
		room := "presence-" + kind
		named := func(name string) ytest.ClientConfig {
			cfg := k.config(kind, room)
			cfg.Awareness = map[string]any{"name": name}
			return cfg
		}
		state := func(name string) map[string]any { return map[string]any{"name": name} }
		a, b := p.join(named("a")), p.join(named("b"))
		require.NoError(t, a.AwaitStates(ctx, state("a"), state("b")))
		require.NoError(t, b.AwaitStates(ctx, state("a"), state("b")))
		require.NoError(t, a.SetAwareness(ctx, state("a2")))
		require.NoError(t, b.AwaitStates(ctx, state("a2"), state("b")))
		late := p.join(named("late"))
		require.NoError(t, late.AwaitStates(ctx, state("a2"), state("b"), state("late")))

		require.NoError(t, late.Disconnect(ctx)) // says so itself
		require.NoError(t, a.AwaitStates(ctx, state("a2"), state("b")))
		for range 2 { // the second time too: whose a state is must not be forgotten
			require.NoError(t, b.Terminate(ctx, true))
			require.NoError(t, b.AwaitDisconnected(ctx))
			require.NoError(t, a.AwaitStates(ctx, state("a2")))
			require.NoError(t, b.Connect(ctx))
			require.NoError(t, b.SetAwareness(ctx, state("b")))
			require.NoError(t, a.AwaitStates(ctx, state("a2"), state("b")))
			// y-websocket remembers a's clock and ignores what it had seen before the break until a says more.
			require.NoError(t, a.SetAwareness(ctx, state("a2")))
			require.NoError(t, b.AwaitStates(ctx, state("a2"), state("b")))
		}
		require.NoError(t, b.SetAwareness(ctx, nil))
		require.NoError(t, a.AwaitStates(ctx, state("a2")))
		newcomer := p.join(named("new"))
		require.NoError(t, newcomer.AwaitStates(ctx, state("a2"), state("new")))
	})
}

func TestInteropReconnect(t *testing.T) {
	k := start(t)
	eachKind(t, k, func(t *testing.T, p people, kind string) {
		ctx := t.Context()
		room := "reconnect-" + kind
		a, b := p.join(k.config(kind, room)), p.join(k.config(kind, room))
		require.NoError(t, a.AwaitSynced(ctx))
		require.NoError(t, b.AwaitSynced(ctx))
		require.NoError(t, b.Terminate(ctx, true))
		require.NoError(t, b.AwaitDisconnected(ctx))
		require.NoError(t, a.Burst(ctx, "a#", 5, 0))
		require.NoError(t, b.Edit(ctx, ytest.InsertText(0, "while offline ")))
		require.NoError(t, b.Connect(ctx))
		require.NoError(t, b.AwaitSettled(ctx))
		require.NoError(t, a.AwaitTextLength(ctx, len("while offline a0a1a2a3a4")))
		p.converge(a, b)

		for n := 3; n < 6; n++ { // breaks that the provider mends by itself
			require.NoError(t, b.Terminate(ctx, false))
			require.NoError(t, a.Edit(ctx, ytest.InsertText(0, "x")))
			require.NoError(t, b.Edit(ctx, ytest.InsertText(0, "y")))
			require.NoError(t, b.AwaitSockets(ctx, n))
			require.NoError(t, b.AwaitSettled(ctx))
			require.NoError(t, b.AwaitTextLength(ctx, len("while offline a0a1a2a3a4")+2*(n-2)))
			require.NoError(t, a.AwaitTextLength(ctx, len("while offline a0a1a2a3a4")+2*(n-2)))
			p.converge(a, b)
		}
		live, err := k.Srv.Room("main", room)
		require.NoError(t, err)
		for _, conn := range live.Connections() { // and what the server ends
			conn.Close(1012, "restart")
		}
		require.NoError(t, a.AwaitCloses(ctx, 1))
		require.NoError(t, a.AwaitSockets(ctx, 2))
		require.NoError(t, a.AwaitSettled(ctx))
		require.NoError(t, b.AwaitSettled(ctx))
		require.NoError(t, a.Edit(ctx, ytest.InsertText(0, "again ")))
		require.NoError(t, b.AwaitText(ctx, p.view(a).Text))
		view := p.view(a)
		require.Equal(t, ytest.CloseView{Code: 1012, Reason: "restart"}, view.Closes[0])
	})
}

func TestInteropReadOnly(t *testing.T) {
	k := start(t, func(_ *yserver.Config, p *yserver.Party) {
		p.Access = func(_ context.Context, r *gate.Request) (gate.Decision, error) {
			return gate.Decision{Write: r.HTTP.URL.Query().Get("mode") != "view"}, nil
		}
	})
	eachKind(t, k, func(t *testing.T, p people, kind string) {
		ctx := t.Context()
		room := "readonly-" + kind
		viewer := k.config(kind, room)
		viewer.Params = map[string]string{"mode": "view"}
		viewer.Awareness = map[string]any{"name": "viewer"}
		writer := k.config(kind, room)
		writer.Awareness = map[string]any{"name": "writer"}
		v, a, b := p.join(viewer), p.join(writer), p.join(writer)
		for _, c := range []*ytest.NodeClient{v, a, b} {
			require.NoError(t, c.AwaitSynced(ctx))
		}
		require.NoError(t, v.Edit(ctx, ytest.SetKey("mine", true)))
		require.NoError(t, a.Edit(ctx, ytest.InsertText(0, "seen")))
		require.NoError(t, v.AwaitText(ctx, "seen"))
		require.NoError(t, b.AwaitText(ctx, "seen"))
		require.NoError(t, b.AwaitAwarenessCount(ctx, 3), "presence of a viewer is seen")
		saved(t, v) // an answer, whatever it says: all that the viewer sent was read
		saved(t, a)
		require.Empty(t, p.view(b).JSON["m"], "what a viewer wrote is nowhere")
		require.Equal(t, p.view(b).StateVector, vectorText(k.in(t).stored(room)))
		require.True(t, p.view(v).Connected)
	})
}

func TestInteropCustomMessages(t *testing.T) {
	type said struct{ id, text string }
	heard := make(chan said, 10)
	k := start(t, func(_ *yserver.Config, p *yserver.Party) {
		p.Document.OnCustomMessage = func(conn *yserver.Connection, message string) {
			heard <- said{conn.ID(), message}
			conn.Room().SendCustomMessage(conn, "only you")
			conn.Room().BroadcastCustomMessage("others", conn)
		}
	})
	n := ytest.StartNodeClients(t)
	p := people{t, n}
	ctx := t.Context()
	me := k.config(ytest.YProvider, "custom")
	me.ConnectionID = "me"
	a, b, y := p.join(me), p.join(k.config(ytest.YProvider, "custom")), p.join(k.config(ytest.YWebsocket, "custom"))
	for _, c := range []*ytest.NodeClient{a, b, y} {
		require.NoError(t, c.AwaitSynced(ctx))
	}
	require.NoError(t, a.SendCustom(ctx, "héllo: __YPS: 😀"))
	select {
	case s := <-heard:
		require.Equal(t, said{"me", "héllo: __YPS: 😀"}, s)
	case <-time.After(patience):
		t.Fatal("the hook heard nothing")
	}
	require.NoError(t, a.AwaitCustoms(ctx, 1))
	require.NoError(t, b.AwaitCustoms(ctx, 1))
	require.NoError(t, a.Edit(ctx, ytest.InsertText(0, "after")))
	require.NoError(t, y.AwaitText(ctx, "after"))
	require.NoError(t, b.AwaitText(ctx, "after"))
	require.Equal(t, []string{"only you"}, p.view(a).Customs)
	require.Equal(t, []string{"others"}, p.view(b).Customs)
	require.Zero(t, p.view(y).Frames.Text, "a text frame makes y-websocket throw")
	require.Empty(t, n.ConsoleErrors())
}

func TestInteropBigDocument(t *testing.T) {
	const size = 20 << 20
	k := start(t)
	eachKind(t, k, func(t *testing.T, p people, kind string) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		room := "big-" + kind
		a, b := p.join(k.config(kind, room)), p.join(k.config(kind, room))
		require.NoError(t, a.AwaitSynced(ctx))
		require.NoError(t, b.AwaitSynced(ctx))
		require.NoError(t, a.Edit(ctx, ytest.FillKey("big", size)))
		want := map[string]any{"m": map[string]any{"big": "<20971520 bytes>"}}
		require.NoError(t, b.AwaitJSON(ctx, want))
		late := p.join(k.config(kind, room))
		require.NoError(t, late.AwaitJSON(ctx, want))
		require.NoError(t, late.AwaitSettled(ctx))
		saved(t, a)
		require.Equal(t, 1, p.view(a).Sockets)
		require.Equal(t, 1, p.view(late).Sockets)
		require.Greater(t, p.view(late).Frames.Bytes, int64(size))
		for _, c := range []*ytest.NodeClient{a, b, late} {
			require.NoError(t, c.Destroy(ctx))
		}
	})
}

// A room has one id, however a client writes it in its address.
func TestInteropRoomNames(t *testing.T) {
	k := start(t)
	p := people{t, ytest.StartNodeClients(t)}
	ctx := t.Context()
	for _, name := range []string{"a b", "ü", "日本", "a.b~c", "100%25 sure", "emoji 😀", "x+y&z=1"} {
		y, y2, yp := p.join(k.config(ytest.YWebsocket, name)), p.join(k.config(ytest.YWebsocket2, name)), p.join(k.config(ytest.YProvider, name))
		require.NoError(t, y.Edit(ctx, ytest.InsertText(0, name)))
		require.NoError(t, y2.AwaitText(ctx, name))
		require.NoError(t, yp.AwaitText(ctx, name))
	}
	// On the mount a slash is part of the room, encoded or not; YProvider's room ends at a slash that is not encoded.
	for _, name := range []string{"team/notes", "ü/x/y z"} {
		y, y2, yp := p.join(k.config(ytest.YWebsocket, name)), p.join(k.config(ytest.YWebsocket2, url.PathEscape(name))), p.join(k.config(ytest.YProvider, url.PathEscape(name)))
		require.NoError(t, yp.Edit(ctx, ytest.InsertText(0, name)))
		require.NoError(t, y.AwaitText(ctx, name))
		require.NoError(t, y2.AwaitText(ctx, name))
		first, _, _ := strings.Cut(name, "/")
		deeper, top := p.join(k.config(ytest.YProvider, name)), p.join(k.config(ytest.YWebsocket, first))
		require.NoError(t, deeper.Edit(ctx, ytest.SetKey("from", name)))
		require.NoError(t, top.AwaitJSON(ctx, map[string]any{"m": map[string]any{"from": name}}))
	}
	require.Empty(t, p.n.ConsoleErrors())
}

// Two tabs of one browser, which also talk to each other, and somebody elsewhere.
func TestInteropBroadcastChannel(t *testing.T) {
	k := start(t)
	eachKind(t, k, func(t *testing.T, p people, kind string) {
		ctx := t.Context()
		tab := func(name string, both bool) ytest.ClientConfig {
			cfg := k.config(kind, "tabs-"+kind)
			cfg.BroadcastChannel = both
			cfg.Awareness = map[string]any{"name": name}
			return cfg
		}
		a, b, far := p.join(tab("a", true)), p.join(tab("b", true)), p.join(tab("far", false))
		for _, c := range []*ytest.NodeClient{a, b, far} {
			require.NoError(t, c.AwaitSynced(ctx))
		}
		require.NoError(t, a.Burst(ctx, "a", 20, 0))
		require.NoError(t, b.Burst(ctx, "b", 20, 0))
		require.NoError(t, far.Burst(ctx, "f", 20, 0))
		for _, c := range []*ytest.NodeClient{a, b, far} {
			require.NoError(t, c.AwaitTextLength(ctx, 60))
			require.NoError(t, c.AwaitAwarenessCount(ctx, 3))
		}
		p.converge(a, b, far)
		// While it ends, a can hear its own farewell from b and announce itself once more through b, which the server takes
		// for b's word. So a is gone for sure when b is.
		require.NoError(t, a.Destroy(ctx))
		require.NoError(t, b.Destroy(ctx))
		require.NoError(t, far.AwaitStates(ctx, map[string]any{"name": "far"}))
	})
}

// Who is refused learns it in the way that its client understands: an HTTP status before the upgrade, or a close code
// after it on the mount, on which y-websocket 3.1 gives up.
func TestInteropRefusals(t *testing.T) {
	k := start(t, func(_ *yserver.Config, p *yserver.Party) {
		p.Access = func(_ context.Context, r *gate.Request) (gate.Decision, error) {
			return gate.Decision{}, &gate.Refusal{Status: http.StatusForbidden, Layer: gate.LayerAccess, Code: "NO", Message: "not for you"}
		}
	})
	p := people{t, ytest.StartNodeClients(t)}
	ctx := t.Context()
	y := p.join(k.config(ytest.YWebsocket, "r"))
	require.NoError(t, y.AwaitStopped(ctx, 4403))
	view := p.view(y)
	require.Equal(t, &ytest.CloseView{Code: 4403, Reason: "not for you"}, view.Stopped)
	require.False(t, view.Reconnects)
	require.Equal(t, 1, view.Sockets)
	require.NoError(t, p.join(k.config(ytest.YProvider, "r")).AwaitRefused(ctx, http.StatusForbidden))
	other := k.config(ytest.YProvider, "r")
	other.Party = "constructor"
	require.NoError(t, p.join(other).AwaitRefused(ctx, http.StatusBadRequest))
	require.Zero(t, k.Srv.Stats().Rooms)
}

// A client that does nothing stays connected, though y-websocket gives a connection up on which nothing came for 30 s.
func TestInteropIdle(t *testing.T) {
	if testing.Short() {
		t.Skip("takes longer than the 30 s after which y-websocket gives up")
	}
	t.Parallel()
	idle := 36 * time.Second
	if longTests {
		idle = 5 * time.Minute
	}
	k := start(t)
	p := people{t, ytest.StartNodeClients(t)}
	ctx := t.Context()
	var clients []*ytest.NodeClient
	for _, kind := range ytest.DocumentKinds {
		c := p.join(k.config(kind, "idle-"+kind))
		require.NoError(t, c.AwaitSynced(ctx))
		require.NoError(t, c.SetAwareness(ctx, nil)) // without it there is no heartbeat that would come back
		clients = append(clients, c)
	}
	time.Sleep(idle) // the length of the silence is what is tested
	for _, c := range clients {
		v := p.view(c)
		require.True(t, v.Connected && v.Synced, c.Name())
		require.Equal(t, 1, v.Sockets)
		require.Empty(t, v.Closes)
		require.NoError(t, c.Edit(ctx, ytest.InsertText(0, "still here")))
		require.NoError(t, c.AwaitEchoed(ctx))
	}
	require.Empty(t, p.n.ConsoleErrors())
}
