package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/yserverd/yserverd/cmd/yserverd/internal/config"
	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/pebble"
	"github.com/yserverd/yserverd/yserver"
)

// This file is the only place that knows which adapter serves which interface.
var _ documents = (*pebble.Store)(nil)

// documents is a store that can be closed.
type documents interface {
	yserver.Store
	io.Closer
}

// audience says whom a server is for.
type audience bool

const (
	forEverybody   audience = false // public_url and allowed_origins say which pages connect
	forThisMachine audience = true  // loopback pages and Host headers only
)

// openStore opens the documents. Its error says what to do.
func openStore(cfg *config.Config, log *slog.Logger) (*pebble.Store, error) {
	store, err := pebble.Open(cfg.DataDir, pebble.Options{Logger: log})
	switch {
	case errors.Is(err, persist.ErrLocked):
		return nil, fmt.Errorf("the data folder %s is in use: another yserverd serves it; end that one, or name another folder", cfg.DataDir)
	case err != nil:
		return nil, err
	}
	return store, nil
}

// newRooms makes the rooms that the configuration declares, over the store.
func newRooms(cfg *config.Config, whom audience, store yserver.Store, log *slog.Logger) (*yserver.Server, error) {
	origins := gate.OriginConfig{Loopback: true}
	if whom == forEverybody {
		origins = gate.OriginConfig{PublicURL: cfg.PublicURL, Allowed: cfg.AllowedOrigins}
	}
	origin, err := gate.NewOriginPolicy(origins)
	if err != nil {
		return nil, err
	}
	var parties []yserver.Party
	for _, name := range partyNames(cfg) {
		for _, room := range cfg.Rooms {
			if room.Party == name {
				parties = append(parties, newParty(cfg, room))
			}
		}
	}
	return yserver.New(serverConfig(cfg, store, origin, log), parties...)
}

// serverConfig translates what concerns all parties.
func serverConfig(cfg *config.Config, store yserver.Store, origin *gate.OriginPolicy, log *slog.Logger) yserver.Config {
	return yserver.Config{
		Store:      store,
		Origin:     origin,
		Prefixes:   cfg.Prefixes,
		Reserved:   config.Reserved(),
		Logger:     log,
		ClientAddr: clientAddr(cfg.TrustedProxies),
		Limits: yserver.ServerLimits{
			Connections:      cfg.Limits.Connections,
			ConnectionsPerIP: cfg.Limits.ConnectionsPerIP,
			Rooms:            cfg.Limits.Rooms,
			DocumentBytes:    int64(cfg.Limits.DocumentBytes),
			InboundBytes:     int64(cfg.Limits.InboundBytes),
		},
	}
}

// newParty makes a party of one entry of rooms. The configuration has admitted public document rooms only.
func newParty(cfg *config.Config, room *config.Room) yserver.Party {
	document := &yserver.Document{
		CallbackOptions:   yserver.CallbackOptions{DebounceWait: room.Save.Wait, DebounceMaxWait: room.Save.MaxWait},
		KeepDeleted:       !room.GC,
		AwarenessInterval: room.AwarenessInterval,
		SnapshotUpdates:   cfg.Snapshots.EveryUpdates,
		SnapshotBytes:     int64(cfg.Snapshots.EveryBytes),
	}
	if room.Durability == "committed" {
		document.Durability = yserver.DurabilityCommitted
	}
	if room.AwarenessInterval == 0 {
		document.AwarenessInterval = -1 // 0 is the default there
	}
	return yserver.Party{
		Name:         room.Party,
		Access:       gate.Public,
		Document:     document,
		YWebSocket:   room.YWebSocket.Path,
		CORS:         room.CORS,
		PingInterval: room.PingInterval,
		UnloadAfter:  room.Idle.UnloadAfter,
		Limits: yserver.Limits{
			Message:           int64(room.Limits.Message),
			Document:          int64(room.Limits.Document),
			Pending:           int64(room.Limits.Pending),
			Nesting:           room.Limits.Nesting,
			Peers:             room.Limits.Peers,
			PeerQueue:         int64(room.Limits.PeerQueue),
			Awareness:         int64(room.Limits.Awareness),
			AwarenessIDs:      room.Limits.AwarenessIDs,
			AwarenessRoom:     int64(room.Limits.AwarenessRoom),
			MessagesPerSecond: float64(cfg.Limits.MessagesPerSecond),
		},
	}
}

// partyNames returns the names of the parties in order.
func partyNames(cfg *config.Config) []string {
	names := make([]string, 0, len(cfg.Rooms))
	for _, room := range cfg.Rooms {
		names = append(names, room.Party)
	}
	slices.Sort(names)
	return names
}
