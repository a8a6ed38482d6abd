package identity

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"sync/atomic"

	"github.com/yserverd/yserverd/gate"
)

// Authenticator knows who callers are. It is safe for concurrent use once Start has returned.
type Authenticator struct {
	config  Config
	cookie  string
	backend *backend
	jwts    *jwtVerifier // nil: off
	tickets *Issuer      // nil: off
	limits  *keyLimits
	found   atomic.Pointer[methods] // nil until Start
}

// methods are those of the database, each nil when it is off.
type methods struct {
	sessions *sessions
	keys     *tableKeys
}

var _ gate.Authenticator = (*Authenticator)(nil)

// New makes an authenticator, which has to be started. Its error is Problems where the configuration is wrong. It reads
// the file with the issuer's keys, and asks nobody.
func New(c Config) (*Authenticator, error) {
	c = c.withDefaults()
	if err := c.validate().err(); err != nil {
		return nil, err
	}
	a := &Authenticator{config: c, cookie: c.Session.Cookie, tickets: c.Tickets, limits: newKeyLimits(maxLimits)}
	if c.Secure {
		a.cookie = securePrefix + a.cookie
	}
	a.backend = &backend{db: c.DB, breaker: breaker{clock: c.Clock}, changed: func(away bool, err error) {
		if away {
			c.Log.Warn("the database of identities cannot be asked: sessions and keys are answered with 503", "error", err)
		} else {
			c.Log.Info("the database of identities answers again")
		}
	}}
	var err error
	if a.tickets == nil && len(c.Secret) > 0 {
		if a.tickets, err = NewIssuer(IssuerConfig{Secret: c.Secret, Clock: c.Clock}); err != nil {
			return nil, err
		}
	}
	if len(c.JWT.Algorithms) > 0 {
		if a.jwts, err = newJWTVerifier(c); err != nil {
			return nil, err
		}
	}
	if c.DB == nil {
		a.found.Store(&methods{})
	}
	return a, nil
}

// Start looks which tables there are, with a line in the log for each that is not there and need not be, and asks for
// the issuer's keys, which need not answer. Its error is Problems when a table or column that the configuration names
// is not there. Until it has returned nil, sessions and keys of tables are answered with 503.
func (a *Authenticator) Start(ctx context.Context) error {
	t, _ := a.config.tables()
	problems, notes, err := t.look(ctx, a.config.DB)
	if err != nil {
		return err
	}
	if len(problems) > 0 {
		return problems
	}
	for _, note := range notes {
		a.config.Log.Info(note)
	}
	m := &methods{}
	if t.session != nil && t.session.there {
		m.sessions = newSessions(a.backend, t, a.config.PinnedOrg)
	}
	if t.apikey.there {
		m.keys = newTableKeys(a.backend, t, a.config.PinnedOrg, a.limits)
	}
	a.found.Store(m)
	if a.jwts != nil {
		a.jwts.start(ctx)
	}
	return nil
}

// Close ends what asks for the issuer's keys, and waits for it.
func (a *Authenticator) Close() {
	if a.jwts != nil {
		a.jwts.close()
	}
}

// Issuer returns what issues and verifies tickets. It is nil when there is no secret.
func (a *Authenticator) Issuer() *Issuer { return a.tickets }

// Check looks at a configuration as New and Start do, and returns all that is wrong with it. Its error is a database
// that cannot be asked.
func Check(ctx context.Context, c Config) ([]Problem, error) {
	c = c.withDefaults()
	problems := c.validate()
	if c.JWT.JWKSFile != "" {
		if _, err := parseKeys(fileSource(c.JWT.JWKSFile)(ctx)); err != nil {
			problems = append(problems, Problem{[]string{"jwt", "jwks_file"}, "the issuer's keys cannot be read: " + err.Error(), "name a file with a JSON Web Key Set of public keys"})
		}
	}
	t, _ := c.tables()
	more, _, err := t.look(ctx, c.DB)
	return append(problems, more...), err
}

// Authenticate implements gate.Authenticator. A ticket where none is taken is refused like any other credential that
// does not verify, and so is whatever else where only tickets are.
func (a *Authenticator) Authenticate(ctx context.Context, c *gate.Caller, tickets gate.TicketMode) (gate.Identity, error) {
	e, err := a.config.APIKeys.readExplicit(c.HTTP)
	switch {
	case err != nil:
		return gate.Identity{}, err
	case e.ticket.present:
		if tickets == gate.TicketsRefused {
			return gate.Identity{}, gate.RefuseInvalid()
		}
		return a.ticket(ctx, e.ticket.value)
	case tickets == gate.TicketsOnly:
		if e.key.present || e.bearer.present {
			return gate.Identity{}, gate.RefuseInvalid()
		}
		return gate.Identity{}, nil
	case e.key.present:
		return a.apiKey(ctx, e.key.value)
	case e.bearer.present:
		token, ok := bearerToken(e.bearer.value)
		if !ok {
			return gate.Identity{}, gate.RefuseInvalid()
		}
		return a.bearer(ctx, token)
	}
	return a.ambient(ctx, c)
}

