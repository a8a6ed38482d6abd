package e2e_test

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/gate/identity"
	"github.com/yserverd/yserverd/internal/pgtest"
	"github.com/yserverd/yserverd/internal/servertest"
	"github.com/yserverd/yserverd/internal/ytest"
)

// gatePatience is how long anything may take that should take a moment.
const gatePatience = 30 * time.Second

// gateSecret is that of the application's login and of the server.
const gateSecret = "the-secret+of/the=application-and-of-the-server"

// pageOrigin is the origin of the application's page, which the server lists.
const pageOrigin = "http://127.0.0.1:3000"

// betterAuth are the tables of better-auth that the server reads, with grace, who edits, alan, who reads, and radia,
// who is of another organisation. The application's own tables are those of fixtures/secured.
const betterAuth = `
CREATE TABLE "user" ("id" text PRIMARY KEY, "name" text NOT NULL, "email" text, "role" text, "banned" boolean, "banExpires" timestamptz);
CREATE TABLE "session" ("id" text PRIMARY KEY, "token" text UNIQUE NOT NULL, "userId" text NOT NULL, "expiresAt" timestamptz NOT NULL,
  "activeOrganizationId" text, "activeTeamId" text);
CREATE TABLE "member" ("id" text PRIMARY KEY, "userId" text NOT NULL, "organizationId" text NOT NULL, "role" text NOT NULL);
CREATE TABLE "apikey" ("id" text PRIMARY KEY, "key" text NOT NULL, "referenceId" text NOT NULL, "enabled" boolean DEFAULT true, "expiresAt" timestamptz,
  "remaining" integer, "metadata" text, "rateLimitEnabled" boolean DEFAULT false, "rateLimitTimeWindow" integer, "rateLimitMax" integer);
INSERT INTO "user" ("id", "name") VALUES ('grace', 'Grace'), ('alan', 'Alan'), ('radia', 'Radia');
INSERT INTO "member" VALUES ('1', 'grace', 'north', 'editor'), ('2', 'alan', 'north', 'member'), ('3', 'radia', 'harbor', 'owner');
INSERT INTO "session" SELECT 's-' || "id", 'token-of-' || "id" || '-which-is-raw-0', "id", now() + interval '1 day',
  (SELECT "organizationId" FROM "member" WHERE "userId" = "user"."id"), NULL FROM "user";
`

// gateNotes are rows of the application.
const gateNotes = `
INSERT INTO notes (id, organization_id, owner_id, title, yjs_room_id) VALUES
  ('roadmap', 'north', 'grace', 'Roadmap', '0f0e0d0c-0b0a-4908-8706-050403020100'),
  ('a/b', 'north', 'grace', 'With a slash', gen_random_uuid()), ('harbor-plan', 'harbor', 'radia', 'Plan', gen_random_uuid());
INSERT INTO notes (id, organization_id, owner_id, title, deleted_at) VALUES ('attic', 'north', 'grace', 'Thrown away', now());
INSERT INTO chats VALUES ('tea', 'north', 'Tea');
INSERT INTO events VALUES ('eclipse', 'north', 'Eclipse', now());
INSERT INTO attendees VALUES ('eclipse', 'alan');
`

// gateApp is an application's database, with a server that reads it. Documents are in the embedded store.
type gateApp struct {
	*servertest.Server
	t        *testing.T
	database string
}

// fillApp makes and fills the tables of the application.
func fillApp(t *testing.T, database string) {
	t.Helper()
	schema, err := os.ReadFile(filepath.Join(ytest.Root(), "fixtures", "secured", "schema.sql"))
	require.NoError(t, err)
	gateExec(t, database, betterAuth+string(schema)+gateNotes)
}

// gateExec runs SQL in a database.
func gateExec(t *testing.T, database, sql string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), gatePatience)
	defer cancel()
	conn, err := pgx.Connect(ctx, database)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(ctx)) }()
	_, err = conn.Exec(ctx, sql)
	require.NoError(t, err)
}

// newGateApp starts the server of fixtures/secured on a database that is filled.
func newGateApp(t *testing.T, database string, environ ...string) *gateApp {
	t.Helper()
	fillApp(t, database)
	config, err := os.ReadFile(filepath.Join(ytest.Root(), "fixtures", "secured", "yserverd.yaml"))
	require.NoError(t, err)
	s := servertest.New(t, servertest.Options{Config: string(config), Env: append([]string{
		"DATABASE_URL=" + database, "AUTH_SECRET=" + gateSecret, "APP_ORIGIN=" + pageOrigin,
	}, environ...)})
	require.NoError(t, s.Start())
	return &gateApp{s, t, database}
}

func sharedGateApp(t *testing.T, environ ...string) *gateApp {
	t.Helper()
	return newGateApp(t, pgtest.Database(t), environ...)
}

// gateJWT returns a token of a person, as the application could sign it.
func gateJWT(t *testing.T, user, org, role string, ttl time.Duration) string {
	t.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"sub": user, "orgId": org, "role": role, "exp": time.Now().Add(ttl).Unix(),
	}).SignedString([]byte(gateSecret))
	require.NoError(t, err)
	return token
}

// bearer is a header with such a token, of the person as the tables know it.
func bearer(t *testing.T, user string) []string {
	t.Helper()
	who := map[string][2]string{"grace": {"north", "editor"}, "alan": {"north", "member"}, "radia": {"harbor", "owner"}}[user]
	return []string{"Authorization", "Bearer " + gateJWT(t, user, who[0], who[1], time.Hour)}
}

