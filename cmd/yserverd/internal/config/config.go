// Package config reads yserverd.yaml and the environment into a checked Config.
//
// Invariants:
//
//   - Every mistake of a file is reported at once, each with its line, in the order of the lines; a Config is returned
//     only if there is none.
//   - Nothing is ignored: a key that the file may not have is an error with the nearest key that exists, and one that
//     the format knows but this version does not act on is an error that says so.
//   - The struct is the schema: the keys, their types and the names of their environment variables are read off Config,
//     and what Default returns are the defaults.
//   - A value that came from the environment, or that belongs to a secret key, is never repeated in an error.
//
// Of what it configures the package knows the words of gate/identity and gate/access alone: it turns YAML into their
// declarations and gives what they find wrong its line. Package main turns a Config into stores, gates and parties.
package config

import (
	"log/slog"
	"net/netip"
	"strings"
	"time"
)

// Size is a number of bytes: written as a whole number, or with B, KiB, MiB, GiB or TiB.
type Size int64

// Config is a yserverd.yaml, defaults filled in and every value checked.
type Config struct {
	Listen          string           `koanf:"listen"`
	PublicURL       string           `koanf:"public_url"`
	Prefixes        []string         `koanf:"prefixes"`
	AllowedOrigins  []string         `koanf:"allowed_origins"`
	TrustedProxies  []netip.Prefix   `koanf:"trusted_proxies"`
	ShutdownTimeout time.Duration    `koanf:"shutdown_timeout"`
	DataDir         string           `koanf:"data_dir"`
	Store           Store            `koanf:"store"`
	Snapshots       Snapshots        `koanf:"snapshots"`
	Delete          Delete           `koanf:"delete"`
	Rooms           map[string]*Room `koanf:"rooms"` // by binding name
	Auth            Auth             `koanf:"auth"`
	Database        Database         `koanf:"database"`
	Resources       Resources        `koanf:"resources"`
	Relationships   Relationships    `koanf:"relationships"`
	Admin           Admin            `koanf:"admin"`
	Limits          Limits           `koanf:"limits"`
	Log             Log              `koanf:"log"`

	places places // of its keys

	// Warnings are what deserves a look and stops nothing. No key of its own.
	Warnings []Problem
}

// Store says where documents are kept.
type Store struct {
	URL            string `koanf:"url"` // of a PostgreSQL database, with its password; empty: DataDir
	MaxConnections int    `koanf:"max_connections"`
}

// Snapshots says when the log of a document is folded, where snapshots lie and how long what they replace is kept.
type Snapshots struct {
	S3             S3            `koanf:"s3"`
	EveryUpdates   int           `koanf:"every_updates"`
	EveryBytes     Size          `koanf:"every_bytes"`
	KeepVersions   KeepVersions  `koanf:"keep_versions"`
	KeepSuperseded time.Duration `koanf:"keep_superseded"`
}

// S3 is a bucket for snapshots and versions. Without an Endpoint there is none, and the store keeps them.
type S3 struct {
	Endpoint  string `koanf:"endpoint"`
	Bucket    string `koanf:"bucket"`
	Region    string `koanf:"region"`
	Prefix    string `koanf:"prefix"`
	AccessKey string `koanf:"access_key"`
	SecretKey string `koanf:"secret_key"`
	PathStyle bool   `koanf:"path_style"`
	TLS       bool   `koanf:"tls"`
}

// KeepVersions says how often a document that changes gets an automatic version, and how many of them it keeps.
type KeepVersions struct {
	Interval time.Duration `koanf:"interval"` // 0 makes none
	Max      int           `koanf:"max"`
}

// Delete says how long what was deleted can be taken back.
type Delete struct {
	Retention time.Duration `koanf:"retention"`
}

// The types of rooms.
const (
	TypeDocument = "document"
	TypeMessage  = "message"
)

// Room is one entry of rooms: a binding, and so a party. A key with the tag "only" belongs to rooms of that type; in
// others it is refused, and has its default here.
type Room struct {
	Party string // the party's name, made from the binding; no key of its own

	Type              string        `koanf:"type"` // TypeDocument or TypeMessage
	Access            Access        `koanf:"access"`
	Write             Write         `koanf:"write"`
	Ticket            Ticket        `koanf:"ticket"`
	CORS              bool          `koanf:"cors"`
	YWebSocket        YWebSocket    `koanf:"y_websocket" only:"document"`
	Durability        string        `koanf:"durability" only:"document"` // echo or committed
	GC                bool          `koanf:"gc" only:"document"`
	Save              Save          `koanf:"save" only:"document"`
	Webhook           Webhook       `koanf:"webhook" only:"document"`
	RequireEpoch      bool          `koanf:"require_epoch" only:"document"`
	AwarenessInterval time.Duration `koanf:"awareness_interval" only:"document"` // 0 forwards each
	Presence          bool          `koanf:"presence" only:"message"`
	Relay             string        `koanf:"relay" only:"message"` // json, raw or none
	State             State         `koanf:"state" only:"message"`
	History           History       `koanf:"history" only:"message"`
	PingInterval      time.Duration `koanf:"ping_interval"`
	Idle              Idle          `koanf:"idle"`
	Limits            RoomLimits    `koanf:"limits"`
}

// YWebSocket mounts a party for y-websocket clients.
type YWebSocket struct {
	Path string `koanf:"path"` // with a leading slash and no trailing one, "/" for the root; empty is no mount
}

// Save times the saving of changed documents.
type Save struct {
	Wait    time.Duration `koanf:"wait"`
	MaxWait time.Duration `koanf:"max_wait"`
}

