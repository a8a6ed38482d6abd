package yserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/persist"
)

// Store is the log and the snapshots of documents (spec: package persist has
// the values; its suite persisttest states the contract by tests).
//
// All methods are safe for concurrent use and respect ctx. Slices given to the
// store are copied before it returns; slices it returns are the caller's.
type Store interface {
	// Load returns the newest snapshot and the rows behind it. A document that
	// was never written is Exists false without an error, and loading writes
	// nothing. One that cannot be decoded is an error, never an empty document.
	Load(ctx context.Context, key persist.Key) (persist.Document, error)
	// LoadAfter returns the rows behind seq, in order.
	LoadAfter(ctx context.Context, key persist.Key, seq persist.Seq) ([]persist.Update, error)
	// Append commits rows of many documents at once. Each document succeeds or
	// fails by itself in its result; an error means that the outcome is unknown
	// for all of them.
	Append(ctx context.Context, appends []persist.Append) ([]persist.Result, error)
	// Compact records a snapshot that covers the rows up to upTo and deletes
	// them, in one transaction.
	Compact(ctx context.Context, key persist.Key, epoch persist.Epoch, upTo persist.Seq, snapshot []byte) error
}

// RoomStore is the data of rooms: what an application keeps in [Room.Storage],
// alarms, and the shared state and history of message rooms. Stores of documents
// implement it too; package persist has the contract.
type RoomStore interface {
	// GetRoom returns the values of keys, nil for those that are not there.
	GetRoom(ctx context.Context, key persist.Key, space persist.Space, keys []string) ([][]byte, error)
	// ListRoom returns the values of a range in the order of the keys' bytes, and
	// whether there are more.
	ListRoom(ctx context.Context, key persist.Key, r persist.RoomRange, reverse bool, limit int) ([]persist.RoomItem, bool, error)
	// ChangeRooms commits changes of many rooms at once, each whole or not at all.
	// After an error the outcome is unknown; repeating a change does no harm.
	ChangeRooms(ctx context.Context, changes []persist.RoomChange) error
	// RoomSize returns the bytes of the keys and values of a space.
	RoomSize(ctx context.Context, key persist.Key, space persist.Space) (int64, error)
	// Alarm returns the alarm of a room, zero when there is none.
	Alarm(ctx context.Context, key persist.Key) (time.Time, error)
	// Alarms returns the alarms before a time, or all, the earliest first.
	Alarms(ctx context.Context, before time.Time, limit int) ([]persist.RoomAlarm, error)
}

// Config is what a server is made of. Everything but Store has a default.
type Config struct {
	// Store keeps the documents. Required. The server does not close it.
	Store Store
	// RoomStore keeps the data of rooms. Nil means Store, if it can.
	RoomStore RoomStore
	// Archive keeps epochs and versions of documents. Nil means Store, if it can.
	Archive Archive
	// Materialiser makes the edits that turn a document into another one, for
	// Room.Restore. Nil means that there is none of that.
	Materialiser Materialiser
	// Sweep says when what is no longer needed leaves the archive.
	Sweep Sweep
	// Origin decides which browser pages may connect. Nil allows requests
	// without an Origin and those of the same host.
	Origin *gate.OriginPolicy
	// Prefixes are the path prefixes of the PartyServer routes. Nil means
	// "parties" and "realtime".
	Prefixes []string
	// Reserved are first path segments that never reach a y-websocket mount,
	// beside the prefixes, "healthz" and "readyz".
	Reserved []string
	// Logger receives structured logs. Nil discards them.
	Logger *slog.Logger
	// CommitInterval bounds how often the store is asked to commit: the first
	// after a pause at once, then once per interval. Zero means 10 ms.
	CommitInterval time.Duration
	// StoreTimeout bounds one call of the store. One that brings much has as much
	// again for each 8 MiB. Zero means 30 s.
	StoreTimeout time.Duration
	// LoadTimeout bounds loading a room, hooks included. Zero means 30 s.
	LoadTimeout time.Duration
	// Recheck is how often the Guards are asked again about the connections that
	// are open, all of a party at once. Zero means 5 min, negative never.
	Recheck time.Duration
	// SecretParams are query parameters whose values Connection.URI does not
	// show, beside api_key, key, ws_ticket and token.
	SecretParams []string
	// Limits bound the whole process.
	Limits ServerLimits
	// ClientAddr returns the address that limits and logs use for a request.
	// Nil means its RemoteAddr without the port.
	ClientAddr func(*http.Request) string
}

