package browser_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/browser"
	"github.com/yserverd/yserverd/internal/ytest/partytest"
)

// TestPartySocketInChromium has unmodified PartySocket clients in the rooms, on the browser's own WebSocket and fetch.
func TestPartySocketInChromium(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser")
	}
	clients := browser.StartClients(t)
	partytest.Run(t, clients)
	for _, line := range clients.ConsoleErrors() {
		network := strings.HasPrefix(line.Text, "WebSocket connection to 'ws://127.0.0.1:") || strings.HasPrefix(line.Text, "Failed to load resource: the server responded")
		require.True(t, network && line.Level == "error", "%s: %s", line.Level, line.Text) // that is Chromium's, of what the tests broke
	}
}
