package gate_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
)

func TestParseOrigin(t *testing.T) {
	for s, want := range map[string]gate.Origin{
		"https://example.com":           {Scheme: "https", Host: "example.com"},
		"HTTPS://Example.COM:443":       {Scheme: "https", Host: "example.com"},
		"http://example.com:80":         {Scheme: "http", Host: "example.com"},
		"http://example.com:443":        {Scheme: "http", Host: "example.com", Port: "443"},
		"https://example.com:08443":     {Scheme: "https", Host: "example.com", Port: "8443"},
		"http://[::1]:1234":             {Scheme: "http", Host: "::1", Port: "1234"},
		"http://[0:0:0:0:0:0:0:1]":      {Scheme: "http", Host: "::1"},
		"http://192.168.1.2":            {Scheme: "http", Host: "192.168.1.2"},
		"chrome-extension://abcdef":     {Scheme: "chrome-extension", Host: "abcdef"},
		"capacitor://localhost":         {Scheme: "capacitor", Host: "localhost"},
		"https://xn--bcher-kva.example": {Scheme: "https", Host: "xn--bcher-kva.example"},
	} {
		got, err := gate.ParseOrigin(s)
		require.NoError(t, err, s)
		require.Equal(t, want, got, s)
	}
	for _, s := range []string{
		"", "null", "*", "https://", "://example.com", "example.com", "example.com:443", "//example.com", "https:example.com",
		"https://example.com/", "https://example.com/path", "https://example.com?q", "https://example.com#f",
		"https://user@example.com", "https://*.example.com", "https://example.com:", "https://example.com:0",
		"https://example.com:65536", "https://example.com:+80", "https://example.com:80:80", "https://bücher.example",
		"https://exa mple.com", "https://example.com https://other.com", "https://[::1", "https://[::1]x", "https://[fe80::1%25eth0]",
		"https://[127.0.0.1]", "https://::1", "1http://example.com", "ht_tp://example.com", "https://example.com\x00", "https://example.com\n",
	} {
		_, err := gate.ParseOrigin(s)
		require.Error(t, err, "%q", s)
	}
}

// request is one row's request; the zero method is an upgrade by GET.
type request struct {
	method  string
	host    string
	tls     bool
	headers []string // name, value, name, value
}

func (q request) build() *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/realtime/main/room", nil)
	if q.method != "" {
		r.Method = q.method
	} else {
		r.Header.Set("Upgrade", "websocket")
	}
	r.Host = q.host
	if q.tls {
		r.TLS = &tls.ConnectionState{}
	}
	for i := 0; i+1 < len(q.headers); i += 2 {
		r.Header.Add(q.headers[i], q.headers[i+1])
	}
	return r
}

