package yserver

import (
	"context"
	"fmt"
	"time"
)

const (
	saveRetryFirst = time.Second
	saveRetryMost  = time.Minute
)

// saver debounces what is told of a changed document, the OnSave hook or a
// webhook, as lodash.debounce does with a maximal wait. What failed is retried,
// or overtaken by a newer state.
type saver struct {
	name   string // for the log
	due    due
	call   func(ctx context.Context, save Save) error // nil: nobody wants to know
	outbox *outbox                                    // nil: a crash may forget it

	since   time.Time // of the first change that was not told, zero if none
	state   []byte    // taken, waiting for its generation
	gen     uint64
	running bool
	retry   time.Duration
	urgent  bool // the last connection left, or the server ends
}

// initSavers makes the savers of what the party wants to be told.
func (r *documentRoom) initSavers() {
	r.saver = saver{name: "onSave", due: dueSave}
	if hook := r.party.Document.OnSave; hook != nil {
		r.saver.call = func(ctx context.Context, save Save) error { return hook(ctx, r.api, save) }
	}
	r.notifier = saver{name: "webhook", due: dueNotify}
	if w := r.party.Document.Webhook; w.wants(WebhookSave) {
		r.notifier.call = func(ctx context.Context, save Save) error { return w.save(ctx, r.api, save) }
		r.notifier.outbox = &outbox{}
	}
}

// changed notes a change of the document.
func (s *saver) changed(r *documentRoom) {
	if s.call == nil {
		return
	}
	if s.since.IsZero() {
		s.since = r.now
		s.outbox.put(r, s.lease(r))
	}
	o := &r.party.Document.CallbackOptions
	at, latest := r.now.Add(o.DebounceWait), s.since.Add(o.DebounceMaxWait)
	if latest.Before(at) {
		at = latest
	}
	r.timers.at(s.due, at)
}

// lease is when somebody else should look whether it was told.
func (s *saver) lease(r *documentRoom) time.Time {
	o := &r.party.Document.CallbackOptions
	return r.now.Add(o.DebounceMaxWait + o.Timeout + s.retry + deliverEvery)
}

// hurry saves without waiting for silence.
func (s *saver) hurry(r *documentRoom) {
	if s.since.IsZero() {
		return
	}
	s.urgent = true
	r.timers.at(s.due, r.now)
}

// idle reports whether nothing is lost if the room ends: everything is told, or
// it is in the outbox and has failed before, so that waiting does not help.
func (s *saver) idle() bool {
	if s.state != nil || s.running {
		return false
	}
	return s.outbox.quiet() && (s.since.IsZero() || s.retry > 0 && s.outbox.holds())
}

// save takes the state of the document, to be told once it is committed.
func (s *saver) save(r *documentRoom) {
	if s.running || s.since.IsZero() {
		return // done looks whether there is more
	}
	r.wake(func(err error) {
		if err != nil {
			r.timers.at(s.due, r.now.Add(saveRetryMost))
			return
		}
		s.state, s.gen = r.doc.State(), r.journal.latest()
		r.versions.offer(r)
		s.since = time.Time{}
		s.committed(r)
	})
}

// committed tells when the log has what is told.
func (s *saver) committed(r *documentRoom) {
	if s.state == nil || s.running || r.journal.committed < s.gen {
		return
	}
	save := Save{State: s.state, Seq: r.journal.seq, Epoch: r.journal.epoch}
	s.state, s.running = nil, true
	r.goBeside(func() func() {
		err := r.tell(s.call, save)
		return func() { s.done(r, err) }
	})
}

func (r *documentRoom) tell(call func(context.Context, Save) error, save Save) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), r.party.Document.CallbackOptions.Timeout)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			r.srv.counters.hookPanics.Add(1)
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return call(ctx, save)
}

// done takes the answer.
func (s *saver) done(r *documentRoom, err error) {
	s.running = false
	if err == nil {
		s.told(r)
		return
	}
	s.retry = min(max(2*s.retry, saveRetryFirst), saveRetryMost)
	r.srv.counters.saveFailures.Add(1)
	r.log.Error(s.name+" failed; it will be retried", "err", err, "in", s.retry)
	if s.since.IsZero() {
		s.since = r.now
	}
	s.outbox.put(r, s.lease(r))
	r.timers.at(s.due, r.now.Add(s.retry))
}

func (s *saver) told(r *documentRoom) {
	s.retry = 0
	switch {
	case s.since.IsZero():
		s.outbox.put(r, time.Time{})
	case s.urgent:
		r.timers.atMost(s.due, r.now)
	case !r.timers.set(s.due):
		r.timers.at(s.due, r.now)
	}
	s.urgent = s.urgent && !s.since.IsZero()
}

// force tells the present state, changed or not: the outbox says that it was not
// told.
func (s *saver) force(r *documentRoom, stored time.Time) {
	if s.call == nil {
		return
	}
	s.outbox.found(stored)
	if s.since.IsZero() && !s.running && s.state == nil {
		s.since = r.now
	}
	s.outbox.put(r, s.lease(r))
	r.timers.atMost(s.due, r.now)
}
