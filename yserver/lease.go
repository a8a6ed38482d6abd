package yserver

import (
	"container/heap"
	"time"
)

// lease is when to look at a connection whose access ends.
type lease struct {
	m     *member     // nil: it is of sub
	sub   *subscriber // of the warden's connections: nil
	at    time.Time
	index int // in the heap; outside of it: -1
}

// departed is the lease of connections that have ended.
var departed = &lease{index: -1}

// leases are ordered by their times.
type leases []*lease

var _ heap.Interface = (*leases)(nil)

func (h leases) Len() int           { return len(h) }
func (h leases) Less(i, j int) bool { return h[i].at.Before(h[j].at) }

func (h leases) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *leases) Push(x any) {
	l := x.(*lease)
	l.index = len(*h)
	*h = append(*h, l)
}

// Pop implements heap.Interface.
func (h *leases) Pop() any {
	last := len(*h) - 1
	l := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	l.index = -1
	return l
}

// set puts a lease to a time.
func (h *leases) set(l *lease, at time.Time) {
	l.at = at
	if l.index < 0 {
		heap.Push(h, l)
	} else {
		heap.Fix(h, l.index)
	}
}

// remove takes a lease out, if it is in.
func (h *leases) remove(l *lease) {
	if l.index >= 0 {
		heap.Remove(h, l.index)
	}
}

// due takes the first lease out whose time has come.
func (h *leases) due(now time.Time) *lease {
	if len(*h) == 0 || (*h)[0].at.After(now) {
		return nil
	}
	return heap.Pop(h).(*lease)
}
