package access_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/gate/access"
)

// secret signs the questions of tests.
const secret = "0123456789abcdef0123456789abcdef"

// anonymous knows nobody.
type anonymous struct{ gate.Authenticator }

func (anonymous) Authenticate(context.Context, *gate.Caller, gate.TicketMode) (gate.Identity, error) {
	return gate.Identity{}, nil
}

func newRequest(t *testing.T) *http.Request {
	t.Helper()
	return httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
}

// endpoint is an app that is asked.
func endpoint(t *testing.T, answer http.HandlerFunc) (url string, client *http.Client) {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	client = server.Client()
	t.Cleanup(client.CloseIdleConnections)
	return server.URL, client
}

// asks returns an authorizer that asks an endpoint.
func asks(t *testing.T, url string, client *http.Client, timeout time.Duration, write *access.WriteRule) gate.Authorizer {
	t.Helper()
	a, err := access.New(t.Context(), access.Config{HTTP: client, Clock: func() time.Time { return time.Unix(1_700_000_000, 0) }})
	require.NoError(t, err)
	return newRoom(t, a, &access.RoomRule{Webhook: &access.Webhook{URL: url, Secret: []byte(secret), Timeout: timeout}, Write: write})
}

func TestWebhookIsAskedWithASignature(t *testing.T) {
	url, client := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		mac := hmac.New(sha256.New, []byte(secret))
		_, _ = mac.Write([]byte("1700000000." + string(body)))
		if r.Header.Get(access.SignatureHeader) != "t=1700000000,v1="+hex.EncodeToString(mac.Sum(nil)) {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		var got any
		_ = json.Unmarshal(body, &got)
		want := map[string]any{"party": "docs", "room": `a"b`, "identity": map[string]any{
			"userId": "ann", "name": "Ann", "activeOrgId": "org1", "activeTeamId": "red", "roles": []any{"member"}, "method": "jwt",
			"userRole": "user", "expiresAt": "2026-01-02T03:04:05Z",
		}}
		if !jsonEqual(got, want) {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(w, `{"access":"write","until":1700000060,"more":[]}`)
	})
	id := ann
	id.Name, id.UserRole, id.Proof, id.ExpiresAt = "Ann", "user", "row 5", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	d, err := asks(t, url, client, 0, nil).Authorize(t.Context(), id, &gate.Request{Party: "docs", Room: `a"b`})
	require.NoError(t, err)
	require.Equal(t, gate.Decision{Identity: id, Write: true, Until: time.Unix(1_700_000_060, 0)}, d)
}

