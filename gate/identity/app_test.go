package identity_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/gate/identity"
	"github.com/yserverd/yserverd/internal/pgtest"
)

// secret is that of the application and of the server.
var secret = []byte("0123456789abcdef0123456789abcdef")

// start is when the tests' clock starts.
var start = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: start} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// schema has the tables of better-auth with its organization, admin and API key plugins.
const schema = `
CREATE TABLE "user" ("id" text PRIMARY KEY, "name" text NOT NULL, "email" text, "role" text, "banned" boolean, "banReason" text, "banExpires" timestamptz);
CREATE TABLE "session" ("id" text PRIMARY KEY, "token" text UNIQUE NOT NULL, "userId" text NOT NULL, "expiresAt" timestamptz NOT NULL,
  "activeOrganizationId" text, "activeTeamId" text);
CREATE TABLE "member" ("id" text PRIMARY KEY, "userId" text NOT NULL, "organizationId" text NOT NULL, "role" text NOT NULL);
CREATE TABLE "apikey" ("id" text PRIMARY KEY, "key" text NOT NULL, "referenceId" text NOT NULL, "enabled" boolean DEFAULT true, "expiresAt" timestamptz,
  "remaining" integer, "metadata" text, "rateLimitEnabled" boolean DEFAULT false, "rateLimitTimeWindow" integer, "rateLimitMax" integer);
INSERT INTO "user" ("id", "name", "role") VALUES ('ann', 'Ann', 'user'), ('bob', 'Bob', 'support,admin'), ('cyd', 'Cyd', NULL);
INSERT INTO "member" VALUES ('m1', 'ann', 'org_1', 'editor,viewer'), ('m2', 'bob', 'org_1', 'member'), ('m3', 'ann', 'org_2', 'owner'), ('m4', 'ann', 'org_11', 'guest');
`

// counted is a database that counts queries.
type counted struct {
	identity.Querier
	queries atomic.Int64
}

func (c *counted) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	c.queries.Add(1)
	return c.Querier.Query(ctx, sql, args...)
}

// app is an application's database with an authenticator that reads it.
type app struct {
	tb    testing.TB
	pool  *pgxpool.Pool
	db    *counted
	clock *clock
	auth  *identity.Authenticator
}

// openPool connects to a database until the test ends.
func openPool(tb testing.TB, url string) *pgxpool.Pool {
	tb.Helper()
	pool, err := pgxpool.New(context.Background(), url)
	require.NoError(tb, err)
	tb.Cleanup(pool.Close)
	return pool
}

// configure returns the configuration of a server beside the application.
func (a *app) configure() identity.Config {
	return identity.Config{
		Secret:  secret,
		JWT:     identity.JWTConfig{Algorithms: []string{"HS256"}, Leeway: 30 * time.Second},
		Session: identity.SessionConfig{Enabled: true},
		DB:      a.db, Clock: a.clock.Now,
	}
}

// schemas counts the schemas of tests.
var schemas atomic.Int64

// emptySchema connects to a schema of the test's own, which is made and dropped much faster than a database.
func emptySchema(tb testing.TB) *pgxpool.Pool {
	tb.Helper()
	name := "test" + strconv.FormatInt(schemas.Add(1), 10)
	pool := openPool(tb, pgtest.Shared(tb).URL("postgres")+"&search_path="+name)
	_, err := pool.Exec(context.Background(), "CREATE SCHEMA "+name)
	require.NoError(tb, err)
	tb.Cleanup(func() {
		_, err := pool.Exec(context.Background(), "DROP SCHEMA "+name+" CASCADE")
		require.NoError(tb, err)
	})
	return pool
}

// newApp makes a schema with better-auth's tables.
func newApp(tb testing.TB) *app {
	tb.Helper()
	return newAppIn(tb, emptySchema(tb))
}

// newAppIn makes better-auth's tables.
func newAppIn(tb testing.TB, pool *pgxpool.Pool) *app {
	tb.Helper()
	a := &app{tb: tb, pool: pool, db: &counted{Querier: pool}, clock: newClock()}
	a.exec(schema)
	return a
}

// started makes the authenticator.
func (a *app) started(c identity.Config) *identity.Authenticator {
	a.tb.Helper()
	auth, err := identity.New(c)
	require.NoError(a.tb, err)
	a.tb.Cleanup(auth.Close)
	require.NoError(a.tb, auth.Start(a.tb.Context()))
	a.auth = auth
	return auth
}

// newStartedApp is the application with an authenticator of the usual configuration.
func newStartedApp(tb testing.TB) *app {
	tb.Helper()
	a := newApp(tb)
	a.started(a.configure())
	return a
}

// exec changes the database.
func (a *app) exec(sql string, args ...any) {
	a.tb.Helper()
	_, err := a.pool.Exec(context.Background(), sql, args...)
	require.NoError(a.tb, err)
}

