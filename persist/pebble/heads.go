package pebble

import (
	"sync"

	"github.com/yserverd/yserverd/persist"
)

// entry is what the store remembers of a document beside the disk. The head is
// owned by the holder of the store's write lock; ticket is guarded by heads.mu.
type entry struct {
	key  persist.Key
	head head // id 0: the document does not exist yet

	ticket     uint64 // of the last commit that wrote the document
	prev, next *entry
}

// heads remembers the heads of the documents used last, at most limit of them.
// An entry whose last commit is not durable yet is kept beyond the limit: it is
// how a read knows what to wait for, and it is ahead of the disk.
type heads struct {
	mu    sync.Mutex
	limit int
	byKey map[persist.Key]*entry
	root  entry // ring: root.next is the newest, root.prev the oldest
}

func newHeads(limit int) *heads {
	h := &heads{limit: limit, byKey: make(map[persist.Key]*entry)}
	h.root.prev, h.root.next = &h.root, &h.root
	return h
}

// get returns the entry of a document and marks it as used, or nil.
func (h *heads) get(k persist.Key) *entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.byKey[k]
	if e != nil {
		h.unlink(e)
		h.pushFront(e)
	}
	return e
}

// put remembers e, as written by the commit of that ticket, and forgets the
// oldest entries that are over the limit and durable.
func (h *heads) put(e *entry, ticket, durable uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e.prev != nil {
		h.unlink(e)
	}
	h.byKey[e.key] = e
	h.pushFront(e)
	e.ticket = ticket
	for len(h.byKey) > h.limit && h.root.prev.ticket <= durable {
		old := h.root.prev
		h.unlink(old)
		delete(h.byKey, old.key)
	}
}

// ticket returns the last commit that wrote the document, as far as it may
// still be in flight.
func (h *heads) ticket(k persist.Key) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.byKey[k]; e != nil {
		return e.ticket
	}
	return 0
}

func (h *heads) len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.byKey)
}

func (h *heads) unlink(e *entry) {
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next = nil, nil
}

func (h *heads) pushFront(e *entry) {
	e.prev, e.next = &h.root, h.root.next
	e.prev.next, e.next.prev = e, e
}
