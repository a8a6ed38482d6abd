package yserver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/yserver"
)

// setupError is what a client is told when a hook refuses it.
const setupError = `{"error":"Uncaught exception during session setup"}`

// The order of a room's life (rooms.md, 2.2).
func TestLifeCycleOrder(t *testing.T) {
	t.Run("a connection starts the room, is tagged, is one of it, then connects", func(t *testing.T) {
		s := &script{}
		s.tags = func(_ context.Context, c *yserver.Connection, _ *http.Request) ([]string, error) {
			s.note("tags sees %v", ids(c.Room().Connections()))
			c.Send(yserver.Text("nobody hears this"))
			c.Close(4000, "nor this")
			return nil, nil
		}
		s.connect = func(_ context.Context, c *yserver.Connection, _ *http.Request) error {
			s.note("connect sees %v", ids(c.Room().Connections()))
			c.Send(yserver.Text("hello"))
			return nil
		}
		k := start(t, withScript(s))
		a := k.dial("/parties/main/r?_pk=a")
		require.Equal(t, "hello", a.nextText())
		a.sendText("x")
		require.Equal(t, []string{
			"OnStart", "ConnectionTags a", "tags sees []", "OnConnect a", "connect sees [a]", "OnMessage a x",
		}, s.await(t, 6))
	})
	t.Run("a request starts the room", func(t *testing.T) {
		s := &script{}
		k := start(t, withScript(s))
		k.do("GET", "/parties/main/r", "")
		k.do("GET", "/parties/main/r", "")
		require.Equal(t, []string{"OnStart", "OnRequest GET", "OnRequest GET"}, s.seen())
	})
	t.Run("Call starts the room", func(t *testing.T) {
		s := &script{}
		k := start(t, withScript(s))
		require.NoError(t, k.room("r").Call(t.Context(), func(_ context.Context, v any) error {
			v.(*scripted).note("Call")
			return nil
		}))
		require.Equal(t, []string{"OnStart", "Call"}, s.seen())
	})
	t.Run("concurrent first events start it once", testFirstEvents)
	t.Run("a failing OnStart fails its event, the next tries again", testStartFails)
	t.Run("a failing OnConnect takes the connection out", func(t *testing.T) {
		s := &script{connect: func(_ context.Context, c *yserver.Connection, _ *http.Request) error {
			if c.ID() == "bad" {
				return errors.New("secret")
			}
			return nil
		}}
		k := start(t, withScript(s))
		k.dial("/parties/main/r?_pk=good")
		bad := k.dial("/parties/main/r?_pk=bad")
		require.Equal(t, setupError, bad.nextText())
		bad.expectClose(1011)
		require.Equal(t, []string{"good"}, ids(k.room("r").Connections()))
		for _, e := range s.seen() {
			require.NotContains(t, e, "OnClose", "it never was connected")
		}
	})
}

// A start that takes its time holds up everything else, and happens once.
func testFirstEvents(t *testing.T) {
	release := make(chan struct{})
	s := &script{start: func(_ context.Context, v *scripted) error {
		<-release
		v.count = 7
		return nil
	}}
	s.request = func(w http.ResponseWriter, _ *http.Request) error {
		_, err := fmt.Fprint(w, "asked")
		return err
	}
	k := start(t, withScript(s))
	var done sync.WaitGroup
	for _, id := range []string{"a", "b"} {
		done.Go(func() { k.dial("/parties/main/r?_pk=" + id) })
	}
	done.Go(func() {
		_, body := k.do("GET", "/parties/main/r", "")
		require.Equal(t, "asked", body)
	})
	require.Equal(t, []string{"OnStart"}, s.await(t, 1))
	time.Sleep(quiet)
	require.Empty(t, s.seen(), "nothing runs before OnStart has returned")
	close(release)
	done.Wait()
	require.NoError(t, k.room("r").Call(t.Context(), func(_ context.Context, v any) error {
		require.Equal(t, 1, v.(*scripted).n)
		require.Equal(t, 7, v.(*scripted).count)
		return nil
	}))
	require.Len(t, k.room("r").Connections(), 2)
	require.NotContains(t, s.seen(), "OnStart")
}

