package partytest

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/internal/ytest"
	"github.com/yserverd/yserverd/yserver"
)

// access has a party's gate ask fn.
func access(fn func(r *http.Request) error) func(*yserver.Party) {
	return func(p *yserver.Party) {
		p.Access = func(_ context.Context, r *gate.Request) (gate.Decision, error) {
			return gate.Decision{Write: true}, fn(r.HTTP)
		}
	}
}

func connects(t *testing.T, n *ytest.NodeClients) {
	s := serve(t, n, hooks{
		tags: func() ([]string, error) { return []string{"guest"}, nil },
		connect: func(conn *yserver.Connection) error {
			conn.Send(yserver.Text("hello " + conn.ID()))
			conn.Room().Broadcast(yserver.Text(conn.ID()+" came"), conn.ID())
			return nil
		},
	})
	cfg := s.config("ü x/")
	cfg.Params = map[string]string{"name": "Zoë & co", "token": "a+b"}
	a := s.join(cfg)
	require.NoError(t, a.AwaitConnected(t.Context()))
	conn := s.next("connect").conn
	require.Equal(t, "ü x/", conn.ID())
	require.Equal(t, []string{"ü x/", "guest"}, conn.Tags())
	uri, err := url.Parse(conn.URI())
	require.NoError(t, err)
	require.Equal(t, url.Values{"_pk": {"ü x/"}, "name": {"Zoë & co"}, "token": {"redacted"}}, uri.Query())
	require.Equal(t, "/parties/chat/lobby", uri.Path)
	require.Equal(t, s.http.URL, uri.Scheme+"://"+uri.Host)

	b := s.join(s.config(""))
	require.Equal(t, view(t, b).ID, s.next("connect").conn.ID(), "a random one is PartySocket's own")
	require.Equal(t, []string{"hello ü x/", view(t, b).ID + " came"}, texts(t, a, 2))
	require.Equal(t, []string{"hello " + view(t, b).ID}, texts(t, b, 1))
	require.Len(t, s.live().Connections("guest"), 2)
}

// buffers has a client send before the gate has answered: what it sent are the first frames of the connection, however
// the room greets.
func buffers(t *testing.T, n *ytest.NodeClients) {
	asked, answer := make(chan struct{}, 8), make(chan struct{})
	s := serve(t, n, hooks{
		connect: func(conn *yserver.Connection) error { conn.Send(yserver.Text("welcome")); return nil },
		message: func(conn *yserver.Connection, p yserver.Payload) error { conn.Send(p); return nil },
	}, access(func(*http.Request) error { asked <- struct{}{}; <-answer; return nil }))
	a := s.join(s.config("a"))
	<-asked
	for _, text := range []string{"one", "two"} {
		sent, err := a.TrySendText(t.Context(), text)
		require.NoError(t, err)
		require.False(t, sent, "there is no connection yet")
	}
	require.NoError(t, a.SendAs(t.Context(), ytest.AsBlob, []byte{3}))
	require.NoError(t, a.SendAs(t.Context(), ytest.AsArrayBuffer, []byte{4}))
	require.NoError(t, a.SendText(t.Context(), "five"))
	close(answer)
	s.next("connect")
	for _, want := range []yserver.Payload{yserver.Text("one"), yserver.Text("two"), yserver.Binary([]byte{3}), yserver.Binary([]byte{4}), yserver.Text("five")} {
		require.Equal(t, want, s.next("message").payload)
	}
	require.NoError(t, a.AwaitFrames(t.Context(), 6))
	frames, err := a.Frames(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, ytest.Frame{Text: "welcome"}, frames[0])
	require.Equal(t, ytest.Frame{Text: "five"}, frames[5])
	sent, err := a.TrySendText(t.Context(), "six")
	require.NoError(t, err)
	require.True(t, sent)
	require.Equal(t, "six", s.next("message").payload.String())
}

func protocols(t *testing.T, n *ytest.NodeClients) {
	s := serve(t, n, hooks{})
	cfg := s.config("a")
	cfg.Protocols = []string{"chat.v2", "chat.v1"}
	a := s.join(cfg)
	require.NoError(t, a.AwaitConnected(t.Context()))
	require.Equal(t, "chat.v2", view(t, a).Protocol)
	b := s.join(s.config("b"))
	require.NoError(t, b.AwaitConnected(t.Context()))
	require.Empty(t, view(t, b).Protocol)
}

// slow has a room that starts for longer than PartySocket waits for a connection: the sockets that it gave up must not
// be left in the room.
func slow(t *testing.T, n *ytest.NodeClients) {
	release := make(chan struct{})
	s := serve(t, n, hooks{start: func(ctx context.Context) error {
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}})
	cfg := s.config("a")
	cfg.SocketOptions["connectionTimeout"] = 100
	a := s.join(cfg)
	require.NoError(t, a.AwaitSockets(t.Context(), 3))
	close(release)
	require.NoError(t, a.AwaitConnected(t.Context()))
	require.NoError(t, a.SendText(t.Context(), "in"))
	require.Eventually(t, func() bool { return len(s.live().Connections()) == 1 }, patience, quick, "those given up are gone")
	s.live().Broadcast(yserver.Text("you"))
	require.Equal(t, []string{"you"}, texts(t, a, 1))
}

