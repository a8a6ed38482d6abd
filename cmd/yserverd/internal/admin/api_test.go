package admin_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/cmd/yserverd/internal/admin"
	"github.com/yserverd/yserverd/cmd/yserverd/internal/admin/archive"
	"github.com/yserverd/yserverd/gate"
)

// The tokens of the tests.
const (
	writer = "token-that-may-write"
	reader = "token-that-may-read"
)

// lines is a log that is read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// store is a source of backups: folders with one file.
type store struct {
	t    *testing.T
	size int
	err  error
	live atomic.Int32 // checkpoints that were not removed
}

func (s *store) source() *admin.BackupSource {
	return &admin.BackupSource{Store: "id", Checkpoint: func() (string, func() error, error) {
		if s.err != nil {
			return "", nil, s.err
		}
		s.live.Add(1)
		dir := s.t.TempDir()
		require.NoError(s.t, os.WriteFile(filepath.Join(dir, "000001.log"), bytes.Repeat([]byte("x"), s.size), 0o600))
		return dir, func() error { s.live.Add(-1); return os.RemoveAll(dir) }, nil
	}}
}

// config is a configuration, whose log is returned.
func config(t *testing.T) (admin.Config, *lines) {
	t.Helper()
	log := &lines{}
	return admin.Config{
		Path: "/admin", Version: "v1",
		Tokens: []admin.Token{
			{Name: "ops", SHA256: sha256.Sum256([]byte(writer)), Write: true},
			{Name: "monitoring", SHA256: sha256.Sum256([]byte(reader))},
		},
		Stats:  func() admin.Stats { return admin.Stats{Connections: 7, Store: "embedded", Ready: true} },
		Logger: slog.New(slog.NewTextHandler(log, nil)),
	}, log
}

// MustNew makes an API that ends with the test.
func MustNew(t *testing.T, c admin.Config) *admin.API {
	t.Helper()
	api, err := admin.New(c)
	require.NoError(t, err)
	t.Cleanup(api.Close)
	return api
}

// ask sends a request with a token, if there is one; header is name, value, name, value.
func ask(h http.Handler, method, path, token string, header ...string) *httptest.ResponseRecorder {
	w, r := httptest.NewRecorder(), httptest.NewRequest(method, path, nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	h.ServeHTTP(w, r)
	return w
}

// requireError requires an error body in the form of the gate.
func requireError(t *testing.T, w *httptest.ResponseRecorder, status int, layer, code string) {
	t.Helper()
	require.Equal(t, status, w.Code, w.Body)
	require.Equal(t, "application/json; charset=utf-8", w.Header().Get("Content-Type"))
	require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	var body map[string]any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body))
	require.Equal(t, layer, body["layer"])
	require.Equal(t, code, body["code"])
	require.NotEmpty(t, body["error"])
}

func TestTokens(t *testing.T) {
	c, _ := config(t)
	api := MustNew(t, c)
	for _, row := range []struct {
		name, code string
		header     []string
	}{
		{"none", "AUTH_MISSING", nil},
		{"empty", "AUTH_MISSING", []string{"Authorization", "Bearer "}},
		{"basic", "AUTH_MISSING", []string{"Authorization", "Basic " + writer}},
		{"bare", "AUTH_MISSING", []string{"Authorization", writer}},
		{"twice", "AUTH_MISSING", []string{"Authorization", "Bearer " + writer, "Authorization", "Bearer " + writer}},
		{"wrong", "AUTH_INVALID", []string{"Authorization", "Bearer " + writer + "x"}},
		{"its digest", "AUTH_INVALID", []string{"Authorization", fmt.Sprintf("Bearer %x", sha256.Sum256([]byte(writer)))}},
		{"in a cookie", "AUTH_MISSING", []string{"Cookie", "token=" + writer}},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, path := range []string{"/admin/v1/stats", "/admin/v1/backup", "/admin/v1/openapi.json", "/admin/nothing", "/admin"} {
				w := ask(api, http.MethodGet, path+"?token="+writer, "", row.header...)
				requireError(t, w, http.StatusUnauthorized, "authentication", row.code)
				require.Contains(t, w.Header().Get("WWW-Authenticate"), "Bearer")
				require.NotContains(t, w.Body.String(), writer)
			}
		})
	}
	for _, scheme := range []string{"Bearer ", "bearer ", "Bearer   "} {
		require.Equal(t, http.StatusOK, ask(api, http.MethodGet, "/admin/v1/stats", "", "Authorization", scheme+reader).Code)
	}
}

