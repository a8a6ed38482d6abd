package config_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/cmd/yserverd/internal/config"
)

// TestProblems has a file for each mistake. The line is part of the text that is asserted.
func TestProblems(t *testing.T) {
	const tail = "\n" + minimal
	for _, row := range []struct{ name, text, want string }{
		{"unknown key", "lisen: 127.0.0.1:1" + tail, "y.yaml:1: lisen: unknown key, did you mean listen?"},
		{"unknown key, nothing near", "zzzzzzzz: 1" + tail, "y.yaml:1: zzzzzzzz: unknown key"},
		{"unknown key in a mapping", "limits:\n  conections: 4" + tail, "y.yaml:2: limits.conections: unknown key, did you mean connections?"},
		{"unknown key of a room", "rooms:\n  M:\n    type: document\n    access: public\n    limits: {peer: 4}", "y.yaml:5: rooms.M.limits.peer: unknown key, did you mean peers?"},
		{"near a key of later", "broadcst: {}" + tail, "y.yaml:1: broadcst: unknown key, did you mean broadcast?"},
		{"key of later", "otel: {secret: hunter2hunter2}" + tail, "y.yaml:1: otel: known, but not supported by this version"},

		{"store of another kind", "store:\n  url: mysql://u:hunter2@h/db" + tail, "y.yaml:2: store.url: want postgres://user:password@host:port/database, or nothing for the embedded store in data_dir"},
		{"store with a bare slash in its password", "store:\n  url: postgres://u:hun/ter2@h/db" + tail, "y.yaml:2: store.url: is no URL: in a password everything but letters, digits and -._~ is percent-encoded, / as %2F and @ as %40"},
		{"store without a host", "store: {url: 'postgres:///db'}" + tail, "y.yaml:1: store.url: lacks a host: want postgres://user:password@host:port/database"},
		{"store without a database", "store: {url: 'postgres://u:hunter2@h/'}" + tail, "y.yaml:1: store.url: lacks a database: want postgres://user:password@host:port/database"},
		{"store with its password at the end", "store: {url: 'postgres://u@h/db?password=hunter2'}" + tail, "y.yaml:1: store.url: has a password behind the ?: it belongs in front of the host, user:password@host, where it is never shown"},
		{"store that is a list", "store: {url: [hunter2]}" + tail, "y.yaml:1: store.url: want a text (quote it if it looks like a number), got a list"},
		{"store that is a number", "store: {url: 4711}" + tail, "y.yaml:1: store.url: want a text (quote it if it looks like a number), got something else"},
		{"no connections", "store: {max_connections: 0}" + tail, "y.yaml:1: store.max_connections: want more than 0"},
		{"bucket without a server", "snapshots: {s3: {bucket: abc}}" + tail, "y.yaml:1: snapshots.s3.endpoint: is missing, but bucket is there: want the host of the S3 server, with its port"},
		{"server without a bucket", "snapshots: {s3: {endpoint: h}}" + tail, "y.yaml:1: snapshots.s3.bucket: want the name of a bucket: 3 to 63 small letters, digits, dots and hyphens"},
		{"server with a scheme", "snapshots: {s3: {endpoint: 'http://u:hunter2@h', bucket: abc}}" + tail, "y.yaml:1: snapshots.s3.endpoint: want a host, or host:port, such as s3.eu-central-1.amazonaws.com; http:// is tls: false, a path is prefix"},
		{"bucket with capitals", "snapshots: {s3: {endpoint: h, bucket: Documents}}" + tail, "y.yaml:1: snapshots.s3.bucket: want the name of a bucket: 3 to 63 small letters, digits, dots and hyphens"},
		{"bucket without a region", "snapshots: {s3: {endpoint: h, bucket: abc, region: ''}}" + tail, "y.yaml:1: snapshots.s3.region: want a region; servers without regions take us-east-1"},
		{"prefix with a hole", "snapshots: {s3: {endpoint: h, bucket: abc, prefix: a//b}}" + tail, "y.yaml:1: snapshots.s3.prefix: want path segments such as yserverd or team/documents"},
		{"half of the keys", "snapshots: {s3: {endpoint: h, bucket: abc, access_key: hunter2}}" + tail, "y.yaml:1: snapshots.s3.secret_key: is missing: both keys or none (then those of the environment, the machine or the pod)"},
		{"the other half", "snapshots: {s3: {endpoint: h, bucket: abc, secret_key: hunter2}}" + tail, "y.yaml:1: snapshots.s3.access_key: is missing: both keys or none (then those of the environment, the machine or the pod)"},
		{"secret that is a number", "snapshots: {s3: {endpoint: h, bucket: abc, access_key: k, secret_key: 4711}}" + tail, "y.yaml:1: snapshots.s3.secret_key: want a text (quote it if it looks like a number), got something else"},
		{"nothing kept", "snapshots: {keep_superseded: 0s}" + tail, "y.yaml:1: snapshots.keep_superseded: want more than 0"},
		{"no versions kept", "snapshots: {keep_versions: {max: 0}}" + tail, "y.yaml:1: snapshots.keep_versions.max: want more than 0"},
		{"webhook without a secret", "rooms:\n  M:\n    type: document\n    access: public\n    webhook: {url: https://h/x}", "y.yaml:5: rooms.M.webhook.secret: want at least 32 bytes, since it signs: head -c 32 /dev/urandom | base64"},
		{"webhook without a URL", "rooms:\n  M:\n    type: document\n    access: public\n    webhook: {secret: hunter2}", "y.yaml:5: rooms.M.webhook.url: is missing, but secret is there: want the URL to be told"},
		{"webhook of another scheme", "rooms:\n  M:\n    type: document\n    access: public\n    webhook: {url: 'ftp://u:hunter2@h', secret: 0123456789abcdef0123456789abcdef-}", "y.yaml:5: rooms.M.webhook.url: want a URL such as https://app.example.com/hooks/documents"},
		{"webhook of another event", "rooms:\n  M:\n    type: document\n    access: public\n    webhook:\n      events: [open]", "y.yaml:6: rooms.M.webhook.events[0]: want save, the only event"},
		{"webhook of no event", "rooms:\n  M:\n    type: document\n    access: public\n    webhook:\n      {url: 'https://h', secret: 0123456789abcdef0123456789abcdef-, events: []}", "y.yaml:6: rooms.M.webhook.events: want save, or no webhook"},
		{"webhook secret that is a number", "rooms:\n  M:\n    type: document\n    access: public\n    webhook: {secret: 4711}", "y.yaml:5: rooms.M.webhook.secret: want a text (quote it if it looks like a number), got something else\ny.yaml:5: rooms.M.webhook.url: is missing, but secret is there: want the URL to be told"},
		{"webhook of a message room", message("webhook: {url: https://h}"), "y.yaml:5: rooms.M.webhook: a message room has no use for it: it belongs to type: document"},
		{"no retention", "delete:\n  retention: 0s" + tail, "y.yaml:2: delete.retention: want more than 0"},

		{"text for a duration", "shutdown_timeout: soon" + tail, `y.yaml:1: shutdown_timeout: want a duration such as 500ms, 20s or 5m, got "soon"`},
		{"duration without a unit", "shutdown_timeout: 20" + tail, "y.yaml:1: shutdown_timeout: want a duration such as 500ms, 20s or 5m, got 20"},
		{"negative duration", "shutdown_timeout: -1s" + tail, `y.yaml:1: shutdown_timeout: want a duration such as 500ms, 20s or 5m, got "-1s"`},
		{"mapping for a duration", "shutdown_timeout: {s: 1}" + tail, "y.yaml:1: shutdown_timeout: want a duration such as 500ms, 20s or 5m, got a mapping"},
		{"decimal unit", "snapshots: {every_bytes: 1MB}" + tail, `y.yaml:1: snapshots.every_bytes: want a size in bytes such as 65536, 64KiB or 1MiB, got "1MB"`},
		{"negative size", "snapshots: {every_bytes: -1}" + tail, "y.yaml:1: snapshots.every_bytes: want a size in bytes such as 65536, 64KiB or 1MiB, got -1"},
		{"size past 64 bits", "snapshots: {every_bytes: 9000000000GiB}" + tail, `y.yaml:1: snapshots.every_bytes: want a size in bytes such as 65536, 64KiB or 1MiB, got "9000000000GiB"`},
		{"broken size", "snapshots: {every_bytes: MiB}" + tail, `y.yaml:1: snapshots.every_bytes: want a size in bytes such as 65536, 64KiB or 1MiB, got "MiB"`},
		{"text for a number", "limits: {rooms: many}" + tail, `y.yaml:1: limits.rooms: want a whole number, got "many"`},
		{"quoted number", `limits: {rooms: "3"}` + tail, `y.yaml:1: limits.rooms: want a whole number, got "3"`},
		{"fraction", "limits: {rooms: 1.5}" + tail, "y.yaml:1: limits.rooms: want a whole number, got 1.5"},
		{"number past its type", "limits: {rooms: 99999999999}" + tail, "y.yaml:1: limits.rooms: want a whole number, got 99999999999"},
		{"number for a text", "data_dir: 7" + tail, "y.yaml:1: data_dir: want a text (quote it if it looks like a number), got 7"},
		{"list for a text", "data_dir: [a]" + tail, "y.yaml:1: data_dir: want a text (quote it if it looks like a number), got a list"},
		{"text for a list", "prefixes: parties" + tail, "y.yaml:1: prefixes: want a list, got text"},
		{"number in a list", "prefixes:\n  - ok\n  - 7" + tail, "y.yaml:3: prefixes[1]: want a text (quote it if it looks like a number), got 7"},
		{"list for a mapping", "store: []" + tail, "y.yaml:1: store: want a mapping, got a list"},
		{"text for rooms", "rooms: main", "y.yaml:1: rooms: want a mapping of binding names to rooms, got text"},
		{"text for a room", "rooms:\n  MAIN: document", "y.yaml:2: rooms.MAIN: want a mapping, got text"},
		{"yes for true", "rooms:\n  M: {type: document, access: public, cors: yes}", `y.yaml:2: rooms.M.cors: want true or false, got "yes"`},
		{"no network", "trusted_proxies: [10.0.0.0/33]" + tail, `y.yaml:1: trusted_proxies[0]: want an address or a network such as 10.0.0.0/8, got "10.0.0.0/33"`},
		{"level", "log: {level: loud}" + tail, `y.yaml:1: log.level: want debug, info, warn or error, got "loud"`},
		{"format", "log:\n  format: xml" + tail, "y.yaml:2: log.format: want text or json"},
		{"a long text is not repeated", "log: {level: " + strings.Repeat("x", 61) + "}" + tail, "y.yaml:1: log.level: want debug, info, warn or error, got a long text"},

		{"listen without a port", "listen: 127.0.0.1" + tail, "y.yaml:1: listen: want an address and a port such as 127.0.0.1:1234 or :1234"},
		{"listen on a named port", "listen: :http" + tail, "y.yaml:1: listen: want an address and a port such as 127.0.0.1:1234 or :1234"},
		{"public URL", "public_url: docs.example" + tail, "y.yaml:1: public_url: want the URL at which browsers reach the server, such as https://docs.example.com"},
		{"origin with a path", "allowed_origins: [https://a.example,\n  https://b.example/]" + tail, `y.yaml:2: allowed_origins[1]: want an origin such as https://app.example.com or http://localhost:5173, without a path, or "*"`},
		{"no data_dir", "data_dir: ''" + tail, "y.yaml:1: data_dir: want a folder"},
		{"zero", "limits: {connections: 0}" + tail, "y.yaml:1: limits.connections: want more than 0"},
		{"zero of a room", "rooms:\n  M:\n    type: document\n    access: public\n    limits:\n      peers: 0", "y.yaml:6: rooms.M.limits.peers: want more than 0"},
		{"zero duration of a room", "rooms:\n  M:\n    type: document\n    access: public\n    ping_interval: 0s", "y.yaml:5: rooms.M.ping_interval: want more than 0"},
		{"save that ends before it waits", "rooms:\n  M: {type: document, access: public,\n    save: {max_wait: 1s}}", "y.yaml:3: rooms.M.save.max_wait: is shorter than save.wait"},
		{"zero hibernation", "rooms:\n  M:\n    type: document\n    access: public\n    idle:\n      hibernate_after: 0s", "y.yaml:6: rooms.M.idle.hibernate_after: want more than 0"},

		{"document's key in a message room", message("gc: false"), "y.yaml:5: rooms.M.gc: a message room has no use for it: it belongs to type: document"},
		{"document's mapping in a message room", message("save:\n      wait: 20s"), "y.yaml:5: rooms.M.save: a message room has no use for it: it belongs to type: document"},
		{"document's limit in a message room", message("limits:\n      pending: 1MiB"), "y.yaml:6: rooms.M.limits.pending: a message room has no use for it: it belongs to type: document"},
		{"mount of a message room", message("y_websocket: {path: /parties}"), "y.yaml:5: rooms.M.y_websocket: a message room has no use for it: it belongs to type: document"},
		{"relay in a document room", "rooms:\n  M:\n    type: document\n    access: public\n    relay: none", "y.yaml:5: rooms.M.relay: a document room has no use for it: it belongs to type: message"},
		{"history in a document room", "rooms:\n  M:\n    type: document\n    access: public\n    history:\n      messages: 3", "y.yaml:5: rooms.M.history: a document room has no use for it: it belongs to type: message"},
		{"unknown relay", message("relay: yaml"), "y.yaml:5: rooms.M.relay: want json, raw or none"},
		{"history of what is relayed raw", message("relay: raw\n    history:\n      messages: 3"), "y.yaml:7: rooms.M.history.messages: needs relay: json, since other messages have no offset"},
		{"history of what is not relayed", message("relay: none\n    history: {messages: 3}"), "y.yaml:6: rooms.M.history.messages: needs relay: json, since other messages have no offset"},
		{"negative history", message("history: {messages: -1}"), "y.yaml:5: rooms.M.history.messages: want a whole number, got -1"},
		{"negative state", message("state: {max_bytes: -1KiB}"), `y.yaml:5: rooms.M.state.max_bytes: want a size in bytes such as 65536, 64KiB or 1MiB, got "-1KiB"`},
		{"state of nothing", message("state: {max_bytes: 0}"), "y.yaml:5: rooms.M.state.max_bytes: want more than 0"},
		{"state without end", message("state: {max_bytes: 1GiB}"), "y.yaml:5: rooms.M.state.max_bytes: want at most 16MiB"},
		{"history without end", message("history: {messages: 1, max_bytes: 17MiB}"), "y.yaml:5: rooms.M.history.max_bytes: want at most 16MiB"},
		{"mistyped key of a message room", message("state: {max_byte: 1}"), "y.yaml:5: rooms.M.state.max_byte: unknown key, did you mean max_bytes?"},

		{"durability", "rooms:\n  M:\n    type: document\n    access: public\n    durability: none", "y.yaml:5: rooms.M.durability: want echo or committed"},

		{"no prefix", "prefixes: []" + tail, "y.yaml:1: prefixes: want at least one"},
		{"empty prefix", "prefixes: ['/']" + tail, "y.yaml:1: prefixes[0]: want path segments such as realtime or api/rooms"},
		{"escaped prefix", "prefixes: ['a%20b']" + tail, "y.yaml:1: prefixes[0]: want path segments such as realtime or api/rooms"},
		{"prefix of the server", "prefixes: [admin/rooms]" + tail, "y.yaml:1: prefixes[0]: /admin is the server's own"},
		{"prefix twice", "prefixes: [a,\n /a/]" + tail, "y.yaml:2: prefixes[1]: is there twice"},

		{"no rooms", "listen: :1", "y.yaml: rooms: no room is declared, so nothing could be opened"},
		{"empty rooms", "\nrooms: {}", "y.yaml:2: rooms: no room is declared, so nothing could be opened"},
		{"no type", "rooms:\n  MAIN:\n    access: public", "y.yaml:2: rooms.MAIN.type: is missing: want document or message"},
		{"unknown type", "rooms:\n  MAIN:\n    access: public\n    type: chat", "y.yaml:4: rooms.MAIN.type: unknown type: want document or message"},
		{"mistyped type", "rooms:\n  MAIN:\n    access: public\n    type: messages", "y.yaml:4: rooms.MAIN.type: unknown type, did you mean message?"},
		{"no access", "rooms:\n  MAIN:\n    type: document", "y.yaml:2: auth.secret: is missing, and MAIN has to know its callers: want at least 32 bytes: head -c 32 /dev/urandom | base64; or access: public, which lets everybody in"},
		{"empty access", "rooms:\n  MAIN:\n    type: document\n    access:", "y.yaml:2: auth.secret: is missing, and MAIN has to know its callers: want at least 32 bytes: head -c 32 /dev/urandom | base64; or access: public, which lets everybody in"},
		{"nothing of a room", "rooms:\n  MAIN:", "y.yaml:2: auth.secret: is missing, and MAIN has to know its callers: want at least 32 bytes: head -c 32 /dev/urandom | base64; or access: public, which lets everybody in\ny.yaml:2: rooms.MAIN.type: is missing: want document or message"},
		{"binding that is no segment", "rooms:\n  'a/b': {type: document, access: public}", "y.yaml:2: rooms.a/b: a binding name is letters, digits, hyphens and underscores"},
		{"one party twice", minimal + "  Main: {type: document, access: public}", "y.yaml:3: rooms.Main: is the party main, and so is MAIN: rename one"},

		{"mount without a path", "rooms:\n  M: {type: document, access: public,\n    y_websocket: {}}", "y.yaml:3: rooms.M.y_websocket.path: is missing: want a path such as /yjs, or / for the root"},
		{"mount without a slash", "rooms:\n  M: {type: document, access: public,\n    y_websocket: {path: yjs}}", "y.yaml:3: rooms.M.y_websocket.path: want a path such as /yjs, or / for the root"},
		{"mount with an escape", "rooms:\n  M: {type: document, access: public,\n    y_websocket: {path: /a%20b}}", "y.yaml:3: rooms.M.y_websocket.path: want a path such as /yjs, or / for the root"},
		{"mount with a hole", "rooms:\n  M: {type: document, access: public,\n    y_websocket: {path: /a//b}}", "y.yaml:3: rooms.M.y_websocket.path: want a path such as /yjs, or / for the root"},
		{"mount that is a text", "rooms:\n  M: {type: document, access: public,\n    y_websocket: /yjs}", "y.yaml:3: rooms.M.y_websocket: want a mapping, got text"},
		{"mount at a prefix", "rooms:\n  M: {type: document, access: public,\n    y_websocket: {path: /parties/x}}", "y.yaml:3: rooms.M.y_websocket.path: /parties is taken by a prefix or by the server itself"},
		{"mount at the health check", "rooms:\n  M: {type: document, access: public,\n    y_websocket: {path: /healthz}}", "y.yaml:3: rooms.M.y_websocket.path: /healthz is taken by a prefix or by the server itself"},
		{"two mounts at one path", mounts("/yjs", "/yjs/"), "y.yaml:7: rooms.B.y_websocket.path: overlaps /yjs of A"},
		{"two mounts at the root", mounts("/", "/"), "y.yaml:7: rooms.B.y_websocket.path: overlaps / of A"},
		{"a mount below another", mounts("/yjs", "/yjs/team"), "y.yaml:7: rooms.B.y_websocket.path: overlaps /yjs of A"},
		{"a mount above another", mounts("/yjs/team", "/yjs"), "y.yaml:7: rooms.B.y_websocket.path: overlaps /yjs/team of A"},

		{"a key twice", "listen: :1\nlisten: :2" + tail, "y.yaml:2: listen: a second time, first in line 1"},
		{"a binding twice", minimal + "  MAIN: {}", "y.yaml:3: rooms.MAIN: a second time, first in line 2"},
		{"no YAML", "listen: :1\nrooms:\n\t- x", "y.yaml:3: no YAML: found character that cannot start any token"},
		{"no YAML in the first line", "}", "y.yaml:1: no YAML: near here, did not find expected node content"},
		{"no YAML, found by its indentation", "listen: :1\nlog:\n  level: info\n format: text\nrooms: {}\n", "y.yaml:4: no YAML: near here, did not find expected key"},
		{"unknown alias", "store: *nothing", "y.yaml:1: no YAML: unknown anchor 'nothing' referenced"},
		{"a list", "- listen", "y.yaml:1: a configuration is a mapping of keys to values"},
		{"two documents", minimal + "---\nlisten: :1", "y.yaml:3: a configuration is one YAML document, this is a second one"},
		{"a key that is a mapping", "? {a: b}\n: c" + tail, "y.yaml:1: a key is a plain word"},
		{"a merge of nothing", "store:\n  <<: 3" + tail, `y.yaml:2: store: "<<" merges a mapping`},
		{"an alias of itself", "store: &a\n  <<: *a" + tail, "y.yaml:2: nested too deep, or too many values"},
		{"reference without a value", "listen: ${NOWHERE}" + tail, "y.yaml:1: listen: the environment variable NOWHERE is not set; ${NOWHERE:-value} gives it a default"},
		{"bare reference in braces", "limits: {rooms: ${N:-1}}" + tail, `y.yaml:1: no YAML: near here, did not find expected ',' or '}'; inside {} and [] a reference is quoted: "${NAME}"`},
		{"broken reference", "data_dir: ${NOT A NAME}" + tail, "y.yaml:1: data_dir: a reference is written ${NAME} or ${NAME:-default}"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, err := parse(row.text)
			require.Nil(t, c)
			require.EqualError(t, err, row.want)
			require.IsType(t, config.Errors{}, err)
			require.NotContains(t, err.Error(), "hunter2", "a secret in an error")
		})
	}
}

// message is a file with a message room, what is added in line 5.
func message(added string) string {
	return "rooms:\n  M:\n    type: message\n    access: public\n    " + added + "\n"
}

// mounts is a file with two rooms, the second one's mount in line 7.
func mounts(a, b string) string {
	return "rooms:\n  A:\n    {type: document, access: public, y_websocket: {path: " + a + "}}\n  B:\n    type: document\n    access: public\n" +
		"    y_websocket: {path: " + b + "}\n"
}

// TestMountsBesideTheRoot: the root takes what no other mount takes.
func TestMountsBesideTheRoot(t *testing.T) {
	for _, paths := range [][2]string{{"/", "/yjs"}, {"/yjs", "/"}, {"/yjs", "/yjs2"}, {"/a/b", "/a/c"}} {
		c, err := parse(mounts(paths[0], paths[1]))
		require.NoError(t, err, paths)
		require.Equal(t, paths[1], c.Rooms["B"].YWebSocket.Path)
	}
}