var originRows = []struct {
	name   string
	config gate.OriginConfig
	req    request
	want   gate.OriginClass
}{
	{"no Origin is no browser", gate.OriginConfig{}, request{host: "a.example"}, gate.OriginNone},
	{"null", gate.OriginConfig{}, request{host: "a.example", headers: []string{"Origin", "null"}}, gate.OriginRefused},
	{"null in spite of the wildcard", gate.OriginConfig{Allowed: []string{"*"}}, request{host: "a.example", headers: []string{"Origin", "null"}}, gate.OriginRefused},
	{"empty Origin", gate.OriginConfig{Allowed: []string{"*"}}, request{host: "a.example", headers: []string{"Origin", ""}}, gate.OriginRefused},
	{"two Origins", gate.OriginConfig{}, request{host: "a.example", headers: []string{"Origin", "http://a.example", "Origin", "http://a.example"}}, gate.OriginRefused},
	{"no origin at all", gate.OriginConfig{Allowed: []string{"*"}}, request{host: "a.example", headers: []string{"Origin", "http://a.example/x"}}, gate.OriginRefused},

	{"same as Host", gate.OriginConfig{}, request{host: "a.example:1234", headers: []string{"Origin", "http://a.example:1234"}}, gate.OriginSameHost},
	{"same as Host, default port", gate.OriginConfig{}, request{host: "A.example:80", headers: []string{"Origin", "http://a.example"}}, gate.OriginSameHost},
	{"other port than Host", gate.OriginConfig{}, request{host: "a.example:1234", headers: []string{"Origin", "http://a.example:5173"}}, gate.OriginRefused},
	{"other host than Host", gate.OriginConfig{}, request{host: "a.example", headers: []string{"Origin", "http://b.example"}}, gate.OriginRefused},
	{"a name that begins alike", gate.OriginConfig{}, request{host: "a.example", headers: []string{"Origin", "http://a.example.evil.example"}}, gate.OriginRefused},
	{"other scheme than the connection", gate.OriginConfig{}, request{host: "a.example", headers: []string{"Origin", "https://a.example"}}, gate.OriginRefused},
	{"TLS connection", gate.OriginConfig{}, request{host: "a.example", tls: true, headers: []string{"Origin", "https://a.example"}}, gate.OriginSameHost},
	{"TLS connection, plain page", gate.OriginConfig{}, request{host: "a.example", tls: true, headers: []string{"Origin", "http://a.example"}}, gate.OriginRefused},
	{"TLS at a proxy", gate.OriginConfig{}, request{host: "a.example", headers: []string{"Origin", "https://a.example", "X-Forwarded-Proto", "https, http"}}, gate.OriginSameHost},
	{"TLS at a proxy, plain page", gate.OriginConfig{}, request{host: "a.example", headers: []string{"Origin", "http://a.example", "X-Forwarded-Proto", "https"}}, gate.OriginRefused},
	{"no proxy weakens TLS", gate.OriginConfig{}, request{host: "a.example", tls: true, headers: []string{"Origin", "http://a.example", "X-Forwarded-Proto", "http"}}, gate.OriginRefused},
	{"broken Host", gate.OriginConfig{}, request{host: "a.example:x", headers: []string{"Origin", "http://a.example"}}, gate.OriginRefused},
	{"IPv6 Host", gate.OriginConfig{}, request{host: "[::1]:1234", headers: []string{"Origin", "http://[::1]:1234"}}, gate.OriginSameHost},

	{"public URL", gate.OriginConfig{PublicURL: "https://docs.example/yjs"}, request{host: "10.0.0.7:1234", headers: []string{"Origin", "https://docs.example"}}, gate.OriginSameHost},
	{"public URL, other scheme", gate.OriginConfig{PublicURL: "https://docs.example"}, request{host: "docs.example", headers: []string{"Origin", "http://docs.example"}}, gate.OriginRefused},
	{"public URL, other port", gate.OriginConfig{PublicURL: "https://docs.example"}, request{host: "docs.example", headers: []string{"Origin", "https://docs.example:8443"}}, gate.OriginRefused},
	{"public URL replaces Host", gate.OriginConfig{PublicURL: "https://docs.example"}, request{host: "10.0.0.7:1234", headers: []string{"Origin", "http://10.0.0.7:1234"}}, gate.OriginRefused},

	{"listed", gate.OriginConfig{Allowed: []string{"https://app.example", "http://localhost:5173"}}, request{host: "a.example", headers: []string{"Origin", "http://localhost:5173"}}, gate.OriginListed},
	{"listed, default port", gate.OriginConfig{Allowed: []string{"https://app.example:443"}}, request{host: "a.example", headers: []string{"Origin", "https://app.example"}}, gate.OriginListed},
	{"listed, other port", gate.OriginConfig{Allowed: []string{"https://app.example"}}, request{host: "a.example", headers: []string{"Origin", "https://app.example:8443"}}, gate.OriginRefused},
	{"below a listed one", gate.OriginConfig{Allowed: []string{"https://app.example"}}, request{host: "a.example", headers: []string{"Origin", "https://x.app.example"}}, gate.OriginRefused},
	{"listed before the wildcard", gate.OriginConfig{Allowed: []string{"*", "https://app.example"}}, request{host: "a.example", headers: []string{"Origin", "https://app.example"}}, gate.OriginListed},
	{"wildcard", gate.OriginConfig{Allowed: []string{"*"}}, request{host: "a.example", headers: []string{"Origin", "https://any.example"}}, gate.OriginWildcard},
	{"same host before the wildcard", gate.OriginConfig{Allowed: []string{"*"}}, request{host: "a.example", headers: []string{"Origin", "http://a.example"}}, gate.OriginSameHost},

	{"loopback page, any port", gate.OriginConfig{Loopback: true}, request{host: "127.0.0.1:1234", headers: []string{"Origin", "http://localhost:5173"}}, gate.OriginListed},
	{"loopback page by https", gate.OriginConfig{Loopback: true}, request{host: "localhost:1234", headers: []string{"Origin", "https://127.0.0.1"}}, gate.OriginListed},
	{"loopback page, IPv6", gate.OriginConfig{Loopback: true}, request{host: "[::1]:1234", headers: []string{"Origin", "http://[::1]:8080"}}, gate.OriginListed},
	{"loopback page, name below localhost", gate.OriginConfig{Loopback: true}, request{host: "app.localhost:1234", headers: []string{"Origin", "http://app.localhost:1234"}}, gate.OriginListed},
	{"loopback, foreign page", gate.OriginConfig{Loopback: true}, request{host: "localhost:1234", headers: []string{"Origin", "https://evil.example"}}, gate.OriginRefused},
	{"loopback, page on the network", gate.OriginConfig{Loopback: true}, request{host: "localhost:1234", headers: []string{"Origin", "http://192.168.1.2:5173"}}, gate.OriginRefused},
	{"loopback, name that ends alike", gate.OriginConfig{Loopback: true}, request{host: "localhost:1234", headers: []string{"Origin", "http://notlocalhost"}}, gate.OriginRefused},
	{"loopback, name that begins alike", gate.OriginConfig{Loopback: true}, request{host: "localhost:1234", headers: []string{"Origin", "http://localhost.evil.example"}}, gate.OriginRefused},
	{"loopback, address as a name", gate.OriginConfig{Loopback: true}, request{host: "localhost:1234", headers: []string{"Origin", "http://127.0.0.1.evil.example"}}, gate.OriginRefused},
	{"loopback, null", gate.OriginConfig{Loopback: true}, request{host: "localhost:1234", headers: []string{"Origin", "null"}}, gate.OriginRefused},
	{"loopback, other scheme", gate.OriginConfig{Loopback: true}, request{host: "localhost:1234", headers: []string{"Origin", "tauri://localhost"}}, gate.OriginRefused},
}

