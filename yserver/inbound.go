package yserver

import (
	"errors"
	"slices"
	"sync"
	"time"
)

const (
	// inboundFree is how much of a message needs no budget, and the step in
	// which the rest is reserved.
	inboundFree = 1 << 20
	// inboundPatience is how long a message may take for one step while others
	// wait for the budget.
	inboundPatience = 30 * time.Second
)

var errClosing = errors.New("connection is closing")

// inbound is the common budget for large messages that are being received. What
// a message has brought counts, not what it announces; one that finds the budget
// used up is not read on until there is room.
//
// The oldest message never waits, so that messages which are all half there
// cannot hold up each other: the budget is overrun by at most one message.
type inbound struct {
	limit int64

	mu      sync.Mutex
	used    int64
	holds   []*hold // oldest first, also those that wait for their first bytes
	waiting int
	changed chan struct{} // closed when somebody may go on
}

// hold is the share of one message.
type hold struct {
	p *peer

	// Guarded by the lock of the budget.
	bytes    int64
	since    time.Time // when the last bytes were granted
	complete bool      // all is here, the room takes its time
	waits    bool
}

// grow reserves room for the next bytes of a message of which n are here. It
// waits while the budget is used up, until the peer is closed.
func (i *inbound) grow(h *hold, n int64) error {
	want := (n/inboundFree + 1) * inboundFree
	i.mu.Lock()
	defer i.mu.Unlock()
	if !slices.Contains(i.holds, h) {
		i.holds = append(i.holds, h)
		h.since = time.Now()
	}
	for want > h.bytes {
		if i.used+want-h.bytes <= i.limit || i.holds[0] == h {
			i.used += want - h.bytes
			h.bytes, h.since = want, time.Now()
			return nil
		}
		if i.changed == nil {
			i.changed = make(chan struct{})
		}
		changed := i.changed
		h.waits = true
		i.waiting++
		i.mu.Unlock()
		var err error
		select {
		case <-changed:
		case <-h.p.closed():
			err = errClosing
		}
		i.mu.Lock()
		i.waiting--
		h.waits = false
		if err != nil {
			return err
		}
	}
	return nil
}

// release gives back what a message had. It was taken by its room, or will
// never be complete.
func (i *inbound) release(h *hold) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.used -= h.bytes
	h.bytes = 0
	i.holds = slices.DeleteFunc(i.holds, func(o *hold) bool { return o == h })
	if i.changed != nil {
		close(i.changed)
		i.changed = nil
	}
}

// completed notes that the message is here.
func (i *inbound) completed(h *hold) {
	i.mu.Lock()
	defer i.mu.Unlock()
	h.complete = true
}

// lagging returns the peers whose messages hold a share and do not get on, while
// others wait for it.
func (i *inbound) lagging(now time.Time, patience time.Duration) []*peer {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.waiting == 0 {
		return nil
	}
	var slow []*peer
	for _, h := range i.holds {
		if !h.waits && !h.complete && now.Sub(h.since) > patience {
			slow = append(slow, h.p)
		}
	}
	return slow
}