func TestStats(t *testing.T) {
	c, log := config(t)
	api := MustNew(t, c)
	w := ask(api, http.MethodGet, "/admin/v1/stats", reader)
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	var s admin.Stats
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &s))
	require.Equal(t, c.Stats(), s)
	require.Empty(t, log.String(), "reading is not audited")
}

// TestPaths: what is not there is said in the form of the gate, to those who are let in.
func TestPaths(t *testing.T) {
	c, log := config(t)
	api := MustNew(t, c)
	for _, path := range []string{"/admin", "/admin/", "/admin/v1", "/admin/v1/nothing", "/admin/docs", "/admin/schemas/Stats.json"} {
		requireError(t, ask(api, http.MethodGet, path, reader), http.StatusNotFound, "validation", "NOT_FOUND")
	}
	require.Empty(t, log.String())
	requireError(t, ask(api, http.MethodPost, "/admin/v1/stats", writer), http.StatusMethodNotAllowed, "validation", "METHOD_NOT_ALLOWED")
	require.Contains(t, log.String(), "token=ops method=POST path=/v1/stats status=405", "a write is audited, whatever comes of it")
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, "PROPFIND"} {
		requireError(t, ask(api, method, "/admin/v1/stats", reader), http.StatusForbidden, "access", "ACCESS_ROLE_REQUIRED")
	}
}

// TestOpenAPI: the description is of version 3.1, says how one signs in, and names every figure.
func TestOpenAPI(t *testing.T) {
	c, _ := config(t)
	w := ask(MustNew(t, c), http.MethodGet, "/admin/v1/openapi.json", reader)
	require.Equal(t, http.StatusOK, w.Code)
	var d struct {
		OpenAPI string
		Servers []struct{ URL string }
		Paths   map[string]map[string]struct {
			Responses map[string]struct{ Content map[string]any }
		}
		Security   []map[string][]string
		Components struct {
			Schemas map[string]struct {
				Properties map[string]struct{ Description string }
			}
			SecuritySchemes map[string]struct{ Type, Scheme string }
		}
	}
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &d))
	require.Regexp(t, `^3\.1\.`, d.OpenAPI)
	require.Equal(t, "/admin", d.Servers[0].URL)
	require.Equal(t, "bearer", d.Components.SecuritySchemes["token"].Scheme)
	require.Equal(t, []map[string][]string{{"token": {}}}, d.Security)
	require.Contains(t, d.Paths["/v1/backup"]["get"].Responses["200"].Content, "application/x-tar")
	for _, status := range []string{"401", "403", "429", "501", "503"} {
		require.Contains(t, d.Paths["/v1/backup"]["get"].Responses, status)
	}
	require.Contains(t, d.Paths["/v1/stats"]["get"].Responses["401"].Content, "application/json")
	for _, name := range []string{"error", "layer", "code", "hint"} {
		require.Contains(t, d.Components.Schemas["Error"].Properties, name)
	}
	var figures map[string]any
	require.NoError(t, json.Unmarshal(ask(MustNew(t, c), http.MethodGet, "/admin/v1/stats", reader).Body.Bytes(), &figures))
	for name := range figures {
		require.NotEmpty(t, d.Components.Schemas["Stats"].Properties[name].Description, name)
	}
}

