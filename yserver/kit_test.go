package yserver_test

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/persisttest"
	"github.com/yserverd/yserverd/protocol"
	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/protocol/ydoc"
	"github.com/yserverd/yserverd/yserver"
)

// patience bounds what a test waits for; it is an error, never a measurement.
const patience = 20 * time.Second

// quiet is how long a test listens for something that must not come.
const quiet = 80 * time.Millisecond

// Names for options.
type (
	serverConfig = yserver.Config
	serverParty  = yserver.Party
)

// kit is a server under test on a real listener.
type kit struct {
	t     testing.TB
	Store yserver.Store
	Srv   *yserver.Server
	http  *httptest.Server
}

// start runs a server with one public document party "main", also mounted at
// /yjs, after the options changed it.
func start(t testing.TB, opts ...func(*yserver.Config, *yserver.Party)) *kit {
	t.Helper()
	cfg := yserver.Config{Store: persisttest.NewMemory()}
	party := yserver.Party{Name: "main", Document: &yserver.Document{}, Access: gate.Public, YWebSocket: "/yjs"}
	for _, opt := range opts {
		opt(&cfg, &party)
	}
	srv, err := yserver.New(cfg, party)
	require.NoError(t, err)
	k := &kit{t: t, Store: cfg.Store, Srv: srv, http: httptest.NewServer(srv)}
	t.Cleanup(k.Stop)
	return k
}

// Stop shuts the server down and checks that every room left what it had in the
// store.
func (k *kit) Stop() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := k.Srv.Shutdown(ctx); err != nil {
		var unsaved *yserver.UnsavedError
		require.True(k.t, errors.As(err, &unsaved) || errors.Is(err, context.DeadlineExceeded), "shutdown: %v", err)
	}
	k.http.Close()
}

// in returns the same server for another test.
func (k *kit) in(t testing.TB) *kit {
	other := *k
	other.t = t
	return &other
}

// accepted waits until a room has something that its store does not have yet.
func (k *kit) accepted() {
	k.t.Helper()
	eventually(k.t, "an edit is accepted", func() bool { return k.Srv.Stats().PendingBytes > 0 })
}

func roomName(n int) string { return "room-" + strconv.Itoa(n) }

func (k *kit) url(path string) string { return "ws" + strings.TrimPrefix(k.http.URL, "http") + path }

// wire is a raw WebSocket client.
type wire struct {
	t    testing.TB
	conn *websocket.Conn
	in   chan []byte
	text chan string
	end  chan error

	reason string // of the close
}

// dial connects and starts to read.
func (k *kit) dial(path string) *wire {
	k.t.Helper()
	w, resp, err := k.tryDial(path)
	if err != nil && resp != nil {
		k.t.Fatalf("dial %s: %v (%s)", path, err, resp.Status)
	}
	require.NoError(k.t, err)
	return w
}

func (k *kit) tryDial(path string) (*wire, *http.Response, error) {
	conn, resp, err := websocket.DefaultDialer.Dial(k.url(path), nil)
	if err != nil {
		return nil, resp, err
	}
	w := &wire{t: k.t, conn: conn, in: make(chan []byte, 1024), text: make(chan string, 1024), end: make(chan error, 1)}
	go w.read()
	k.t.Cleanup(func() {
		_ = conn.Close()
		for range w.in { // read ends
		}
	})
	return w, resp, nil
}

func (w *wire) read() {
	defer close(w.in)
	for {
		kind, msg, err := w.conn.ReadMessage()
		switch {
		case err != nil:
			w.end <- err
			return
		case kind == websocket.TextMessage:
			w.text <- string(msg)
		default:
			w.in <- msg
		}
	}
}

// next returns the next binary frame.
func (w *wire) next() []byte {
	w.t.Helper()
	select {
	case f, ok := <-w.in:
		require.True(w.t, ok, "connection ended instead of a frame")
		return f
	case <-time.After(patience):
		w.t.Fatal("no frame came")
		return nil
	}
}

// expect requires that the next frame is this one, in hex, spaces ignored.
func (w *wire) expect(hexFrame string) {
	w.t.Helper()
	require.Equal(w.t, strings.ReplaceAll(hexFrame, " ", ""), hex.EncodeToString(w.next()))
}

// silence requires that nothing comes for a moment.
func (w *wire) silence() {
	w.t.Helper()
	select {
	case f, ok := <-w.in:
		if ok {
			w.t.Fatalf("unexpected frame %x", f)
		}
		w.t.Fatal("connection ended")
	case <-time.After(quiet):
	}
}

// expectClose requires that the server ends the connection with a code.
func (w *wire) expectClose(code int) {
	w.t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case _, ok := <-w.in:
			if ok {
				continue
			}
			var ce *websocket.CloseError
			err := <-w.end
			require.ErrorAs(w.t, err, &ce)
			require.Equal(w.t, code, ce.Code, ce.Text)
			w.reason = ce.Text
			return
		case <-deadline:
			w.t.Fatal("connection was not closed")
		}
	}
}

