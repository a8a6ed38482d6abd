package yserver

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// flapWindow and flapCloses: a client that the server closed more than so
	// often within this time is let in again when it is over.
	flapWindow = 10 * time.Second
	flapCloses = 5
	// flapKeys bounds the clients of one generation, of which there are two.
	flapKeys = 4096
)

// flapping knows the clients that come back as soon as the server has closed
// them: YProvider does, ten times a second, while a refused upgrade makes it
// wait. A client is an address with a room and a connection id of its own. It
// keeps those alone that the server closed lately, and of too many the last.
type flapping struct {
	seed  maphash.Seed
	begun time.Time
	some  atomic.Bool // there were any, ever

	mu     sync.Mutex
	turned time.Duration // guarded by mu; when recent began
	recent map[uint64]closes
	older  map[uint64]closes
}

// closes are the last closes of a client, the newest first, as times since the
// start.
type closes [flapCloses + 1]time.Duration

func newFlapping() *flapping {
	return &flapping{seed: maphash.MakeSeed(), begun: time.Now(), recent: map[uint64]closes{}}
}

// flapper is a client.
type flapper struct {
	addr string
	room roomID
	id   string
}

// closed notes that the server closed a client.
func (f *flapping) closed(c flapper) { f.closedAt(c, time.Since(f.begun)) }

func (f *flapping) closedAt(c flapper, now time.Duration) {
	key := maphash.Comparable(f.seed, c)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.some.Store(true)
	if now-f.turned >= flapWindow || len(f.recent) >= flapKeys {
		f.older, f.recent, f.turned = f.recent, map[uint64]closes{}, now
	}
	times := f.ofLocked(key)
	copy(times[1:], times[:flapCloses])
	times[0] = max(now, 1)
	f.recent[key] = times
}

// wait returns how long a client has to stay away; zero for one that does not
// flap.
func (f *flapping) wait(c flapper) time.Duration { return f.waitAt(c, time.Since(f.begun)) }

func (f *flapping) waitAt(c flapper, now time.Duration) time.Duration {
	if !f.some.Load() {
		return 0
	}
	key := maphash.Comparable(f.seed, c)
	f.mu.Lock()
	defer f.mu.Unlock()
	first := f.ofLocked(key)[flapCloses]
	if first == 0 {
		return 0
	}
	return max(first+flapWindow-now, 0)
}

func (f *flapping) ofLocked(key uint64) closes {
	if times, ok := f.recent[key]; ok {
		return times
	}
	return f.older[key]
}
