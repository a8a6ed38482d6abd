package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/pebble"
)

// ran is a command that has ended.
type ran struct {
	code           int
	stdout, stderr string
}

// run runs a command line to its end.
func run(t *testing.T, stdin []byte, args ...string) ran {
	t.Helper()
	var out, errs bytes.Buffer
	m := &Main{Stdin: bytes.NewReader(stdin), Stdout: &out, Stderr: &errs}
	err := m.ParseFlags(args)
	if err == nil {
		err = m.Run(context.Background())
	}
	code := m.report(err)
	return ran{code, out.String(), errs.String()}
}

// MustDo runs a command line that has to work.
func MustDo(t *testing.T, stdin []byte, args ...string) ran {
	t.Helper()
	r := run(t, stdin, args...)
	require.Equal(t, exitOK, r.code, "%q: %s", args, r.stderr)
	return r
}

// text is the update of a client that types into the text "t" of an empty document: the layout is package update's.
func text(client byte, s string) []byte {
	u := []byte{1, 1, client, 0, 4, 1, 1, 't', byte(len(s))}
	return append(append(u, s...), 0)
}

// MustFill puts documents into the folder of an embedded store: by room, each with updates that follow each other.
func MustFill(t *testing.T, dir, party string, rooms map[string][][]byte) {
	t.Helper()
	store, err := pebble.Open(dir, pebble.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	var appends []persist.Append
	for room, updates := range rooms {
		appends = append(appends, persist.Append{Key: persist.Key{Party: party, Room: room}, Updates: updates})
	}
	results, err := store.Append(context.Background(), appends)
	require.NoError(t, err)
	for _, r := range results {
		require.NoError(t, r.Err)
	}
}

// listed returns a listing by room.
func listed(t *testing.T, args ...string) map[string]entry {
	t.Helper()
	all := make(map[string]entry)
	out := json.NewDecoder(strings.NewReader(MustDo(t, nil, append([]string{"doc", "list", "--json"}, args...)...).stdout))
	for out.More() {
		var e entry
		require.NoError(t, out.Decode(&e))
		key, err := e.key()
		require.NoError(t, err)
		all[key.Room] = e
	}
	return all
}

// TestDocLife: a document is stored, read in every format, replaced, deleted and removed.
func TestDocLife(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	at := func(command string, args ...string) []string {
		return append([]string{"doc", command, "--data", data}, args...)
	}
	hi, ho := text(1, "hi"), text(2, "ho")
	MustDo(t, hi, at("put", "p", "r", "-")...)
	require.Equal(t, string(hi), MustDo(t, nil, at("get", "p", "r")...).stdout)
	for format, want := range map[string]string{
		"text": "hi\n", "json": `{"t":"hi"}` + "\n", "xml": "hi\n", "delta": `[{"insert":"hi"}]` + "\n",
	} {
		require.Equal(t, want, MustDo(t, nil, at("get", "p", "r", "--format", format)...).stdout)
	}
	require.Equal(t, `"hi"`+"\n", MustDo(t, nil, at("get", "p", "r", "--format", "json", "--root", "t")...).stdout)
	file := filepath.Join(t.TempDir(), "r.bin")
	MustDo(t, nil, at("get", "p", "r", "-o", file)...)
	written, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, hi, written)

	r := run(t, ho, at("put", "p", "r", "-")...)
	require.Equal(t, exitFailed, r.code)
	require.Equal(t, "yserverd: p/r exists: --replace puts this in its place\n", r.stderr)
	before := listed(t, "--data", data, "--party", "p")["r"]
	MustDo(t, ho, at("put", "p", "r", "-", "--replace")...)
	require.Equal(t, "ho\n", MustDo(t, nil, at("get", "p", "r", "--format", "text")...).stdout)
	after := listed(t, "--data", data, "--party", "p")["r"]
	require.Equal(t, before.Epoch+1, after.Epoch, "what clients hold of the old content is stale")

	MustDo(t, nil, at("rm", "p", "r")...)
	require.NotEmpty(t, listed(t, "--data", data, "--party", "p")["r"].Deleted)
	for _, command := range [][]string{at("get", "p", "r"), at("put", "p", "r", "-", "--replace"), at("rm", "p", "r")} {
		r := run(t, ho, command...)
		require.Equal(t, exitFailed, r.code, "%q", command)
		require.Contains(t, r.stderr, "p/r is deleted")
	}
	store, err := pebble.Open(data, pebble.Options{})
	require.NoError(t, err)
	require.NoError(t, store.Undelete(context.Background(), persist.Key{Party: "p", Room: "r"}))
	doc, err := store.Load(context.Background(), persist.Key{Party: "p", Room: "r"})
	require.NoError(t, err)
	require.NoError(t, store.Close())
	require.Equal(t, []uint64{1, 2}, doc.Dead, "the clients of both lives that ended")

	MustDo(t, nil, at("rm", "p", "r", "--purge")...)
	require.Empty(t, listed(t, "--data", data, "--party", "p"))
	for _, command := range [][]string{at("get", "p", "r"), at("rm", "p", "r"), at("rm", "p", "r", "--purge")} {
		require.Equal(t, exitFailed, run(t, nil, command...).code, "%q", command)
	}
}

