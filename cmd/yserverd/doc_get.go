package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/yserverd/yserverd/cmd/yserverd/internal/config"
	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/yserver/materialise"
)

// getCommand prints a document.
type getCommand struct {
	storeFlags
	Party  string `arg:"" help:"Party of the document."`
	Room   string `arg:"" help:"Room of the document."`
	Format string `enum:"update,json,text,xml,delta" default:"update" help:"update: format V1, whole; json, text, xml, delta: rendered."`
	Root   string `help:"Root type to render; json without one renders all, the others take the only one."`
	Output string `short:"o" placeholder:"FILE" help:"Write into a file instead of standard output."`
}

// Run prints it.
func (c *getCommand) Run(ctx context.Context, m *Main) error {
	return c.withStore(ctx, m, false, func(store keeper, _ *config.Config) error {
		s, err := load(ctx, store, persist.Key{Party: c.Party, Room: c.Room})
		if err != nil {
			return err
		}
		text := s.state
		if c.Format != "update" {
			if text, err = c.render(ctx, s.state); err != nil {
				return err
			}
		}
		if c.Output != "" {
			return os.WriteFile(c.Output, text, 0o600)
		}
		_, err = m.Stdout.Write(text)
		return err
	})
}

// render turns a state into the format, with a line end behind it.
func (c *getCommand) render(ctx context.Context, state []byte) (text []byte, err error) {
	doc, err := materialise.Open(ctx, state, materialise.Limits{})
	if err != nil {
		return nil, err
	}
	if c.Format == "json" && c.Root == "" {
		text, err = doc.AllJSON(ctx)
		return append(text, '\n'), err
	}
	root, err := c.root(doc)
	if err != nil {
		return nil, err
	}
	switch c.Format {
	case "json":
		text, err = doc.JSON(ctx, root, materialise.Unknown)
	case "text":
		text, err = doc.Text(ctx, root)
	case "xml":
		text, err = doc.XML(ctx, root, materialise.Unknown)
	case "delta":
		text, err = doc.Delta(ctx, root)
	}
	if err != nil {
		return nil, err
	}
	return append(text, '\n'), nil
}

// root returns the root type that was named, or the only one.
func (c *getCommand) root(doc *materialise.Document) (string, error) {
	if c.Root != "" {
		return c.Root, nil
	}
	roots := doc.Roots()
	if len(roots) == 1 {
		return roots[0].Name, nil
	}
	names := make([]string, len(roots))
	for i, r := range roots {
		names[i] = shown(r.Name)
	}
	return "", &exitError{exitUsage, fmt.Errorf("which root type? --root NAME: %s", strings.Join(names, ", "))}
}

// putCommand stores an update as a document's content.
type putCommand struct {
	storeFlags
	Party   string `arg:"" help:"Party of the document."`
	Room    string `arg:"" help:"Room of the document."`
	File    string `arg:"" help:"Update of format V1; - reads standard input."`
	Replace bool   `help:"Also where the document exists: its content goes, and copies of it that clients hold are stale."`
}

// Run stores it.
func (c *putCommand) Run(ctx context.Context, m *Main) error {
	u, err := m.readInput(c.File)
	if err != nil {
		return &exitError{exitFailed, err}
	}
	if err := checkUpdate(u); err != nil {
		return &exitError{exitFailed, fmt.Errorf("%s: %w", c.File, err)}
	}
	key := persist.Key{Party: c.Party, Room: c.Room}
	return c.withStore(ctx, m, true, func(store keeper, _ *config.Config) error {
		former, err := load(ctx, store, key)
		switch {
		case errors.Is(err, persist.ErrNotFound):
			former = nil
		case errors.Is(err, persist.ErrDeleted):
			return fmt.Errorf("%s is deleted: doc rm --purge removes what is left of it", named(key))
		case err != nil:
			return err
		case !c.Replace:
			return fmt.Errorf("%s exists: --replace puts this in its place", named(key))
		}
		return replace(ctx, store, key, former, nil, u)
	})
}

// readInput reads a file, or standard input for "-", up to what a document may have.
func (m *Main) readInput(file string) ([]byte, error) {
	if file == "-" {
		return readBounded(m.Stdin, "standard input")
	}
	return readUpdate(file)
}

// readUpdate reads a file up to what a document may have.
func readUpdate(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	return readBounded(f, file)
}

// readBounded reads to the end, unless that is too far.
func readBounded(in io.Reader, what string) ([]byte, error) {
	u, err := io.ReadAll(io.LimitReader(in, maxUpdateBytes+1))
	if err == nil && len(u) > maxUpdateBytes {
		err = fmt.Errorf("%s has more than %d bytes", what, maxUpdateBytes)
	}
	return u, err
}

// rmCommand deletes a document.
type rmCommand struct {
	storeFlags
	Party string `arg:"" help:"Party of the document."`
	Room  string `arg:"" help:"Room of the document."`
	Purge bool   `help:"Remove everything at once: the document or its tombstone, its versions, the data of the room. There is no way back."`
}

// Run deletes it.
func (c *rmCommand) Run(ctx context.Context, m *Main) error {
	key := persist.Key{Party: c.Party, Room: c.Room}
	return c.withStore(ctx, m, false, func(store keeper, _ *config.Config) error {
		if c.Purge {
			err := store.Purge(ctx, key)
			if errors.Is(err, persist.ErrNotFound) {
				return fmt.Errorf("%s: there is nothing of it", named(key))
			}
			return err
		}
		s, err := load(ctx, store, key)
		if errors.Is(err, persist.ErrCorrupt) {
			return fmt.Errorf("%w; --purge removes it", err)
		}
		if err != nil {
			return err
		}
		return store.Delete(ctx, key, s.clients)
	})
}
