package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/pgtest"
	"github.com/yserverd/yserverd/internal/ytest"
)

// digest is the SHA-256 of a token, in hex.
func digest(token string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(token))) }

// hot runs yserverd backup with a token.
func hot(t *testing.T, token string, args ...string) ran {
	t.Helper()
	return runWith(t, []string{adminTokenVariable + "=" + token}, append([]string{"backup"}, args...)...)
}

// requireEmpty requires that there is nothing in a folder: no copy, and no part of one.
func requireEmpty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
}

// TestHotBackup: while stock clients type, two copies are made at once. The server is killed, and one on the copy has
// every edit once that was acknowledged before the backup began, loads every document, and goes on with them.
func TestHotBackup(t *testing.T) {
	const rooms, clients, notes = 3, 6, 1_000_000 // more than anybody waits for
	data, dir := filepath.Join(t.TempDir(), "data"), t.TempDir()
	p := MustStart(t, data)
	node := ytest.StartNodeClients(t)
	join := func(addr, name string, i int) *ytest.NodeClient {
		c, err := node.New(t.Context(), ytest.ClientConfig{
			Name: name, Kind: ytest.DocumentKinds[i%len(ytest.DocumentKinds)], URL: "ws://" + addr, Room: fmt.Sprint("r", i%rooms), Party: "main",
		})
		require.NoError(t, err)
		require.NoError(t, c.AwaitSynced(t.Context()))
		return c
	}
	typing, stop := context.WithCancel(t.Context())
	defer stop()
	typists := make([]*ytest.NodeClient, clients)
	for i := range typists {
		typists[i] = join(p.addr, fmt.Sprint("c", i), i)
	}
	var bursts sync.WaitGroup
	for i, c := range typists {
		bursts.Go(func() { _ = c.Burst(typing, fmt.Sprintf("[c%d-#]", i), notes, 2e6) }) // until the end
	}
	acknowledged := func(c *ytest.NodeClient) []string {
		_, _, texts, err := c.Echoes(t.Context())
		require.NoError(t, err)
		return texts
	}
	for _, c := range typists {
		require.Eventually(t, func() bool { return len(acknowledged(c)) > 50 }, patience, 1e6)
	}
	before := make([][]string, clients)
	for i, c := range typists {
		before[i] = acknowledged(c)
	}
	copies := []string{filepath.Join(dir, "one"), filepath.Join(dir, "two")}
	var backups sync.WaitGroup
	results := make([]ran, len(copies))
	for i, to := range copies {
		backups.Go(func() { results[i] = hot(t, p.token, "--url", "http://"+p.addr, to) })
	}
	backups.Wait()
	for i, r := range results {
		require.Equal(t, exitOK, r.code, r.stderr)
		require.Equal(t, copies[i]+"\n", r.stdout)
		require.Contains(t, r.stderr, "copying the store of the running server at "+p.addr)
	}
	for i, c := range typists {
		require.Greater(t, len(acknowledged(c)), len(before[i]), "nothing happened during the backups")
	}
	p.signal(t, os.Kill)
	_, _ = p.wait(t)
	stop()
	bursts.Wait()
	for _, c := range typists {
		require.NoError(t, c.Destroy(t.Context()))
	}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 2, "nothing else was left")

	for n, to := range copies {
		p := MustStart(t, to)
		for room := range rooms {
			c := join(p.addr, fmt.Sprintf("restored-%d-%d", n, room), room)
			view, err := c.View(t.Context())
			require.NoError(t, err)
			seen := map[string]int{}
			for _, note := range regexp.MustCompile(`\[c\d+-\d+\]`).FindAllString(view.Text, -1) {
				seen[note]++
				require.Equal(t, 1, seen[note], "%s is there twice", note)
			}
			for i := room; i < clients; i += rooms {
				for _, note := range before[i] {
					require.Equal(t, 1, seen[note], "%s was acknowledged before the backup", note)
				}
			}
			require.NoError(t, c.Burst(t.Context(), "[more-#]", 1, 0))
			require.Eventually(t, func() bool { return len(acknowledged(c)) == 1 }, patience, 1e6)
			require.NoError(t, c.Destroy(t.Context()))
		}
		p.signal(t, os.Interrupt)
		code, log := p.wait(t)
		require.Equal(t, exitOK, code, log)
	}
}

