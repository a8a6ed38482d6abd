package identity

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/yserverd/yserverd/gate"
)

// jwtVerifier verifies JWTs.
type jwtVerifier struct {
	secret []byte
	claims ClaimNames
	leeway time.Duration
	clock  func() time.Time
	parser *jwt.Parser
	keys   *keySet // of the issuer. Nil when no algorithm uses them.
}

// newJWTVerifier makes a verifier of a configuration that was checked. It reads the file of keys if there is one.
func newJWTVerifier(c Config) (*jwtVerifier, error) {
	v := &jwtVerifier{secret: c.Secret, claims: c.JWT.Claims, leeway: c.JWT.Leeway, clock: c.Clock}
	options := []jwt.ParserOption{
		jwt.WithValidMethods(slices.Clone(c.JWT.Algorithms)), jwt.WithExpirationRequired(), jwt.WithLeeway(c.JWT.Leeway),
		jwt.WithTimeFunc(c.Clock), jwt.WithStrictDecoding(),
	}
	if c.JWT.Issuer != "" {
		options = append(options, jwt.WithIssuer(c.JWT.Issuer))
	}
	if c.JWT.Audience != "" {
		options = append(options, jwt.WithAudience(c.JWT.Audience))
	}
	v.parser = jwt.NewParser(options...)
	if !slices.ContainsFunc(c.JWT.Algorithms, func(a string) bool { return algorithms[a] }) {
		return v, nil
	}
	var err error
	v.keys, err = newKeySet(c)
	return v, err
}

// start asks for the issuer's keys, which need not answer.
func (v *jwtVerifier) start(ctx context.Context) {
	if v.keys != nil {
		_ = v.keys.refresh(ctx, maxKeyAge) // it is in the log, and the next token asks again
	}
}

func (v *jwtVerifier) close() {
	if v.keys != nil {
		v.keys.close()
	}
}

// verify returns who a JWT is for. Its error is a *gate.Refusal.
func (v *jwtVerifier) verify(ctx context.Context, token string) (gate.Identity, error) {
	if len(token) > maxJWT {
		return gate.Identity{}, gate.RefuseInvalid()
	}
	claims := jwt.MapClaims{}
	_, err := v.parser.ParseWithClaims(token, claims, func(t *jwt.Token) (any, error) { return v.key(ctx, t) })
	switch {
	case err == nil:
	case errors.Is(err, errUnavailable):
		return gate.Identity{}, gate.RefuseAuthUnavailable()
	case onlyExpired(err):
		return gate.Identity{}, gate.RefuseExpired()
	default:
		return gate.Identity{}, gate.RefuseInvalid()
	}
	id, ok := v.identity(claims)
	if !ok {
		return gate.Identity{}, gate.RefuseInvalid()
	}
	return id, nil
}

// onlyExpired reports whether nothing but its time is wrong with a token.
func onlyExpired(err error) bool {
	if !errors.Is(err, jwt.ErrTokenExpired) {
		return false
	}
	return !slices.ContainsFunc([]error{
		jwt.ErrTokenInvalidIssuer, jwt.ErrTokenInvalidAudience, jwt.ErrTokenNotValidYet, jwt.ErrTokenRequiredClaimMissing, jwt.ErrInvalidType,
	}, func(other error) bool { return errors.Is(err, other) })
}

// maxKid is the longest "kid", in bytes.
const maxKid = 256

// key returns what verifies a token: its algorithm decides, which is on the allow-list. Nothing else in the header can
// choose a key or bring one along.
func (v *jwtVerifier) key(ctx context.Context, t *jwt.Token) (any, error) {
	if err := checkHeader(t.Header); err != nil {
		return nil, err
	}
	if t.Method.Alg() == jwt.SigningMethodHS256.Alg() {
		return v.secret, nil
	}
	return v.keys.key(ctx, t)
}

// checkHeader refuses what is no access token, and what asks for more than is understood here.
func checkHeader(header map[string]any) error {
	if typ, ok := header["typ"]; ok && isTicketType(typ) {
		return errors.New("the token is a ticket")
	}
	if _, ok := header["crit"]; ok {
		return errors.New("the token has critical extensions")
	}
	if kid, ok := header["kid"]; ok {
		if s, ok := kid.(string); !ok || len(s) > maxKid {
			return errors.New("the token names no key")
		}
	}
	return nil
}

