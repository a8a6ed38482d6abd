package config_test

import (
	"bytes"
	"crypto/sha256"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/yserverd/yserverd/cmd/yserverd/internal/config"
	"github.com/yserverd/yserverd/gate"
)

// minimal is the shortest valid file.
const minimal = "rooms:\n  MAIN: {type: document, access: public}\n"

// noAdmin is the warning of a file that says nothing of admin.
var noAdmin = config.Problem{
	File: "y.yaml", Key: "admin.tokens",
	Message: "is empty, so there is no admin API; admin: {enabled: false} says that this is meant",
}

func parse(text string, environ ...string) (*config.Config, error) {
	c, err := config.Parse("y.yaml", []byte(text), config.Options{Environ: environ, PartyName: lower})
	return config.Forget(c), err
}

// lower stands in for the rule of party names, which is package main's to give.
func lower(binding string) string { return strings.ReplaceAll(strings.ToLower(binding), "_", "-") }

func TestMinimal(t *testing.T) {
	c, err := parse(minimal)
	require.NoError(t, err)
	want := config.Default()
	room := config.DefaultRoom()
	room.Type, room.Access, room.Party = "document", config.PublicAccess(), "main"
	want.Rooms["MAIN"] = room
	want.Warnings = []config.Problem{noAdmin}
	require.Equal(t, want, c)
}

