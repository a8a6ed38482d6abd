package yserver

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

// dialBusy connects to a room with the given receive, sending b at once.
func (st *site) dialBusy(room *fakeRoom, b []byte) (net.Conn, *peer) {
	st.tb.Helper()
	st.mu.Lock()
	st.room = room
	st.mu.Unlock()
	nc, err := net.Dial("tcp", st.http.Listener.Addr().String())
	require.NoError(st.tb, err)
	st.tb.Cleanup(func() { _ = nc.Close() })
	require.NoError(st.tb, nc.SetDeadline(time.Now().Add(soon)))
	_, err = nc.Write([]byte(plainHandshake))
	require.NoError(st.tb, err)
	p := await(st.tb, st.peers)
	_, err = nc.Write(b)
	require.NoError(st.tb, err)
	return nc, p
}

// A client that answers no ping and sends nothing is gone after PongWait; one
// that sends anything, or answers pings, is not.
func TestADeadPeerIsGone(t *testing.T) {
	t.Parallel()
	const wait = 2 * time.Second
	st := newSite(t, socketConfig{PingInterval: wait / 4, PongWait: wait})
	talking, answering := st.dialRaw(nil), st.dial()
	read := make(chan error, 1)
	go func() {
		_, _, err := answering.ReadMessage()
		read <- err
	}()
	dead := st.dialRaw(nil)
	begun := time.Now()
	gone := make(chan closeInfo, 1)
	go func() { gone <- await(t, dead.room.ends) }()
	for i := 0; ; i++ {
		_, err := talking.Write([]byte{0x8a}) // half a pong, byte by byte
		require.NoError(t, err)
		_, err = talking.Write([]byte{0x80, 0, 0, 0, 0})
		require.NoError(t, err)
		if time.Since(begun) > 3*wait {
			break
		}
		time.Sleep(wait / 10)
	}
	require.Equal(t, closeInfo{code: closeAbnormal}, await(t, gone))
	require.EqualValues(t, 1, st.s.stats.silent.Load())
	talking.peer.push(custom([]byte("x")))
	answering.peer.push(custom([]byte("y")))
	require.NoError(t, await(t, read))
	require.Equal(t, 2, st.s.live())
}

// While the room takes no message nothing is read, and that is not the client's
// fault.
func TestABusyRoomDoesNotMakeItsPeersDead(t *testing.T) {
	t.Parallel()
	const wait = 300 * time.Millisecond
	for _, size := range []int{1, 200 << 10} { // little and much behind the message
		st := newSite(t, socketConfig{PingInterval: time.Hour, PongWait: wait})
		room := newFakeRoom()
		release := make(chan struct{})
		room.onRecv = func(_ *peer, binary bool, msg []byte) {
			<-release
			room.messages <- gotMessage{binary, msg}
		}
		one, two := masked(true, opText, []byte("one")), masked(true, opBinary, make([]byte, size))
		st.dialBusy(room, append(one, two...))
		select {
		case <-room.ends:
			t.Fatal("the peer was given up")
		case <-time.After(4 * wait):
		}
		close(release)
		require.Equal(t, "one", string(await(t, room.messages).data))
		require.Len(t, await(t, room.messages).data, size)
	}
}

func TestMessagesOfAnySizeAndShape(t *testing.T) {
	st := newSite(t, socketConfig{MaxMessage: 6 << 20})
	c := st.dialRaw(nil)
	sizes := []int{0, 1, 125, 126, 1000, 1024, 4096, 65535, 65536, 1 << 20, 3 << 20, 6 << 20}
	go func() {
		for _, n := range sizes {
			body := bytes.Repeat([]byte{byte(n >> 8)}, n)
			b := masked(true, opBinary, body)
			_, _ = c.Write(b[:1]) // a byte alone
			_, _ = c.Write(b[1:])
			half := masked(false, opBinary, body[:n/2])
			half = append(half, masked(false, opContinuation, nil)...)
			half = append(half, masked(true, opPing, []byte("between"))...)
			half = append(half, masked(true, opContinuation, body[n/2:])...)
			_, _ = c.Write(half)
		}
	}()
	go func() { _, _ = io.Copy(io.Discard, c.r) }()
	for _, n := range sizes {
		for range 2 {
			m := await(t, c.room.messages)
			require.True(t, m.binary)
			require.Equal(t, n, len(m.data))
			require.Equal(t, n, bytes.Count(m.data, []byte{byte(n >> 8)}))
		}
	}
}

func TestTooLargeMessagesAre1009(t *testing.T) {
	for name, tc := range map[string]struct {
		limit int64 // of the peer
		b     []byte
	}{
		"frame":     {0, masked(true, opBinary, make([]byte, 1<<20+1))},
		"fragments": {0, append(masked(false, opBinary, make([]byte, 1<<20)), masked(true, opContinuation, []byte("x"))...)},
		"own limit": {1000, masked(true, opBinary, make([]byte, 1001))},
		"announced": {0, []byte{0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}},
	} {
		st := newSite(t, socketConfig{MaxMessage: 1 << 20, CloseGrace: soon})
		st.opts.maxMessage = tc.limit
		c := st.dialRaw(nil)
		_, err := c.Write(append(masked(true, opText, []byte("fine")), tc.b...))
		require.NoError(t, err, name)
		_, err = c.Write(make([]byte, 16<<20)) // it goes on sending, and looks only then
		require.NoError(t, err, name)
		op, b := c.readFrame()
		require.Equal(t, opClose, op, name)
		require.Equal(t, "\x03\xf1Message is too large", string(b), name)
		require.NoError(t, c.Close())
		require.Equal(t, closeInfo{closeTooBig, "Message is too large", false}, await(t, c.room.ends), name)
		require.Equal(t, "fine", string(await(t, c.room.messages).data), name)
		require.Empty(t, c.room.messages, name)
		require.EqualValues(t, 1, st.s.stats.tooLong.Load(), name)
	}
}

