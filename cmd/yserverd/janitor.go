package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/yserverd/yserverd/cmd/yserverd/internal/config"
	"github.com/yserverd/yserverd/persist"
)

const (
	// sweepInterval is the time between two looks at what is due.
	sweepInterval = 10 * time.Minute
	// sweepTimeout bounds one call, which does a bounded amount of work.
	sweepTimeout = 5 * time.Minute
	// orphansAfter is how old an object has to be that nothing names, before it is dropped: longer than any call may take.
	orphansAfter = 24 * time.Hour
)

// sweeper is a store that drops what is due.
type sweeper interface {
	// Sweep drops what is due, and says whether there may be more. It may run beside everything else, and in several
	// processes.
	Sweep(ctx context.Context, o persist.SweepOptions) (persist.SweepStats, error)
}

// janitor lets a store drop what nobody can want back any more: documents that were deleted, objects that were
// superseded.
type janitor struct {
	store                     sweeper
	retention, keepSuperseded time.Duration
	log                       *slog.Logger
	now                       func() time.Time
}

// newJanitor returns the janitor of a store.
func newJanitor(cfg *config.Config, store sweeper, log *slog.Logger) *janitor {
	return &janitor{store: store, retention: cfg.Delete.Retention, keepSuperseded: cfg.Snapshots.KeepSuperseded, log: log, now: time.Now}
}

// run sweeps at each tick until ctx ends.
func (j *janitor) run(ctx context.Context, ticks <-chan time.Time) {
	for {
		select {
		case <-ticks:
			j.sweep(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// sweep drops all that is due now. What fails is due again at the next tick.
func (j *janitor) sweep(ctx context.Context) {
	now := j.now()
	due := persist.SweepOptions{
		TombstonesBefore: now.Add(-j.retention),
		SupersededBefore: now.Add(-j.keepSuperseded),
		OrphansBefore:    now.Add(-orphansAfter),
	}
	var all persist.SweepStats
	for more := true; more && ctx.Err() == nil; {
		call, cancel := context.WithTimeout(ctx, sweepTimeout)
		stats, err := j.store.Sweep(call, due)
		cancel()
		if err != nil {
			if ctx.Err() == nil {
				j.log.Warn("not everything that is due was dropped; it will be tried again", "err", err)
			}
			return
		}
		all.Purged, all.Superseded, all.Orphans = all.Purged+stats.Purged, all.Superseded+stats.Superseded, all.Orphans+stats.Orphans
		more = stats.More
	}
	if all != (persist.SweepStats{}) {
		j.log.Info("dropped what was due", "documents", all.Purged, "superseded", all.Superseded, "orphans", all.Orphans)
	}
}