// Refresh implements gate.Authenticator.
func (a *Authenticator) Refresh(ctx context.Context, token string, tickets gate.TicketMode) (gate.Identity, error) {
	if ticket := isTicket(token); ticket && tickets != gate.TicketsRefused {
		return a.ticket(ctx, token)
	} else if ticket || tickets == gate.TicketsOnly || token == "" {
		return gate.Identity{}, gate.RefuseInvalid()
	}
	return a.bearer(ctx, token)
}

// apiKey verifies a key of the configuration, then one of the table.
func (a *Authenticator) apiKey(ctx context.Context, key string) (gate.Identity, error) {
	if key == "" || len(key) > maxToken {
		return gate.Identity{}, gate.RefuseInvalid()
	}
	digest := sha256.Sum256([]byte(key))
	if id, ok := staticKeys(a.config.APIKeys.Static).find(digest); ok {
		return a.pin(id), nil
	}
	switch m := a.found.Load(); {
	case m == nil:
		return gate.Identity{}, gate.RefuseAuthUnavailable()
	case m.keys == nil:
		return gate.Identity{}, gate.RefuseInvalid()
	default:
		return m.keys.verify(ctx, digest, a.config.Clock())
	}
}

// bearer verifies a JWT or a session token.
func (a *Authenticator) bearer(ctx context.Context, token string) (gate.Identity, error) {
	if looksLikeJWT(token) {
		if a.jwts == nil {
			return gate.Identity{}, gate.RefuseInvalid()
		}
		id, err := a.jwts.verify(ctx, token)
		return a.pin(id), err
	}
	if strings.ContainsAny(token, ".%") { // signed, as in a cookie
		opened, ok := openCookie(token, a.config.Secret)
		if !ok {
			return gate.Identity{}, gate.RefuseInvalid()
		}
		token = opened
	}
	return a.session(ctx, token)
}

// session verifies a session token.
func (a *Authenticator) session(ctx context.Context, token string) (gate.Identity, error) {
	switch m := a.found.Load(); {
	case !a.config.Session.Enabled || m != nil && m.sessions == nil:
		return gate.Identity{}, gate.RefuseInvalid()
	case m == nil:
		return gate.Identity{}, gate.RefuseAuthUnavailable()
	default:
		return m.sessions.verify(ctx, token, a.config.Clock())
	}
}

// ambient looks at the cookie. One that does not verify makes an anonymous caller: nobody chose to send it.
func (a *Authenticator) ambient(ctx context.Context, c *gate.Caller) (gate.Identity, error) {
	if !a.config.Session.Enabled || !cookieCounts(c.Origin) {
		return gate.Identity{}, nil
	}
	token, ok := sessionCookie(c.HTTP, a.cookie, a.config.Secret)
	if !ok {
		return gate.Identity{}, nil
	}
	id, err := a.session(ctx, token)
	var refusal *gate.Refusal
	if errors.As(err, &refusal) && refusal.Code != gate.CodeAuthUnavailable {
		return gate.Identity{}, nil
	}
	return id, err
}

// ticket verifies a ticket.
func (a *Authenticator) ticket(ctx context.Context, token string) (gate.Identity, error) {
	if a.tickets == nil {
		return gate.Identity{}, gate.RefuseInvalid()
	}
	t, err := a.tickets.Verify(ctx, token)
	if err != nil {
		return gate.Identity{}, err
	}
	return a.pin(t.Identity), nil
}

// pin puts an identity into the pinned organisation. Roles of another one do not count there.
func (a *Authenticator) pin(id gate.Identity) gate.Identity {
	pinned := a.config.PinnedOrg
	if pinned == "" || !id.Authenticated() || id.OrgID == pinned {
		return id
	}
	if id.OrgID != "" {
		id.Roles, id.TeamID = nil, ""
	}
	id.OrgID = pinned
	return id
}

// refusalOf returns what a caller is told of a query that failed.
func refusalOf(err error) *gate.Refusal {
	if errors.Is(err, errUnfit) {
		return gate.RefuseInvalid()
	}
	return gate.RefuseAuthUnavailable()
}