func TestOriginClassify(t *testing.T) {
	for _, row := range originRows {
		t.Run(row.name, func(t *testing.T) {
			policy, err := gate.NewOriginPolicy(row.config)
			require.NoError(t, err)
			require.Equal(t, row.want, policy.Classify(row.req.build()))
		})
	}
}

// TestOriginCheck runs every row as an upgrade and by every method: only a GET that upgrades nothing passes whatever
// its origin is.
func TestOriginCheck(t *testing.T) {
	for _, row := range originRows {
		t.Run(row.name, func(t *testing.T) {
			policy, err := gate.NewOriginPolicy(row.config)
			require.NoError(t, err)
			for _, method := range []string{"", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
				row.req.method = method
				err := policy.Check(row.req.build())
				if row.want != gate.OriginRefused || method == "GET" {
					require.NoError(t, err, "method %q", method)
					continue
				}
				var refusal *gate.Refusal
				require.ErrorAs(t, err, &refusal, "method %q", method)
				require.Equal(t, 403, refusal.Status)
				require.Equal(t, gate.CodeOrigin, refusal.Code)
				require.Equal(t, gate.LayerAccess, refusal.Layer)
				require.NotEmpty(t, refusal.Hint)
			}
		})
	}
}

func TestLoopbackHost(t *testing.T) {
	policy, err := gate.NewOriginPolicy(gate.OriginConfig{Loopback: true})
	require.NoError(t, err)
	for _, host := range []string{
		"localhost", "localhost:1234", "LOCALHOST:1234", "app.localhost", "127.0.0.1", "127.9.8.7:1234", "[::1]", "[::1]:1234",
		"[::ffff:127.0.0.1]:1234",
	} {
		require.NoError(t, policy.Check(request{method: "GET", host: host}.build()), host)
		require.NoError(t, policy.Check(request{host: host}.build()), host)
	}
	for _, host := range []string{
		"", "evil.example", "evil.example:1234", "127.0.0.1.evil.example", "localhost.evil.example", "notlocalhost", "192.168.1.2:1234",
		"0.0.0.0:1234", "[::]:1234", "[fe80::1]", "localhost:", "localhost:x", "127.1", "2130706433", "127.0.0.1@evil.example",
	} {
		for _, method := range []string{"", "GET", "POST"} {
			var refusal *gate.Refusal
			require.ErrorAs(t, policy.Check(request{method: method, host: host}.build()), &refusal, host)
			require.Equal(t, 403, refusal.Status)
			require.Equal(t, gate.CodeHost, refusal.Code)
		}
	}
}