// TestHotBackupThatBreaksOff: a copy that was cut anywhere is refused, and leaves nothing behind.
func TestHotBackupThatBreaksOff(t *testing.T) {
	data, dir := filepath.Join(t.TempDir(), "data"), t.TempDir()
	MustFill(t, data, "main", map[string][][]byte{"r": {text(1, "hello")}})
	p := MustRun(t, nil, "dev", "--listen", "127.0.0.1:0", "--data", data)
	token := regexp.MustCompile(`its token +(\S+)`).FindStringSubmatch(p.stdout.String())[1]
	status, whole, _ := p.get(t, "/admin/v1/backup", "Authorization", "Bearer "+token)
	require.Equal(t, http.StatusOK, status, whole)
	require.NotContains(t, p.stderr.String(), token, "a secret in the log")
	require.Contains(t, p.stderr.String(), "token=dev method=GET path=/v1/backup status=200")

	length, short := 0, false // what the server sends, and whether it says so
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if short {
			w.Header().Set("Content-Length", fmt.Sprint(len(whole)))
		}
		_, _ = io.WriteString(w, whole[:length])
	}))
	defer server.Close()
	step := len(whole)/40 + 1
	for length = 0; length < len(whole); length += step {
		short = !short
		r := hot(t, "t", "--url", server.URL, filepath.Join(dir, "x"))
		require.Equal(t, exitFailed, r.code, "cut behind %d of %d bytes", length, len(whole))
		require.Contains(t, r.stderr, "the copy is not whole")
		require.Empty(t, r.stdout)
		requireEmpty(t, dir)
		r = run(t, []byte(whole[:length]), "backup", "--from", "-", filepath.Join(dir, "x"))
		require.Equal(t, exitFailed, r.code)
		requireEmpty(t, dir)
	}
	r := run(t, []byte(whole), "backup", "--from", "-", filepath.Join(dir, "downloaded"))
	require.Equal(t, exitOK, r.code, r.stderr)
	require.Equal(t, "hello\n", MustDo(t, nil, "doc", "get", "--data", filepath.Join(dir, "downloaded"), "main", "r", "--format", "text").stdout)
}