// TestDocGetIsWhole: rows and what waits for others are in what get prints.
func TestDocGetIsWhole(t *testing.T) {
	data := t.TempDir()
	// client 1 types "a" and then "b" behind it; client 2's clock 5 waits for what is before it
	later := []byte{1, 1, 2, 5, 4, 1, 1, 't', 1, 'z', 0}
	b := []byte{1, 1, 1, 1, 0x84, 1, 0, 1, 'b', 0}
	MustFill(t, data, "p", map[string][][]byte{"r": {text(1, "a"), b, later}})
	u := MustDo(t, nil, "doc", "get", "--data", data, "p", "r").stdout
	other := t.TempDir()
	MustDo(t, []byte(u), "doc", "put", "--data", other, "p", "r", "-")
	require.Equal(t, "ab\n", MustDo(t, nil, "doc", "get", "--data", other, "p", "r", "--format", "text").stdout)
	before := append([]byte{1, 1, 2, 0, 4, 1, 1, 't', 5}, "01234\x00"...)
	MustDo(t, nil, "doc", "rm", "--data", other, "--purge", "p", "r")
	MustFill(t, other, "p", map[string][][]byte{"r": {[]byte(u), before}})
	require.Contains(t, MustDo(t, nil, "doc", "get", "--data", other, "p", "r", "--format", "text").stdout, "z", "it was kept")
}

func TestDocList(t *testing.T) {
	data := t.TempDir()
	MustFill(t, data, "p", map[string][][]byte{
		"a": {text(1, "x")}, "ab": {text(1, "x"), text(2, "y")}, "b\n\x1b[31m": {text(1, "x")}, "\xff": {text(1, "x")},
	})
	MustFill(t, data, "q", map[string][][]byte{"a": {text(1, "x")}})
	MustDo(t, nil, "doc", "rm", "--data", data, "p", "a")
	list := func(args ...string) ran {
		return MustDo(t, nil, append([]string{"doc", "list", "--data", data}, args...)...)
	}

	table := list("--party", "p", "--party", "q").stdout
	lines := strings.Split(strings.TrimSpace(table), "\n")
	require.Len(t, lines, 6, table)
	require.Regexp(t, `^PARTY +ROOM +EPOCH +SEQ +BYTES +UPDATED +STATE$`, lines[0])
	require.Regexp(t, `^p +a +1 +1 +\d+ +\S+Z +deleted \S+Z$`, lines[1])
	require.Regexp(t, `^p +ab +0 +2 +\d+ +\S+Z *$`, lines[2])
	require.Contains(t, table, `"b\n\x1b[31m"`, "a name does not write to the terminal")
	require.Contains(t, table, `"\xff"`)
	require.Len(t, listed(t, "--data", data, "--party", "p"), 4)
	require.Contains(t, listed(t, "--data", data, "--party", "p"), "\xff", "names are bytes")
	require.Len(t, listed(t, "--data", data, "--party", "p", "--prefix", "a"), 2)

	seen, cursor := 0, ""
	for pages := 0; ; pages++ {
		require.Less(t, pages, 5)
		page := list("--party", "p", "--limit", "3", "--cursor", cursor, "--json")
		seen += strings.Count(page.stdout, "\n")
		var found bool
		if _, cursor, found = strings.Cut(strings.TrimSpace(page.stderr), "more: --cursor "); !found {
			break
		}
	}
	require.Equal(t, 4, seen)
	require.Equal(t, exitUsage, run(t, nil, "doc", "list", "--data", data, "--party", "p", "--party", "q", "--limit", "1").code)
}

