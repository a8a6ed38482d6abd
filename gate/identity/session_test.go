package identity_test

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/gate/identity"
)

// TestCookieOfBetterAuth holds a value that better-call 2.0.6 made:
//
//	signCookieValue("q3rFkXw8dZ0bT5nVj1LmYcPa7sHuEi2G", "0123456789abcdef0123456789abcdef")
func TestCookieOfBetterAuth(t *testing.T) {
	const value = "q3rFkXw8dZ0bT5nVj1LmYcPa7sHuEi2G.baWYPyfgYiBNz%2BnCOXB9JI0dO9PIsrMzBbym10hDirg%3D"
	token, ok := identity.OpenCookie(value, secret)
	require.True(t, ok)
	require.Equal(t, "q3rFkXw8dZ0bT5nVj1LmYcPa7sHuEi2G", token)
	require.Equal(t, value, identity.Cookie(token, secret))
	_, ok = identity.OpenCookie(identity.Cookie(token, nil), nil)
	require.False(t, ok, "a server without a secret believes no signature")
}

func TestSession(t *testing.T) {
	a := newStartedApp(t)
	token := a.session("ann", "org_1")

	before := a.db.queries.Load()
	id := a.is(withCookie(token), "ann")
	require.EqualValues(t, 1, a.db.queries.Load()-before, "session, user and membership are one query")
	require.Equal(t, gate.Identity{
		UserID: "ann", Name: "Ann", UserRole: "user", OrgID: "org_1", TeamID: "team_1", Roles: []string{"editor", "viewer"},
		ExpiresAt: start.Add(time.Hour), Method: gate.MethodSession, Proof: "s-ann-org_1",
	}, id)

	require.Equal(t, id, a.is(withBearer(token), "ann"), "raw")
	require.Equal(t, id, a.is(withBearer(identity.Signed(token, secret)), "ann"), "signed")
	require.Equal(t, id, a.is(withBearer(identity.Cookie(token, secret)), "ann"), "signed and URL-encoded")
	require.Equal(t, "admin", a.is(withBearer(a.session("bob", "")), "bob").UserRole, "an admin among other things")

	refreshed, err := a.auth.Refresh(t.Context(), token, gate.TicketsRefused)
	require.NoError(t, err)
	require.Equal(t, id, refreshed)
}

// TestSessionOrganisation: the active organisation is kept only with a membership row.
func TestSessionOrganisation(t *testing.T) {
	a := newStartedApp(t)
	for _, row := range []struct {
		name, user, org string
		want            string
		roles           []string
	}{
		{"member", "ann", "org_2", "org_2", []string{"owner"}},
		{"no member", "bob", "org_2", "", nil},
		{"no organisation", "ann", "", "", nil},
		{"no such organisation", "ann", "org_9", "", nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			id := a.is(withBearer(a.session(row.user, row.org)), row.user)
			require.Equal(t, row.want, id.OrgID)
			require.Equal(t, row.roles, id.Roles)
			require.Equal(t, row.want != "", id.TeamID != "", "a team goes with its organisation")
		})
	}
	// Two rows of one membership are a union.
	a.exec(`INSERT INTO "member" VALUES ('m9', 'ann', 'org_2', 'auditor, owner')`)
	require.ElementsMatch(t, []string{"owner", "auditor"}, a.is(withBearer("token-of-ann-in-org_2"), "ann").Roles)
}

