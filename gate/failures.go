package gate

import (
	"net/netip"
	"sync"
	"time"
)

const (
	failureWindow = time.Minute
	// failureAddrs bounds the addresses of one generation, of which there are two.
	failureAddrs = 1 << 14
)

// FailureLimit bounds failing credentials per address: so many at once, and again as a minute goes by. An IPv6 address
// stands for its /64, which one machine has for itself. It is safe for concurrent use and needs no goroutine.
//
// It keeps the addresses that failed in the last minute or two, at most 32,768; of more, those that failed last.
type FailureLimit struct {
	every time.Duration // a failure is forgiven; zero: no limit

	mu     sync.Mutex
	begun  time.Time            // of recent
	recent map[string]time.Time // when all failures of an address are forgiven
	older  map[string]time.Time // the generation before
}

// NewFailureLimit returns a limit of so many failures a minute and address. Zero and less mean no limit.
func NewFailureLimit(perMinute int) *FailureLimit {
	l := &FailureLimit{recent: map[string]time.Time{}}
	if perMinute > 0 {
		l.every = max(failureWindow/time.Duration(perMinute), 1)
	}
	return l
}

// failed notes a failure. It returns zero, or after what time the address may fail again.
func (l *FailureLimit) failed(addr string, now time.Time) (retry time.Duration) {
	if l.every == 0 {
		return 0
	}
	key := failureKey(addr)
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.begun) >= failureWindow || len(l.recent) >= failureAddrs {
		l.older, l.recent, l.begun = l.recent, map[string]time.Time{}, now
	}
	forgiven, ok := l.recent[key]
	if !ok {
		forgiven = l.older[key]
	}
	if forgiven.Before(now) {
		forgiven = now
	}
	next := forgiven.Add(l.every)
	if retry = next.Sub(now) - failureWindow; retry > 0 {
		next = forgiven
	}
	l.recent[key] = next
	return max(retry, 0)
}

// failureKey is what an address counts as.
func failureKey(addr string) string {
	const longest = 64 // of what is no address; whoever sets Addr may take it from a header
	a, err := netip.ParseAddr(addr)
	switch a = a.Unmap(); {
	case err != nil:
		return addr[:min(len(addr), longest)]
	case a.Is6():
		net, _ := a.WithZone("").Prefix(64) // a length that IPv6 has
		return net.String()
	}
	return a.String()
}
