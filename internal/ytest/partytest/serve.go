package partytest

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/ytest"
	"github.com/yserverd/yserverd/persist/persisttest"
	"github.com/yserverd/yserverd/yserver"
)

// Serve runs a server with a party until stop is called or the test ends, and returns its WebSocket address.
func Serve(tb testing.TB, store *persisttest.Memory, p yserver.Party) (url string, stop func()) {
	tb.Helper()
	srv, err := yserver.New(yserver.Config{Store: store, RoomStore: store}, p)
	require.NoError(tb, err)
	listener := httptest.NewServer(srv)
	stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(tb, srv.Shutdown(ctx))
		listener.Close()
	})
	tb.Cleanup(stop)
	return "ws" + strings.TrimPrefix(listener.URL, "http"), stop
}

// Join makes a PartySocket client, which ends with the test.
func Join(tb testing.TB, n *ytest.NodeClients, cfg ytest.ClientConfig) *ytest.NodeClient {
	tb.Helper()
	cfg.Kind = ytest.PartySocket
	c, err := n.New(tb.Context(), cfg)
	require.NoError(tb, err)
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(tb, c.Destroy(ctx))
	})
	return c
}

// Expect waits until a client has received a JSON frame for which ok holds, decoded into T, and returns the first such
// frame. Binary frames are passed over.
func Expect[T any](tb testing.TB, c *ytest.NodeClient, ok func(T) bool) T {
	tb.Helper()
	for seen := 0; ; seen++ {
		require.NoError(tb, c.AwaitFrames(tb.Context(), seen+1))
		frames, err := c.Frames(tb.Context(), seen)
		require.NoError(tb, err)
		var v T
		if frames[0].Binary != nil {
			continue
		}
		require.NoError(tb, json.Unmarshal([]byte(frames[0].Text), &v), frames[0].Text)
		if ok(v) {
			return v
		}
	}
}
