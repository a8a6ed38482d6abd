package yserver

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

// soon bounds what a test waits for; never a measurement.
const soon = time.Minute

type gotMessage struct {
	binary bool
	data   []byte
}

// fakeRoom is a receiver that records, and may be told to misbehave.
type fakeRoom struct {
	messages chan gotMessage
	drains   chan struct{}
	ends     chan closeInfo
	onRecv   func(p *peer, binary bool, msg []byte) // instead of messages
	onDrain  func(p *peer)                          // instead of drains
	onLeft   func(p *peer, c closeInfo)             // before ends
}

func newFakeRoom() *fakeRoom {
	return &fakeRoom{messages: make(chan gotMessage, 1024), drains: make(chan struct{}, 16), ends: make(chan closeInfo, 2)}
}

func (r *fakeRoom) receive(p *peer, binary bool, msg []byte) {
	if r.onRecv != nil {
		r.onRecv(p, binary, msg)
		return
	}
	r.messages <- gotMessage{binary, msg}
}

func (r *fakeRoom) drained(p *peer) {
	if r.onDrain != nil {
		r.onDrain(p)
		return
	}
	r.drains <- struct{}{}
}

func (r *fakeRoom) left(p *peer, c closeInfo) {
	if r.onLeft != nil {
		r.onLeft(p, c)
	}
	r.ends <- c
}

// await returns the next value of c.
func await[T any](tb testing.TB, c <-chan T) T {
	tb.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(soon):
		require.FailNow(tb, "nothing came")
	}
	panic("unreachable")
}

// site serves one kind of peer.
type site struct {
	tb    testing.TB
	s     *sockets
	http  *httptest.Server
	peers chan *peer

	mu   sync.Mutex
	opts acceptOptions
	room *fakeRoom   // of the next peer
	prep func(*peer) // before start
}

func newSite(tb testing.TB, cfg socketConfig) *site {
	tb.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	st := &site{tb: tb, s: newSockets(cfg), peers: make(chan *peer, 16384), room: newFakeRoom()}
	st.http = httptest.NewUnstartedServer(http.HandlerFunc(st.serve))
	st.http.Start()
	tb.Cleanup(func() {
		st.http.Close()
		ctx, cancel := context.WithTimeout(context.Background(), soon)
		defer cancel()
		require.NoError(tb, st.s.shutdown(ctx))
		require.Zero(tb, st.s.live())
		require.Equal(tb, st.s.stats.accepted.Load(), st.s.stats.left.Load())
		st.s.inbound.mu.Lock()
		defer st.s.inbound.mu.Unlock()
		require.Zero(tb, st.s.inbound.used)
		require.Empty(tb, st.s.inbound.holds)
	})
	return st
}

func (st *site) serve(w http.ResponseWriter, r *http.Request) {
	st.mu.Lock()
	opts, room, prep := st.opts, st.room, st.prep
	st.mu.Unlock()
	opts.receiver = room
	p, err := st.s.accept(w, r, opts)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if prep != nil {
		prep(p)
	}
	p.start()
	st.peers <- p
}

// next makes a room for the peer that is dialled next.
func (st *site) next() *fakeRoom {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.room = newFakeRoom()
	return st.room
}

// client is a client with its peer and room.
type client struct {
	*websocket.Conn
	tb   testing.TB
	peer *peer
	room *fakeRoom
}

func (st *site) dial() *client {
	st.tb.Helper()
	room := st.next()
	d := websocket.Dialer{HandshakeTimeout: soon}
	c, resp, err := d.Dial("ws"+strings.TrimPrefix(st.http.URL, "http"), nil)
	require.NoError(st.tb, err)
	_ = resp.Body.Close()
	st.tb.Cleanup(func() { _ = c.Close() })
	require.NoError(st.tb, c.SetReadDeadline(time.Now().Add(soon)))
	return &client{c, st.tb, await(st.tb, st.peers), room}
}

// rawClient is a client that writes its own bytes.
type rawClient struct {
	net.Conn
	tb   testing.TB
	r    *bufio.Reader
	peer *peer
	room *fakeRoom
}

const plainHandshake = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"

// dialRaw sends the handshake with behind in the same write.
func (st *site) dialRaw(behind []byte) *rawClient {
	st.tb.Helper()
	room := st.next()
	nc, err := net.Dial("tcp", st.http.Listener.Addr().String())
	require.NoError(st.tb, err)
	st.tb.Cleanup(func() { _ = nc.Close() })
	require.NoError(st.tb, nc.SetDeadline(time.Now().Add(soon)))
	_, err = nc.Write(append([]byte(plainHandshake), behind...))
	require.NoError(st.tb, err)
	c := &rawClient{nc, st.tb, bufio.NewReaderSize(nc, 64<<10), await(st.tb, st.peers), room}
	resp, err := http.ReadResponse(c.r, nil)
	require.NoError(st.tb, err)
	require.Equal(st.tb, http.StatusSwitchingProtocols, resp.StatusCode)
	return c
}

