package identity

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/yserverd/yserverd/gate"
)

const (
	ticketLabel = "ws-ticket"     // what the tickets' key is derived for
	ticketType  = "ws-ticket+jwt" // "typ" of a ticket's header
	ticketTTL   = time.Minute     // unless the configuration says otherwise
)

// Burner remembers which tickets were used, for those that may be used once.
type Burner interface {
	// Burn remembers an id until a time, and reports whether it was not there before. Of callers at the same time one is
	// first. An error means that nobody knows.
	Burn(ctx context.Context, id string, until time.Time) (first bool, err error)
}

// IssuerConfig is what an Issuer is made of.
type IssuerConfig struct {
	Secret    []byte        // the tickets' key is derived from it. At least 32 bytes.
	TTL       time.Duration // how long after it was issued a ticket opens something. Zero means a minute.
	SingleUse bool          // a ticket opens something once
	Burner    Burner        // for SingleUse. Nil means one in memory, for one server.
	Clock     func() time.Time
}

// Issuer issues tickets and verifies them: short-lived credentials for the URL of a WebSocket, which a browser cannot
// give headers. A ticket is a compact JWS (HS256) whose key is derived from the secret for this purpose alone.
type Issuer struct {
	key    []byte
	ttl    time.Duration
	burner Burner // nil: tickets may be used again
	clock  func() time.Time
	parser *jwt.Parser
}

// IssueOptions say what a ticket is for.
type IssueOptions struct {
	Rooms    []string      // "party/room" each: nothing but these. Nil means any room whose rule the identity passes.
	ScopeKey string        // of a resource: the broadcast socket alone. It excludes Rooms.
	TTL      time.Duration // Zero means that of the issuer, which is the longest.
}

// Ticket is what a ticket says.
type Ticket struct {
	Identity gate.Identity // its Scope is empty, so no room's, when there is a ScopeKey
	ScopeKey string
}

// ticketClaims are the claims of a ticket, beside those that every token has.
type ticketClaims struct {
	Org      string   `json:"organizationId,omitempty"`
	Team     string   `json:"teamId,omitempty"`
	Roles    []string `json:"roles,omitempty"`
	UserRole string   `json:"userRole,omitempty"`
	Name     string   `json:"name,omitempty"`
	ScopeKey string   `json:"scopeKey,omitempty"`
	Party    string   `json:"party,omitempty"` // with Room: of one room
	Room     string   `json:"room,omitempty"`
	Rooms    []string `json:"rooms,omitempty"` // of several
	Ends     int64    `json:"sexp,omitempty"`  // when the identity that asked ends, in seconds. Zero means never.
	jwt.RegisteredClaims
}

// NewIssuer makes an issuer.
func NewIssuer(c IssuerConfig) (*Issuer, error) {
	if len(c.Secret) < minSecret {
		return nil, fmt.Errorf("the secret has %d bytes, and tickets need at least %d", len(c.Secret), minSecret)
	}
	if c.TTL < 0 || c.TTL > 0 && c.TTL < time.Second {
		return nil, errors.New("a ticket is good for at least a second")
	}
	key, err := hkdf.Key(sha256.New, c.Secret, nil, ticketLabel, sha256.Size)
	if err != nil {
		return nil, err
	}
	i := &Issuer{key: key, ttl: c.TTL, clock: c.Clock}
	if i.ttl == 0 {
		i.ttl = ticketTTL
	}
	if i.clock == nil {
		i.clock = time.Now
	}
	if i.burner = c.Burner; c.SingleUse && i.burner == nil {
		i.burner = NewMemoryBurner(0, i.clock)
	} else if !c.SingleUse {
		i.burner = nil
	}
	i.parser = jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithExpirationRequired(), jwt.WithTimeFunc(i.clock), jwt.WithStrictDecoding(),
	)
	return i, nil
}

