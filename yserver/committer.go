package yserver

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/yserverd/yserverd/persist"
)

// commit is the outcome of one room's append.
type commit struct {
	result persist.Result
	// unknown is set when the store could not tell: the rows may be there or
	// not, and the room has to look.
	unknown error
}

// committer is the one writer of a store. It gathers what rooms append and
// commits it together, at a bounded rate: a commit costs an fsync whatever it
// holds, so fewer and larger ones are cheaper for everybody.
type committer struct {
	// Static after construction.
	store    Store
	interval time.Duration
	timeout  time.Duration
	log      *slog.Logger
	wake     chan struct{} // capacity 1
	quit     chan struct{}
	done     chan struct{}

	mu      sync.Mutex
	waiting []pendingAppend // guarded by mu
	failing time.Time       // guarded by mu; when the store began to fail, zero when it works
}

// pendingAppend is an append and the room that waits for it. A room has at most
// one under way, so that its channel of capacity 1 always takes the answer.
type pendingAppend struct {
	persist.Append
	answer chan<- commit
}

func newCommitter(cfg Config) *committer {
	c := &committer{
		store:    cfg.Store,
		interval: cfg.CommitInterval,
		timeout:  cfg.StoreTimeout,
		log:      cfg.Logger,
		wake:     make(chan struct{}, 1),
		quit:     make(chan struct{}),
		done:     make(chan struct{}),
	}
	go c.run()
	return c
}

// submit hands over rows. They must not be modified until the answer came.
func (c *committer) submit(a persist.Append, answer chan<- commit) {
	c.mu.Lock()
	c.waiting = append(c.waiting, pendingAppend{a, answer})
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// failingSince returns when the store began to fail, zero while it works.
func (c *committer) failingSince() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failing
}

// stop ends the committer after the appends that were submitted. The rooms must
// have ended before.
func (c *committer) stop() {
	close(c.quit)
	<-c.done
}

func (c *committer) run() {
	defer close(c.done)
	var (
		batch   []pendingAppend
		appends []persist.Append
		last    time.Time
		pause   = time.NewTimer(0)
	)
	defer pause.Stop()
	<-pause.C
	for {
		select {
		case <-c.wake:
		case <-c.quit:
			return
		}
		if wait := c.interval - time.Since(last); wait > 0 {
			pause.Reset(wait)
			<-pause.C
		}
		last = time.Now()
		batch = c.take(batch[:0])
		appends = appends[:0]
		for _, p := range batch {
			appends = append(appends, p.Append)
		}
		c.commit(batch, appends)
		clear(batch)
		clear(appends)
	}
}

// take moves what waits into batch.
func (c *committer) take(batch []pendingAppend) []pendingAppend {
	c.mu.Lock()
	defer c.mu.Unlock()
	batch = append(batch, c.waiting...)
	clear(c.waiting)
	c.waiting = c.waiting[:0]
	return batch
}

func (c *committer) commit(batch []pendingAppend, appends []persist.Append) {
	if len(batch) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	results, err := c.store.Append(ctx, appends)
	c.note(err)
	for i, p := range batch {
		if err != nil {
			p.answer <- commit{unknown: err}
			continue
		}
		p.answer <- commit{result: results[i]}
	}
}

// note keeps track of whether the store works, and logs the changes.
func (c *committer) note(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil && c.failing.IsZero():
		c.failing = time.Now()
		c.log.Error("store does not commit; edits are kept in memory and retried", "err", err)
	case err == nil && !c.failing.IsZero():
		c.log.Info("store commits again", "after", time.Since(c.failing).Round(time.Millisecond))
		c.failing = time.Time{}
	}
}
