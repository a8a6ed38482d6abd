package identity_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/gate/identity"
)

// TestJWT has what a token says, and what becomes of it.
func TestJWT(t *testing.T) {
	a := newOffline(t)
	for _, row := range []struct {
		name   string
		claims jwt.MapClaims
		want   gate.Identity
	}{
		{"user alone", nil, gate.Identity{UserID: "ann"}},
		{
			"everything",
			jwt.MapClaims{"orgId": "org_1", "role": "admin", "name": "Ann", "userRole": "user"},
			gate.Identity{UserID: "ann", OrgID: "org_1", Roles: []string{"admin"}, Name: "Ann", UserRole: "user"},
		},
		{"roles in an array", jwt.MapClaims{"role": []any{"a", "b", 1, nil, "a"}}, gate.Identity{UserID: "ann", Roles: []string{"a", "b"}}},
		{"roles in a list", jwt.MapClaims{"role": "a, b,,a"}, gate.Identity{UserID: "ann", Roles: []string{"a", "b"}}},
		{"a role of another kind", jwt.MapClaims{"role": 7}, gate.Identity{UserID: "ann"}},
		{"nulls", jwt.MapClaims{"x": 1, "name": []any(nil)}, gate.Identity{}},
		{"claims that are not asked for", jwt.MapClaims{"iss": "x", "aud": "y", "nbf": start.Unix(), "iat": start.Add(time.Hour).Unix()}, gate.Identity{UserID: "ann"}},
		{"in the leeway", jwt.MapClaims{"exp": start.Add(-29 * time.Second).Unix()}, gate.Identity{UserID: "ann", ExpiresAt: start.Add(time.Second)}},
		{"nbf in the leeway", jwt.MapClaims{"nbf": start.Add(30 * time.Second).Unix()}, gate.Identity{UserID: "ann"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			token := minted(t, secret, claims(row.claims))
			want := row.want
			want.Method = gate.MethodJWT
			if want.ExpiresAt.IsZero() {
				want.ExpiresAt = start.Add(time.Minute)
			}
			if row.name == "nulls" {
				want.UserID = "ann"
			}
			require.Equal(t, want, a.is(withBearer(token), "ann"))
		})
	}
}

// TestJWTRefused has claims and headers that make nobody.
func TestJWTRefused(t *testing.T) {
	a := newOffline(t)
	for _, row := range []struct {
		name   string
		claims jwt.MapClaims
		header []string
		code   string
	}{
		{"expired", jwt.MapClaims{"exp": start.Add(-30 * time.Second).Unix()}, nil, gate.CodeExpired},
		{"expired and not valid yet", jwt.MapClaims{"exp": start.Add(-time.Hour).Unix(), "nbf": start.Add(time.Hour).Unix()}, nil, gate.CodeInvalid},
		{"without exp", jwt.MapClaims{"exp": nil}, nil, gate.CodeInvalid},
		{"exp 0", jwt.MapClaims{"exp": 0}, nil, gate.CodeInvalid},
		{"exp in text", jwt.MapClaims{"exp": "4102444800"}, nil, gate.CodeInvalid},
		{"exp beyond time", jwt.MapClaims{"exp": 1e15}, nil, gate.CodeInvalid},
		{"exp beyond numbers", jwt.MapClaims{"exp": 1e300}, nil, ""},
		{"not valid yet", jwt.MapClaims{"nbf": start.Add(31 * time.Second).Unix()}, nil, gate.CodeInvalid},
		{"without a user", jwt.MapClaims{"sub": nil}, nil, gate.CodeInvalid},
		{"empty user", jwt.MapClaims{"sub": ""}, nil, gate.CodeInvalid},
		{"user of another kind", jwt.MapClaims{"sub": 1}, nil, gate.CodeInvalid},
		{"user with NUL", jwt.MapClaims{"sub": "ann\x00"}, nil, gate.CodeInvalid},
		{"long user", jwt.MapClaims{"sub": repeat(1025)}, nil, gate.CodeInvalid},
		{"organisation of another kind", jwt.MapClaims{"orgId": []any{"org_1"}}, nil, gate.CodeInvalid},
		{"organisation with a control character", jwt.MapClaims{"orgId": "a\nb"}, nil, gate.CodeInvalid},
		{"name with a control character", jwt.MapClaims{"name": "a\x1bb"}, nil, gate.CodeInvalid},
		{"purpose of a ticket", jwt.MapClaims{"purpose": "ws-ticket"}, nil, gate.CodeInvalid},
		{"type of a ticket", nil, []string{"typ", "ws-ticket+jwt"}, gate.CodeInvalid},
		{"type of a ticket, in full", nil, []string{"typ", "application/WS-Ticket+JWT"}, gate.CodeInvalid},
		{"critical extension", nil, []string{"crit", "b64"}, gate.CodeInvalid},
		{"long", jwt.MapClaims{"x": repeat(identity.MaxJWT)}, nil, gate.CodeInvalid},
	} {
		t.Run(row.name, func(t *testing.T) {
			token := minted(t, secret, claims(row.claims), row.header...)
			if row.code == "" { // whichever, but refused
				_, err := a.auth.Refresh(t.Context(), token, gate.TicketsRefused)
				require.Error(t, err)
				return
			}
			a.refused(withBearer(token), row.code)
		})
	}
	a.is(withBearer(minted(t, secret, claims(nil), "typ", "at+jwt", "kid", "whatever")), "ann")
}

