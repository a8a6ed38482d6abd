package pebble

import (
	"sync"
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
	roomChanges                     atomic.Uint64
	replacements, purges, swept     atomic.Uint64
}

// Stats is what a Store reports about itself. Counters run from Open on.
type Stats struct {
	Appended      uint64 // updates acknowledged
	AppendedBytes uint64 // of those updates
	Refused       uint64 // documents that an Append refused: conflicts, epochs, tombstones
	Loads         uint64 // documents loaded
	Compactions   uint64 // snapshots switched to
	Replacements  uint64 // epochs begun by Replace
	Purges        uint64 // keys of which everything was removed
	SweptObjects  uint64 // objects removed by Sweep
	Corruptions   uint64 // documents, and rooms' data, found damaged
	RoomChanges   uint64 // changes of rooms acknowledged

	Commits     uint64        // batches that reached their end
	CommitTime  time.Duration // of those, from the check to the disk, summed
	InFlight    int           // batches between check and disk now
	Quarantined int           // documents out of service now
	Heads       int           // heads remembered now

	QuarantinedRooms int // rooms whose data is out of service now

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

// gauges are the engine's figures. Asking for them takes locks that the engine
// holds while it writes its manifest, however long that takes, so they are asked
// for on a goroutine of their own, one at a time.
type gauges struct {
	mu      sync.Mutex
	last    engineGauges
	pending chan struct{} // closed when the question under way is answered; nil: none is
}

// engineGauges is what Stats keeps of engine.Metrics.
type engineGauges struct {
	disk, log, memTable, debt uint64
	cache                     int64
	readAmp                   int
}

// maxGaugeWait is how long Stats waits for fresh gauges; older ones will do.
const maxGaugeWait = 100 * time.Millisecond

// engineGauges returns the gauges of now, or the last ones known if the engine
// does not answer soon.
func (s *Store) engineGauges() engineGauges {
	g := &s.gauges
	g.mu.Lock()
	if g.pending == nil && s.health.err() == nil {
		answered := make(chan struct{})
		g.pending = answered
		s.background.Go(func() {
			m := s.db.Metrics()
			g.mu.Lock()
			defer g.mu.Unlock()
			g.last = engineGauges{
				disk: m.DiskSpaceUsage(), log: m.WAL.Size, memTable: m.MemTable.Size, debt: m.Compact.EstimatedDebt,
				cache: m.BlockCache.Size, readAmp: m.ReadAmp(),
			}
			g.pending = nil
			close(answered)
		})
	}
	pending := g.pending
	g.mu.Unlock()
	if pending != nil && s.health.err() == nil {
		inTime(pending, maxGaugeWait)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.last
}

// Stats returns counters and gauges. The engine's gauges are some time old while
// the disk keeps the engine waiting; everything else is of now.
func (s *Store) Stats() Stats {
	if err := s.enter(); err != nil {
		return Stats{Err: err}
	}
	defer s.leave()
	g := s.engineGauges()
	return Stats{
		Appended:      s.counters.appended.Load(),
		AppendedBytes: s.counters.appendedBytes.Load(),
		Refused:       s.counters.refused.Load(),
		Loads:         s.counters.loads.Load(),
		Compactions:   s.counters.compactions.Load(),
		Replacements:  s.counters.replacements.Load(),
		Purges:        s.counters.purges.Load(),
		SweptObjects:  s.counters.swept.Load(),
		Corruptions:   s.counters.corruptions.Load(),
		RoomChanges:   s.counters.roomChanges.Load(),

		Commits:     s.counters.commits.Load(),
		CommitTime:  time.Duration(s.counters.commitNanos.Load()),
		InFlight:    len(s.places),
		Quarantined: s.quarantined.len(),
		Heads:       s.heads.len(),

		QuarantinedRooms: s.quarantinedRooms.len(),

		Err:              s.health.err(),
		Stalls:           s.health.count(),
		SlowOps:          s.counters.slowOps.Load(),
		WriteStalls:      s.counters.writeStalls.Load(),
		BackgroundErrors: s.counters.backgroundErrors.Load(),

		DiskBytes:      g.disk,
		LogBytes:       g.log,
		MemTableBytes:  g.memTable,
		CacheBytes:     g.cache,
		CompactionDebt: g.debt,
		ReadAmp:        g.readAmp,
	}
}