func jsonEqual(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

func TestWebhookAnswers(t *testing.T) {
	editors := &access.WriteRule{Roles: []string{"editor"}, WritersOnlyPresence: true}
	for _, c := range []struct {
		name   string
		status int
		body   string
		write  *access.WriteRule
		want   string
	}{
		{"write", 200, `{"access":"write"}`, nil, writes},
		{"read", 200, `{"access":"read"}`, nil, reads},
		{"write, without the room's role", 200, `{"access":"write"}`, editors, reads},
		{"until", 200, `{"access":"read","until":"2099-01-01T00:00:00Z"}`, nil, reads},
		{"until null", 200, `{"access":"read","until":null}`, nil, reads},
		{"until now", 200, `{"access":"write","until":1700000000}`, nil, denied},
		{"until before", 200, `{"access":"write","until":"2001-01-01T00:00:00+01:00"}`, nil, denied},
		{"until the zero time", 200, `{"access":"write","until":"0001-01-01T00:00:00Z"}`, nil, denied},
		{"until the first second", 200, `{"access":"write","until":0}`, nil, denied},
		{"until nonsense", 200, `{"access":"write","until":"tomorrow"}`, nil, unavailable},
		{"until milliseconds", 200, `{"access":"write","until":1700000060000}`, nil, unavailable},
		{"until negative", 200, `{"access":"write","until":-1}`, nil, unavailable},
		{"until a fraction", 200, `{"access":"write","until":1700000060.5}`, nil, unavailable},
		{"until empty", 200, `{"access":"write","until":""}`, nil, unavailable},
		{"unknown access", 200, `{"access":"admin"}`, nil, unavailable},
		{"other case", 200, `{"access":"WRITE"}`, nil, unavailable},
		{"other name", 200, `{"ACCESS":"write"}`, nil, unavailable},
		{"no access", 200, `{}`, nil, unavailable},
		{"null", 200, `null`, nil, unavailable},
		{"access is true", 200, `{"access":true}`, nil, unavailable},
		{"no JSON", 200, `<p>hello`, nil, unavailable},
		{"nothing", 200, ``, nil, unavailable},
		{"two answers", 200, `{"access":"write"}{"access":"read"}`, nil, unavailable},
		{"long", 200, `{"access":"write"}` + strings.Repeat(" ", 64<<10), nil, unavailable},
		{"as long as may be", 200, `{"access":"write"}` + strings.Repeat(" ", 64<<10-18), nil, writes},
		{"another success", 201, `{"access":"write"}`, nil, unavailable},
		{"no content", 204, ``, nil, unavailable},
		{"moved", 302, `{"access":"write"}`, nil, unavailable},
		{"moved with its body", 307, `{"access":"write"}`, nil, unavailable},
		{"bad request", 400, `{"access":"write"}`, nil, denied},
		{"unauthorized", 401, ``, nil, denied},
		{"forbidden", 403, ``, nil, denied},
		{"not found", 404, ``, nil, denied},
		{"too many", 429, ``, nil, denied},
		{"broken", 500, `{"access":"write"}`, nil, unavailable},
		{"away", 503, ``, nil, unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			var redirected atomic.Bool
			url, client := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/elsewhere" {
					redirected.Store(true)
					_, _ = io.WriteString(w, `{"access":"write"}`)
					return
				}
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(c.status)
				if c.body != "" {
					_, _ = io.WriteString(w, c.body)
				}
			})
			d, err := asks(t, url, client, time.Minute, c.write).Authorize(t.Context(), ann, &gate.Request{Party: "docs", Room: "r"})
			require.Equal(t, c.want, outcome(t, d, err))
			require.Equal(t, c.write != nil && c.want == reads, d.NoPresence)
			require.False(t, redirected.Load())
			if c.want == unavailable {
				require.NotContains(t, err.Error(), url)
			}
		})
	}
}

func TestWebhookIsNotAskedForCallersWithoutIdentity(t *testing.T) {
	var asked atomic.Int64
	url, client := endpoint(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = io.WriteString(w, `{"access":"write"}`)
	})
	room := asks(t, url, client, 0, nil)
	require.Equal(t, authMissing, ask(t, room, nobody, "r"))
	require.Equal(t, badRoom, ask(t, room, ann, "r\xff"))
	require.Zero(t, asked.Load())
	require.Equal(t, writes, ask(t, room, ann, "r"))
}

func TestWebhookThatIsSlowIsAway(t *testing.T) {
	url, client := endpoint(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // so that the server notices who goes
		<-r.Context().Done()
	})
	_, err := asks(t, url, client, 20*time.Millisecond, nil).Authorize(t.Context(), ann, &gate.Request{Room: "r"})
	require.Equal(t, unavailable, outcome(t, gate.Decision{}, err))
	require.ErrorIs(t, err, context.DeadlineExceeded)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = asks(t, url, client, time.Hour, nil).Authorize(ctx, ann, &gate.Request{Room: "r"})
	require.Equal(t, unavailable, outcome(t, gate.Decision{}, err))
	require.ErrorIs(t, err, context.Canceled)
}

func TestWebhookThatTricklesIsAway(t *testing.T) {
	url, client := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"access":`)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	_, err := asks(t, url, client, 50*time.Millisecond, nil).Authorize(t.Context(), ann, &gate.Request{Room: "r"})
	require.Equal(t, unavailable, outcome(t, gate.Decision{}, err))
}

func TestWebhookThatIsDownIsAway(t *testing.T) {
	var log strings.Builder
	a, err := access.New(t.Context(), access.Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, err)
	closed := httptest.NewServer(nil)
	closed.Close()
	room := newRoom(t, a, &access.RoomRule{Webhook: &access.Webhook{URL: closed.URL + "/?token=hidden", Secret: []byte(secret)}})
	for range 3 {
		require.Equal(t, unavailable, ask(t, room, ann, "r"))
	}
	require.Equal(t, 1, strings.Count(log.String(), "\n"), "one line now and then")
	require.NotContains(t, log.String(), "hidden")
}
