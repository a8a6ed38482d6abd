package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/pebble"
)

// backupCommand copies an embedded store.
type backupCommand struct {
	Config string `short:"c" xor:"store" placeholder:"FILE" help:"Configuration file that names the data folder."`
	Data   string `xor:"store" placeholder:"DIR" help:"Data folder of a server that does not run."`
	To     string `arg:"" name:"dir" help:"Folder for the copy, which must not exist."`
}

// Run copies the store and opens the copy once, so that what is left behind is known to open.
func (c *backupCommand) Run(_ context.Context, m *Main) error {
	data, err := c.folder(m)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(c.To); err == nil {
		return &exitError{exitFailed, fmt.Errorf("%s exists: name a folder that does not", c.To)}
	}
	if err := os.MkdirAll(filepath.Dir(filepath.Clean(c.To)), 0o700); err != nil {
		return &exitError{exitFailed, err}
	}
	store, err := pebble.Open(data, pebble.Options{Logger: slog.New(slog.DiscardHandler)})
	if errors.Is(err, persist.ErrLocked) {
		return fmt.Errorf("the data folder %s is in use: a running yserverd holds it; end it first, for copies of a running "+
			"server come with the admin API", data)
	}
	if err != nil {
		return err
	}
	if err := errors.Join(store.Backup(c.To), store.Close()); err != nil {
		return &exitError{exitFailed, err}
	}
	copied, err := pebble.Open(c.To, pebble.Options{})
	if err != nil {
		return &exitError{exitFailed, fmt.Errorf("the copy does not open: %w", err)}
	}
	if err := copied.Close(); err != nil {
		return &exitError{exitFailed, err}
	}
	_, err = fmt.Fprintf(m.Stdout, "%s\n", c.To)
	return err
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
