package identity_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/gate/identity"
)

// newOffline is an authenticator without a database: a static key, HS256 and tickets.
func newOffline(tb testing.TB) *app {
	tb.Helper()
	a := &app{tb: tb, clock: newClock()}
	c := a.configure()
	c.DB = nil
	c.APIKeys.Static = []identity.StaticKey{{SHA256: digest("static"), UserID: "svc"}, {SHA256: digest("other"), UserID: "svc-2"}}
	a.started(c)
	return a
}

// issue makes a ticket of ann.
func (a *app) issue(o identity.IssueOptions) string {
	a.tb.Helper()
	token, _, err := a.auth.Issuer().Issue(gate.Identity{UserID: "ann", Method: gate.MethodSession}, o)
	require.NoError(a.tb, err)
	return token
}

// TestOrder is the order of gate.md: keys by header, api_key and key, then a Bearer, then a ticket, then the cookie, and
// none of them stands in for another that failed.
func TestOrder(t *testing.T) {
	a := newStartedApp(t)
	offline := newOffline(t)
	jwt := minted(t, secret, claims(nil))
	cookie := withCookie(a.session("bob", "")).cookies
	a.key("good", "ann", "")
	a.key("second", "cyd", "")
	ticket := a.issue(identity.IssueOptions{})

	a.is(request{}, "")
	for _, row := range []struct {
		name string
		r    request
		user string // or
		code string
	}{
		{"the cookie comes last: key", request{query: "api_key=good", cookies: cookie}, "ann", ""},
		{"the cookie comes last: JWT", request{headers: []string{"Authorization", "Bearer " + jwt}, cookies: cookie}, "ann", ""},
		{"the cookie comes last: ticket", request{query: "ws_ticket=" + ticket, cookies: cookie}, "ann", ""},
		{"header before parameters", request{headers: []string{"X-API-Key", "good"}, query: "api_key=second&key=second"}, "ann", ""},
		{"api_key before key", request{query: "key=second&api_key=good"}, "ann", ""},
		{"a bad header, a good parameter", request{headers: []string{"X-API-Key", "bad"}, query: "api_key=good"}, "", gate.CodeInvalid},
		{"a bad api_key, a good key", request{query: "api_key=bad&key=good"}, "", gate.CodeInvalid},
		{"a bad key, a good cookie", request{query: "key=bad", cookies: cookie}, "", gate.CodeInvalid},
		{"an empty key, a good cookie", request{query: "key=", cookies: cookie}, "", gate.CodeInvalid},
		{"an empty header, a good cookie", request{headers: []string{"X-Api-Key", ""}, cookies: cookie}, "", gate.CodeInvalid},
		{"an undecodable key, a good cookie", request{query: "key=%zz", cookies: cookie}, "", gate.CodeInvalid},
		{"a key with a semicolon, a good cookie", request{query: "key=good;x=1", cookies: cookie}, "", gate.CodeInvalid},
		{"a bad JWT, a good cookie", request{headers: []string{"Authorization", "Bearer eyJ.eyJ.x"}, cookies: cookie}, "", gate.CodeInvalid},
		{"a bad session token, a good cookie", request{headers: []string{"Authorization", "Bearer nobody"}, cookies: cookie}, "", gate.CodeInvalid},
		{"another scheme, a good cookie", request{headers: []string{"Authorization", "Basic YTpi"}, cookies: cookie}, "", gate.CodeInvalid},
		{"an empty Bearer, a good cookie", request{headers: []string{"Authorization", "Bearer "}, cookies: cookie}, "", gate.CodeInvalid},
		{"an empty Authorization, a good cookie", request{headers: []string{"Authorization", ""}, cookies: cookie}, "", gate.CodeInvalid},
		{"a bad ticket, a good cookie", request{query: "ws_ticket=bad", cookies: cookie}, "", gate.CodeInvalid},
		{"an empty ticket, a good cookie", request{query: "ws_ticket=", cookies: cookie}, "", gate.CodeInvalid},
		{"key and JWT", request{query: "key=good", headers: []string{"Authorization", "Bearer " + jwt}}, "", gate.CodeAmbiguous},
		{"key and ticket", request{query: "key=good&ws_ticket=" + ticket}, "", gate.CodeAmbiguous},
		{"JWT and ticket", request{query: "ws_ticket=" + ticket, headers: []string{"Authorization", "Bearer " + jwt}}, "", gate.CodeAmbiguous},
		{"two kinds, both bad", request{query: "key=bad&ws_ticket=bad"}, "", gate.CodeAmbiguous},
		{"two header keys", request{headers: []string{"X-Api-Key", "good", "X-Api-Key", "second"}}, "", gate.CodeInvalid},
		{"two Authorizations", request{headers: []string{"Authorization", "Bearer " + jwt, "Authorization", "Bearer " + jwt}}, "", gate.CodeInvalid},
		{"two api_keys", request{query: "api_key=good&api_key=second"}, "", gate.CodeInvalid},
		{"two tickets", request{query: "ws_ticket=" + ticket + "&ws_ticket=" + ticket}, "", gate.CodeInvalid},
		{"an escaped name", request{query: "api%5Fkey=good"}, "ann", ""},
		{"other parameters", request{query: "_pk=1&%zz=1&;&api_keys=bad&="}, "", ""},
		{"scheme in lower case", request{headers: []string{"Authorization", "bearer  " + jwt}}, "ann", ""},
		{"two tokens", request{headers: []string{"Authorization", "Bearer " + jwt + " " + jwt}}, "", gate.CodeInvalid},
	} {
		t.Run(row.name, func(t *testing.T) {
			if row.code != "" {
				a.refused(row.r, row.code)
				return
			}
			a.is(row.r, row.user)
		})
	}
	// Without a table, the static keys are all there are, and a Bearer that is no JWT is nobody's.
	offline.is(withKey("static"), "svc")
	offline.refused(withKey("good"), gate.CodeInvalid)
	offline.refused(withBearer("nobody"), gate.CodeInvalid)
	offline.is(request{cookies: cookie}, "")
}