func TestEveryKey(t *testing.T) {
	c, err := parse(`
listen: "[::1]:4321"
public_url: https://docs.example/yjs
prefixes: [/api/rooms/, parties]
allowed_origins:
  - https://app.example
  - "*"
trusted_proxies: [10.1.2.3/8, 127.0.0.1, "::1"]
shutdown_timeout: 1m30s
data_dir: /var/lib/yserverd
store: {url: "postgresql://u:p%2Fw@[::1]:5/db?sslmode=disable", max_connections: 6}
snapshots:
  every_updates: 7
  every_bytes: 64KiB
  s3: {endpoint: "localhost:9000", bucket: my-bucket, region: x, prefix: a/b, access_key: k, secret_key: s, path_style: false, tls: false}
  keep_versions: {interval: 0, max: 8}
  keep_superseded: 9h
delete: {retention: 10h}
rooms:
  DOCUMENT_ROOM:
    type: document
    access: public
    cors: false
    y_websocket: {path: /yjs/}
    durability: committed
    gc: false
    save: {wait: 1s, max_wait: 1s}
    webhook: {url: "https://app.example/hook", secret: 0123456789abcdef0123456789abcdef-, events: [save], max_body: 0}
    require_epoch: true
    write: {roles: [editor], presence: writers}
    ticket: true
    awareness_interval: 0
    ping_interval: 10s
    idle: {unload_after: 1ms, hibernate_after: 2ms}
    limits:
      messages_per_second: 10
      message: 1MiB
      document: 2 MiB
      pending: 3KiB
      nesting: 4
      peers: 5
      peer_queue: 6B
      awareness: 7
      awareness_ids: 8
      awareness_room: 9GiB
  Other: {type: document, access: public, y_websocket: {path: /}}
  INTERVIEW_ROOM:
    type: message
    access: public
    cors: false
    presence: false
    relay: none
    state: {enabled: false, max_bytes: 1KiB}
    history: {messages: 0, max_bytes: 2KiB}
    ping_interval: 3s
    idle: {unload_after: 4ms, hibernate_after: 5ms}
    limits: {message: 6, nesting: 7, peers: 8, peer_queue: 9, messages_per_second: 10}
limits: {inbound_bytes: 1MiB, uncommitted_bytes: 2MiB, connections: 1, connections_per_ip: 2, rooms: 3, document_bytes: 1TiB, messages_per_second: 4,
         auth_failures_per_minute: 0, upgrades_per_second: 5, unauthenticated_timeout: 6s}
auth:
  secret: 0123456789abcdef0123456789abcdef
  jwt:
    algorithms: [RS256, HS256]
    jwks_url: https://login.example/keys
    issuer: https://login.example
    audience: documents
    leeway: 1s
    claims: {user: uid, org: tenant, roles: groups, name: nickname, user_role: level}
  session: {enabled: true, cookie: sid, table: app.session, membership_table: members, user_table: users, columns: {session.userId: user_id}}
  api_keys:
    header: x-key
    query: [k]
    table: keys
    columns: {key: hash}
    static: [{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08, user: svc, org: o1, roles: [admin, member], name: CI}]
  pinned_org: o1
  role_hierarchy: [member, admin]
  recheck: 0
  refresh_grace: 1s
database: {url: "postgres://u@h/app"}
admin:
  path: /ops/
  listen: 127.0.0.1:9999
  tokens:
    - 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    - {sha256: 2C26B46B68FFC68FF99B453C1D30413413422D706483BFA0F98A5E886266E7AE, name: ci, role: read}
log: {level: debug, format: json}
`)
	require.NoError(t, err)
	document, message, other := config.DefaultRoom(), config.DefaultRoom(), config.DefaultRoom()
	document.Party, document.Type, document.Access, document.CORS = "document-room", "document", config.PublicAccess(), false
	document.YWebSocket.Path, document.Durability, document.GC = "/yjs", "committed", false
	document.Save, document.AwarenessInterval = config.Save{Wait: time.Second, MaxWait: time.Second}, 0
	document.Webhook, document.RequireEpoch = config.Webhook{
		URL: "https://app.example/hook", Secret: "0123456789abcdef0123456789abcdef-", Events: []string{"save"},
	}, true
	document.PingInterval = 10 * time.Second
	document.Write, document.Ticket = config.Write{Roles: []string{"editor"}, Presence: "writers"}, config.Ticket(gate.TicketsToo)
	document.Idle = config.Idle{UnloadAfter: time.Millisecond, HibernateAfter: 2 * time.Millisecond}
	document.Limits = config.RoomLimits{
		Message: 1 << 20, Document: 2 << 20, Pending: 3 << 10, Nesting: 4, Peers: 5, PeerQueue: 6, Awareness: 7,
		AwarenessIDs: 8, AwarenessRoom: 9 << 30, MessagesPerSecond: 10,
	}
	message.Party, message.Type, message.Access, message.CORS = "interview-room", "message", config.PublicAccess(), false
	message.Presence, message.Relay = false, "none"
	message.State, message.History = config.State{MaxBytes: 1 << 10}, config.History{MaxBytes: 2 << 10}
	message.PingInterval = 3 * time.Second
	message.Idle = config.Idle{UnloadAfter: 4 * time.Millisecond, HibernateAfter: 5 * time.Millisecond}
	message.Limits.Message, message.Limits.Nesting, message.Limits.Peers = 6, 7, 8
	message.Limits.PeerQueue, message.Limits.MessagesPerSecond = 9, 10
	other.Type, other.Access, other.Party, other.YWebSocket.Path = "document", config.PublicAccess(), "other", "/"
	require.Equal(t, &config.Config{
		Listen: "[::1]:4321", PublicURL: "https://docs.example/yjs", Prefixes: []string{"api/rooms", "parties"},
		AllowedOrigins: []string{"https://app.example", "*"},
		TrustedProxies: []netip.Prefix{
			netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("::1/128"),
		},
		ShutdownTimeout: 90 * time.Second, DataDir: "/var/lib/yserverd",
		Store: config.Store{URL: "postgresql://u:p%2Fw@[::1]:5/db?sslmode=disable", MaxConnections: 6},
		Snapshots: config.Snapshots{
			EveryUpdates: 7, EveryBytes: 64 << 10,
			S3:             config.S3{Endpoint: "localhost:9000", Bucket: "my-bucket", Region: "x", Prefix: "a/b", AccessKey: "k", SecretKey: "s"},
			KeepVersions:   config.KeepVersions{Max: 8},
			KeepSuperseded: 9 * time.Hour,
		},
		Delete: config.Delete{Retention: 10 * time.Hour},
		Rooms:  map[string]*config.Room{"DOCUMENT_ROOM": document, "Other": other, "INTERVIEW_ROOM": message},
		Limits: config.Limits{
			InboundBytes: 1 << 20, UncommittedBytes: 2 << 20, Connections: 1, ConnectionsPerIP: 2, Rooms: 3, DocumentBytes: 1 << 40, MessagesPerSecond: 4,
			UpgradesPerSecond: 5, UnauthenticatedTimeout: 6 * time.Second,
		},
		Log: config.Log{Level: slog.LevelDebug, Format: "json"},
		Auth: config.Auth{
			Secret: "0123456789abcdef0123456789abcdef",
			JWT: config.JWT{
				Algorithms: []string{"RS256", "HS256"}, JWKSURL: "https://login.example/keys", Issuer: "https://login.example",
				Audience: "documents", Leeway: time.Second,
				Claims: config.Claims{User: "uid", Org: "tenant", Roles: "groups", Name: "nickname", UserRole: "level"},
			},
			Session: config.Session{
				Enabled: true, Cookie: "sid", Table: "app.session", MembershipTable: "members", UserTable: "users",
				Columns: config.Names{"session.userId": "user_id"},
				Named: map[string]bool{
					"enabled": true, "table": true, "membership_table": true, "user_table": true, "columns.session.userId": true,
				},
			},
			APIKeys: config.APIKeys{
				Header: "x-key", Query: []string{"k"}, Table: "keys", Columns: config.Names{"key": "hash"},
				Static: []config.StaticKey{{
					SHA256: sha256.Sum256([]byte("test")), User: "svc", Org: "o1", Roles: []string{"admin", "member"}, Name: "CI",
				}},
				Named: map[string]bool{"table": true, "columns.key": true},
			},
			PinnedOrg: "o1", RoleHierarchy: []string{"member", "admin"}, RefreshGrace: time.Second,
		},
		Database: config.Database{URL: "postgres://u@h/app"},
		Admin: config.Admin{Enabled: true, Path: "/ops", Listen: "127.0.0.1:9999", Tokens: []config.AdminToken{
			{Name: "token-1", SHA256: sha256.Sum256([]byte("test")), Write: true},
			{Name: "ci", SHA256: sha256.Sum256([]byte("foo"))},
		}},
	}, c)
}

