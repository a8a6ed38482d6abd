package persist

import (
	"fmt"
	"slices"
	"time"
)

// Seq numbers the updates of one document from 1 on. Zero is the sequence number
// of a document without updates.
type Seq = uint64

// Epoch numbers the lives of a document: deleting it, restoring over it or
// importing over it raises the epoch. A document that never existed is at zero,
// and its first Append names zero.
type Epoch = uint64

// MaxDeadClients bounds the client ids that one Delete or Replace names.
const MaxDeadClients = 1 << 20

// ValidateDead returns an error that matches ErrInvalid when there are more than
// MaxDeadClients client ids.
func ValidateDead(dead []uint64) error {
	if len(dead) > MaxDeadClients {
		return fmt.Errorf("%w: %d dead client ids, more than %d", ErrInvalid, len(dead), MaxDeadClients)
	}
	return nil
}

// MergeDead returns the client ids of both lists, ascending, each once. It does
// not change its arguments; nil when there are none.
func MergeDead(a, b []uint64) []uint64 {
	all := slices.Concat(a, b)
	slices.Sort(all)
	if all = slices.Compact(all); len(all) == 0 {
		return nil
	}
	return all
}

// Update is one row of a document's log. Data is never nil in a loaded row.
type Update struct {
	Seq  Seq
	Data []byte
}

// Snapshot folds the log up to and including Seq. Seq 0 with nil Data: none.
type Snapshot struct {
	Seq  Seq
	Data []byte
}

// Document is what Load returns. Its slices are the caller's to keep and to
// modify; the tail's Data may share one allocation, so keeping one row can keep
// all of them from being collected.
type Document struct {
	Snapshot Snapshot
	Tail     []Update // Seq Snapshot.Seq+1 to Seq, contiguous
	Seq      Seq
	Epoch    Epoch
	// First is the last Seq of the former epoch, zero in a first one. A document
	// is new, nothing having been appended in its epoch, while Seq equals First.
	First Seq
	// Dead are the client ids of all former epochs, ascending, each once.
	Dead   []uint64
	Exists bool // false: never appended to; everything else is zero
}

// Append asks for the updates of one document to be stored behind After, in
// order. The store only reads it.
type Append struct {
	Key     Key
	Epoch   Epoch
	After   Seq
	Updates [][]byte
}

// Result answers one Append. Without Err, Seq is the sequence number of the last
// update. With ErrConflict or ErrEpoch it is the document's present one; with
// any other Err it is zero.
type Result struct {
	Seq Seq
	Err error
}

// Limits of a page of List, in documents.
const (
	DefaultListLimit = 100
	MaxListLimit     = 1000
)

// PageLimit turns the limit that List was given into the one it keeps to.
func PageLimit(limit int) int {
	if limit <= 0 {
		return DefaultListLimit
	}
	return min(limit, MaxListLimit)
}

// Info describes a document without its content. It may be ahead of what is
// durable by the appends in flight.
type Info struct {
	Key           Key
	Seq           Seq
	Epoch         Epoch
	SnapshotSeq   Seq
	SnapshotBytes int64     // of the snapshot as given to Compact
	LogBytes      int64     // of the updates behind the snapshot
	Created       time.Time // of the first update; zero when unknown
	Updated       time.Time // of the last append or compaction
	Deleted       time.Time // of the tombstone; zero: not deleted
	Quarantined   string    // why; empty: not quarantined
}
