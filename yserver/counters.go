package yserver

import "sync/atomic"

// counters are the server's; rooms and sockets add to them.
type counters struct {
	documentBytes   atomic.Int64
	pendingBytes    atomic.Int64
	pendingUpdates  atomic.Int64 // of documents
	loads           atomic.Int64
	loadFailures    atomic.Int64
	folds           atomic.Int64
	foldFailures    atomic.Int64
	badFrames       atomic.Int64
	overLimit       atomic.Int64
	refusedWrites   atomic.Int64
	roomPanics      atomic.Int64
	hookPanics      atomic.Int64
	hookErrors      atomic.Int64
	hooksStuck      atomic.Int64
	saveFailures    atomic.Int64
	hibernations    atomic.Int64
	staleCopies     atomic.Int64
	versions        atomic.Int64
	versionErrors   atomic.Int64
	swept           atomic.Int64
	sweepErrors     atomic.Int64
	dismissed       atomic.Int64
	refreshes       atomic.Int64
	refreshFailures atomic.Int64
	recheckErrors   atomic.Int64
	hidden          atomic.Int64
	upgradesRefused atomic.Int64
	closes          atomic.Int64
	uncleanCloses   atomic.Int64
}

func (c *counters) closed(info closeInfo) {
	c.closes.Add(1)
	if !info.clean {
		c.uncleanCloses.Add(1)
	}
}

// Stats are the figures of a server at a moment. Counts are since it started.
type Stats struct {
	Connections     int   // open now
	Rooms           int   // in memory now
	DocumentBytes   int64 // encoded documents in memory now
	PendingBytes    int64 // accepted and not yet stored
	Loads           int64 // rooms loaded
	LoadFailures    int64
	Folds           int64 // logs folded into snapshots
	FoldFailures    int64
	BadFrames       int64 // malformed frames dropped
	OverLimit       int64 // well-formed input that a limit refused
	RefusedWrites   int64 // writes of read-only connections
	RoomPanics      int64
	HookPanics      int64
	HookErrors      int64 // errors that hooks returned
	SaveFailures    int64 // tries of OnSave and of webhooks that failed
	HooksStuck      int64 // hooks that did not return, and cost their room
	Hibernations    int64 // rooms taken out of memory with their connections open
	StaleCopies     int64 // connections shut out for a copy of a former epoch
	Versions        int64 // automatic versions made
	VersionErrors   int64
	Swept           int64 // documents and objects that the sweep removed
	SweepErrors     int64
	Dismissed       int64 // connections closed because their access ended
	Refreshes       int64 // connections that brought a new token
	RefreshFailures int64 // tokens that were refused then
	RecheckErrors   int64 // times that a gate could not decide again
	Hidden          int64 // presence dropped of those who are to have none
	UpgradesRefused int64 // because of too many, or a client that comes back too fast
	Closes          int64 // connections that ended
	UncleanCloses   int64 // of these, without a closing handshake
	QueuedBytes     int64 // what waits to be written to peers now
	Conflations     int64 // slow peers whose queue was replaced by a diff
}

// Stats returns the server's figures. It asks every connection, so it is not for
// a hot path.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	connections := s.total
	s.mu.Unlock()
	c := &s.counters
	st := Stats{
		Connections:     connections,
		Rooms:           s.registry.len(),
		DocumentBytes:   c.documentBytes.Load(),
		PendingBytes:    c.pendingBytes.Load(),
		Loads:           c.loads.Load(),
		LoadFailures:    c.loadFailures.Load(),
		Folds:           c.folds.Load(),
		FoldFailures:    c.foldFailures.Load(),
		BadFrames:       c.badFrames.Load(),
		OverLimit:       c.overLimit.Load(),
		RefusedWrites:   c.refusedWrites.Load(),
		RoomPanics:      c.roomPanics.Load(),
		HookPanics:      c.hookPanics.Load(),
		HookErrors:      c.hookErrors.Load(),
		SaveFailures:    c.saveFailures.Load(),
		HooksStuck:      c.hooksStuck.Load(),
		Hibernations:    c.hibernations.Load(),
		StaleCopies:     c.staleCopies.Load(),
		Versions:        c.versions.Load(),
		VersionErrors:   c.versionErrors.Load(),
		Swept:           c.swept.Load(),
		SweepErrors:     c.sweepErrors.Load(),
		Dismissed:       c.dismissed.Load(),
		Refreshes:       c.refreshes.Load(),
		RefreshFailures: c.refreshFailures.Load(),
		RecheckErrors:   c.recheckErrors.Load(),
		Hidden:          c.hidden.Load(),
		UpgradesRefused: c.upgradesRefused.Load(),
		Closes:          c.closes.Load(),
		UncleanCloses:   c.uncleanCloses.Load(),
	}
	for _, p := range s.parties {
		st.Conflations += p.sockets.stats.conflations.Load()
		for _, peer := range p.sockets.all() {
			st.QueuedBytes += peer.queued()
		}
	}
	return st
}
