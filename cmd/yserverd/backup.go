package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/pebble"
)

// backupCommand copies an embedded store: that of a running server through its admin API, or that of a stopped one.
type backupCommand struct {
	URL    string `xor:"store" placeholder:"URL" help:"Running server whose store is copied, with its admin path if that is not /admin; http://127.0.0.1:1234 if nothing else is said."`
	Token  string `placeholder:"TOKEN" help:"Admin token that may write; better in YSERVERD_ADMIN_TOKEN, where others on the machine do not see it."`
	Config string `short:"c" xor:"store" placeholder:"FILE" help:"Configuration file that names the data folder of a server that does not run."`
	Data   string `xor:"store" placeholder:"DIR" help:"Data folder of a server that does not run."`
	From   string `xor:"store" placeholder:"FILE" help:"Copy that was downloaded from the admin API, to be checked and unpacked; - for standard input."`
	To     string `arg:"" name:"dir" help:"Folder for the copy, which must not exist."`
}

// Run makes the copy beside its place, opens it once, so that what is left behind is known to open, and then gives it
// its name. Nothing that is not whole ever has that name.
func (c *backupCommand) Run(ctx context.Context, m *Main) error {
	fill, err := c.source(m)
	if err != nil {
		return err
	}
	to := filepath.Clean(c.To)
	if _, err := os.Lstat(to); err == nil {
		return &exitError{exitFailed, fmt.Errorf("%s exists: name a folder that does not", c.To)}
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return &exitError{exitFailed, err}
	}
	partial, err := os.MkdirTemp(filepath.Dir(to), filepath.Base(to)+".partial-")
	if err != nil {
		return &exitError{exitFailed, err}
	}
	defer func() { _ = os.RemoveAll(partial) }() // once it has its name it is not there any more
	copied := filepath.Join(partial, "store")
	if err := fill(ctx, copied); err != nil {
		var exit *exitError
		if errors.As(err, &exit) {
			return err
		}
		return &exitError{exitFailed, err}
	}
	if err := settle(copied, to); err != nil {
		return &exitError{exitFailed, err}
	}
	_, err = fmt.Fprintf(m.Stdout, "%s\n", c.To)
	return err
}

// source returns what makes the copy in a folder that does not exist. What is used is said first.
func (c *backupCommand) source(m *Main) (func(ctx context.Context, dir string) error, error) {
	switch {
	case c.Config != "" || c.Data != "":
		data, err := c.folder(m)
		if err != nil {
			return nil, err
		}
		return func(_ context.Context, dir string) error { return copyStopped(m.Stderr, data, dir) }, nil
	case c.From != "":
		return func(_ context.Context, dir string) error { return c.unpack(m, dir) }, nil
	}
	h, err := newHotBackup(c.URL, c.Token, m)
	if err != nil {
		return nil, err
	}
	return h.fetch, nil
}

// copyStopped copies the store of a server that does not run.
func copyStopped(report io.Writer, data, dir string) error {
	store, err := pebble.Open(data, pebble.Options{Logger: slog.New(slog.DiscardHandler)})
	if errors.Is(err, persist.ErrLocked) {
		return &exitError{exitStart, fmt.Errorf("the data folder %s is in use: a running yserverd holds it; leave --data and -c out "+
			"to copy the store of a running server through its admin API", data)}
	}
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(report, "copying %s, whose server does not run\n", data)
	return errors.Join(store.Backup(dir), store.Close())
}

// settle opens a copy, and then puts it in its place for good.
func settle(copied, to string) error {
	store, err := pebble.Open(copied, pebble.Options{})
	if err != nil {
		return fmt.Errorf("the copy does not open: %w", err)
	}
	if err := store.Close(); err != nil {
		return err
	}
	if err := syncFolder(copied); err != nil {
		return err
	}
	if _, err := os.Lstat(to); err == nil { // rename would replace an empty folder
		return fmt.Errorf("%s exists by now: the copy is thrown away", to)
	}
	if err := os.Rename(copied, to); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(to))
}

// syncFolder makes the names in a folder outlast a power cut.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// folder returns the folder of the store.
func (c *backupCommand) folder(m *Main) (string, error) {
	at := storeFlags{Config: c.Config, Data: c.Data}
	cfg, err := at.config(m)
	switch {
	case err != nil:
		return "", err
	case cfg.Store.URL != "":
		return "", &exitError{exitUsage, errors.New("the documents are in a database: back that up with pg_dump or its own tools")}
	}
	return cfg.DataDir, existingStore(cfg.DataDir)
}

// existingStore refuses a folder in which opening a store would make one.
func existingStore(dir string) error {
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) > 0 {
		return nil
	}
	return &exitError{exitFailed, fmt.Errorf("there is no store in %s", dir)}
}