// halfOpen has the network fail in a way that neither side notices. The client connects anew under its id; the server
// has both for a while, and must not lose the new one with the old.
func halfOpen(t *testing.T, n *ytest.NodeClients) {
	s := serve(t, n, hooks{})
	proxy := ytest.StartProxy(t, s.http.Listener.Addr().String())
	cfg := s.config("me")
	cfg.URL = "ws://" + proxy.Address()
	a := s.join(cfg)
	old := s.next("connect").conn
	require.NoError(t, a.AwaitConnected(t.Context()))
	proxy.Freeze()
	require.NoError(t, a.Reconnect(t.Context(), 1000, "again"))
	require.NoError(t, a.AwaitOpens(t.Context(), 2))
	fresh := s.next("connect").conn
	require.Equal(t, []string{"me", "me"}, []string{old.ID(), fresh.ID()})
	require.NotSame(t, old, fresh)
	require.Equal(t, []*yserver.Connection{old, fresh}, s.live().Connections("me"), "both live")
	require.Same(t, fresh, s.live().Connection("me"), "the newest is addressed")

	s.live().Connection("me").Send(yserver.Text("to the new one"))
	s.live().Broadcast(yserver.Text("to all"))
	require.Equal(t, []string{"to the new one", "to all"}, texts(t, a, 2))
	require.NoError(t, a.SendText(t.Context(), "from the new one"))
	require.Same(t, fresh, s.next("message").conn)

	proxy.CutFrozen()
	gone := s.next("close")
	require.Same(t, old, gone.conn)
	require.Equal(t, [2]any{1006, false}, [2]any{gone.code, gone.clean})
	require.Same(t, fresh, s.live().Connection("me"), "the old one took nothing with it")
	s.live().Broadcast(yserver.Text("still here"))
	require.Equal(t, "still here", texts(t, a, 3)[2])
}

// refused has a gate that refuses at first: each attempt has a query of its own, and waits longer than the one before.
func refused(t *testing.T, n *ytest.NodeClients) {
	var attempts atomic.Int64
	s := serve(t, n, hooks{}, access(func(r *http.Request) error {
		if want := attempts.Add(1); r.URL.Query().Get("attempt") != string(rune('0'+want)) {
			return errors.New("the query is an old one")
		}
		if attempts.Load() < 5 {
			return &gate.Refusal{Status: http.StatusForbidden, Layer: gate.LayerAccess, Code: "NOT_YET", Message: "not yet"}
		}
		return nil
	}))
	cfg := s.config("a")
	cfg.CountAttempts = true
	cfg.SocketOptions["reconnectionDelayGrowFactor"] = 2
	a := s.join(cfg)
	require.NoError(t, a.SendText(t.Context(), "kept"))
	s.next("connect")
	require.Equal(t, "kept", s.next("message").payload.String())
	v := view(t, a)
	require.Equal(t, []float64{0, 20, 40, 80, 160}, v.Delays)
	require.EqualValues(t, 5, attempts.Load())
	require.Equal(t, 1, v.Opens)
	for _, status := range v.Refusals { // where the client can tell: browsers cannot
		require.Equal(t, http.StatusForbidden, status)
	}
}

// setupFails has each hook of the setup refuse once: the client is let in, told, closed, and comes again by itself.
func setupFails(t *testing.T, n *ytest.NodeClients) {
	secret := errors.New("password of the database: hunter2")
	once := func() func() error {
		var did atomic.Bool
		return func() error {
			if did.Swap(true) {
				return nil
			}
			return secret
		}
	}
	start, tags, connect, panics := once(), once(), once(), once()
	for name, h := range map[string]hooks{
		"OnStart":        {start: func(context.Context) error { return start() }},
		"ConnectionTags": {tags: func() ([]string, error) { return nil, tags() }},
		"OnConnect":      {connect: func(*yserver.Connection) error { return connect() }},
		"Panic": {connect: func(*yserver.Connection) error {
			if err := panics(); err != nil {
				panic(err)
			}
			return nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, n, h)
			a := s.join(s.config("a"))
			require.NoError(t, a.AwaitCloses(t.Context(), 1))
			told := texts(t, a, 1)
			require.JSONEq(t, `{"error":"Uncaught exception during session setup"}`, told[0])
			require.NoError(t, a.AwaitOpens(t.Context(), 2))
			v := view(t, a)
			require.Equal(t, ytest.CloseView{Code: 1011, Reason: "Uncaught exception during session setup", WasClean: true}, v.Closes[0])
			require.NotContains(t, strings.Join(told, ""), "hunter2")
			require.NoError(t, a.SendText(t.Context(), "in"))
			for e := (event{}); e.what != "message"; e = <-s.events {
				require.NotEqual(t, "close", e.what, "one that was never in does not leave")
			}
			require.Len(t, s.live().Connections(), 1)
		})
	}
}
