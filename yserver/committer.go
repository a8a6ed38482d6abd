package yserver

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/yserverd/yserverd/persist"
)

// commit is the outcome of what one room had committed.
type commit struct {
	result persist.Result // of an append; of a change of a room's data, its error
	// unknown is set when the store could not tell: the rows may be there or
	// not, and the room has to look.
	unknown error
}

// err is why nothing is stored, or why that is not known.
func (c commit) err() error {
	if c.unknown != nil {
		return c.unknown
	}
	return c.result.Err
}

// committer is the one writer of one kind of thing, T, to a store. It gathers
// what rooms bring and commits it together, at a bounded rate: a commit costs an
// fsync whatever it holds, so fewer and larger ones are cheaper for everybody.
type committer[T any] struct {
	// Static after construction.
	write    func(ctx context.Context, batch []T) ([]persist.Result, error)
	size     func(T) int64
	ping     func(context.Context) error // tells whether the store can commit; nil: it cannot tell
	what     string                      // for the log
	interval time.Duration
	timeout  time.Duration
	log      *slog.Logger
	wake     chan struct{} // capacity 1
	quit     chan struct{}
	done     chan struct{}
	life     context.Context // of writes
	end      context.CancelFunc

	most int64 // bytes to commit together, or one thing that is larger; owned by run

	mu      sync.Mutex
	waiting []pending[T] // guarded by mu
	stopped bool         // guarded by mu
	failing time.Time    // guarded by mu; when the store began to fail, zero when it works
	writing time.Time    // guarded by mu; when the write that is under way began, zero without one
}

const (
	// slowWrite is how long a write may take until the store counts as failing:
	// a connection that is half open looks like that.
	slowWrite = 5 * time.Second
	// mostTogether and leastTogether bound how many bytes are committed together.
	// After an outage there may be much, and a call has its time: what is too much
	// for that is tried again in smaller parts.
	mostTogether  = 16 << 20
	leastTogether = 64 << 10
	// pingInterval is how often a store is asked that failed, and that nobody
	// brings anything since.
	pingInterval = time.Second
	// pingTimeout is short: what is brought meanwhile waits.
	pingTimeout = 2 * time.Second
)

// Pinger is what a store may have besides, to tell that it can commit again
// without being brought something to commit.
type Pinger interface {
	// Ping returns nil when the store can commit now.
	Ping(ctx context.Context) error
}

// pending is something to be committed and who waits for it, with a channel that
// has room for the answer: a room has at most one under way.
type pending[T any] struct {
	what   T
	answer chan<- commit
}

// newAppender is the committer of documents.
func newAppender(cfg Config) *committer[persist.Append] {
	size := func(a persist.Append) (n int64) {
		for _, u := range a.Updates {
			n += int64(len(u))
		}
		return n
	}
	return newCommitter(cfg, "edits", cfg.CommitInterval, cfg.Store.Append, size, cfg.Store)
}

// newChanger is the committer of the data of rooms. It hardly waits: who changes
// data waits for it, often once after the other.
func newChanger(cfg Config) *committer[persist.RoomChange] {
	size := func(c persist.RoomChange) (n int64) {
		for _, it := range c.Puts {
			n += int64(len(it.Value))
		}
		return n
	}
	return newCommitter(cfg, "room data", min(cfg.CommitInterval, changeInterval), func(ctx context.Context, batch []persist.RoomChange) ([]persist.Result, error) {
		results := make([]persist.Result, len(batch))
		return results, changeRooms(ctx, cfg.RoomStore, batch, results)
	}, size, cfg.RoomStore)
}

// changeRooms makes changes of many rooms together. The store refuses all of
// them for the sake of one that it can never take, as that of a quarantined room:
// the others must not pay for it, so that one is looked for. An error means that
// the outcome is unknown for all.
func changeRooms(ctx context.Context, store RoomStore, batch []persist.RoomChange, results []persist.Result) error {
	err := store.ChangeRooms(ctx, batch)
	switch {
	case err == nil:
		return nil
	case !errors.Is(err, persist.ErrInvalid) && !errors.Is(err, persist.ErrCorrupt):
		return err
	case len(batch) == 1:
		results[0].Err = err
		return nil
	}
	half := len(batch) / 2
	if err := changeRooms(ctx, store, batch[:half], results[:half]); err != nil {
		return err
	}
	return changeRooms(ctx, store, batch[half:], results[half:])
}

// changeInterval bounds how often the data of rooms is committed.
const changeInterval = 2 * time.Millisecond

func newCommitter[T any](cfg Config, what string, interval time.Duration, write func(context.Context, []T) ([]persist.Result, error), size func(T) int64, store any) *committer[T] {
	c := &committer[T]{
		write:    write,
		size:     size,
		most:     mostTogether,
		what:     what,
		interval: interval,
		timeout:  cfg.StoreTimeout,
		log:      cfg.Logger,
		wake:     make(chan struct{}, 1),
		quit:     make(chan struct{}),
		done:     make(chan struct{}),
	}
	if p, ok := store.(Pinger); ok {
		c.ping = p.Ping
	}
	c.life, c.end = context.WithCancel(context.Background())
	go c.run()
	return c
}

