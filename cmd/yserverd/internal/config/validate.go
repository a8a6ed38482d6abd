package config

import (
	"cmp"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/yserverd/yserverd/gate"
)

// validate reports what is wrong with values of the right type. A value that did not decode has its default here, and
// a key that has a problem gets no second one.
func (l *loader) validate(c *Config) {
	l.validateServer(c)
	l.validateStore(c)
	l.validateAdmin(c)
	l.validatePrefixes(c)
	if len(c.Rooms) == 0 {
		l.fail(path{"rooms"}, "no room is declared, so nothing could be opened")
	}
	names := make([]string, 0, len(c.Rooms))
	for name := range c.Rooms {
		names = append(names, name)
	}
	// in the order of the file, so that of two that clash the second is at fault
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(l.lines[path{"rooms", a}.join()], l.lines[path{"rooms", b}.join()]), strings.Compare(a, b))
	})
	parties := make(map[string]string)
	for _, name := range names {
		room, at := c.Rooms[name], path{"rooms", name}
		room.Party = l.partyName(name)
		if room.Party == "" || !plainSegment(room.Party) {
			l.fail(at, "a binding name is letters, digits, hyphens and underscores")
		} else if other, taken := parties[room.Party]; taken {
			l.fail(at, "is the party "+room.Party+", and so is "+other+": rename one")
		} else {
			parties[room.Party] = name
		}
		l.validateRoom(at, room)
	}
	l.validateMounts(c, names)
	l.validateAuth(c)
	l.validateAccess(c, names)
}

// validateServer checks the keys that concern the process.
func (l *loader) validateServer(c *Config) {
	l.address(path{"listen"}, c.Listen)
	if _, err := gate.NewOriginPolicy(gate.OriginConfig{PublicURL: c.PublicURL}); err != nil {
		l.fail(path{"public_url"}, "want the URL at which browsers reach the server, such as https://docs.example.com")
	}
	for i, origin := range c.AllowedOrigins {
		if _, err := gate.NewOriginPolicy(gate.OriginConfig{Allowed: []string{origin}}); err != nil {
			l.fail(path{"allowed_origins", "[" + strconv.Itoa(i) + "]"},
				`want an origin such as https://app.example.com or http://localhost:5173, without a path, or "*"`)
		}
	}
	if c.DataDir == "" {
		l.fail(path{"data_dir"}, "want a folder")
	}
	l.oneOf(path{"log", "format"}, c.Log.Format, "text", "json")
	l.positive(path{"shutdown_timeout"}, int64(c.ShutdownTimeout))
	l.positive(path{"limits", "unauthenticated_timeout"}, int64(c.Limits.UnauthenticatedTimeout))
	l.positive(path{"limits", "inbound_bytes"}, int64(c.Limits.InboundBytes))
	l.positive(path{"limits", "uncommitted_bytes"}, int64(c.Limits.UncommittedBytes))
	l.positive(path{"limits", "connections"}, int64(c.Limits.Connections))
	l.positive(path{"limits", "rooms"}, int64(c.Limits.Rooms))
	l.positive(path{"limits", "document_bytes"}, int64(c.Limits.DocumentBytes))
}

// address reports a text that nothing can listen on.
func (l *loader) address(at path, s string) {
	_, port, err := net.SplitHostPort(s)
	n, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || portErr != nil || n == 0 && port != "0" {
		l.fail(at, "want an address and a port such as 127.0.0.1:1234 or :1234")
	}
}

// validatePrefixes checks the prefixes and takes the slashes around them away.
func (l *loader) validatePrefixes(c *Config) {
	if len(c.Prefixes) == 0 {
		l.fail(path{"prefixes"}, "want at least one")
	}
	seen := make(map[string]bool)
	for i, prefix := range c.Prefixes {
		at := path{"prefixes", "[" + strconv.Itoa(i) + "]"}
		prefix = strings.Trim(prefix, "/")
		first, _, _ := strings.Cut(prefix, "/")
		switch {
		case !plainPath(prefix):
			l.fail(at, "want path segments such as realtime or api/rooms")
		case slices.Contains(c.Reserved(), first):
			l.fail(at, "/"+first+" is the server's own")
		case seen[prefix]:
			l.fail(at, "is there twice")
		}
		seen[prefix] = true
		c.Prefixes[i] = prefix
	}
}

// validateMounts checks the y-websocket mounts against the server's own paths and against each other. One below the
// other would take rooms of the other's: only the root may have mounts below it, for what has no mount of its own.
func (l *loader) validateMounts(c *Config, names []string) {
	taken := c.Reserved()
	for _, prefix := range c.Prefixes {
		first, _, _ := strings.Cut(prefix, "/")
		taken = append(taken, first)
	}
	var mounted []string // bindings before this one that have a mount
	for _, name := range names {
		room, at := c.Rooms[name], path{"rooms", name, "y_websocket", "path"}
		if room.Type == TypeMessage {
			continue // it may have none, which was said
		}
		if room.YWebSocket.Path == "" {
			if _, there := l.lines[path{"rooms", name, "y_websocket"}.join()]; there {
				l.fail(at, "is missing: want a path such as /yjs, or / for the root")
			}
			continue
		}
		trimmed := strings.Trim(room.YWebSocket.Path, "/")
		first, _, _ := strings.Cut(trimmed, "/")
		switch {
		case !strings.HasPrefix(room.YWebSocket.Path, "/") || trimmed != "" && !plainPath(trimmed):
			l.fail(at, "want a path such as /yjs, or / for the root")
			continue
		case slices.Contains(taken, first):
			l.fail(at, "/"+first+" is taken by a prefix or by the server itself")
			continue
		}
		room.YWebSocket.Path = "/" + trimmed
		for _, other := range mounted {
			if overlap(room.YWebSocket.Path, c.Rooms[other].YWebSocket.Path) {
				l.fail(at, "overlaps "+c.Rooms[other].YWebSocket.Path+" of "+other)
			}
		}
		mounted = append(mounted, name)
	}
}

// overlap reports whether two mounts are the same or one is below the other, the root aside.
func overlap(a, b string) bool {
	if a == b || a == "/" || b == "/" {
		return a == b
	}
	return strings.HasPrefix(a, b+"/") || strings.HasPrefix(b, a+"/")
}

// positive reports a number that is zero. Negative ones do not decode.
func (l *loader) positive(at path, n int64) {
	if n <= 0 {
		l.fail(at, "want more than 0")
	}
}

// oneOf reports a text that is none of the allowed ones.
func (l *loader) oneOf(at path, got string, allowed ...string) {
	if !slices.Contains(allowed, got) {
		last := len(allowed) - 1
		l.fail(at, "want "+strings.Join(allowed[:last], ", ")+" or "+allowed[last])
	}
}

// plainPath reports whether s is segments that no client escapes or resolves, with slashes between them.
func plainPath(s string) bool {
	for segment := range strings.SplitSeq(s, "/") {
		if !plainSegment(segment) {
			return false
		}
	}
	return true
}

// plainSegment reports whether s is a path segment that stays as it is in a URL.
func plainSegment(s string) bool {
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.' || c == '~'
	}
	return s != "" && s != "." && s != ".." && strings.IndexFunc(s, func(c rune) bool { return !plain(c) }) < 0
}