// TestAllAtOnce: one run tells everything, in the order of the lines, those of the environment last.
func TestAllAtOnce(t *testing.T) {
	_, err := parse(`listen: nowhere
shutdown_timeout: never
prefixs: [a]
otel: {secret: x}
rooms:
  MAIN:
    type: massage
    access: public
    relay: none
    history: {messages: 3}
    limits: {peers: none, message: 0}
  main: {type: document, access: public}
log: {format: xml}
`, "YSERVERD_LIMITS_ROOMS=hunter2", "YSERVERD_METRICS_LISTEN=hunter2")
	require.EqualError(t, err, `y.yaml:1: listen: want an address and a port such as 127.0.0.1:1234 or :1234
y.yaml:2: shutdown_timeout: want a duration such as 500ms, 20s or 5m, got "never"
y.yaml:3: prefixs: unknown key, did you mean prefixes?
y.yaml:4: otel: known, but not supported by this version
y.yaml:7: rooms.MAIN.type: unknown type, did you mean message?
y.yaml:10: rooms.MAIN.history.messages: needs relay: json, since other messages have no offset
y.yaml:11: rooms.MAIN.limits.message: want more than 0
y.yaml:11: rooms.MAIN.limits.peers: want a whole number, got "none"
y.yaml:12: rooms.main: is the party main, and so is MAIN: rename one
y.yaml:13: log.format: want text or json
YSERVERD_LIMITS_ROOMS: limits.rooms: want a whole number, got something else from the environment
YSERVERD_METRICS_LISTEN: known, but not supported by this version`)
}

