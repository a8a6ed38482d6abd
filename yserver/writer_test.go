package yserver

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/costtest"
	"github.com/yserverd/yserverd/protocol/update"
)

// versionFrame is a document update that brings version n of client 1.
func versionFrame(kind frameKind, n uint64, size int) *frame {
	f := newFrame(opBinary, kind, fmt.Appendf(nil, "%08d", n), make([]byte, size))
	f.from = []update.ID{{Client: 1, Clock: n}}
	return f
}

// A reader that stalls costs its bound and no more, and it ends on the last
// version.
func TestStalledReaderIsConflatedAndCatchesUp(t *testing.T) {
	const versions, size, bound = 3000, 30 << 10, 1 << 20
	st := newSite(t, socketConfig{QueueBytes: bound})
	room := st.next()
	var mu sync.Mutex // the room's goroutine
	var version uint64
	drains := 0
	c := st.dialRaw(nil)
	_ = room
	c.room.onDrain = func(p *peer) {
		mu.Lock()
		defer mu.Unlock()
		drains++
		lost, awareness := p.takeLost(nil)
		require.Len(t, lost, 1)
		require.LessOrEqual(t, lost[0].Clock, version)
		require.False(t, awareness)
		p.push(versionFrame(kindReply, version, size))
	}
	push := func(n int) {
		for range n {
			mu.Lock()
			version++
			c.peer.push(versionFrame(kindUpdate, version, size))
			mu.Unlock()
			require.LessOrEqual(t, c.peer.queued(), int64(bound+2*size))
		}
	}
	push(versions)
	require.True(t, c.peer.conflated())
	mu.Lock()
	require.Zero(t, drains)
	mu.Unlock()

	done := make(chan struct{})
	go func() {
		defer close(done)
		push(versions)
	}()
	last := uint64(0)
	for last < 2*versions {
		_, b := c.readFrame()
		var n uint64
		_, err := fmt.Sscanf(string(b[:8]), "%d", &n)
		require.NoError(t, err)
		require.Greater(t, n, last)
		last = n
	}
	<-done
	require.EqualValues(t, 2*versions, last)
	require.Zero(t, c.peer.queued())
	require.False(t, c.peer.conflated())
	mu.Lock()
	defer mu.Unlock()
	require.Positive(t, drains)
	require.EqualValues(t, drains, st.s.stats.conflations.Load())
}

func TestDroppedPresenceIsReported(t *testing.T) {
	st := newSite(t, socketConfig{QueueBytes: 64 << 10})
	c := st.dialRaw(nil)
	c.peer.push(newFrame(opBinary, kindReply, nil, make([]byte, 16<<20)))
	for range 3 {
		c.peer.push(newFrame(opBinary, kindAwareness, nil, make([]byte, 30<<10)))
	}
	require.True(t, c.peer.conflated())
	c.readFrame()
	await(t, c.room.drains)
	require.True(t, c.peer.conflated(), "until the room has taken what was lost")
	lost, awareness := c.peer.takeLost(nil)
	require.Empty(t, lost)
	require.True(t, awareness)
	require.False(t, c.peer.conflated())
}

// A peer that conflates before its 101 is told as well.
func TestConflationBeforeStart(t *testing.T) {
	st := newSite(t, socketConfig{QueueBytes: 1000})
	st.prep = func(p *peer) {
		p.push(versionFrame(kindUpdate, 1, 900))
		p.push(versionFrame(kindUpdate, 2, 900))
	}
	c := st.dialRaw(nil)
	await(t, c.room.drains)
	lost, _ := c.peer.takeLost(nil)
	require.Equal(t, []update.ID{{Client: 1, Clock: 1}}, lost)
}

func TestTooManyCustomMessagesAre1013(t *testing.T) {
	st := newSite(t, socketConfig{QueueBytes: 64 << 10, CloseGrace: soon})
	c := st.dialRaw(nil)
	big := newFrame(opBinary, kindCustom, nil, make([]byte, 16<<20))
	c.peer.push(big)
	for range 4 {
		c.peer.push(newFrame(opBinary, kindCustom, nil, make([]byte, 30<<10)))
	}
	await(t, c.peer.closed())
	require.EqualValues(t, 1, st.s.stats.slow.Load())
	require.Less(t, c.peer.queued(), big.size()+100, "nothing but the rest of a frame and the close frame waits")
	op, b := c.readFrame()
	require.Equal(t, opBinary, op)
	require.Len(t, b, 16<<20)
	op, b = c.readFrame()
	require.Equal(t, opClose, op)
	code, _, _ := parseClosePayload(b)
	require.Equal(t, closeTryLater, code)
	require.NoError(t, c.Close())
	require.Equal(t, closeTryLater, await(t, c.room.ends).code)
}

