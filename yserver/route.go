package yserver

import (
	"net/http"
	"slices"
	"strings"

	"github.com/yserverd/yserverd/gate"
)

// route is where a request leads.
type route struct {
	party *party
	room  string // canonical: decoded once
	ymnt  bool   // on a y-websocket mount
}

// routeError tells why a path leads nowhere. A zero status means that the path
// is not ours.
type routeError struct {
	status int
	body   string
}

// mount serves a party to y-websocket clients below a path.
type mount struct {
	segments []string
	party    *party
}

// router splits paths as partyserver's routePartykitRequest does: on the raw
// bytes, before any decoding, repeated slashes collapsed.
type router struct {
	prefixes [][]string
	parties  map[string]*party
	mounts   []mount // longest first
	reserved map[string]bool
}

func newRouter(cfg Config, parties []*party) *router {
	rt := &router{parties: map[string]*party{}, reserved: cfg.reserved()}
	for _, p := range cfg.Prefixes {
		rt.prefixes = append(rt.prefixes, strings.Split(strings.Trim(p, "/"), "/"))
	}
	for _, p := range parties {
		rt.parties[p.Name] = p
		if p.YWebSocket != "" {
			rt.mounts = append(rt.mounts, mount{segments(p.YWebSocket), p})
		}
	}
	slices.SortStableFunc(rt.mounts, func(a, b mount) int { return len(b.segments) - len(a.segments) })
	return rt
}

// match finds the room of a request.
func (rt *router) match(r *http.Request) (route, *routeError) {
	raw := r.URL.EscapedPath()
	parts := segments(raw)
	for _, prefix := range rt.prefixes {
		if len(parts) >= len(prefix)+2 && slices.Equal(parts[:len(prefix)], prefix) {
			return rt.matchParty(parts[len(prefix)], parts[len(prefix)+1])
		}
	}
	if len(parts) > 0 && rt.reserved[parts[0]] {
		return route{}, &routeError{}
	}
	for _, m := range rt.mounts {
		if rest, ok := below(raw, m.segments); ok {
			return m.match(rest)
		}
	}
	return route{}, &routeError{}
}

func (rt *router) matchParty(name, raw string) (route, *routeError) {
	p, ok := rt.parties[name]
	if !ok {
		return route{}, &routeError{status: http.StatusBadRequest, body: "Invalid request"}
	}
	room, err := gate.RoomID(raw)
	if err != nil {
		return route{}, &routeError{status: http.StatusBadRequest, body: "Invalid room id"}
	}
	return route{party: p, room: room}, nil
}

func (m mount) match(rest string) (route, *routeError) {
	room, err := gate.RoomID(rest)
	if err != nil {
		return route{party: m.party, ymnt: true}, &routeError{status: http.StatusBadRequest, body: "Invalid room id"}
	}
	return route{party: m.party, room: room, ymnt: true}, nil
}

// segments splits a raw path, repeated and outer slashes dropped.
func segments(path string) []string {
	return strings.FieldsFunc(path, func(c rune) bool { return c == '/' })
}

// below returns what follows the mount's segments in a raw path: everything
// behind the one slash that ends them, further slashes included, for a
// y-websocket room is the whole rest.
func below(path string, mount []string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(path, "/")
	for _, seg := range mount {
		if !ok {
			return "", false
		}
		rest = strings.TrimLeft(rest, "/")
		rest, ok = strings.CutPrefix(rest, seg)
		if ok {
			rest, ok = strings.CutPrefix(rest, "/")
		}
	}
	return rest, ok
}