func testStartFails(t *testing.T) {
	fails := 3
	s := &script{start: func(context.Context, *scripted) error {
		if fails--; fails >= 0 {
			return errors.New("secret")
		}
		return nil
	}}
	k := start(t, withScript(s))
	a := k.dial("/parties/main/r?_pk=a")
	require.Equal(t, setupError, a.nextText())
	a.expectClose(1011)
	resp, body := k.do("GET", "/parties/main/r", "")
	require.Equal(t, 500, resp.StatusCode)
	require.NotContains(t, body, "secret")
	require.Error(t, k.room("r").Call(t.Context(), func(context.Context, any) error { return nil }))
	k.dial("/parties/main/r?_pk=a")
	require.Equal(t, []string{"OnStart", "OnStart", "OnStart", "OnStart", "ConnectionTags a", "OnConnect a"}, s.seen())
	require.EqualValues(t, 3, k.Srv.Stats().HookErrors)
}

// The connection object (rooms.md, 2.3).
func TestConnectionObject(t *testing.T) {
	s := &script{}
	conns := make(chan *yserver.Connection, 1)
	s.connect = func(_ context.Context, c *yserver.Connection, _ *http.Request) error {
		conns <- c
		return nil
	}
	k := start(t, withScript(s))
	k.dial("/parties/main/r/more?x=1&_pk=%C3%BC+x%2F&_pk=second")
	c := receive(t, conns)
	require.Equal(t, "ü x/", c.ID(), "the first _pk, decoded")
	require.Equal(t, k.http.URL+"/parties/main/r/more?x=1&_pk=%C3%BC+x%2F&_pk=second", c.URI())
	require.Equal(t, []string{c.ID()}, c.Tags())
	require.Equal(t, "r", c.Room().Name())
	state := map[string]int{"kept": 1}
	require.NoError(t, c.State(&state))
	require.Equal(t, map[string]int{"kept": 1}, state, "no state yet")
	require.NoError(t, c.SetState(map[string]int{"a": 1}))
	require.NoError(t, c.SetState(map[string]int{"b": 2}))
	got := map[string]int{}
	require.NoError(t, c.State(&got))
	require.Equal(t, map[string]int{"b": 2}, got, "replaced, not merged")
	require.ErrorIs(t, c.SetState(strings.Repeat("x", yserver.MaxConnectionState)), yserver.ErrStateTooLarge)
	require.Error(t, c.SetState(make(chan int)))
	require.NoError(t, c.State(&got))
	require.Equal(t, map[string]int{"b": 2}, got)

	k.dial("/parties/main/r?_pk=")
	anonymous := receive(t, conns)
	require.Len(t, anonymous.ID(), 21, "an empty _pk is none")
	k.dial("/parties/main/r?_pk=%ff%fe")
	require.Equal(t, "�", receive(t, conns).ID(), "an id goes into frames of text")
}

// Connection ids by their length (rooms.md, 1.3).
func TestConnectionIDLength(t *testing.T) {
	s := &script{}
	k := start(t, withScript(s))
	k.dial("/parties/main/r?_pk=" + strings.Repeat("%F0%9F%98%80", 128)) // 256 UTF-16 code units
	require.Len(t, s.seen(), 3)
	long := k.dial("/parties/main/r?_pk=" + strings.Repeat("x", 257))
	require.Equal(t, setupError, long.nextText())
	long.expectClose(1011)
	require.Empty(t, s.seen())
	require.Len(t, k.room("r").Connections(), 1)
}