func TestEnvironment(t *testing.T) {
	c, err := parse(
		"listen: :1\nrooms:\n  DOC_ROOM: {type: document, access: '', limits: {peers: 3}}\n  notes: {type: document, access: public}\n",
		"YSERVERD_LISTEN=:2", "YSERVERD_PUBLIC_URL=https://docs.example", "YSERVERD_ALLOWED_ORIGINS=https://a.example, https://b.example",
		"YSERVERD_TRUSTED_PROXIES=10.0.0.0/8", "YSERVERD_SHUTDOWN_TIMEOUT=3s", "YSERVERD_STORE_URL=", "YSERVERD_SNAPSHOTS_EVERY_BYTES=2KiB",
		"YSERVERD_ROOMS_DOC_ROOM_ACCESS=public", "YSERVERD_ROOMS_DOC_ROOM_LIMITS_PEERS=4", "YSERVERD_ROOMS_NOTES_CORS=false",
		"YSERVERD_ROOMS_NOTES_Y_WEBSOCKET_PATH=/notes", "YSERVERD_LOG_LEVEL=warn", "YSERVERD_LIMITS_MESSAGES_PER_SECOND=9",
		"HOME=/home/u", "YSERVERD_PORT=tcp://10.0.0.1:80", "YSERVERD_METRICS_PORT_80_TCP_ADDR=10.0.0.1", "YSERVERD_SERVICE_HOST=10.0.0.1",
		"YSERVERD_TEST_REQUIRE=1",
	)
	require.NoError(t, err)
	require.Equal(t, ":2", c.Listen)
	require.Equal(t, "https://docs.example", c.PublicURL)
	require.Equal(t, []string{"https://a.example", "https://b.example"}, c.AllowedOrigins)
	require.Equal(t, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, c.TrustedProxies)
	require.Equal(t, 3*time.Second, c.ShutdownTimeout)
	require.Equal(t, config.Size(2048), c.Snapshots.EveryBytes)
	require.True(t, c.Rooms["DOC_ROOM"].Access.Public)
	require.Equal(t, 4, c.Rooms["DOC_ROOM"].Limits.Peers)
	require.Equal(t, "document", c.Rooms["DOC_ROOM"].Type, "a variable replaces its own key only")
	require.False(t, c.Rooms["notes"].CORS)
	require.Equal(t, "/notes", c.Rooms["notes"].YWebSocket.Path)
	require.Equal(t, slog.LevelWarn, c.Log.Level)
	require.Equal(t, 9, c.Limits.MessagesPerSecond)
	require.Equal(t, []config.Problem{noAdmin}, c.Warnings)
}

func TestEnvironmentProblems(t *testing.T) {
	for _, row := range []struct{ name, text, variable, want string }{
		{"wrong type", minimal, "YSERVERD_SHUTDOWN_TIMEOUT=hunter2", "YSERVERD_SHUTDOWN_TIMEOUT: shutdown_timeout: want a duration such as 500ms, 20s or 5m, got something else from the environment"},
		{"wrong item", minimal, "YSERVERD_TRUSTED_PROXIES=10.0.0.1,hunter2", "YSERVERD_TRUSTED_PROXIES: trusted_proxies[1]: want an address or a network such as 10.0.0.0/8, got something else from the environment"},
		{"wrong value", minimal, "YSERVERD_LOG_FORMAT=hunter2", "YSERVERD_LOG_FORMAT: log.format: want text or json"},
		{"of a room", minimal, "YSERVERD_ROOMS_MAIN_LIMITS_PEERS=0", "YSERVERD_ROOMS_MAIN_LIMITS_PEERS: rooms.MAIN.limits.peers: want more than 0"},
		{"of another type of room", minimal, "YSERVERD_ROOMS_MAIN_STATE_ENABLED=hunter2", "YSERVERD_ROOMS_MAIN_STATE_ENABLED: rooms.MAIN.state.enabled: want true or false, got something else from the environment"},
		{"of another type of room, in a mapping", minimal, "YSERVERD_ROOMS_MAIN_HISTORY_MESSAGES=3", "YSERVERD_ROOMS_MAIN_HISTORY_MESSAGES: rooms.MAIN.history.messages: a document room has no use for it: it belongs to type: message"},
		{"unknown type", minimal, "YSERVERD_ROOMS_MAIN_TYPE=hunter2", "YSERVERD_ROOMS_MAIN_TYPE: rooms.MAIN.type: unknown type: want document or message"},
		{"a store that is none", minimal, "YSERVERD_STORE_URL=postgres://u:hun/ter2@h/db", "YSERVERD_STORE_URL: store.url: is no URL: in a password everything but letters, digits and -._~ is percent-encoded, / as %2F and @ as %40"},
		{"half of the keys", "snapshots: {s3: {endpoint: h, bucket: abc}}\n" + minimal, "YSERVERD_SNAPSHOTS_S3_SECRET_KEY=hunter2", "y.yaml:1: snapshots.s3.access_key: is missing: both keys or none (then those of the environment, the machine or the pod)"},
		{"key of later", minimal, "YSERVERD_BROADCAST_PATH=hunter2", "YSERVERD_BROADCAST_PATH: known, but not supported by this version"},
		{"a short secret", minimal, "YSERVERD_AUTH_SECRET=hunter2", "YSERVERD_AUTH_SECRET: auth.secret: is too short: want at least 32 bytes: head -c 32 /dev/urandom | base64"},
		{"a database that is none", minimal, "YSERVERD_DATABASE_URL=hunter2", "YSERVERD_DATABASE_URL: database.url: want postgres://user:password@host:port/database, or nothing: then it is store.url"},
		{"a table without a database", minimal, "YSERVERD_AUTH_SESSION_TABLE=hunter2", "YSERVERD_AUTH_SESSION_TABLE: auth.session.table: there is no database to look in for the table (a value from the environment): set database.url, or leave the table out"},
		{"a mapping", minimal, "YSERVERD_ROOMS_MAIN_ACCESS=hunter2", "YSERVERD_ROOMS_MAIN_ACCESS: rooms.MAIN.access: want public, {resource: <feature>}, {roomId: {pattern: ...}, resources: {...}}, {roomIdEquals: ctx.userId} or {webhook: {url: ...}}"},
		{"of nothing", "auth: {jwt: {audience: documents}}\n" + minimal, "YSERVERD_AUTH_JWT_AUDIENCE=", "YSERVERD_AUTH_JWT_AUDIENCE: is empty, and would take back what the file asks of callers: unset it, or take auth.jwt.audience out of the file"},
		{"secret alone", minimal, "YSERVERD_ROOMS_MAIN_WEBHOOK_SECRET=hunter2", "y.yaml:2: rooms.MAIN.webhook.url: is missing, but secret is there: want the URL to be told"},
		{"two rooms of one name", "rooms:\n  a-b: {type: document, access: public}\n  a_b: {type: document, access: public}", "YSERVERD_ROOMS_A_B_CORS=true", "y.yaml:3: rooms.a_b: is the party a-b, and so is a-b: rename one\nYSERVERD_ROOMS_A_B_CORS: stands for both rooms.a-b.cors and rooms.a_b.cors"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := parse(row.text, row.variable)
			require.EqualError(t, err, row.want)
		})
	}
}

