package postgres

import (
	"sync/atomic"
	"time"
)

// counters count since the store was opened.
type counters struct {
	appended, appendedBytes         atomic.Uint64
	refused                         atomic.Uint64
	loads, compactions, corruptions atomic.Uint64
	roomChanges                     atomic.Uint64
}

// Stats is what a Store reports about itself. Counters run from Open on.
type Stats struct {
	Appended      uint64 // updates acknowledged
	AppendedBytes uint64 // of those updates
	Refused       uint64 // documents that an Append refused: conflicts, epochs, tombstones
	Loads         uint64 // documents loaded
	Compactions   uint64 // snapshots switched to
	Corruptions   uint64 // documents, and rooms' data, found damaged
	RoomChanges   uint64 // changes of rooms acknowledged

	Err error // why the last call found that the database does not work; nil: it does

	Connections    int           // open now
	Idle           int           // of those
	MaxConnections int           // that there may be
	Waits          int64         // calls that had to wait for a connection
	WaitTime       time.Duration // that calls have waited, all together
}

// Stats returns the present figures. It asks the database nothing.
func (s *Store) Stats() Stats {
	pool := s.pool.Stat()
	return Stats{
		Appended:      s.counters.appended.Load(),
		AppendedBytes: s.counters.appendedBytes.Load(),
		Refused:       s.counters.refused.Load(),
		Loads:         s.counters.loads.Load(),
		Compactions:   s.counters.compactions.Load(),
		Corruptions:   s.counters.corruptions.Load(),
		RoomChanges:   s.counters.roomChanges.Load(),

		Err: s.trouble.now(),

		Connections:    int(pool.TotalConns()),
		Idle:           int(pool.IdleConns()),
		MaxConnections: int(pool.MaxConns()),
		Waits:          pool.EmptyAcquireCount(),
		WaitTime:       pool.EmptyAcquireWaitTime(),
	}
}
