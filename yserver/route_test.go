package yserver_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/persist/persisttest"
	"github.com/yserverd/yserverd/yserver"
)

func TestKebabCase(t *testing.T) {
	for binding, want := range map[string]string{
		"MyServer": "my-server", "myServer": "my-server", "MY_SERVER": "my-server", "my_server": "my-server",
		"CHAT": "chat", "Chat": "chat", "YBasic": "y-basic", "HTTPServer": "h-t-t-p-server", "MyDO": "my-d-o",
		"My_Server": "my--server", "Room2D": "room2-d", "ROOM_2": "room-2", "X_": "x-", "myServer_": "my-server",
		"_X": "-x", "ÀRoom": "À-room", "": "",
	} {
		require.Equal(t, want, yserver.KebabCase(binding), binding)
	}
}

func TestRoutes(t *testing.T) {
	router := yserver.NewTestRouter(t, []string{"/realtime/", "parties", "a/b"},
		yserver.Party{Name: "main", YWebSocket: "/"}, yserver.Party{Name: "notes", YWebSocket: "/yjs/notes"})
	for _, tc := range []struct{ path, want string }{
		{"/parties/main/r", "main r"},
		{"/realtime/main/r", "main r"},
		{"//realtime//main///r/", "main r"},
		{"/a/b/main/r", "main r"},
		{"/parties/main/r/more/segments", "main r"},
		{"/parties/main/a%20b", "main a b"},
		{"/parties/main/a%2Fb", "main a/b"},
		{"/parties/main/%C3%BC/x", "main ü"},
		{"/parties/main/a%252Fb", "main a%2Fb"},
		{"/parties/main/a+b", "main a+b"},
		{"/parties/Main/r", "400"},
		{"/parties/ma%69n/r", "400"},
		{"/parties/constructor/r", "400"},
		{"/parties/__proto__/r", "400"},
		{"/parties/main/%00", "400"},
		{"/parties/main/%ff", "400"},
		{"/%70arties/main/r", "y main parties/main/r"},
		{"/parties/main", "404"},
		{"/parties", "404"},
		{"/healthz", "404"},
		{"/readyz/x", "404"},
		{"/", "y 400"},
		{"/r", "y main r"},
		{"/ü/x%20y", "y main ü/x y"},
		{"/a%2Fb/c", "y main a/b/c"},
		{"//r", "y main /r"},
		{"/yjs/notes/r/s", "y notes r/s"},
		{"/yjs/notes/", "y 400"},
		{"/yjs/notes", "y main yjs/notes"},
		{"/yjs/notesx", "y main yjs/notesx"},
	} {
		require.Equal(t, tc.want, router(tc.path), tc.path)
	}
}

func serve(t *testing.T, cfg yserver.Config, p yserver.Party) func(method, path string, header ...string) *http.Response {
	t.Helper()
	cfg.Store = persisttest.NewMemory()
	p.Name, p.Document, p.Access, p.YWebSocket = "main", &yserver.Document{}, gate.Public, "/yjs"
	srv, err := yserver.New(cfg, p)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, srv.Shutdown(context.Background())) })
	return func(method, path string, header ...string) *http.Response {
		r := httptest.NewRequest(method, path, nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, r)
		return w.Result()
	}
}

// handshake is what a browser sends to open a socket.
var handshake = []string{
	"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==",
}[:8:8]

func TestHTTPAnswers(t *testing.T) {
	do := serve(t, yserver.Config{}, yserver.Party{})
	for _, tc := range []struct {
		method, path string
		header       []string
		status       int
	}{
		{"GET", "/nothing", nil, 404},
		{"GET", "/parties/main", nil, 404},
		{"GET", "/parties/other/r", nil, 400},
		{"GET", "/parties/main/r", nil, 404},
		{"GET", "/yjs/r", nil, 404},
		{"POST", "/parties/main/r", nil, 404},
		{"POST", "/parties/main/r", []string{"Origin", "https://evil.example"}, 403},
		{"POST", "/parties/main/r", []string{"Origin", "null"}, 403},
		{"GET", "/parties/main/r", append(handshake, "Origin", "https://evil.example"), 403},
		{"GET", "/parties/other/r", handshake, 400},
		{"POST", "/parties/main/r", handshake, 405},
		{"GET", "/parties/main/r", append(handshake, "Sec-WebSocket-Version", "8"), 426},
		{"GET", "/parties/main/r", []string{"Upgrade", "websocket"}, 400}, // no handshake
	} {
		require.Equal(t, tc.status, do(tc.method, tc.path, tc.header...).StatusCode, "%s %s %v", tc.method, tc.path, tc.header)
	}
}

func TestCORSIsForAllowedOrigins(t *testing.T) {
	policy, err := gate.NewOriginPolicy(gate.OriginConfig{Allowed: []string{"https://app.example"}})
	require.NoError(t, err)
	do := serve(t, yserver.Config{Origin: policy}, yserver.Party{CORS: true})
	pre := do("OPTIONS", "/parties/main/r", "Origin", "https://app.example", "Access-Control-Request-Method", "POST")
	require.Equal(t, 204, pre.StatusCode)
	require.Equal(t, "https://app.example", pre.Header.Get("Access-Control-Allow-Origin"))
	require.Equal(t, "true", pre.Header.Get("Access-Control-Allow-Credentials"))
	got := do("GET", "/parties/main/r", "Origin", "https://evil.example")
	require.Empty(t, got.Header.Get("Access-Control-Allow-Origin"))
	require.Equal(t, "Origin", got.Header.Get("Vary"))
	require.Empty(t, do("GET", "/parties/other/r", "Origin", "https://app.example").Header.Get("Access-Control-Allow-Origin"))
}

func TestYWebSocketRefusalsAreCloseCodes(t *testing.T) {
	k := start(t)
	k.dial("/yjs/%ff").expectClose(4400)
	refuse := start(t, func(_ *yserver.Config, p *yserver.Party) { p.Access = yserver.RefuseAll })
	refuse.dial("/yjs/r").expectClose(4403)
	_, resp, err := refuse.tryDial("/parties/main/r")
	require.Error(t, err)
	require.Equal(t, 403, resp.StatusCode)
	require.Zero(t, refuse.Srv.Stats().Loads, "a refusal costs no room")
}
