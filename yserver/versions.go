package yserver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/yserverd/yserverd/persist"
)

// PutVersion keeps the present document as a version, once it is committed.
// Both names are for people and may be empty. It stays until DeleteVersion.
// persist.ErrNotFound: there is no document yet. After another error of the store
// the version may be there or not.
func (r *Room) PutVersion(ctx context.Context, name, author string) (persist.Version, error) {
	archive, err := r.archive()
	if err != nil {
		return persist.Version{}, err
	}
	v := persist.Version{ID: newConnectionID(), Name: name, Author: author, Created: time.Now()}
	if err := v.Validate(); err != nil {
		return persist.Version{}, err
	}
	state, err := r.committedState(ctx)
	if err != nil {
		return persist.Version{}, err
	}
	v.Epoch, v.Seq, v.Bytes = state.Epoch, state.Seq, int64(len(state.State))
	if err := archive.PutVersion(ctx, r.key(), v, state.State); err != nil {
		return persist.Version{}, fmt.Errorf("put version: %w", err)
	}
	v.Created = v.Created.Truncate(time.Millisecond).UTC()
	return v, nil
}

// Versions pages through the versions, the newest first: an empty cursor starts,
// an empty one returned ends. A limit of zero means persist.DefaultListLimit.
func (r *Room) Versions(ctx context.Context, cursor string, limit int) ([]persist.Version, string, error) {
	archive, err := r.archive()
	if err != nil {
		return nil, "", err
	}
	return archive.Versions(ctx, r.key(), cursor, limit)
}

// Version returns a version and its state, a whole document as a Yjs update (V1).
func (r *Room) Version(ctx context.Context, id string) (persist.Version, []byte, error) {
	archive, err := r.archive()
	if err != nil {
		return persist.Version{}, nil, err
	}
	return archive.Version(ctx, r.key(), id)
}

// DeleteVersion drops a version.
func (r *Room) DeleteVersion(ctx context.Context, id string) error {
	archive, err := r.archive()
	if err != nil {
		return err
	}
	return archive.DeleteVersion(ctx, r.key(), id)
}

// committedState returns the document as it is now, once that is committed.
func (r *Room) committedState(ctx context.Context) (Save, error) {
	var (
		taken = make(chan Save, 1)
		ended <-chan struct{}
	)
	err := r.withDocument(ctx, func(live *documentRoom) {
		ended = live.done
		state := live.doc.State()
		live.whenCommitted(func() { taken <- Save{State: state, Seq: live.journal.seq, Epoch: live.journal.epoch} })
	})
	if err != nil {
		return Save{}, err
	}
	select {
	case s := <-taken:
		return s, nil
	case <-ended:
		return Save{}, errRoomEnded
	case <-ctx.Done():
		return Save{}, ctx.Err()
	}
}

// versioner makes versions of a document that changes, one in an interval, when
// the document goes out of memory, and preferably when somebody else needs its
// whole state as well. All but taking the state is done beside the room.
type versioner struct {
	since   time.Time // of the first change that no version has, zero if none
	running bool
}

// changed notes a change of the document.
func (v *versioner) changed(r *documentRoom) {
	if !v.since.IsZero() || r.srv.cfg.Archive == nil || r.party.Document.VersionInterval < 0 {
		return
	}
	v.since = r.now
	r.timers.at(dueVersion, r.now.Add(r.party.Document.VersionInterval))
}

// offer makes the version that is due soon: the state has been made just now.
func (v *versioner) offer(r *documentRoom) {
	if at := r.party.Document.VersionInterval * 3 / 4; !v.since.IsZero() && r.now.Sub(v.since) >= at {
		v.make(r)
	}
}

// due makes the version that is due.
func (v *versioner) due(r *documentRoom) {
	if r.doc != nil && !v.since.IsZero() {
		v.make(r)
	}
}

// last makes a version before the document goes out of memory. At shutdown there
// is no time for it.
func (v *versioner) last(r *documentRoom) {
	if !r.draining {
		v.due(r)
	}
	v.since = time.Time{}
}

// forget is for a document that is no more.
func (v *versioner) forget() { v.since = time.Time{} }

func (v *versioner) make(r *documentRoom) {
	if v.running {
		r.timers.at(dueVersion, r.now.Add(r.party.Document.VersionInterval))
		return
	}
	v.since, v.running = time.Time{}, true
	r.timers.clear(dueVersion)
	state := r.doc.State()
	r.whenCommitted(func() {
		save := Save{State: state, Seq: r.journal.seq, Epoch: r.journal.epoch}
		r.goBeside(func() func() {
			wait, err := r.keepVersion(save)
			return func() { v.made(r, wait, err) }
		})
	})
}

// made takes the outcome: one that is to wait, or failed, is made later.
func (v *versioner) made(r *documentRoom, wait time.Duration, err error) {
	v.running = false
	if err == nil && wait == 0 {
		return
	}
	if err != nil {
		wait = r.party.Document.VersionInterval
	}
	if v.since.IsZero() {
		v.since = r.now
	}
	r.timers.atMost(dueVersion, r.now.Add(wait))
}

// keepVersion stores an automatic version, and drops those that are too many.
// While the last one is too young, be it of another server, it returns how long
// to wait.
func (r *documentRoom) keepVersion(s Save) (wait time.Duration, err error) {
	r.srv.folding <- struct{}{} // whole documents are written
	defer func() { <-r.srv.folding }()
	ctx, cancel := context.WithTimeout(context.Background(), r.srv.cfg.StoreTimeout)
	defer cancel()
	archive, interval := r.srv.cfg.Archive, r.party.Document.VersionInterval
	made, err := r.automatic(ctx)
	if err == nil && len(made) > 0 {
		if age := time.Since(made[0].Created); age < interval*7/8 {
			return min(interval-age, interval), nil
		}
	}
	if err == nil {
		v := persist.Version{ID: newConnectionID(), Automatic: true, Created: time.Now(), Epoch: s.Epoch, Seq: s.Seq}
		err = archive.PutVersion(ctx, r.key, v, s.State)
	}
	for i := r.party.Document.VersionsMax - 1; err == nil && i < len(made); i++ {
		if err = archive.DeleteVersion(ctx, r.key, made[i].ID); errors.Is(err, persist.ErrNotFound) {
			err = nil
		}
	}
	if err != nil {
		r.srv.counters.versionErrors.Add(1)
		r.log.Warn("automatic version failed; it is made later", "err", err)
		return 0, err
	}
	r.srv.counters.versions.Add(1)
	return 0, nil
}

// automatic returns the automatic versions, the newest first.
func (r *documentRoom) automatic(ctx context.Context) (made []persist.Version, err error) {
	for cursor := ""; ; {
		page, next, err := r.srv.cfg.Archive.Versions(ctx, r.key, cursor, persist.MaxListLimit)
		if err != nil {
			return nil, err
		}
		for _, v := range page {
			if v.Automatic {
				made = append(made, v)
			}
		}
		if next == "" {
			return made, nil
		}
		cursor = next
	}
}
