package yserver_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/ytest"
	"github.com/yserverd/yserverd/internal/ytest/partytest"
)

// TestPartySocketInNode has unmodified PartySocket clients in the rooms. What they do in a browser is tested with the
// browser tests.
func TestPartySocketInNode(t *testing.T) {
	n := ytest.StartNodeClients(t)
	partytest.Run(t, n)
	require.Empty(t, n.ConsoleErrors())
}
