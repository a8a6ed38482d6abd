package gate

import (
	"context"
	"errors"
	"net/http"
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
	// Clock is for tests. Nil means time.Now.
	Clock func() time.Time
}

// FailureLimit bounds failing credentials per address.
type FailureLimit struct{}

// NewFailureLimit returns a limit of so many failures a minute and address.
func NewFailureLimit(perMinute int) *FailureLimit { return &FailureLimit{} }

// NewGuard makes a guard. Its error says what is missing, or excludes what.
func NewGuard(c GuardConfig) (Guard, error) {
	return nil, errors.New("not yet")
}