// session adds one that ends in an hour, and returns its token.
func (a *app) session(user, org string) string {
	a.tb.Helper()
	token := "token-of-" + user + "-in-" + org
	a.exec(`INSERT INTO "session" ("id", "token", "userId", "expiresAt", "activeOrganizationId", "activeTeamId") VALUES ($1, $2, $3, $4, nullif($5, ''), 'team_1')`,
		"s-"+user+"-"+org, token, user, start.Add(time.Hour), org)
	return token
}

// hashed is a key as better-auth stores it.
func hashed(key string) string {
	digest := sha256.Sum256([]byte(key))
	return base64.RawURLEncoding.EncodeToString(digest[:])
}

// key adds an API key with metadata.
func (a *app) key(key, user, metadata string) {
	a.tb.Helper()
	a.exec(`INSERT INTO "apikey" ("id", "key", "referenceId", "metadata") VALUES ($1, $2, $3, nullif($4, ''))`, "k-"+key, hashed(key), user, metadata)
}

// request is what a test sends.
type request struct {
	query   string
	headers []string // names and values in turn
	cookies []string // names and values in turn
	origin  gate.OriginClass
}

func (r request) caller() *gate.Caller {
	q := httptest.NewRequest(http.MethodGet, "/realtime/main/room", http.NoBody)
	q.URL.RawQuery = r.query
	for i := 0; i < len(r.headers); i += 2 {
		q.Header.Add(r.headers[i], r.headers[i+1])
	}
	for i := 0; i < len(r.cookies); i += 2 {
		q.Header.Add("Cookie", r.cookies[i]+"="+r.cookies[i+1])
	}
	origin := r.origin
	if origin == gate.OriginRefused {
		origin = gate.OriginSameHost
	}
	return &gate.Caller{HTTP: q, Origin: origin, Addr: "192.0.2.1"}
}

// withCookie, withBearer, withKey and withTicket are requests with one credential.
func withCookie(token string) request {
	return request{cookies: []string{"better-auth.session_token", identity.Cookie(token, secret)}}
}

func withBearer(token string) request {
	return request{headers: []string{"Authorization", "Bearer " + token}}
}
func withKey(key string) request      { return request{headers: []string{"X-Api-Key", key}} }
func withTicket(token string) request { return request{query: "ws_ticket=" + url.QueryEscape(token)} }

// is expects an identity and returns it.
func (a *app) is(r request, user string) gate.Identity {
	a.tb.Helper()
	id, err := a.auth.Authenticate(context.Background(), r.caller(), gate.TicketsToo)
	require.NoError(a.tb, err)
	require.Equal(a.tb, user, id.UserID)
	return id
}

// refused expects a refusal with a code.
func (a *app) refused(r request, code string) {
	a.tb.Helper()
	id, err := a.auth.Authenticate(context.Background(), r.caller(), gate.TicketsToo)
	requireRefusal(a.tb, code, err)
	require.Equal(a.tb, gate.Identity{}, id, "a refusal comes with nobody")
}

// statuses of the codes, as gate.md has them.
var statuses = map[string]int{
	gate.CodeInvalid: 401, gate.CodeExpired: 401, gate.CodeAmbiguous: 400, gate.CodeRateLimited: 429, gate.CodeAuthUnavailable: 503,
}

func requireRefusal(tb testing.TB, code string, err error) {
	tb.Helper()
	var refusal *gate.Refusal
	require.ErrorAs(tb, err, &refusal)
	require.Equal(tb, code, refusal.Code)
	require.Equal(tb, statuses[code], refusal.Status)
	if refusal.Status == http.StatusServiceUnavailable {
		require.Positive(tb, refusal.RetryAfter)
	}
}

// minted returns a JWT with claims, signed by HS256.
func minted(tb testing.TB, key any, claims jwt.MapClaims, header ...string) string {
	tb.Helper()
	return mintedBy(tb, jwt.SigningMethodHS256, key, claims, header...)
}

func mintedBy(tb testing.TB, method jwt.SigningMethod, key any, claims jwt.MapClaims, header ...string) string {
	tb.Helper()
	t := jwt.NewWithClaims(method, claims)
	for i := 0; i < len(header); i += 2 {
		t.Header[header[i]] = header[i+1]
	}
	signed, err := t.SignedString(key)
	require.NoError(tb, err)
	return signed
}

// claims returns those of a token that is good for a minute, with others in place of them. A nil takes one away.
func claims(others jwt.MapClaims) jwt.MapClaims {
	all := jwt.MapClaims{"sub": "ann", "exp": start.Add(time.Minute).Unix()}
	for name, value := range others {
		if all[name] = value; value == nil {
			delete(all, name)
		}
	}
	return all
}

// repeat is a string of so many bytes.
func repeat(n int) string { return strings.Repeat("a", n) }
