package materialise

import (
	"context"
	"errors"
)

// RunSecond runs the second implementation as a check does.
func RunSecond(ctx context.Context, state []byte, lim Limits) ([]byte, error) {
	return runSecond(ctx, state, lim.withDefaults())
}

// SetSecond puts another implementation in the place of the second one and returns what puts it back.
func SetSecond(fn func(state []byte, lim Limits) ([]byte, error)) (restore func()) {
	old := second
	second = fn
	return func() { second = old }
}

// Outline returns the outline of our own integration.
func Outline(d *Document) ([]byte, error) { return outlineOf(d) }

// CrossChecked reports whether edits of the document are checked by both implementations.
func CrossChecked(d *Document) bool {
	return int64(len(d.state)) <= d.lim.CheckBytes && !d.pending && !d.emptyKey && d.deepest <= d.lim.Depth
}

// Same reports whether two documents read the same: all roots, but for format marks that change nothing.
func Same(ctx context.Context, a, b *Document) (bool, error) {
	err := (&Tx{doc: a, target: b, budget: budget{ctx: ctx}}).confirmTarget(a)
	var u *UnsupportedError
	if errors.As(err, &u) {
		return false, nil
	}
	return err == nil, err
}
