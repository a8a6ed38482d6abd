package gate

import "time"

// Fail notes a failure.
func (l *FailureLimit) Fail(addr string, now time.Time) time.Duration { return l.failed(addr, now) }

// Len is how many addresses are kept.
func (l *FailureLimit) Len() int { return len(l.recent) + len(l.older) }
