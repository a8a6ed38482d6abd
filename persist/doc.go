// Package persist is the vocabulary of document storage: an append-only log of
// updates for every document, and snapshots that fold the log. It holds values,
// errors and the contract that every store keeps; it stores nothing itself and
// imports nothing of this module.
//
// # Invariants
//
//   - The log is the truth. An update is stored once its Append has returned
//     without an error, and then it survives the death of the process and of
//     the machine.
//   - A document is a snapshot plus the rows behind it, contiguous from
//     Snapshot.Seq+1 to Seq. A sequence number is given out once and is never
//     reset or reused within a document.
//   - Stored bytes are opaque: they come back exactly as they were given.
//   - What does not verify is served to nobody and is never overwritten
//     (ErrCorrupt); other documents are not affected.
//
// # The contract of a store
//
// Consumers declare the interface that they need; these are its methods. All
// of them may be called from any goroutine.
//
//	Load(ctx, Key) (Document, error)
//
// Load returns snapshot and tail as one consistent state. A document that was
// never appended to has Exists false and no error, and loading it writes
// nothing. What Load returns is durable: an append in flight on the document is
// waited for. Errors: ErrDeleted, ErrCorrupt, ErrInvalid, ErrUnavailable,
// ErrClosed.
//
//	LoadAfter(ctx, Key, Seq) ([]Update, error)
//
// LoadAfter returns the rows behind a sequence number: what a writer lacks after
// a conflict, or whether its own rows are there after an unknown outcome. It
// waits for appends in flight as Load does. ErrStale: those rows have been
// folded into a snapshot, use Load. ErrConflict: the sequence number is ahead of
// the store. The other errors are Load's.
//
//	Append(ctx, []Append) ([]Result, error)
//
// Append stores the updates of many documents in one durable write; the results
// are in the order of the arguments. Each document succeeds or fails by itself:
// ErrConflict (Append.After is not the document's sequence number, which
// Result.Seq then tells), ErrEpoch, ErrDeleted, ErrCorrupt, ErrInvalid. A key
// named twice is served in order, the second after the first. An error of the
// call itself leaves the outcome of every document unknown: it may have been
// stored, or may be stored later while the store recovers; LoadAfter tells.
// Updates are copied before Append returns, whichever way it returns. The first
// update creates the document; an empty list of updates checks and writes
// nothing.
//
//	Compact(ctx, Key, Epoch, upTo Seq, snapshot []byte) error
//
// Compact replaces the snapshot and drops the rows that it covers, in one atomic
// durable write: a crash at any point leaves a document that loads. It is
// refused with ErrStale unless Snapshot.Seq < upTo <= Seq, so that repeating it
// after an unknown outcome does no harm; with ErrEpoch, ErrDeleted, ErrCorrupt;
// and with ErrInvalid when the snapshot is empty. That the snapshot equals what
// it replaces is the caller's to prove.
//
//	Delete(ctx, Key) error
//
// Delete leaves a tombstone: everything but List answers ErrDeleted from then
// on, and the epoch is raised. Deleting what is deleted is no error; deleting
// what never existed is ErrNotFound, and what is quarantined ErrCorrupt (Release
// it first).
//
//	List(ctx, party, prefix, cursor string, limit int) ([]Info, string, error)
//
// List pages through the documents of one party whose room begins with prefix,
// in the order of the rooms' bytes. The cursor is opaque; an empty one starts,
// and an empty one returned ends. Documents that come or go between pages cause
// no other document to be missed or repeated. A limit of zero or less means
// DefaultListLimit, and MaxListLimit is never exceeded. Tombstones and
// quarantined documents are listed and marked. A cursor that no List returned is
// ErrInvalid.
//
//	Close() error
//
// Close waits for calls in flight. Afterwards every method returns ErrClosed;
// closing again returns nil.
//
// Two optional methods deal with what cannot be read:
//
//	Quarantine(ctx, Key, reason string) error
//	Release(ctx, Key) error
//
// Quarantine takes a document out of service (its bytes verify but its owner
// cannot decode them); Release puts it back. Stores quarantine by themselves
// what fails to verify. Both are ErrNotFound for a document that does not exist.
//
// Every method returns the context's error once the context is done, and may
// then have had its effect. While the medium refuses to work (a full disk, a
// database that is away) errors match ErrUnavailable: retrying is right.
package persist