// Many large messages at once are read one after the other, all arrive, and the
// budget is overrun by no more than one of them.
func TestLargeMessagesShareABudget(t *testing.T) {
	const limit, size, peers = 8 << 20, 6 << 20, 8
	st := newSite(t, socketConfig{InboundBytes: limit})
	var all []*rawClient
	for range peers {
		all = append(all, st.dialRaw(nil))
	}
	// Half of every message first: together more than the budget.
	for i, c := range all {
		b := masked(true, opBinary, bytes.Repeat([]byte{byte(i)}, size))
		if i%2 == 1 {
			b = nil
			for k := range 12 {
				op := opContinuation
				if k == 0 {
					op = opBinary
				}
				b = append(b, masked(k == 11, op, bytes.Repeat([]byte{byte(i)}, size/12))...)
			}
		}
		go func() {
			_, _ = c.Write(b[:len(b)/2])
			_, _ = c.Write(b[len(b)/2:])
			_, _ = c.Write(masked(true, opText, []byte("behind")))
		}()
	}
	worst := make(chan int64, 1)
	stop := make(chan struct{})
	go func() {
		var most int64
		for {
			st.s.inbound.mu.Lock()
			most = max(most, st.s.inbound.used)
			st.s.inbound.mu.Unlock()
			select {
			case <-stop:
				worst <- most
				return
			default:
				time.Sleep(50 * time.Microsecond)
			}
		}
	}()
	for i, c := range all {
		m := await(t, c.room.messages)
		require.Equal(t, size, bytes.Count(m.data, []byte{byte(i)}))
		require.Equal(t, "behind", string(await(t, c.room.messages).data))
	}
	close(stop)
	require.LessOrEqual(t, <-worst, int64(limit+size+inboundFree))
}

// A client that stops in the middle of a large message while others wait for
// the budget is closed; without others it may take its time.
func TestALargeMessageThatDoesNotGetOn(t *testing.T) {
	st := newSite(t, socketConfig{InboundBytes: 4 << 20, walkEvery: 10 * time.Millisecond, inboundPatience: 50 * time.Millisecond})
	part := masked(true, opBinary, make([]byte, 8<<20))
	slow := st.dialRaw(nil)
	_, err := slow.Write(part[:4<<20])
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		st.s.inbound.mu.Lock()
		defer st.s.inbound.mu.Unlock()
		return st.s.inbound.used >= 4<<20
	}, soon, time.Millisecond)
	time.Sleep(100 * time.Millisecond)
	require.Zero(t, st.s.stats.lagging.Load())

	quick := st.dialRaw(nil)
	go func() { _, _ = quick.Write(part) }()
	op, b := slow.readFrame()
	require.Equal(t, opClose, op)
	code, _, _ := parseClosePayload(b)
	require.Equal(t, closePolicy, code)
	_ = slow.Close()
	require.Equal(t, closePolicy, await(t, slow.room.ends).code)
	require.Len(t, await(t, quick.room.messages).data, 8<<20)
}

// A peer that waits for the budget can be closed.
func TestCloseWhileWaitingForTheBudget(t *testing.T) {
	st := newSite(t, socketConfig{InboundBytes: 2 << 20, CloseGrace: soon})
	part := masked(true, opBinary, make([]byte, 4<<20))
	first, second := st.dialRaw(nil), st.dialRaw(nil)
	_, err := first.Write(part[:3<<20])
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		st.s.inbound.mu.Lock()
		defer st.s.inbound.mu.Unlock()
		return st.s.inbound.used >= 3<<20
	}, soon, time.Millisecond)
	go func() { _, _ = second.Write(part) }()
	require.Eventually(t, func() bool {
		st.s.inbound.mu.Lock()
		defer st.s.inbound.mu.Unlock()
		return st.s.inbound.waiting == 1
	}, soon, time.Millisecond)
	second.peer.close(4000, "enough")
	op, b := second.readFrame()
	require.Equal(t, opClose, op)
	require.Equal(t, "\x0f\xa0enough", string(b))
	_ = second.Close()
	require.Equal(t, closeInfo{4000, "enough", false}, await(t, second.room.ends))
	_, err = first.Write(part[3<<20:])
	require.NoError(t, err)
	require.Len(t, await(t, first.room.messages).data, 4<<20)
}

func TestPingsAreAnswered(t *testing.T) {
	st := newSite(t, socketConfig{})
	c := st.dial()
	pong := make(chan string, 1)
	c.SetPongHandler(func(s string) error {
		pong <- s
		return nil
	})
	go func() { _, _, _ = c.ReadMessage() }()
	require.NoError(t, c.WriteControl(websocket.PingMessage, []byte("hello"), time.Now().Add(soon)))
	require.Equal(t, "hello", await(t, pong))
}

// A client that is there but reads nothing can answer no ping: it is not taken
// for gone while frames wait for it.
func TestAFrozenPeerIsNotTakenForGone(t *testing.T) {
	if !canTry {
		t.Skip("this system does not tell a frozen client from one that is gone")
	}
	t.Parallel()
	const wait = 2 * time.Second
	st := newSite(t, socketConfig{PongWait: wait, PingInterval: wait / 4, WriteStall: time.Minute})
	c := st.dialRaw(nil)
	c.peer.push(newFrame(opBinary, kindReply, nil, make([]byte, 64<<20)))
	time.Sleep(wait + wait/2) // it is silence that is tested
	require.Zero(t, st.s.stats.silent.Load())
	n, err := io.CopyN(io.Discard, c, 64<<20)
	require.NoError(t, err)
	require.EqualValues(t, 64<<20, n)
}