func (w *wire) send(frame []byte) {
	w.t.Helper()
	require.NoError(w.t, w.conn.WriteMessage(websocket.BinaryMessage, frame))
}

func (w *wire) sendText(text string) {
	w.t.Helper()
	require.NoError(w.t, w.conn.WriteMessage(websocket.TextMessage, []byte(text)))
}

func (w *wire) update(u []byte) { w.t.Helper(); w.send(protocol.AppendUpdate(nil, u)) }

func (w *wire) step1(sv []byte) { w.t.Helper(); w.send(protocol.AppendSyncStep1(nil, sv)) }

// presence sends one awareness entry.
func (w *wire) presence(client, clock uint64, state string) {
	w.t.Helper()
	u := protocol.AppendAwarenessUpdate(nil, []protocol.AwarenessEntry{{Client: client, Clock: clock, State: []byte(state)}})
	w.send(protocol.AppendAwareness(nil, u))
}

// join dials, takes the greeting and syncs; it returns the client and the
// document that it got.
func (k *kit) join(path string) (*wire, *ydoc.Doc) {
	k.t.Helper()
	w := k.dial(path)
	w.frame(protocol.SyncStep1)
	w.step1([]byte{0})
	doc := ydoc.New(ydoc.Config{})
	_, err := doc.Apply(w.frame(protocol.SyncStep2))
	require.NoError(k.t, err)
	return w, doc
}

// frame returns the payload of the next sync message, which must be of a type.
// Presence that comes before is skipped.
func (w *wire) frame(want protocol.SyncType) []byte {
	w.t.Helper()
	for {
		raw := w.next()
		msg, err := protocol.Parse(raw)
		require.NoError(w.t, err)
		if msg.Type == protocol.MessageAwareness {
			continue
		}
		require.Equal(w.t, protocol.MessageSync, msg.Type, "frame %x", raw)
		require.Equal(w.t, want, msg.Sync, "frame %x", raw)
		return msg.Payload
	}
}

// typed is the update of a client that types text into the root text "t": its
// first struct at clock 0, later ones behind their own.
func typed(client, clock uint64, text string) []byte {
	u := lib0.AppendVarUint(nil, 1)
	u = lib0.AppendVarUint(u, 1)
	u = lib0.AppendVarUint(u, client)
	u = lib0.AppendVarUint(u, clock)
	if clock == 0 {
		u = append(u, 0x04, 0x01, 0x01, 't')
	} else {
		u = append(u, 0x84)
		u = lib0.AppendVarUint(u, client)
		u = lib0.AppendVarUint(u, clock-1)
	}
	u = lib0.AppendVarString(u, text)
	return append(u, 0)
}

// holds requires that a document has all clocks of a client below n.
func holds(t testing.TB, doc *ydoc.Doc, client, n uint64) {
	t.Helper()
	require.Contains(t, clocks(t, doc), update.ID{Client: client, Clock: n})
}

// stored replays what the store has of a room.
func (k *kit) stored(room string) *ydoc.Doc {
	k.t.Helper()
	d, err := k.Store.Load(context.Background(), persist.Key{Party: "main", Room: room})
	require.NoError(k.t, err)
	doc := ydoc.New(ydoc.Config{})
	if d.Snapshot.Data != nil {
		_, err = doc.Apply(d.Snapshot.Data)
		require.NoError(k.t, err)
	}
	for _, row := range d.Tail {
		_, err = doc.Apply(row.Data)
		require.NoError(k.t, err)
	}
	return doc
}

// eventually polls a condition that another goroutine makes true.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	require.Eventually(t, cond, patience, 2*time.Millisecond, what)
}

// collect applies the updates that come until it has n units of all clients
// together.
func (w *wire) collect(n uint64) *ydoc.Doc {
	w.t.Helper()
	doc := ydoc.New(ydoc.Config{})
	for {
		msg, err := protocol.Parse(w.next())
		require.NoError(w.t, err)
		if msg.Type != protocol.MessageSync || msg.Sync == protocol.SyncStep1 {
			continue
		}
		_, err = doc.Apply(msg.Payload)
		require.NoError(w.t, err)
		total := uint64(0)
		for _, id := range clocks(w.t, doc) {
			total += id.Clock
		}
		if total >= n {
			return doc
		}
	}
}

// clocks is the state vector of a document.
func clocks(t testing.TB, doc *ydoc.Doc) []update.ID {
	t.Helper()
	sv, err := update.ParseStateVector(nil, doc.StateVector(), update.Limits{})
	require.NoError(t, err)
	return sv
}
