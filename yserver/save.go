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

// saver debounces the OnSave hook of a room, as lodash.debounce does with a
// maximal wait. A save that failed is retried, or overtaken by a newer one.
type saver struct {
	since   time.Time // of the first change that no save covers, zero if none
	state   []byte    // taken, waiting for its generation
	gen     uint64
	running bool
	retry   time.Duration
	urgent  bool // the last connection left, or the server ends
}

// changed notes a change of the document.
func (s *saver) changed(r *documentRoom) {
	if r.party.Document.OnSave == nil {
		return
	}
	if s.since.IsZero() {
		s.since = r.now
	}
	o := &r.party.Document.CallbackOptions
	at, latest := r.now.Add(o.DebounceWait), s.since.Add(o.DebounceMaxWait)
	if latest.Before(at) {
		at = latest
	}
	r.timers.at(dueSave, at)
}

// hurry saves without waiting for silence.
func (s *saver) hurry(r *documentRoom) {
	if s.since.IsZero() {
		return
	}
	s.urgent = true
	r.timers.at(dueSave, r.now)
}

func (s *saver) idle() bool {
	return s.since.IsZero() && s.state == nil && !s.running
}

// save takes the state of the document, to be saved once it is committed.
func (r *documentRoom) save() {
	s := &r.saver
	if s.running || s.since.IsZero() {
		return // done looks whether there is more
	}
	s.state, s.gen = r.doc.State(), r.journal.latest()
	s.since = time.Time{}
	s.committed(r)
}

// committed starts the hook when the log has what it is given.
func (s *saver) committed(r *documentRoom) {
	if s.state == nil || s.running || r.journal.committed < s.gen {
		return
	}
	save := Save{State: s.state, Seq: r.journal.seq, Epoch: r.journal.epoch}
	s.state, s.running = nil, true
	r.goBeside(func() func() {
		err := r.callSave(save)
		return func() { s.done(r, err) }
	})
}

func (r *documentRoom) callSave(save Save) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), r.party.Document.CallbackOptions.Timeout)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			r.srv.counters.hookPanics.Add(1)
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return r.party.Document.OnSave(ctx, r.api, save)
}

// done takes the hook's answer.
func (s *saver) done(r *documentRoom, err error) {
	s.running = false
	if err == nil {
		s.retry = 0
		if !s.since.IsZero() && s.urgent {
			r.timers.atMost(dueSave, r.now)
		} else if !s.since.IsZero() && !r.timers.set(dueSave) {
			r.timers.at(dueSave, r.now)
		}
		s.urgent = s.urgent && !s.since.IsZero()
		return
	}
	s.retry = min(max(2*s.retry, saveRetryFirst), saveRetryMost)
	r.log.Error("onSave failed; it will be retried", "err", err, "in", s.retry)
	if s.since.IsZero() {
		s.since = r.now
	}
	r.timers.at(dueSave, r.now.Add(s.retry))
}