func TestEnvironmentWarnings(t *testing.T) {
	c, err := parse("auth: {jwt: {issuer: ''}}\n"+minimal, "YSERVERD_LISTN=:1", "YSERVERD_ROOMS_MIAN_CORS=false",
		"YSERVERD_ADMIN_TOKEN=hunter2", "YSERVERD_AUTH_JWT_ISSUER=", "YSERVERD_AUTH_JWT_AUDIENCE=")
	require.NoError(t, err)
	require.Equal(t, []config.Problem{
		{File: "YSERVERD_LISTN", Message: "no key has this variable: did you mean YSERVERD_LISTEN?"},
		{File: "YSERVERD_ROOMS_MIAN_CORS", Message: "no room of the file has this key"},
		noAdmin,
	}, c.Warnings)
}

func TestReferences(t *testing.T) {
	c, err := parse(`
listen: ${HOST}:${PORT:-7}
data_dir: ${DIR:-/var/lib/${NOT_NESTED}
public_url: ${EMPTY}
allowed_origins: ["https://${NAME:-x}.example"]
trusted_proxies: ${PROXIES}
limits: {rooms: "${ROOMS:-12}", connections: "${CONNECTIONS}"}
rooms:
  MAIN: {type: "${TYPE:-document}", access: public, cors: "${CORS}", limits: {message: "${SIZE}MiB"}}
`, "HOST=127.0.0.1", "EMPTY=", "NAME=", "PROXIES=10.0.0.0/8,::1", "CONNECTIONS=34", "CORS=false", "SIZE=5")
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:7", c.Listen)
	require.Equal(t, "/var/lib/${NOT_NESTED", c.DataDir, "a default ends at the first brace")
	require.Empty(t, c.PublicURL, "set to nothing is set")
	require.Equal(t, []string{"https://x.example"}, c.AllowedOrigins, ":- stands in for an empty variable too")
	require.Len(t, c.TrustedProxies, 2, "a list from one variable")
	require.Equal(t, 12, c.Limits.Rooms)
	require.Equal(t, 34, c.Limits.Connections)
	require.False(t, c.Rooms["MAIN"].CORS)
	require.Equal(t, config.Size(5<<20), c.Rooms["MAIN"].Limits.Message)

	_, err = parse("limits: {rooms: \"x${SECRET}\"}\n"+minimal, "SECRET=hunter2")
	require.EqualError(t, err, "y.yaml:1: limits.rooms: want a whole number, got something else from the environment")
}