// Webhook is told of changed documents over HTTP. Without a URL there is none.
type Webhook struct {
	URL     string   `koanf:"url"`
	Secret  string   `koanf:"secret"`
	Events  []string `koanf:"events"`
	MaxBody Size     `koanf:"max_body"` // 0 sends no content
}

// State is the JSON state that a message room keeps for its clients.
type State struct {
	Enabled  bool `koanf:"enabled"`
	MaxBytes Size `koanf:"max_bytes"`
}

// History is the last messages that a message room keeps.
type History struct {
	Messages int  `koanf:"messages"` // 0 keeps none
	MaxBytes Size `koanf:"max_bytes"`
}

// Idle says when a room leaves memory: one without connections, and one in which nothing happens.
type Idle struct {
	UnloadAfter    time.Duration `koanf:"unload_after"`
	HibernateAfter time.Duration `koanf:"hibernate_after"`
}

// RoomLimits bound one room and its connections.
type RoomLimits struct {
	Message           Size `koanf:"message"`
	Document          Size `koanf:"document" only:"document"`
	Pending           Size `koanf:"pending" only:"document"`
	Nesting           int  `koanf:"nesting"`
	Peers             int  `koanf:"peers"`
	PeerQueue         Size `koanf:"peer_queue"`
	MessagesPerSecond int  `koanf:"messages_per_second"` // of one connection; 0 is that of Config.Limits
	Awareness         Size `koanf:"awareness" only:"document"`
	AwarenessIDs      int  `koanf:"awareness_ids" only:"document"`
	AwarenessRoom     Size `koanf:"awareness_room" only:"document"`
}

// Limits bound all rooms together.
type Limits struct {
	InboundBytes      Size `koanf:"inbound_bytes"`
	UncommittedBytes  Size `koanf:"uncommitted_bytes"` // accepted edits that wait for the store
	Connections       int  `koanf:"connections"`
	ConnectionsPerIP  int  `koanf:"connections_per_ip"` // 0 is no limit
	Rooms             int  `koanf:"rooms"`
	DocumentBytes     Size `koanf:"document_bytes"`
	MessagesPerSecond int  `koanf:"messages_per_second"` // of one connection; 0 is no limit

	AuthFailuresPerMinute  int           `koanf:"auth_failures_per_minute"` // of one address; 0 is no limit
	UpgradesPerSecond      int           `koanf:"upgrades_per_second"`      // of all; 0 is no limit
	UnauthenticatedTimeout time.Duration `koanf:"unauthenticated_timeout"`  // for the headers of a request
}

// Log says what is logged and how.
type Log struct {
	Level  slog.Level `koanf:"level"`
	Format string     `koanf:"format"` // text or json
}

// Default returns the configuration of an empty file. It lacks rooms, so it is not a valid one.
func Default() *Config {
	return &Config{
		Listen:          "127.0.0.1:1234",
		Prefixes:        []string{"realtime", "parties"},
		ShutdownTimeout: 20 * time.Second,
		DataDir:         "./yserverd-data",
		Store:           Store{MaxConnections: 16},
		Snapshots: Snapshots{
			S3:           S3{Region: "us-east-1", PathStyle: true, TLS: true},
			EveryUpdates: 500, EveryBytes: 1 << 20,
			KeepVersions: KeepVersions{Interval: 10 * time.Minute, Max: 50}, KeepSuperseded: 168 * time.Hour,
		},
		Delete: Delete{Retention: 720 * time.Hour},
		Rooms:  map[string]*Room{},
		Auth:   defaultAuth(),
		Admin:  Admin{Enabled: true, Path: "/admin"},
		Limits: Limits{
			InboundBytes: 512 << 20, UncommittedBytes: 1 << 30, Connections: 100_000, Rooms: 100_000, DocumentBytes: 4 << 30,
			AuthFailuresPerMinute: 120, UnauthenticatedTimeout: 10 * time.Second,
		},
		Log: Log{Level: slog.LevelInfo, Format: "text"},
	}
}

// DefaultRoom returns a room whose entry is empty. It lacks a type, so it is not a valid one.
func DefaultRoom() *Room {
	return &Room{
		Write:             Write{Presence: "all"},
		CORS:              true,
		Durability:        "echo",
		GC:                true,
		Save:              Save{Wait: 2 * time.Second, MaxWait: 10 * time.Second},
		Webhook:           Webhook{Events: []string{"save"}, MaxBody: 1 << 20},
		AwarenessInterval: 16 * time.Millisecond,
		Presence:          true,
		Relay:             "json",
		State:             State{Enabled: true, MaxBytes: 256 << 10},
		History:           History{MaxBytes: 1 << 20},
		PingInterval:      25 * time.Second,
		Idle:              Idle{UnloadAfter: 30 * time.Second, HibernateAfter: 5 * time.Minute},
		Limits: RoomLimits{
			Message: 32 << 20, Document: 256 << 20, Pending: 8 << 20, Nesting: 512, Peers: 2000, PeerQueue: 4 << 20,
			Awareness: 64 << 10, AwarenessIDs: 64, AwarenessRoom: 4 << 20,
		},
	}
}

// later are the keys of the format that this version does not act on. "*" stands for any binding. A key below one of
// them is not looked at.
var later = []string{
	"broadcast", "metrics", "otel",
}

// reserved are the first path segments that the server keeps for itself, some of them for versions to come. That of
// Admin.Path comes to them.
var reserved = []string{"healthz", "readyz", "broadcast", "metrics"}

// Reserved returns the first path segments that neither a prefix nor a y-websocket mount may take.
func (c *Config) Reserved() []string {
	first, _, _ := strings.Cut(strings.Trim(c.Admin.Path, "/"), "/")
	return append(reserved[:len(reserved):len(reserved)], first)
}