// sessionToken is that of a person's session in the tables.
func sessionToken(user string) string { return "token-of-" + user + "-which-is-raw-0" }

// signed is a session's token as better-auth signs it.
func signed(token string) string {
	mac := hmac.New(sha256.New, []byte(gateSecret))
	mac.Write([]byte(token))
	return token + "." + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// cookie is a header with the cookie of a person's session, as a browser sends it.
func cookie(user string) []string {
	return []string{"Cookie", "better-auth.session_token=" + url.QueryEscape(signed(sessionToken(user)))}
}

// gateTicket is a ticket for every room that grace may open.
func gateTicket(t *testing.T, user string, rooms ...string) string {
	t.Helper()
	issuer, err := identity.NewIssuer(identity.IssuerConfig{Secret: []byte(gateSecret)})
	require.NoError(t, err)
	token, _, err := issuer.Issue(gate.Identity{UserID: user, OrgID: "north", Roles: []string{"editor"}, Method: gate.MethodSession},
		identity.IssueOptions{Rooms: rooms})
	require.NoError(t, err)
	return token
}

// answer is what the server says to an upgrade.
type answer struct {
	Status int
	Close  int    // a close code that came at once after 101; zero: it stays open
	Text   string // body, or reason of the close
}

// opens reports whether the room is open.
func (a answer) opens() bool { return a.Status == http.StatusSwitchingProtocols && a.Close == 0 }

// refusal returns the status, or the close code less 4000.
func (a answer) refusal() int {
	if a.Close != 0 {
		return a.Close - 4000
	}
	return a.Status
}

// askUpgrade sends an upgrade to a target that is not looked at before it is sent, with headers as name, value.
func askUpgrade(t *testing.T, addr, target string, header ...string) answer {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, gatePatience)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(gatePatience)))
	a, err := upgradeOn(conn, addr, target, header...)
	require.NoError(t, err, "%.200s", target)
	return a
}

// upgradeOn is askUpgrade on a connection that is there.
func upgradeOn(conn net.Conn, host, target string, header ...string) (answer, error) {
	var b strings.Builder
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			host = header[i+1]
			continue
		}
		fmt.Fprintf(&b, "%s: %s\r\n", header[i], header[i+1])
	}
	request := "GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + b.String() + "\r\n"
	wrote := make(chan struct{})
	go func() { // an answer may come before all of it is taken
		defer close(wrote)
		_, _ = io.WriteString(conn, request)
	}()
	defer func() { conn.Close(); <-wrote }()
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return answer{}, err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		defer resp.Body.Close()
		body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		return answer{Status: resp.StatusCode, Text: string(body)}, err
	}
	a := answer{Status: resp.StatusCode}
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil { // the server speaks first, whatever the room is
		return a, err
	}
	if head[0] == 0x88 {
		payload := make([]byte, head[1])
		if _, err := io.ReadFull(r, payload); err != nil {
			return a, err
		}
		a.Close, a.Text = int(binary.BigEndian.Uint16(payload)), string(payload[2:])
	}
	return a, nil
}

// upgrade sends an upgrade to the server.
func (a *gateApp) upgrade(target string, header ...string) answer {
	a.t.Helper()
	return askUpgrade(a.t, a.Address, target, header...)
}

// dial opens a WebSocket that stays.
func (a *gateApp) dial(target string, header ...string) *websocket.Conn {
	a.t.Helper()
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	conn, resp, err := websocket.DefaultDialer.Dial(a.WebSocketURL()+target, h)
	require.NoError(a.t, err, "%s: %v", target, resp)
	a.t.Cleanup(func() { _ = conn.Close() })
	require.NoError(a.t, conn.SetReadDeadline(time.Now().Add(gatePatience)))
	return conn
}

// Frames of y-protocols: the question for everything, client 1 who types "hi" into the text "t", and the answer that
// has it; made with yjs 13.6.
var (
	askAll   = []byte{0, 0, 1, 0}
	typedHi  = []byte("\x00\x02\x0c\x01\x01\x01\x00\x04\x01\x01t\x02hi\x00")
	answerHi = []byte("\x00\x01\x0c\x01\x01\x01\x00\x04\x01\x01t\x02hi\x00")
	answerNo = []byte{0, 1, 2, 0, 0}
)

// expectFrame reads until one of the frames comes, and returns it.
func expectFrame(t *testing.T, conn *websocket.Conn, frames ...[]byte) []byte {
	t.Helper()
	for {
		_, got, err := conn.ReadMessage()
		require.NoError(t, err, "waiting for %x", frames)
		for _, f := range frames {
			if string(f) == string(got) {
				return f
			}
		}
	}
}

// closedBy reads until the connection ends, and returns how.
func closedBy(t *testing.T, conn *websocket.Conn) *websocket.CloseError {
	t.Helper()
	for {
		if _, _, err := conn.ReadMessage(); err != nil {
			var closed *websocket.CloseError
			require.True(t, errors.As(err, &closed), "ended with %v", err)
			return closed
		}
	}
}

// content returns what a person finds in a room: the answer to the question for everything.
func (a *gateApp) content(target string, header ...string) []byte {
	a.t.Helper()
	conn := a.dial(target, header...)
	require.NoError(a.t, conn.WriteMessage(websocket.BinaryMessage, askAll))
	defer conn.Close()
	return expectFrame(a.t, conn, answerHi, answerNo)
}
