package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/pgtest"
)

// testSecret is a secret that is long enough.
const testSecret = "0123456789abcdef0123456789abcdef"

// check runs yserverd check and returns its exit code and what it prints.
func check(t *testing.T, environ []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	m := &Main{Stdout: &out, Stderr: &errs, Environ: environ}
	require.NoError(t, m.ParseFlags(append([]string{"check"}, args...)))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	code = m.report(m.Run(ctx))
	return code, out.String(), errs.String()
}

// MustExec runs SQL in a database.
func MustExec(tb testing.TB, url, sql string) {
	tb.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	require.NoError(tb, err)
	defer func() { require.NoError(tb, conn.Close(context.Background())) }()
	_, err = conn.Exec(context.Background(), sql)
	require.NoError(tb, err)
}

// appTables are the tables of an application, with users of better-auth.
const appTables = `
CREATE TABLE chats (id text PRIMARY KEY, organization_id text, title text);
CREATE TABLE notes (id uuid PRIMARY KEY, deleted_at timestamptz);
CREATE TABLE tasks (id bigint PRIMARY KEY, organization_id text, assignee_id text, status text);
`

// planted returns the lines of the mistakes that a file marks, by number.
func planted(t *testing.T, file string) map[int]int {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	found := make(map[int]int)
	mark := regexp.MustCompile(` #(\d+)$`)
	for i, line := range strings.Split(string(text), "\n") {
		if m := mark.FindStringSubmatch(line); m != nil {
			n, err := strconv.Atoi(m[1])
			require.NoError(t, err)
			found[n] = i + 1
		}
	}
	return found
}

// TestCheckFindsEveryMistake: 15 mistakes in one file, all told in one run, each with its line and what to do about it.
func TestCheckFindsEveryMistake(t *testing.T) {
	file := filepath.Join("testdata", "mistakes.yaml")
	lines := planted(t, file)
	require.Len(t, lines, 15)
	want, err := os.ReadFile(filepath.Join("testdata", "mistakes.txt"))
	require.NoError(t, err)
	url := pgtest.Database(t)
	MustExec(t, url, appTables)

	code, stdout, stderr := check(t, []string{"DATABASE_URL=" + url, "AUTH_SECRET=" + testSecret}, "-c", file)
	require.Equal(t, exitConfig, code)
	require.Empty(t, stderr)
	require.Equal(t, string(want), stdout)
	told := strings.Split(strings.TrimSpace(stdout), "\n")
	for n, line := range lines {
		at := file + ":" + strconv.Itoa(line) + ": "
		count := 0
		for _, text := range told {
			if strings.HasPrefix(text, at) {
				count++
			}
		}
		require.Equal(t, 1, count, "mistake %d in line %d:\n%s", n, line, stdout)
	}
	require.NotContains(t, stdout, testSecret)

	t.Run("offline", func(t *testing.T) {
		code, offline, _ := check(t, []string{"DATABASE_URL=postgres://u:hunter2@127.0.0.1:1/app", "AUTH_SECRET=" + testSecret}, "-c", file, "--offline")
		require.Equal(t, exitConfig, code)
		kept := told[:len(told)-1]
		for _, n := range []int{4, 5, 10, 12} { // known to the database alone
			kept = slices.DeleteFunc(kept, func(text string) bool {
				return strings.HasPrefix(text, file+":"+strconv.Itoa(lines[n])+": ")
			})
		}
		require.Len(t, kept, 12)
		require.Equal(t, strings.Join(kept, "\n")+"\n"+file+": 11 problems, 1 warning; not asked: the database\n", offline)
	})
}

// secured is a configuration without mistakes, of rooms that are not public.
func secured(t *testing.T) string {
	t.Helper()
	return MustWriteConfig(t, `
listen: 127.0.0.1:0
data_dir: `+filepath.Join(t.TempDir(), "documents")+`
database: {url: "${DATABASE_URL}"}
auth: {secret: "${AUTH_SECRET}", role_hierarchy: [viewer, member, admin]}
admin: {enabled: false}
resources:
  chats:
    firewall: {organization: {column: organization_id}}
    write: {access: {roles: [member+]}}
rooms:
  CHATS: {type: document, access: {resource: chats}, y_websocket: {path: /chats}}
  MEMBERS: {type: document, y_websocket: {path: /yjs}}
  BOARD: {type: document, access: public, write: {roles: [member+]}}
  LOBBY: {type: message, access: {roomIdEquals: ctx.userId}}
`)
}