// Tags (rooms.md, 2.4).
func TestConnectionTags(t *testing.T) {
	for _, tc := range []struct {
		name  string
		tags  []string
		want  []string
		fails bool
	}{
		{name: "none", want: []string{"a"}},
		{name: "the id comes first and once", tags: []string{"x", "a", "y"}, want: []string{"a", "x", "y"}},
		{name: "duplicates are kept", tags: []string{"q", "q"}, want: []string{"a", "q", "q"}},
		{name: "ten with the id", tags: strings.Split("bcdefghij", ""), want: strings.Split("abcdefghij", "")},
		{name: "eleven with the id", tags: strings.Split("bcdefghijk", ""), fails: true},
		{name: "an empty one", tags: []string{""}, fails: true},
		{name: "256 code units", tags: []string{strings.Repeat("é", 256)}, want: []string{"a", strings.Repeat("é", 256)}},
		{name: "257 code units", tags: []string{strings.Repeat("é", 257)}, fails: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &script{tags: func(context.Context, *yserver.Connection, *http.Request) ([]string, error) { return tc.tags, nil }}
			k := start(t, withScript(s))
			a := k.dial("/parties/main/r?_pk=a")
			if tc.fails {
				require.Equal(t, setupError, a.nextText())
				a.expectClose(1011)
				require.Equal(t, []string{"OnStart", "ConnectionTags a"}, s.seen(), "tags are checked before OnConnect")
				return
			}
			require.Equal(t, tc.want, k.room("r").Connection("a").Tags())
			require.Equal(t, []string{"a"}, ids(k.room("r").Connections(tc.want[len(tc.want)-1])))
		})
	}
}

// Lookup and sending (rooms.md, 2.5).
func TestLookupAndBroadcast(t *testing.T) {
	s := &script{tags: func(_ context.Context, c *yserver.Connection, _ *http.Request) ([]string, error) {
		if c.ID() == "c" {
			return nil, nil
		}
		return []string{"team"}, nil
	}}
	k := start(t, withScript(s))
	room := k.room("r")
	require.Empty(t, room.Connections())
	require.Nil(t, room.Connection("a"))
	room.Broadcast(yserver.Text("into the void"))
	require.Empty(t, s.seen(), "none of that makes a room")
	a, b, c := k.dial("/parties/main/r?_pk=a"), k.dial("/parties/main/r?_pk=b"), k.dial("/parties/main/r?_pk=c")
	require.Equal(t, []string{"a", "b", "c"}, ids(room.Connections()))
	require.Equal(t, []string{"a", "b", "c"}, ids(room.Connections("")))
	require.Equal(t, []string{"a", "b"}, ids(room.Connections("team")))
	require.Equal(t, []string{"c"}, ids(room.Connections("c")))
	require.Empty(t, room.Connections("nobody"))
	require.Nil(t, room.Connection("nobody"))

	room.Broadcast(yserver.Text("all"))
	room.Broadcast(yserver.Binary([]byte{1, 2}), "b", "nobody")
	room.Connection("b").Send(yserver.Text("one"))
	for _, w := range []*wire{a, b, c} {
		require.Equal(t, "all", w.nextText())
	}
	require.Equal(t, []byte{1, 2}, a.next())
	require.Equal(t, []byte{1, 2}, c.next())
	require.Equal(t, "one", b.nextText())
	b.silence()

	set(s, &s.close, func(_ context.Context, c *yserver.Connection, _ int, _ string, _ bool) error {
		s.note("left %v", ids(c.Room().Connections()))
		return nil
	})
	s.seen()
	room.Connection("a").Close(4000, "bye")
	require.Equal(t, []string{"b", "c"}, ids(room.Connections()), "closing is not open")
	a.expectClose(4000)
	require.Equal(t, []string{`OnClose a 4000 "bye" true`, "left [b c]"}, s.await(t, 2))
}

