package yserver

import (
	"context"
	"errors"
	"fmt"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/protocol/ydoc"
)

// ErrNoMaterialiser is returned for edits that need [Config.Materialiser].
var ErrNoMaterialiser = errors.New("the server cannot edit documents: set Config.Materialiser")

// errBadEdit means that the materialiser made an edit of no use.
var errBadEdit = errors.New("the edit does not apply to the document that it was made for")

// Materialiser makes edits from whole documents.
type Materialiser interface {
	// Replace returns a Yjs update (V1) that makes the content of current that of
	// target, or nothing if that needs none. Both are whole documents as updates,
	// and must not be modified. What cannot be made faithfully is an error.
	Replace(ctx context.Context, current, target []byte) ([]byte, error)
}

// Restore makes the document what a version was, by an edit like a client's:
// everybody connected sees it, and the history goes on. It returns once that is
// committed. Versions of former epochs serve as well. persist.ErrNotFound: there
// is no such version, or no document.
func (r *Room) Restore(ctx context.Context, id string) error {
	if err := r.mayReplace(); err != nil {
		return err
	}
	_, state, err := r.Version(ctx, id)
	if err != nil {
		return err
	}
	return r.ReplaceDocument(ctx, state)
}

// ReplaceDocument makes the document what target is, a whole document as a Yjs
// update (V1), by an edit like a client's, and returns once that is committed.
// What others edit meanwhile is merged, as always. The errors are those of
// [Materialiser] and Apply; persist.ErrEpoch: the document was replaced meanwhile.
func (r *Room) ReplaceDocument(ctx context.Context, target []byte) error {
	if err := r.mayReplace(); err != nil {
		return err
	}
	var (
		current []byte
		epoch   persist.Epoch
	)
	err := r.withDocument(ctx, func(live *documentRoom) { current, epoch = live.doc.State(), live.journal.epoch })
	if err != nil {
		return err
	}
	u, err := r.srv.cfg.Materialiser.Replace(ctx, current, target)
	if err != nil {
		return fmt.Errorf("replace document: %w", err)
	}
	if len(u) == 0 || isEmptyUpdate(u) {
		return nil
	}
	if err := r.party.checkEdit(current, u); err != nil {
		return fmt.Errorf("replace document: %w", err)
	}
	return r.apply(ctx, u, &epoch)
}

func (r *Room) mayReplace() error {
	switch {
	case r.party.Document == nil:
		return ErrNotDocument
	case r.srv.cfg.Materialiser == nil:
		return ErrNoMaterialiser
	}
	return nil
}

// checkEdit proves that an edit applies to the document that it was made for:
// as a whole, naming nothing that is not there, and by a client of its own, so
// that it cannot clash with what somebody writes meanwhile.
func (p *party) checkEdit(current, u []byte) error {
	doc := ydoc.New(p.docConfig())
	if err := doc.Restore(current); err != nil {
		return err
	}
	if usesClient(u, clientsOf(doc)) {
		return fmt.Errorf("%w: it writes as a client that the document has", errBadEdit)
	}
	applied, err := doc.Apply(u)
	switch {
	case errors.Is(err, update.ErrLimit):
		return fmt.Errorf("%w: %w", ErrReadOnlyLimit, err)
	case err != nil:
		return fmt.Errorf("%w: %w", errBadEdit, err)
	case applied.Parked || applied.Missing:
		return fmt.Errorf("%w: it names what is not there", errBadEdit)
	}
	return nil
}

// mayApply reports why an update of the application may not be applied: epoch,
// unless nil, is the one that it was made for.
func (r *documentRoom) mayApply(u []byte, epoch *persist.Epoch) error {
	switch {
	case epoch != nil && *epoch != r.journal.epoch:
		return persist.ErrEpoch
	case r.denied.inUpdate(u):
		return ErrStaleCopy
	}
	return nil
}
