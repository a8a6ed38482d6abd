// Package persist is the vocabulary of storage: for documents an append-only log
// of updates, snapshots that fold it and versions, for rooms values under keys
// and two times, of the next alarm and of the next delivery. It holds values, errors and the contract that every store keeps; it
// stores nothing itself and imports nothing of this module.
//
// # Invariants
//
//   - The log is the truth. An update is stored once its Append has returned
//     without an error, and then it survives the death of the process and of
//     the machine.
//   - A document is a snapshot plus the rows behind it, contiguous from
//     Snapshot.Seq+1 to Seq. A sequence number is given out once and is never
//     reset or reused within a document.
//   - A document has one life after the other, its epochs. What was written in
//     one never gets into another.
//   - Stored bytes are opaque: they come back exactly as they were given.
//   - What does not verify is served to nobody and is never overwritten
//     (ErrCorrupt); other documents are not affected.
//   - The data of a room lives apart from the document of the same key: neither
//     needs, changes, deletes or quarantines the other.
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
//	Replace(ctx, Key, Epoch, dead []uint64, snapshot []byte) (Epoch, error)
//
// Replace begins a new epoch, in one atomic durable write: log and snapshot of
// the old one are dropped, and the document is the snapshot, at the sequence
// number behind the old one's last (which is Document.First). It returns the new
// epoch, which is the old one plus one. The Epoch named must be the present one,
// zero for a document that does not exist, which Replace creates; else ErrEpoch.
// ErrDeleted, ErrCorrupt; ErrInvalid when the snapshot is empty or dead too long.
// The client ids in dead, those of the old epoch's state vector, are added to
// Document.Dead. Versions stay. After an unknown outcome, an epoch that has moved
// tells that it was done, by this call or another.
//
//	Delete(ctx, Key, dead []uint64) error
//
// Delete leaves a tombstone: everything but List, Delete, Undelete, Purge and
// Sweep answers ErrDeleted from then on. It raises the epoch and adds dead, the
// client ids of the state vector, to Document.Dead. Deleting what is deleted only
// adds ids; deleting what does not exist is ErrNotFound, and what is quarantined
// ErrCorrupt (Release it first).
//
//	Undelete(ctx, Key) error
//
// Undelete takes the tombstone back: log, snapshot, versions and First are what
// they were. The epoch stays raised, so that writers from before notice, and the
// dead client ids stay: the document holds them itself. ErrNotFound unless there
// is a tombstone, so also when it is repeated; ErrCorrupt.
//
//	Purge(ctx, Key) error
//
// Purge removes everything of a key: document or tombstone, dead client ids,
// versions, their objects, the data and times of the room, marks of quarantine.
// What is quarantined or damaged can be purged. The rows go in one durable write,
// whole or not at all, the objects behind them; an error means that something may
// be left, and that repeating is right. ErrNotFound: there is nothing. Nothing
// remembers what was purged: a document of that key begins again with epoch and
// sequence number zero, so nobody may still write the old one.
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
//	PutVersion(ctx, Key, Version, state []byte) error
//	Versions(ctx, Key, cursor string, limit int) ([]Version, next string, error)
//	Version(ctx, Key, id string) (Version, []byte, error)
//	DeleteVersion(ctx, Key, id string) error
//
// A version is a whole state under an id that its maker draws (Version.Validate
// has the rules). PutVersion stores one durably; an id that is there already is
// left as it is without an error, so repeating after an unknown outcome does no
// harm. The document must exist (ErrNotFound); that the version's epoch and
// sequence number are the document's is not checked. An empty state is
// ErrInvalid. Versions lists them newest first, the same time in the descending
// order of ids, with cursor and limit as in List; of a document that does not
// exist, nothing. Version returns one with its state, which is the caller's.
// DeleteVersion drops one. The last two answer ErrNotFound for an id that is not
// there. A document in quarantine takes no version and gives none up (ErrCorrupt
// from PutVersion and DeleteVersion), but the others read: a version is how it
// can be restored. A version that does not verify is ErrCorrupt by itself, each
// time it is read, and takes nothing else out of service.
//
//	Sweep(ctx, SweepOptions) (SweepStats, error)
//
// Sweep removes what is due: tombstones, as Purge does; objects that no row names
// any more; and objects that no row ever came to name. A call does a bounded
// amount of work and goes on where the last one ended; it is called now and then,
// and again at once while SweepStats.More. It may run beside everything else, in
// several processes too, and never removes an object that a row names or that a
// call in flight is about to name.
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
// # Buckets
//
// A store may keep snapshots and the states of versions as objects in a bucket
// (package object), and then only their names, sums and sizes itself. An object
// is put before the row that names it is written; if that fails the call fails,
// and nothing has changed. An object whose row names it no longer, since a newer
// snapshot, another epoch or DeleteVersion superseded it, is remembered with the
// time in the same write, and is left to Sweep, so that a backup of the store
// from before still finds it; only Purge removes objects at once. Load of a
// document whose object is missing or damaged quarantines it with a *CorruptError
// that names the object; a bucket that cannot be reached is ErrUnavailable and
// quarantines nothing. LoadAfter, Append, List and the rooms need no bucket.
//
// # The data of rooms
//
// A room keeps values under keys in a few spaces, at most one alarm: the time at
// which it wants to be called, and at most one time of a delivery. These are the methods of a store that
// keeps them; a document of the same key need not exist.
//
//	GetRoom(ctx, Key, Space, keys []string) ([][]byte, error)
//
// GetRoom returns one value for each key, in their order and of one moment; nil
// for what is not there. The values are the caller's.
//
//	ListRoom(ctx, Key, RoomRange, reverse bool, limit int) ([]RoomItem, more bool, err error)
//
// ListRoom returns values of one moment in the order of the bytes of their keys,
// or against it. A page ends after limit items (DefaultRoomLimit for zero or
// less), and before the item that would take its keys and values over
// MaxRoomPageBytes, unless that is the first; more says that the range holds
// further items, which are those in RoomRange.Rest of the last key. The items
// are the caller's.
//
//	ChangeRooms(ctx, []RoomChange) error
//
// ChangeRooms makes all changes in one durable write, whole or not at all: after
// a crash either all of them are there or none is. Their order is that of the
// arguments, and within a change Ranges, Deletes, Puts, Alarm, Delivery. Values are copied
// before ChangeRooms returns, whichever way it returns. ErrInvalid (an argument
// is) and ErrCorrupt (a room is quarantined; the *CorruptError names it) mean
// that nothing was written: the other changes can be made without that one. Any
// other error leaves the outcome of all changes unknown. A change does not
// depend on what it replaces, so repeating it is right, as long as nothing else
// has changed the room since. Dropping by key reads nothing; dropping a range
// has to look for what is in it, and is for what the caller does not know or
// what is much.
//
//	RoomSize(ctx, Key, Space) (int64, error)
//
// RoomSize returns the bytes of all keys and values in a space. It may look at
// every one of them.
//
//	Alarm(ctx, Key) (time.Time, error)
//	Alarms(ctx, before time.Time, limit int) ([]RoomAlarm, error)
//
// Alarm returns a room's alarm, the zero time if it has none. Alarms returns
// those of all rooms that are earlier than before (zero: all of them), the
// earliest first, the same time in the order of party and room, at most limit
// (DefaultRoomLimit for zero or less). An alarm stays until a change sets or
// clears it. Rooms that are quarantined are left out. Alarms returns no
// ErrCorrupt: what is wrong with one room holds no other up.
//
//	Delivery(ctx, Key) (time.Time, error)
//	Deliveries(ctx, before time.Time, limit int) ([]RoomAlarm, error)
//
// Deliveries are a second time of each room, kept, indexed and answered like
// alarms and apart from them.
//
// What these methods return is durable, as with Load: a change in flight on the
// room is waited for. Their errors are ErrInvalid, ErrCorrupt, ErrUnavailable
// and ErrClosed.
//
// A value that does not verify quarantines the data of its room as soon as it is
// read: every method answers ErrCorrupt for that room, writing included, so that
// the bytes stay as they are. Writing does not look at what it replaces: a value
// that nobody has read since it was damaged can be put over and deleted. The way
// out is the same: once released, a room's damaged value (the error names it) is
// dropped or put again, before it is read again. Two optional methods, as for
// documents; a room need not have data for them, and quarantining what is
// quarantined and releasing what is not are no errors:
//
//	QuarantineRoom(ctx, Key, reason string) error
//	ReleaseRoom(ctx, Key) error
//
// # All methods
//
// Every method returns the context's error once the context is done, and may
// then have had its effect. While the medium refuses to work (a full disk, a
// database that is away) errors match ErrUnavailable: retrying is right.
package persist