// Messages (rooms.md, 2.7).
func TestMessages(t *testing.T) {
	s := &script{message: func(_ context.Context, c *yserver.Connection, p yserver.Payload) error {
		switch p.String() {
		case "error":
			return errors.New("secret")
		case "panic":
			panic("secret")
		}
		c.Send(p)
		return nil
	}}
	k := start(t, withScript(s))
	a := k.dial("/parties/main/r?_pk=a")
	t.Run("text is text and binary is binary", func(t *testing.T) {
		a.sendText("t")
		require.Equal(t, "t", a.nextText())
		a.send([]byte{0, 0xff})
		require.Equal(t, []byte{0, 0xff}, a.next())
		a.sendText("")
		require.Empty(t, a.nextText())
	})
	t.Run("in order", func(t *testing.T) {
		for i := range 1000 {
			a.sendText(fmt.Sprint(i))
		}
		for i := range 1000 {
			require.Equal(t, fmt.Sprint(i), a.nextText())
		}
	})
	t.Run("an error keeps the connection and tells it nothing", func(t *testing.T) {
		a.sendText("error")
		a.sendText("panic")
		a.sendText("fine")
		require.Equal(t, "fine", a.nextText())
	})
	t.Run("the first frames may come before anything else", func(t *testing.T) {
		b := k.dial("/parties/main/r?_pk=b")
		b.sendText("burst")
		require.Equal(t, "burst", b.nextText())
	})
	t.Run("text that is not UTF-8 is no message", func(t *testing.T) {
		b := k.dial("/parties/main/r?_pk=b2")
		b.sendText("\xff")
		b.expectClose(1007)
	})
}

// Close and error (rooms.md, 2.8).
func TestCloses(t *testing.T) {
	connect := func(t *testing.T, opts ...func(*yserver.Config, *yserver.Party)) (*script, *kit, *wire) {
		s := &script{close: func(context.Context, *yserver.Connection, int, string, bool) error {
			panic("the handshake goes on")
		}}
		k := start(t, append(opts, withScript(s))...)
		w := k.dial("/parties/main/r?_pk=a")
		s.await(t, 3)
		return s, k, w
	}
	t.Run("with code and reason", func(t *testing.T) {
		s, _, a := connect(t)
		require.NoError(t, a.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4321, "why"), time.Now().Add(patience)))
		a.expectClose(4321)
		require.Equal(t, []string{`OnClose a 4321 "why" true`}, s.await(t, 1))
	})
	t.Run("without a code", func(t *testing.T) {
		s, _, a := connect(t)
		require.NoError(t, a.conn.WriteControl(websocket.CloseMessage, nil, time.Now().Add(patience)))
		a.expectClose(1005)
		require.Equal(t, []string{`OnClose a 1005 "" true`}, s.await(t, 1))
	})
	t.Run("gone", func(t *testing.T) {
		s, _, a := connect(t)
		require.NoError(t, a.conn.Close())
		require.Equal(t, []string{`OnClose a 1006 "" false`}, s.await(t, 1))
	})
	t.Run("by the server", func(t *testing.T) {
		s, k, a := connect(t)
		k.room("r").Connection("a").Close(4001, "out")
		a.expectClose(4001)
		require.Equal(t, []string{`OnClose a 4001 "out" true`}, s.await(t, 1))
	})
	t.Run("in OnConnect", func(t *testing.T) {
		s := &script{}
		after := make(chan struct{})
		s.connect = func(_ context.Context, c *yserver.Connection, _ *http.Request) error {
			c.Close(4002, "no")
			<-after // it leaves before OnConnect returns
			return nil
		}
		k := start(t, withScript(s))
		k.dial("/parties/main/r?_pk=a").expectClose(4002)
		eventually(t, "left", func() bool { return k.Srv.Stats().Connections == 0 })
		close(after)
		require.Equal(t, []string{"OnStart", "ConnectionTags a", "OnConnect a", `OnClose a 4002 "no" true`}, s.await(t, 4))
	})
	t.Run("a message over the limit is an error, then a close", func(t *testing.T) {
		s, _, a := connect(t, func(_ *yserver.Config, p *yserver.Party) { p.Limits.Message = 100 })
		set(s, &s.fault, func(context.Context, *yserver.Connection, error) { panic("OnClose comes all the same") })
		a.send(bytes.Repeat([]byte{1}, 101))
		a.expectClose(1009)
		events := s.await(t, 2)
		require.Equal(t, "OnError a", events[0])
		require.Contains(t, events[1], "OnClose a 1009")
	})
}

