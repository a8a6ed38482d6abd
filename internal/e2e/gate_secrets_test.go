package e2e_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/pgtest"
	"github.com/yserverd/yserverd/internal/s3test"
	"github.com/yserverd/yserverd/internal/servertest"
)

// secretConfig has every kind of secret that a file can have.
const secretConfig = `
log: {level: debug}
store: {url: "${STORE_URL}"}
database: {url: "${DATABASE_URL}"}
snapshots:
  every_updates: 1
  s3: {endpoint: "${S3_ENDPOINT}", bucket: "${S3_BUCKET}", access_key: "${S3_ACCESS}", secret_key: "${S3_SECRET}", tls: false}
allowed_origins: ["http://127.0.0.1:3000"]
auth:
  secret: "${AUTH_SECRET}"
  role_hierarchy: [member, editor, owner]
  api_keys: {static: [{sha256: "${STATIC_KEY}", user: grace, org: north, roles: [editor]}]}
  recheck: 200ms
resources:
  notes: {firewall: {organization: {column: organization_id}, softDelete: {column: deleted_at}}}
  chats: {firewall: {organization: {column: organization_id}}}
rooms:
  NOTES:
    type: document
    access: {resource: notes}
    y_websocket: {path: /notes}
    save: {wait: 10ms, max_wait: 50ms}
    webhook: {url: "${HOOK}/saved", secret: "${HOOK_SECRET}"}
  ASKED: {type: document, access: {webhook: {url: "${HOOK}/asked", secret: "${ASK_SECRET}"}}}
  CHATS: {type: message, access: {resource: chats}, ticket: true}
admin: {tokens: [{name: ops, sha256: "${ADMIN_TOKEN}", role: write}]}
`

// printed is everything that a server says to anybody.
type printed struct {
	mu    sync.Mutex
	parts []string
}

func (p *printed) add(what, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.parts = append(p.parts, what+": "+text)
}

// hooks are endpoints of the application. The first request to each is answered with 500.
func (p *printed) hooks(t *testing.T) (address string, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	var failed sync.Map
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		p.add("a webhook is asked", r.URL.String()+" "+string(body)+fmt.Sprint(r.Header))
		if _, again := failed.LoadOrStore(r.URL.Path, true); !again {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		asked.Add(1)
		fmt.Fprint(w, `{"access":"write"}`)
	}))
	t.Cleanup(s.Close)
	return s.URL, asked
}

// read keeps what comes on a connection until it ends or says what is awaited.
func (p *printed) read(conn *websocket.Conn, awaited string) error {
	for {
		_, frame, err := conn.ReadMessage()
		if err != nil {
			p.add("closed", err.Error())
			return err
		}
		p.add("frame", string(frame))
		if awaited != "" && strings.Contains(string(frame), awaited) {
			return nil
		}
	}
}

