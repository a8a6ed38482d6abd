package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

// patience is how long anything may take that should take a moment.
const patience = 30 * time.Second

// Frames of y-protocols, as unmodified clients exchange them. typed is client 1 typing "hi" into the text "t"; made with
// yjs 13.6: doc.clientID = 1; doc.getText('t').insert(0, 'hi').
var (
	emptyStep1 = []byte{0, 0, 1, 0}
	typed      = []byte("\x00\x02\x0c\x01\x01\x01\x00\x04\x01\x01t\x02hi\x00")
	stepTwo    = []byte("\x00\x01\x0c\x01\x01\x01\x00\x04\x01\x01t\x02hi\x00")
)

// lines is a writer that tests read while the program writes.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// program is a Main that runs beside the test.
type program struct {
	addr           string
	stdout, stderr lines
	stop           context.CancelFunc
	ended          chan int // the exit code, once
}

// MustRun runs a command line until end or the end of the test, and returns once it takes connections.
func MustRun(t *testing.T, environ []string, args ...string) *program {
	t.Helper()
	p := &program{ended: make(chan int, 1)}
	listening := make(chan string, 1)
	m := &Main{
		Stdout: &p.stdout, Stderr: &p.stderr, Environ: environ,
		Listening: func(a net.Addr) { listening <- a.String() },
	}
	require.NoError(t, m.ParseFlags(args))
	var ctx context.Context
	ctx, p.stop = context.WithCancel(context.Background())
	go func() { p.ended <- m.report(m.Run(ctx)) }()
	t.Cleanup(func() { p.end(t) })
	select {
	case p.addr = <-listening:
	case code := <-p.ended:
		p.ended <- code
		require.Fail(t, "the program ended", "code %d: %s", code, p.stderr.String())
	case <-time.After(patience):
		require.Fail(t, "the program does not listen", p.stderr.String())
	}
	return p
}

// end asks the program to end and returns its exit code.
func (p *program) end(t *testing.T) int {
	t.Helper()
	p.stop()
	select {
	case code := <-p.ended:
		p.ended <- code // for whoever asks again
		return code
	case <-time.After(patience):
		require.Fail(t, "the program does not end", p.stderr.String())
		return -1
	}
}

// get returns status and body of a plain request.
func (p *program) get(t *testing.T, path string, header ...string) (int, string, http.Header) {
	t.Helper()
	return request(t, http.MethodGet, "http://"+p.addr+path, header...)
}

// request sends a request; header is name, value, name, value. Host is one of the names.
func request(t *testing.T, method, url string, header ...string) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequest(method, url, nil)
	require.NoError(t, err)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
	}
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body), resp.Header
}

