package identity_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/gate/identity"
)

func benchmark(b *testing.B, a *app, r request) {
	b.Helper()
	c := r.caller()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.auth.Authenticate(b.Context(), c, gate.TicketsToo); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	a := newOffline(b)
	everything := claims(jwt.MapClaims{"orgId": "org_1", "role": []any{"editor"}, "name": "Ann"})
	b.Run("none", func(b *testing.B) { benchmark(b, a, request{}) })
	b.Run("jwt=HS256", func(b *testing.B) { benchmark(b, a, withBearer(minted(b, secret, everything))) })
	b.Run("ticket", func(b *testing.B) { benchmark(b, a, withTicket(a.issue(identity.IssueOptions{}))) })
	b.Run("key=static", func(b *testing.B) { benchmark(b, a, withKey("static")) })
	b.Run("cookie=forged", func(b *testing.B) {
		benchmark(b, a, request{cookies: []string{"better-auth.session_token", url.QueryEscape(identity.Signed("token", []byte("x")))}})
	})
}

func BenchmarkOpenCookie(b *testing.B) {
	value := identity.Cookie("q3rFkXw8dZ0bT5nVj1LmYcPa7sHuEi2G", secret)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := identity.OpenCookie(value, secret); !ok {
			b.Fatal("it does not open")
		}
	}
}

func BenchmarkSession(b *testing.B) {
	a := newStartedApp(b)
	b.Run("cookie", func(b *testing.B) { benchmark(b, a, withCookie(a.session("ann", "org_1"))) })
	a.key("k", "ann", `{"organizationId":"org_1"}`)
	b.Run("key", func(b *testing.B) { benchmark(b, a, withKey("k")) })
}

func BenchmarkRecheck(b *testing.B) {
	a := newStartedApp(b)
	a.exec(`INSERT INTO "session" SELECT 's' || n, 't' || n, 'ann', '2026-05-04 13:00Z', 'org_1' FROM generate_series(1, 1000) n`)
	var ids []gate.Identity
	rows, err := a.pool.Query(b.Context(), `SELECT "id" FROM "session"`)
	require.NoError(b, err)
	for rows.Next() {
		id := gate.Identity{UserID: "ann", Method: gate.MethodSession, ExpiresAt: start.Add(time.Hour)}
		require.NoError(b, rows.Scan(&id.Proof))
		ids = append(ids, id)
	}
	b.Run("sessions=1000", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := a.auth.Recheck(b.Context(), ids); err != nil {
				b.Fatal(err)
			}
		}
	})
}