// request sends a plain request.
func (p *printed) request(t *testing.T, method, target string, header ...string) int {
	t.Helper()
	r, err := http.NewRequest(method, target, nil)
	require.NoError(t, err)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	client := http.Client{Timeout: gatePatience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	p.add(method, string(body)+fmt.Sprint(resp.Header))
	return resp.StatusCode
}

// contains returns the secrets that were printed, as they are or in an encoding of URLs or JSON, with where.
func (p *printed) contains(secrets map[string]string) (found []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, secret := range secrets {
		quoted, _ := json.Marshal(secret)
		forms := []string{secret, url.QueryEscape(secret), url.PathEscape(secret), url.UserPassword("", secret).String()[1:], strings.Trim(string(quoted), `"`)}
		for _, part := range p.parts {
			for _, form := range forms {
				if at := strings.Index(part, form); at >= 0 {
					found = append(found, name+" in "+part[max(0, at-200):min(len(part), at+len(form)+100)])
					break
				}
			}
		}
	}
	return found
}

func sha256Hex(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// withPassword puts a password into the URL of a database, which lets everybody in.
func withPassword(t *testing.T, database, password string) string {
	t.Helper()
	u, err := url.Parse(database)
	require.NoError(t, err)
	u.User = url.UserPassword(u.User.Username(), password)
	return u.String()
}

// TestNoSecretIsPrinted uses every kind of secret, as it should be and not, with everything going wrong that can, and
// looks for each of them in all that the server has said: its log at its loudest, answers, frames, reasons of closes,
// figures, requests to others.
func TestNoSecretIsPrinted(t *testing.T) {
	t.Parallel()
	u := newSecretUse(t)
	refresh := u.use()
	u.misuse(400, 401)
	u.administer()
	u.askWebhooks()
	u.breakDatabase(refresh)
	u.startInVain()

	u.p.add("log", u.app.Log())
	require.Contains(t, u.app.Log(), "level=DEBUG msg=refused")
	require.Greater(t, len(u.p.parts), 100, "little was printed, so little was proven")
	require.Empty(t, u.p.contains(u.secrets))
	u.p.add("this", "that "+u.secrets["cookie"])
	require.NotEmpty(t, u.p.contains(u.secrets), "secrets are not found where they are")
}

// secretUse is a server with its secrets, which are used.
type secretUse struct {
	t       *testing.T
	p       *printed
	app     *gateApp
	secrets map[string]string
	environ []string
	saved   *atomic.Int64 // requests to webhooks that were answered
	good    []secretCall
}

// secretCall is an upgrade with a credential that holds.
type secretCall struct {
	target string
	header []string
}

// newSecretUse starts the server.
func newSecretUse(t *testing.T) *secretUse {
	t.Helper()
	gateway, bucket := s3test.Bucket(t)
	database := pgtest.Database(t)
	fillApp(t, database)
	p := &printed{}
	hook, asked := p.hooks(t)
	secrets := map[string]string{
		"auth.secret": gateSecret, "static key": "static+key/of=the file", "key of the table": "key-of-the-table", "wrong key": "wrong+key/that=is nobody's",
		"admin token": "admin-token-0123456789", "wrong admin token": "wrong-admin-token-0123456789",
		"secret of a webhook": "secret-of-the-webhook-of-saves-0123456789", "secret of an access webhook": "secret-of-the-webhook-of-access-0123456789",
		"password of the database": "password+of/the=database", "password of the store": "password+of/the=store", "secret key of S3": s3test.SecretKey,
		"JWT": gateJWT(t, "grace", "north", "editor", time.Hour), "expired JWT": gateJWT(t, "grace", "north", "editor", -time.Hour),
		"JWT of a refresh": gateJWT(t, "grace", "north", "member", 2*time.Hour), "forged JWT": gateJWT(t, "grace", "north", "owner", time.Hour) + "x",
		"session token": sessionToken("grace"), "cookie": signed(sessionToken("grace")), "signature": strings.SplitN(signed(sessionToken("grace")), ".", 2)[1],
		"forged cookie": "token-of-nobody-0123456789." + strings.Repeat("A", 43) + "=", "session that ends": sessionToken("alan"),
		"ticket": gateTicket(t, "grace"), "forged ticket": gateTicket(t, "grace") + "x",
	}
	gateExec(t, database, `INSERT INTO "apikey" ("id", "key", "referenceId", "metadata") VALUES ('k',
		rtrim(translate(encode(sha256('key-of-the-table'), 'base64'), '+/', '-_'), '='), 'grace', '{"organizationId":"north"}')`)
	environ := []string{
		"STORE_URL=" + withPassword(t, pgtest.Database(t), secrets["password of the store"]),
		"DATABASE_URL=" + withPassword(t, database, secrets["password of the database"]),
		"S3_ENDPOINT=" + gateway.Address(), "S3_BUCKET=" + bucket, "S3_ACCESS=" + s3test.AccessKey, "S3_SECRET=" + s3test.SecretKey,
		"AUTH_SECRET=" + gateSecret, "STATIC_KEY=" + sha256Hex(secrets["static key"]), "HOOK=" + hook, "HOOK_SECRET=" + secrets["secret of a webhook"],
		"ASK_SECRET=" + secrets["secret of an access webhook"], "ADMIN_TOKEN=" + sha256Hex(secrets["admin token"]),
	}
	s := servertest.New(t, servertest.Options{Config: secretConfig, Env: environ})
	require.NoError(t, s.Start())
	u := &secretUse{t: t, p: p, app: &gateApp{s, t, database}, secrets: secrets, environ: environ, saved: asked}
	u.good = []secretCall{
		{"/notes/roadmap", []string{"Authorization", "Bearer " + secrets["JWT"]}},
		{"/notes/roadmap", []string{"Authorization", "Bearer " + secrets["session token"]}},
		{"/notes/roadmap", []string{"Authorization", "Bearer " + secrets["cookie"]}},
		{"/notes/roadmap", cookie("grace")},
		{"/notes/roadmap", cookie("alan")},
		{"/parties/notes/roadmap?api_key=" + u.q("static key"), nil},
		{"/notes/roadmap?key=" + u.q("key of the table"), nil},
		{"/notes/roadmap", []string{"X-Api-Key", secrets["static key"]}},
		{"/parties/chats/tea?ws_ticket=" + u.q("ticket"), nil},
	}
	return u
}

// q returns a secret as a query has it.
func (u *secretUse) q(name string) string { return url.QueryEscape(u.secrets[name]) }

// use opens rooms with every credential, and refreshes one connection, which it returns.
func (u *secretUse) use() *websocket.Conn {
	t, p, app, secrets := u.t, u.p, u.app, u.secrets
	for _, g := range u.good {
		conn := app.dial(g.target, g.header...)
		require.NoError(t, conn.WriteMessage(websocket.BinaryMessage, []byte{0, 2, 5, 1, 1, 1, 0, 99})) // malformed
		require.NoError(t, conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"auth:refresh","token":"`+secrets["forged JWT"]+`"}`)))
		if strings.Contains(g.target, "/notes/") {
			require.NoError(t, conn.WriteMessage(websocket.BinaryMessage, typedHi))
			require.NoError(t, conn.WriteMessage(websocket.BinaryMessage, askAll))
			require.NoError(t, p.read(conn, "hi"))
		} else {
			require.NoError(t, p.read(conn, "auth:refresh"))
		}
		require.NoError(t, conn.Close())
	}
	refresh := app.dial("/notes/roadmap", "Authorization", "Bearer "+secrets["JWT"])
	for _, name := range []string{"forged JWT", "expired JWT", "wrong key", "forged cookie", "JWT of a refresh", "session token"} {
		text := `__YPS:{"type":"auth:refresh","token":"` + secrets[name] + `"}`
		require.NoError(t, refresh.WriteMessage(websocket.TextMessage, []byte(text)))
		require.NoError(t, p.read(refresh, "auth:refresh"), name)
	}
	return refresh
}

// misuse brings what does not hold, and what does where it does not belong.
func (u *secretUse) misuse(status ...int) {
	t, p, app, s, secrets, q := u.t, u.p, u.app, u.app, u.secrets, u.q
	for _, header := range [][]string{
		{"Authorization", "Bearer " + secrets["expired JWT"]},
		{"Authorization", "Bearer " + secrets["forged JWT"]},
		{"Authorization", "Bearer " + secrets["ticket"]},
		{"Authorization", "Basic " + secrets["wrong key"]},
		{"X-Api-Key", secrets["wrong key"]},
		{"Cookie", "better-auth.session_token=" + q("forged cookie")},
		{"Authorization", "Bearer " + secrets["JWT"], "X-Api-Key", secrets["static key"]},
	} {
		for _, target := range []string{"/notes/roadmap", "/parties/notes/roadmap?token=" + q("JWT"), "/parties/nobody/r?api_key=" + q("static key")} {
			got := app.upgrade(target, header...)
			p.add("refused", got.Text)
			require.Contains(t, append(status, 404), got.refusal(), "%s %s: %+v", target, header, got)
		}
	}
	for _, query := range []string{"?api_key=" + q("wrong key"), "?key=" + q("wrong key"), "?ws_ticket=" + q("forged ticket"), "?ws_ticket=" + q("ticket") + "&key=" + q("static key")} {
		got := app.upgrade("/parties/chats/tea"+query, "Origin", pageOrigin)
		p.add("refused", got.Text)
		require.Contains(t, status, got.refusal(), "%s: %+v", query, got)
		p.request(t, http.MethodGet, s.URL()+"/parties/chats/tea"+query, "Origin", "https://evil.example")
		p.request(t, http.MethodOptions, s.URL()+"/parties/chats/tea"+query, "Origin", pageOrigin, "Access-Control-Request-Method", "GET")
		p.request(t, http.MethodPost, s.URL()+"/healthz"+query)
	}
}

// administer uses the admin API.
func (u *secretUse) administer() {
	t, p, s, secrets, q := u.t, u.p, u.app, u.secrets, u.q
	require.Equal(t, http.StatusOK, p.request(t, http.MethodGet, s.URL()+"/admin/v1/stats", "Authorization", "Bearer "+secrets["admin token"]))
	require.Equal(t, http.StatusOK, p.request(t, http.MethodGet, s.URL()+"/admin/v1/openapi.json", "Authorization", "Bearer "+secrets["admin token"]))
	require.Equal(t, http.StatusNotImplemented, p.request(t, http.MethodGet, s.URL()+"/admin/v1/backup", "Authorization", "Bearer "+secrets["admin token"]))
	require.Equal(t, http.StatusUnauthorized, p.request(t, http.MethodGet, s.URL()+"/admin/v1/stats?token="+q("admin token"), "Authorization", "Bearer "+secrets["wrong admin token"]))
	require.Equal(t, http.StatusUnauthorized, p.request(t, http.MethodPost, s.URL()+"/admin/v1/nothing?key="+q("admin token")))
}

// askWebhooks opens a room that a webhook decides on, which fails at first.
func (u *secretUse) askWebhooks() {
	t, p, app, q, asked := u.t, u.p, u.app, u.q, u.saved
	got := app.upgrade("/parties/asked/r?api_key=" + q("static key"))
	p.add("refused", got.Text)
	require.Equal(t, 503, got.Status)
	require.True(t, app.upgrade("/parties/asked/r?api_key="+q("static key")).opens())
	require.Eventually(t, func() bool { return asked.Load() >= 2 }, gatePatience, 20*time.Millisecond, "the webhook of saves is asked again")
}

// breakDatabase ends a session, breaks connections to the database and takes tables away, while everything is used.
func (u *secretUse) breakDatabase(refresh *websocket.Conn) {
	t, p, app, secrets, database := u.t, u.p, u.app, u.secrets, u.app.database
	ends := app.dial("/notes/roadmap", cookie("alan")...)
	gateExec(t, database, `UPDATE "session" SET "expiresAt" = now() - interval '1 hour' WHERE "userId" = 'alan'`)
	require.Error(t, p.read(ends, ""))
	// Tables that go, and connections that break.
	gateExec(t, database, `ALTER TABLE "session" RENAME TO gone; ALTER TABLE "apikey" RENAME TO gone_too; ALTER TABLE notes RENAME TO gone_three; ALTER TABLE chats RENAME TO gone_four`)
	gateExec(t, database, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()")
	require.Eventually(t, func() bool {
		got := app.upgrade("/notes/roadmap", cookie("grace")...)
		p.add("refused", got.Text)
		return got.refusal() == 503
	}, gatePatience, 20*time.Millisecond)
	u.misuse(400, 401, 429, 503)
	for _, g := range u.good {
		p.add("refused", app.upgrade(g.target, g.header...).Text)
	}
	require.NoError(t, refresh.WriteMessage(websocket.TextMessage, []byte(`__YPS:{"type":"auth:refresh","token":"`+secrets["session token"]+`"}`)))
	_ = p.read(refresh, "auth:refresh") // closed or answered
	require.Eventually(t, func() bool { return strings.Contains(app.Log(), "access cannot be decided now") }, gatePatience, 20*time.Millisecond)
}

// startInVain starts servers that cannot.
func (u *secretUse) startInVain() {
	t, p, secrets, environ, q := u.t, u.p, u.secrets, u.environ, u.q
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	nobody := l.Addr().String()
	require.NoError(t, l.Close())
	for _, changed := range []string{
		"DATABASE_URL=postgres://u:" + q("password of the database") + "@" + nobody + "/app", "STORE_URL=postgres://u:" + q("password of the store") + "@" + nobody + "/app",
		"STORE_URL=postgres://u:" + secrets["password of the store"] + "@[::1/app", "S3_ENDPOINT=" + nobody, "STATIC_KEY=" + secrets["static key"],
		"ADMIN_TOKEN=" + secrets["admin token"], "AUTH_SECRET=" + secrets["wrong key"], "HOOK_SECRET=" + secrets["wrong key"], "DATABASE_URL=" + secrets["wrong key"],
	} {
		s := servertest.New(t, servertest.Options{Config: secretConfig, Env: append(environ[:len(environ):len(environ)], changed)})
		err := s.Start()
		require.Error(t, err, changed)
		p.add("a start", err.Error()+s.Log())
	}
}