// dial opens a WebSocket; the caller closes it.
func dial(t *testing.T, addr, path string) *websocket.Conn {
	t.Helper()
	conn, resp, err := websocket.DefaultDialer.Dial("ws://"+addr+path, nil)
	require.NoError(t, err, "%v", resp)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// expect reads until the frame comes; others are passed over.
func expect(t *testing.T, conn *websocket.Conn, frame []byte) {
	t.Helper()
	for {
		_, got, err := conn.ReadMessage()
		require.NoError(t, err, "waiting for %x", frame)
		if bytes.Equal(got, frame) {
			return
		}
	}
}

// hangUp reads until the server closes the socket, answers that, and returns the error that says how it closed.
func hangUp(conn *websocket.Conn) error {
	for {
		if _, _, err := conn.ReadMessage(); err != nil {
			return err
		}
	}
}

func send(t *testing.T, conn *websocket.Conn, frame []byte) {
	t.Helper()
	require.NoError(t, conn.WriteMessage(websocket.BinaryMessage, frame))
}

func TestDev(t *testing.T) {
	data := filepath.Join(t.TempDir(), "documents")
	p := MustRun(t, nil, "dev", "--listen", "127.0.0.1:0", "--data", data)
	require.Contains(t, p.stdout.String(), "ws://"+p.addr+"/<room>")

	t.Run("health", func(t *testing.T) {
		for _, path := range []string{"/healthz", "/readyz"} {
			status, body, _ := p.get(t, path)
			require.Equal(t, http.StatusOK, status)
			require.Equal(t, "ok\n", body)
		}
	})
	t.Run("other machines' pages", func(t *testing.T) {
		upgrade := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}
		status, body, _ := p.get(t, "/parties/main/r", append(upgrade, "Origin", "https://evil.example")...)
		require.Equal(t, http.StatusForbidden, status)
		require.Contains(t, body, `"code":"ORIGIN_REFUSED"`)
		status, body, _ = p.get(t, "/parties/main/r", append(upgrade, "Host", "evil.example")...)
		require.Equal(t, http.StatusForbidden, status)
		require.Contains(t, body, `"code":"HOST_REFUSED"`)
	})
	t.Run("CORS", func(t *testing.T) {
		status, _, header := request(t, http.MethodOptions, "http://"+p.addr+"/parties/main/r",
			"Origin", "http://localhost:5173", "Access-Control-Request-Method", "POST")
		require.Equal(t, http.StatusNoContent, status)
		require.Equal(t, "http://localhost:5173", header.Get("Access-Control-Allow-Origin"))
		require.Equal(t, "true", header.Get("Access-Control-Allow-Credentials"))
	})
	t.Run("headers without end", func(t *testing.T) {
		status, _, _ := p.get(t, "/healthz", "Cookie", strings.Repeat("x", 2*maxHeaderBytes))
		require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, status)
	})
	t.Run("no redirects", func(t *testing.T) {
		status, _, _ := p.get(t, "//parties//main//r")
		require.NotEqual(t, http.StatusMovedPermanently, status)
	})

	conn := dial(t, p.addr, "/my-room")
	send(t, conn, typed)
	expect(t, conn, typed) // the echo: it is stored

	p.stop()
	err := hangUp(conn)
	require.True(t, websocket.IsCloseError(err, websocket.CloseServiceRestart), "closed with %v", err)
	require.Equal(t, exitOK, p.end(t))

	p = MustRun(t, nil, "dev", "--listen", "127.0.0.1:0", "--data", data)
	conn = dial(t, p.addr, "/parties/main/my-room?_pk=a")
	send(t, conn, emptyStep1)
	expect(t, conn, stepTwo)
	require.NoError(t, conn.Close())
	require.Equal(t, exitOK, p.end(t))
}

// MustWriteConfig writes a file for serve and returns its name.
func MustWriteConfig(tb testing.TB, text string) string {
	tb.Helper()
	name := filepath.Join(tb.TempDir(), "yserverd.yaml")
	require.NoError(tb, os.WriteFile(name, []byte(text), 0o600))
	return name
}

func TestServe(t *testing.T) {
	file := MustWriteConfig(t, `
listen: ${ADDRESS}
public_url: https://docs.example
allowed_origins: [https://app.example]
prefixes: [rooms]
data_dir: `+filepath.Join(t.TempDir(), "documents")+`
rooms:
  MyNotes: {type: document, access: public, y_websocket: {path: /yjs}}
  OTHER_ROOM: {type: document, access: public, cors: false}
log: {format: json}
`)
	p := MustRun(t, []string{"ADDRESS=127.0.0.1:0"}, "serve", "-c", file)
	require.Contains(t, p.stderr.String(), `"parties":["my-notes","other-room"]`)

	conn := dial(t, p.addr, "/yjs/a")
	send(t, conn, typed)
	expect(t, conn, typed)
	require.NoError(t, conn.Close())
	conn = dial(t, p.addr, "/rooms/my-notes/a?_pk=x")
	send(t, conn, emptyStep1)
	expect(t, conn, stepTwo)
	require.NoError(t, conn.Close())
	conn = dial(t, p.addr, "/rooms/other-room/a")
	send(t, conn, emptyStep1)
	expect(t, conn, []byte{0, 1, 2, 0, 0}) // another party, another document
	require.NoError(t, conn.Close())

	for origin, allowed := range map[string]string{
		"https://docs.example": "https://docs.example", "https://app.example": "https://app.example", "http://" + p.addr: "", "https://evil.example": "",
	} {
		_, _, header := request(t, http.MethodOptions, "http://"+p.addr+"/rooms/my-notes/a", "Origin", origin, "Access-Control-Request-Method", "GET")
		require.Equal(t, allowed, header.Get("Access-Control-Allow-Origin"), origin)
		_, _, header = request(t, http.MethodOptions, "http://"+p.addr+"/rooms/other-room/a", "Origin", origin, "Access-Control-Request-Method", "GET")
		require.Empty(t, header.Get("Access-Control-Allow-Origin"), "cors: false")
	}
	status, _, _ := p.get(t, "/parties/my-notes/a")
	require.Equal(t, http.StatusNotFound, status, "not one of the prefixes")
	require.Equal(t, exitOK, p.end(t))
}