// ServerLimits bound all rooms together. Zero means the default given.
type ServerLimits struct {
	Connections      int // 100,000
	ConnectionsPerIP int // no limit
	// UpgradesPerSecond bounds how fast clients connect, so that all of them
	// coming back at once is spread; more get 503. No limit.
	UpgradesPerSecond int
	Rooms             int   // in memory at once; 100,000
	DocumentBytes     int64 // documents in memory; 4 GiB
	InboundBytes      int64 // frames over 1 MiB being received; 512 MiB
	// Uncommitted bounds what waits for the store. Over it a room for which
	// something waits is read no further. 1 GiB.
	Uncommitted int64
}

func (c Config) withDefaults() Config {
	if c.Origin == nil {
		c.Origin, _ = gate.NewOriginPolicy(gate.OriginConfig{}) // the zero config is valid
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Prefixes == nil {
		c.Prefixes = []string{"parties", "realtime"}
	}
	if c.ClientAddr == nil {
		c.ClientAddr = remoteHost
	}
	if c.RoomStore == nil {
		c.RoomStore, _ = c.Store.(RoomStore)
	}
	if c.Archive == nil {
		c.Archive, _ = c.Store.(Archive)
	}
	c.Sweep = c.Sweep.withDefaults()
	setDefault(&c.Recheck, 5*time.Minute)
	setDefault(&c.CommitInterval, 10*time.Millisecond)
	setDefault(&c.StoreTimeout, 30*time.Second)
	setDefault(&c.LoadTimeout, 30*time.Second)
	setDefault(&c.Limits.Connections, 100_000)
	setDefault(&c.Limits.Rooms, 100_000)
	setDefault(&c.Limits.DocumentBytes, 4<<30)
	setDefault(&c.Limits.InboundBytes, 512<<20)
	setDefault(&c.Limits.Uncommitted, 1<<30)
	return c
}

func (c Config) validate(parties []Party) error {
	if c.Store == nil {
		return errors.New("no store: set Config.Store")
	}
	if len(parties) == 0 {
		return errors.New("no party: a server without rooms answers nothing")
	}
	names, mounts := map[string]bool{}, map[string]string{}
	for _, p := range parties {
		if err := p.validate(); err != nil {
			return err
		}
		if names[p.Name] {
			return fmt.Errorf("two parties are named %q", p.Name)
		}
		names[p.Name] = true
		if _, ok := c.RoomStore.(Outbox); !ok && p.Document != nil && p.Document.Webhook != nil {
			return fmt.Errorf("party %q: webhook: the store has no outbox; set Config.RoomStore", p.Name)
		}
		if c.RoomStore == nil && p.Message != nil && (p.Message.State != nil || p.Message.History != nil) {
			return fmt.Errorf("party %q: state or history: the store keeps no data of rooms; set Config.RoomStore", p.Name)
		}
		if p.YWebSocket == "" {
			continue
		}
		mount := strings.Trim(p.YWebSocket, "/")
		if other, taken := mounts[mount]; taken {
			return fmt.Errorf("parties %q and %q share the y-websocket path %q", other, p.Name, p.YWebSocket)
		}
		mounts[mount] = p.Name
		if first, _, _ := strings.Cut(mount, "/"); mount != "" && c.reserved()[first] {
			return fmt.Errorf("party %q: y-websocket path %q: %q is taken by the server", p.Name, p.YWebSocket, first)
		}
	}
	return nil
}

// reserved is the set of first path segments that no y-websocket mount sees.
func (c Config) reserved() map[string]bool {
	set := map[string]bool{"healthz": true, "readyz": true}
	for _, p := range c.Prefixes {
		first, _, _ := strings.Cut(strings.Trim(p, "/"), "/")
		set[first] = true
	}
	for _, s := range c.Reserved {
		set[strings.Trim(s, "/")] = true
	}
	return set
}
