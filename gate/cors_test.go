package gate_test

import (
	"net/http"
	"net/http/httptest"
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
			build := func(method string) (*httptest.ResponseRecorder, *http.Request) {
				q := request{method: method, host: row.host}
				if row.origin != "" {
					q.headers = []string{"Origin", row.origin}
				}
				return httptest.NewRecorder(), q.build()
			}
			check := func(w *httptest.ResponseRecorder) {
				credentials := ""
				if row.credentials {
					credentials = "true"
				}
				require.Equal(t, "Origin", w.Header().Get("Vary"))
				require.Equal(t, row.allow, w.Header().Get("Access-Control-Allow-Origin"))
				require.Equal(t, credentials, w.Header().Get("Access-Control-Allow-Credentials"))
			}

			w, r := build(http.MethodPost)
			require.False(t, policy.CORS(w, r), "a POST is no preflight")
			check(w)
			require.Empty(t, w.Header().Get("Access-Control-Allow-Methods"))

			w, r = build(http.MethodOptions)
			require.False(t, policy.CORS(w, r), "OPTIONS without a requested method is no preflight")
			check(w)

			w, r = build(http.MethodOptions)
			r.Header.Set("Access-Control-Request-Method", "PUT")
			require.Equal(t, row.origin != "", policy.CORS(w, r))
			check(w)
			if row.origin == "" {
				return
			}
			require.Equal(t, http.StatusNoContent, w.Code)
			require.Empty(t, w.Body.String())
			if row.allow == "" {
				require.Empty(t, w.Header().Get("Access-Control-Allow-Methods"))
				require.Empty(t, w.Header().Get("Access-Control-Allow-Headers"))
				return
			}
			require.Equal(t, methods, w.Header().Get("Access-Control-Allow-Methods"))
			require.Equal(t, headers, w.Header().Get("Access-Control-Allow-Headers"))
			require.Equal(t, "86400", w.Header().Get("Access-Control-Max-Age"))
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
	w := httptest.NewRecorder()
	require.False(t, policy.CORS(w, r))
	require.Empty(t, w.Header())
	require.Error(t, policy.Check(r))
}
