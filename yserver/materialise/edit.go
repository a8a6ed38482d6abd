package materialise

import (
	"bytes"
	"context"
	"fmt"

	"github.com/yserverd/yserverd/protocol/update"
)

// EditOptions says how an edit is made.
type EditOptions struct {
	Limits Limits
	// Client is the client id to edit as, going on from the clock that the state has of it; the caller sees to it that nobody
	// else uses it. Zero means a random one that the state does not have; that is also taken when the state has parts that wait.
	Client uint64
}

// turn is held by the edit that is being made: there is one at a time in the process.
var turn = make(chan struct{}, 1)

// Edit makes an edit of a state and returns it as an update of format V1, which is not applied to anything; nil when fn
// changed nothing. It waits for its turn: one edit is made at a time in the process. An error of fn is returned as it is;
// others are those of Open, an *UnsupportedError when the result could not be confirmed, and ErrBusy.
func Edit(ctx context.Context, state []byte, opts EditOptions, fn func(*Tx) error) (u []byte, err error) {
	return edit(ctx, state, opts, fn)
}

func edit(ctx context.Context, state []byte, opts EditOptions, fn func(*Tx) error) (u []byte, err error) {
	lim := opts.Limits.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, lim.Time)
	defer cancel()
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer guard(&err)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	d, err := load(ctx, state, lim)
	if err != nil {
		return nil, err
	}
	t := newTx(ctx, d, opts.Client)
	if err := fn(t); err != nil {
		return nil, err
	}
	u = t.encode()
	if u == nil {
		return nil, nil
	}
	if err := t.confirm(ctx, u); err != nil {
		return nil, err
	}
	return u, nil
}

// confirm integrates the state together with the update anew and compares with what the edit meant: by our own code, by
// y-crdt, and with the target of a replacement.
func (t *Tx) confirm(ctx context.Context, u []byte) error {
	merged, err := update.Merge(nil, t.doc.state, u)
	if err != nil {
		return fmt.Errorf("%w: the edit does not decode: %w", ErrInternal, err)
	}
	lim := t.doc.lim
	lim.Bytes, lim.Items = int64(len(merged)), lim.Items+2*len(t.made)+4*len(t.deletes)+16
	again, err := load(ctx, merged, lim)
	if err != nil {
		return err
	}
	want, err := outlineOf(t.doc)
	if err != nil {
		return err
	}
	got, err := outlineOf(again)
	if err != nil {
		return err
	}
	if !bytes.Equal(want, got) {
		return &UnsupportedError{What: "the edit does not come out as it was meant"}
	}
	if err := t.confirmTarget(again); err != nil {
		return err
	}
	return again.crossCheck(ctx, merged, got)
}

// confirmTarget compares every root with the target of a replacement.
func (t *Tx) confirmTarget(d *Document) error {
	if t.target == nil {
		return nil
	}
	r := &replacer{tx: t, from: d, to: t.target, sums: make(map[*node][32]byte)}
	for _, name := range union(d.roots, t.target.roots) {
		got, err := r.sum(d.root(name), 0)
		if err != nil {
			return err
		}
		want, err := r.sum(t.target.root(name), 0)
		if err != nil {
			return err
		}
		if got != want {
			return &UnsupportedError{What: "the content does not come out as it was meant", Root: name}
		}
	}
	return nil
}
