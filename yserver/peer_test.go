package yserver

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

func closeError(t *testing.T, err error) *websocket.CloseError {
	t.Helper()
	var ce *websocket.CloseError
	require.True(t, errors.As(err, &ce), "%v", err)
	return ce
}

func TestServerCloses(t *testing.T) {
	for _, tc := range []struct {
		code, seen int
		reason     string
	}{
		{4404, 4404, "no such room"},
		{closeServiceRestart, closeServiceRestart, strings.Repeat("ü", 100)},
		{closeNoStatus, closeNoStatus, ""},
		{closeAbnormal, closeInternalError, "may not be sent"},
	} {
		st := newSite(t, socketConfig{})
		c := st.dial()
		c.peer.push(custom([]byte("before")))
		c.peer.close(tc.code, tc.reason)
		c.peer.close(1000, "second")
		c.peer.push(custom([]byte("after")))
		await(t, c.peer.closed())
		_, b, err := c.ReadMessage()
		require.NoError(t, err)
		require.Equal(t, "before", string(b))
		_, _, err = c.ReadMessage()
		ce := closeError(t, err)
		require.Equal(t, tc.seen, ce.Code)
		require.Equal(t, closeReason(tc.reason), ce.Text)
		require.Equal(t, closeInfo{tc.seen, closeReason(tc.reason), true}, await(t, c.room.ends))
		require.Zero(t, c.peer.queued())
	}
}

func TestClientCloses(t *testing.T) {
	for _, tc := range []struct {
		payload, echo []byte
		info          closeInfo
	}{
		{nil, nil, closeInfo{closeNoStatus, "", true}},
		{[]byte("\x03\xe8"), []byte("\x03\xe8"), closeInfo{1000, "", true}},
		{[]byte("\x0f\xa1why"), []byte("\x0f\xa1why"), closeInfo{4001, "why", true}},
	} {
		st := newSite(t, socketConfig{})
		c := st.dialRaw(nil)
		_, err := c.Write(append(masked(true, opText, []byte("last words")), masked(true, opClose, tc.payload)...))
		require.NoError(t, err)
		op, b := c.readFrame()
		require.Equal(t, opClose, op)
		require.Equal(t, string(tc.echo), string(b))
		_, err = c.r.ReadByte()
		require.ErrorIs(t, err, io.EOF, "the server ends its side at once")
		require.Equal(t, "last words", string(await(t, c.room.messages).data))
		require.Equal(t, tc.info, await(t, c.room.ends))
		require.NoError(t, c.Close())
	}
}

// A client gets its answer although its room has not even taken its last
// message, and the room gets all messages.
func TestClientClosesWhileTheRoomIsBusy(t *testing.T) {
	st := newSite(t, socketConfig{})
	room := st.next()
	release := make(chan struct{})
	room.onRecv = func(_ *peer, binary bool, msg []byte) {
		<-release
		room.messages <- gotMessage{binary, msg}
	}
	st.mu.Lock()
	st.room = room
	st.mu.Unlock()
	nc, err := net.Dial("tcp", st.http.Listener.Addr().String())
	require.NoError(t, err)
	defer nc.Close()
	var sent []byte
	for i := range 20 {
		sent = append(sent, masked(true, opText, fmt.Appendf(nil, "m%d", i))...)
	}
	sent = append(append([]byte(plainHandshake), sent...), masked(true, opClose, []byte("\x0f\xa1x"))...)
	_, err = nc.Write(sent[:200])
	require.NoError(t, err)
	p := await(t, st.peers)
	_, err = nc.Write(sent[200:])
	require.NoError(t, err)
	require.NoError(t, nc.SetReadDeadline(time.Now().Add(soon)))
	all, err := io.ReadAll(nc)
	require.NoError(t, err)
	require.True(t, strings.HasSuffix(string(all), "\x88\x03\x0f\xa1x"), "%q", all)
	select {
	case <-p.closed():
		t.Fatal("the client's wish to close fired closed")
	default:
	}
	close(release)
	for i := range 20 {
		require.Equal(t, fmt.Sprintf("m%d", i), string(await(t, room.messages).data))
	}
	require.Equal(t, closeInfo{4001, "x", true}, await(t, room.ends))
}

