package gate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// recheckWorkers is how many questions are put at once to an Authorizer that takes them one by one.
const recheckWorkers = 8

// recheck is one call of Recheck: the verdicts as they come to be known.
type recheck struct {
	g        *guard
	held     []Held
	now      []Identity // who they are now
	verdicts []Verdict
	open     []int // those without a verdict yet
	errs     []error
}

// Recheck implements Guard. The identities are looked at in one call of the Authenticator, and what is left of them is
// decided in one call of the Authorizer if it is a BatchAuthorizer. A credential that ended for good (a JWT, a ticket)
// ends without a question. On a public party, who is nobody any more is anonymous from now on.
func (g *guard) Recheck(ctx context.Context, held []Held) ([]Verdict, error) {
	c := &recheck{g: g, held: held, now: make([]Identity, len(held)), verdicts: make([]Verdict, len(held))}
	c.identities(ctx)
	c.usable()
	c.authorize(ctx)
	return c.verdicts, errors.Join(c.errs...)
}

// identities finds out who the callers are now.
func (c *recheck) identities(ctx context.Context) {
	var ids []Identity
	var asked []int
	for i, h := range c.held {
		c.now[i] = h.Identity
		switch {
		case !h.Identity.Authenticated() || h.Identity.final(c.g.Clock()): // see usable
			c.open = append(c.open, i)
		default:
			ids, asked = append(ids, h.Identity), append(asked, i)
		}
	}
	if len(ids) == 0 {
		return
	}
	checked, err := c.recheckAll(ctx, ids)
	for k, i := range asked {
		switch {
		case err != nil:
			c.verdicts[i].Refusal = RefuseAuthUnavailable()
		default:
			c.identity(i, checked[k])
		}
	}
	if err != nil {
		c.errs = append(c.errs, err)
	}
}

func (c *recheck) recheckAll(ctx context.Context, ids []Identity) ([]Checked, error) {
	if c.g.Authenticator == nil { // nobody can say who they are
		return nil, errors.New("no authenticator")
	}
	checked, err := c.g.Authenticator.Recheck(ctx, ids)
	if err == nil && len(checked) != len(ids) {
		err = fmt.Errorf("authenticator: %d answers about %d identities", len(checked), len(ids))
	}
	return checked, err
}

// identity takes the Authenticator's word on one of the callers.
func (c *recheck) identity(i int, checked Checked) {
	was, refusal := c.held[i].Identity, checked.Refusal
	if refusal == nil && checked.Identity.UserID != was.UserID {
		refusal = RefuseInvalid() // a credential that became somebody else's
	}
	switch {
	case refusal == nil:
		c.now[i] = checked.Identity
		c.now[i].Scope = was.Scope // for which rooms a ticket is does not change
		c.open = append(c.open, i)
	case c.g.Public && (Verdict{Refusal: refusal}).Known():
		c.now[i] = Identity{}
		c.open = append(c.open, i)
	default:
		c.verdicts[i].Refusal = refusal
	}
}

// usable refuses those whose identity may not be used where they are.
func (c *recheck) usable() {
	open := c.open[:0]
	for _, i := range c.open {
		id, refusal := c.g.usable(c.now[i], c.held[i].Party, c.held[i].Room)
		if refusal != nil {
			c.verdicts[i].Refusal = refusal
			continue
		}
		c.now[i] = id
		open = append(open, i)
	}
	c.open = open
}

// authorize decides what the others may do now.
func (c *recheck) authorize(ctx context.Context) {
	switch {
	case len(c.open) == 0:
	case c.g.Authorizer == nil:
		for _, i := range c.open {
			c.settle(i, Verdict{Decision: Decision{Write: true}})
		}
	case c.g.batch != nil:
		c.authorizeAll(ctx)
	default:
		c.authorizeEach(ctx)
	}
}

func (c *recheck) authorizeAll(ctx context.Context) {
	asks := make([]Ask, len(c.open))
	for k, i := range c.open {
		asks[k] = Ask{c.now[i], c.held[i].Party, c.held[i].Room}
	}
	verdicts, err := c.g.batch.AuthorizeAll(ctx, asks)
	if err == nil && len(verdicts) != len(asks) {
		err = fmt.Errorf("authorizer: %d answers about %d callers", len(verdicts), len(asks))
	}
	if err != nil {
		c.errs = append(c.errs, err)
	}
	for k, i := range c.open {
		if err != nil {
			c.settle(i, Verdict{Refusal: RefuseAccessUnavailable()})
		} else {
			c.settle(i, verdicts[k])
		}
	}
}

// authorizeEach asks about one caller after the other, a few at once.
func (c *recheck) authorizeEach(ctx context.Context) {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		next int
	)
	take := func() (int, bool) {
		mu.Lock()
		defer mu.Unlock()
		if next == len(c.open) {
			return 0, false
		}
		next++
		return c.open[next-1], true
	}
	for range min(recheckWorkers, len(c.open)) {
		wg.Go(func() {
			for i, ok := take(); ok; i, ok = take() {
				d, err := c.authorizeOne(ctx, i)
				mu.Lock()
				c.take(i, d, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// authorizeOne asks about one caller. Code of an application that panics decides nothing: no request is there whose
// server would take it.
func (c *recheck) authorizeOne(ctx context.Context, i int) (d Decision, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("authorizer: panic: %v", v)
		}
	}()
	return c.g.Authorizer.Authorize(ctx, c.now[i], &Request{Party: c.held[i].Party, Room: c.held[i].Room})
}

// take takes the Authorizer's word on one of the callers.
func (c *recheck) take(i int, d Decision, err error) {
	v := Verdict{Decision: d}
	if err != nil {
		if v.Refusal = refusalOf(err); v.Refusal == nil {
			v.Refusal = RefuseAccessUnavailable()
		}
		if !v.Known() {
			c.errs = append(c.errs, err)
		}
	}
	c.settle(i, v)
}

func (c *recheck) settle(i int, v Verdict) {
	if v.Refusal == nil {
		v.Decision, v.Refusal = c.g.settle(c.now[i], v.Decision)
	}
	c.verdicts[i] = v
}

// final reports whether the credential is over and cannot be prolonged. A session slides, and a key may be given more
// time.
func (i Identity) final(now time.Time) bool {
	return (i.Method == MethodJWT || i.Method == MethodTicket) && !i.ExpiresAt.IsZero() && !now.Before(i.ExpiresAt)
}
