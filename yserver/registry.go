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
	max int

	mu      sync.Mutex
	entries map[roomID]*entry // guarded by mu
	closing bool              // guarded by mu; no new rooms
	loading sync.WaitGroup
}

// entry is a room, or one being loaded. Its holds are promises to join: while
// there are any the room does not retire.
type entry struct {
	id    roomID
	ready chan struct{} // closed once room or err is set
	room  *room
	err   error
	holds int // guarded by registry.mu
}

func newRegistry(maxRooms int) *registry {
	return &registry{max: maxRooms, entries: map[roomID]*entry{}}
}

// acquire returns the room with this id, loading it if need be: however many
// callers come at once, load runs once, on a context of its own, so that one
// caller who gives up does not fail the others. The caller must release.
func (g *registry) acquire(ctx context.Context, id roomID, load func(*entry) (*room, error)) (*entry, error) {
	e, err := g.hold(id, load)
	if err != nil {
		return nil, err
	}
	select {
	case <-e.ready:
		err = e.err
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		g.release(e)
		return nil, err
	}
	return e, nil
}

func (g *registry) hold(id roomID, load func(*entry) (*room, error)) (*entry, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closing {
		return nil, errDraining
	}
	e := g.entries[id]
	if e == nil {
		if len(g.entries) >= g.max {
			return nil, errTooManyRooms
		}
		e = &entry{id: id, ready: make(chan struct{})}
		g.entries[id] = e
		g.loading.Add(1)
		go g.load(e, load)
	}
	e.holds++
	return e, nil
}

func (g *registry) load(e *entry, load func(*entry) (*room, error)) {
	defer g.loading.Done()
	defer close(e.ready)
	defer func() {
		if v := recover(); v != nil {
			e.err = fmt.Errorf("panic while loading: %v", v)
		}
		if e.err != nil {
			g.remove(e)
		}
	}()
	e.room, e.err = load(e)
}

// release ends a hold.
func (g *registry) release(e *entry) {
	g.mu.Lock()
	e.holds--
	g.mu.Unlock()
}

// retire removes a room that wants to end, unless somebody is about to join.
func (g *registry) retire(e *entry) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if e.holds > 0 {
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

// find returns the live room with this id, nil when there is none.
func (g *registry) find(id roomID) *room {
	g.mu.Lock()
	e := g.entries[id]
	g.mu.Unlock()
	if e == nil {
		return nil
	}
	select {
	case <-e.ready:
		return e.room
	default:
		return nil
	}
}

// close lets no new room in and returns the live ones, after those that were
// loading have loaded.
func (g *registry) close() []*room {
	g.mu.Lock()
	g.closing = true
	g.mu.Unlock()
	g.loading.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	rooms := make([]*room, 0, len(g.entries))
	for _, e := range g.entries {
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
