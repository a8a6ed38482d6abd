package identity

import (
	"container/heap"
	"context"
	"errors"
	"sync"
	"time"
)

// maxBurned bounds the ids of a MemoryBurner unless it is told otherwise.
const maxBurned = 1 << 18

// ErrBurnerFull is what a MemoryBurner returns when it has no room for another id.
var ErrBurnerFull = errors.New("too many tickets are remembered")

// MemoryBurner is a Burner for one server: a restart forgets what it knew, and tickets live shorter than restarts take.
// It forgets ids whose time is over, and takes none beyond its bound until then.
type MemoryBurner struct {
	clock func() time.Time
	most  int

	mu    sync.Mutex
	known map[string]struct{}
	queue burnQueue
}

// NewMemoryBurner makes a burner of at most so many ids. Zero means 262,144; a nil clock means time.Now.
func NewMemoryBurner(most int, clock func() time.Time) *MemoryBurner {
	if most <= 0 {
		most = maxBurned
	}
	if clock == nil {
		clock = time.Now
	}
	return &MemoryBurner{clock: clock, most: most, known: make(map[string]struct{})}
}

// Burn implements Burner. Its only error is ErrBurnerFull.
func (b *MemoryBurner) Burn(_ context.Context, id string, until time.Time) (first bool, err error) {
	now := b.clock()
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.queue) > 0 && !now.Before(b.queue[0].until) {
		delete(b.known, heap.Pop(&b.queue).(burned).id)
	}
	if _, ok := b.known[id]; ok {
		return false, nil
	}
	if len(b.queue) >= b.most {
		return false, ErrBurnerFull
	}
	b.known[id] = struct{}{}
	heap.Push(&b.queue, burned{id, until})
	return true, nil
}

// burned is an id and when it may be forgotten.
type burned struct {
	id    string
	until time.Time
}

// burnQueue has the id first that may be forgotten first.
type burnQueue []burned

func (q burnQueue) Len() int           { return len(q) }
func (q burnQueue) Less(i, j int) bool { return q[i].until.Before(q[j].until) }
func (q burnQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }

// Push and Pop are for container/heap.
func (q *burnQueue) Push(x any) { *q = append(*q, x.(burned)) }

// Pop returns the last.
func (q *burnQueue) Pop() any {
	last := len(*q) - 1
	x := (*q)[last]
	(*q)[last] = burned{}
	*q = (*q)[:last]
	return x
}