// TestDocWhichStore: what a command works on is always named, exists, and is not in use.
func TestDocWhichStore(t *testing.T) {
	t.Chdir(t.TempDir())
	data := t.TempDir()
	MustFill(t, data, "main", map[string][][]byte{"r": {text(1, "x")}})
	file := "yserverd.yaml"
	for _, row := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"doc", "list"}, exitUsage, "which store? -c yserverd.yaml, --data DIR or --store URL"},
		{[]string{"doc", "list", "--data", "none"}, exitFailed, "there is no store in none"},
		{[]string{"doc", "get", "--data", t.TempDir(), "p", "r"}, exitFailed, "there is no store in"},
		{[]string{"doc", "list", "--data", data}, exitUsage, "which party? --party NAME"},
		{[]string{"doc", "list", "--data", data, "--store", "postgres://h/db"}, exitUsage, "can't be used together"},
		{[]string{"doc", "list", "--store", "mysql://u:hunter2@h/db"}, exitUsage, "--store: want postgres://user:password@host:port/database"},
		{[]string{"doc", "list", "--store", "postgres://u:hunter2@127.0.0.1:1/db", "--party", "p"}, exitStart, "the database postgres://u@127.0.0.1:1/db (store.url) cannot be used"},
		{[]string{"doc", "get", "--data", data, "p", "r", "--format", "pdf"}, exitUsage, "must be one of"},
		{[]string{"doc", "list", "-c", "none.yaml"}, exitConfig, "no such file"},
	} {
		r := run(t, nil, row.args...)
		require.Equal(t, row.code, r.code, "%q: %s", row.args, r.stderr)
		require.Contains(t, r.stderr, row.want)
		require.NotContains(t, r.stderr, "hunter2")
	}
	require.NoDirExists(t, "none", "nothing was made")

	require.NoError(t, os.WriteFile(file, []byte("data_dir: "+data+"\nrooms:\n  MAIN: {type: document, access: public}\n"), 0o600))
	require.Contains(t, MustDo(t, nil, "doc", "list").stdout, "main   r", "the file of this folder, and its parties")

	store, err := pebble.Open(data, pebble.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	for _, args := range [][]string{
		{"doc", "list"},
		{"doc", "get", "--data", data, "main", "r"},
		{"doc", "export", "--data", data, "--party", "main", "out"},
		{"backup", "--data", data, "copy"},
	} {
		r := run(t, nil, args...)
		require.Equal(t, exitStart, r.code, "%q: %s", args, r.stderr)
		require.Regexp(t, `held open by a running yserverd; end it first, or work on a copy: yserverd backup|a running yserverd holds it`, r.stderr)
	}
}

// TestDocRefusesBytes: nothing is stored that a client would throw at.
func TestDocRefusesBytes(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	for what, u := range map[string][]byte{
		"nothing": {}, "noise": []byte("hello"), "half": text(1, "hello")[:8],
		"a state vector": {1, 1, 1},
		// Y.encodeStateAsUpdateV2 of the document of text(1, "hi"), yjs 13.6
		"version 2": {0, 0, 1, 1, 0, 0, 1, 4, 6, 3, 't', 'h', 'i', 1, 2, 1, 1, 0, 0, 1, 1, 0, 0},
	} {
		r := run(t, u, "doc", "put", "--data", data, "p", "r", "-")
		require.Equal(t, exitFailed, r.code, what)
		require.Regexp(t, "-: is (no|an empty) update of format V1", r.stderr, what)
	}
	require.NoDirExists(t, data)
}

// TestBackup: a copy opens, has everything, and is a store of its own that a server runs on.
func TestBackup(t *testing.T) {
	data, dir := t.TempDir(), t.TempDir()
	MustFill(t, data, "main", map[string][][]byte{"r": {text(1, "x")}})
	file := filepath.Join(dir, "y.yaml")
	require.NoError(t, os.WriteFile(file, []byte("data_dir: "+data+"\nrooms:\n  MAIN: {type: document, access: public}\n"), 0o600))
	copied := filepath.Join(dir, "backups", "monday")
	require.Equal(t, copied+"\n", MustDo(t, nil, "backup", "-c", file, copied).stdout)
	MustFill(t, data, "main", map[string][][]byte{"later": {text(1, "x")}})
	require.Len(t, listed(t, "--data", copied, "--party", "main"), 1, "what came later is not in it")

	// restored: a server on the copy has the document, and goes on with it
	p := MustRun(t, nil, "dev", "--listen", "127.0.0.1:0", "--data", copied)
	conn := dial(t, p.addr, "/r")
	send(t, conn, emptyStep1)
	expect(t, conn, append([]byte{0, 1, byte(len(text(1, "x")))}, text(1, "x")...))
	require.Equal(t, exitOK, p.end(t))

	r := run(t, nil, "backup", "--data", data, copied)
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, "exists")
	r = run(t, nil, "backup", "--data", filepath.Join(dir, "none"), filepath.Join(dir, "x"))
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, "there is no store")
	require.NoDirExists(t, filepath.Join(dir, "x"))
	require.NoError(t, os.WriteFile(file, []byte("store: {url: 'postgres://h/db'}\nrooms:\n  MAIN: {type: document, access: public}\n"), 0o600))
	r = run(t, nil, "backup", "-c", file, filepath.Join(dir, "x"))
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.stderr, "pg_dump")
}

func TestHealthCommand(t *testing.T) {
	p := MustRun(t, nil, "dev", "--listen", "127.0.0.1:0", "--data", t.TempDir())
	for _, path := range []string{"/healthz", "/readyz"} {
		require.Equal(t, "ok\n", MustDo(t, nil, "health", "http://"+p.addr+path).stdout)
	}
	r := run(t, nil, "health", "http://"+p.addr+"/parties/none/x")
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, "answers 400")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	require.Equal(t, exitFailed, run(t, nil, "health", "http://"+listener.Addr().String()).code)
	require.Equal(t, exitUsage, run(t, nil, "health", ":").code)
}