// masked encodes a client frame.
func masked(fin bool, op opcode, payload []byte) []byte {
	h := appendFrameHeader(nil, op, len(payload))
	if !fin {
		h[0] &^= finBit
	}
	h[1] |= maskBit
	key := [4]byte{0x11, 0x22, 0x33, 0x44}
	if len(payload) > 1<<16 {
		return append(append(h, 0, 0, 0, 0), payload...) // many bytes, quickly
	}
	h = append(h, key[:]...)
	for i, b := range payload {
		h = append(h, b^key[i&3])
	}
	return h
}

// readFrame reads one server frame.
func (c *rawClient) readFrame() (opcode, []byte) {
	c.tb.Helper()
	op, b, err := readServerFrame(c.r)
	require.NoError(c.tb, err)
	return op, b
}

func readServerFrame(r *bufio.Reader) (opcode, []byte, error) {
	var h [2]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, nil, err
	}
	n := int(h[1] & 0x7f)
	more := map[int]int{126: 2, 127: 8}[n]
	if more > 0 {
		var ext [8]byte
		if _, err := io.ReadFull(r, ext[8-more:]); err != nil {
			return 0, nil, err
		}
		n = 0
		for _, b := range ext {
			n = n<<8 | int(b)
		}
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return opcode(h[0] & 0xf), b, err
}

// custom makes a binary frame of an application.
func custom(b []byte) *frame { return newFrame(opBinary, kindCustom, nil, b) }

func TestMessagesTravelBothWays(t *testing.T) {
	st := newSite(t, socketConfig{})
	c := st.dial()
	require.NoError(t, c.WriteMessage(websocket.BinaryMessage, []byte("in")))
	require.Equal(t, gotMessage{true, []byte("in")}, await(t, c.room.messages))
	require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte("täxt")))
	require.Equal(t, gotMessage{false, []byte("täxt")}, await(t, c.room.messages))

	c.peer.push(custom([]byte("out")), newFrame(opText, kindCustom, []byte("a"), []byte("b")))
	kind, b, err := c.ReadMessage()
	require.NoError(t, err)
	require.Equal(t, websocket.BinaryMessage, kind)
	require.Equal(t, "out", string(b))
	kind, b, err = c.ReadMessage()
	require.NoError(t, err)
	require.Equal(t, websocket.TextMessage, kind)
	require.Equal(t, "ab", string(b))
	require.Zero(t, c.peer.queued())
}

func TestShutdownClosesAndWaits(t *testing.T) {
	st := newSite(t, socketConfig{})
	var clients []*client
	for range 50 {
		clients = append(clients, st.dial())
	}
	codes := make(chan int, len(clients))
	for _, c := range clients {
		go func() {
			_, _, err := c.ReadMessage()
			code, _, _ := closeOf(err)
			codes <- code
			_ = c.Close()
		}()
	}
	require.NoError(t, st.s.shutdown(context.Background()))
	for _, c := range clients {
		require.Equal(t, closeGoingAway, await(t, codes))
		require.Len(t, c.room.ends, 1)
		require.Equal(t, closeInfo{closeGoingAway, shutdownReason, true}, await(t, c.room.ends))
	}
	resp, err := http.Get(st.http.URL)
	require.NoError(t, err)
	require.Equal(t, http.StatusBadRequest, resp.StatusCode)
	_ = resp.Body.Close()
	_, resp, err = websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(st.http.URL, "http"), nil)
	require.ErrorIs(t, err, websocket.ErrBadHandshake)
	body, _ := io.ReadAll(resp.Body)
	require.Contains(t, string(body), errSocketsClosed.Error())
}

// At the end of its time shutdown cuts who does not answer, and waits for that.
func TestShutdownCuts(t *testing.T) {
	st := newSite(t, socketConfig{CloseGrace: time.Hour})
	c := st.dialRaw(nil)
	c.peer.push(newFrame(opBinary, kindReply, nil, make([]byte, 32<<20)))
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	require.NoError(t, st.s.shutdown(ctx))
	require.Equal(t, closeInfo{closeGoingAway, shutdownReason, false}, await(t, c.room.ends))
}

// A room that never returns is not waited for, and is not forgotten either.
func TestShutdownWithARoomThatHangs(t *testing.T) {
	st := newSite(t, socketConfig{CloseGrace: 20 * time.Millisecond})
	room := newFakeRoom()
	release := make(chan struct{})
	room.onRecv = func(*peer, bool, []byte) { <-release }
	st.dialBusy(room, masked(true, opText, []byte("x")))
	require.Eventually(t, func() bool { return st.s.stats.bytesIn.Load() > 0 }, soon, time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, st.s.shutdown(ctx), context.DeadlineExceeded)
	close(release)
	await(t, room.ends)
}
