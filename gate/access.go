package gate

import (
	"context"
	"net/http"
	"time"
)

// Request is what a rule of access decides on.
type Request struct {
	HTTP  *http.Request // read only; its body is not read. Nil when an open connection is looked at again.
	Party string        // the party's name, kebab case
	Room  string        // the room's id, from RoomID
}

// Decision is what an admitted caller may do. It is only meaningful beside a nil error.
type Decision struct {
	Identity   Identity  // who was admitted
	Write      bool      // false: read-only. The caller sees the room, and its edits are dropped.
	NoPresence bool      // the caller's presence is dropped: others do not see where it is
	Until      time.Time // when this has to be decided again, or ends. Zero means as long as the identity.
}

// Rule decides on one request to one room, upgrade or not. It returns a *Refusal as its error to refuse; any other
// error means that it could not decide, and admits nobody. It must honour ctx and may be called concurrently.
type Rule func(ctx context.Context, r *Request) (Decision, error)

// Public is the rule of a room that needs no identity: everyone may read and write.
func Public(context.Context, *Request) (Decision, error) {
	return Decision{Write: true}, nil
}

// Authorizer decides what a known caller may do in a room. It returns a *Refusal as its error to refuse; any other
// error means that it could not decide (503). It must honour ctx and may be called concurrently. The Identity of its
// Decision is not looked at: it is the one that was asked about.
type Authorizer interface {
	Authorize(ctx context.Context, id Identity, r *Request) (Decision, error)
}

// AuthorizerFunc is a function as an Authorizer.
type AuthorizerFunc func(ctx context.Context, id Identity, r *Request) (Decision, error)

// Authorize calls the function.
func (f AuthorizerFunc) Authorize(ctx context.Context, id Identity, r *Request) (Decision, error) {
	return f(ctx, id, r)
}

// AnonymousAuthorizer is an Authorizer that decides on callers without identity too. Without this method, or if it
// returns false, they are refused with AUTH_MISSING before the Authorizer is asked.
type AnonymousAuthorizer interface {
	Authorizer
	Anonymous() bool
}

// BatchAuthorizer is an Authorizer that decides on many callers of one party at once, as with one query.
type BatchAuthorizer interface {
	Authorizer
	// AuthorizeAll returns one Verdict for each ask, in order. An error means that nothing is known now, about none.
	AuthorizeAll(ctx context.Context, asks []Ask) ([]Verdict, error)
}

// Ask is a caller in a room.
type Ask struct {
	Identity    Identity
	Party, Room string
}

// Verdict is what a caller may do, or why it may not be there any more. A refusal with a status of 500 or more, or 429,
// says that nothing is known now about this one.
type Verdict struct {
	Decision Decision
	Refusal  *Refusal // nil: Decision counts
}

// Known reports whether the verdict says something.
func (v Verdict) Known() bool {
	return v.Refusal == nil || v.Refusal.Status < 500 && v.Refusal.Status != http.StatusTooManyRequests
}
