package yserver

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/yserverd/yserverd/gate"
)

// broadcastClock ends broadcast sockets when their identities end, and asks now
// and then whether they still are who they were. Nobody is closed because that
// cannot be said.
type broadcastClock struct {
	b       *Broadcaster
	wake    chan struct{} // capacity 1
	life    context.Context
	end     context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex
	leases leases    // guarded by mu
	looks  time.Time // guarded by mu; when the clock looks next
}

func newBroadcastClock(b *Broadcaster) *broadcastClock {
	c := &broadcastClock{b: b, wake: make(chan struct{}, 1)}
	c.life, c.end = context.WithCancel(context.Background())
	return c
}

func (c *broadcastClock) start() {
	c.running.Go(c.watch)
	if c.b.srv.cfg.Recheck > 0 {
		c.running.Go(c.rounds)
	}
}

func (c *broadcastClock) stop() {
	c.end()
	c.running.Wait()
}

// reset looks at a socket again when its identity ends.
func (c *broadcastClock) reset(s *subscriber) {
	at := s.id.Load().ExpiresAt
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case s.lease == departed:
		return
	case at.IsZero():
		if s.lease != nil {
			c.leases.remove(s.lease)
			s.lease = nil
		}
		return
	case s.lease == nil:
		s.lease = &lease{sub: s, index: -1}
	}
	c.leases.set(s.lease, at)
	if at.Before(c.looks) {
		c.looks = at
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

// forget ends the watch of a socket that has ended.
func (c *broadcastClock) forget(s *subscriber) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.lease != nil {
		c.leases.remove(s.lease)
	}
	s.lease = departed
}

// watch is the goroutine of the clock.
func (c *broadcastClock) watch() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-c.life.Done():
			return
		case <-c.wake:
		case <-timer.C:
		}
		ended, pause := c.look(time.Now())
		for _, s := range ended {
			s.dismiss(gate.RefuseExpired().CloseCode(), tokenExpired)
		}
		timer.Reset(pause)
	}
}

// look returns the sockets whose time is over, and when to look again.
func (c *broadcastClock) look(now time.Time) (ended []*subscriber, pause time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for l := c.leases.due(now); l != nil; l = c.leases.due(now) {
		ended = append(ended, l.sub)
	}
	c.looks = now.Add(wardenLook)
	if len(c.leases) > 0 && c.leases[0].at.Before(c.looks) {
		c.looks = c.leases[0].at
	}
	return ended, c.looks.Sub(now)
}

// rounds asks about everybody now and then.
func (c *broadcastClock) rounds() {
	every := c.b.srv.cfg.Recheck
	for {
		timer := time.NewTimer(every + time.Duration((rand.Float64()-0.5)*float64(every)/5))
		select {
		case <-timer.C:
		case <-c.life.Done():
			timer.Stop()
			return
		}
		_, _ = c.b.Recheck(c.life, RecheckFilter{}) // what is unknown is asked again in the next round
	}
}

// Recheck asks now whether open sockets still are who they were, and may have
// their resources; who is not is closed with 4401, 4403 or 4404. Who changed the
// organisation is closed with 4401. Roles count from now on. A filter that names a
// party or room means no broadcast socket.
//
// An error means that not all could be decided.
func (b *Broadcaster) Recheck(ctx context.Context, f RecheckFilter) (RecheckResult, error) {
	var (
		result RecheckResult
		errs   []error
		some   []*subscriber
	)
	if f.Party != "" || f.Room != "" {
		return result, nil
	}
	found := b.index.find(Route{Everybody: f.UserID == "", UserID: f.UserID})
	for _, s := range *found {
		if f.OrgID == "" || f.OrgID == s.id.Load().OrgID {
			some = append(some, s)
		}
	}
	b.index.giveBack(found)
	for chunk := range slices.Chunk(some, askAtOnce) {
		errs = append(errs, b.recheck(ctx, chunk, &result))
	}
	return result, errors.Join(errs...)
}

func (b *Broadcaster) recheck(ctx context.Context, some []*subscriber, result *RecheckResult) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	was := make([]*gate.Identity, len(some))
	held := make([]gate.Held, len(some))
	for i, s := range some {
		was[i] = s.id.Load()
		held[i] = gate.Held{Identity: *was[i]}
	}
	answer, err := awaitHook(ctx, b.srv, hookGrace, func() (answer verdictsOrNot, _ error) {
		answer.verdicts, answer.err = b.cfg.Guard.Recheck(ctx, held)
		return answer, nil
	})
	if err == nil {
		err = answer.err
	}
	for i, s := range some {
		if len(answer.verdicts) != len(some) {
			result.count(outcomeUnknown)
			continue
		}
		result.count(s.judge(ctx, was[i], answer.verdicts[i]))
	}
	if err != nil && b.clock.life.Err() == nil {
		b.srv.counters.recheckErrors.Add(1)
	}
	return err
}

// judge does what a gate says about a socket.
func (s *subscriber) judge(ctx context.Context, was *gate.Identity, v gate.Verdict) outcome {
	if !v.Known() {
		return outcomeUnknown
	}
	refusal, id := v.Refusal, v.Decision.Identity
	if refusal == nil && !id.Same(*was) {
		refusal = gate.RefuseInvalid()
	}
	if refusal == nil {
		refusal = s.allowed(ctx, id)
	}
	switch {
	case !(gate.Verdict{Refusal: refusal}).Known():
		return outcomeUnknown
	case refusal != nil:
		s.dismiss(refusal.CloseCode(), refusal.Message)
		return outcomeClosed
	}
	s.id.Store(&id)
	s.b.clock.reset(s)
	return outcomeUnchanged
}