// TestJWTForged has tokens that nobody signed with the secret.
func TestJWTForged(t *testing.T) {
	a := newOffline(t)
	good := minted(t, secret, claims(nil))
	parts := strings.Split(good, ".")
	encode := func(v string) string { return base64.RawURLEncoding.EncodeToString([]byte(v)) }
	unsigned, err := jwt.NewWithClaims(jwt.SigningMethodNone, claims(nil)).SignedString(jwt.UnsafeAllowNoneSignatureType)
	require.NoError(t, err)
	for name, token := range map[string]string{
		"alg none":                 unsigned,
		"alg none with signature":  unsigned + parts[2],
		"alg None":                 encode(`{"alg":"None"}`) + "." + parts[1] + ".",
		"alg missing":              encode(`{"typ":"JWT"}`) + "." + parts[1] + "." + parts[2],
		"alg of another kind":      encode(`{"alg":["HS256"]}`) + "." + parts[1] + "." + parts[2],
		"alg not on the list":      mintedBy(t, jwt.SigningMethodHS512, secret, claims(nil)),
		"another secret":           minted(t, []byte("another secret of at least 32 bytes."), claims(nil)),
		"an empty secret":          minted(t, []byte{}, claims(nil)),
		"no signature":             parts[0] + "." + parts[1] + ".",
		"other claims":             parts[0] + "." + encode(`{"sub":"bob","exp":4102444800}`) + "." + parts[2],
		"another header":           encode(`{"alg":"HS256","typ":"JWT","x":1}`) + "." + parts[1] + "." + parts[2],
		"four parts":               good + ".x",
		"trailing bits":            good[:len(good)-1] + string(nextBase64(good[len(good)-1])),
		"padding":                  good + "=",
		"no JSON":                  "eyJ.eyJ." + parts[2],
		"the ticket's key":         minted(t, identity.TicketKey(a.auth.Issuer()), claims(nil)),
		"a ticket":                 a.issue(identity.IssueOptions{}),
		"a ticket that says JWT":   minted(t, identity.TicketKey(a.auth.Issuer()), claims(nil), "typ", "JWT"),
		"a token's type, unsigned": encode(`{"alg":"HS256","typ":"ws-ticket+jwt"}`) + "." + parts[1] + "." + parts[2],
	} {
		t.Run(name, func(t *testing.T) { a.refused(withBearer(token), gate.CodeInvalid) })
	}
}

// nextBase64 returns a character that differs in the last bit alone.
func nextBase64(c byte) byte {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return alphabet[strings.IndexByte(alphabet, c)^1]
}