// TestHotBackupRefused: what keeps a backup from being made is said, with what to do, and nothing is made.
func TestHotBackupRefused(t *testing.T) {
	dir := t.TempDir()
	p := MustRun(t, nil, "dev", "--listen", "127.0.0.1:0", "--data", t.TempDir())
	tokens := "YSERVERD_ADMIN_TOKENS=" + digest("writer")
	file := filepath.Join(t.TempDir(), "y.yaml")
	require.NoError(t, os.WriteFile(file, []byte("listen: 127.0.0.1:0\nadmin: {tokens: [{name: r, role: read, sha256: "+digest("reader")+"}]}\ndata_dir: "+
		t.TempDir()+"\nrooms:\n  MAIN: {type: document, access: public}\n"), 0o600))
	reading := MustRun(t, nil, "serve", "-c", file)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	database := MustRun(t, []string{"YSERVERD_LISTEN=127.0.0.1:0", tokens, "YSERVERD_STORE_URL=" + pgtest.Database(t)}, "serve", "-c", "../../docs/yserverd.yaml")
	bare := MustRun(t, []string{"YSERVERD_LISTEN=127.0.0.1:0", "YSERVERD_DATA_DIR=" + t.TempDir()}, "serve", "-c", "../../docs/yserverd.yaml")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "there"), 0o700))
	for _, row := range []struct {
		name, token string
		args        []string
		code        int
		want        string
	}{
		{"wrong token", "wrong", []string{"--url", "http://" + p.addr}, exitFailed, "the admin token is not one of this server's"},
		{"token that may only read", "reader", []string{"--url", "http://" + reading.addr}, exitFailed, "use a token whose role is write"},
		{"no token", "", []string{"--url", "http://" + p.addr}, exitUsage, "set YSERVERD_ADMIN_TOKEN; to copy the store of a server that does not run use --data"},
		{"no server", "t", []string{"--url", "http://" + closed.Addr().String()}, exitFailed, "if it is stopped, copy its store with --data"},
		{"no admin API", "t", []string{"--url", "http://" + bare.addr}, exitFailed, "is there an admin API (admin.tokens)"},
		{"elsewhere", "t", []string{"--url", "http://" + p.addr + "/ops"}, exitFailed, p.addr + "/ops/v1/backup answers 4"},
		{"database", "writer", []string{"--url", "http://" + database.addr}, exitFailed, "back up the database first (pg_dump, or base backups with WAL), then the bucket"},
		{"no URL", "t", []string{"--url", p.addr}, exitUsage, "--url: want the address of a server"},
		{"two sources", "t", []string{"--url", "http://" + p.addr, "--data", "d"}, exitUsage, "can't be used together"},
		{"no file", "", []string{"--from", filepath.Join(dir, "none.tar")}, exitFailed, "no such file"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := hot(t, row.token, append(row.args, filepath.Join(dir, "copy"))...)
			require.Equal(t, row.code, r.code, r.stderr)
			require.Contains(t, r.stderr, row.want)
			require.NoDirExists(t, filepath.Join(dir, "copy"))
		})
	}
	r := hot(t, "t", "--url", "http://"+p.addr, filepath.Join(dir, "there"))
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, "exists")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing was made")
	require.NotContains(t, p.stderr.String(), "wrong", "what was presented is in no log")
}

// TestAdminAddress: with an address of its own the admin API is there and nowhere else.
func TestAdminAddress(t *testing.T) {
	environ := []string{"YSERVERD_LISTEN=127.0.0.1:0", "YSERVERD_ADMIN_LISTEN=127.0.0.1:0", "YSERVERD_ADMIN_TOKENS=" + digest("writer"), "YSERVERD_DATA_DIR=" + t.TempDir()}
	p := MustRun(t, environ, "serve", "-c", "../../docs/yserverd.yaml")
	m := regexp.MustCompile(`admin=(\S+)/admin`).FindStringSubmatch(p.stderr.String())
	require.NotNil(t, m, p.stderr.String())
	require.NotEqual(t, p.addr, m[1])
	status, body, _ := request(t, http.MethodGet, "http://"+m[1]+"/admin/v1/stats", "Authorization", "Bearer writer")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, `"store":"embedded"`)
	status, _, _ = p.get(t, "/admin/v1/stats", "Authorization", "Bearer writer")
	require.Equal(t, http.StatusNotFound, status)
	status, _, _ = request(t, http.MethodGet, "http://"+m[1]+"/healthz")
	require.Equal(t, http.StatusNotFound, status, "the rest is where it was")
	to := filepath.Join(t.TempDir(), "copy")
	require.Equal(t, exitOK, hot(t, "writer", "--url", "http://"+m[1], to).code)
	require.Equal(t, exitOK, p.end(t))
	require.False(t, strings.Contains(p.stderr.String(), "level=ERROR"), p.stderr.String())
	_, err := net.Dial("tcp", m[1])
	require.Error(t, err, "it ended with the server")

	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	r := runWith(t, append(environ, "YSERVERD_ADMIN_LISTEN="+l.Addr().String()), "serve", "-c", "../../docs/yserverd.yaml")
	require.Equal(t, exitStart, r.code)
	require.Contains(t, r.stderr, "the address "+l.Addr().String()+" is in use")
}
