package changes

import (
	"cmp"
	"maps"
	"slices"
	"sync"
)

// gapSize is what a gap counts for in the queue, in bytes.
const gapSize = 256

// newGap returns the event of a gap.
func newGap(at LSN, why Reason, tables map[Table]bool) *Event {
	sorted := slices.SortedFunc(maps.Keys(tables), func(a, b Table) int {
		return cmp.Or(cmp.Compare(a.Schema, b.Schema), cmp.Compare(a.Name, b.Name))
	})
	return &Event{LSN: at, Gap: &Gap{Tables: sorted, Reason: why}, size: gapSize}
}

// collect adds the tables of an event.
func (e *Event) collect(tables map[Table]bool) {
	if e.Gap != nil {
		for _, t := range e.Gap.Tables {
			tables[t] = true
		}
	}
	for i := range e.Changes {
		tables[e.Changes[i].Table.Table] = true
	}
}

// queue has the events that wait for Next. Its writer never waits.
type queue struct {
	limit int
	ready chan struct{} // one slot; filled when there may be an event

	mu      sync.Mutex
	events  []*Event
	size    int
	dropped uint64 // events that became part of a gap
	gaps    uint64
}

func newQueue(limit int) *queue { return &queue{limit: limit, ready: make(chan struct{}, 1)} }

// put adds an event. Above the limit everything becomes one gap, and so do gaps that follow each other.
func (q *queue) put(e *Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch n := len(q.events); {
	case n > 0 && q.size+e.size > q.limit:
		q.dropped += uint64(n + 1)
		e = q.merge(e, 0, Behind)
	case n > 0 && e.Gap != nil && q.events[n-1].Gap != nil:
		q.gaps--
		e = q.merge(e, n-1, e.Gap.Reason)
	}
	if e.Gap != nil {
		q.gaps++
	}
	q.events = append(q.events, e)
	q.size += e.size
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// merge makes one gap of an event and those from an index on.
func (q *queue) merge(e *Event, from int, why Reason) *Event {
	tables := map[Table]bool{}
	e.collect(tables)
	for _, old := range q.events[from:] {
		old.collect(tables)
		q.size -= old.size
	}
	clear(q.events[from:])
	q.events = q.events[:from]
	return newGap(e.LSN, why, tables)
}

// get returns the next event, or nil.
func (q *queue) get() *Event {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.events) == 0 {
		return nil
	}
	e := q.events[0]
	q.events[0] = nil
	if q.events = q.events[1:]; len(q.events) == 0 {
		q.events = nil // the array goes with its last event
	}
	q.size -= e.size
	return e
}