// TestJWTIssuerAndAudience: what is configured must be there.
func TestJWTIssuerAndAudience(t *testing.T) {
	a := &app{tb: t, clock: newClock()}
	c := a.configure()
	c.DB = nil
	c.JWT.Issuer, c.JWT.Audience = "https://app.example", "docs"
	c.JWT.Claims = identity.ClaimNames{User: "uid", Org: "https://app.example/org", Roles: "roles", Name: "nick", UserRole: "level"}
	a.started(c)
	own := func(others jwt.MapClaims) string {
		all := jwt.MapClaims{"uid": "ann", "sub": "nobody", "iss": "https://app.example", "aud": "docs"}
		for k, v := range others {
			all[k] = v
		}
		return minted(t, secret, claims(all))
	}
	id := a.is(withBearer(own(jwt.MapClaims{"https://app.example/org": "org_1", "roles": []any{"a"}, "nick": "Ann", "level": "admin"})), "ann")
	require.Equal(t, gate.Identity{
		UserID: "ann", OrgID: "org_1", Roles: []string{"a"}, Name: "Ann", UserRole: "admin", Method: gate.MethodJWT, ExpiresAt: start.Add(time.Minute),
	}, id)
	a.is(withBearer(own(jwt.MapClaims{"aud": []any{"mail", "docs"}})), "ann")
	for name, others := range map[string]jwt.MapClaims{
		"another issuer":              {"iss": "https://app.example/"},
		"no issuer":                   {"iss": nil},
		"another audience":            {"aud": "mail"},
		"no audience":                 {"aud": nil},
		"empty audience":              {"aud": []any{}},
		"another issuer, and expired": {"iss": "x", "exp": start.Add(-time.Hour).Unix()},
		"no user":                     {"uid": nil},
	} {
		t.Run(name, func(t *testing.T) { a.refused(withBearer(own(others)), gate.CodeInvalid) })
	}
	a.refused(withBearer(own(jwt.MapClaims{"exp": start.Add(-time.Hour).Unix()})), gate.CodeExpired)
}

func TestMintJWT(t *testing.T) {
	a := &app{tb: t, clock: newClock()}
	c := a.configure()
	c.DB = nil
	c.JWT.Issuer, c.JWT.Audience, c.JWT.Claims.Org = "me", "docs", "org"
	a.started(c)
	id := gate.Identity{UserID: "ann", OrgID: "org_1", Roles: []string{"a", "b"}, Name: "Ann", UserRole: "admin"}
	token, err := identity.MintJWT(secret, c.JWT, id, time.Minute, start)
	require.NoError(t, err)
	id.Method, id.ExpiresAt = gate.MethodJWT, start.Add(time.Minute)
	require.Equal(t, id, a.is(withBearer(token), "ann"))

	for _, row := range []struct {
		name   string
		secret []byte
		config identity.JWTConfig
		id     gate.Identity
		ttl    time.Duration
	}{
		{"no HS256", secret, identity.JWTConfig{Algorithms: []string{"RS256"}}, id, time.Minute},
		{"short secret", secret[:31], c.JWT, id, time.Minute},
		{"nobody", secret, c.JWT, gate.Identity{}, time.Minute},
		{"no id", secret, c.JWT, gate.Identity{UserID: "\x00"}, time.Minute},
		{"no time", secret, c.JWT, id, time.Millisecond},
	} {
		_, err := identity.MintJWT(row.secret, row.config, row.id, row.ttl, start)
		require.Error(t, err, row.name)
	}
}

// The keys of an issuer, made once: an RSA key takes its time.
var (
	rsaKey   = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	rsaOther = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	ecKey    = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	ecKey384 = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) })
	edKey    = sync.OnceValue(func() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) })
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// jwk returns the public key as an issuer publishes it, with members set or, by nil, left out.
func jwk(tb testing.TB, key crypto.PublicKey, kid string, members map[string]any) map[string]any {
	tb.Helper()
	j, err := jwkset.NewJWKFromKey(key, jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: kid}})
	require.NoError(tb, err)
	data, err := json.Marshal(j.Marshal())
	require.NoError(tb, err)
	object := map[string]any{}
	require.NoError(tb, json.Unmarshal(data, &object))
	for k, v := range members {
		if object[k] = v; v == nil {
			delete(object, k)
		}
	}
	return object
}

// keySet returns a JSON Web Key Set.
func keySet(tb testing.TB, keys ...map[string]any) []byte {
	tb.Helper()
	data, err := json.Marshal(map[string]any{"keys": keys})
	require.NoError(tb, err)
	return data
}

// withKeyFile is an authenticator that believes HS256 and the keys of a file.
func withKeyFile(t *testing.T, set []byte, algorithms ...string) *app {
	t.Helper()
	name := filepath.Join(t.TempDir(), "jwks.json")
	require.NoError(t, os.WriteFile(name, set, 0o600))
	a := &app{tb: t, clock: newClock()}
	c := a.configure()
	c.DB = nil
	c.JWT.Algorithms, c.JWT.JWKSFile = algorithms, name
	a.started(c)
	return a
}

