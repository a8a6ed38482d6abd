package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/yserverd/yserverd/cmd/yserverd/internal/config"
	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/protocol/ydoc"
	"github.com/yserverd/yserverd/yserver"
)

// defaultConfig is the file that names the store when nothing does.
const defaultConfig = "yserverd.yaml"

// docCommands work on the documents of a store, beside the server or without it.
type docCommands struct {
	List   listCommand   `cmd:"" help:"List documents."`
	Get    getCommand    `cmd:"" help:"Print a document: as an update, or rendered."`
	Put    putCommand    `cmd:"" help:"Store an update of format V1 as a document's content."`
	Rm     rmCommand     `cmd:"" help:"Delete a document, which leaves a tombstone, or remove it altogether."`
	Export exportCommand `cmd:"" help:"Write documents into a folder or a tar file, with a manifest."`
	Import importCommand `cmd:"" help:"Store what export wrote, or plain updates."`
}

// storeFlags name a store.
type storeFlags struct {
	Config string `short:"c" xor:"store" placeholder:"FILE" help:"Configuration file that names the store; yserverd.yaml if nothing else does."`
	Data   string `xor:"store" placeholder:"DIR" help:"Data folder of an embedded store."`
	Store  string `xor:"store" env:"YSERVERD_DOC_STORE" placeholder:"URL" help:"URL of a Postgres store."`
}

// config returns the configuration of the store, which has rooms only if it comes from a file.
func (f *storeFlags) config(m *Main) (*config.Config, error) {
	cfg := config.Default()
	switch {
	case f.Data != "":
		cfg.DataDir = f.Data
		return cfg, nil
	case f.Store != "":
		if wrong := config.CheckStoreURL(f.Store); wrong != "" {
			return nil, &exitError{exitUsage, fmt.Errorf("--store: %s", wrong)}
		}
		cfg.Store.URL = f.Store
		return cfg, nil
	case f.Config == "":
		if _, err := os.Stat(defaultConfig); err != nil {
			return nil, &exitError{exitUsage, fmt.Errorf("which store? -c %s, --data DIR or --store URL", defaultConfig)}
		}
		f.Config = defaultConfig
	}
	return config.Load(f.Config, config.Options{Environ: m.Environ, PartyName: yserver.KebabCase})
}

// open opens the store. Unless it may be made, it has to exist.
func (f *storeFlags) open(ctx context.Context, m *Main, mayMake bool) (*opened, *config.Config, error) {
	cfg, err := f.config(m)
	if err != nil {
		return nil, nil, err
	}
	if cfg.Store.URL == "" && !mayMake {
		if err := existingStore(cfg.DataDir); err != nil {
			return nil, nil, err
		}
	}
	o, err := openStore(ctx, cfg, slog.New(slog.DiscardHandler))
	var locked *lockedError
	if errors.As(err, &locked) {
		err = fmt.Errorf("the data folder %s is held open by a running yserverd; end it first, or work on a copy: "+
			"yserverd backup copies the store of a running server", locked.dir)
	}
	return o, cfg, err
}

// withStore opens the store, runs fn and closes the store. What fn returns calls for exit code 1.
func (f *storeFlags) withStore(ctx context.Context, m *Main, mayMake bool, fn func(keeper, *config.Config) error) (err error) {
	o, cfg, err := f.open(ctx, m, mayMake)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := o.Close(); err == nil && closeErr != nil {
			err = &exitError{exitFailed, closeErr}
		}
	}()
	if err := fn(o.store, cfg); err != nil {
		var exit *exitError
		if errors.As(err, &exit) {
			return err
		}
		return &exitError{exitFailed, err}
	}
	return nil
}

