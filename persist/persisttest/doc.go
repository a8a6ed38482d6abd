// Package persisttest holds every document store to package persist's contract.
//
// Run is one behavioural suite for all of them, RunRooms another for those that
// keep the data of rooms, and RunBucket one for those that keep snapshots and
// versions in a bucket. Memory is a store that passes both and keeps
// nothing, and Faulty makes any store fail, hang and lose its answers on demand.
// It is imported by tests only.
package persisttest

import (
	"context"
	"time"

	"github.com/yserverd/yserverd/persist"
)

// Store is the contract of package persist as an interface.
type Store interface {
	Load(ctx context.Context, key persist.Key) (persist.Document, error)
	LoadAfter(ctx context.Context, key persist.Key, after persist.Seq) ([]persist.Update, error)
	Append(ctx context.Context, items []persist.Append) ([]persist.Result, error)
	Compact(ctx context.Context, key persist.Key, epoch persist.Epoch, upTo persist.Seq, snapshot []byte) error
	Replace(ctx context.Context, key persist.Key, epoch persist.Epoch, dead []uint64, snapshot []byte) (persist.Epoch, error)
	Delete(ctx context.Context, key persist.Key, dead []uint64) error
	Undelete(ctx context.Context, key persist.Key) error
	Purge(ctx context.Context, key persist.Key) error
	List(ctx context.Context, party, prefix, cursor string, limit int) ([]persist.Info, string, error)
	PutVersion(ctx context.Context, key persist.Key, v persist.Version, state []byte) error
	Versions(ctx context.Context, key persist.Key, cursor string, limit int) ([]persist.Version, string, error)
	Version(ctx context.Context, key persist.Key, id string) (persist.Version, []byte, error)
	DeleteVersion(ctx context.Context, key persist.Key, id string) error
	Sweep(ctx context.Context, options persist.SweepOptions) (persist.SweepStats, error)
	Close() error
}

// Quarantiner is the optional part of the contract; Run tests it where a store
// has it.
type Quarantiner interface {
	Quarantine(ctx context.Context, key persist.Key, reason string) error
	Release(ctx context.Context, key persist.Key) error
}

// Rooms is the part of the contract that deals with the data of rooms; RunRooms
// tests it.
type Rooms interface {
	GetRoom(ctx context.Context, key persist.Key, space persist.Space, keys []string) ([][]byte, error)
	ListRoom(ctx context.Context, key persist.Key, r persist.RoomRange, reverse bool, limit int) (items []persist.RoomItem, more bool, err error)
	ChangeRooms(ctx context.Context, changes []persist.RoomChange) error
	RoomSize(ctx context.Context, key persist.Key, space persist.Space) (int64, error)
	Alarm(ctx context.Context, key persist.Key) (time.Time, error)
	Alarms(ctx context.Context, before time.Time, limit int) ([]persist.RoomAlarm, error)
	Delivery(ctx context.Context, key persist.Key) (time.Time, error)
	Deliveries(ctx context.Context, before time.Time, limit int) ([]persist.RoomAlarm, error)
}

// RoomQuarantiner is the optional part of that; RunRooms tests it where a store
// has it.
type RoomQuarantiner interface {
	QuarantineRoom(ctx context.Context, key persist.Key, reason string) error
	ReleaseRoom(ctx context.Context, key persist.Key) error
}
