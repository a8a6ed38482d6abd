package partytest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/ytest"
	"github.com/yserverd/yserverd/yserver"
)

func clientCloses(t *testing.T, n *ytest.NodeClients) {
	s := serve(t, n, hooks{})
	long := strings.Repeat("é", 61) + "!" // 123 bytes, the most there is room for
	for _, want := range []ytest.CloseView{{Code: 4001, Reason: "x"}, {Code: 1000}, {Code: 3000, Reason: long}, {Code: 4999}} {
		a := s.join(s.config("a"))
		conn := s.next("connect").conn
		require.NoError(t, a.AwaitConnected(t.Context()))
		require.NoError(t, a.DisconnectWith(t.Context(), want.Code, want.Reason))
		e := s.next("close")
		require.Same(t, conn, e.conn)
		require.Equal(t, [3]any{want.Code, want.Reason, true}, [3]any{e.code, e.reason, e.clean})
		require.Empty(t, s.live().Connections())
		v := view(t, a)
		require.Len(t, v.Closes, 1)
		require.Equal(t, want.Code, v.Closes[0].Code)
	}
}

// closesBare has the socket closed without a code, as YProvider does. The close event, which only the server's answer
// brings, must come: PartySocket connects again because of it.
func closesBare(t *testing.T, n *ytest.NodeClients) {
	s := serve(t, n, hooks{})
	a := s.join(s.config("a"))
	s.next("connect")
	require.NoError(t, a.AwaitConnected(t.Context()))
	require.NoError(t, a.CloseBare(t.Context()))
	e := s.next("close")
	require.Equal(t, [3]any{1005, "", true}, [3]any{e.code, e.reason, e.clean})
	require.NoError(t, a.AwaitOpens(t.Context(), 2))
	require.Equal(t, []ytest.CloseView{{Code: 1005, WasClean: true}}, view(t, a).Closes)
	s.next("connect")
}

// cutOff has the network reset the connection.
func cutOff(t *testing.T, n *ytest.NodeClients) {
	s := serve(t, n, hooks{})
	proxy := ytest.StartProxy(t, s.http.Listener.Addr().String())
	cfg := s.config("a")
	cfg.URL = "ws://" + proxy.Address()
	a := s.join(cfg)
	s.next("connect")
	require.NoError(t, a.AwaitConnected(t.Context()))
	proxy.Cut()
	e := s.next("close")
	require.Equal(t, [3]any{1006, "", false}, [3]any{e.code, e.reason, e.clean})
	require.Equal(t, "a", s.next("connect").conn.ID())
	require.NoError(t, a.AwaitOpens(t.Context(), 2))
}

func roomCloses(t *testing.T, n *ytest.NodeClients) {
	s := serve(t, n, hooks{message: func(conn *yserver.Connection, _ yserver.Payload) error {
		conn.Send(yserver.Text("last"))
		conn.Close(4002, "y")
		conn.Send(yserver.Text("too late"))
		return nil
	}})
	a := s.join(s.config("a"))
	s.next("connect")
	require.NoError(t, a.SendText(t.Context(), "end it"))
	s.next("message")
	e := s.next("close")
	require.Equal(t, [3]any{4002, "y", true}, [3]any{e.code, e.reason, e.clean})
	require.NoError(t, a.AwaitOpens(t.Context(), 2))
	require.Equal(t, []ytest.CloseView{{Code: 4002, Reason: "y", WasClean: true}}, view(t, a).Closes)
	require.Equal(t, []string{"last"}, texts(t, a, 1), "what was sent before the end arrives, and nothing after it")
	require.Equal(t, "a", s.next("connect").conn.ID(), "it comes again under its id")

	cfg := s.config("b")
	cfg.StopOn = []int{4003}
	b := s.join(cfg)
	conn := s.next("connect").conn
	reason := strings.Repeat("é", 61) + "!"
	conn.Close(4003, reason)
	e = s.next("close")
	require.Equal(t, [3]any{4003, reason, true}, [3]any{e.code, e.reason, e.clean})
	require.NoError(t, b.AwaitCloses(t.Context(), 1))
	v := view(t, b)
	require.Equal(t, []ytest.CloseView{{Code: 4003, Reason: reason, WasClean: true}}, v.Closes)
	require.False(t, v.Reconnects, "shouldReconnectOnClose was told the code")
	require.Equal(t, 1, v.Sockets)
}
