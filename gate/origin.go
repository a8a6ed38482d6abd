package gate

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Origin is a web origin in canonical form: two origins are the same origin when the values are equal.
type Origin struct {
	Scheme string // lower case, "https"
	Host   string // lower case; an IPv6 address in its shortest form, without brackets
	Port   string // decimal; empty when it is the scheme's default
}

// ParseOrigin reads an origin as browsers send it and as allowed_origins lists it: scheme, host and an optional port,
// and nothing else. "null", a path (even "/"), a user, a query, a wildcard and characters outside ASCII are errors:
// an international name is written in its xn-- form, as browsers send it.
func ParseOrigin(s string) (Origin, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || !validScheme(scheme) {
		return Origin{}, errors.New("an origin is written scheme://host or scheme://host:port")
	}
	host, port, ok := parseAuthority(rest)
	if !ok {
		return Origin{}, errors.New("an origin is scheme://host or scheme://host:port, without a path, in ASCII")
	}
	scheme = strings.ToLower(scheme)
	return Origin{scheme, host, withoutDefault(scheme, port)}, nil
}

// loopback reports whether the origin is a page served from this machine.
func (o Origin) loopback() bool {
	return (o.Scheme == "http" || o.Scheme == "https") && loopbackHost(o.Host)
}

// OriginClass says why an origin is allowed, or that it is not.
type OriginClass uint8

// The classes of a request's origin.
const (
	OriginRefused  OriginClass = iota // not allowed, "null", or not an origin at all
	OriginNone                        // no Origin header: not a browser, or a plain same-origin GET
	OriginSameHost                    // the server's own origin
	OriginListed                      // listed by name; in loopback mode, a loopback origin
	OriginWildcard                    // allowed by "*" alone: no credentials, and a cookie does not count
)

// OriginConfig says which origins may open sockets and change things.
type OriginConfig struct {
	// PublicURL is the http or https URL at which browsers reach the server. Its scheme, host and port are the
	// server's own origin. Empty means those of each request: its Host header, and https if the connection is TLS or
	// a proxy says so in X-Forwarded-Proto.
	PublicURL string
	// Allowed lists further origins, or "*" for every one but "null". Empty means none.
	Allowed []string
	// Loopback is the rule of a development server: every loopback origin on any port and nothing else, and only
	// loopback Host headers, so that a page cannot reach it under a name of its own (DNS rebinding). It excludes
	// PublicURL and Allowed.
	Loopback bool
}

// OriginPolicy is a checked OriginConfig. It is immutable and safe for concurrent use.
type OriginPolicy struct {
	public   *Origin // nil: compare with the request's Host
	allowed  map[Origin]bool
	wildcard bool
	loopback bool
}

// NewOriginPolicy checks the configuration. Its error names the value at fault.
func NewOriginPolicy(c OriginConfig) (*OriginPolicy, error) {
	if c.Loopback && (c.PublicURL != "" || len(c.Allowed) > 0) {
		return nil, errors.New("loopback mode takes no public URL and no list of origins")
	}
	p := &OriginPolicy{allowed: make(map[Origin]bool), loopback: c.Loopback}
	if c.PublicURL != "" {
		o, err := publicOrigin(c.PublicURL)
		if err != nil {
			return nil, fmt.Errorf("public URL %q: %w", c.PublicURL, err)
		}
		p.public = &o
	}
	for _, s := range c.Allowed {
		if s == "*" {
			p.wildcard = true
			continue
		}
		o, err := ParseOrigin(s)
		if err != nil {
			return nil, fmt.Errorf("allowed origin %q: %w", s, err)
		}
		p.allowed[o] = true
	}
	return p, nil
}

// publicOrigin returns the origin of the server's public URL. A path is allowed, what else a URL can hold is not.
func publicOrigin(s string) (Origin, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return Origin{}, errors.New("not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return Origin{}, errors.New("the scheme is http or https")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Opaque != "":
		return Origin{}, errors.New("a public URL has a scheme, a host, and at most a port and a path")
	}
	return ParseOrigin(u.Scheme + "://" + u.Host)
}

