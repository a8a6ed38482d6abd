package gate

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"time"
)

// Guard is the gate of a party: it knows callers and decides what they may do. Its methods may be called concurrently.
type Guard interface {
	// Admit decides on a request, before there is a room. It is a Rule.
	Admit(ctx context.Context, r *Request) (Decision, error)
	// Refresh decides on a connection that brings a new token. One that does not verify to the same user and
	// organisation is a *Refusal with 401, and what the connection was told before still counts.
	Refresh(ctx context.Context, h Held, token string) (Decision, error)
	// Recheck decides on open connections again: one Verdict for each, in order. An error means that not all of them
	// could be decided: who has a Verdict that is not Known, or none, keeps what it had.
	Recheck(ctx context.Context, held []Held) ([]Verdict, error)
}

// Held is an open connection: who it is, and where.
type Held struct {
	Identity    Identity
	Party, Room string
	Addr        string // the client's address: for the limit of failures
}

// GuardConfig is what a Guard is made of.
type GuardConfig struct {
	// Authenticator knows who callers are. Required unless Public is set; nil means that everybody is anonymous.
	Authenticator Authenticator
	// Authorizer decides what they may do. Nil means that every authenticated caller may read and write.
	Authorizer Authorizer
	// Tickets says what tickets are to the party.
	Tickets TicketMode
	// Public admits everybody, and takes no Authorizer. A credential that verifies still makes an identity, one that
	// does not makes an anonymous caller and no failure.
	Public bool
	// Origin tells browser pages apart. Nil is the zero OriginConfig.
	Origin *OriginPolicy
	// Addr returns the client's address. Nil means the host of RemoteAddr.
	Addr func(*http.Request) string
	// Failures bounds failing credentials per address. Nil means no bound. Guards may share one.
	Failures *FailureLimit
	// Clock tells the time. Nil means time.Now.
	Clock func() time.Time
}

// guard is the Guard of NewGuard. It is immutable, but for what its parts keep.
type guard struct {
	GuardConfig
	anonymous bool            // the Authorizer decides on callers without identity too
	batch     BatchAuthorizer // the Authorizer, if it is one
}