func TestAnchors(t *testing.T) {
	c, err := parse(`
rooms:
  A: &a
    type: document
    access: public
    limits: &small {peers: 3, nesting: 9}
  B:
    <<: *a
    gc: false
    limits: {<<: *small, peers: 4}
  C: {<<: [{type: document}, *a], access: public, limits: *small}
`)
	require.NoError(t, err)
	require.Equal(t, "document", c.Rooms["B"].Type)
	require.Equal(t, 4, c.Rooms["B"].Limits.Peers, "the mapping's own key wins")
	require.Equal(t, 9, c.Rooms["B"].Limits.Nesting)
	require.False(t, c.Rooms["B"].GC)
	require.True(t, c.Rooms["A"].GC)
	require.Equal(t, 3, c.Rooms["C"].Limits.Peers)
}

// TestAliasBomb: a few lines that stand for a great many values are refused, not unfolded.
func TestAliasBomb(t *testing.T) {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 12; i++ {
		before := "*a" + string(rune('a'+i-2))
		if i == 1 {
			before = "*a0"
		}
		b.WriteString("k" + string(rune('a'+i-1)) + ": &a" + string(rune('a'+i-1)) + " [" + strings.Repeat(before+", ", 9) + before + "]\n")
	}
	_, err := parse(b.String())
	require.ErrorContains(t, err, "too many values")
}

func TestLoad(t *testing.T) {
	name := filepath.Join(t.TempDir(), "yserverd.yaml")
	o := config.Options{PartyName: lower}
	_, err := config.Load(name, o)
	require.EqualError(t, err, name+": no such file or directory")

	require.NoError(t, os.WriteFile(name, []byte("lisen: 1\n"+minimal), 0o600))
	_, err = config.Load(name, o)
	require.EqualError(t, err, name+":1: lisen: unknown key, did you mean listen?")

	require.NoError(t, os.WriteFile(name, []byte("# empty\n"), 0o600))
	_, err = config.Load(name, o)
	require.EqualError(t, err, name+": rooms: no room is declared, so nothing could be opened")
}

func TestSizeString(t *testing.T) {
	for n, want := range map[config.Size]string{0: "0B", 1000: "1000B", 1024: "1KiB", 3 << 20: "3MiB", 1<<30 + 1024: "1048577KiB", 1 << 40: "1TiB"} {
		require.Equal(t, want, n.String())
	}
}

func TestStoreURLs(t *testing.T) {
	for _, url := range []string{
		"", "postgres://h/db", "postgres://u@h:1/db?sslmode=require", "postgres:///db?host=/run/postgresql", "postgresql://h?dbname=db",
	} {
		require.Empty(t, config.CheckStoreURL(url), url)
	}
	for url, shown := range map[string]string{
		"postgres://u:hunter2@h:1/db?password=hunter2&sslmode=require": "postgres://u@h:1/db",
		"postgres://h/db":                "postgres://h/db",
		"postgres://u:hun/ter2@h/db":     "(a URL that is not shown)",
		"host=h password=hunter2":        "(a URL that is not shown)",
		"postgres://u:hun%2Fter2@h/db#x": "postgres://u@h/db",
	} {
		require.Equal(t, shown, config.RedactURL(url))
	}
}