// One peer that reads nothing holds up nobody.
func TestFrozenPeer(t *testing.T) {
	st := newSite(t, socketConfig{QueueBytes: 1 << 20})
	frozen := st.dialRaw(nil)
	live := st.dial()
	read := make(chan error, 1)
	const n, size = 2000, 20 << 10
	go func() {
		for range n {
			if _, _, err := live.ReadMessage(); err != nil {
				read <- err
				return
			}
		}
		read <- nil
	}()
	worst := time.Duration(0)
	for range n {
		f := newFrame(opBinary, kindUpdate, nil, make([]byte, size))
		begun := time.Now()
		frozen.peer.push(f)
		worst = max(worst, time.Since(begun))
		for live.peer.queued() > 512<<10 {
			runtime.Gosched()
		}
		live.peer.push(f)
	}
	require.NoError(t, await(t, read))
	require.True(t, frozen.peer.conflated())
	require.False(t, live.peer.conflated())
	require.Less(t, worst, time.Second, "push blocked")
}

// Pings are answered between large frames, never within one, and while the
// client reads nothing only the last one is kept.
func TestControlFramesDuringBigWrites(t *testing.T) {
	st := newSite(t, socketConfig{PingInterval: 5 * time.Millisecond, QueueBytes: 64 << 20})
	c := st.dialRaw(nil)
	const n = 24
	for i := range n {
		b := make([]byte, 1<<20)
		for k := range b {
			b[k] = byte(i)
		}
		c.peer.push(newFrame(opBinary, kindReply, nil, b))
	}
	for i := range 50 {
		_, err := c.Write(masked(true, opPing, fmt.Appendf(nil, "ping %d", i)))
		require.NoError(t, err)
	}
	_, err := c.Write(masked(true, opText, []byte("heard")))
	require.NoError(t, err)
	require.Equal(t, "heard", string(await(t, c.room.messages).data))
	frames, pongs, lastPong := 0, 0, ""
	for frames < n || lastPong != "ping 49" {
		op, b := c.readFrame()
		switch op {
		case opBinary:
			require.Equal(t, 1<<20, bytes.Count(b, []byte{byte(frames)}))
			frames++
		case opPong:
			pongs++
			lastPong = string(b)
			require.Less(t, frames, n, "the answer came behind everything")
		default:
			require.Equal(t, opPing, op)
		}
	}
	require.Less(t, pongs, 50)
	op, _ := c.readFrame()
	require.Equal(t, opPing, op)
}

// A peer that takes its bytes slowly is not cut as long as it takes some; one
// that takes nothing is.
func TestOnlyAStalledPeerIsCut(t *testing.T) {
	t.Parallel()
	const stall = time.Second
	st := newSite(t, socketConfig{WriteStall: stall})
	c := st.dialRaw(nil)
	c.peer.push(newFrame(opBinary, kindReply, nil, make([]byte, 256<<20)))
	begun := time.Now()
	for time.Since(begun) < 3*stall {
		_, err := io.CopyN(io.Discard, c, 256<<10)
		require.NoError(t, err)
		time.Sleep(stall / 100)
	}
	require.Zero(t, st.s.stats.stalled.Load())
	require.Equal(t, closeInfo{code: closeAbnormal}, await(t, c.room.ends))
	require.EqualValues(t, 1, st.s.stats.stalled.Load())
}

// A room that answers a client which does not read stops hearing from it.
func TestAskingWithoutReading(t *testing.T) {
	st := newSite(t, socketConfig{QueueBytes: 1 << 20})
	room := st.next()
	room.onRecv = func(p *peer, _ bool, _ []byte) {
		p.push(newFrame(opBinary, kindReply, nil, make([]byte, 1<<20)))
	}
	st.mu.Lock()
	st.room = room
	st.mu.Unlock()
	nc, err := net.Dial("tcp", st.http.Listener.Addr().String())
	require.NoError(t, err)
	defer nc.Close()
	_, err = nc.Write([]byte(plainHandshake))
	require.NoError(t, err)
	p := await(t, st.peers)
	const n = 100
	for range n {
		_, err = nc.Write(masked(true, opText, []byte("again")))
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.replied != nil
	}, soon, time.Millisecond)
	require.LessOrEqual(t, p.queued(), int64(3<<20))
	// It goes on when the client reads.
	go func() { _, _ = io.Copy(io.Discard, nc) }()
	require.Eventually(t, func() bool { return st.s.stats.bytesOut.Load() > n<<20 }, soon, time.Millisecond)
}

