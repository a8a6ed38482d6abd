package yserver

import "time"

// due names a deadline of a room.
type due uint8

const (
	dueSplit    due = iota // senders waited long enough for a commit
	dueActivate            // members that asked for nothing
	duePresence            // merged presence, or the roster, may go out
	dueStale               // presence that was not renewed
	dueRetry               // the log, again
	dueSave                // the onSave debounce
	dueNotify              // the webhook's
	dueOutbox              // the outbox, again
	dueVersion             // an automatic version
	dueUnload              // nobody came back
	dueSleep               // nothing happened
	dueCount
)

// timers are the deadlines of a room on one timer, since most of them move
// often and fire rarely.
type timers struct {
	when  [dueCount]time.Time
	timer *time.Timer
	armed time.Time // what the timer is set to, zero when it is not
}

func (t *timers) init() {
	t.timer = time.NewTimer(time.Hour)
	t.timer.Stop()
}

func (t *timers) stop() { t.timer.Stop() }

func (t *timers) c() <-chan time.Time { return t.timer.C }

// at sets a deadline, replacing the one it had.
func (t *timers) at(d due, when time.Time) { t.when[d] = when }

// atMost sets a deadline unless an earlier one stands.
func (t *timers) atMost(d due, when time.Time) {
	if cur := t.when[d]; cur.IsZero() || when.Before(cur) {
		t.when[d] = when
	}
}

func (t *timers) clear(d due) { t.when[d] = time.Time{} }

func (t *timers) set(d due) bool { return !t.when[d].IsZero() }

// next takes a deadline that is due. It is called when the timer has fired.
func (t *timers) next(now time.Time) (due, bool) {
	t.armed = time.Time{}
	for d := range dueCount {
		if when := t.when[d]; !when.IsZero() && !when.After(now) {
			t.clear(d)
			return d, true
		}
	}
	return 0, false
}

// arm sets the timer to the earliest deadline. One that moved back leaves the
// timer as it is: it fires early once and is armed again, which costs less than
// a reset per keystroke.
func (t *timers) arm() {
	var first time.Time
	for _, when := range t.when {
		if !when.IsZero() && (first.IsZero() || when.Before(first)) {
			first = when
		}
	}
	if first.IsZero() || (!t.armed.IsZero() && !first.Before(t.armed)) {
		return
	}
	t.armed = first
	t.timer.Reset(time.Until(first))
}