// TestTooManyFailures: an address that guesses is told to wait; others, and a token that holds, are let in.
func TestTooManyFailures(t *testing.T) {
	c, _ := config(t)
	now, address := time.Now(), "192.0.2.1"
	c.Now, c.FailuresPerMinute = func() time.Time { return now }, 3
	c.ClientAddr = func(*http.Request) string { return address }
	api := MustNew(t, c)
	for range 3 {
		requireError(t, ask(api, http.MethodGet, "/admin/v1/stats", "guess"), http.StatusUnauthorized, "authentication", "AUTH_INVALID")
	}
	now = now.Add(10 * time.Second)
	w := ask(api, http.MethodGet, "/admin/v1/stats", "guess")
	requireError(t, w, http.StatusTooManyRequests, "authentication", "AUTH_RATE_LIMITED")
	require.Equal(t, "50", w.Header().Get("Retry-After"))
	requireError(t, ask(api, http.MethodGet, "/admin/v1/stats", ""), http.StatusTooManyRequests, "authentication", "AUTH_RATE_LIMITED")
	require.Equal(t, http.StatusOK, ask(api, http.MethodGet, "/admin/v1/stats", reader).Code)
	address = "192.0.2.2"
	requireError(t, ask(api, http.MethodGet, "/admin/v1/stats", "guess"), http.StatusUnauthorized, "authentication", "AUTH_INVALID")
	now, address = now.Add(50*time.Second), "192.0.2.1"
	requireError(t, ask(api, http.MethodGet, "/admin/v1/stats", "guess"), http.StatusUnauthorized, "authentication", "AUTH_INVALID")

	c.FailuresPerMinute = -1
	api = MustNew(t, c)
	for range 500 {
		require.Equal(t, http.StatusUnauthorized, ask(api, http.MethodGet, "/admin/v1/stats", "guess").Code)
	}

	require.Equal(t, "192.0.2.1", admin.Network("192.0.2.1:443"))
	require.Equal(t, "192.0.2.1", admin.Network("::ffff:192.0.2.1"))
	require.Equal(t, admin.Network("[2001:db8::1]:443"), admin.Network("2001:db8::ffff:1"))
	require.NotEqual(t, admin.Network("2001:db8::1"), admin.Network("2001:db8:0:1::1"))
	require.Equal(t, "@", admin.Network("@"))
}

func TestOrigins(t *testing.T) {
	c, _ := config(t)
	var err error
	c.Origin, err = gate.NewOriginPolicy(gate.OriginConfig{Allowed: []string{"https://ops.example.com"}})
	require.NoError(t, err)
	api := MustNew(t, c)
	w := ask(api, http.MethodOptions, "/admin/v1/stats", "", "Origin", "https://ops.example.com", "Access-Control-Request-Method", "GET")
	require.Equal(t, http.StatusNoContent, w.Code)
	require.Equal(t, "https://ops.example.com", w.Header().Get("Access-Control-Allow-Origin"))
	require.Contains(t, strings.ToLower(w.Header().Get("Access-Control-Allow-Headers")), "authorization")
	w = ask(api, http.MethodGet, "/admin/v1/stats", reader, "Origin", "https://evil.example.com")
	require.Empty(t, w.Header().Get("Access-Control-Allow-Origin"))
	requireError(t, ask(api, http.MethodPost, "/admin/v1/stats", writer, "Origin", "https://evil.example.com"), http.StatusForbidden, "access", "ORIGIN_REFUSED")
}

func TestConfigIsChecked(t *testing.T) {
	for name, change := range map[string]func(c *admin.Config){
		"no tokens": func(c *admin.Config) { c.Tokens = nil }, "path": func(c *admin.Config) { c.Path = "/admin/" },
		"no path": func(c *admin.Config) { c.Path = "" }, "no figures": func(c *admin.Config) { c.Stats = nil },
		"stall": func(c *admin.Config) { c.Stall = -1 },
	} {
		c, _ := config(t)
		change(&c)
		_, err := admin.New(c)
		require.Error(t, err, name)
	}
}

// MustServe serves an API over TCP until the end of the test and returns its URL.
func MustServe(t *testing.T, api http.Handler) string {
	t.Helper()
	s := httptest.NewServer(api)
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.URL
}

// fetch begins a request for a backup; the caller closes the body.
func fetch(t *testing.T, url, token string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/admin/v1/backup", nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+token)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	require.NoError(t, err)
	return resp
}

func TestBackup(t *testing.T) {
	c, log := config(t)
	s := &store{t: t, size: 3 << 20}
	c.Backup = s.source()
	url := MustServe(t, MustNew(t, c))
	resp := fetch(t, url, writer)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, "application/x-tar", resp.Header.Get("Content-Type"))
	require.Equal(t, "no-store", resp.Header.Get("Cache-Control"))
	require.Regexp(t, `filename="yserverd-\d{8}T\d{6}Z\.tar"`, resp.Header.Get("Content-Disposition"))
	dir := t.TempDir()
	head, err := archive.Unpack(resp.Body, dir, nil)
	require.NoError(t, err)
	require.Equal(t, "id", head.Store)
	require.EqualValues(t, 3<<20, head.Bytes)
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "whole=true") }, 10*time.Second, time.Millisecond)
	require.Contains(t, log.String(), "msg=admin token=ops method=GET path=/v1/backup status=200")
	require.Zero(t, s.live.Load())
}

