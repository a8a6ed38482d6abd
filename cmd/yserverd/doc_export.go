package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/yserverd/yserverd/cmd/yserverd/internal/config"
	"github.com/yserverd/yserverd/persist"
)

const (
	exportBatch      = 256      // documents that are in memory at once,
	exportBatchBytes = 64 << 20 // unless they are large
	storeCalls       = 16       // calls of the store at once: they share commits and round trips
	progressInterval = 2 * time.Second
)

// exportCommand writes documents into a bundle.
type exportCommand struct {
	storeFlags
	Target string   `arg:"" help:"Folder, which must not exist or be empty; a file that ends in .tar; or - for a tar file on standard output."`
	Party  []string `placeholder:"NAME" help:"Party to export, once for each; those of the configuration file if there is one."`
	Prefix string   `help:"Only rooms that begin with this."`
}

// Run writes them. A document that cannot be read is told and left out, and the exit code is 1 then.
func (c *exportCommand) Run(ctx context.Context, m *Main) error {
	return c.withStore(ctx, m, false, func(store keeper, cfg *config.Config) error {
		parties, err := partiesOf(c.Party, cfg)
		if err != nil {
			return err
		}
		out, err := c.writer(m.Stdout)
		if err != nil {
			return err
		}
		e := &exporting{store: store, out: out, progress: newProgress(m.Stderr, "exported"), report: m.Stderr}
		for _, party := range parties {
			if err = e.party(ctx, party, c.Prefix); err != nil {
				break
			}
		}
		if err == nil {
			err = e.flush(ctx)
		}
		if err = errors.Join(err, out.close(err == nil)); err != nil {
			return err
		}
		rest := ""
		if e.deleted > 0 {
			rest = fmt.Sprintf(", %s left out", count(e.deleted, "deleted document"))
		}
		e.progress.end(rest)
		if e.failed > 0 {
			return fmt.Errorf("%s could not be read and %s not in the export", count(e.failed, "document"), isAre(e.failed))
		}
		return nil
	})
}

// writer opens the target.
func (c *exportCommand) writer(stdout io.Writer) (bundleWriter, error) {
	if c.Target == "-" || strings.HasSuffix(c.Target, ".tar") {
		return newTarWriter(c.Target, stdout)
	}
	return newFolderWriter(c.Target)
}

// isAre is the verb for a count.
func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// exporting is an export under way.
type exporting struct {
	store    keeper
	out      bundleWriter
	progress *progress
	report   io.Writer

	infos           []persist.Info // of the next batch
	bytes           int64
	deleted, failed int
}

// party exports one party.
func (e *exporting) party(ctx context.Context, party, prefix string) error {
	list := listCommand{Prefix: prefix}
	_, err := list.list(ctx, e.store, party, func(i *persist.Info) error {
		if !i.Deleted.IsZero() {
			e.deleted++
			return nil
		}
		e.infos, e.bytes = append(e.infos, *i), e.bytes+i.SnapshotBytes+i.LogBytes
		if len(e.infos) >= exportBatch || e.bytes >= exportBatchBytes {
			return e.flush(ctx)
		}
		return nil
	})
	return err
}

// flush loads the documents of a batch and writes them.
func (e *exporting) flush(ctx context.Context) error {
	loaded, failures := make([]*stored, len(e.infos)), make([]error, len(e.infos))
	var group errgroup.Group
	group.SetLimit(storeCalls)
	for i := range e.infos {
		group.Go(func() error {
			loaded[i], failures[i] = load(ctx, e.store, e.infos[i].Key)
			return nil
		})
	}
	_ = group.Wait() // failures are those of documents
	var b batch
	for i := range e.infos {
		switch err := failures[i]; {
		case err == nil:
			b.add(&e.infos[i], loaded[i])
		case errors.Is(err, persist.ErrDeleted), errors.Is(err, persist.ErrNotFound): // since it was listed
			e.deleted++
		case errors.Is(err, persist.ErrUnavailable), ctx.Err() != nil:
			return err
		default:
			e.failed++
			_, _ = fmt.Fprintf(e.report, "left out: %v\n", err)
		}
	}
	e.infos, e.bytes = e.infos[:0], 0
	if len(b.items) == 0 {
		return nil
	}
	if err := e.out.write(&b); err != nil {
		return err
	}
	e.progress.add(len(b.items), b.bytes)
	return nil
}

// add puts a document into a batch.
func (b *batch) add(info *persist.Info, s *stored) {
	sum := sha256.Sum256(s.state)
	b.items = append(b.items, item{
		name: nameOf(info.Key), Epoch: s.doc.Epoch, Seq: s.doc.Seq, File: fileName(info.Key), SHA256: hex.EncodeToString(sum[:]),
		Bytes: int64(len(s.state)), Created: timeText(info.Created), Updated: timeText(info.Updated), Dead: s.doc.Dead,
	})
	b.updates, b.bytes = append(b.updates, s.state), b.bytes+int64(len(s.state))
}

// progress tells how far something is.
type progress struct {
	out       io.Writer
	verb      string
	told      time.Time
	documents int
	bytes     int64
}

func newProgress(out io.Writer, verb string) *progress {
	return &progress{out: out, verb: verb, told: time.Now()}
}

// add counts, and says so now and then.
func (p *progress) add(documents int, bytes int64) {
	p.documents, p.bytes = p.documents+documents, p.bytes+bytes
	if time.Since(p.told) >= progressInterval {
		p.told = time.Now()
		_, _ = fmt.Fprintf(p.out, "%s so far\n", p)
	}
}

// end says what it came to.
func (p *progress) end(rest string) { _, _ = fmt.Fprintf(p.out, "%s%s\n", p, rest) }

// String is "exported 12 documents, 3.4 MiB".
func (p *progress) String() string {
	return fmt.Sprintf("%s %s, %.1f MiB", p.verb, count(p.documents, "document"), float64(p.bytes)/(1<<20))
}
