package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/yserverd/yserverd/cmd/yserverd/internal/config"
	"github.com/yserverd/yserverd/persist"
)

// importCommand stores documents.
type importCommand struct {
	storeFlags
	Source   string `arg:"" help:"What export wrote: a folder, a .tar file, or - for a tar file on standard input. Or one update of format V1 (.bin), with --party and --room. Or a folder of them, with --party: the file names are the rooms."`
	Existing string `enum:"fail,skip,replace" default:"fail" help:"What becomes of documents that exist with other content: fail tells them and goes on; skip leaves them; replace puts the import in their place."`
	Party    string `help:"Party of plain updates."`
	Room     string `help:"Room of one plain update."`
}

// Run stores them. Documents that are there with the same content are left as they are, so that an import that was
// interrupted is repeated.
func (c *importCommand) Run(ctx context.Context, m *Main) error {
	read, err := c.source(m)
	if err != nil {
		return err
	}
	return c.withStore(ctx, m, true, func(store keeper, _ *config.Config) error {
		i := &importing{store: store, existing: c.Existing, progress: newProgress(m.Stderr, "imported"), report: m.Stderr}
		i.group.SetLimit(storeCalls)
		err := read(func(d *found) error {
			if i.stopped(ctx) != nil {
				return i.stopped(ctx)
			}
			i.group.Go(func() error { i.one(ctx, d); return nil })
			return nil
		})
		_ = i.group.Wait() // failures are counted
		if stop := i.stopped(ctx); stop != nil {
			err = stop
		}
		i.progress.end(fmt.Sprintf(", %d were there already, %d skipped, %d replaced", i.same, i.skipped, i.replaced))
		switch {
		case err != nil:
			return fmt.Errorf("%w; what is imported stays, and the same command goes on with the rest", err)
		case i.failed > 0:
			return fmt.Errorf("%s not imported", count(i.failed, "document"))
		}
		return nil
	})
}

// source returns what reads the documents, one after the other.
func (c *importCommand) source(m *Main) (func(fn func(*found) error) error, error) {
	if c.Source == "-" {
		return func(fn func(*found) error) error { return readTar(m.Stdin, fn) }, nil
	}
	info, err := os.Stat(c.Source)
	switch {
	case err != nil:
		return nil, &exitError{exitFailed, err}
	case info.IsDir() && exists(c.Source, manifestFolder):
		return func(fn func(*found) error) error { return readFolder(c.Source, fn) }, nil
	case info.IsDir() && exists(c.Source, "CURRENT"):
		return nil, &exitError{exitUsage, fmt.Errorf("%s is a LevelDB: docs/y-leveldb-export.mjs turns one of y-leveldb into what this command reads", c.Source)}
	case info.IsDir() && c.Party != "" && c.Room == "":
		return func(fn func(*found) error) error { return readPlainFolder(c.Source, c.Party, fn) }, nil
	case info.IsDir():
		return nil, &exitError{exitUsage, fmt.Errorf("%s has no manifest: name the --party of its plain updates", c.Source)}
	case strings.HasSuffix(c.Source, ".tar"):
		return func(fn func(*found) error) error {
			f, err := os.Open(c.Source)
			if err != nil {
				return err
			}
			defer func() { _ = f.Close() }() // it was only read
			return readTar(f, fn)
		}, nil
	case c.Party == "" || c.Room == "":
		return nil, &exitError{exitUsage, fmt.Errorf("%s is one update: name its --party and --room", c.Source)}
	}
	return func(fn func(*found) error) error {
		return fn(readPlain(c.Source, persist.Key{Party: c.Party, Room: c.Room}))
	}, nil
}

// exists reports whether a folder has an entry.
func exists(dir, entry string) bool {
	_, err := os.Stat(filepath.Join(dir, entry))
	return err == nil
}

// readPlain reads one update.
func readPlain(file string, key persist.Key) *found {
	d := &found{item: item{name: nameOf(key), File: file}}
	d.update, d.err = readUpdate(file)
	return d
}

// readPlainFolder calls fn for each update in a folder, whose names are those of rooms as export writes them.
func readPlainFolder(dir, party string, fn func(*found) error) error {
	files, err := filepath.Glob(filepath.Join(globQuoted(dir), "*"+updateSuffix))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("%s has no manifest and no files that end in %s", dir, updateSuffix)
	}
	for _, file := range files {
		room, err := unescapeName(strings.TrimSuffix(filepath.Base(file), updateSuffix))
		d := &found{item: item{name: nameOf(persist.Key{Party: party, Room: room}), File: file}, err: err}
		if err == nil {
			d = readPlain(file, persist.Key{Party: party, Room: room})
		}
		if err := fn(d); err != nil {
			return err
		}
	}
	return nil
}

// globQuoted quotes what a pattern would read otherwise.
func globQuoted(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

// importing is an import under way.
type importing struct {
	store    keeper
	existing string
	report   io.Writer
	group    errgroup.Group

	// Guarded by mu
	mu                              sync.Mutex
	progress                        *progress
	same, skipped, replaced, failed int
	stop                            error // the store does not work
}

// stopped returns what ended the import.
func (i *importing) stopped(ctx context.Context) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return errors.Join(ctx.Err(), i.stop)
}

// one imports a document, and counts what became of it.
func (i *importing) one(ctx context.Context, d *found) {
	count, err := i.store1(ctx, d)
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case err == nil:
		*count++
		if count == &i.progress.documents {
			i.progress.add(0, int64(len(d.update)))
		} else if count == &i.replaced {
			i.progress.add(1, int64(len(d.update)))
		}
	case errors.Is(err, persist.ErrUnavailable), ctx.Err() != nil:
		i.stop = err
	default:
		i.failed++
		_, _ = fmt.Fprintf(i.report, "not imported: %v\n", err)
	}
}

// store1 imports a document and returns the counter of what became of it.
func (i *importing) store1(ctx context.Context, d *found) (*int, error) {
	key, err := d.key()
	if err = errors.Join(err, d.err); err != nil {
		return nil, err
	}
	if err := checkUpdate(d.update); err != nil {
		return nil, fmt.Errorf("%s, %s: %w", named(key), d.File, err)
	}
	former, err := load(ctx, i.store, key)
	switch {
	case errors.Is(err, persist.ErrNotFound):
		return &i.progress.documents, replace(ctx, i.store, key, nil, d.Dead, d.update)
	case errors.Is(err, persist.ErrDeleted):
		return nil, fmt.Errorf("%s is deleted there: doc rm --purge removes what is left of it", named(key))
	case err != nil:
		return nil, err
	case former.isStored(d.update):
		return &i.same, nil
	case i.existing == "skip":
		return &i.skipped, nil
	case i.existing == "replace":
		return &i.replaced, replace(ctx, i.store, key, former, d.Dead, d.update)
	}
	return nil, fmt.Errorf("%s exists with other content: --existing skip or --existing replace", named(key))
}
