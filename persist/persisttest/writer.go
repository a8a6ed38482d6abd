package persisttest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/yserverd/yserverd/persist"
)

// Writer writes one document as a room does: it keeps the content in memory,
// catches up after a conflict, finds out what became of an append whose outcome
// it does not know, and repeats what failed. An update is one line of text, and
// a snapshot is its lines, so that a test can tell whether any was lost, doubled
// or moved. Several writers may write one document, each with lines of its own.
type Writer struct {
	Store Store
	Key   persist.Key
	Lines []string // as far as this writer knows, its own included once stored

	seq   persist.Seq
	epoch persist.Epoch
}

// attempts bounds how often a Writer repeats what fails.
const attempts = 10000

// Append stores lines, each an update of its own, in one call.
func (w *Writer) Append(ctx context.Context, lines ...string) error {
	var updates [][]byte
	for _, l := range lines {
		updates = append(updates, []byte(l))
	}
	for range attempts {
		results, err := w.Store.Append(ctx, []persist.Append{{Key: w.Key, Epoch: w.epoch, After: w.seq, Updates: updates}})
		if err == nil && results[0].Err == nil {
			w.seq = results[0].Seq
			w.Lines = append(w.Lines, lines...)
			return nil
		}
		if err == nil && !errors.Is(results[0].Err, persist.ErrConflict) {
			return results[0].Err
		}
		if err := w.CatchUp(ctx); err != nil {
			return err
		}
		// Appended whole or not at all.
		if slices.Contains(w.Lines, lines[0]) {
			return nil
		}
	}
	return fmt.Errorf("append failed %d times", attempts)
}

// CatchUp reads what the writer lacks.
func (w *Writer) CatchUp(ctx context.Context) (err error) {
	for range attempts {
		var rows []persist.Update
		rows, err = w.Store.LoadAfter(ctx, w.Key, w.seq)
		if errors.Is(err, persist.ErrStale) {
			if err = w.Load(ctx); err == nil {
				return nil
			}
			continue
		}
		if err != nil {
			if final(ctx, err) {
				return err
			}
			continue
		}
		for _, u := range rows {
			w.seq = u.Seq
			w.Lines = append(w.Lines, string(u.Data))
		}
		return nil
	}
	return err
}

// Load forgets what the writer knows and reads everything.
func (w *Writer) Load(ctx context.Context) error {
	for range attempts {
		d, err := w.Store.Load(ctx, w.Key)
		if err == nil {
			w.Lines, w.seq, w.epoch = Lines(d), d.Seq, d.Epoch
			return nil
		}
		if final(ctx, err) {
			return err
		}
	}
	return fmt.Errorf("load failed %d times", attempts)
}

// Compact folds everything that the writer knows into a snapshot, once. That it
// is stale is no error: somebody else was faster, or it was this writer, in a
// call whose outcome it does not know.
func (w *Writer) Compact(ctx context.Context) error {
	if w.seq == 0 {
		return nil
	}
	err := w.Store.Compact(ctx, w.Key, w.epoch, w.seq, []byte(strings.Join(w.Lines, "\n")))
	if errors.Is(err, persist.ErrStale) {
		return nil
	}
	return err
}

// final tells errors that repeating does not help.
func final(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, persist.ErrDeleted) || errors.Is(err, persist.ErrCorrupt) ||
		errors.Is(err, persist.ErrClosed) || errors.Is(err, persist.ErrInvalid) || errors.Is(err, persist.ErrConflict)
}

// Lines is a document that Writers wrote: its updates in order.
func Lines(d persist.Document) []string {
	var lines []string
	if d.Snapshot.Seq != 0 {
		lines = strings.Split(string(d.Snapshot.Data), "\n")
	}
	for _, u := range d.Tail {
		lines = append(lines, string(u.Data))
	}
	return lines
}
