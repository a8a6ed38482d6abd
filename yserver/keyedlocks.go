package yserver

import (
	"context"
	"sync"
)

// keyedLocks are locks of rooms, each of which exists while somebody has it or
// waits for it. The zero value is ready.
type keyedLocks struct {
	mu    sync.Mutex
	locks map[roomID]*keyedLock // guarded by mu
}

type keyedLock struct {
	users int           // guarded by keyedLocks.mu
	slot  chan struct{} // capacity 1
}

// lock waits for the lock of a room, until ctx ends. The caller unlocks it with
// what it returns.
func (k *keyedLocks) lock(ctx context.Context, id roomID) (unlock func(), err error) {
	k.mu.Lock()
	l := k.locks[id]
	if l == nil {
		l = &keyedLock{slot: make(chan struct{}, 1)}
		if k.locks == nil {
			k.locks = map[roomID]*keyedLock{}
		}
		k.locks[id] = l
	}
	l.users++
	k.mu.Unlock()
	select {
	case l.slot <- struct{}{}:
		return func() {
			<-l.slot
			k.leave(id, l)
		}, nil
	case <-ctx.Done():
		k.leave(id, l)
		return nil, ctx.Err()
	}
}

func (k *keyedLocks) leave(id roomID, l *keyedLock) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l.users--; l.users == 0 {
		delete(k.locks, id)
	}
}
