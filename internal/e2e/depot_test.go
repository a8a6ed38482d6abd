package e2e_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/pgtest"
	"github.com/yserverd/yserverd/internal/s3test"
	"github.com/yserverd/yserverd/internal/servertest"
	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/object"
	"github.com/yserverd/yserverd/persist/pebble"
	"github.com/yserverd/yserverd/persist/postgres"
	"github.com/yserverd/yserverd/persist/s3"
	"github.com/yserverd/yserverd/protocol/ydoc"
)

// foldEvery is how many rows of a log make a snapshot: so few that there are many snapshots in a second.
const foldEvery = 3

// depot is where servers keep documents. Tests look for them there behind the servers' backs.
type depot struct {
	database string         // its URL; empty: the folder of the only server
	objects  *s3test.Server // nil: snapshots are with the documents
	bucket   string
}

// depots are all kinds of them.
var depots = []struct {
	name string
	make func(t *testing.T) *depot
}{
	{"embedded", func(*testing.T) *depot { return &depot{} }},
	{"embedded and S3", func(t *testing.T) *depot { return inBucket(t, &depot{}, s3test.Shared(t)) }},
	{"Postgres", func(t *testing.T) *depot { return &depot{database: pgtest.Database(t)} }},
	{"Postgres and S3", func(t *testing.T) *depot {
		return inBucket(t, &depot{database: pgtest.Database(t)}, s3test.Shared(t))
	}},
}

// inBucket puts the snapshots of a depot into a bucket of its own.
func inBucket(t *testing.T, d *depot, s *s3test.Server) *depot {
	d.objects, d.bucket = s, s.Bucket(t)
	return d
}

// server returns a server of documents that keeps them there, and that does not run yet.
func (d *depot) server(t *testing.T) *servertest.Server {
	t.Helper()
	var c strings.Builder
	c.WriteString("rooms:\n  main: {type: document, access: public, y_websocket: {path: /}}\n")
	if d.database != "" {
		fmt.Fprintf(&c, "store: {url: %q}\n", d.database)
	}
	fmt.Fprintf(&c, "snapshots:\n  every_updates: %d\n", foldEvery)
	if d.objects != nil {
		fmt.Fprintf(&c, "  s3: {endpoint: %q, bucket: %q, region: %q, access_key: %q, secret_key: %q, tls: false}\n",
			d.objects.Address(), d.bucket, s3test.Region, s3test.AccessKey, s3test.SecretKey)
	}
	return servertest.New(t, servertest.Options{Config: c.String()})
}

// shelf is what is in a depot.
type shelf struct {
	t     *testing.T
	store interface {
		Load(context.Context, persist.Key) (persist.Document, error)
		io.Closer
	}
	release func()
}

// open opens what is there. Without a database the server must be dead.
func (d *depot) open(ctx context.Context, t *testing.T, s *servertest.Server) *shelf {
	t.Helper()
	var bucket object.Bucket
	release := func() {}
	if d.objects != nil {
		b, err := s3.Open(s3.Options{
			Endpoint: d.objects.Address(), Bucket: d.bucket, Region: s3test.Region,
			AccessKey: s3test.AccessKey, SecretKey: s3test.SecretKey, PathStyle: true,
		})
		require.NoError(t, err)
		bucket, release = b, b.Close
	}
	if d.database == "" {
		store, err := pebble.Open(s.Data, pebble.Options{Bucket: bucket})
		require.NoError(t, err, "the store of a killed server opens")
		return &shelf{t, store, release}
	}
	store, err := postgres.Open(ctx, postgres.Options{URL: d.database, MaxConnections: 2, Bucket: bucket})
	require.NoError(t, err)
	return &shelf{t, store, release}
}

func (s *shelf) close() {
	s.t.Helper()
	require.NoError(s.t, s.store.Close())
	s.release()
}

// replay returns the state of a document as its snapshot and log give it, and whether there is a snapshot.
func (s *shelf) replay(ctx context.Context, room string) (state []byte, folded bool) {
	s.t.Helper()
	stored, err := s.store.Load(ctx, persist.Key{Party: "main", Room: room})
	require.NoError(s.t, err)
	doc := ydoc.New(ydoc.Config{})
	if stored.Snapshot.Data != nil {
		_, err = doc.Apply(stored.Snapshot.Data)
		require.NoError(s.t, err)
	}
	for _, row := range stored.Tail {
		_, err = doc.Apply(row.Data)
		require.NoError(s.t, err)
	}
	return doc.State(), stored.Snapshot.Seq > 0
}

// stored counts the objects in the bucket.
func (d *depot) stored(t *testing.T) (n int) {
	t.Helper()
	err := filepath.WalkDir(d.objects.Path(d.bucket), func(name string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && strings.HasSuffix(name, ".yjs.zst") {
			n++
		}
		return nil // what goes while it is counted does not count
	})
	require.NoError(t, err)
	return n
}
