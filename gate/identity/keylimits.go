package identity

import (
	"container/list"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxLimits bounds how many keys are counted at once. The one that was not used for the longest time is forgotten.
const maxLimits = 10_000

// keyLimits counts the uses of API keys, in this process.
type keyLimits struct {
	most int

	mu     sync.Mutex
	byID   map[string]*list.Element
	recent *list.List // of *keyLimit, the last used first
}

// keyLimit counts the uses of one key.
type keyLimit struct {
	id      string
	limiter *rate.Limiter
}

func newKeyLimits(most int) *keyLimits {
	return &keyLimits{most: most, byID: make(map[string]*list.Element), recent: list.New()}
}

// allow counts a use of a key that may be used so many times in a window: as many at once, and again as the window
// passes. When it may not, retry is when it may.
func (l *keyLimits) allow(id string, most float64, window time.Duration, now time.Time) (retry time.Duration, ok bool) {
	if most < 1 {
		return max(window, 0), false
	}
	if window <= 0 {
		return 0, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter := l.limiter(id, rate.Limit(most/window.Seconds()), int(min(most, 1<<30)), now)
	reservation := limiter.ReserveN(now, 1)
	if wait := reservation.DelayFrom(now); wait > 0 {
		reservation.CancelAt(now)
		return wait, false
	}
	return 0, true
}

// limiter returns the key's, as the row says now.
func (l *keyLimits) limiter(id string, limit rate.Limit, burst int, now time.Time) *rate.Limiter {
	e := l.byID[id]
	if e == nil {
		if l.recent.Len() >= l.most {
			last := l.recent.Back()
			l.recent.Remove(last)
			delete(l.byID, last.Value.(*keyLimit).id)
		}
		e = l.recent.PushFront(&keyLimit{id, rate.NewLimiter(limit, burst)})
		l.byID[id] = e
	}
	l.recent.MoveToFront(e)
	limiter := e.Value.(*keyLimit).limiter
	if limiter.Limit() != limit {
		limiter.SetLimitAt(now, limit)
	}
	if limiter.Burst() != burst {
		limiter.SetBurstAt(now, burst)
	}
	return limiter
}
