package main

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/internal/pgtest"
	"github.com/yserverd/yserverd/internal/ytest"
)

// testKey is a key of the file, and its SHA-256.
const (
	testKey       = "test"
	testKeyDigest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
)

// mint runs yserverd token and returns what it prints.
func mint(t *testing.T, environ []string, args ...string) string {
	t.Helper()
	var out, errs lines
	m := &Main{Stdout: &out, Stderr: &errs, Environ: environ}
	require.NoError(t, m.ParseFlags(append([]string{"token"}, args...)))
	require.Equal(t, exitOK, m.report(m.Run(context.Background())), errs.String())
	require.Empty(t, errs.String())
	token, rest, _ := strings.Cut(out.String(), "\n")
	require.Empty(t, rest, "nothing but the token")
	return token
}

// upgrade tries to open a WebSocket with headers, as name, value, and returns the status when it is refused.
func upgrade(t *testing.T, addr, path string, header ...string) (*websocket.Conn, int) {
	t.Helper()
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	conn, resp, err := websocket.DefaultDialer.Dial("ws://"+addr+path, h)
	if err != nil {
		require.NotNil(t, resp, "%v", err)
		return nil, resp.StatusCode
	}
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
	return conn, resp.StatusCode
}

// TestGate runs a server whose rooms are not public: without a database, with what the file alone declares.
func TestGate(t *testing.T) {
	file := MustWriteConfig(t, `
listen: 127.0.0.1:0
data_dir: `+filepath.Join(t.TempDir(), "documents")+`
auth:
  secret: "${AUTH_SECRET}"
  role_hierarchy: [viewer, editor, admin]
  api_keys: {static: [{sha256: `+testKeyDigest+`, user: svc, org: o1, roles: [editor]}]}
rooms:
  MEMBERS: {type: document, y_websocket: {path: /yjs}, write: {roles: [editor+]}}
  BOARD: {type: document, access: public, write: {roles: [editor+]}}
  OWN: {type: message, access: {roomIdEquals: ctx.userId}}
  PLAIN: {type: document, access: public}
limits: {auth_failures_per_minute: 4}
`)
	environ := []string{"AUTH_SECRET=" + testSecret}
	p := MustRun(t, environ, "serve", "-c", file)
	editor := mint(t, environ, "-c", file, "--user", "anna", "--org", "o1", "--role", "admin", "--role", "other")
	reader := mint(t, environ, "-c", file, "--user", "ben", "--ttl", "1h")

	t.Run("nobody", func(t *testing.T) {
		for _, path := range []string{"/parties/members/r", "/parties/own/anna"} {
			status, body, _ := p.get(t, path)
			require.Equal(t, http.StatusUnauthorized, status)
			require.Contains(t, body, `"code":"`+gate.CodeMissing+`"`)
			_, status = upgrade(t, p.addr, path)
			require.Equal(t, http.StatusUnauthorized, status)
		}
		conn, status := upgrade(t, p.addr, "/yjs/r")
		require.Equal(t, http.StatusSwitchingProtocols, status)
		err := hangUp(conn)
		require.True(t, websocket.IsCloseError(err, 4401), "closed with %v", err)
	})
	t.Run("a token of the command", func(t *testing.T) {
		conn, status := upgrade(t, p.addr, "/parties/members/r", "Authorization", "Bearer "+editor)
		require.Equal(t, http.StatusSwitchingProtocols, status)
		send(t, conn, typed)
		expect(t, conn, typed)
		conn, status = upgrade(t, p.addr, "/parties/own/anna", "Authorization", "Bearer "+editor)
		require.Equal(t, http.StatusSwitchingProtocols, status)
		require.NoError(t, conn.Close())
		_, status = upgrade(t, p.addr, "/parties/own/ben", "Authorization", "Bearer "+editor)
		require.Equal(t, http.StatusForbidden, status)
	})
	t.Run("who may not write reads", func(t *testing.T) {
		for path, header := range map[string][]string{
			"/parties/members/reads": {"Authorization", "Bearer " + reader},
			"/parties/board/reads":   nil, // it is public to read
		} {
			conn, status := upgrade(t, p.addr, path, header...)
			require.Equal(t, http.StatusSwitchingProtocols, status)
			send(t, conn, typed)
			send(t, conn, emptyStep1)
			denied := false
			for {
				_, frame, err := conn.ReadMessage()
				require.NoError(t, err)
				denied = denied || len(frame) > 1 && frame[0] == 2 && frame[1] == 0
				require.NotEqual(t, stepTwo, frame, "what it typed is in the document")
				if string(frame) == "\x00\x01\x02\x00\x00" { // the answer: an empty document
					break
				}
			}
			require.True(t, denied, "it was not told that it only reads")
			require.NoError(t, conn.Close())
		}
		conn, status := upgrade(t, p.addr, "/parties/board/reads", "Authorization", "Bearer "+editor)
		require.Equal(t, http.StatusSwitchingProtocols, status)
		send(t, conn, typed)
		expect(t, conn, typed)
	})
	t.Run("a public room takes what does not hold for nothing", func(t *testing.T) {
		for _, path := range []string{"/parties/plain/r", "/parties/board/r"} {
			conn, status := upgrade(t, p.addr, path, "Authorization", "Bearer hunter2")
			require.Equal(t, http.StatusSwitchingProtocols, status, path)
			require.NoError(t, conn.Close())
		}
	})
	t.Run("real clients", func(t *testing.T) {
		nodes := ytest.StartNodeClients(t)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		stranger, err := nodes.New(ctx, ytest.ClientConfig{Kind: ytest.YWebsocket, URL: "ws://" + p.addr + "/yjs", Room: "real"})
		require.NoError(t, err)
		require.NoError(t, stranger.AwaitStopped(ctx, 4401))
		known, err := nodes.New(ctx, ytest.ClientConfig{
			Kind: ytest.YWebsocket, URL: "ws://" + p.addr + "/yjs", Room: "real", Params: map[string]string{"api_key": testKey},
		})
		require.NoError(t, err)
		require.NoError(t, known.AwaitSynced(ctx))
		require.NoError(t, known.Edit(ctx, ytest.InsertText(0, "hello")))
		require.NoError(t, known.AwaitEchoed(ctx))
	})
	t.Run("who fails too often", func(t *testing.T) {
		limited := false
		for range 6 {
			status, body, _ := p.get(t, "/parties/members/r", "Authorization", "Bearer hunter2")
			limited = status == http.StatusTooManyRequests
			require.True(t, limited || status == http.StatusUnauthorized, "%d %s", status, body)
		}
		require.True(t, limited)
		conn, status := upgrade(t, p.addr, "/parties/members/r", "Authorization", "Bearer "+editor)
		require.Equal(t, http.StatusSwitchingProtocols, status, "what holds passes all the same")
		require.NoError(t, conn.Close())
	})

	require.Equal(t, exitOK, p.end(t))
	printed := p.stdout.String() + p.stderr.String()
	for _, secret := range []string{testSecret, editor, reader, "hunter2", "api_key=" + testKey} {
		require.NotContains(t, printed, secret)
	}
}

