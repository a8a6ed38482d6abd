package gate

import (
	"context"
	"net/http"
	"time"
)

// Method is the kind of credential that an identity was proved by.
type Method string

// The methods, in the order in which credentials are looked for.
const (
	MethodAPIKey  Method = "api_key" // header or query, of the file or of a table
	MethodJWT     Method = "jwt"     // Authorization: Bearer
	MethodSession Method = "session" // a cookie, or a Bearer that is no JWT
	MethodTicket  Method = "ticket"  // ?ws_ticket=, issued by this server
)

// Identity is who a caller is. The zero Identity is the anonymous caller. Its slices are shared between all who hold
// the identity and must not be modified.
type Identity struct {
	UserID    string    // the user's id at the identity's issuer. Empty means anonymous.
	Name      string    // for others to see. Empty means unknown.
	UserRole  string    // the user's own role: "admin" passes rules of access, never a firewall
	OrgID     string    // ctx.activeOrgId. Empty means none, or no member of it.
	TeamID    string    // ctx.activeTeamId
	Roles     []string  // in the organisation
	ExpiresAt time.Time // of the credential. Zero means never.
	Method    Method    // empty for the anonymous caller
	Proof     string    // what Recheck finds the credential by (id of a session row, of a key): no secret, yet never logged or sent
	Scope     []string  // of a ticket: the rooms, as "party/room", that it is for. Nil means any, empty none.
}

// Authenticated reports whether a credential was verified for this identity.
func (i Identity) Authenticated() bool { return i.UserID != "" }

// Same reports whether both are one user in one organisation: who may refresh a connection, and share its id. Two
// anonymous callers are the same.
func (i Identity) Same(other Identity) bool {
	return i.UserID == other.UserID && i.OrgID == other.OrgID
}

// Caller is a request as an Authenticator sees it.
type Caller struct {
	HTTP   *http.Request // read only; its body is not read
	Origin OriginClass   // a cookie counts for OriginNone, OriginSameHost and OriginListed alone
	Addr   string        // the client's address
}

// TicketMode says what tickets are to a party.
type TicketMode uint8

// The modes.
const (
	TicketsRefused TicketMode = iota // no ticket is looked for
	TicketsToo                       // a ticket is one credential more
	TicketsOnly                      // nothing but a ticket is looked for
)

// Authenticator turns credentials into identities. Its methods may be called concurrently and honour ctx.
type Authenticator interface {
	// Authenticate returns who sent the request: the anonymous Identity and nil when there is no credential, a *Refusal
	// when an explicit one does not verify (401), when there are several (400), when a key is used too often (429) or
	// when nothing can be known now (503). Any other error counts as 503.
	Authenticate(ctx context.Context, c *Caller, tickets TicketMode) (Identity, error)
	// Refresh verifies a token that a connected client sends: a JWT, a session token or, as the mode says, a ticket. Its
	// errors are those of Authenticate; a token never verifies to the anonymous Identity.
	Refresh(ctx context.Context, token string, tickets TicketMode) (Identity, error)
	// Recheck looks at identities again, many at once: one Checked for each, in order. An error means that nothing is
	// known now, about none of them.
	Recheck(ctx context.Context, ids []Identity) ([]Checked, error)
}

// Checked is an identity as it is now (roles change, sessions slide), or why it is none any more.
type Checked struct {
	Identity Identity
	Refusal  *Refusal // nil: Identity counts
}