// Classify says what the request's Origin header is to this policy. More than one header, an empty one and one that
// does not parse are refused.
func (p *OriginPolicy) Classify(r *http.Request) OriginClass {
	values := r.Header.Values("Origin")
	if len(values) == 0 {
		return OriginNone
	}
	if len(values) > 1 {
		return OriginRefused
	}
	o, err := ParseOrigin(values[0]) // "null" does not parse
	switch {
	case err != nil:
		return OriginRefused
	case p.loopback:
		if o.loopback() {
			return OriginListed
		}
		return OriginRefused
	case p.sameHost(o, r):
		return OriginSameHost
	case p.allowed[o]:
		return OriginListed
	case p.wildcard:
		return OriginWildcard
	}
	return OriginRefused
}

// sameHost compares scheme, host and port with those of the public URL, or else of the request.
func (p *OriginPolicy) sameHost(o Origin, r *http.Request) bool {
	if p.public != nil {
		return o == *p.public
	}
	scheme := "http"
	// A browser cannot set X-Forwarded-Proto on an upgrade, nor across origins without a preflight that refuses it;
	// who can set it can leave Origin out. So it needs no trusted proxy here.
	forwarded, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	if forwarded = strings.ToLower(strings.TrimSpace(forwarded)); r.TLS != nil || forwarded == "https" || forwarded == "wss" {
		scheme = "https"
	}
	host, port, ok := parseAuthority(r.Host)
	return ok && o == Origin{scheme, host, withoutDefault(scheme, port)}
}

// Check refuses what the policy does not allow: in loopback mode every request whose Host is not loopback, and every
// upgrade and every request other than GET whose origin is refused. A GET that upgrades nothing passes, since CORS
// keeps its answer from the page. The error is a *Refusal with status 403.
func (p *OriginPolicy) Check(r *http.Request) error {
	if p.loopback && !loopbackAuthority(r.Host) {
		return &Refusal{
			Status: http.StatusForbidden, Layer: LayerAccess, Code: CodeHost,
			Message: "this development server answers on loopback names only",
			Hint:    "open it as localhost or 127.0.0.1; to serve other hosts run yserverd serve",
		}
	}
	if r.Method == http.MethodGet && r.Header.Get("Upgrade") == "" {
		return nil
	}
	if p.Classify(r) != OriginRefused {
		return nil
	}
	hint := "add the page's origin to allowed_origins, or set public_url if this is the server's own page behind a proxy"
	if p.loopback {
		hint = "a development server takes pages from loopback origins only"
	}
	return &Refusal{
		Status: http.StatusForbidden, Layer: LayerAccess, Code: CodeOrigin,
		Message: "the page's origin may not use this server", Hint: hint,
	}
}

// loopbackAuthority reports whether a Host header names this machine.
func loopbackAuthority(s string) bool {
	host, _, ok := parseAuthority(s)
	return ok && loopbackHost(host)
}

// loopbackHost reports whether a canonical host is localhost, a name below it, or a loopback address.
func loopbackHost(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// parseAuthority splits host[:port] and returns the host in canonical form. It refuses what is not plain ASCII letters,
// digits, dots, hyphens and underscores, or an address in brackets.
func parseAuthority(s string) (host, port string, ok bool) {
	if rest, isV6 := strings.CutPrefix(s, "["); isV6 {
		inner, after, closed := strings.Cut(rest, "]")
		addr, err := netip.ParseAddr(inner)
		if !closed || err != nil || !addr.Is6() || addr.Zone() != "" {
			return "", "", false
		}
		host, s = addr.String(), after
	} else {
		i := strings.IndexByte(s, ':')
		if i < 0 {
			i = len(s)
		}
		host, s = strings.ToLower(s[:i]), s[i:]
		if host == "" || strings.IndexFunc(host, notHostByte) >= 0 {
			return "", "", false
		}
	}
	if s == "" {
		return host, "", true
	}
	digits, found := strings.CutPrefix(s, ":")
	n, err := strconv.ParseUint(digits, 10, 16)
	if !found || err != nil || n == 0 {
		return "", "", false
	}
	return host, strconv.FormatUint(n, 10), true
}

// notHostByte reports characters that no host name has, in lower case.
func notHostByte(c rune) bool {
	return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_'
}

// validScheme reports whether s is a URL scheme: a letter, then letters, digits, plus, hyphen or dot.
func validScheme(s string) bool {
	for i, c := range strings.ToLower(s) {
		letter := c >= 'a' && c <= 'z'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '+' && c != '-' && c != '.') {
			return false
		}
	}
	return s != ""
}

// withoutDefault returns the port, or nothing if it is the scheme's own.
func withoutDefault(scheme, port string) string {
	if scheme == "http" && port == "80" || scheme == "https" && port == "443" {
		return ""
	}
	return port
}