// TestGateOfRows opens rooms by rows of a database, and ends while it is asked.
func TestGateOfRows(t *testing.T) {
	url := pgtest.Database(t)
	MustExec(t, url, appTables+"INSERT INTO chats VALUES ('c1', 'o1', ''), ('c2', 'o2', '')")
	file := secured(t)
	environ := []string{"DATABASE_URL=" + url, "AUTH_SECRET=" + testSecret}
	p := MustRun(t, environ, "serve", "-c", file)
	require.Contains(t, p.stderr.String(), "rooms.MEMBERS.access: is missing")
	token := "Bearer " + mint(t, environ, "-c", file, "--user", "anna", "--org", "o1", "--role", "member")

	conn, status := upgrade(t, p.addr, "/parties/chats/c1", "Authorization", token)
	require.Equal(t, http.StatusSwitchingProtocols, status)
	send(t, conn, typed)
	expect(t, conn, typed)
	for path, want := range map[string]int{
		"/parties/chats/c2": http.StatusForbidden, "/parties/chats/c9": http.StatusForbidden, "/parties/chats/C1": http.StatusForbidden,
	} {
		_, status = upgrade(t, p.addr, path, "Authorization", token)
		require.Equal(t, want, status, path)
	}
	p.stop()
	err := hangUp(conn)
	require.True(t, websocket.IsCloseError(err, websocket.CloseServiceRestart), "closed with %v", err)
	require.Equal(t, exitOK, p.end(t))
}

func TestTokenRefuses(t *testing.T) {
	for _, row := range []struct{ name, config, want string }{
		{"no secret", "rooms: {M: {type: document, access: public}}", "the secret has 0 bytes"},
		{"another's tokens", "auth: {secret: " + testSecret + ", jwt: {algorithms: [RS256], jwks_url: 'https://login.example/keys'}}\nrooms: {M: {type: document}}", "HS256 is not among the algorithms"},
	} {
		t.Run(row.name, func(t *testing.T) {
			file := MustWriteConfig(t, row.config)
			code, stderr := fails(t, nil, "token", "--user", "anna", "-c", file)
			require.Equal(t, exitFailed, code)
			require.Contains(t, stderr, "yserverd: no token was made (auth of "+file+"): ")
			require.Contains(t, stderr, row.want)
		})
	}
	code, stderr := fails(t, nil, "token", "--user", "anna", "-c", MustWriteConfig(t, "rooms: {}"))
	require.Equal(t, exitConfig, code)
	require.Contains(t, stderr, "no room is declared")
	require.Error(t, (&Main{}).ParseFlags([]string{"token"}), "whose it is has to be said")
}

// TestSlowHeaders: who does not finish the headers of a request loses the connection, and who has a WebSocket does not.
func TestSlowHeaders(t *testing.T) {
	file := MustWriteConfig(t, `
listen: 127.0.0.1:0
data_dir: `+filepath.Join(t.TempDir(), "documents")+`
rooms: {PLAIN: {type: document, access: public}}
limits: {unauthenticated_timeout: 200ms}
`)
	p := MustRun(t, nil, "serve", "-c", file)
	open := dial(t, p.addr, "/parties/plain/r")
	slow, err := net.Dial("tcp", p.addr)
	require.NoError(t, err)
	defer slow.Close()
	_, err = slow.Write([]byte("GET /healthz HTTP/1.1\r\nHost: localhost\r\n")) // and no more
	require.NoError(t, err)
	require.NoError(t, slow.SetReadDeadline(time.Now().Add(patience)))
	_, err = bufio.NewReader(slow).ReadString('\n')
	require.Error(t, err, "the server answered half a request")
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the server waits for ever")
	send(t, open, typed)
	expect(t, open, typed)
}
