package gate

import (
	"context"
	"net/http"
)

// Identity is who a caller is. The zero Identity is the anonymous caller.
type Identity struct {
	UserID string // the user's id at the identity's issuer. Empty means anonymous.
}

// Authenticated reports whether a credential was verified for this identity.
func (i Identity) Authenticated() bool { return i.UserID != "" }

// Request is what a rule of access decides on.
type Request struct {
	HTTP  *http.Request // read only; its body is not read
	Party string        // the party's name, kebab case
	Room  string        // the room's id, from RoomID
}

// Decision is what an admitted caller may do. It is only meaningful beside a nil error.
type Decision struct {
	Identity Identity // who was admitted
	Write    bool     // false: read-only. The caller sees the room, and its edits are dropped
}

// Rule decides on one request to one room, upgrade or not. It returns a *Refusal as its error to refuse; any other
// error means that it could not decide, and admits nobody. It must honour ctx and may be called concurrently.
type Rule func(ctx context.Context, r *Request) (Decision, error)

// Public is the rule of a room that needs no identity: everyone may read and write.
func Public(context.Context, *Request) (Decision, error) {
	return Decision{Write: true}, nil
}