// Requests before there is a room (rooms.md, 2.1 and 1.5).
func TestBeforeHooks(t *testing.T) {
	type key struct{}
	var asked sync.Map
	hook := func(name string) yserver.BeforeHook {
		return func(r *http.Request, lobby yserver.Lobby) (*http.Request, error) {
			asked.Store(name, lobby)
			require.Empty(t, r.Header.Values("X-Partykit-Props"))
			switch r.URL.Query().Get("do") {
			case "refuse":
				return nil, &gate.Refusal{Status: 402, Layer: gate.LayerAccess, Code: "PAY", Message: "pay"}
			case "error":
				return nil, errors.New("secret")
			case "panic":
				panic("secret")
			case "replace":
				next := r.WithContext(context.WithValue(r.Context(), key{}, "attached"))
				url := *r.URL
				url.RawQuery += "&added=1"
				next.URL = &url
				return next, nil
			case "origin":
				next := r.Clone(r.Context())
				next.Header.Del("Origin")
				return next, nil
			}
			return nil, nil
		}
	}
	var gateSaw sync.Map
	s := &script{request: func(w http.ResponseWriter, r *http.Request) error {
		_, err := fmt.Fprintf(w, "%v %s", r.Context().Value(key{}), r.URL.RawQuery)
		return err
	}}
	k := start(t, withScript(s), func(_ *yserver.Config, p *yserver.Party) {
		p.OnBeforeConnect, p.OnBeforeRequest = hook("connect"), hook("request")
		p.Access = func(_ context.Context, r *gate.Request) (gate.Decision, error) {
			gateSaw.Store("value", r.HTTP.Context().Value(key{}))
			return gate.Decision{Write: true}, nil
		}
	})
	t.Run("upgrades and the rest", func(t *testing.T) {
		for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS", "PURGE"} {
			asked.Clear()
			k.do(method, "/parties/main/a%2Fb", "", "X-Partykit-Props", "e30=", "x-partykit-room", "other")
			lobby, ok := asked.Load("request")
			require.True(t, ok, method)
			require.Equal(t, yserver.Lobby{Party: "main", Room: "a/b"}, lobby)
			_, ok = asked.Load("connect")
			require.False(t, ok, method)
		}
		asked.Clear()
		k.dial("/parties/main/r")
		_, ok := asked.Load("request")
		require.False(t, ok)
		_, ok = asked.Load("connect")
		require.True(t, ok)
	})
	t.Run("refusals", func(t *testing.T) {
		s.seen()
		for do, status := range map[string]int{"refuse": 402, "error": 500, "panic": 500} {
			resp, body := k.do("GET", "/parties/main/none?do="+do, "")
			require.Equal(t, status, resp.StatusCode, do)
			require.NotContains(t, body, "secret")
			require.Equal(t, status, k.refused("/parties/main/none?do="+do), do)
		}
		require.Empty(t, s.seen(), "no room")
	})
	t.Run("a replaced request", func(t *testing.T) {
		_, body := k.do("GET", "/parties/main/r?do=replace", "")
		require.Equal(t, "attached do=replace&added=1", body)
		v, _ := gateSaw.Load("value")
		require.Equal(t, "attached", v)
		k.dial("/parties/main/r?do=replace&_pk=replaced")
		require.Contains(t, k.room("r").Connection("replaced").URI(), "&added=1")
	})
	t.Run("they do not admit", func(t *testing.T) {
		resp, _ := k.do("POST", "/parties/main/r?do=origin", "", "Origin", "https://evil.example")
		require.Equal(t, 403, resp.StatusCode)
	})
	t.Run("an unknown party has no hooks", func(t *testing.T) {
		asked.Clear()
		resp, body := k.do("GET", "/parties/other/r", "")
		require.Equal(t, 400, resp.StatusCode)
		require.Equal(t, "Invalid request", body)
		_, ok := asked.Load("request")
		require.False(t, ok)
	})
}

