package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/yserverd/yserverd/cmd/yserverd/internal/config"
	"github.com/yserverd/yserverd/persist"
)

// listCommand lists documents.
type listCommand struct {
	storeFlags
	Party  []string `placeholder:"NAME" help:"Party to list, once for each; those of the configuration file if there is one."`
	Prefix string   `help:"Only rooms that begin with this."`
	Limit  int      `help:"At most so many, of one party; the last line then tells the cursor of the rest. 0: all."`
	Cursor string   `help:"Go on where a listing with a limit ended."`
	JSON   bool     `help:"One JSON object a line."`
}

// entry is a document in a listing.
type entry struct {
	name
	Epoch       uint64 `json:"epoch"`
	Seq         uint64 `json:"seq"`
	Bytes       int64  `json:"bytes"` // of snapshot and log
	Created     string `json:"created,omitempty"`
	Updated     string `json:"updated,omitempty"`
	Deleted     string `json:"deleted,omitempty"`
	Quarantined string `json:"quarantined,omitempty"`
}

// entryOf makes an entry of what a store says.
func entryOf(i *persist.Info) entry {
	return entry{
		name: nameOf(i.Key), Epoch: i.Epoch, Seq: i.Seq, Bytes: i.SnapshotBytes + i.LogBytes,
		Created: timeText(i.Created), Updated: timeText(i.Updated), Deleted: timeText(i.Deleted), Quarantined: i.Quarantined,
	}
}

// timeText is a time in a manifest or listing; empty for the zero time.
func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// Run prints the documents.
func (c *listCommand) Run(ctx context.Context, m *Main) error {
	return c.withStore(ctx, m, false, func(store keeper, cfg *config.Config) error {
		parties, err := partiesOf(c.Party, cfg)
		if err != nil {
			return err
		}
		if len(parties) > 1 && (c.Limit > 0 || c.Cursor != "") {
			return &exitError{exitUsage, errors.New("--limit and --cursor are for one party: --party NAME")}
		}
		table := tabwriter.NewWriter(m.Stdout, 0, 0, 2, ' ', 0)
		if !c.JSON {
			_, _ = fmt.Fprintln(table, "PARTY\tROOM\tEPOCH\tSEQ\tBYTES\tUPDATED\tSTATE")
		}
		write := func(i *persist.Info) error {
			if c.JSON {
				return json.NewEncoder(m.Stdout).Encode(entryOf(i))
			}
			e := entryOf(i)
			_, err := fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%s\t%s\n",
				shown(i.Key.Party), shown(i.Key.Room), e.Epoch, e.Seq, e.Bytes, e.Updated, state(i))
			return err
		}
		for _, party := range parties {
			next, err := c.list(ctx, store, party, write)
			if err != nil {
				return err
			}
			if err := table.Flush(); err != nil {
				return err
			}
			if next != "" {
				_, _ = fmt.Fprintf(m.Stderr, "more: --cursor %s\n", next)
			}
		}
		return nil
	})
}

// list goes through one party up to the limit. It returns the cursor of the rest, if there is one.
func (c *listCommand) list(ctx context.Context, store keeper, party string, fn func(*persist.Info) error) (string, error) {
	cursor, left := c.Cursor, c.Limit
	for {
		page, next, err := store.List(ctx, party, c.Prefix, cursor, min(max(left, 0), persist.MaxListLimit))
		if err != nil {
			return "", err
		}
		for i := range page {
			if err := fn(&page[i]); err != nil {
				return "", err
			}
		}
		left -= len(page)
		if cursor = next; next == "" || c.Limit > 0 && left <= 0 {
			return next, nil
		}
	}
}

// state says what is unusual about a document.
func state(i *persist.Info) string {
	switch {
	case i.Quarantined != "":
		return "quarantined: " + shown(i.Quarantined)
	case !i.Deleted.IsZero():
		return "deleted " + timeText(i.Deleted)
	}
	return ""
}
