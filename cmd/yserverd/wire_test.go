package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/cmd/yserverd/internal/config"
	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/yserver"
)

// TestServerConfig gives every key a value of its own, so that none can be forgotten or confused with another.
func TestServerConfig(t *testing.T) {
	cfg := &config.Config{
		Prefixes:       []string{"a", "b"},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		Limits:         config.Limits{InboundBytes: 1, Connections: 2, ConnectionsPerIP: 3, Rooms: 4, DocumentBytes: 5},
	}
	origin, err := gate.NewOriginPolicy(gate.OriginConfig{})
	require.NoError(t, err)
	log := slog.New(slog.DiscardHandler)
	got := serverConfig(cfg, fullDisk{}, origin, log)

	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = "10.0.0.1:80"
	r.Header.Set("X-Forwarded-For", "203.0.113.7")
	require.Equal(t, "203.0.113.7", got.ClientAddr(r), "trusted_proxies")
	got.ClientAddr = nil
	require.Equal(t, yserver.Config{
		Store: fullDisk{}, Origin: origin, Prefixes: []string{"a", "b"}, Reserved: config.Reserved(), Logger: log,
		Limits: yserver.ServerLimits{InboundBytes: 1, Connections: 2, ConnectionsPerIP: 3, Rooms: 4, DocumentBytes: 5},
	}, got)
}

// TestNewParty does the same for what concerns one party.
func TestNewParty(t *testing.T) {
	cfg := &config.Config{
		Snapshots: config.Snapshots{EveryUpdates: 1, EveryBytes: 2},
		Limits:    config.Limits{MessagesPerSecond: 3},
	}
	room := &config.Room{
		Party: "p", Type: "document", Access: "public", CORS: true, YWebSocket: config.YWebSocket{Path: "/y"}, Durability: "committed",
		GC: false, Save: config.Save{Wait: 4, MaxWait: 5}, AwarenessInterval: 6, PingInterval: 7, Idle: config.Idle{UnloadAfter: 8},
		Limits: config.RoomLimits{
			Message: 9, Document: 10, Pending: 11, Nesting: 12, Peers: 13, PeerQueue: 14, Awareness: 15, AwarenessIDs: 16, AwarenessRoom: 17,
		},
	}
	got := newParty(cfg, room)
	require.NotNil(t, got.Access, "a party without a rule is refused")
	got.Access = nil
	require.Equal(t, yserver.Party{
		Name: "p", YWebSocket: "/y", CORS: true, PingInterval: 7, UnloadAfter: 8,
		Document: &yserver.Document{
			CallbackOptions: yserver.CallbackOptions{DebounceWait: 4, DebounceMaxWait: 5}, Durability: yserver.DurabilityCommitted,
			KeepDeleted: true, AwarenessInterval: 6, SnapshotUpdates: 1, SnapshotBytes: 2,
		},
		Limits: yserver.Limits{
			MessagesPerSecond: 3, Message: 9, Document: 10, Pending: 11, Nesting: 12, Peers: 13, PeerQueue: 14, Awareness: 15,
			AwarenessIDs: 16, AwarenessRoom: 17,
		},
	}, got)

	room.Durability, room.GC, room.AwarenessInterval = "echo", true, 0
	got = newParty(cfg, room)
	require.Equal(t, yserver.DurabilityEcho, got.Document.Durability)
	require.False(t, got.Document.KeepDeleted)
	require.Negative(t, got.Document.AwarenessInterval, "0 forwards each; the default has another name there")
}