// TestSessionRefused has the sessions that make nobody: by cookie the caller is anonymous, since nobody chose to send
// it; by a Bearer it is 401.
func TestSessionRefused(t *testing.T) {
	a := newStartedApp(t)
	for _, row := range []struct{ name, sql, code string }{
		{"signed out", `DELETE FROM "session"`, gate.CodeInvalid},
		{"expired", `UPDATE "session" SET "expiresAt" = '2026-05-04 12:00:00Z'`, gate.CodeExpired},
		{"never valid", `UPDATE "session" SET "expiresAt" = '-infinity'`, gate.CodeExpired},
		{"user deleted", `DELETE FROM "user" WHERE "id" = 'ann'`, gate.CodeInvalid},
		{"user banned", `UPDATE "user" SET "banned" = true`, gate.CodeInvalid},
		{"user banned for a while", `UPDATE "user" SET "banned" = true, "banExpires" = '2026-05-04 12:00:01Z'`, gate.CodeInvalid},
		{"no user", `UPDATE "session" SET "userId" = ''`, gate.CodeInvalid},
	} {
		t.Run(row.name, func(t *testing.T) {
			token := a.session("ann", "org_1")
			a.is(withBearer(token), "ann")
			a.exec(row.sql)
			a.refused(withBearer(token), row.code)
			a.refused(withBearer(identity.Signed(token, secret)), row.code)
			require.Equal(t, gate.Identity{}, a.is(withCookie(token), ""))
			a.exec(`DELETE FROM "session"; DELETE FROM "user"; INSERT INTO "user" ("id", "name") VALUES ('ann', 'Ann')`)
		})
	}
	token := a.session("ann", "org_1")
	a.exec(`UPDATE "user" SET "banned" = true, "banExpires" = '2026-05-04 12:00:00Z'`)
	a.is(withBearer(token), "ann") // the ban is over
	a.exec(`UPDATE "user" SET "banned" = NULL`)
	a.is(withBearer(token), "ann")
	a.exec(`UPDATE "session" SET "expiresAt" = 'infinity'`)
	require.True(t, a.is(withBearer(token), "ann").ExpiresAt.IsZero())
	a.clock.Add(time.Hour)
	a.exec(`UPDATE "session" SET "expiresAt" = '2026-05-04 13:00:00.001Z'`)
	a.is(withBearer(token), "ann") // to the millisecond
}

// TestCookieTampered: nothing but what the secret signed reaches the database.
func TestCookieTampered(t *testing.T) {
	a := newStartedApp(t)
	token := a.session("ann", "org_1")
	good := identity.Signed(token, secret)
	name := "better-auth.session_token"
	dot := strings.LastIndexByte(good, '.')
	for _, row := range []struct{ name, value string }{
		{"another token", "x" + good},
		{"another signature", good[:dot+1] + "A" + good[dot+2:]},
		{"no signature", token},
		{"empty signature", token + "."},
		{"empty token", identity.Signed("", secret)},
		{"short signature", good[:len(good)-5]},
		{"long signature", good + "AAAA"},
		{"longer signature", strings.TrimSuffix(good, "=") + "AAAAA"},
		{"signature without padding", strings.TrimSuffix(good, "=")},
		{"signature with other last bits", good[:len(good)-2] + string(good[len(good)-2]+1) + "="},
		{"another secret", identity.Signed(token, []byte("another secret of at least 32 bytes."))},
		{"an empty secret", identity.Signed(token, nil)},
		{"broken escape", good + "%"},
		{"long", identity.Signed(repeat(4*identity.MaxToken), secret)},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := a.db.queries.Load()
			value := url.QueryEscape(row.value)
			if row.name == "broken escape" {
				value = row.value
			}
			a.is(request{cookies: []string{name, value}}, "")
			if row.name != "no signature" && row.name != "empty token" {
				a.refused(withBearer(row.value), gate.CodeInvalid)
			}
			require.Equal(t, before, a.db.queries.Load(), "no query")
		})
	}
	// A cookie that somebody else set for the same name does not hide the right one.
	a.is(request{cookies: []string{name, "other.value", name, identity.Cookie(token, secret)}}, "ann")
}

// TestSessionOdd has tokens that no row can have, and rows that no token may find.
func TestSessionOdd(t *testing.T) {
	a := newStartedApp(t)
	for _, token := range []string{"\xff\xfe", "a\x00b", "a\tb", "' OR 1=1 --", repeat(identity.MaxToken + 1), "unknown"} {
		a.refused(withBearer(token), gate.CodeInvalid)
		a.is(withCookie(token), "")
	}
	a.is(withBearer(a.session("ann", "")), "ann") // and the database still counts as there
}

// TestSessionOfCaseless: a column that ignores case finds more than the token that was sent.
func TestSessionOfCaseless(t *testing.T) {
	a := newApp(t)
	a.exec(`CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
		ALTER TABLE "session" ALTER COLUMN "token" TYPE text COLLATE caseless`)
	a.started(a.configure())
	token := a.session("ann", "")
	a.is(withBearer(token), "ann")
	a.refused(withBearer(strings.ToUpper(token)), gate.CodeInvalid)
}

