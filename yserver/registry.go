package yserver

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

var (
	errTooManyRooms = errors.New("too many rooms in memory")
	errDraining     = errors.New("server is shutting down")
)

// roomID names a room of the process.
type roomID struct{ party, room string }

// registry has the rooms of a process: at most one live room per id.
type registry struct {
	max    int
	loader loader

	mu      sync.Mutex
	entries map[roomID]*entry // guarded by mu
	closing bool              // guarded by mu; no new rooms
	loading sync.WaitGroup
}

// entry is a room, or one being loaded, or one that hibernates. Its holds are
// promises to join, or to do something there: while there are any the room does
// neither retire nor hibernate.
type entry struct {
	id    roomID
	party *party

	// Guarded by registry.mu.
	holds int
	fresh bool          // it is being loaded, and never was
	ready chan struct{} // closed once room or err is set
	sleep *dormant      // what hibernates; nil while there is a room

	// Read after ready by who holds the entry.
	room *room
	err  error
}

// loader makes the room of an entry; d is what it was when it hibernates.
type loader func(e *entry, d *dormant) (*room, error)

func newRegistry(maxRooms int, load loader) *registry {
	return &registry{max: maxRooms, loader: load, entries: map[roomID]*entry{}}
}

// acquire returns the room with this id, loading it if need be: however many
// callers come at once, it is loaded once, on a context of its own, so that one
// caller who gives up does not fail the others. The caller must release.
func (g *registry) acquire(ctx context.Context, p *party, id roomID) (*entry, error) {
	g.mu.Lock()
	e := g.entries[id]
	if e == nil {
		if g.closing || len(g.entries) >= g.max {
			defer g.mu.Unlock()
			if g.closing {
				return nil, errDraining
			}
			return nil, errTooManyRooms
		}
		e = &entry{id: id, party: p, fresh: true}
		g.entries[id] = e
		g.loadLocked(e)
	}
	return e, g.holdLocked(ctx, e)
}

// find is acquire for a room that is live or hibernates; errRoomEnded when there
// is none. One that is being loaded is none yet: its hooks may be asking.
func (g *registry) find(ctx context.Context, id roomID) (*entry, error) {
	g.mu.Lock()
	e := g.entries[id]
	if e == nil || e.fresh {
		g.mu.Unlock()
		return nil, errRoomEnded
	}
	return e, g.holdLocked(ctx, e)
}

// rejoin holds the room of a member, waking it up if it hibernates.
func (g *registry) rejoin(ctx context.Context, e *entry) error {
	g.mu.Lock()
	if g.entries[e.id] != e {
		g.mu.Unlock()
		return errRoomEnded
	}
	return g.holdLocked(ctx, e)
}

// holdLocked holds an entry until its room is there. It unlocks mu. With an
// error nothing is held.
func (g *registry) holdLocked(ctx context.Context, e *entry) error {
	if e.sleep != nil {
		if g.closing {
			g.mu.Unlock()
			return errDraining
		}
		g.loadLocked(e)
	}
	e.holds++
	ready := e.ready
	g.mu.Unlock()
	var err error
	select {
	case <-ready:
		err = e.err
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		g.release(e)
	}
	return err
}

// loadLocked starts to load the room of an entry, which is held meanwhile: the
// room runs before the entry has it, and whoever asked for it may have given up.
func (g *registry) loadLocked(e *entry) {
	d := e.sleep
	e.sleep, e.ready = nil, make(chan struct{})
	e.holds++
	g.loading.Add(1)
	go g.load(e, e.ready, d)
}

func (g *registry) load(e *entry, ready chan struct{}, d *dormant) {
	defer g.loading.Done()
	defer close(ready)
	defer g.loaded(e)
	defer func() {
		if v := recover(); v != nil {
			e.err = fmt.Errorf("panic while loading: %v", v)
		}
		if e.err == nil {
			return
		}
		g.remove(e)
		if d != nil {
			d.close(closeTryLater, "the room cannot be loaded now")
		}
	}()
	e.room, e.err = g.loader(e, d)
}

// loaded ends the hold of loading.
func (g *registry) loaded(e *entry) {
	g.mu.Lock()
	defer g.mu.Unlock()
	e.fresh = false
	e.holds--
}

// sleep replaces a room by what is left of it, unless somebody needs it. What a
// caller began who no longer waits for it, and no longer holds the entry, makes
// idle report false: without holds nobody begins anything.
func (g *registry) sleep(e *entry, d *dormant, idle func() bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if e.holds > 0 || g.closing || g.entries[e.id] != e || !idle() {
		return false
	}
	e.room, e.sleep = nil, d
	return true
}

// release ends a hold.
func (g *registry) release(e *entry) {
	g.mu.Lock()
	e.holds--
	g.mu.Unlock()
}

// retire removes a room that wants to end, unless somebody is about to join, or
// it is not idle: see sleep.
func (g *registry) retire(e *entry, idle func() bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if e.holds > 0 || !idle() {
		return false
	}
	g.removeLocked(e)
	return true
}

// remove takes a room out that failed to load or died.
func (g *registry) remove(e *entry) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.removeLocked(e)
}

func (g *registry) removeLocked(e *entry) {
	if g.entries[e.id] == e {
		delete(g.entries, e.id)
	}
}

// close lets no new room in and returns the live ones, after those that were
// loading have loaded. Those that hibernate are woken up by nothing any more:
// their connections are closed.
func (g *registry) close() []*room {
	g.mu.Lock()
	g.closing = true
	g.mu.Unlock()
	g.loading.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	rooms := make([]*room, 0, len(g.entries))
	for _, e := range g.entries {
		if e.sleep != nil {
			e.sleep.close(closeServiceRestart, "server is restarting")
			delete(g.entries, e.id)
			continue
		}
		rooms = append(rooms, e.room)
	}
	return rooms
}

// len returns how many rooms are in memory or being loaded.
func (g *registry) len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.entries)
}