func TestCheckFindsNothing(t *testing.T) {
	url := pgtest.Database(t)
	MustExec(t, url, appTables)
	file := secured(t)
	code, stdout, stderr := check(t, []string{"DATABASE_URL=" + url, "AUTH_SECRET=" + testSecret}, "-c", file)
	require.Equal(t, exitOK, code, stdout)
	require.Empty(t, stderr)
	require.Equal(t, "warning: "+file+":13: rooms.MEMBERS.access: is missing: every caller who is known may open every room of members, "+
		"of any organisation, if he knows its id\n"+file+": no problems, 1 warning\n", stdout)

	t.Run("in a schema of its own", func(t *testing.T) {
		code, stdout, _ := check(t, []string{"DATABASE_URL=" + url, "AUTH_SECRET=" + testSecret, "YSERVERD_AUTH_API_KEYS_TABLE=app.keys"}, "-c", file)
		require.Equal(t, exitConfig, code)
		require.Contains(t, stdout, "YSERVERD_AUTH_API_KEYS_TABLE: auth.api_keys.table: ", stdout)
	})
}

func TestCheckAsks(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	nobody := listener.Addr().String()
	require.NoError(t, listener.Close())
	file := secured(t)
	environ := []string{
		"DATABASE_URL=postgres://u:hunter2@" + nobody + "/app", "AUTH_SECRET=" + testSecret,
		"YSERVERD_STORE_URL=postgres://u:hunter2@" + nobody + "/store",
		"YSERVERD_SNAPSHOTS_S3_ENDPOINT=" + nobody, "YSERVERD_SNAPSHOTS_S3_BUCKET=documents", "YSERVERD_SNAPSHOTS_S3_TLS=false",
		"YSERVERD_SNAPSHOTS_S3_ACCESS_KEY=hunter2", "YSERVERD_SNAPSHOTS_S3_SECRET_KEY=hunter2",
	}
	code, stdout, _ := check(t, environ, "-c", file)
	require.Equal(t, exitConfig, code)
	require.Contains(t, stdout, file+":4: database.url: cannot be asked: ")
	require.Contains(t, stdout, "YSERVERD_STORE_URL: store.url: cannot be asked: ")
	require.Contains(t, stdout, "snapshots.s3: the bucket of snapshots")
	require.Contains(t, stdout, ": 3 problems, 1 warning\n")
	require.NotContains(t, stdout, "hunter2")
	require.Equal(t, 5, strings.Count(stdout, "\n"), "a line for each:\n%s", stdout)

	code, stdout, _ = check(t, environ, "-c", file, "--offline")
	require.Equal(t, exitOK, code, stdout)
	require.True(t, strings.HasSuffix(stdout, ": no problems, 1 warning; not asked: the database, the bucket\n"), stdout)

	code, stderr := fails(t, environ, "serve", "-c", file)
	require.Equal(t, exitStart, code)
	require.Contains(t, stderr, "the database postgres://u@"+nobody+"/app (database.url) cannot be asked who may open a room: ")
	require.NotContains(t, stderr, "hunter2")
}

func TestCheckOfNothing(t *testing.T) {
	code, stdout, _ := check(t, nil, "-c", filepath.Join(t.TempDir(), "none.yaml"))
	require.Equal(t, exitConfig, code)
	require.Contains(t, stdout, "none.yaml: no such file or directory\n")
	require.Contains(t, stdout, "none.yaml: 1 problem, no warnings\n")

	file := MustWriteConfig(t, "rooms: {M: {type: document, access: public}}\nadmin: {enabled: false}\n")
	code, stdout, _ = check(t, nil, "-c", file)
	require.Equal(t, exitOK, code)
	require.Equal(t, file+": no problems, no warnings\n", stdout)
}

// TestServeChecks: what the database does not have keeps a server from starting, with the lines that check prints.
func TestServeChecks(t *testing.T) {
	url := pgtest.Database(t)
	MustExec(t, url, "CREATE TABLE chats (id text PRIMARY KEY, title text)")
	file := secured(t)
	environ := []string{"DATABASE_URL=" + url, "AUTH_SECRET=" + testSecret}
	code, stdout, _ := check(t, environ, "-c", file)
	require.Equal(t, exitConfig, code)
	line, _, _ := strings.Cut(stdout, "\n")
	require.Contains(t, line, file+":9: resources.chats.firewall.organization.column: ")

	code, stderr := fails(t, environ, "serve", "-c", file)
	require.Equal(t, exitConfig, code)
	require.Contains(t, stderr, line+"\nyserverd: the configuration has 1 problem and was not used\n")
}