func TestNewOriginPolicyRefuses(t *testing.T) {
	for _, row := range []struct {
		config gate.OriginConfig
		names  string
	}{
		{gate.OriginConfig{PublicURL: "docs.example"}, `"docs.example"`},
		{gate.OriginConfig{PublicURL: "ftp://docs.example"}, "http or https"},
		{gate.OriginConfig{PublicURL: "https://"}, `"https://"`},
		{gate.OriginConfig{PublicURL: "https://u:p@docs.example"}, "a scheme, a host"},
		{gate.OriginConfig{PublicURL: "https://docs.example?x=1"}, "a scheme, a host"},
		{gate.OriginConfig{PublicURL: "https://docs.example#x"}, "a scheme, a host"},
		{gate.OriginConfig{PublicURL: "https://docs.example:99999"}, "docs.example:99999"},
		{gate.OriginConfig{Allowed: []string{"https://ok.example", "null"}}, `"null"`},
		{gate.OriginConfig{Allowed: []string{"https://app.example/"}}, `"https://app.example/"`},
		{gate.OriginConfig{Allowed: []string{"https://*.example"}}, `"https://*.example"`},
		{gate.OriginConfig{Loopback: true, PublicURL: "https://docs.example"}, "loopback"},
		{gate.OriginConfig{Loopback: true, Allowed: []string{"*"}}, "loopback"},
	} {
		_, err := gate.NewOriginPolicy(row.config)
		require.ErrorContains(t, err, row.names)
	}
}

// FuzzOrigin feeds any Origin and Host to each kind of policy: loopback mode must never allow what does not name a
// loopback host, and no policy may allow what it neither lists nor shares the host of.
func FuzzOrigin(f *testing.F) {
	for _, s := range []string{"http://localhost:5173", "https://app.example", "null", "", "http://[::1]:80", "http://127.0.0.1.evil", "a://b:1"} {
		f.Add(s, "localhost:1234")
		f.Add(s, "[::1]")
	}
	loopback, err := gate.NewOriginPolicy(gate.OriginConfig{Loopback: true})
	require.NoError(f, err)
	listed, err := gate.NewOriginPolicy(gate.OriginConfig{PublicURL: "https://docs.example", Allowed: []string{"https://app.example"}})
	require.NoError(f, err)
	open, err := gate.NewOriginPolicy(gate.OriginConfig{})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, origin, host string) {
		r := request{host: host, headers: []string{"Origin", origin}}.build()
		o, err := gate.ParseOrigin(origin)
		if err != nil {
			for _, p := range []*gate.OriginPolicy{loopback, listed, open} {
				require.Equal(t, gate.OriginRefused, p.Classify(r))
			}
			return
		}
		if loopback.Classify(r) != gate.OriginRefused {
			require.True(t, o.Host == "localhost" || strings.HasSuffix(o.Host, ".localhost") || strings.HasPrefix(o.Host, "127.") ||
				o.Host == "::1" || strings.HasPrefix(o.Host, "::ffff:127."), "%q", origin)
		}
		if listed.Classify(r) != gate.OriginRefused {
			require.Contains(t, []gate.Origin{{Scheme: "https", Host: "docs.example"}, {Scheme: "https", Host: "app.example"}}, o)
		}
		if open.Classify(r) != gate.OriginRefused {
			same, err := gate.ParseOrigin("http://" + host)
			require.NoError(t, err)
			require.Equal(t, same, o)
		}
	})
}