// submit hands something over. It must not be modified until the answer came.
func (c *committer[T]) submit(what T, answer chan<- commit) {
	c.mu.Lock()
	if c.stopped {
		c.mu.Unlock()
		answer <- commit{unknown: persist.ErrClosed}
		return
	}
	c.waiting = append(c.waiting, pending[T]{what, answer})
	c.mu.Unlock()
	c.signal()
}

// failingSince returns when the store began to fail, zero while it works.
func (c *committer[T]) failingSince() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failing.IsZero() && !c.writing.IsZero() && time.Since(c.writing) >= slowWrite {
		return c.writing
	}
	return c.failing
}

// stop ends the committer; a write that is under way may end before, unless ctx
// does. The rooms must have ended: what still waits is answered with ErrClosed.
func (c *committer[T]) stop(ctx context.Context) {
	close(c.quit)
	select {
	case <-c.done:
	case <-ctx.Done():
	}
	c.end()
	<-c.done
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	for _, p := range c.waiting {
		p.answer <- commit{unknown: persist.ErrClosed}
	}
	c.waiting = nil
}

func (c *committer[T]) run() {
	defer close(c.done)
	var (
		batch []pending[T]
		whats []T
		last  time.Time
		pause = time.NewTimer(0)
	)
	defer pause.Stop()
	<-pause.C
	for {
		select {
		case <-c.wake:
		case <-c.nextPing():
			c.note(c.within(pingTimeout, c.ping))
			continue
		case <-c.quit:
			return
		}
		if wait := c.interval - time.Since(last); wait > 0 {
			pause.Reset(wait)
			<-pause.C
		}
		last = time.Now()
		batch = c.take(batch[:0])
		whats = whats[:0]
		for _, p := range batch {
			whats = append(whats, p.what)
		}
		c.commit(batch, whats)
		clear(batch)
		clear(whats)
	}
}

// take moves what waits into batch, as much as may be committed together. What
// is left is taken next.
func (c *committer[T]) take(batch []pending[T]) []pending[T] {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, bytes := 0, int64(0)
	for ; n < len(c.waiting); n++ {
		bytes += c.size(c.waiting[n].what)
		if n > 0 && bytes > c.most {
			break
		}
	}
	batch = append(batch, c.waiting[:n]...)
	c.waiting = slices.Delete(c.waiting, 0, n)
	if len(c.waiting) > 0 {
		c.signal()
	}
	return batch
}

// signal wakes the committer up, unless it is about to.
func (c *committer[T]) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *committer[T]) commit(batch []pending[T], whats []T) {
	if len(batch) == 0 {
		return
	}
	var results []persist.Result
	bytes := int64(0)
	for _, what := range whats {
		bytes += c.size(what)
	}
	err := c.within(storeTime(c.timeout, bytes), func(ctx context.Context) (err error) {
		results, err = c.write(ctx, whats)
		return err
	})
	c.note(err)
	if err != nil {
		c.most = max(c.most/2, leastTogether)
	} else {
		c.most = min(c.most*2, mostTogether)
	}
	for i, p := range batch {
		if err != nil {
			p.answer <- commit{unknown: err}
			continue
		}
		p.answer <- commit{result: results[i]}
	}
}

// storeTime is how long a call of the store may take that brings so many bytes: a
// slow line takes its time for many, and a call that never fits would be tried
// for ever.
func storeTime(timeout time.Duration, bytes int64) time.Duration {
	const once = 8 << 20 // bytes that every call may bring in the plain time
	return timeout * time.Duration(1+bytes/once)
}

// within gives a call of the store its time.
func (c *committer[T]) within(timeout time.Duration, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(c.life, timeout)
	defer cancel()
	c.mu.Lock()
	c.writing = time.Now()
	c.mu.Unlock()
	return call(ctx)
}

// nextPing fires when a store that failed is to be asked whether it works: nil
// while it does.
func (c *committer[T]) nextPing() <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ping == nil || c.failing.IsZero() {
		return nil
	}
	return time.After(pingInterval)
}

// note takes the outcome of a call. It keeps track of whether the store works,
// and logs the changes.
func (c *committer[T]) note(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	began := c.writing
	c.writing = time.Time{}
	switch {
	case err != nil && c.failing.IsZero():
		c.failing = began
		c.log.Error("store does not commit; what rooms have is kept in memory and retried", "what", c.what, "err", err)
	case err == nil && !c.failing.IsZero():
		c.log.Info("store commits again", "what", c.what, "after", time.Since(c.failing).Round(time.Millisecond))
		c.failing = time.Time{}
	}
}
