package main

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/yserverd/yserverd/cmd/yserverd/internal/config"
	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/yserver"
	"github.com/yserverd/yserverd/yserver/materialise"
)

// audience says whom a server is for.
type audience bool

const (
	forEverybody   audience = false // public_url and allowed_origins say which pages connect
	forThisMachine audience = true  // loopback pages and Host headers only
)

// newRooms makes the rooms that the configuration declares, over the store.
func newRooms(cfg *config.Config, whom audience, g *gates, store yserver.Store, log *slog.Logger) (*yserver.Server, error) {
	origin, err := originPolicy(cfg, whom)
	if err != nil {
		return nil, err
	}
	var parties []yserver.Party
	for _, name := range partyNames(cfg) {
		for _, room := range cfg.Rooms {
			if room.Party == name {
				parties = append(parties, newParty(cfg, room, g.guard(name)))
			}
		}
	}
	return yserver.New(serverConfig(cfg, store, origin, log), parties...)
}

// originPolicy says which pages may connect.
func originPolicy(cfg *config.Config, whom audience) (*gate.OriginPolicy, error) {
	if whom == forThisMachine {
		return gate.NewOriginPolicy(gate.OriginConfig{Loopback: true})
	}
	return gate.NewOriginPolicy(gate.OriginConfig{PublicURL: cfg.PublicURL, Allowed: cfg.AllowedOrigins})
}

// serverConfig translates what concerns all parties.
func serverConfig(cfg *config.Config, store yserver.Store, origin *gate.OriginPolicy, log *slog.Logger) yserver.Config {
	return yserver.Config{
		Store:        store,
		Materialiser: materialiser{},
		Sweep:        yserver.Sweep{Retention: cfg.Delete.Retention, KeepSuperseded: cfg.Snapshots.KeepSuperseded},
		Origin:       origin,
		Prefixes:     cfg.Prefixes,
		Reserved:     cfg.Reserved(),
		Logger:       log,
		ClientAddr:   clientAddr(cfg.TrustedProxies),
		Recheck:      orNever(cfg.Auth.Recheck),
		SecretParams: cfg.Auth.APIKeys.Query,
		Limits: yserver.ServerLimits{
			Connections:       cfg.Limits.Connections,
			ConnectionsPerIP:  cfg.Limits.ConnectionsPerIP,
			UpgradesPerSecond: cfg.Limits.UpgradesPerSecond,
			Rooms:             cfg.Limits.Rooms,
			DocumentBytes:     int64(cfg.Limits.DocumentBytes),
			InboundBytes:      int64(cfg.Limits.InboundBytes),
			Uncommitted:       int64(cfg.Limits.UncommittedBytes),
		},
	}
}

// orNever turns a time that is 0 for never into one that is negative for that, 0 being the default there.
func orNever(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// newParty makes a party of one entry of rooms. Without a guard it is public, and nothing else may be.
func newParty(cfg *config.Config, room *config.Room, guard gate.Guard) yserver.Party {
	party := yserver.Party{
		Name:           room.Party,
		Guard:          guard,
		RefreshGrace:   cfg.Auth.RefreshGrace,
		CORS:           room.CORS,
		PingInterval:   room.PingInterval,
		UnloadAfter:    room.Idle.UnloadAfter,
		HibernateAfter: room.Idle.HibernateAfter,
		Limits: yserver.Limits{
			Message:           int64(room.Limits.Message),
			Nesting:           room.Limits.Nesting,
			Peers:             room.Limits.Peers,
			PeerQueue:         int64(room.Limits.PeerQueue),
			MessagesPerSecond: float64(cmp.Or(room.Limits.MessagesPerSecond, cfg.Limits.MessagesPerSecond)),
		},
	}
	if guard == nil && !room.Guarded() {
		party.Access = gate.Public
	}
	if room.Type == config.TypeMessage {
		party.Message = newMessage(room)
		return party
	}
	party.Document = newDocument(cfg, room)
	party.YWebSocket = room.YWebSocket.Path
	party.Limits.Document = int64(room.Limits.Document)
	party.Limits.Pending = int64(room.Limits.Pending)
	party.Limits.Awareness = int64(room.Limits.Awareness)
	party.Limits.AwarenessIDs = room.Limits.AwarenessIDs
	party.Limits.AwarenessRoom = int64(room.Limits.AwarenessRoom)
	return party
}

// newDocument translates what concerns rooms of documents.
func newDocument(cfg *config.Config, room *config.Room) *yserver.Document {
	document := &yserver.Document{
		CallbackOptions:   yserver.CallbackOptions{DebounceWait: room.Save.Wait, DebounceMaxWait: room.Save.MaxWait},
		KeepDeleted:       !room.GC,
		AwarenessInterval: orNever(room.AwarenessInterval),
		SnapshotUpdates:   cfg.Snapshots.EveryUpdates,
		SnapshotBytes:     int64(cfg.Snapshots.EveryBytes),
		VersionInterval:   orNever(cfg.Snapshots.KeepVersions.Interval),
		VersionsMax:       cfg.Snapshots.KeepVersions.Max,
		RequireEpoch:      room.RequireEpoch,
		Webhook:           newWebhook(room.Webhook),
	}
	if room.Durability == "committed" {
		document.Durability = yserver.DurabilityCommitted
	}
	return document
}

// newWebhook translates who is told of documents, if anybody is.
func newWebhook(c config.Webhook) *yserver.Webhook {
	if c.URL == "" {
		return nil
	}
	w := &yserver.Webhook{URL: c.URL, Secret: c.Secret, MaxBody: int64(c.MaxBody)}
	for _, event := range c.Events {
		w.Events = append(w.Events, yserver.WebhookEvent(event))
	}
	if c.MaxBody == 0 {
		w.MaxBody = -1 // 0 is the default there
	}
	return w
}

// materialiser makes edits with package materialise, within its limits.
type materialiser struct{}

// Replace implements yserver.Materialiser.
func (materialiser) Replace(ctx context.Context, current, target []byte) ([]byte, error) {
	return materialise.Replace(ctx, current, target, materialise.EditOptions{})
}

// newMessage translates what concerns message rooms.
func newMessage(room *config.Room) *yserver.Message {
	message := &yserver.Message{Presence: room.Presence}
	switch room.Relay {
	case "json":
		message.Relay = yserver.RelayJSON
	case "raw":
		message.Relay = yserver.RelayRaw
	}
	if room.State.Enabled {
		message.State = &yserver.SharedState{MaxBytes: int(room.State.MaxBytes)}
	}
	if room.History.Messages > 0 {
		message.History = &yserver.History{Messages: room.History.Messages, MaxBytes: int(room.History.MaxBytes)}
	}
	return message
}

// storePlace tells people where the documents are.
func storePlace(cfg *config.Config) string {
	if cfg.Store.URL == "" {
		return cfg.DataDir
	}
	return config.RedactURL(cfg.Store.URL)
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
