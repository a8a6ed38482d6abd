// Package partytest holds message rooms against the unmodified partysocket package, wherever its clients run.
//
// Invariants:
//
//   - The tests are the same for every place that [ytest.NodeClients] can drive: the ws package's WebSocket in Node, and
//     the one of a browser, whose page has an origin of its own.
//   - Clients are used through PartySocket's public face: what it buffers, retries and reports is its own doing.
//   - Every test has a server of its own, and what its clients do is awaited, not timed.
package partytest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/internal/ytest"
	"github.com/yserverd/yserverd/persist/persisttest"
	"github.com/yserverd/yserverd/yserver"
)

const (
	party    = "chat"
	room     = "lobby"
	patience = 20 * time.Second // bounds what is awaited; it is an error, never a measurement
)

// Run runs all tests with the clients of a process. Chromium's network layer writes to the console what it could not
// reach, so what clients write is the caller's to judge.
func Run(t *testing.T, n *ytest.NodeClients) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, n *ytest.NodeClients)
	}{
		{"Connects", connects},
		{"FlushesWhatItBufferedFirst", buffers},
		{"ChoosesTheSubprotocol", protocols},
		{"GivesUpASlowUpgrade", slow},
		{"ReconnectsWhileTheOldSocketIsHalfOpen", halfOpen},
		{"BacksOffWhileItIsRefused", refused},
		{"IsToldThatTheSetupFailed", setupFails},
		{"SendsBinary", sendsBinary},
		{"ReceivesBinary", receivesBinary},
		{"Fetches", fetches},
		{"IsRefusedByTheServerInFetch", fetchFails},
		{"ClosesWithCodeAndReason", clientCloses},
		{"ClosesWithoutACode", closesBare},
		{"IsCutOff", cutOff},
		{"IsClosedByTheRoom", roomCloses},
		{"SleepsThroughHibernation", hibernates},
		{"LivesInAConfiguredRoom", configured},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, n) })
	}
}

// event is a call of a hook.
type event struct {
	what    string
	conn    *yserver.Connection
	payload yserver.Payload
	code    int
	reason  string
	clean   bool
}

// hooks are what a test wants of the room beside the telling; all are optional.
type hooks struct {
	start   func(ctx context.Context) error
	tags    func() ([]string, error)
	connect func(conn *yserver.Connection) error
	message func(conn *yserver.Connection, p yserver.Payload) error
	request func(w http.ResponseWriter, r *http.Request) error
}

// value is the room type: it tells the test of every call.
type value struct {
	hooks
	events chan<- event
}

// OnStart implements yserver.Starter.
func (v *value) OnStart(ctx context.Context) error {
	v.events <- event{what: "start"}
	if v.start != nil {
		return v.start(ctx)
	}
	return nil
}

// ConnectionTags implements yserver.ConnectionTagger.
func (v *value) ConnectionTags(context.Context, *yserver.Connection, *http.Request) ([]string, error) {
	if v.tags != nil {
		return v.tags()
	}
	return nil, nil
}

// OnConnect implements yserver.Connecter.
func (v *value) OnConnect(_ context.Context, conn *yserver.Connection, _ *http.Request) error {
	v.events <- event{what: "connect", conn: conn}
	if v.connect != nil {
		return v.connect(conn)
	}
	return nil
}

// OnMessage implements yserver.MessageHandler.
func (v *value) OnMessage(_ context.Context, conn *yserver.Connection, p yserver.Payload) error {
	v.events <- event{what: "message", conn: conn, payload: p}
	if v.message != nil {
		return v.message(conn, p)
	}
	return nil
}

// OnClose implements yserver.CloseHandler.
func (v *value) OnClose(_ context.Context, conn *yserver.Connection, code int, reason string, wasClean bool) error {
	v.events <- event{what: "close", conn: conn, code: code, reason: reason, clean: wasClean}
	return nil
}

// OnRequest implements yserver.RequestHandler; only tests that set request ask.
func (v *value) OnRequest(w http.ResponseWriter, r *http.Request) error { return v.request(w, r) }

// server is a server under test with one party of message rooms.
type server struct {
	t      *testing.T
	n      *ytest.NodeClients
	http   *httptest.Server
	Srv    *yserver.Server
	events chan event
}

// serve starts a server; the options change the party.
func serve(t *testing.T, n *ytest.NodeClients, h hooks, opts ...func(*yserver.Party)) *server {
	t.Helper()
	s := &server{t: t, n: n, events: make(chan event, 4096)}
	origin, err := gate.NewOriginPolicy(gate.OriginConfig{Loopback: true})
	require.NoError(t, err)
	p := yserver.Party{
		Name: party, Message: &yserver.Message{}, Access: gate.Public, CORS: true,
		New: func(*yserver.Room) any { return &value{h, s.events} },
	}
	for _, opt := range opts {
		opt(&p)
	}
	store := persisttest.NewMemory()
	s.Srv, err = yserver.New(yserver.Config{Store: store, RoomStore: store, Origin: origin}, p)
	require.NoError(t, err)
	s.http = httptest.NewServer(s.Srv)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(t, s.Srv.Shutdown(ctx))
		s.http.Close()
	})
	return s
}

func (s *server) url() string { return "ws" + strings.TrimPrefix(s.http.URL, "http") }

// config is a client of the room with a connection id. It reconnects quickly, and is patient with a busy machine.
func (s *server) config(id string) ytest.ClientConfig {
	return ytest.ClientConfig{
		Kind: ytest.PartySocket, URL: s.url(), Room: room, Party: party, ConnectionID: id,
		SocketOptions: map[string]any{"minReconnectionDelay": 20, "maxReconnectionDelay": 1000, "connectionTimeout": 15000},
	}
}

// join makes a client, which ends with the test, before the server does.
func (s *server) join(cfg ytest.ClientConfig) *ytest.NodeClient {
	s.t.Helper()
	c, err := s.n.New(s.t.Context(), cfg)
	require.NoError(s.t, err)
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(s.t, c.Destroy(ctx))
	})
	return c
}

// next returns the next call of a hook, which must be of this one. Starts are passed over: most tests do not care.
func (s *server) next(what string) event {
	s.t.Helper()
	for {
		select {
		case e := <-s.events:
			if e.what == "start" && what != "start" {
				continue
			}
			require.Equal(s.t, what, e.what, "%+v", e)
			return e
		case <-time.After(patience):
			s.t.Fatalf("no call of the hook %s", what)
		}
	}
}

// live is the room.
func (s *server) live() *yserver.Room {
	s.t.Helper()
	r, err := s.Srv.Room(party, room)
	require.NoError(s.t, err)
	return r
}

func view(t *testing.T, c *ytest.NodeClient) ytest.ClientView {
	t.Helper()
	v, err := c.View(t.Context())
	require.NoError(t, err)
	return v
}

// texts returns the text messages that a client received, once there are n.
func texts(t *testing.T, c *ytest.NodeClient, n int) []string {
	t.Helper()
	require.NoError(t, c.AwaitFrames(t.Context(), n))
	frames, err := c.Frames(t.Context(), 0)
	require.NoError(t, err)
	list := make([]string, len(frames))
	for i, f := range frames {
		require.Nil(t, f.Binary)
		list[i] = f.Text
	}
	return list
}