func TestAnAbruptEndIs1006(t *testing.T) {
	for name, end := range map[string]func(*rawClient){
		"fin": func(c *rawClient) { _ = c.Close() },
		"rst": func(c *rawClient) {
			_ = c.Conn.(*net.TCPConn).SetLinger(0)
			_ = c.Close()
		},
		"half a frame": func(c *rawClient) {
			_, _ = c.Write(masked(true, opBinary, make([]byte, 100))[:50])
			_ = c.Close()
		},
		"half closed": func(c *rawClient) { _ = c.Conn.(*net.TCPConn).CloseWrite() },
	} {
		st := newSite(t, socketConfig{})
		c := st.dialRaw(nil)
		end(c)
		require.Equal(t, closeInfo{code: closeAbnormal}, await(t, c.room.ends), name)
		await(t, c.peer.closed())
		c.peer.push(custom([]byte("x")))
		c.peer.close(1000, "")
		require.Zero(t, c.peer.queued())
	}
}

func TestBrokenProtocolIs1002(t *testing.T) {
	for name, b := range map[string][]byte{
		"unmasked":     {0x81, 1, 'x'},
		"reserved bit": {0xc1, 0x80, 0, 0, 0, 0},
		"bad opcode":   {0x83, 0x80, 0, 0, 0, 0},
		"bad code":     masked(true, opClose, []byte{0x03, 0xee}),
		"continuation": masked(true, opContinuation, nil),
		"long ping":    {0x89, 0xfe, 0, 200, 0, 0, 0, 0},
	} {
		st := newSite(t, socketConfig{})
		c := st.dialRaw(nil)
		_, err := c.Write(b)
		require.NoError(t, err)
		op, payload := c.readFrame()
		require.Equal(t, opClose, op, name)
		code, _, ok := parseClosePayload(payload)
		require.True(t, ok)
		require.Equal(t, closeProtocolError, code, name)
		require.NoError(t, c.Close())
		info := await(t, c.room.ends)
		require.Equal(t, closeProtocolError, info.code, name)
		require.False(t, info.clean, name)
	}
}

func TestTextThatIsNotUTF8Is1007(t *testing.T) {
	st := newSite(t, socketConfig{})
	c := st.dial()
	require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte{'a', 0xff}))
	_, _, err := c.ReadMessage()
	require.Equal(t, closeInvalidPayload, closeError(t, err).Code)
	require.Equal(t, closeInvalidPayload, await(t, c.room.ends).code)
	require.Empty(t, c.room.messages)
}

// A close frame that the client never answers ends the connection all the same,
// and so does one that cannot be written.
func TestCloseWithoutAnAnswer(t *testing.T) {
	st := newSite(t, socketConfig{CloseGrace: 100 * time.Millisecond})
	c := st.dialRaw(nil)
	c.peer.close(4000, "bye")
	require.Equal(t, closeInfo{4000, "bye", false}, await(t, c.room.ends))

	c = st.dialRaw(nil)
	c.peer.push(newFrame(opBinary, kindReply, nil, make([]byte, 64<<20)))
	require.Positive(t, c.peer.queued())
	c.peer.close(4000, "bye")
	require.Equal(t, closeInfo{4000, "bye", false}, await(t, c.room.ends))
	require.Zero(t, c.peer.queued())
}

// What was accepted is delivered before the close frame, however slowly it is
// read.
func TestCloseWaitsForWhatIsQueued(t *testing.T) {
	st := newSite(t, socketConfig{})
	c := st.dialRaw(nil)
	const n = 40
	for range n {
		c.peer.push(newFrame(opBinary, kindReply, nil, make([]byte, 1<<20)))
	}
	require.Positive(t, c.peer.queued())
	c.peer.close(4000, "bye")
	for range n {
		op, b := c.readFrame()
		require.Equal(t, opBinary, op)
		require.Len(t, b, 1<<20)
	}
	op, b := c.readFrame()
	require.Equal(t, opClose, op)
	_, err := c.Write(masked(true, opClose, b))
	require.NoError(t, err)
	require.Equal(t, closeInfo{4000, "bye", true}, await(t, c.room.ends))
}

