package pebble

import (
	"context"
	"fmt"
)

// Ping reports whether a commit would be durable now: it waits for those in flight, or brings one that holds nothing and
// costs an fsync. It changes no document. Errors match those of Append: persist.ErrUnavailable while the disk
// refuses, and what ctx says where it does not answer.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.enter(); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	defer s.leave()
	if err := s.begin(ctx); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	if last := s.ticket; s.durable.n.Load() < last {
		s.end()
		if err := s.await(ctx, &s.durable, last); err != nil {
			return fmt.Errorf("ping: %w", err)
		}
		return nil
	}
	b := s.db.NewBatch()
	if err := b.LogData(nil, nil); err != nil { // a record of the engine's log alone, that replaying it skips
		s.end()
		return fmt.Errorf("ping: %w", err)
	}
	s.ticket++
	if err := s.wait(ctx, s.queue(b, s.ticket)); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	return nil
}
