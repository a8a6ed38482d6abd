package e2e_test

import (
	"cmp"
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
	"github.com/yserverd/yserverd/yserver"
)

// foldEvery is how many rows of a log make a snapshot: so few that there are many snapshots in a second.
const foldEvery = 3

// depot is where servers keep documents. Tests look for them there behind the servers' backs.
type depot struct {
	database string         // its URL; empty: the folder of the only server
	objects  *s3test.Server // nil: snapshots are with the documents
	bucket   string

	// Where servers find them, unless that is as above.
	databaseLine, objectsLine string

	folder string // of the server; empty: one of its own

	fold int    // rows of a log that make a snapshot; zero: foldEvery
	room string // more keys of the rooms' entry, each behind a comma
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
	fmt.Fprintf(&c, "rooms:\n  main: {type: document, access: public, y_websocket: {path: /}%s}\n", d.room)
	if d.database != "" {
		fmt.Fprintf(&c, "store: {url: %q}\n", cmp.Or(d.databaseLine, d.database))
	}
	fmt.Fprintf(&c, "snapshots:\n  every_updates: %d\n", cmp.Or(d.fold, foldEvery))
	if d.objects != nil {
		fmt.Fprintf(&c, "  s3: {endpoint: %q, bucket: %q, region: %q, access_key: %q, secret_key: %q, tls: false}\n",
			cmp.Or(d.objectsLine, d.objects.Address()), d.bucket, s3test.Region, s3test.AccessKey, s3test.SecretKey)
	}
	if d.folder == "" {
		return servertest.New(t, servertest.Options{Config: c.String()})
	}
	s := servertest.New(t, servertest.Options{Config: c.String(), Env: []string{"YSERVERD_DATA_DIR=" + d.folder}})
	s.Data = d.folder
	return s
}

// place is a depot as another process is told of it.
type place struct {
	Dir, Database    string
	Endpoint, Bucket string // empty: no bucket
}

// in returns the depot as a place. Without a database the documents are in dir.
func (d *depot) in(dir string) place {
	p := place{Dir: dir, Database: d.database, Bucket: d.bucket}
	if d.objects != nil {
		p.Endpoint = d.objects.Address()
	}
	return p
}

// storage is what a depot is opened as.
type storage interface {
	yserver.Store
	yserver.Archive
	io.Closer
}

// open opens what is there, as the server does. What release lets go of is needed
// until the store is closed.
func (p place) open(ctx context.Context) (store storage, release func(), err error) {
	var bucket object.Bucket
	release = func() {}
	if p.Endpoint != "" {
		b, err := s3.Open(s3.Options{
			Endpoint: p.Endpoint, Bucket: p.Bucket, Region: s3test.Region,
			AccessKey: s3test.AccessKey, SecretKey: s3test.SecretKey, PathStyle: true,
		})
		if err != nil {
			return nil, nil, err
		}
		bucket, release = b, b.Close
	}
	if p.Database == "" {
		store, err = pebble.Open(p.Dir, pebble.Options{Bucket: bucket})
	} else {
		store, err = postgres.Open(ctx, postgres.Options{URL: p.Database, MaxConnections: 4, Bucket: bucket})
	}
	return store, release, err
}

// shelf is what is in a depot.
type shelf struct {
	t       *testing.T
	store   storage
	release func()
}

// open opens what is there. Without a database the server must be dead.
func (d *depot) open(ctx context.Context, t *testing.T, s *servertest.Server) *shelf {
	t.Helper()
	dir := ""
	if s != nil {
		dir = s.Data
	}
	return d.openIn(ctx, t, dir)
}

// openIn is open for any server that has its documents in dir.
func (d *depot) openIn(ctx context.Context, t *testing.T, dir string) *shelf {
	t.Helper()
	store, release, err := d.in(dir).open(ctx)
	require.NoError(t, err, "the store of a killed server opens")
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
	state, snapshot, err := s.read(ctx, room)
	require.NoError(s.t, err)
	return state, snapshot > 0
}

// read is replay for goroutines beside the test; it returns which row the snapshot reaches.
func (s *shelf) read(ctx context.Context, room string) (state []byte, snapshot persist.Seq, err error) {
	stored, err := s.store.Load(ctx, persist.Key{Party: "main", Room: room})
	if err != nil {
		return nil, 0, err
	}
	doc, err := replay(stored)
	if err != nil {
		return nil, 0, err
	}
	return doc.State(), stored.Snapshot.Seq, nil
}

// replay makes a document of what is stored of it.
func replay(stored persist.Document) (*ydoc.Doc, error) {
	doc := ydoc.New(ydoc.Config{})
	if stored.Snapshot.Data != nil {
		if _, err := doc.Apply(stored.Snapshot.Data); err != nil {
			return nil, err
		}
	}
	for _, row := range stored.Tail {
		if _, err := doc.Apply(row.Data); err != nil {
			return nil, err
		}
	}
	return doc, nil
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
