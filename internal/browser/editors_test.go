package browser_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/browser"
	"github.com/yserverd/yserverd/internal/servertest"
)

// TestEditors has two people write in both editors over both providers while yserverd is killed, not ended, under them.
// "Saved" must mean what it says: everything else is in the log when the server comes back.
func TestEditors(t *testing.T) {
	if testing.Short() {
		t.Skip("starts browsers")
	}
	browser.Require(t) // before anything is built
	server := servertest.New(t, servertest.Options{})
	require.NoError(t, server.Start())
	result := browser.Drive(t, browser.Scenario{
		YWebsocket: server.WebSocketURL(),
		YProvider:  server.WebSocketURL(),
		Saved:      true,
		Restart:    server.Restart,
	})
	require.Len(t, result.Sessions, 4)
	for _, session := range result.Sessions {
		require.Positive(t, session.Length, session.Session)
		require.Len(t, session.Screenshots, 2, session.Session)
	}
}