// allAlgorithms are those of an issuer, and the secret's.
var allAlgorithms = []string{"HS256", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

func TestIssuerAlgorithms(t *testing.T) {
	ec521 := must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))
	a := withKeyFile(t, keySet(t,
		jwk(t, rsaKey().Public(), "rsa", nil), jwk(t, ecKey().Public(), "ec", map[string]any{"use": "sig"}), jwk(t, ecKey384().Public(), "ec384", nil),
		jwk(t, ec521.Public(), "ec521", nil), jwk(t, edKey().Public(), "ed", map[string]any{"key_ops": []any{"verify"}}),
		map[string]any{"kty": "ACME", "kid": "unknown"},
	), allAlgorithms...)
	for _, row := range []struct {
		method jwt.SigningMethod
		kid    string
		key    any
	}{
		{jwt.SigningMethodRS256, "rsa", rsaKey()},
		{jwt.SigningMethodRS384, "rsa", rsaKey()},
		{jwt.SigningMethodRS512, "rsa", rsaKey()},
		{jwt.SigningMethodPS256, "rsa", rsaKey()},
		{jwt.SigningMethodPS384, "rsa", rsaKey()},
		{jwt.SigningMethodPS512, "rsa", rsaKey()},
		{jwt.SigningMethodES256, "ec", ecKey()},
		{jwt.SigningMethodES384, "ec384", ecKey384()},
		{jwt.SigningMethodES512, "ec521", ec521},
		{jwt.SigningMethodEdDSA, "ed", edKey()},
		{jwt.SigningMethodHS256, "rsa", secret},
	} {
		t.Run(row.method.Alg(), func(t *testing.T) {
			a.is(withBearer(mintedBy(t, row.method, row.key, claims(nil), "kid", row.kid)), "ann")
			a.is(withBearer(mintedBy(t, row.method, row.key, claims(nil))), "ann") // without a kid each key that fits is tried
		})
	}
	ps := withKeyFile(t, keySet(t, jwk(t, rsaKey().Public(), "rsa", nil)), "PS256")
	ps.is(withBearer(mintedBy(t, jwt.SigningMethodPS256, rsaKey(), claims(nil))), "ann")
	ps.refused(withBearer(mintedBy(t, jwt.SigningMethodRS256, rsaKey(), claims(nil))), gate.CodeInvalid)
	ps.refused(withBearer(minted(t, secret, claims(nil))), gate.CodeInvalid)
}

