package yserver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// RecheckFilter names connections. Those that match all of what is set are
// meant; the zero filter means everybody.
type RecheckFilter struct {
	UserID, OrgID string // of the identity
	Party, Room   string
}

func (f RecheckFilter) matches(m *member) bool {
	id := &m.conn.grant.Load().Identity
	return (f.UserID == "" || f.UserID == id.UserID) &&
		(f.OrgID == "" || f.OrgID == id.OrgID) &&
		(f.Room == "" || f.Room == m.entry.id.room)
}

// RecheckResult is what became of connections. They are counted in Checked, and
// in at most one of the others.
type RecheckResult struct {
	Checked  int // the gate was asked about
	Closed   int // are not let in any more
	ReadOnly int // could write before
	Writable int // could only read before
	Unknown  int // could not be decided: they have what they had
}

// Recheck asks the gates now whether open connections still may do what they do,
// as every Config.Recheck, and acts accordingly: who may not be there is closed
// with 4401, 4403 or 4404, and who may no longer write, or may again, goes on as
// such. Connections of parties with an Access in place of a Guard stay as they
// are.
//
// An error means that not all could be decided, or that there is no such party.
func (s *Server) Recheck(ctx context.Context, f RecheckFilter) (RecheckResult, error) {
	var (
		result RecheckResult
		errs   []error
	)
	if f.Party != "" && s.router.parties[f.Party] == nil {
		return result, fmt.Errorf("yserver: no party is named %q", f.Party)
	}
	if s.draining.Load() {
		return result, errDraining
	}
	s.warden.rechecks.Add(1) // who is let in now is asked about once it is there
	for _, p := range s.parties {
		if p.Guard == nil || f.Party != "" && f.Party != p.Name {
			continue
		}
		for some := range slices.Chunk(p.connections(f), askAtOnce) {
			errs = append(errs, s.warden.decide(ctx, p, some, func(_ *member, _ *grant, o outcome) { result.count(o) }))
		}
	}
	return result, errors.Join(errs...)
}

func (r *RecheckResult) count(o outcome) {
	r.Checked++
	switch o {
	case outcomeUnchanged:
	case outcomeUnknown:
		r.Unknown++
	case outcomeClosed:
		r.Closed++
	case outcomeReadOnly:
		r.ReadOnly++
	case outcomeWritable:
		r.Writable++
	}
}

// connections returns the members of all rooms of the party that a filter names,
// those of rooms that hibernate too.
func (p *party) connections(f RecheckFilter) []*member {
	var found []*member
	for _, peer := range p.sockets.all() {
		if m, ok := peer.to.(*member); ok && m.conn.peer.Load() != nil && f.matches(m) && peer.open() {
			found = append(found, m)
		}
	}
	return found
}

// rounds asks about everybody now and then.
func (w *warden) rounds() {
	every := w.srv.cfg.Recheck
	for w.pause(every + time.Duration((rand.Float64()-0.5)*float64(every)/5)) {
		for _, p := range w.srv.parties {
			if p.Guard != nil {
				w.round(p, every)
			}
		}
	}
}

// round asks about everybody in a party, again about those that could not be
// decided, until the time of the next round.
func (w *warden) round(p *party, every time.Duration) {
	some, next := p.connections(RecheckFilter{}), time.Now().Add(every)
	for len(some) > 0 {
		var unknown []*member
		for chunk := range slices.Chunk(some, askAtOnce) {
			_ = w.decide(w.life, p, chunk, func(m *member, _ *grant, o outcome) {
				if o == outcomeUnknown {
					unknown = append(unknown, m)
				}
			})
		}
		if some = unknown; len(some) > 0 && (time.Now().After(next) || !w.pause(askAgainAfter)) {
			return
		}
	}
}

// pause waits; false means that the server ends.
func (w *warden) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-w.life.Done():
		return false
	}
}
