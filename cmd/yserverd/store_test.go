package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/pgtest"
	"github.com/yserverd/yserverd/internal/s3test"
)

// bucketEnv configures a bucket.
func bucketEnv(s *s3test.Server, bucket string) []string {
	return []string{
		"YSERVERD_SNAPSHOTS_S3_ENDPOINT=" + s.Address(), "YSERVERD_SNAPSHOTS_S3_BUCKET=" + bucket, "YSERVERD_SNAPSHOTS_S3_TLS=false",
		"YSERVERD_SNAPSHOTS_S3_ACCESS_KEY=" + s3test.AccessKey, "YSERVERD_SNAPSHOTS_S3_SECRET_KEY=" + s3test.SecretKey,
	}
}

// runWith runs a command line to its end, with an environment.
func runWith(t *testing.T, environ []string, args ...string) ran {
	t.Helper()
	var out, errs lines
	m := &Main{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Environ: environ}
	err := m.ParseFlags(args)
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		err = m.Run(ctx)
	}
	return ran{m.report(err), out.String(), errs.String()}
}

// objects returns the files of a bucket that are objects.
func objects(t *testing.T, s *s3test.Server, bucket string) (files []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(s.Path(bucket), func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".yjs.zst") {
			files = append(files, path)
		}
		return err
	}))
	return files
}

// TestServeOnPostgresAndS3 is what the README says, with the configuration of docs: documents outlive the server, their
// snapshots are in the bucket, and the doc commands find both.
func TestServeOnPostgresAndS3(t *testing.T) {
	for _, store := range []string{"postgres", "embedded"} {
		t.Run(store, func(t *testing.T) {
			gateway, bucket := s3test.Bucket(t)
			data := t.TempDir()
			environ := append(bucketEnv(gateway, bucket), "YSERVERD_LISTEN=127.0.0.1:0", "YSERVERD_DATA_DIR="+data, "YSERVERD_SNAPSHOTS_EVERY_UPDATES=1")
			at := []string{"--data", data}
			if store == "postgres" {
				database := pgtest.Database(t)
				environ, at = append(environ, "YSERVERD_STORE_URL="+database), []string{"--store", database}
			}
			const file = "../../docs/yserverd.yaml"
			p := MustRun(t, environ, "serve", "-c", file)
			conn := dial(t, p.addr, "/yjs/r")
			send(t, conn, typed)
			expect(t, conn, typed)
			require.Eventually(t, func() bool { return len(objects(t, gateway, bucket)) > 0 }, patience, 10*time.Millisecond, "a snapshot is put")
			require.NoError(t, conn.Close())
			require.Equal(t, exitOK, p.end(t))
			require.NotContains(t, p.stderr.String(), s3test.SecretKey)

			p = MustRun(t, environ, "serve", "-c", file)
			conn = dial(t, p.addr, "/yjs/r")
			send(t, conn, emptyStep1)
			expect(t, conn, stepTwo)
			require.NoError(t, conn.Close())
			require.Equal(t, exitOK, p.end(t))

			r := runWith(t, environ, "doc", "get", "-c", file, "document-room", "r", "--format", "text")
			require.Equal(t, "hi\n", r.stdout, r.stderr)
			r = runWith(t, nil, append([]string{"doc", "get", "document-room", "r"}, at...)...)
			require.Equal(t, exitFailed, r.code, "what is in a bucket is not to be had without it")
			require.Contains(t, r.stderr, "bucket")
			if store == "postgres" {
				entries, err := os.ReadDir(data)
				require.NoError(t, err)
				require.Empty(t, entries, "nothing is in the data folder")
			}
		})
	}
}

// TestStartChecks: what cannot be used is found out at the start, with exit code 3, in words, and without secrets.
func TestStartChecks(t *testing.T) {
	gateway, bucket := s3test.Bucket(t)
	database := pgtest.Database(t)
	newer := pgtest.Database(t)
	require.Equal(t, exitOK, runWith(t, nil, "doc", "list", "--store", newer, "--party", "p").code)
	conn, err := pgx.Connect(context.Background(), newer)
	require.NoError(t, err)
	_, err = conn.Exec(context.Background(), "INSERT INTO yserverd.schema_version (version_id, is_applied) VALUES (9999, true)")
	require.NoError(t, errors.Join(err, conn.Close(context.Background())))

	closed := "postgres://u:hunter2@127.0.0.1:1/db?connect_timeout=5"
	for _, row := range []struct {
		name    string
		environ []string
		want    string
	}{
		{"no bucket", bucketEnv(gateway, "no-such-bucket"), "the bucket of snapshots (snapshots.s3) cannot be used"},
		{"wrong secret", append(bucketEnv(gateway, bucket), "YSERVERD_SNAPSHOTS_S3_SECRET_KEY=hunter2hunter2"), "the bucket of snapshots (snapshots.s3) cannot be used"},
		{"no S3 server", append(bucketEnv(gateway, bucket), "YSERVERD_SNAPSHOTS_S3_ENDPOINT=127.0.0.1:1"), "the bucket of snapshots (snapshots.s3) cannot be used"},
		{"no database server", []string{"YSERVERD_STORE_URL=" + closed}, "the database postgres://u@127.0.0.1:1/db (store.url) cannot be used"},
		{"no database", []string{"YSERVERD_STORE_URL=" + strings.Replace(database, "?", "_none?", 1)}, "does not exist"},
		{"newer schema", []string{"YSERVERD_STORE_URL=" + newer}, "use a newer program"},
	} {
		t.Run(row.name, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "data")
			environ := append([]string{"YSERVERD_LISTEN=127.0.0.1:0", "YSERVERD_DATA_DIR=" + data}, row.environ...)
			r := runWith(t, environ, "serve", "-c", "../../docs/yserverd.yaml")
			require.Equal(t, exitStart, r.code, r.stderr)
			require.Contains(t, r.stderr, row.want)
			require.NotContains(t, r.stderr, "hunter2")
			require.NotContains(t, r.stderr, s3test.SecretKey)
			require.NoDirExists(t, data, "nothing was begun")
		})
	}
}