// NewGuard makes the Guard of these parts. It decides in this order, and whatever is not decided is refused:
//
//  1. Who the caller is: what the Authenticator says. It says 503 where nothing can be known, never less.
//  2. Whether the credential may be used here: it has not expired, and a ticket is for this room.
//  3. A caller without identity is AUTH_MISSING, unless the Authorizer is an AnonymousAuthorizer that wants it.
//  4. What the Authorizer says.
//
// On a public party, who has no identity that may be used here is anonymous; only what cannot be known (503) and what
// makes no sense (400) is refused. Public ends there.
//
// The Decision's Until is the earlier of what the Authorizer says and the identity's expiry. NewGuard returns an error
// for parts that are missing or exclude each other.
func NewGuard(c GuardConfig) (Guard, error) {
	switch {
	case c.Public && c.Authorizer != nil:
		return nil, errors.New("gate: a public party takes no authorizer")
	case c.Public && c.Tickets == TicketsOnly:
		return nil, errors.New("gate: a public party cannot ask for tickets: without Public, every ticket is let in")
	case c.Authenticator == nil && !c.Public:
		return nil, errors.New("gate: no authenticator: only a public party does without")
	case c.Tickets > TicketsOnly:
		return nil, errors.New("gate: unknown ticket mode")
	}
	if c.Origin == nil {
		c.Origin, _ = NewOriginPolicy(OriginConfig{}) // the zero config is valid
	}
	if c.Addr == nil {
		c.Addr = remoteHost
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	g := &guard{GuardConfig: c}
	if a, ok := c.Authorizer.(AnonymousAuthorizer); ok {
		g.anonymous = a.Anonymous()
	}
	g.batch, _ = c.Authorizer.(BatchAuthorizer)
	return g, nil
}

// remoteHost is the address of a request without its port.
func remoteHost(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// Admit implements Guard.
func (g *guard) Admit(ctx context.Context, r *Request) (Decision, error) {
	id, err := g.authenticate(ctx, r.HTTP)
	if err != nil {
		return Decision{}, err
	}
	return g.decide(ctx, id, r)
}

// authenticate returns who sent a request.
func (g *guard) authenticate(ctx context.Context, r *http.Request) (Identity, error) {
	if g.Authenticator == nil {
		return Identity{}, nil
	}
	addr := g.Addr(r)
	id, err := g.Authenticator.Authenticate(ctx, &Caller{HTTP: r, Origin: g.Origin.Classify(r), Addr: addr}, g.Tickets)
	if err == nil {
		return id, nil
	}
	err = decided(err, RefuseAuthUnavailable)
	if g.Public && refusalOf(err).failing() {
		return Identity{}, nil
	}
	return Identity{}, g.counted(addr, err)
}

// counted counts a credential that failed, and returns its error, or the one of an address where too many did. err has a
// Refusal in it.
func (g *guard) counted(addr string, err error) error {
	if g.Failures == nil || refusalOf(err).Status != http.StatusUnauthorized {
		return err
	}
	if retry := g.Failures.failed(addr, g.Clock()); retry > 0 {
		return RefuseRateLimited(retry)
	}
	return err
}

// decide says what a known caller may do.
func (g *guard) decide(ctx context.Context, id Identity, r *Request) (Decision, error) {
	id, refusal := g.usable(id, r.Party, r.Room)
	if refusal != nil {
		return Decision{}, refusal
	}
	d := Decision{Write: true}
	if g.Authorizer != nil {
		var err error
		if d, err = g.Authorizer.Authorize(ctx, id, r); err != nil {
			return Decision{}, decided(err, RefuseAccessUnavailable)
		}
	}
	if d, refusal = g.settle(id, d); refusal != nil {
		return Decision{}, refusal
	}
	return d, nil
}

// usable returns who an identity is in a room, before the Authorizer is asked: the same, nobody on a public party where
// it may not be used, or the reason why it is refused.
func (g *guard) usable(id Identity, party, room string) (Identity, *Refusal) {
	refusal := g.unusable(id, party, room)
	if refusal != nil && g.Public {
		return Identity{}, nil
	}
	return id, refusal
}

func (g *guard) unusable(id Identity, party, room string) *Refusal {
	switch {
	case !id.Authenticated():
		if g.Public || g.anonymous {
			return nil
		}
		return RefuseMissing()
	case id.Method == MethodTicket && g.Tickets == TicketsRefused:
		return RefuseInvalid() // no Authenticator should have looked at it
	case id.Method != MethodTicket && g.Tickets == TicketsOnly:
		return RefuseMissing() // the same
	case !id.ExpiresAt.IsZero() && !g.Clock().Before(id.ExpiresAt):
		return RefuseExpired()
	case id.Scope != nil && !slices.Contains(id.Scope, party+"/"+room):
		return RefuseDenied()
	}
	return nil
}

// settle puts together what the Authorizer said and who was asked about.
func (g *guard) settle(id Identity, d Decision) (Decision, *Refusal) {
	if !d.Until.IsZero() && !g.Clock().Before(d.Until) {
		return Decision{}, RefuseDenied() // it ended before it began
	}
	d.Identity = id
	if d.Until.IsZero() || !id.ExpiresAt.IsZero() && id.ExpiresAt.Before(d.Until) {
		d.Until = id.ExpiresAt
	}
	return d, nil
}

// Refresh implements Guard. The Request that the Authorizer gets has no HTTP.
func (g *guard) Refresh(ctx context.Context, h Held, token string) (Decision, error) {
	if g.Authenticator == nil {
		return Decision{}, RefuseInvalid()
	}
	id, err := g.Authenticator.Refresh(ctx, token, g.Tickets)
	switch {
	case err != nil:
		return Decision{}, g.counted(h.Addr, decided(err, RefuseAuthUnavailable))
	case !id.Authenticated() || !id.Same(h.Identity):
		return Decision{}, RefuseInvalid()
	}
	if refusal := g.unusable(id, h.Party, h.Room); refusal != nil { // on a public party too: it would lose its identity
		return Decision{}, refusal
	}
	return g.decide(ctx, id, &Request{Party: h.Party, Room: h.Room})
}

// undecided is a refusal because nothing could be known, with the reason, which is for logs alone.
type undecided struct {
	refusal *Refusal
	cause   error
}

func (u *undecided) Error() string   { return u.refusal.Error() + ": " + u.cause.Error() }
func (u *undecided) Unwrap() []error { return []error{u.refusal, u.cause} }

// decided returns an error of a part as one that has a Refusal in it: its own, or the one that says that nothing is
// known.
func decided(err error, unknown func() *Refusal) error {
	if refusalOf(err) != nil {
		return err
	}
	return &undecided{unknown(), err}
}

// refusalOf returns the Refusal in an error, nil if there is none.
func refusalOf(err error) *Refusal {
	var refusal *Refusal
	if errors.As(err, &refusal) {
		return refusal
	}
	return nil
}

// failing reports whether the refusal is one of a credential, rather than of a request that makes no sense or could not
// be decided.
func (r *Refusal) failing() bool {
	return r.Status == http.StatusUnauthorized || r.Status == http.StatusForbidden || r.Status == http.StatusTooManyRequests
}
