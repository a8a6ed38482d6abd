// Package persisttest holds every document store to package persist's contract.
//
// Run is one behavioural suite for all of them, Memory is a store that passes it
// and keeps nothing, and Faulty makes any store fail, hang and lose its answers
// on demand. It is imported by tests only.
package persisttest

import (
	"context"

	"github.com/yserverd/yserverd/persist"
)

// Store is the contract of package persist as an interface.
type Store interface {
	Load(ctx context.Context, key persist.Key) (persist.Document, error)
	LoadAfter(ctx context.Context, key persist.Key, after persist.Seq) ([]persist.Update, error)
	Append(ctx context.Context, items []persist.Append) ([]persist.Result, error)
	Compact(ctx context.Context, key persist.Key, epoch persist.Epoch, upTo persist.Seq, snapshot []byte) error
	Delete(ctx context.Context, key persist.Key) error
	List(ctx context.Context, party, prefix, cursor string, limit int) ([]persist.Info, string, error)
	Close() error
}

// Quarantiner is the optional part of the contract; Run tests it where a store
// has it.
type Quarantiner interface {
	Quarantine(ctx context.Context, key persist.Key, reason string) error
	Release(ctx context.Context, key persist.Key) error
}
