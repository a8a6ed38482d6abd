package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/protocol/ydoc"
)

// check requires that the store of the dead server has what it must have.
func (k *lifeKiller) check(ctx context.Context, rooms []*livingRoom) {
	k.t.Helper()
	docs := k.d.openIn(ctx, k.t, k.dir)
	defer docs.close()
	for _, r := range rooms {
		for _, c := range r.typists {
			made, back, notes, err := c.Echoes(ctx)
			require.NoError(k.t, err)
			c.made, c.notes = made, notes
			k.tally.echoed += back
		}
		var wrong []error
		outcomes := r.life.outcomes(r.began)
		for i, o := range outcomes {
			err := k.isLife(ctx, docs.store, r, o)
			if err == nil {
				k.count(r, i)
				wrong = nil
				break
			}
			wrong = append(wrong, fmt.Errorf("it is not %+v: %w", o, err))
		}
		require.NoError(k.t, errors.Join(wrong...), "%s; under way: %v", r.name, r.began)
	}
}

func (k *lifeKiller) count(r *livingRoom, outcome int) {
	switch {
	case r.began == nil, r.began.Op == opRest:
	case outcome == 0:
		k.tally.absent++
	case outcome == 1:
		k.tally.whole++
	}
}

// isLife returns what is different in the store from what a document should be.
func (k *lifeKiller) isLife(ctx context.Context, store storage, r *livingRoom, l life) error {
	key := persist.Key{Party: "main", Room: r.name}
	infos, _, err := store.List(ctx, "main", r.name, "", 0)
	if err != nil {
		return err
	}
	stored, err := store.Load(ctx, key)
	switch l.is {
	case gone:
		versions, _, verr := store.Versions(ctx, key, "", 0)
		if err != nil || verr != nil || stored.Exists || len(infos) > 0 || len(versions) > 0 {
			return fmt.Errorf("something is left: exists %v, %d listed, %d versions: %w", stored.Exists, len(infos), len(versions), errors.Join(err, verr))
		}
		return nil
	case deleted:
		if !errors.Is(err, persist.ErrDeleted) || len(infos) != 1 || infos[0].Deleted.IsZero() || infos[0].Epoch != l.epoch {
			return fmt.Errorf("no tombstone: %+v: %w", infos, err)
		}
		return nil
	}
	switch {
	case err != nil:
		return err
	case !stored.Exists, len(infos) != 1, stored.Epoch != l.epoch, infos[0].Epoch != l.epoch:
		return fmt.Errorf("exists %v in epoch %d, listed %+v", stored.Exists, stored.Epoch, infos)
	}
	if err := r.isContent(ctx, stored, l); err != nil {
		return err
	}
	return k.areVersions(ctx, store, key, l)
}

// isContent returns what is different in a document.
func (r *livingRoom) isContent(ctx context.Context, stored persist.Document, l life) error {
	doc, err := replay(stored)
	if err != nil {
		return err
	}
	state := doc.State()
	if mark, err := markOf(ctx, state); err != nil || mark != l.mark {
		return fmt.Errorf("its mark is %d: %w", mark, err)
	}
	clocks, err := update.ParseStateVector(nil, doc.StateVector(), update.Limits{})
	if err != nil {
		return err
	}
	if len(doc.Pending()) > 0 && l.has != edited {
		return errors.New("something waits in it for what is not there")
	}
	for _, c := range r.typists {
		if err := c.isIn(state, clocks, l.has); err != nil {
			return err
		}
	}
	return nil
}

// isIn returns what is different of what a client has written.
func (c *typist) isIn(state []byte, clocks []update.ID, has typing) error {
	var clock uint64
	for _, id := range clocks {
		if id.Client == c.id {
			clock = id.Clock
		}
	}
	if (has == left || has == restored) && clock > 0 {
		return fmt.Errorf("clock %d of client %d of a dead epoch", clock, c.id)
	}
	length := 0
	for _, note := range c.notes {
		length += len(note)
		switch n := bytes.Count(state, []byte(note)); {
		case has == typed && n != 1:
			return fmt.Errorf("%s was acknowledged and is there %d times", note, n)
		case has == left && n > 0:
			return fmt.Errorf("%s is there", note)
		}
	}
	if (has == typed || has == edited) && int(clock) < length {
		return fmt.Errorf("clock %d of client %d, %d acknowledged", clock, c.id, length)
	}
	return nil
}

// areVersions returns what is different in the versions of a document.
func (k *lifeKiller) areVersions(ctx context.Context, store storage, key persist.Key, l life) error {
	list, _, err := store.Versions(ctx, key, "", 0)
	if err != nil {
		return err
	}
	want, unnamed := maps.Clone(l.versions), 0
	for _, v := range list {
		_, state, err := store.Version(ctx, key, v.ID)
		if err != nil {
			return fmt.Errorf("version %s: %w", v.ID, err)
		}
		mark, err := markOf(ctx, state)
		if err == nil {
			err = ydoc.New(ydoc.Config{}).Restore(state)
		}
		if err != nil {
			return fmt.Errorf("version %s: %w", v.ID, err)
		}
		k.tally.versions++
		kept, known := want[v.ID]
		delete(want, v.ID)
		switch {
		case known && sumOf(state) != kept.Sum:
			return fmt.Errorf("version %s is not what it was", v.ID)
		case !known && !v.Automatic:
			if unnamed++; mark != l.mark {
				return fmt.Errorf("version %s has mark %d", v.ID, mark)
			}
		}
	}
	if len(want) > 0 || unnamed != l.unnamed {
		return fmt.Errorf("versions %v are missing, %d unknown", want, unnamed)
	}
	return nil
}
