package yserver

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/yserverd/yserverd/gate"
)

const (
	// wardenLook is the longest pause between looks at the clock, which may be
	// put forward.
	wardenLook = time.Minute
	// askAgainAfter is when to ask again what could not be decided.
	askAgainAfter = time.Second
	// askAtOnce bounds the connections of one question to a gate.
	askAtOnce = 1000
	// askTimeout bounds one question to a gate.
	askTimeout = 10 * time.Second
)

// tokenExpired is the reason of the close that ends an expired access.
const tokenExpired = "token expired"

// warden ends the access of connections when its time is over, and asks the
// gates again whether it still stands. It has one timer for all connections, and
// nothing of those whose access does not end.
//
// Nobody is closed because a gate cannot decide: it is asked again.
type warden struct {
	// Static after construction.
	srv      *Server
	wake     chan struct{} // capacity 1
	life     context.Context
	end      context.CancelFunc
	running  sync.WaitGroup // the clock, and the questions
	beside   sync.WaitGroup // what rooms are told
	complain *rate.Sometimes
	rechecks atomic.Uint64 // calls of Server.Recheck that began

	mu     sync.Mutex
	leases leases    // guarded by mu
	looks  time.Time // guarded by mu; when the clock looks next
}

// asker asks the gate of a party about connections whose time is over, in a
// goroutine that exists only while there are any.
type asker struct {
	p *party

	// Guarded by the lock of the warden.
	queue []*member
	busy  bool
}

func newWarden(srv *Server) *warden {
	w := &warden{srv: srv, wake: make(chan struct{}, 1), complain: &rate.Sometimes{First: 1, Interval: 10 * time.Second}}
	w.life, w.end = context.WithCancel(context.Background())
	return w
}

// start begins to watch the clock, and to ask about everybody now and then.
func (w *warden) start() {
	w.running.Go(w.watch)
	if w.srv.cfg.Recheck > 0 && slices.ContainsFunc(w.srv.parties, func(p *party) bool { return p.Guard != nil }) {
		w.running.Go(w.rounds)
	}
}

// stop ends what start began. Rooms may still be told something.
func (w *warden) stop() {
	w.mu.Lock()
	w.end() // nobody is asked about from here on, see again
	w.mu.Unlock()
	w.running.Wait()
}

// reset looks at the connection again when its grant says so, also if it said
// something else before.
func (w *warden) reset(m *member) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lookLocked(m, m.conn.grant.Load().Until)
}

// postpone looks at a connection again at a time, unless it has another grant.
func (w *warden) postpone(m *member, g *grant, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m.conn.grant.Load() == g {
		w.lookLocked(m, at)
	}
}

func (w *warden) lookLocked(m *member, at time.Time) {
	switch {
	case m.lease == departed:
		return
	case at.IsZero():
		if m.lease != nil {
			w.leases.remove(m.lease)
			m.lease = nil
		}
		return
	case m.lease == nil:
		m.lease = &lease{m: m, index: -1}
	}
	w.leases.set(m.lease, at)
	if at.Before(w.looks) {
		w.looks = at
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// forget ends the watch of a connection that has ended.
func (w *warden) forget(m *member) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m.lease != nil {
		w.leases.remove(m.lease)
	}
	m.lease = departed
}

// watch is the goroutine of the clock.
func (w *warden) watch() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-w.life.Done():
			return
		case <-w.wake:
		case <-timer.C:
		}
		ended, pause := w.look(time.Now())
		for _, m := range ended {
			m.dismiss(m.conn.grant.Load(), gate.RefuseExpired())
		}
		timer.Reset(pause)
	}
}

// look has the gates asked about the connections whose time is over, and returns
// those that have no gate to ask: they have no second chance. It also returns
// when to look again.
func (w *warden) look(now time.Time) (ended []*member, pause time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for l := w.leases.due(now); l != nil; l = w.leases.due(now) {
		if l.m.party.Guard == nil {
			ended = append(ended, l.m)
		} else {
			w.askLocked(l.m, now)
		}
	}
	w.looks = now.Add(wardenLook)
	if len(w.leases) > 0 && w.leases[0].at.Before(w.looks) {
		w.looks = w.leases[0].at
	}
	return ended, w.looks.Sub(now)
}

// askLocked has the gate of a connection asked about it. What the gate knows by
// itself, that a token is over, does not wait for what a backend has to say.
func (w *warden) askLocked(m *member, now time.Time) {
	id := m.conn.grant.Load().Identity
	a := &m.party.askers[0]
	if id.Method == gate.MethodSession || id.ExpiresAt.IsZero() || id.ExpiresAt.After(now) {
		a = &m.party.askers[1]
	}
	a.p = m.party
	a.queue = append(a.queue, m)
	if !a.busy {
		a.busy = true
		w.running.Go(func() { w.ask(a) })
	}
}

