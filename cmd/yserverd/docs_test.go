package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/pgtest"
	"github.com/yserverd/yserverd/internal/s3test"
)

// TestPortedExample: the program in docs/partyserver.md compiles.
func TestPortedExample(t *testing.T) {
	page, err := os.ReadFile("../../docs/partyserver.md")
	require.NoError(t, err)
	_, source, found := bytes.Cut(page, []byte("```go\n"))
	require.True(t, found)
	source, _, found = bytes.Cut(source, []byte("```\n"))
	require.True(t, found)
	file := filepath.Join(t.TempDir(), "main.go")
	require.NoError(t, os.WriteFile(file, source, 0o600))
	out, err := exec.Command("go", "vet", file).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// section returns the blocks of commands in a section of the README.
func section(t *testing.T, title string) (blocks []string) {
	t.Helper()
	page, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(page), "\n## "+title+"\n")
	require.True(t, found)
	rest, _, _ = strings.Cut(rest, "\n## ")
	for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(rest, -1) {
		blocks = append(blocks, m[1])
	}
	return blocks
}

// TestReadmeOnPostgresAndS3 does what the README says of Postgres and S3, behind their installation: variables, moving,
// a backup, and restoring it once everything is lost. Only addresses, names and keys are those of the test.
func TestReadmeOnPostgresAndS3(t *testing.T) {
	gateway, bucket := s3test.Bucket(t)
	database, dir := pgtest.Database(t), t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "bin"), 0o700))
	require.NoError(t, os.Symlink(MustBuild(t), filepath.Join(dir, "bin", "yserverd")))
	require.NoError(t, os.Symlink(gateway.Path(""), filepath.Join(dir, "s3")))
	require.NoError(t, os.CopyFS(filepath.Join(dir, "docs"), os.DirFS("../../docs")))

	blocks := section(t, "Running on Postgres and S3")
	require.Len(t, blocks, 5)
	replaced := strings.NewReplacer(
		"postgres://yserverd:letmein@127.0.0.1:5432/yserverd", database, "127.0.0.1:7070", gateway.Address(), "s3/documents", "s3/"+bucket,
		"BUCKET=documents", "BUCKET="+bucket, "ACCESS_KEY=yserverd", "ACCESS_KEY="+s3test.AccessKey, "SECRET_KEY=letmein-too", "SECRET_KEY="+s3test.SecretKey,
	)
	build, configure, found := strings.Cut(blocks[1], "\n")
	require.True(t, found)
	require.Equal(t, "go build -o bin/yserverd ./cmd/yserverd", build)
	const serving = "bin/yserverd serve -c docs/yserverd.yaml\n"
	configure, found = strings.CutSuffix(configure, serving)
	require.True(t, found)
	restore, found := strings.CutSuffix(blocks[4], serving)
	require.True(t, found)
	shell := func(script string) string {
		cmd := exec.Command("bash", "-euo", "pipefail", "-c", replaced.Replace(configure+script))
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s: %s", script, out)
		return string(out)
	}
	var environ []string
	for line := range strings.Lines(shell("env")) {
		if strings.HasPrefix(line, "YSERVERD_S") {
			environ = append(environ, strings.TrimSpace(line))
		}
	}
	require.Len(t, environ, 7)
	environ = append(environ, "YSERVERD_LISTEN=127.0.0.1:0", "YSERVERD_DATA_DIR="+dir)

	p := MustRun(t, environ, "serve", "-c", "../../docs/yserverd.yaml")
	conn := dial(t, p.addr, "/yjs/r")
	send(t, conn, typed)
	expect(t, conn, typed)
	require.NoError(t, conn.Close())
	MustFill(t, filepath.Join(dir, "yserverd-data"), "document-room", map[string][][]byte{"moved": {text(1, "moved")}})
	require.Contains(t, shell(blocks[2]), "imported 1 document")
	shell(blocks[3])
	conn = dial(t, p.addr, "/yjs/later")
	send(t, conn, typed)
	expect(t, conn, typed)
	require.NoError(t, conn.Close())
	require.Equal(t, exitOK, p.end(t))

	require.NotEmpty(t, objects(t, gateway, bucket))
	for _, file := range objects(t, gateway, bucket) {
		require.NoError(t, os.Remove(file))
	}
	shell(restore)
	p = MustRun(t, environ, "serve", "-c", "../../docs/yserverd.yaml")
	conn = dial(t, p.addr, "/yjs/r")
	send(t, conn, emptyStep1)
	expect(t, conn, stepTwo)
	require.NoError(t, conn.Close())
	require.Equal(t, exitOK, p.end(t))
	for room, want := range map[string]string{"r": "hi\n", "moved": "moved\n"} {
		r := runWith(t, environ, "doc", "get", "-c", "../../docs/yserverd.yaml", "document-room", room, "--format", "text")
		require.Equal(t, want, r.stdout, r.stderr)
	}
	require.Equal(t, exitFailed, runWith(t, environ, "doc", "get", "-c", "../../docs/yserverd.yaml", "document-room", "later").code, "it came after the backup")
}