// FuzzParse holds that no text stops the reader: it gives a configuration or problems, each with a message, and never
// repeats what came from the environment.
func FuzzParse(f *testing.F) {
	f.Add(minimal)
	f.Add("listen: ${S}\n" + minimal)
	f.Add("rooms: &a\n  <<: *a\n  M: [*a]\n")
	f.Add("limits: {rooms: ${S:-3}}\nlog: {level: ${S}}\n" + minimal)
	f.Add(room("{resource: {feature: '${S}', table: '${S}', key: '${S}'}}"))
	f.Add(room("{roomId: {pattern: '(${S}', kindGroup: 1, idGroup: 2}, resources: {a: {resource: notes}}}"))
	f.Add(room("{webhook: {url: '${S}', secret: '${S}'}}"))
	f.Add(declared("resources: {a: {table: '${S}.b.c', firewall: [{field: '${S}', via: '${S}'}, {field: b, equals: 'ctx.${S}'}], read: {access: {roles: ['${S}+'], or: [{and: [{'${S}': 1}]}]}}}}"))
	f.Add(declared("relationships: {r: {from: '${S}', subject: {column: a, equals: '${S}'}, resource: {column: b}, where: {c: {in: ['${S}']}}}}"))
	f.Add("auth: {session: {table: '${S}', columns: {'${S}': '${S}'}}, jwt: {algorithms: ['${S}'], jwks_file: '${S}', jwks_url: '${S}'}}\n" + minimal)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parse(text, "S=hunter2hunter2")
		if err == nil {
			require.NotEmpty(t, c.Rooms)
			return
		}
		require.IsType(t, config.Errors{}, err)
		require.NotEmpty(t, err)
		if !strings.Contains(text, "hunter2") {
			require.NotContains(t, err.Error(), "hunter2hunter2")
		}
	})
}

// TestDocumentation holds docs/configuration.md against the code: its file is valid, has every key, and says the
// defaults.
func TestDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../../../docs/configuration.md")
	require.NoError(t, err)
	_, text, found := bytes.Cut(text, []byte("```yaml\n"))
	require.True(t, found)
	text, _, found = bytes.Cut(text, []byte("```\n"))
	require.True(t, found)

	// what names tables, as a file with every key does, takes a database
	c, err := config.Parse("configuration.md", text, config.Options{
		Environ: []string{"YSERVERD_DATABASE_URL=postgres://u@h/app"}, PartyName: lower,
	})
	require.NoError(t, err)
	config.Forget(c)
	want := config.Default()
	document, message := config.DefaultRoom(), config.DefaultRoom()
	document.Party, document.Type, document.Access, document.YWebSocket.Path = "document-room", "document", config.PublicAccess(), "/yjs"
	message.Party, message.Type, message.Access = "message-room", "message", config.PublicAccess()
	want.Database.URL = "postgres://u@h/app"
	want.Auth.Session.Named = map[string]bool{"enabled": true, "table": true, "membership_table": true, "user_table": true}
	want.Auth.APIKeys.Named = map[string]bool{"table": true}
	want.Auth.Session.Columns, want.Auth.APIKeys.Columns = config.Names{}, config.Names{}
	want.Resources, want.Relationships = config.Resources{}, config.Relationships{}
	want.Rooms["DOCUMENT_ROOM"], want.Rooms["MESSAGE_ROOM"] = document, message
	c.Warnings = nil
	require.Equal(t, want, c)

	var tree map[string]any
	require.NoError(t, yaml.Unmarshal(text, &tree))
	for _, key := range config.Leaves() {
		documented := false
		for _, binding := range []string{"DOCUMENT_ROOM", "MESSAGE_ROOM"} {
			documented = documented || has(tree, strings.Split(strings.ReplaceAll(key, "*", binding), "."))
		}
		require.True(t, documented, "%s is not documented", key)
	}
}

// TestDocumentedResources parses the resources that docs/configuration.md shows.
func TestDocumentedResources(t *testing.T) {
	text, err := os.ReadFile("../../../../docs/configuration.md")
	require.NoError(t, err)
	_, after, found := strings.Cut(string(text), "\n## Resources\n\n```\n")
	require.True(t, found)
	shown, _, found := strings.Cut(after, "```\n")
	require.True(t, found)
	c, err := parse(shown+"rooms: {M: {type: document, access: {resource: {feature: events, table: holidays}}}}\n",
		"YSERVERD_AUTH_SECRET=0123456789abcdef0123456789abcdef", "YSERVERD_DATABASE_URL=postgres://u@h/app", "YSERVERD_AUTH_ROLE_HIERARCHY=member,editor")
	require.NoError(t, err)
	require.Len(t, c.Resources["events"].Tables, 2)
	require.Len(t, c.Resources["chats"].Tables["chats"].Firewall, 4)
}

// has reports whether a tree of mappings has a path.
func has(tree any, steps []string) bool {
	for _, step := range steps {
		m, _ := tree.(map[string]any)
		value, ok := m[step]
		if tree = value; !ok {
			return false
		}
	}
	return true
}