// TestSecretsStaySecret: neither the log at its loudest nor what is printed repeats what authenticates somebody.
func TestSecretsStaySecret(t *testing.T) {
	const secret = "hunter2hunter2"
	file := MustWriteConfig(t, `
listen: 127.0.0.1:0
data_dir: `+filepath.Join(t.TempDir(), "documents")+`
rooms: {MAIN: {type: document, access: public, y_websocket: {path: /yjs}}}
log: {level: debug}
`)
	p := MustRun(t, []string{"OTHER_SECRET=" + secret}, "serve", "-c", file)
	query := "?_pk=a&api_key=" + secret + "&ws_ticket=" + secret + "&token=" + secret
	header := http.Header{"Authorization": {"Bearer " + secret}, "X-Api-Key": {secret}, "Cookie": {"better-auth.session_token=" + secret}}
	for _, path := range []string{"/parties/main/a", "/yjs/b"} {
		conn, _, err := websocket.DefaultDialer.Dial("ws://"+p.addr+path+query, header)
		require.NoError(t, err)
		require.NoError(t, conn.WriteMessage(websocket.BinaryMessage, []byte{0, 2, 5, 1, 1, 1, 0, 99})) // malformed
		require.NoError(t, conn.WriteMessage(websocket.BinaryMessage, typed))
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
		expect(t, conn, typed)
		require.NoError(t, conn.Close())
	}
	p.get(t, "/parties/nobody/r"+query, "Authorization", "Bearer "+secret)
	p.get(t, "/parties/main/%00"+query)
	require.Equal(t, exitOK, p.end(t))
	require.Contains(t, p.stderr.String(), "level=DEBUG", "nothing loud was logged, so nothing was proven")
	require.NotContains(t, p.stdout.String()+p.stderr.String(), secret)
}

// fails runs a command line that must end by itself.
func fails(t *testing.T, environ []string, args ...string) (code int, stderr string) {
	t.Helper()
	var errs lines
	m := &Main{Stdout: io.Discard, Stderr: &errs, Environ: environ}
	require.NoError(t, m.ParseFlags(args))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	code = m.report(m.Run(ctx))
	require.NoError(t, ctx.Err(), "it ran instead of failing")
	return code, errs.String()
}

func TestServeRefuses(t *testing.T) {
	file := MustWriteConfig(t, "listen: 127.0.0.1:0\nrooms:\n  MAIN:\n    type: document\nauth: {secret: \"${SECRET}\"}\n")
	code, stderr := fails(t, []string{"SECRET=hunter2"}, "serve", "-c", file)
	require.Equal(t, exitConfig, code)
	require.Equal(t, file+":5: auth.secret: is too short: want at least 32 bytes: head -c 32 /dev/urandom | base64\n"+
		"yserverd: the configuration has 1 problem and was not used\n", stderr)

	code, stderr = fails(t, nil, "serve", "-c", file+".missing")
	require.Equal(t, exitConfig, code)
	require.Contains(t, stderr, file+".missing: no such file or directory\n")
}

func TestAddressInUse(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	data := filepath.Join(t.TempDir(), "documents")
	code, stderr := fails(t, nil, "dev", "--listen", listener.Addr().String(), "--data", data)
	require.Equal(t, exitStart, code)
	require.Equal(t, "yserverd: the address "+listener.Addr().String()+" is in use: another program listens there; end it, or listen elsewhere\n", stderr)
	require.NoDirExists(t, data, "nothing is touched")

	code, stderr = fails(t, nil, "serve", "-c", MustWriteConfig(t, "listen: 192.0.2.1:1\nrooms: {M: {type: document, access: public}}\n"))
	require.Equal(t, exitStart, code)
	require.Contains(t, stderr, "the address 192.0.2.1:1 is not one of this machine")
}

func TestDataFolderInUse(t *testing.T) {
	data := filepath.Join(t.TempDir(), "documents")
	p := MustRun(t, nil, "dev", "--listen", "127.0.0.1:0", "--data", data)
	code, stderr := fails(t, nil, "dev", "--listen", "127.0.0.1:0", "--data", data)
	require.Equal(t, exitStart, code)
	require.Contains(t, stderr, "yserverd: the data folder "+data+" is in use: another yserverd serves it")
	require.Equal(t, 1, strings.Count(stderr, "\n"), stderr)
	status, _, _ := p.get(t, "/readyz")
	require.Equal(t, http.StatusOK, status, "the one that has it goes on")

	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	code, stderr = fails(t, nil, "dev", "--listen", "127.0.0.1:0", "--data", file)
	require.Equal(t, exitStart, code)
	require.Contains(t, stderr, file)
}