// again has the gate asked about a connection once more, since what it was asked
// about has changed meanwhile: of two decisions that were made side by side, the
// one that counts may have been made before what the other one knew.
func (w *warden) again(m *member) {
	if m.party.Guard == nil || !m.conn.peer.Load().open() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.life.Err() == nil && m.lease != departed {
		w.askLocked(m, time.Now())
	}
}

// ask is the goroutine of an asker.
func (w *warden) ask(a *asker) {
	for {
		w.mu.Lock()
		n := min(len(a.queue), askAtOnce)
		some := a.queue[:n:n]
		if a.queue = a.queue[n:]; len(a.queue) == 0 {
			a.queue = nil
		}
		a.busy = n > 0
		w.mu.Unlock()
		if n == 0 {
			return
		}
		_ = w.decide(w.life, a.p, some, func(m *member, g *grant, o outcome) {
			if o == outcomeUnknown {
				w.postpone(m, g, time.Now().Add(askAgainAfter))
			}
		})
	}
}

// decide asks the gate about connections of one party and does what it says.
func (w *warden) decide(ctx context.Context, p *party, some []*member, done func(*member, *grant, outcome)) error {
	grants := make([]*grant, len(some))
	held := make([]gate.Held, len(some))
	for i, m := range some {
		grants[i] = m.conn.grant.Load()
		held[i] = gate.Held{Identity: grants[i].Identity, Party: m.entry.id.party, Room: m.entry.id.room, Addr: m.conn.addr}
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	verdicts, err := awaitHook(ctx, w.srv, hookGrace, func() (answer verdictsOrNot, _ error) {
		answer.verdicts, answer.err = p.Guard.Recheck(ctx, held)
		return answer, nil
	})
	if err == nil {
		err = verdicts.err
	}
	if err != nil && w.life.Err() == nil {
		w.srv.counters.recheckErrors.Add(1)
		w.undecided(p, err)
	}
	for i, m := range some {
		o := outcomeUnknown
		if len(verdicts.verdicts) == len(some) {
			o = m.judge(grants[i], verdicts.verdicts[i])
		}
		done(m, grants[i], o)
	}
	return err
}

// undecided logs, not too often, that a gate cannot decide.
func (w *warden) undecided(p *party, err error) {
	w.complain.Do(func() {
		w.srv.log.Warn("access cannot be decided now; nobody is let in or closed for that", "party", p.Name, "err", err)
	})
}

// verdictsOrNot is what a gate answers: there may be both.
type verdictsOrNot struct {
	verdicts []gate.Verdict
	err      error
}

// outcome is what became of a connection that a gate was asked about.
type outcome uint8

const (
	outcomeUnchanged outcome = iota
	outcomeUnknown           // it could not be decided
	outcomeClosed
	outcomeReadOnly
	outcomeWritable
)

// judge does what a gate says about a connection, if it was asked about what the
// connection still has.
func (m *member) judge(was *grant, v gate.Verdict) outcome {
	if !v.Known() {
		return outcomeUnknown
	}
	if v.Refusal != nil {
		return m.dismiss(was, v.Refusal)
	}
	is := newGrant(v.Decision)
	switch {
	case is.over(time.Now()):
		return m.dismiss(was, gate.RefuseExpired())
	case !m.regrant(was, is):
		m.srv.warden.again(m)
		return outcomeUnchanged
	case was.Write == is.Write:
		return outcomeUnchanged
	case is.Write:
		return outcomeWritable
	}
	return outcomeReadOnly
}

// dismiss ends a connection that the gate refuses now. Who is refused because
// the time of its credential is over has some more in a document room, to bring
// another one.
func (m *member) dismiss(was *grant, refusal *gate.Refusal) outcome {
	now, reason := time.Now(), refusal.Message
	if refusal.Status == http.StatusUnauthorized && was.over(now) {
		reason = tokenExpired
		last := was.Until.Add(m.party.RefreshGrace)
		if m.party.Guard != nil && m.party.Document != nil && now.Before(last) {
			m.srv.warden.postpone(m, was, last)
			return outcomeUnchanged
		}
	}
	ended := &grant{gate.Decision{Identity: was.Identity, NoPresence: was.NoPresence}}
	if !m.conn.grant.CompareAndSwap(was, ended) {
		m.srv.warden.again(m)
		return outcomeUnchanged
	}
	m.srv.warden.reset(m)
	m.srv.counters.dismissed.Add(1)
	m.conn.peer.Load().close(refusal.CloseCode(), reason)
	return outcomeClosed
}
