package yserver

import "sync"

// sizesKept bounds the rooms whose size is known.
const sizesKept = 8192

// roomSizes is how large the storage of rooms is at most. A store has to look at
// every value to tell; so it is asked only for rooms that are not known, or that
// seem to be full. The zero value is ready.
type roomSizes struct {
	mu   sync.Mutex
	most map[roomID]int64 // guarded by mu
}

func (s *roomSizes) get(id roomID) (most int64, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	most, known = s.most[id]
	return most, known
}

// set notes a size, and forgets that of some other room when there are many.
func (s *roomSizes) set(id roomID, most int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.most == nil {
		s.most = map[roomID]int64{}
	}
	if len(s.most) >= sizesKept {
		for other := range s.most {
			delete(s.most, other)
			break
		}
	}
	s.most[id] = most
}
