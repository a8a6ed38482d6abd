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
		Delete:         config.Delete{Retention: 6},
		Snapshots:      config.Snapshots{KeepSuperseded: 7},
		Limits:         config.Limits{InboundBytes: 1, UncommittedBytes: 10, Connections: 2, ConnectionsPerIP: 3, Rooms: 4, DocumentBytes: 5, UpgradesPerSecond: 8},
		Auth:           config.Auth{Recheck: 9, APIKeys: config.APIKeys{Query: []string{"k"}}},
	}
	origin, err := gate.NewOriginPolicy(gate.OriginConfig{})
	require.NoError(t, err)
	log := slog.New(slog.DiscardHandler)
	full := fullDisk{}
	got := serverConfig(cfg, full, origin, log)

	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = "10.0.0.1:80"
	r.Header.Set("X-Forwarded-For", "203.0.113.7")
	require.Equal(t, "203.0.113.7", got.ClientAddr(r), "trusted_proxies")
	got.ClientAddr = nil
	require.Equal(t, yserver.Config{
		Store: full, Materialiser: materialiser{}, Sweep: yserver.Sweep{Retention: 6, KeepSuperseded: 7}, Origin: origin, Prefixes: []string{"a", "b"}, Reserved: cfg.Reserved(), Logger: log,
		Limits:  yserver.ServerLimits{InboundBytes: 1, Uncommitted: 10, Connections: 2, ConnectionsPerIP: 3, Rooms: 4, DocumentBytes: 5, UpgradesPerSecond: 8},
		Recheck: 9, SecretParams: []string{"k"},
	}, got)
	cfg.Auth.Recheck = 0
	require.Negative(t, serverConfig(cfg, full, origin, log).Recheck, "0 is never; the default has another name there")
}

// TestNewParty does the same for what concerns one party.
func TestNewParty(t *testing.T) {
	cfg := &config.Config{
		Snapshots: config.Snapshots{EveryUpdates: 1, EveryBytes: 2, KeepVersions: config.KeepVersions{Interval: 20, Max: 21}},
		Limits:    config.Limits{MessagesPerSecond: 3},
		Auth:      config.Auth{RefreshGrace: 23},
	}
	room := &config.Room{
		Party: "p", Type: "document", Access: config.PublicAccess(), CORS: true, YWebSocket: config.YWebSocket{Path: "/y"}, Durability: "committed",
		Webhook: config.Webhook{URL: "u", Secret: "s", Events: []string{"save"}, MaxBody: 22}, RequireEpoch: true,
		GC: false, Save: config.Save{Wait: 4, MaxWait: 5}, AwarenessInterval: 6, PingInterval: 7,
		Idle: config.Idle{UnloadAfter: 8, HibernateAfter: 18},
		Limits: config.RoomLimits{
			Message: 9, Document: 10, Pending: 11, Nesting: 12, Peers: 13, PeerQueue: 14, Awareness: 15, AwarenessIDs: 16, AwarenessRoom: 17,
		},
	}
	got := newParty(cfg, room, nil)
	require.NotNil(t, got.Access, "a party without a rule is refused")
	got.Access = nil
	require.Equal(t, yserver.Party{
		Name: "p", RefreshGrace: 23, YWebSocket: "/y", CORS: true, PingInterval: 7, UnloadAfter: 8, HibernateAfter: 18,
		Document: &yserver.Document{
			CallbackOptions: yserver.CallbackOptions{DebounceWait: 4, DebounceMaxWait: 5}, Durability: yserver.DurabilityCommitted,
			KeepDeleted: true, AwarenessInterval: 6, SnapshotUpdates: 1, SnapshotBytes: 2,
			VersionInterval: 20, VersionsMax: 21, RequireEpoch: true,
			Webhook: &yserver.Webhook{URL: "u", Secret: "s", Events: []yserver.WebhookEvent{yserver.WebhookSave}, MaxBody: 22},
		},
		Limits: yserver.Limits{
			MessagesPerSecond: 3, Message: 9, Document: 10, Pending: 11, Nesting: 12, Peers: 13, PeerQueue: 14, Awareness: 15,
			AwarenessIDs: 16, AwarenessRoom: 17,
		},
	}, got)

	room.Durability, room.GC, room.AwarenessInterval, room.Limits.MessagesPerSecond = "echo", true, 0, 19
	cfg.Snapshots.KeepVersions.Interval, room.Webhook.MaxBody = 0, 0
	got = newParty(cfg, room, nil)
	require.Negative(t, got.Document.VersionInterval)
	require.Negative(t, got.Document.Webhook.MaxBody)
	room.Webhook.URL = ""
	require.Nil(t, newParty(cfg, room, nil).Document.Webhook)
	require.Equal(t, yserver.DurabilityEcho, got.Document.Durability)
	require.False(t, got.Document.KeepDeleted)
	require.Negative(t, got.Document.AwarenessInterval, "0 forwards each; the default has another name there")
	require.EqualValues(t, 19, got.Limits.MessagesPerSecond, "the room's own goes before that of the process")
}

// TestNewMessageParty does it for message rooms.
func TestNewMessageParty(t *testing.T) {
	room := config.DefaultRoom()
	room.Party, room.Type, room.Relay, room.PingInterval, room.CORS = "p", "message", "json", 1, false
	room.Access = config.PublicAccess()
	room.Idle = config.Idle{UnloadAfter: 2, HibernateAfter: 3}
	room.State, room.History = config.State{Enabled: true, MaxBytes: 4}, config.History{Messages: 5, MaxBytes: 6}
	room.Limits = config.RoomLimits{Message: 7, Nesting: 8, Peers: 9, PeerQueue: 10, MessagesPerSecond: 11}
	got := newParty(&config.Config{}, room, nil)
	require.NotNil(t, got.Access)
	got.Access = nil
	require.Equal(t, yserver.Party{
		Name: "p", PingInterval: 1, UnloadAfter: 2, HibernateAfter: 3,
		Message: &yserver.Message{
			Presence: true, Relay: yserver.RelayJSON, State: &yserver.SharedState{MaxBytes: 4},
			History: &yserver.History{Messages: 5, MaxBytes: 6},
		},
		Limits: yserver.Limits{Message: 7, Nesting: 8, Peers: 9, PeerQueue: 10, MessagesPerSecond: 11},
	}, got)

	room.Presence, room.State.Enabled, room.History.Messages, room.Relay = false, false, 0, "raw"
	require.Equal(t, &yserver.Message{Relay: yserver.RelayRaw}, newParty(&config.Config{}, room, nil).Message)
	room.Relay = "none"
	require.Equal(t, &yserver.Message{Relay: yserver.RelayNone}, newParty(&config.Config{}, room, nil).Message)
}

// TestNoGuardIsNoParty: what is not public and has no guard is open to nobody.
func TestNoGuardIsNoParty(t *testing.T) {
	cfg := devConfig("", "")
	cfg.Rooms[devParty].Access = config.Access{}
	_, err := newRooms(cfg, forThisMachine, nil, fullDisk{}, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "no access rule")
	cfg.Rooms[devParty].Access, cfg.Rooms[devParty].Write = config.PublicAccess(), config.Write{Roles: config.Roles{"editor"}}
	_, err = newRooms(cfg, forThisMachine, nil, fullDisk{}, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "no access rule")
}