// The answer to a client that closes does not wait behind what it no longer
// wants, except for a frame that is half written.
func TestClientClosesBehindABacklog(t *testing.T) {
	st := newSite(t, socketConfig{})
	c := st.dialRaw(nil)
	for range 40 {
		c.peer.push(newFrame(opBinary, kindReply, nil, make([]byte, 1<<20)))
	}
	_, err := c.Write(masked(true, opClose, []byte("\x03\xe8")))
	require.NoError(t, err)
	require.Equal(t, closeInfo{1000, "", true}, await(t, c.room.ends))
	n := 0
	for op, b := c.readFrame(); op != opClose; op, b = c.readFrame() {
		require.Len(t, b, 1<<20)
		n++
	}
	require.Less(t, n, 40)
}

func TestPanicsEndOnlyTheirPeer(t *testing.T) {
	st := newSite(t, socketConfig{})
	other := st.dial()
	bad := st.next()
	bad.onRecv = func(*peer, bool, []byte) { panic("receive") }
	bad.onLeft = func(*peer, closeInfo) { panic("left") }
	url := "ws" + strings.TrimPrefix(st.http.URL, "http")
	c, resp, err := websocket.DefaultDialer.Dial(url, nil)
	require.NoError(t, err)
	_ = resp.Body.Close()
	defer c.Close()
	await(t, st.peers)
	require.NoError(t, c.WriteMessage(websocket.BinaryMessage, []byte("x")))
	_, _, err = c.ReadMessage()
	require.Equal(t, closeInternalError, closeError(t, err).Code)
	require.Eventually(t, func() bool { return st.s.stats.panics.Load() == 2 && st.s.live() == 1 }, soon, time.Millisecond)

	other.peer.push(custom([]byte("fine")))
	_, b, err := other.ReadMessage()
	require.NoError(t, err)
	require.Equal(t, "fine", string(b))
}

// Whatever happens at once: left comes once, the accounts are even, nothing
// leaks (the site checks).
func TestPushCloseAndHangUpAtOnce(t *testing.T) {
	st := newSite(t, socketConfig{CloseGrace: 2 * time.Second, QueueBytes: 100 << 10})
	for i := range 40 {
		room := st.next()
		room.onDrain = func(p *peer) {
			p.takeLost(nil)
			p.push(newFrame(opBinary, kindReply, nil, make([]byte, 1000)))
		}
		nc, err := net.Dial("tcp", st.http.Listener.Addr().String())
		require.NoError(t, err)
		_, err = nc.Write([]byte(plainHandshake))
		require.NoError(t, err)
		p := await(t, st.peers)
		var wg sync.WaitGroup
		for k := range 3 {
			wg.Go(func() {
				f := newFrame(opBinary, frameKind(k), nil, make([]byte, 20<<10))
				for range 50 {
					p.push(f, keepaliveFrame, f)
				}
			})
		}
		wg.Go(func() {
			b := append(masked(true, opPing, []byte("p")), masked(true, opBinary, make([]byte, 100))...)
			for range 20 {
				_, _ = nc.Write(b)
			}
			switch i % 4 {
			case 0:
				_, _ = nc.Write(masked(true, opClose, nil))
				_, _ = io.Copy(io.Discard, nc)
			case 1:
				_, _ = io.CopyN(io.Discard, nc, 100<<10)
			case 2:
				_, _ = io.Copy(io.Discard, nc)
			}
			_ = nc.Close()
		})
		wg.Go(func() {
			if i%4 >= 2 {
				p.close(4000+i, "now")
			}
		})
		wg.Wait()
		await(t, room.ends)
		// The rest of a frame before the close frame may still be on its way.
		require.Eventually(t, func() bool { return p.queued() == 0 }, soon, time.Millisecond)
		require.Empty(t, room.ends)
	}
}

// What a client sends after the room has closed it does not reach the room.
func TestNothingIsReceivedAfterClose(t *testing.T) {
	st := newSite(t, socketConfig{})
	c := st.dialRaw(nil)
	c.peer.close(4000, "bye")
	_, err := c.Write(append(masked(true, opText, []byte("late")), masked(true, opClose, []byte("\x0f\xa0"))...))
	require.NoError(t, err)
	require.Equal(t, closeInfo{4000, "bye", true}, await(t, c.room.ends))
	require.Empty(t, c.room.messages)
}
