package yserver

import (
	"context"
	"errors"

	"github.com/yserverd/yserverd/persist"
)

// ErrNoArchive is returned for what the server's store cannot do.
var ErrNoArchive = errors.New("the store keeps no epochs and versions")

// Archive is what a store of documents offers beside serving them: their lives
// (epochs), versions and lists. Package persist has the contract; the stores of
// documents implement it too.
type Archive interface {
	// Delete leaves a tombstone and remembers the client ids of the dead epoch.
	Delete(ctx context.Context, key persist.Key, dead []uint64) error
	// Undelete takes the tombstone back.
	Undelete(ctx context.Context, key persist.Key) error
	// Purge removes everything of a key.
	Purge(ctx context.Context, key persist.Key) error
	// Replace begins a new epoch with a snapshot, and remembers the client ids of
	// the old one.
	Replace(ctx context.Context, key persist.Key, epoch persist.Epoch, dead []uint64, snapshot []byte) (persist.Epoch, error)
	// List pages through the documents of a party.
	List(ctx context.Context, party, prefix, cursor string, limit int) ([]persist.Info, string, error)
	// PutVersion keeps a whole state under an id that its maker draws.
	PutVersion(ctx context.Context, key persist.Key, v persist.Version, state []byte) error
	// Versions pages through the versions of a document, the newest first.
	Versions(ctx context.Context, key persist.Key, cursor string, limit int) ([]persist.Version, string, error)
	// Version returns a version with its state.
	Version(ctx context.Context, key persist.Key, id string) (persist.Version, []byte, error)
	// DeleteVersion drops a version.
	DeleteVersion(ctx context.Context, key persist.Key, id string) error
	// Sweep removes what is due, in bounded steps.
	Sweep(ctx context.Context, o persist.SweepOptions) (persist.SweepStats, error)
}

// List pages through the stored documents of a party whose room begins with
// prefix, in the order of the rooms' bytes: an empty cursor starts, an empty one
// returned ends. Tombstones and quarantined documents are listed and marked. A
// limit of zero means persist.DefaultListLimit. What live rooms have not stored
// yet is not counted.
func (s *Server) List(ctx context.Context, party, prefix, cursor string, limit int) ([]persist.Info, string, error) {
	if s.cfg.Archive == nil {
		return nil, "", ErrNoArchive
	}
	return s.cfg.Archive.List(ctx, party, prefix, cursor, limit)
}

func (r *Room) key() persist.Key { return persist.Key{Party: r.id.party, Room: r.id.room} }

// archive returns what keeps the room's document beside the log.
func (r *Room) archive() (Archive, error) {
	switch {
	case r.party.Document == nil:
		return nil, ErrNotDocument
	case r.srv.cfg.Archive == nil:
		return nil, ErrNoArchive
	}
	return r.srv.cfg.Archive, nil
}

// Delete puts a tombstone in the place of the document, once everything that a
// live room has accepted is stored. Its connections are closed with 4410, and who
// comes is answered 410 (4410 on the y-websocket mount, whose clients then stop
// trying; those of the other routes come back with back-off, and find the
// document again should it be undeleted). Deleting what is deleted is no error;
// a document that does not exist is persist.ErrNotFound. After an error the room
// goes on, unless the document is gone all the same.
//
// Like Purge and Import it must not be called from OnLoad of the same room, which
// it would wait for.
func (r *Room) Delete(ctx context.Context) error {
	archive, err := r.archive()
	if err != nil {
		return err
	}
	err = r.alter(ctx, alteration{
		decode: true, code: closeDeleted, reason: deletedReason,
		change: func(ctx context.Context, s *stilled) error { return archive.Delete(ctx, r.key(), s.ids) },
		done:   func(stored persist.Document, err error) bool { return errors.Is(err, persist.ErrDeleted) },
	})
	if errors.Is(err, persist.ErrDeleted) {
		return nil
	}
	return err
}

// Undelete takes the tombstone back: the document is what it was, in a new epoch.
// persist.ErrNotFound: there is none.
func (r *Room) Undelete(ctx context.Context) error {
	archive, err := r.archive()
	if err != nil {
		return err
	}
	unlock, err := r.srv.lives.lock(ctx, r.id)
	if err != nil {
		return err
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(ctx, r.srv.cfg.StoreTimeout)
	defer cancel()
	return archive.Undelete(ctx, r.key())
}

// Purge removes everything of the room from the store, with or without a
// tombstone: document, versions, what the room keeps in Storage, its alarm. What
// cannot be read can be purged. Connections are closed with 4410. Nothing
// remembers what was purged, so a client that still holds a copy and comes back
// makes it a document again; where that must not be, Delete and leave it to the
// sweep. After an error something may be left, and repeating is right.
// persist.ErrNotFound: there was nothing.
func (r *Room) Purge(ctx context.Context) error {
	archive, err := r.archive()
	if err != nil {
		return err
	}
	err = r.alter(ctx, alteration{
		code: closeDeleted, reason: deletedReason,
		change: func(ctx context.Context, _ *stilled) error { return archive.Purge(ctx, r.key()) },
	})
	r.srv.sizes.forget(r.id)
	return err
}

// Import replaces the document by a Yjs update (V1) that holds all of it, as a
// new epoch. Connections are closed with 1012 once that is stored, so that they
// come back: those that bring content of the old epoch are told that their copy
// is stale. A document that does not exist is created. The errors are those of
// Apply for a state that cannot be taken, and the store's: persist.ErrDeleted for
// a tombstone, persist.ErrCorrupt, persist.ErrEpoch if another server ended the
// epoch meanwhile.
//
// A copy is known by the client ids of the old epoch that the new one does not
// have. A state that shares them, such as an older one of the same document, has
// later edits of those clients merged into it when they come back; only clients
// that say their epoch are told apart from it. Restore is for that.
func (r *Room) Import(ctx context.Context, state []byte) error {
	archive, err := r.archive()
	if err != nil {
		return err
	}
	snapshot, err := r.party.snapshotOf(state)
	if err != nil {
		return err
	}
	return r.alter(ctx, alteration{
		decode: true, code: closeServiceRestart, reason: "document was replaced",
		change: func(ctx context.Context, s *stilled) error {
			s.strangers(ctx, r)
			_, err := archive.Replace(ctx, r.key(), s.epoch, s.ids, snapshot)
			return err
		},
		done: func(stored persist.Document, err error) bool {
			return err == nil && string(stored.Snapshot.Data) == string(snapshot)
		},
	})
}
