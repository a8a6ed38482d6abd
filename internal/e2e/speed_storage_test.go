package e2e_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/pgtest"
	"github.com/yserverd/yserverd/internal/s3test"
	"github.com/yserverd/yserverd/internal/ytest"
	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/postgres"
	"github.com/yserverd/yserverd/persist/s3"
	"github.com/yserverd/yserverd/protocol/ydoc"
)

const (
	storageRatio  = 1.2    // of what stores take to the consolidated encoding
	storageCopies = 40     // of the document: a database without any takes a part of a megabyte
	storageFold   = 10_000 // rows: when a server folds a document of that size
	storageTyped  = 20_000 // keystrokes that are stored one by one in the plain run
)

// sweptKeeper is a store that what is superseded can be removed from.
type sweptKeeper interface {
	logKeeper
	Sweep(ctx context.Context, o persist.SweepOptions) (persist.SweepStats, error)
}

// TestStorageOfB4 stores the B4 document keystroke by keystroke, folds it as a server does, and then as often again as the
// fixed cost of a database needs to be small. What the schema takes on disk behind a plain VACUUM, nothing left out, and its
// objects behind a sweep are little more than the consolidated encoding. (The embedded store has a test of its own.)
func TestStorageOfB4(t *testing.T) {
	for _, name := range []string{"Postgres", "Postgres and S3"} {
		t.Run(name, func(t *testing.T) {
			url := pgtest.Database(t)
			options, objects := postgres.Options{URL: url}, func() int64 { return 0 }
			if name == "Postgres and S3" {
				server, bucket := s3test.Bucket(t)
				b, err := s3.Open(s3.Options{
					Endpoint: server.Address(), Bucket: bucket, Region: s3test.Region,
					AccessKey: s3test.AccessKey, SecretKey: s3test.SecretKey, PathStyle: true,
				})
				require.NoError(t, err)
				defer b.Close()
				options.Bucket, objects = b, func() int64 { return folderSize(t, server.Path(bucket), ".zst") }
			}
			s, err := postgres.Open(t.Context(), options)
			require.NoError(t, err)
			storeB4(t, s, func() { vacuum(t, url) }, func() int64 { return objects() + schemaSize(t, url) })
			require.NoError(t, s.Close())
		})
	}
}

// storeB4 fills a store and holds what it takes against what it has.
func storeB4(t *testing.T, s sweptKeeper, tidy func(), size func() int64) {
	updates := ytest.B4(t)
	known := len(updates) - storageTyped
	if os.Getenv("YSERVERD_TEST_LONG") == "1" {
		known = 0
	}
	doc := load(t, updates[:known])
	fold := func() []byte {
		c, err := doc.Freeze().Compact()
		require.NoError(t, err)
		return c.Update()
	}
	a := persist.Append{Key: persist.Key{Party: "main", Room: "b4"}}
	add := func(updates [][]byte) {
		a.Updates = updates
		results, err := s.Append(t.Context(), []persist.Append{a})
		require.NoError(t, err)
		require.NoError(t, results[0].Err)
		a.After = results[0].Seq
	}
	compact := func(snapshot []byte) { require.NoError(t, s.Compact(t.Context(), a.Key, 0, a.After, snapshot)) }
	if known > 0 {
		add([][]byte{fold()})
	}
	for some := range slices.Chunk(updates[known:], storageFold) {
		for few := range slices.Chunk(some, 500) {
			add(few)
		}
		applyAll(t, doc, some)
		compact(fold())
		tidy() // nobody types that fast: autovacuum comes by in between
	}
	encoded := fold()
	for i := 1; i < storageCopies; i++ {
		a = persist.Append{Key: persist.Key{Party: "main", Room: fmt.Sprint("b4 ", i)}}
		add(updates[:1])
		compact(encoded)
	}
	due := time.Now().Add(time.Hour) // everything is
	for more := true; more; {
		stats, err := s.Sweep(t.Context(), persist.SweepOptions{SupersededBefore: due, OrphansBefore: due})
		require.NoError(t, err)
		more = stats.More
	}
	tidy()
	took, all := size(), int64(storageCopies*len(encoded))
	t.Logf("%d documents of %d bytes, the first of them from %d keystrokes: %d bytes stored, ratio %.3f",
		storageCopies, len(encoded), len(updates)-known, took, float64(took)/float64(all))
	require.LessOrEqual(t, float64(took), storageRatio*float64(all))
}

func applyAll(t *testing.T, doc *ydoc.Doc, updates [][]byte) {
	for _, u := range updates {
		if _, err := doc.Apply(u); err != nil {
			require.NoError(t, err)
		}
	}
}

// vacuum does what autovacuum would have done some time later.
func vacuum(t *testing.T, url string) {
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "VACUUM")
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
}

// schemaSize is what the files of the schema take, with all indexes, large values, and room that is free in them.
func schemaSize(t *testing.T, url string) (n int64) {
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class
		WHERE relnamespace = 'yserverd'::regnamespace AND relkind = 'r'`).Scan(&n))
	require.NoError(t, conn.Close(t.Context()))
	return n
}

// folderSize is that of the files in a folder with that extension.
func folderSize(t *testing.T, folder, extension string) (n int64) {
	require.NoError(t, filepath.WalkDir(folder, func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || filepath.Ext(name) != extension {
			return err
		}
		info, err := e.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	}))
	return n
}