func TestBackupRefused(t *testing.T) {
	c, log := config(t)
	requireError(t, ask(MustNew(t, c), http.MethodGet, "/admin/v1/backup", writer), http.StatusNotImplemented, "validation", "BACKUP_UNSUPPORTED")
	require.Contains(t, log.String(), "path=/v1/backup status=501")
	s := &store{t: t, err: errors.New("no space left on device")}
	c.Backup = s.source()
	requireError(t, ask(MustNew(t, c), http.MethodGet, "/admin/v1/backup", reader), http.StatusForbidden, "access", "ACCESS_ROLE_REQUIRED")
	w := ask(MustNew(t, c), http.MethodGet, "/admin/v1/backup", writer)
	requireError(t, w, http.StatusServiceUnavailable, "validation", "BACKUP_FAILED")
	require.NotContains(t, w.Body.String(), "no space")
	require.Contains(t, log.String(), "no space")
}

// TestBackupsAtOnce: two are served, a third is told to wait; one whose client goes away gives its place back, and one
// whose client takes nothing is cut off.
func TestBackupsAtOnce(t *testing.T) {
	c, log := config(t)
	s := &store{t: t, size: 32 << 20} // more than sockets buffer
	c.Backup, c.Stall = s.source(), time.Hour
	api := MustNew(t, c)
	url := MustServe(t, api)
	first, second := fetch(t, url, writer), fetch(t, url, writer)
	require.Equal(t, http.StatusOK, first.StatusCode)
	require.Equal(t, http.StatusOK, second.StatusCode)
	third := fetch(t, url, writer)
	require.Equal(t, http.StatusTooManyRequests, third.StatusCode)
	require.Equal(t, "30", third.Header.Get("Retry-After"))
	require.NoError(t, third.Body.Close())

	require.NoError(t, first.Body.Close())
	require.Eventually(t, func() bool { return s.live.Load() == 1 }, 10*time.Second, time.Millisecond)
	require.Contains(t, log.String(), "it broke off")
	require.Eventually(t, func() bool {
		if third = fetch(t, url, writer); third.StatusCode == http.StatusOK {
			return true
		}
		require.NoError(t, third.Body.Close())
		return false
	}, 10*time.Second, time.Millisecond)
	for _, resp := range []*http.Response{second, third} {
		_, err := archive.Unpack(resp.Body, t.TempDir(), nil)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
	}
	require.Eventually(t, func() bool { return s.live.Load() == 0 }, 10*time.Second, time.Millisecond)
}

func TestBackupThatNobodyTakes(t *testing.T) {
	c, log := config(t)
	s := &store{t: t, size: 64 << 20}
	c.Backup, c.Stall = s.source(), 50*time.Millisecond
	url := MustServe(t, MustNew(t, c))
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET /admin/v1/backup HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+writer+"\r\n\r\n")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "whole=false") }, 10*time.Second, time.Millisecond)
	require.Zero(t, s.live.Load())
}

// TestCloseEndsBackups: nothing of the store is used behind it, and the client notices.
func TestCloseEndsBackups(t *testing.T) {
	c, _ := config(t)
	s := &store{t: t, size: 32 << 20}
	c.Backup = s.source()
	api := MustNew(t, c)
	url := MustServe(t, api)
	resp := fetch(t, url, writer)
	defer resp.Body.Close()
	closed := make(chan struct{})
	go func() { defer close(closed); api.Close() }()
	received, err := io.ReadAll(resp.Body)
	require.Error(t, err, "whoever saves the answer is told that it broke off")
	_, err = archive.Unpack(bytes.NewReader(received), t.TempDir(), nil)
	require.ErrorIs(t, err, archive.ErrBroken)
	<-closed
	require.Zero(t, s.live.Load())
	requireError(t, ask(api, http.MethodGet, "/admin/v1/stats", writer), http.StatusServiceUnavailable, "validation", "DRAINING")
}