// TestTicketModes: a ticket where none is taken is a credential that does not verify, and so is everything else where
// nothing but tickets is taken.
func TestTicketModes(t *testing.T) {
	a := newStartedApp(t)
	jwt := minted(t, secret, claims(nil))
	cookie := withCookie(a.session("bob", ""))
	ticket := a.issue(identity.IssueOptions{})
	a.key("key", "cyd", "")
	for _, row := range []struct {
		name  string
		r     request
		users [3]string // for each mode; "-" is 401
	}{
		{"ticket", withTicket(ticket), [3]string{"-", "ann", "ann"}},
		{"ticket and cookie", request{query: "ws_ticket=" + ticket, cookies: cookie.cookies}, [3]string{"-", "ann", "ann"}},
		{"JWT", withBearer(jwt), [3]string{"ann", "ann", "-"}},
		{"key", withKey("key"), [3]string{"cyd", "cyd", "-"}},
		{"cookie", cookie, [3]string{"bob", "bob", ""}},
		{"none", request{}, [3]string{"", "", ""}},
		{"ticket as a Bearer", withBearer(ticket), [3]string{"-", "-", "-"}},
		{"JWT as a ticket", withTicket(jwt), [3]string{"-", "-", "-"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			for mode, user := range row.users {
				id, err := a.auth.Authenticate(t.Context(), row.r.caller(), gate.TicketMode(mode))
				if user == "-" {
					requireRefusal(t, gate.CodeInvalid, err)
					continue
				}
				require.NoError(t, err)
				require.Equal(t, user, id.UserID, "mode %d", mode)
			}
		})
	}
	for _, row := range []struct {
		name, token string
		users       [3]string
	}{
		{"ticket", ticket, [3]string{"-", "ann", "ann"}},
		{"JWT", jwt, [3]string{"ann", "ann", "-"}},
		{"session token", "token-of-bob-in-", [3]string{"bob", "bob", "-"}},
		{"nothing", "", [3]string{"-", "-", "-"}},
		{"junk", "\xff.\x00.", [3]string{"-", "-", "-"}},
		{"an API key", "key", [3]string{"-", "-", "-"}},
	} {
		t.Run("refresh by "+row.name, func(t *testing.T) {
			for mode, user := range row.users {
				id, err := a.auth.Refresh(t.Context(), row.token, gate.TicketMode(mode))
				if user == "-" {
					requireRefusal(t, gate.CodeInvalid, err)
					continue
				}
				require.NoError(t, err)
				require.Equal(t, user, id.UserID, "mode %d", mode)
			}
		})
	}
}

