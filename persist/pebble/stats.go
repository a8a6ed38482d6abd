package pebble

import (
	"sync/atomic"
	"time"
)

// counters count since the store was opened.
type counters struct {
	appended, appendedBytes         atomic.Uint64
	refused                         atomic.Uint64
	commits, commitNanos            atomic.Uint64
	loads, compactions, corruptions atomic.Uint64
	backgroundErrors, slowOps       atomic.Uint64
	writeStalls                     atomic.Uint64
}

// Stats is what a Store reports about itself. Counters run from Open on.
type Stats struct {
	Appended      uint64 // updates acknowledged
	AppendedBytes uint64 // of those updates
	Refused       uint64 // documents that an Append refused: conflicts, epochs, tombstones
	Loads         uint64 // documents loaded
	Compactions   uint64 // snapshots switched to
	Corruptions   uint64 // documents found damaged

	Commits     uint64        // batches that reached their end
	CommitTime  time.Duration // of those, from the check to the disk, summed
	InFlight    int           // batches between check and disk now
	Quarantined int           // documents out of service now
	Heads       int           // heads remembered now

	Err              error  // why writes are refused now; nil: they are not
	Stalls           uint64 // how often the disk refused writes
	SlowOps          uint64 // disk operations that took over Options.SlowDisk
	WriteStalls      uint64 // how often the engine made writes wait
	BackgroundErrors uint64 // flushes and compactions of the engine that failed

	DiskBytes      uint64 // in the directory, all together
	LogBytes       uint64 // of the write-ahead log
	MemTableBytes  uint64 // memory for what is not in tables yet
	CacheBytes     int64  // memory of the block cache
	CompactionDebt uint64 // bytes the engine has yet to rewrite
	ReadAmp        int    // tables a read may have to look at
}

// Stats returns counters and gauges. It takes the engine's lock for a moment:
// for metrics, not for every request.
func (s *Store) Stats() Stats {
	if err := s.enter(); err != nil {
		return Stats{Err: err}
	}
	defer s.leave()
	m := s.db.Metrics()
	return Stats{
		Appended:      s.counters.appended.Load(),
		AppendedBytes: s.counters.appendedBytes.Load(),
		Refused:       s.counters.refused.Load(),
		Loads:         s.counters.loads.Load(),
		Compactions:   s.counters.compactions.Load(),
		Corruptions:   s.counters.corruptions.Load(),

		Commits:     s.counters.commits.Load(),
		CommitTime:  time.Duration(s.counters.commitNanos.Load()),
		InFlight:    len(s.places),
		Quarantined: s.quarantined.len(),
		Heads:       s.heads.len(),

		Err:              s.health.err(),
		Stalls:           s.health.count(),
		SlowOps:          s.counters.slowOps.Load(),
		WriteStalls:      s.counters.writeStalls.Load(),
		BackgroundErrors: s.counters.backgroundErrors.Load(),

		DiskBytes:      m.DiskSpaceUsage(),
		LogBytes:       m.WAL.Size,
		MemTableBytes:  m.MemTable.Size,
		CacheBytes:     m.BlockCache.Size,
		CompactionDebt: m.Compact.EstimatedDebt,
		ReadAmp:        m.ReadAmp(),
	}
}