// maxTime is the last time that a claim may name: the end of the year 9999.
const maxTime = 253_402_300_799

// identity reads the claims of a token that was verified.
func (v *jwtVerifier) identity(claims jwt.MapClaims) (gate.Identity, bool) {
	if p, ok := claims["purpose"].(string); ok && isTicketType(p) {
		return gate.Identity{}, false
	}
	id := gate.Identity{Method: gate.MethodJWT}
	fields := []struct {
		claim    string
		to       *string
		required bool
	}{
		{v.claims.User, &id.UserID, true},
		{v.claims.Org, &id.OrgID, false},
		{v.claims.Name, &id.Name, false},
		{v.claims.UserRole, &id.UserRole, false},
	}
	for _, f := range fields {
		switch value := claims[f.claim].(type) {
		case nil:
		case string:
			*f.to = value
		default: // whoever made the token means something else by the claim
			return gate.Identity{}, false
		}
		if !isPlain(*f.to) || f.required && *f.to == "" {
			return gate.Identity{}, false
		}
	}
	if !isID(id.UserID) || !isID(id.OrgID) {
		return gate.Identity{}, false
	}
	id.UserRole = userRole(id.UserRole)
	id.Roles = rolesClaim(claims[v.claims.Roles])
	exp, ok := claims["exp"].(float64)
	if !ok || exp > maxTime {
		return gate.Identity{}, false
	}
	id.ExpiresAt = v.expiry(time.Unix(int64(math.Floor(exp)), 0).UTC())
	return id, true
}

// expiry is when an identity ends: with its token or, for one that is within the leeway already, with the leeway.
func (v *jwtVerifier) expiry(exp time.Time) time.Time {
	if v.clock().Before(exp) {
		return exp
	}
	return exp.Add(v.leeway)
}

// rolesClaim reads a role, a list of them in one string, or an array. What is no string in it is no role.
func rolesClaim(claim any) []string {
	switch value := claim.(type) {
	case string:
		return splitRoles(value)
	case []any:
		var lists []string
		for _, v := range value {
			if s, ok := v.(string); ok {
				lists = append(lists, s)
			}
		}
		return splitRoles(lists...)
	}
	return nil
}

// MintJWT returns a JWT for an identity, as this configuration believes it: HS256 with the secret, the names of its
// claims, its issuer and its audience. It starts now and ends after ttl, in whole seconds. It is an error when the
// configuration would not believe it, which it says.
func MintJWT(secret []byte, c JWTConfig, id gate.Identity, ttl time.Duration, now time.Time) (string, error) {
	switch {
	case !slices.Contains(c.Algorithms, jwt.SigningMethodHS256.Alg()):
		return "", errors.New("tokens are the issuer's to make: HS256 is not among the algorithms")
	case len(secret) < minSecret:
		return "", fmt.Errorf("the secret has %d bytes, and at least %d are needed", len(secret), minSecret)
	case !id.Authenticated() || !isID(id.UserID) || !isID(id.OrgID):
		return "", errors.New("the ids of user and organisation are text of up to 1,024 bytes, and a user is needed")
	case ttl < time.Second:
		return "", errors.New("the token would end before it starts: a second is the least")
	}
	names := c.Claims.withDefaults()
	claims := jwt.MapClaims{names.User: id.UserID, "iat": now.Unix(), "exp": now.Add(ttl).Unix()}
	for name, value := range map[string]string{names.Org: id.OrgID, names.Name: id.Name, names.UserRole: id.UserRole, "iss": c.Issuer, "aud": c.Audience} {
		if value != "" {
			claims[name] = value
		}
	}
	if len(id.Roles) > 0 {
		claims[names.Roles] = id.Roles
	}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(secret)
}

// isTicketType reports whether the "typ" of a header, or a purpose, is that of tickets. A media type has no case, and
// may be written with its "application/".
func isTicketType(typ any) bool {
	s, _ := typ.(string)
	s = strings.ToLower(strings.TrimSpace(s))
	s = strings.TrimPrefix(s, "application/")
	return s == ticketType || s == ticketLabel
}