// CORS and hooks (rooms.md, 1.4).
func TestPreflightsRunNoHooks(t *testing.T) {
	policy, err := gate.NewOriginPolicy(gate.OriginConfig{Allowed: []string{"https://app.example"}})
	require.NoError(t, err)
	s := &script{}
	s.request = func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("X-Own", "1")
		w.WriteHeader(201)
		return nil
	}
	refuse := func(_ *http.Request, l yserver.Lobby) (*http.Request, error) {
		s.note("OnBefore")
		if l.Room == "closed" {
			return nil, &gate.Refusal{Status: 402, Layer: gate.LayerAccess, Code: "PAY", Message: "pay"}
		}
		return nil, nil
	}
	k := start(t, withScript(s), func(c *yserver.Config, p *yserver.Party) {
		c.Origin, p.CORS, p.OnBeforeRequest = policy, true, refuse
	})
	origin := []string{"Origin", "https://app.example"}
	resp, body := k.do("OPTIONS", "/parties/main/r", "", origin...)
	require.Equal(t, 204, resp.StatusCode)
	require.Empty(t, body)
	require.Empty(t, s.seen())
	for _, path := range []string{"/parties/main/r", "/parties/main/closed"} {
		resp, _ = k.do("POST", path, "", origin...)
		require.Equal(t, "https://app.example", resp.Header.Get("Access-Control-Allow-Origin"), path)
	}
	require.Equal(t, []string{"OnBefore", "OnStart", "OnRequest POST", "OnBefore"}, s.seen())

	without := start(t, withScript(s))
	resp, _ = without.do("OPTIONS", "/parties/main/r", "")
	require.Equal(t, 201, resp.StatusCode)
	require.Equal(t, []string{"OnStart", "OnRequest OPTIONS"}, s.seen())
}

// The first subprotocol that is offered is chosen (rooms.md, 1.3).
func TestSubprotocolIsEchoed(t *testing.T) {
	k := start(t, withScript(&script{}))
	dialer := websocket.Dialer{Subprotocols: []string{"mine", "other"}}
	conn, resp, err := dialer.Dial(k.url("/parties/main/r"), nil)
	require.NoError(t, err)
	defer conn.Close()
	require.Equal(t, "mine", resp.Header.Get("Sec-Websocket-Protocol"))
}

// What a client sends as PartyServer's own headers reaches no hook (rooms.md, 1.3).
func TestPartykitHeadersAreStripped(t *testing.T) {
	s := &script{}
	s.request = func(_ http.ResponseWriter, r *http.Request) error {
		s.note("%d", len(r.Header.Values("X-Partykit-Props"))+len(r.Header.Values("X-Partykit-Namespace")))
		return nil
	}
	s.connect = func(_ context.Context, _ *yserver.Connection, r *http.Request) error {
		s.note("%d", len(r.Header.Values("X-Partykit-Room")))
		return nil
	}
	k := start(t, withScript(s))
	k.do("GET", "/parties/main/r", "", "x-partykit-props", `{"a":1}`, "X-PartyKit-Namespace", "other")
	conn, _, err := websocket.DefaultDialer.Dial(k.url("/parties/main/r?_pk=a"), http.Header{"X-Partykit-Room": {"other"}})
	require.NoError(t, err)
	defer conn.Close()
	require.Equal(t, []string{"OnStart", "OnRequest GET", "0", "ConnectionTags a", "OnConnect a", "0"}, s.seen())
	require.Len(t, k.room("r").Connections(), 1)
}

// The text of a setup error goes only to connections that know text frames
// (rooms.md, 9.14).
func TestSetupErrorWithoutTextFrames(t *testing.T) {
	s := &script{connect: func(context.Context, *yserver.Connection, *http.Request) error { return errors.New("no") }}
	k := start(t, withScriptedDocument(s))
	y := k.dial("/yjs/r")
	y.expectClose(1011)
	y.noText()
	p := k.dial("/parties/main/r?_pk=a")
	require.Equal(t, setupError, p.nextText())
	p.expectClose(1011)
	set(s, &s.connect, nil)
	set(s, &s.tags, func(context.Context, *yserver.Connection, *http.Request) ([]string, error) {
		return nil, errors.New("no")
	})
	y = k.dial("/yjs/r")
	y.expectClose(1011)
	y.noText()
}