func TestPushToAPeerThatKeepsUpAllocatesNothing(t *testing.T) {
	st := newSite(t, socketConfig{})
	c := st.dialRaw(nil)
	go func() { _, _ = io.Copy(io.Discard, c.Conn) }()
	small, large := custom([]byte("small")), newFrame(opBinary, kindCustom, nil, make([]byte, 8<<10))
	push := func() {
		c.peer.push(small)
		c.peer.push(small, large, small)
		for c.peer.queued() > 0 {
			runtime.Gosched()
		}
	}
	push()
	costtest.Unraced(t)
	require.Less(t, testing.AllocsPerRun(2000, push), 0.05)
}

func TestTLS(t *testing.T) {
	s := newSockets(socketConfig{Logger: slog.New(slog.DiscardHandler)})
	room := newFakeRoom()
	peers := make(chan *peer, 1)
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := s.accept(w, r, acceptOptions{receiver: room})
		if err != nil {
			panic(err)
		}
		p.push(custom([]byte("hello")))
		p.start()
		peers <- p
	}))
	defer srv.Close()
	d := websocket.Dialer{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	c, resp, err := d.Dial("wss"+strings.TrimPrefix(srv.URL, "https"), nil)
	require.NoError(t, err)
	_ = resp.Body.Close()
	p := await(t, peers)
	require.Nil(t, p.raw)
	_, b, err := c.ReadMessage()
	require.NoError(t, err)
	require.Equal(t, "hello", string(b))
	for i := range 50 {
		require.NoError(t, c.WriteMessage(websocket.BinaryMessage, make([]byte, i*1000)))
		require.Len(t, await(t, room.messages).data, i*1000)
		p.push(newFrame(opBinary, kindReply, nil, make([]byte, i*10000)))
		_, b, err := c.ReadMessage()
		require.NoError(t, err)
		require.Len(t, b, i*10000)
	}
	p.close(4001, "bye")
	_, _, err = c.ReadMessage()
	require.Equal(t, &websocket.CloseError{Code: 4001, Text: "bye"}, closeError(t, err))
	require.NoError(t, c.Close())
	require.Equal(t, closeInfo{4001, "bye", true}, await(t, room.ends))
	require.Zero(t, p.queued())
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	require.NoError(t, s.shutdown(ctx))
}

// A connection of an unknown kind, without a half-close.
func TestPipe(t *testing.T) {
	s := newSockets(socketConfig{CloseGrace: time.Second, Logger: slog.New(slog.DiscardHandler)})
	defer func() { require.NoError(t, s.shutdown(context.Background())) }()
	ours, theirs := net.Pipe()
	defer theirs.Close()
	w := &pipeWriter{ResponseRecorder: httptest.NewRecorder(), nc: ours}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header = http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="},
	}
	room := newFakeRoom()
	p, err := s.accept(w, r, acceptOptions{receiver: room})
	require.NoError(t, err)
	p.start()
	p.push(custom([]byte("x")))
	p.close(4000, "bye")
	all, err := io.ReadAll(theirs)
	require.NoError(t, err)
	require.True(t, strings.HasSuffix(string(all), "\x82\x01x\x88\x05\x0f\xa0bye"), "%q", all)
	require.Equal(t, closeInfo{4000, "bye", false}, await(t, room.ends))
}

// pipeWriter hands out a pipe.
type pipeWriter struct {
	*httptest.ResponseRecorder
	nc net.Conn
}

func (w *pipeWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.nc, bufio.NewReadWriter(bufio.NewReader(w.nc), bufio.NewWriter(w.nc)), nil
}

// Cutting a socket while its writer is about to write neither waits for the
// other.
func TestCutWhileWriting(t *testing.T) {
	st := newSite(t, socketConfig{})
	f := newFrame(opBinary, kindReply, nil, make([]byte, 64<<10))
	for range 300 {
		c := st.dialRaw(nil)
		for range 8 {
			c.peer.push(f)
		}
		go func() { _, _ = io.Copy(io.Discard, c.Conn) }()
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for range 20 {
					c.peer.push(f)
					c.peer.queued()
				}
				c.peer.cut()
			})
		}
		wg.Wait()
		require.Equal(t, closeInfo{code: closeAbnormal}, await(t, c.room.ends))
		_ = c.Close()
	}
}