// TestIssuerForged has tokens that were not signed by the issuer's key for that.
func TestIssuerForged(t *testing.T) {
	weak := must(rsa.GenerateKey(rand.Reader, 1024))
	a := withKeyFile(t, keySet(t,
		jwk(t, rsaKey().Public(), "rsa", map[string]any{"alg": "RS256"}), jwk(t, ecKey().Public(), "ec", nil), jwk(t, ecKey384().Public(), "ec384", nil),
		jwk(t, rsaOther().Public(), "enc", map[string]any{"use": "enc"}),
		jwk(t, edKey().Public(), "ops", map[string]any{"key_ops": []any{"encrypt"}}),
		jwk(t, weak.Public(), "weak", nil),
		map[string]any{"kty": "oct", "kid": "oct", "k": base64.RawURLEncoding.EncodeToString([]byte("the issuer's symmetric key, of 32 bytes"))},
	), allAlgorithms...)
	der, err := x509.MarshalPKIXPublicKey(rsaKey().Public())
	require.NoError(t, err)
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	n := rsaKey().N.Bytes()
	other := map[string]any{}
	require.NoError(t, json.Unmarshal(must(json.Marshal(jwk(t, rsaOther().Public(), "rsa", nil))), &other))
	brought := jwt.NewWithClaims(jwt.SigningMethodRS256, claims(nil))
	brought.Header["jwk"], brought.Header["jku"], brought.Header["x5u"] = other, "https://evil.example/jwks", "https://evil.example/cert"
	carried := must(brought.SignedString(rsaOther()))
	brought.Header["kid"] = "rsa"
	named := must(brought.SignedString(rsaOther()))

	for name, token := range map[string]string{
		"HS256 by the public key in PEM":       minted(t, public, claims(nil), "kid", "rsa"),
		"HS256 by the public key in DER":       minted(t, der, claims(nil), "kid", "rsa"),
		"HS256 by the modulus":                 minted(t, n, claims(nil), "kid", "rsa"),
		"HS256 by the issuer's symmetric key":  minted(t, []byte("the issuer's symmetric key, of 32 bytes"), claims(nil), "kid", "oct"),
		"RS256 by another key":                 mintedBy(t, jwt.SigningMethodRS256, rsaOther(), claims(nil), "kid", "rsa"),
		"RS256 by another key, no kid":         mintedBy(t, jwt.SigningMethodRS256, rsaOther(), claims(nil)),
		"RS256 by a key for encryption":        mintedBy(t, jwt.SigningMethodRS256, rsaOther(), claims(nil), "kid", "enc"),
		"EdDSA by a key that may not":          mintedBy(t, jwt.SigningMethodEdDSA, edKey(), claims(nil), "kid", "ops"),
		"EdDSA by a key that may not, no kid":  mintedBy(t, jwt.SigningMethodEdDSA, edKey(), claims(nil)),
		"RS256 by a weak key":                  mintedBy(t, jwt.SigningMethodRS256, weak, claims(nil), "kid", "weak"),
		"RS256 by a weak key, no kid":          mintedBy(t, jwt.SigningMethodRS256, weak, claims(nil)),
		"RS512 by a key for RS256":             mintedBy(t, jwt.SigningMethodRS512, rsaKey(), claims(nil), "kid", "rsa"),
		"RS512 by a key for RS256, no kid":     mintedBy(t, jwt.SigningMethodRS512, rsaKey(), claims(nil)),
		"PS256 by a key for RS256":             mintedBy(t, jwt.SigningMethodPS256, rsaKey(), claims(nil), "kid", "rsa"),
		"a key of another kind":                mintedBy(t, jwt.SigningMethodES256, ecKey(), claims(nil), "kid", "rsa"),
		"a key of another curve":               mintedBy(t, jwt.SigningMethodES256, ecKey(), claims(nil), "kid", "ec384"),
		"unknown kid":                          mintedBy(t, jwt.SigningMethodRS256, rsaKey(), claims(nil), "kid", "unknown"),
		"kid in another case":                  mintedBy(t, jwt.SigningMethodRS256, rsaKey(), claims(nil), "kid", "RSA"),
		"kid is a path":                        mintedBy(t, jwt.SigningMethodRS256, rsaKey(), claims(nil), "kid", "../../../dev/null"),
		"kid is SQL":                           mintedBy(t, jwt.SigningMethodRS256, rsaKey(), claims(nil), "kid", "x' UNION SELECT 'key"),
		"kid is a URL":                         mintedBy(t, jwt.SigningMethodRS256, rsaKey(), claims(nil), "kid", "https://evil.example/jwks"),
		"kid is long":                          mintedBy(t, jwt.SigningMethodRS256, rsaKey(), claims(nil), "kid", repeat(257)),
		"kid is empty":                         mintedBy(t, jwt.SigningMethodRS256, rsaKey(), claims(nil), "kid", ""),
		"a key that the token brings":          carried,
		"a key that the token brings, and kid": named,
	} {
		t.Run(name, func(t *testing.T) { a.refused(withBearer(token), gate.CodeInvalid) })
	}
	kids := jwt.NewWithClaims(jwt.SigningMethodRS256, claims(nil))
	kids.Header["kid"] = []string{"rsa"}
	a.refused(withBearer(must(kids.SignedString(rsaKey()))), gate.CodeInvalid)
	kids.Header["kid"] = nil
	a.refused(withBearer(must(kids.SignedString(rsaKey()))), gate.CodeInvalid)
	a.is(withBearer(mintedBy(t, jwt.SigningMethodRS256, rsaKey(), claims(nil), "kid", "rsa")), "ann")
}

// TestJWTOff: without algorithms there are no JWTs, whatever else there is.
func TestJWTOff(t *testing.T) {
	a := &app{tb: t, clock: newClock()}
	c := a.configure()
	c.DB, c.JWT = nil, identity.JWTConfig{}
	a.started(c)
	a.refused(withBearer(minted(t, secret, claims(nil))), gate.CodeInvalid)
	a.refused(withBearer(minted(t, []byte{}, claims(nil))), gate.CodeInvalid)
}