// Issue returns a ticket for an identity and when it ceases to open anything. It is an error for an anonymous identity,
// one that came by a ticket itself, and one that has expired.
func (i *Issuer) Issue(id gate.Identity, o IssueOptions) (token string, expires time.Time, err error) {
	now := i.clock()
	ttl := o.TTL
	if ttl <= 0 || ttl > i.ttl {
		ttl = i.ttl
	}
	expires = time.Unix(now.Unix(), 0).Add(ttl.Truncate(time.Second)).UTC()
	claims := ticketClaims{Org: id.OrgID, Team: id.TeamID, Roles: id.Roles, UserRole: id.UserRole, Name: id.Name, ScopeKey: o.ScopeKey}
	if !id.ExpiresAt.IsZero() {
		claims.Ends = id.ExpiresAt.Unix()
		if ends := time.Unix(claims.Ends, 0).UTC(); ends.Before(expires) {
			expires = ends
		}
	}
	switch {
	case !id.Authenticated():
		return "", time.Time{}, errors.New("a ticket needs an identity")
	case id.Method == gate.MethodTicket:
		return "", time.Time{}, errors.New("a ticket makes no tickets")
	case !now.Before(expires):
		return "", time.Time{}, errors.New("the identity has expired")
	case o.ScopeKey != "" && o.Rooms != nil:
		return "", time.Time{}, errors.New("a ticket is for a resource or for rooms")
	}
	if err := claims.setRooms(o.Rooms); err != nil {
		return "", time.Time{}, err
	}
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails
	claims.RegisteredClaims = jwt.RegisteredClaims{
		Subject: id.UserID, ID: base64.RawURLEncoding.EncodeToString(random[:]),
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(expires),
	}
	t := jwt.NewWithClaims(jwt.SigningMethodHS256, claims)
	t.Header["typ"] = ticketType
	token, err = t.SignedString(i.key)
	return token, expires, err
}

// setRooms binds a ticket to rooms.
func (c *ticketClaims) setRooms(rooms []string) error {
	if rooms != nil && len(rooms) == 0 {
		return errors.New("a ticket for no room opens nothing")
	}
	for _, r := range rooms {
		if party, room, ok := strings.Cut(r, "/"); !ok || party == "" || room == "" {
			return errors.New("a room of a ticket is written party/room")
		}
	}
	if len(rooms) == 1 {
		c.Party, c.Room, _ = strings.Cut(rooms[0], "/")
		return nil
	}
	c.Rooms = rooms
	return nil
}

// Verify returns what a ticket says, if this issuer issued it, its time is not over and, for tickets that are used once,
// nobody did. Its error is a *gate.Refusal.
func (i *Issuer) Verify(ctx context.Context, token string) (Ticket, error) {
	if len(token) > maxJWT {
		return Ticket{}, gate.RefuseInvalid()
	}
	var claims ticketClaims
	_, err := i.parser.ParseWithClaims(token, &claims, func(t *jwt.Token) (any, error) {
		if _, critical := t.Header["crit"]; critical || t.Header["typ"] != ticketType {
			return nil, errors.New("the token is no ticket")
		}
		return i.key, nil
	})
	switch {
	case err != nil && onlyExpired(err):
		return Ticket{}, gate.RefuseExpired()
	case err != nil || claims.Subject == "" || claims.ID == "":
		return Ticket{}, gate.RefuseInvalid()
	}
	t := claims.ticket()
	if !t.Identity.ExpiresAt.IsZero() && !i.clock().Before(t.Identity.ExpiresAt) {
		return Ticket{}, gate.RefuseExpired()
	}
	if i.burner == nil {
		return t, nil
	}
	first, err := i.burner.Burn(ctx, claims.ID, claims.ExpiresAt.Time)
	switch {
	case err != nil:
		return Ticket{}, gate.RefuseAuthUnavailable()
	case !first:
		return Ticket{}, gate.RefuseInvalid()
	}
	return t, nil
}

// ticket returns what the claims of a ticket that was verified say.
func (c *ticketClaims) ticket() Ticket {
	id := gate.Identity{
		UserID: c.Subject, Name: c.Name, UserRole: c.UserRole, OrgID: c.Org, TeamID: c.Team, Roles: c.Roles, Method: gate.MethodTicket,
	}
	if c.Ends != 0 {
		id.ExpiresAt = time.Unix(c.Ends, 0).UTC()
	}
	switch {
	case c.ScopeKey != "":
		id.Scope = []string{}
	case c.Party != "" || c.Room != "":
		id.Scope = []string{c.Party + "/" + c.Room}
	case c.Rooms != nil:
		id.Scope = c.Rooms
	}
	return Ticket{Identity: id, ScopeKey: c.ScopeKey}
}

// isTicket reports whether a token says that it is a ticket.
func isTicket(token string) bool {
	encoded, _, ok := strings.Cut(token, ".")
	if !ok || len(token) > maxJWT {
		return false
	}
	data, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return false
	}
	var header map[string]any
	return json.Unmarshal(data, &header) == nil && isTicketType(header["typ"])
}
