package changes

import (
	"sync"
	"sync/atomic"
	"time"
)

// Stats is how a stream fares.
type Stats struct {
	// Streaming says that there is a connection with a slot.
	Streaming bool
	// Received is up to where the server's log has arrived, what is of no interest included, and ServerEnd where it ended
	// when we last looked, every Config.Verify.
	Received, ServerEnd LSN
	// LagBytes is the log between the two, the figure to watch.
	LagBytes uint64
	// Delay is the time from the last transaction's commit, by the server's clock, to its arrival, by ours.
	Delay time.Duration
	// Pending and PendingBytes are the events that wait for Next.
	Pending, PendingBytes int

	Transactions uint64 // that arrived with changes of the tables
	Changes      uint64
	Reconnects   uint64 // sessions after the first
	Gaps         uint64
	Dropped      uint64 // events that became part of a gap since nobody took them

	// Err is why there is no connection, nil while Streaming.
	Err error
	// Problems are those that the last session began with.
	Problems []Problem
}

// counters are what Stats is made of.
type counters struct {
	streaming           atomic.Bool
	received, serverEnd atomic.Uint64
	delay               atomic.Int64
	transactions        atomic.Uint64
	changes             atomic.Uint64
	sessions            atomic.Uint64

	mu       sync.Mutex
	err      error
	problems []Problem
}

// restart begins with another session, whose server may be another one.
func (c *counters) restart(from LSN) {
	c.received.Store(uint64(from))
	c.serverEnd.Store(uint64(from))
}

// sawEnd notes where the server's log ended at least.
func (c *counters) sawEnd(end LSN) {
	for {
		old := c.serverEnd.Load()
		if uint64(end) <= old || c.serverEnd.CompareAndSwap(old, uint64(end)) {
			return
		}
	}
}

func (c *counters) event(e *Event) {
	if e.Gap != nil {
		return
	}
	c.transactions.Add(1)
	c.changes.Add(uint64(len(e.Changes)))
	c.delay.Store(int64(max(time.Since(e.Committed), 1)))
}

func (c *counters) lost(err error) {
	c.streaming.Store(false)
	c.failed(err)
}

func (c *counters) failed(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
}

func (c *counters) begun(problems []Problem) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err, c.problems = nil, problems
	c.sessions.Add(1)
	c.streaming.Store(true)
}

// Stats returns how the stream fares.
func (s *Stream) Stats() Stats {
	c := &s.stats
	stats := Stats{
		Streaming: c.streaming.Load(), Received: LSN(c.received.Load()), ServerEnd: LSN(c.serverEnd.Load()),
		Delay: time.Duration(c.delay.Load()), Transactions: c.transactions.Load(), Changes: c.changes.Load(),
		Reconnects: c.sessions.Load() - 1,
	}
	if stats.ServerEnd > stats.Received {
		stats.LagBytes = uint64(stats.ServerEnd - stats.Received)
	}
	c.mu.Lock()
	stats.Err, stats.Problems = c.err, c.problems
	c.mu.Unlock()
	s.queue.mu.Lock()
	stats.Pending, stats.PendingBytes = len(s.queue.events), s.queue.size
	stats.Gaps, stats.Dropped = s.queue.gaps, s.queue.dropped
	s.queue.mu.Unlock()
	return stats
}
