package yserver

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/yserverd/yserverd/persist"
)

const (
	// sweepSteps bounds what one sweep does; the next goes on.
	sweepSteps = 1000
	// orphanAge is how old an object is at least that no row names: longer than
	// any call may take to name it.
	orphanAge = 24 * time.Hour
)

// Sweep says when what is no longer needed leaves the archive for good. Zero
// means the default given; a negative time keeps for ever.
type Sweep struct {
	// Interval is the time between two sweeps, give or take a tenth. Zero means
	// 1 h, negative that this server does not sweep.
	Interval time.Duration
	// Retention is how long a deleted document can be undeleted. Zero means 720 h.
	Retention time.Duration
	// KeepSuperseded is how long objects stay that no document needs any more, so
	// that a backup of the store from before still finds them. Zero means 168 h.
	KeepSuperseded time.Duration
}

func (s Sweep) withDefaults() Sweep {
	setDefault(&s.Interval, time.Hour)
	setDefault(&s.Retention, 720*time.Hour)
	setDefault(&s.KeepSuperseded, 168*time.Hour)
	return s
}

func (s Sweep) options(now time.Time) persist.SweepOptions {
	before := func(keep time.Duration) (at time.Time) {
		if keep > 0 {
			at = now.Add(-keep)
		}
		return at
	}
	return persist.SweepOptions{
		TombstonesBefore: before(s.Retention),
		SupersededBefore: before(s.KeepSuperseded),
		OrphansBefore:    now.Add(-orphanAge),
	}
}

// sweeper sweeps the archive now and then.
type sweeper struct {
	archive  Archive
	cfg      Sweep
	timeout  time.Duration
	log      *slog.Logger
	counters *counters
	life     context.Context
	end      context.CancelFunc
	done     chan struct{}
}

func newSweeper(cfg Config, counters *counters) *sweeper {
	s := &sweeper{
		archive: cfg.Archive, cfg: cfg.Sweep, timeout: cfg.StoreTimeout,
		log: cfg.Logger, counters: counters, done: make(chan struct{}),
	}
	s.life, s.end = context.WithCancel(context.Background())
	return s
}

func (s *sweeper) start() { go s.run() }

// stop ends a sweep that is under way, and waits for that.
func (s *sweeper) stop() {
	s.end()
	<-s.done
}

// run sweeps; servers that started together do not do it at once.
func (s *sweeper) run() {
	defer close(s.done)
	timer := time.NewTimer(rand.N(s.cfg.Interval))
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-s.life.Done():
			return
		}
		s.sweep()
		timer.Reset(s.cfg.Interval*9/10 + rand.N(s.cfg.Interval/5+1))
	}
}

// sweep goes on while there is more.
func (s *sweeper) sweep() {
	var sum persist.SweepStats
	for range sweepSteps {
		did, err := s.step()
		sum.Purged += did.Purged
		sum.Superseded += did.Superseded
		sum.Orphans += did.Orphans
		s.counters.swept.Add(int64(did.Purged + did.Superseded + did.Orphans))
		if err != nil && s.life.Err() == nil {
			s.counters.sweepErrors.Add(1)
			s.log.Warn("sweep failed; it goes on later", "err", err)
		}
		if err != nil || !did.More || s.life.Err() != nil {
			break
		}
	}
	if sum != (persist.SweepStats{}) {
		s.log.Info("swept", "purged", sum.Purged, "superseded", sum.Superseded, "orphans", sum.Orphans)
	}
}

func (s *sweeper) step() (persist.SweepStats, error) {
	ctx, cancel := context.WithTimeout(s.life, s.timeout)
	defer cancel()
	return s.archive.Sweep(ctx, s.cfg.options(time.Now()))
}
