package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/yserverd/yserverd/cmd/yserverd/internal/config"
	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/object"
	"github.com/yserverd/yserverd/persist/pebble"
	"github.com/yserverd/yserverd/persist/postgres"
	"github.com/yserverd/yserverd/persist/s3"
	"github.com/yserverd/yserverd/yserver"
)

// This file and wire.go are the only places that know which adapter serves which interface.
var (
	_ keeper          = (*pebble.Store)(nil)
	_ yserver.Archive = (*pebble.Store)(nil)
	_ yserver.Outbox  = (*pebble.Store)(nil)
	_ checkpointer    = (*pebble.Store)(nil)
	_ yserver.Pinger  = (*pebble.Store)(nil)

	_ keeper          = (*postgres.Store)(nil)
	_ yserver.Archive = (*postgres.Store)(nil)
	_ yserver.Outbox  = (*postgres.Store)(nil)
	_ yserver.Pinger  = (*postgres.Store)(nil)

	_ object.Bucket = (*s3.Bucket)(nil)

	_ yserver.Materialiser = materialiser{}
)

// openTimeout is how long a database and a bucket may take to answer when the program starts.
const openTimeout = 30 * time.Second

// documents is a store of documents, and of the data of rooms, that can be closed.
type documents interface {
	yserver.Store
	yserver.RoomStore
	io.Closer
}

// keeper is what commands need of a store besides: package persist has the contract.
type keeper interface {
	documents
	List(ctx context.Context, party, prefix, cursor string, limit int) ([]persist.Info, string, error)
	Replace(ctx context.Context, key persist.Key, epoch persist.Epoch, dead []uint64, snapshot []byte) (persist.Epoch, error)
	Delete(ctx context.Context, key persist.Key, dead []uint64) error
	Purge(ctx context.Context, key persist.Key) error
}

// opened is a store with what has to be released behind it.
type opened struct {
	store   keeper
	release func() // once the store is closed
}

// Close closes the store, and then lets go of its bucket.
func (o *opened) Close() error {
	err := o.store.Close()
	o.release()
	return err
}

// openStore opens the documents and tries the bucket, if there is one. Its error says what to do, and tells no secret.
func openStore(ctx context.Context, cfg *config.Config, log *slog.Logger) (*opened, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	bucket, release, err := openBucket(ctx, cfg.Snapshots.S3)
	if err != nil {
		return nil, err
	}
	var store keeper
	if cfg.Store.URL == "" {
		store, err = openEmbedded(cfg.DataDir, pebble.Options{Bucket: bucket, Logger: log})
	} else {
		store, err = openPostgres(ctx, cfg.Store, bucket, log)
	}
	if err != nil {
		release()
		return nil, err
	}
	return &opened{store: store, release: release}, nil
}

// openBucket makes sure that a bucket can be used. Without an endpoint there is none, and it returns nil.
func openBucket(ctx context.Context, c config.S3) (object.Bucket, func(), error) {
	if c.Endpoint == "" {
		return nil, func() {}, nil
	}
	bucket, err := s3.Open(s3.Options{
		Endpoint: c.Endpoint, Bucket: c.Bucket, Region: c.Region, Prefix: c.Prefix,
		AccessKey: c.AccessKey, SecretKey: c.SecretKey, PathStyle: c.PathStyle, TLS: c.TLS,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("the bucket of snapshots cannot be used: %w", err)
	}
	if err := bucket.Check(ctx); err != nil {
		bucket.Close()
		return nil, nil, fmt.Errorf("the bucket of snapshots (snapshots.s3) cannot be used: %w", err)
	}
	return bucket, bucket.Close, nil
}

// openEmbedded opens a store in a folder.
func openEmbedded(dir string, o pebble.Options) (keeper, error) {
	store, err := pebble.Open(dir, o)
	switch {
	case errors.Is(err, persist.ErrLocked):
		return nil, &lockedError{dir: dir, err: err}
	case err != nil:
		return nil, err
	}
	return store, nil
}

// openPostgres opens a store in a database, and makes its schema or brings it up to date.
func openPostgres(ctx context.Context, c config.Store, bucket object.Bucket, log *slog.Logger) (keeper, error) {
	store, err := postgres.Open(ctx, postgres.Options{
		URL: c.URL, MaxConnections: c.MaxConnections, Bucket: bucket, Logger: log,
	})
	if err != nil {
		return nil, fmt.Errorf("the database %s (store.url) cannot be used: %w", config.RedactURL(c.URL), err)
	}
	return store, nil
}

// lockedError says that another process holds a folder.
type lockedError struct {
	dir string
	err error
}

// Error says so, and what to do.
func (e *lockedError) Error() string {
	return fmt.Sprintf("the data folder %s is in use: another yserverd serves it; end that one, or name another folder", e.dir)
}

// Unwrap returns what the store said.
func (e *lockedError) Unwrap() error { return e.err }
