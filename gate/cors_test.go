package gate_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
)

func TestCORS(t *testing.T) {
	const (
		methods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
		headers = "authorization, content-type, x-api-key, if-match, idempotency-key"
	)
	serve := gate.OriginConfig{PublicURL: "https://docs.example", Allowed: []string{"https://app.example"}}
	wildcard := gate.OriginConfig{PublicURL: "https://docs.example", Allowed: []string{"*"}}
	dev := gate.OriginConfig{Loopback: true}
	for _, row := range []struct {
		name         string
		config       gate.OriginConfig
		host, origin string
		allow        string
		credentials  bool
	}{
		{"no Origin", serve, "docs.example", "", "", false},
		{"same host", serve, "docs.example", "https://docs.example", "https://docs.example", true},
		{"listed", serve, "docs.example", "https://app.example", "https://app.example", true},
		{"foreign", serve, "docs.example", "https://evil.example", "", false},
		{"null", wildcard, "docs.example", "null", "", false},
		{"by the wildcard", wildcard, "docs.example", "https://x.example", "*", false},
		{"same host beside the wildcard", wildcard, "docs.example", "https://docs.example", "https://docs.example", true},
		{"dev", dev, "localhost:1234", "http://localhost:5173", "http://localhost:5173", true},
		{"dev, mapped address as a browser spells it", dev, "localhost:1234", "http://[::ffff:7f00:1]:80", "http://[::ffff:7f00:1]:80", true},
		{"dev, foreign", dev, "localhost:1234", "https://evil.example", "", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			policy, err := gate.NewOriginPolicy(row.config)
			require.NoError(t, err)
			set := func(method, requested string) http.Header {
				q := request{method: method, host: row.host}
				if row.origin != "" {
					q.headers = []string{"Origin", row.origin}
				}
				r := q.build()
				if requested != "" {
					r.Header.Set("Access-Control-Request-Method", requested)
				}
				h := http.Header{}
				policy.SetCORS(h, r)
				return h
			}
			want := http.Header{"Vary": {"Origin"}}
			if row.allow != "" {
				want.Set("Access-Control-Allow-Origin", row.allow)
			}
			if row.credentials {
				want.Set("Access-Control-Allow-Credentials", "true")
			}

			require.Equal(t, want, set(http.MethodPost, ""))
			require.Equal(t, want, set(http.MethodOptions, ""), "OPTIONS that asks for no method is no preflight")
			if row.allow != "" {
				want.Set("Access-Control-Allow-Methods", methods)
				want.Set("Access-Control-Allow-Headers", headers)
				want.Set("Access-Control-Max-Age", "86400")
			}
			require.Equal(t, want, set(http.MethodOptions, "PUT"))
		})
	}
}

// TestCORSRebinding: a page that reached a development server under a name of its own learns nothing from CORS.
func TestCORSRebinding(t *testing.T) {
	policy, err := gate.NewOriginPolicy(gate.OriginConfig{Loopback: true})
	require.NoError(t, err)
	r := request{
		method: http.MethodOptions, host: "evil.example:1234",
		headers: []string{"Origin", "http://localhost:5173", "Access-Control-Request-Method", "PUT"},
	}.build()
	h := http.Header{}
	policy.SetCORS(h, r)
	require.Equal(t, http.Header{"Vary": {"Origin"}}, h)
	require.Error(t, policy.Check(r))
}
