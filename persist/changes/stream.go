package changes

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// ErrClosed is what Next returns once the stream is closed.
var ErrClosed = errors.New("stream of changes is closed")

// Pauses between tries to connect again.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = time.Second
)

// Stream reads changes until it is closed, over any number of connections. Close, Stats and Next may be called
// concurrently; events are for one goroutine at a time that calls Next.
type Stream struct {
	config Config
	queue  *queue
	stats  counters
	cancel context.CancelFunc
	done   chan struct{} // closed when the reader has ended
	once   sync.Once
}

// Open returns a stream that has its slot: what is committed from now on is in its events. It creates or completes the
// publication, unless Config.Unmanaged. The context is for opening alone. It fails with *ProblemError if the database is
// not ready, and with another error if it does not answer; it does not try again.
func Open(ctx context.Context, c Config) (*Stream, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	s := &Stream{config: c, queue: newQueue(c.MaxPending), done: make(chan struct{})}
	first, err := startSession(ctx, c, &s.stats, true)
	if err != nil {
		return nil, err
	}
	lifetime, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	s.begun(first)
	go s.run(lifetime, first)
	return s, nil
}

// Close ends the connection, and with it the slot. It waits for the reader; calling it again does nothing. Events that
// were not taken are gone.
func (s *Stream) Close() error {
	s.once.Do(s.cancel)
	<-s.done
	return nil
}

// Next returns the next event, and waits for one. It fails with the context's error, or with ErrClosed.
func (s *Stream) Next(ctx context.Context) (Event, error) {
	for {
		select {
		case <-s.done:
			return Event{}, ErrClosed
		default:
		}
		if e := s.queue.get(); e != nil {
			return *e, nil
		}
		select {
		case <-s.queue.ready:
		case <-s.done:
		case <-ctx.Done():
			return Event{}, ctx.Err()
		}
	}
}

// run has one session after the other.
func (s *Stream) run(ctx context.Context, current *session) {
	defer close(s.done)
	defer s.stats.streaming.Store(false)
	pause := firstPause
	for {
		started := time.Now()
		err := current.run(ctx, s.queue.put)
		if ctx.Err() != nil {
			return
		}
		s.stats.lost(err)
		s.config.Logger.Warn("changes of the database are not read", "error", err)
		if time.Since(started) > lastPause {
			pause = firstPause
		}
		if current, pause = s.reconnect(ctx, pause, err); current == nil {
			return
		}
		s.begun(current)
		tables := map[Table]bool{}
		for _, t := range s.config.Tables {
			tables[t] = true
		}
		s.queue.put(newGap(current.received, Reconnected, tables))
		s.config.Logger.Info("changes of the database are read again", "after", time.Since(started).Round(time.Millisecond))
	}
}

// reconnect tries until there is a session, or the context is done. A reason is logged when it is another than before.
func (s *Stream) reconnect(ctx context.Context, pause time.Duration, last error) (*session, time.Duration) {
	for {
		select {
		case <-time.After(pause/2 + rand.N(pause/2)):
		case <-ctx.Done():
			return nil, pause
		}
		pause = min(2*pause, lastPause)
		next, err := startSession(ctx, s.config, &s.stats, false)
		if err == nil {
			return next, pause
		}
		if ctx.Err() != nil {
			return nil, pause
		}
		s.stats.failed(err)
		if err.Error() != last.Error() {
			s.config.Logger.Warn("connect to the database's changes again", "error", err)
		}
		last = err
	}
}

// begun notes a session that streams.
func (s *Stream) begun(current *session) {
	s.stats.begun(current.problems)
	if len(current.problems) > 0 {
		texts := make([]string, len(current.problems))
		for i, p := range current.problems {
			texts[i] = p.String()
		}
		s.config.Logger.Warn("some changes of the database will be missing", "problems", strings.Join(texts, "; "))
	}
}
