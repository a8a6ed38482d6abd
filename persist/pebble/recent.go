package pebble

import (
	"sync"

	"github.com/yserverd/yserverd/persist"
)

// known is what the store remembers of a document or of a room's data beside the
// disk. The state is owned by the holder of the store's write lock; ticket is
// written under recent.mu by that holder too, so the holder may read it without.
type known[T any] struct {
	key   persist.Key
	state T

	ticket     uint64 // of the last commit that wrote the document or room
	prev, next *known[T]
}

// entry is what the store remembers of a document: its head, with id 0 when the
// document does not exist yet.
type entry = known[head]

// recent remembers the states of the documents, or rooms, used last, at most
// limit of them. One whose last commit is not durable yet is kept beyond the
// limit: it is how a read knows what to wait for, and it is ahead of the disk.
type recent[T any] struct {
	mu    sync.Mutex
	limit int
	byKey map[persist.Key]*known[T]
	root  known[T] // ring: root.next is the newest, root.prev the oldest
}

func newRecent[T any](limit int) *recent[T] {
	r := &recent[T]{limit: limit, byKey: make(map[persist.Key]*known[T])}
	r.root.prev, r.root.next = &r.root, &r.root
	return r
}

// get returns what is known under the key and marks it as used, or nil.
func (r *recent[T]) get(k persist.Key) *known[T] {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.byKey[k]
	if e != nil {
		r.unlink(e)
		r.pushFront(e)
	}
	return e
}

// put remembers e, as written by the commit of that ticket, and forgets the
// oldest that are over the limit and durable.
func (r *recent[T]) put(e *known[T], ticket, durable uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.prev != nil {
		r.unlink(e)
	}
	r.byKey[e.key] = e
	r.pushFront(e)
	e.ticket = ticket
	for len(r.byKey) > r.limit && r.root.prev.ticket <= durable {
		old := r.root.prev
		r.unlink(old)
		delete(r.byKey, old.key)
	}
}

// ticket returns the last commit that wrote under the key, as far as it may
// still be in flight.
func (r *recent[T]) ticket(k persist.Key) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.byKey[k]; e != nil {
		return e.ticket
	}
	return 0
}

func (r *recent[T]) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.byKey)
}

func (r *recent[T]) unlink(e *known[T]) {
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next = nil, nil
}

func (r *recent[T]) pushFront(e *known[T]) {
	e.prev, e.next = &r.root, r.root.next
	e.prev.next, e.next.prev = e, e
}