// partiesOf returns the parties that were named, or those of documents that the configuration has.
func partiesOf(named []string, cfg *config.Config) ([]string, error) {
	if len(named) > 0 {
		return named, nil
	}
	var parties []string
	for _, room := range cfg.Rooms {
		if room.Type == config.TypeDocument {
			parties = append(parties, room.Party)
		}
	}
	if len(parties) == 0 {
		return nil, &exitError{exitUsage, errors.New("which party? --party NAME, once for each; a configuration file would tell")}
	}
	slices.Sort(parties)
	return parties, nil
}

// stored is the content of a document, as one update.
type stored struct {
	doc     persist.Document
	state   []byte
	clients []uint64 // of its state vector
}

// load returns the content of a document. Its error says what is wrong in words; persist.ErrNotFound is there is none.
func load(ctx context.Context, store keeper, key persist.Key) (*stored, error) {
	doc, err := store.Load(ctx, key)
	switch {
	case errors.Is(err, persist.ErrDeleted):
		return nil, fmt.Errorf("%s is deleted: %w", named(key), err)
	case err != nil:
		return nil, err
	case !doc.Exists:
		return nil, fmt.Errorf("%s: %w", named(key), persist.ErrNotFound)
	}
	d := ydoc.New(ydoc.Config{})
	rows := [][]byte{doc.Snapshot.Data}
	for _, row := range doc.Tail {
		rows = append(rows, row.Data)
	}
	for i, row := range rows {
		if row == nil {
			continue // there is no snapshot
		}
		if err := d.Restore(row); err != nil {
			return nil, fmt.Errorf("%s does not decode, in row %d behind its snapshot: %w", named(key), i, err)
		}
	}
	s := &stored{doc: doc, state: doc.Snapshot.Data}
	if len(doc.Tail) > 0 || s.state == nil {
		s.state = d.Full()
	}
	s.clients, err = clientsOf(d)
	return s, err
}

// clientsOf returns the client ids of a document's state vector.
func clientsOf(d *ydoc.Doc) ([]uint64, error) {
	entries, err := update.ParseStateVector(nil, d.StateVector(), update.Limits{})
	if err != nil {
		return nil, err
	}
	clients := make([]uint64, len(entries))
	for i, e := range entries {
		clients[i] = e.Client
	}
	return clients, nil
}

// checkUpdate refuses what is no update of format V1, or more than a document may be.
func checkUpdate(u []byte) error {
	if len(u) > len(update.Empty) && bytes.HasPrefix(u, update.Empty) {
		return errors.New("is an empty update of format V1 with more behind it: probably one of format V2 (Y.convertUpdateFormatV2ToV1)")
	}
	if err := update.Validate(u, update.Limits{}); err != nil {
		return fmt.Errorf("is no update of format V1 that Yjs would take: %w", err)
	}
	if err := ydoc.New(ydoc.Config{}).Restore(u); err != nil {
		return fmt.Errorf("is no update that a document can hold: %w", err)
	}
	return nil
}

// isStored reports whether a document is exactly this update.
func (s *stored) isStored(u []byte) bool { return bytes.Equal(s.state, u) }

// replace makes an update the content of a document that may exist, in a new epoch. Former is what it was, or nil.
func replace(ctx context.Context, store keeper, key persist.Key, former *stored, dead []uint64, u []byte) error {
	var epoch persist.Epoch
	if former != nil {
		epoch, dead = former.doc.Epoch, persist.MergeDead(dead, former.clients)
	}
	_, err := store.Replace(ctx, key, epoch, dead, u)
	if errors.Is(err, persist.ErrEpoch) {
		return fmt.Errorf("%s was changed by somebody else meanwhile: %w", named(key), err)
	}
	return err
}

// named is a document for people: party and room, quoted where they hold what does not show.
func named(key persist.Key) string { return shown(key.Party) + "/" + shown(key.Room) }

// shown quotes a name that holds more than what shows.
func shown(name string) string {
	if strings.IndexFunc(name, func(r rune) bool { return !strconv.IsGraphic(r) || r == '"' || r == 0xFFFD }) >= 0 {
		return strconv.Quote(name)
	}
	return name
}
