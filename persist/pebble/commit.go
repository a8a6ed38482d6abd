package pebble

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	engine "github.com/cockroachdb/pebble/v2"

	"github.com/yserverd/yserverd/persist"
)

// A commit is one batch on its way to the disk: built by a caller that holds the
// write lock, applied by the committer in that order, and found durable by the
// syncer in that order too. Since callers only hold the lock while building and
// the two goroutines overlap, the batches of callers that come together share
// fsyncs.
type commit struct {
	batch  *engine.Batch
	ticket uint64 // numbers the durable commits; zero: applied, but not synced
	begun  time.Time
	done   chan error // has room for the outcome, so nobody need wait for it
}

var commits = sync.Pool{New: func() any { return &commit{done: make(chan error, 1)} }}

// begin takes a place in flight, which settle gives back, and the write lock.
// It is followed by end, or by queue.
func (s *Store) begin(ctx context.Context) error {
	// Checked apart, since select might prefer a free place.
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.health.err(); err != nil {
		return err
	}
	select {
	case s.places <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.health.trouble():
		return s.health.err()
	}
	select {
	case s.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		<-s.places
		return ctx.Err()
	}
}

// end releases what begin took, for a caller that has nothing to commit.
func (s *Store) end() {
	<-s.lock
	<-s.places
}

// queue hands the batch over and releases the write lock. Durable commits get
// the ticket that was drawn for them, others zero.
func (s *Store) queue(b *engine.Batch, ticket uint64) *commit {
	c := commits.Get().(*commit)
	c.batch, c.ticket, c.begun = b, ticket, time.Now()
	s.commitq <- c // never full: it is as long as there are places
	<-s.lock
	return c
}

// wait waits for a queued commit. After any error the outcome is unknown.
func (s *Store) wait(ctx context.Context, c *commit) error {
	select {
	case err := <-c.done:
		commits.Put(c)
		return err
	default:
	}
	select {
	case err := <-c.done:
		commits.Put(c)
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-s.health.trouble():
		return s.health.err()
	}
}

// commitLoop applies queued batches in order until the queue is closed.
func (s *Store) commitLoop() {
	defer s.loops.Done()
	defer close(s.syncq)
	for c := range s.commitq {
		switch err := s.apply(c); {
		case err != nil:
			s.settle(c, err)
		case c.ticket == 0 || s.opts.noSync:
			s.settle(c, nil)
		default:
			s.syncq <- c
		}
	}
}

// apply makes a batch visible and hands it to the engine's log.
func (s *Store) apply(c *commit) (err error) {
	if s.dead.Load() {
		return s.health.err()
	}
	s.applying.Store(true)
	defer s.applying.Store(false)
	defer func() {
		if r := recover(); r != nil {
			err = s.fail(fmt.Errorf("apply: %v", r))
		}
	}()
	if c.ticket == 0 || s.opts.noSync {
		err = s.db.Apply(c.batch, engine.NoSync)
	} else {
		err = s.db.ApplyNoSyncWait(c.batch, engine.Sync)
	}
	if err != nil {
		return s.fail(fmt.Errorf("apply: %w", err))
	}
	s.applied.advance(c.ticket)
	return nil
}

// syncLoop waits for the engine's log to reach the disk, in order. One fsync
// makes every batch durable that was applied before it began.
func (s *Store) syncLoop() {
	defer s.loops.Done()
	for c := range s.syncq {
		err := c.batch.SyncWait()
		if err != nil {
			err = s.fail(fmt.Errorf("sync: %w", err))
		}
		s.settle(c, err)
	}
}

// settle tells the outcome of a commit and gives its place back.
func (s *Store) settle(c *commit, err error) {
	if err == nil {
		_ = c.batch.Close() // fails only when closed twice
		s.durable.advance(c.ticket)
		s.counters.commits.Add(1)
		s.counters.commitNanos.Add(uint64(time.Since(c.begun)))
	}
	c.batch = nil
	c.done <- err
	<-s.places
}

// fail marks the store as beyond use and returns what calls get.
func (s *Store) fail(err error) error {
	s.dead.Store(true)
	s.health.fail(err)
	return s.health.err()
}

// watermark is the highest ticket that has come as far, with all below it.
type watermark struct {
	n    atomic.Uint64
	mu   sync.Mutex
	wake chan struct{} // closed at the next advance; nil: nobody waits
}

func (w *watermark) advance(n uint64) {
	if n == 0 {
		return
	}
	w.n.Store(n)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wake != nil {
		close(w.wake)
		w.wake = nil
	}
}

// reached returns nil when ticket is durable, otherwise a channel that is closed
// when asking again is worthwhile.
func (w *watermark) reached(ticket uint64) <-chan struct{} {
	if w.n.Load() >= ticket {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.n.Load() >= ticket {
		return nil
	}
	if w.wake == nil {
		w.wake = make(chan struct{})
	}
	return w.wake
}

// settled waits until the commits that wrote the document are durable.
func (s *Store) settled(ctx context.Context, k persist.Key) error {
	return s.await(ctx, &s.durable, s.heads.ticket(k))
}

// await waits until the watermark has reached the ticket.
func (s *Store) await(ctx context.Context, w *watermark, ticket uint64) error {
	for {
		wake := w.reached(ticket)
		if wake == nil {
			return nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.health.trouble():
			return s.health.err()
		}
	}
}
