package yserver

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

func TestHandshakesThatAreRefused(t *testing.T) {
	good := func() *http.Request {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header = http.Header{
			"Connection": {"keep-alive, Upgrade"}, "Upgrade": {"WebSocket"},
			"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="},
		}
		return r
	}
	require.NoError(t, checkUpgrade(good()))
	for name, tc := range map[string]struct {
		status int
		spoil  func(*http.Request)
	}{
		"plain":   {400, func(r *http.Request) { r.Header.Del("Upgrade") }},
		"method":  {405, func(r *http.Request) { r.Method = http.MethodPost }},
		"version": {426, func(r *http.Request) { r.Header.Set("Sec-Websocket-Version", "8") }},
		"no key":  {400, func(r *http.Request) { r.Header.Del("Sec-Websocket-Key") }},
		"bad key": {400, func(r *http.Request) { r.Header.Set("Sec-Websocket-Key", "AAAA") }},
	} {
		r := good()
		tc.spoil(r)
		var ue *upgradeError
		require.ErrorAs(t, checkUpgrade(r), &ue, name)
		require.Equal(t, tc.status, ue.Status, name)

		st := newSite(t, socketConfig{})
		w := httptest.NewRecorder()
		_, err := st.s.accept(w, r, acceptOptions{receiver: newFakeRoom()})
		require.ErrorAs(t, err, &ue, name)
		require.Zero(t, st.s.live())
	}
}

func TestAcceptWithoutAConnectionLeavesNothingBehind(t *testing.T) {
	st := newSite(t, socketConfig{})
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, line := range strings.Split(strings.TrimSpace(plainHandshake), "\r\n")[1:] {
		k, v, _ := strings.Cut(line, ": ")
		r.Header.Set(k, v)
	}
	_, err := st.s.accept(httptest.NewRecorder(), r, acceptOptions{receiver: newFakeRoom()})
	require.ErrorIs(t, err, http.ErrNotSupported)
	require.Zero(t, st.s.live())
}

func TestTheFirstSubprotocolIsEchoed(t *testing.T) {
	st := newSite(t, socketConfig{})
	url := "ws" + strings.TrimPrefix(st.http.URL, "http")
	for _, tc := range []struct {
		offer []string
		want  string
	}{{nil, ""}, {[]string{"b.v1", "a"}, "b.v1"}, {[]string{"bad token"}, ""}} {
		st.next()
		h := http.Header{}
		if tc.offer != nil {
			h.Set("Sec-WebSocket-Protocol", strings.Join(tc.offer, ", "))
		}
		c, resp, err := websocket.DefaultDialer.Dial(url, h)
		require.NoError(t, err)
		_ = resp.Body.Close()
		require.Equal(t, tc.want, resp.Header.Get("Sec-WebSocket-Protocol"))
		require.NoError(t, c.Close())
		await(t, st.peers)
	}
}

func TestCompressionIsNotNegotiatedAndHeadersAreAdded(t *testing.T) {
	st := newSite(t, socketConfig{})
	st.opts.header = http.Header{"X-Room": {"r"}}
	d := websocket.Dialer{EnableCompression: true}
	c, resp, err := d.Dial("ws"+strings.TrimPrefix(st.http.URL, "http"), nil)
	require.NoError(t, err)
	_ = resp.Body.Close()
	require.Equal(t, "r", resp.Header.Get("X-Room"))
	require.Empty(t, resp.Header.Get("Sec-WebSocket-Extensions"))
	require.NoError(t, c.Close())
}

// What a client sends right behind its handshake, before it has the answer, is
// received.
func TestBytesThatComeEarly(t *testing.T) {
	st := newSite(t, socketConfig{})
	early := append(masked(true, opText, []byte("one")), masked(true, opBinary, []byte("two"))...)
	half := masked(true, opBinary, []byte("three"))
	c := st.dialRaw(append(early, half[:4]...))
	require.Equal(t, gotMessage{false, []byte("one")}, await(t, c.room.messages))
	require.Equal(t, gotMessage{true, []byte("two")}, await(t, c.room.messages))
	_, err := c.Write(half[4:])
	require.NoError(t, err)
	require.Equal(t, gotMessage{true, []byte("three")}, await(t, c.room.messages))
}

// Nothing is written or read before start; then the 101 comes with the frames
// that were pushed meanwhile, in order.
func TestFramesPushedBeforeStartFollowThe101(t *testing.T) {
	st := newSite(t, socketConfig{})
	release := make(chan struct{})
	accepted := make(chan *peer, 1)
	st.prep = func(p *peer) {
		p.push(custom([]byte("a")))
		p.push(custom([]byte("b")), custom(make([]byte, 3<<20)), custom([]byte("c")))
		accepted <- p
		<-release
	}
	go func() {
		p := await(t, accepted)
		if p.queued() != 3+3+3+10+3<<20 {
			t.Errorf("%d bytes wait", p.queued())
		}
		close(release)
	}()
	c := st.dialRaw(masked(true, opText, []byte("hi")))
	for _, n := range []int{1, 1, 3 << 20, 1} {
		op, b := c.readFrame()
		require.Equal(t, opBinary, op)
		require.Len(t, b, n)
	}
	require.Equal(t, "hi", string(await(t, c.room.messages).data))
}

// A room that refuses after the upgrade says so with a close code, and may send a
// frame before.
func TestPeerClosedBeforeStart(t *testing.T) {
	for _, frames := range [][]*frame{nil, {newFrame(opText, kindReply, []byte(`{"error":"no"}`), nil)}} {
		st := newSite(t, socketConfig{})
		st.prep = func(p *peer) {
			p.push(frames...)
			p.close(closeInternalError, "set-up failed")
			p.push(custom([]byte("too late")))
		}
		c := st.dial()
		for range frames {
			_, b, err := c.ReadMessage()
			require.NoError(t, err)
			require.JSONEq(t, `{"error":"no"}`, string(b))
		}
		_, _, err := c.ReadMessage()
		require.Equal(t, &websocket.CloseError{Code: closeInternalError, Text: "set-up failed"}, closeError(t, err))
		require.Equal(t, closeInfo{closeInternalError, "set-up failed", true}, await(t, c.room.ends))
	}
}