// TestNames: header and parameters are configurable.
func TestNames(t *testing.T) {
	a := &app{tb: t, clock: newClock()}
	c := a.configure()
	c.DB = nil
	c.APIKeys = identity.APIKeyConfig{Header: "x-service-key", Query: []string{}, Static: []identity.StaticKey{{SHA256: digest("static"), UserID: "svc"}}}
	a.started(c)
	a.is(request{headers: []string{"X-Service-Key", "static"}}, "svc")
	a.is(request{headers: []string{"X-Api-Key", "static"}}, "")
	a.is(request{query: "api_key=static"}, "")
}

// TestNew has configurations that no server may start with, and where the error points.
func TestNew(t *testing.T) {
	static := identity.StaticKey{SHA256: digest("static"), UserID: "svc", OrgID: "org_1"}
	for _, row := range []struct {
		name   string
		change func(*identity.Config)
		path   string
	}{
		{"short secret", func(c *identity.Config) { c.Secret = secret[:31] }, "secret: "},
		{"no secret for cookies", func(c *identity.Config) { c.Secret, c.JWT = nil, identity.JWTConfig{} }, "secret: "},
		{"no secret for HS256", func(c *identity.Config) { c.Secret = nil }, "jwt.algorithms[0]: "},
		{"none", func(c *identity.Config) { c.JWT.Algorithms = []string{"HS256", "none"} }, "jwt.algorithms[1]: "},
		{"HS384", func(c *identity.Config) { c.JWT.Algorithms = []string{"HS384"} }, "jwt.algorithms[0]: "},
		{"no keys for RS256", func(c *identity.Config) { c.JWT.Algorithms = []string{"RS256"} }, "jwt.algorithms[0]: "},
		{"no algorithm for keys", func(c *identity.Config) { c.JWT.JWKSURL = "https://issuer.example/jwks" }, "jwt.algorithms: "},
		{"keys twice", func(c *identity.Config) {
			c.JWT = identity.JWTConfig{Algorithms: []string{"RS256"}, JWKSURL: "https://issuer.example/jwks", JWKSFile: "x"}
		}, "jwt.jwks_file: "},
		{"no such file", func(c *identity.Config) {
			c.JWT = identity.JWTConfig{Algorithms: []string{"RS256"}, JWKSFile: "testdata/none.json"}
		}, "jwt.jwks_file: "},
		{"no URL", func(c *identity.Config) {
			c.JWT = identity.JWTConfig{Algorithms: []string{"RS256"}, JWKSURL: "file:///etc/jwks"}
		}, "jwt.jwks_url: "},
		{"leeway", func(c *identity.Config) { c.JWT.Leeway = -time.Second }, "jwt.leeway: "},
		{"nobody's key", func(c *identity.Config) { c.APIKeys.Static = []identity.StaticKey{{}} }, "api_keys.static[0].user: "},
		{"a key twice", func(c *identity.Config) { c.APIKeys.Static = []identity.StaticKey{static, static} }, "api_keys.static[1].sha256: "},
		{"a key of another organisation", func(c *identity.Config) {
			c.PinnedOrg, c.APIKeys.Static = "org_2", []identity.StaticKey{static}
		}, "api_keys.static[0].org: "},
		{"unknown column", func(c *identity.Config) { c.Session.Columns = map[string]string{"userID": "x"} }, "session.columns.userID: "},
		{"unknown column of a key", func(c *identity.Config) { c.APIKeys.Columns = map[string]string{"token": "x"} }, "api_keys.columns.token: "},
		{"column without a name", func(c *identity.Config) { c.Session.Columns = map[string]string{"member.role": ""} }, "session.columns.member.role: "},
		{"column of no table", func(c *identity.Config) { c.Session.Columns = map[string]string{"members.role": "x"} }, "session.columns.members.role: "},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := identity.Config{Secret: secret, JWT: identity.JWTConfig{Algorithms: []string{"HS256"}}, DB: &counted{}}
			c.Session.Enabled = row.name == "no secret for cookies"
			row.change(&c)
			_, err := identity.New(c)
			require.ErrorContains(t, err, row.path)
			var problems identity.Problems
			require.ErrorAs(t, err, &problems)
			require.Len(t, problems, 1)
			require.NotEmpty(t, problems[0].Fix)
		})
	}
}
