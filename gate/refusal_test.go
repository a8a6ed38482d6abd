package gate_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
)

func TestRefusalWrite(t *testing.T) {
	for _, row := range []struct {
		name    string
		refusal gate.Refusal
		retry   string
		body    string
	}{
		{
			"minimal",
			gate.Refusal{Status: 403, Layer: gate.LayerAccess, Code: gate.CodeOrigin, Message: "no"},
			"", `{"error":"no","layer":"access","code":"ORIGIN_REFUSED"}`,
		},
		{
			"whole",
			gate.Refusal{
				Status: 503, Layer: gate.LayerAuthentication, Code: "X", Message: "later <b>",
				Details: map[string]any{"n": 1}, Hint: "wait", RetryAfter: 1500 * time.Millisecond,
			},
			"2", `{"error":"later \u003cb\u003e","layer":"authentication","code":"X","details":{"n":1},"hint":"wait"}`,
		},
		{
			"details that are no JSON are left out",
			gate.Refusal{Status: 400, Layer: gate.LayerValidation, Code: "X", Message: "no", Details: map[string]any{"f": func() {}}},
			"", `{"error":"no","layer":"validation","code":"X"}`,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			row.refusal.Write(w)
			require.Equal(t, row.refusal.Status, w.Code)
			require.Equal(t, row.body+"\n", w.Body.String())
			require.Equal(t, "application/json; charset=utf-8", w.Header().Get("Content-Type"))
			require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
			require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
			require.Equal(t, row.retry, w.Header().Get("Retry-After"))
		})
	}
}

func TestRefusalCloseCode(t *testing.T) {
	for status, want := range map[int]int{
		400: 4400, 401: 4401, 403: 4403, 404: 4404, 409: 4409, 410: 4410, 405: 4400, 429: 4503, 500: 4503, 503: 4503,
	} {
		require.Equal(t, want, (&gate.Refusal{Status: status}).CloseCode(), "status %d", status)
	}
}

func TestPublic(t *testing.T) {
	decision, err := gate.Public(context.Background(), &gate.Request{
		HTTP: httptest.NewRequest(http.MethodGet, "/", nil), Party: "main", Room: "r",
	})
	require.NoError(t, err)
	require.Equal(t, gate.Decision{Write: true}, decision)
	require.False(t, decision.Identity.Authenticated())
	require.True(t, gate.Identity{UserID: "u"}.Authenticated())
}