// TestSessionTwice: two rows with one token are nobody's.
func TestSessionTwice(t *testing.T) {
	a := newApp(t)
	a.exec(`ALTER TABLE "session" DROP CONSTRAINT session_token_key`)
	a.started(a.configure())
	token := a.session("ann", "")
	a.exec(`INSERT INTO "session" VALUES ('s2', $1, 'bob', $2)`, token, start.Add(time.Hour))
	a.refused(withBearer(token), gate.CodeInvalid)
}

func TestCookieName(t *testing.T) {
	a := newApp(t)
	for _, row := range []struct {
		name   string
		change func(*identity.Config)
		cookie string
		user   string
	}{
		{"http", nil, "better-auth.session_token", "ann"},
		{"http, secure name", nil, "__Secure-better-auth.session_token", ""},
		{"https", func(c *identity.Config) { c.Secure = true }, "__Secure-better-auth.session_token", "ann"},
		{"https, plain name", func(c *identity.Config) { c.Secure = true }, "better-auth.session_token", ""},
		{"another name", func(c *identity.Config) { c.Session.Cookie = "app.session" }, "app.session", "ann"},
		{"sessions are off", func(c *identity.Config) { c.Session.Enabled = false }, "better-auth.session_token", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			a.exec(`DELETE FROM "session"`)
			token := a.session("ann", "")
			c := a.configure()
			if row.change != nil {
				row.change(&c)
			}
			a.started(c)
			a.is(request{cookies: []string{row.cookie, identity.Cookie(token, secret)}}, row.user)
		})
	}
}

// TestCookieOrigin: a cookie counts for pages that were named, and for none that only "*" lets in.
func TestCookieOrigin(t *testing.T) {
	a := newStartedApp(t)
	token := a.session("ann", "org_1")
	for origin, user := range map[gate.OriginClass]string{
		gate.OriginNone: "ann", gate.OriginSameHost: "ann", gate.OriginListed: "ann", gate.OriginWildcard: "", gate.OriginRefused: "",
	} {
		c := withCookie(token).caller()
		c.Origin = origin
		id, err := a.auth.Authenticate(context.Background(), c, gate.TicketsToo)
		require.NoError(t, err)
		require.Equal(t, user, id.UserID, "origin class %d", origin)
		b := withBearer(token).caller()
		b.Origin = origin
		id, err = a.auth.Authenticate(context.Background(), b, gate.TicketsToo)
		require.NoError(t, err)
		require.Equal(t, "ann", id.UserID, "what a page sends on purpose counts whatever it is")
	}
}

func TestPinnedOrganisation(t *testing.T) {
	a := newApp(t)
	c := a.configure()
	c.PinnedOrg = "org_2"
	c.APIKeys.Static = []identity.StaticKey{{SHA256: digest("static"), UserID: "svc", Roles: []string{"bot"}}}
	a.started(c)
	for _, row := range []struct {
		name  string
		r     request
		user  string
		roles []string
		team  string
	}{
		{"session of another organisation", withBearer(a.session("ann", "org_1")), "ann", []string{"owner"}, ""},
		{"session of it", withBearer(a.session("ann", "org_2")), "ann", []string{"owner"}, "team_1"},
		{"session of no member", withBearer(a.session("bob", "org_1")), "bob", nil, ""},
		{"JWT of another organisation", withBearer(minted(t, secret, claims(map[string]any{"orgId": "org_1", "role": "admin"}))), "ann", nil, ""},
		{"JWT of none", withBearer(minted(t, secret, claims(map[string]any{"role": "admin"}))), "ann", []string{"admin"}, ""},
		{"JWT of it", withBearer(minted(t, secret, claims(map[string]any{"orgId": "org_2", "role": "admin"}))), "ann", []string{"admin"}, ""},
		{"static key", withKey("static"), "svc", []string{"bot"}, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			id := a.is(row.r, row.user)
			require.Equal(t, "org_2", id.OrgID)
			require.Equal(t, row.roles, id.Roles)
			require.Equal(t, row.team, id.TeamID)
		})
	}
	a.key("k1", "ann", `{"organizationId":"org_1"}`)
	id := a.is(withKey("k1"), "ann")
	require.Equal(t, "org_2", id.OrgID)
	require.Equal(t, []string{"owner"}, id.Roles)
	require.Empty(t, a.is(request{}, "").OrgID, "nobody is in no organisation")
}
