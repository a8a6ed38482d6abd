package identity_test

import (
	"crypto/sha256"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/gate/identity"
)

func digest(key string) [32]byte { return sha256.Sum256([]byte(key)) }

// TestKeyOfBetterAuth holds a digest as better-auth's API key plugin 1.7.5 stores it, made in Node:
//
//	createHash("sha256").update("my_app_abcDEF123").digest("base64url")
func TestKeyOfBetterAuth(t *testing.T) {
	require.Equal(t, "ds_U29hHfILO5Us7PbGwIMCdjjVTTOVnL4dHcAsFyR0", hashed("my_app_abcDEF123"))
}

func TestStaticKey(t *testing.T) {
	a := &app{tb: t, clock: newClock()}
	c := a.configure()
	c.DB = nil
	c.APIKeys.Static = []identity.StaticKey{
		{SHA256: digest("first"), UserID: "svc-1", OrgID: "org_1", Roles: []string{"admin"}, Name: "One"},
		{SHA256: digest("second"), UserID: "svc-2"},
		{SHA256: digest("third"), UserID: "svc-3"},
	}
	a.started(c)
	require.Equal(t, gate.Identity{
		UserID: "svc-1", OrgID: "org_1", Roles: []string{"admin"}, Name: "One", Method: gate.MethodAPIKey, Proof: "static:0",
	}, a.is(withKey("first"), "svc-1"))
	a.is(withKey("second"), "svc-2")
	a.is(withKey("third"), "svc-3")
	for _, key := range []string{"", "First", "first ", "fir", string(make([]byte, 10)), repeat(identity.MaxToken + 1), hashed("first"), "\xff"} {
		a.refused(withKey(key), gate.CodeInvalid)
	}
}

func TestTableKey(t *testing.T) {
	a := newStartedApp(t)
	a.key("k1", "ann", `{"organizationId":"org_1"}`)
	before := a.db.queries.Load()
	id := a.is(withKey("k1"), "ann")
	require.EqualValues(t, 1, a.db.queries.Load()-before, "key, user and membership are one query")
	require.Equal(t, gate.Identity{
		UserID: "ann", Name: "Ann", UserRole: "user", OrgID: "org_1", Roles: []string{"editor", "viewer"}, Method: gate.MethodAPIKey, Proof: "row:k-k1",
	}, id)
	a.is(request{query: "api_key=k1"}, "ann")
	a.is(request{query: "key=k1"}, "ann")
	a.is(request{query: "key=k%31"}, "ann")
	before = a.db.queries.Load()
	a.refused(withKey("unknown"), gate.CodeInvalid)
	require.EqualValues(t, 1, a.db.queries.Load()-before)
	a.refused(withKey(hashed("k1")), gate.CodeInvalid)
}

// TestTableKeyOfCaseless: a column that ignores case finds more than the digest that was asked for.
func TestTableKeyOfCaseless(t *testing.T) {
	a := newApp(t)
	a.exec(`CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
		ALTER TABLE "apikey" ALTER COLUMN "key" TYPE text COLLATE caseless`)
	a.started(a.configure())
	a.key("k1", "ann", "")
	a.is(withKey("k1"), "ann")
	a.exec(`UPDATE "apikey" SET "key" = upper("key")`)
	a.refused(withKey("k1"), gate.CodeInvalid)
	a.key("k2", "ann", "")
	a.exec(`UPDATE "apikey" SET "key" = $1`, hashed("k2"))
	a.refused(withKey("k2"), gate.CodeInvalid) // two rows are nobody's
}

func TestTableKeyOrganisation(t *testing.T) {
	a := newStartedApp(t)
	for i, row := range []struct {
		name, metadata string
		org            string
		roles          []string
	}{
		{"member", `{"organizationId":"org_1"}`, "org_1", []string{"editor", "viewer"}},
		{"one id within the other", `{"organizationId":"org_11"}`, "org_11", []string{"guest"}},
		{"JSON in JSON", `"{\"organizationId\":\"org_1\"}"`, "org_1", []string{"editor", "viewer"}},
		{"no member", `{"organizationId":"org_7"}`, "", nil},
		{"named elsewhere", `{"note":"org_1","organizationId":"org_7"}`, "", nil},
		{"named by another case", `{"organizationid":"org_1"}`, "", nil},
		{"no organisation", `{"a":1}`, "", nil},
		{"a number", `{"organizationId":1}`, "", nil},
		{"no JSON", `org_1`, "", nil},
		{"null", `null`, "", nil},
		{"none", ``, "", nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			key := "k" + strconv.Itoa(i)
			a.key(key, "ann", row.metadata)
			id := a.is(withKey(key), "ann")
			require.Equal(t, row.org, id.OrgID)
			require.Equal(t, row.roles, id.Roles)
		})
	}
	// Who has left the organisation is somebody, without it.
	a.exec(`DELETE FROM "member" WHERE "userId" = 'ann'`)
	id := a.is(withKey("k0"), "ann")
	require.Empty(t, id.OrgID)
	require.Empty(t, id.Roles)
}

func TestTableKeyRefused(t *testing.T) {
	a := newStartedApp(t)
	for _, row := range []struct{ name, sql, code string }{
		{"disabled", `UPDATE "apikey" SET "enabled" = false`, gate.CodeInvalid},
		{"expired", `UPDATE "apikey" SET "expiresAt" = '2026-05-04 12:00:00Z'`, gate.CodeExpired},
		{"used up", `UPDATE "apikey" SET "remaining" = 0`, gate.CodeRateLimited},
		{"never to be used", `UPDATE "apikey" SET "rateLimitEnabled" = true, "rateLimitMax" = 0, "rateLimitTimeWindow" = 1000`, gate.CodeRateLimited},
		{"user deleted", `DELETE FROM "user"`, gate.CodeInvalid},
		{"user banned", `UPDATE "user" SET "banned" = true`, gate.CodeInvalid},
		{"nobody's", `UPDATE "apikey" SET "referenceId" = ''`, gate.CodeInvalid},
		{"deleted", `DELETE FROM "apikey"`, gate.CodeInvalid},
	} {
		t.Run(row.name, func(t *testing.T) {
			a.exec(`TRUNCATE "apikey", "user"; INSERT INTO "user" ("id", "name") VALUES ('ann', 'Ann')`)
			a.key("k", "ann", "")
			a.is(withKey("k"), "ann")
			a.exec(row.sql)
			a.refused(withKey("k"), row.code)
		})
	}
	a.exec(`TRUNCATE "apikey", "user"; INSERT INTO "user" ("id", "name") VALUES ('ann', 'Ann')`)
	a.key("k", "ann", "")
	a.exec(`UPDATE "apikey" SET "enabled" = NULL, "remaining" = 1, "expiresAt" = '2026-05-04 12:00:01Z'`)
	require.Equal(t, start.Add(time.Second), a.is(withKey("k"), "ann").ExpiresAt)
	a.is(withKey("k"), "ann") // remaining is the application's to count
	var remaining int
	require.NoError(t, a.pool.QueryRow(t.Context(), `SELECT "remaining" FROM "apikey"`).Scan(&remaining))
	require.Equal(t, 1, remaining)
}

// TestKeyRateLimit: a row that asks for a limit gets one in this process, whatever the row counts.
func TestKeyRateLimit(t *testing.T) {
	a := newStartedApp(t)
	a.key("k", "ann", "")
	a.key("other", "ann", "")
	a.exec(`UPDATE "apikey" SET "rateLimitEnabled" = true, "rateLimitMax" = 2, "rateLimitTimeWindow" = 10000`)
	a.is(withKey("k"), "ann")
	a.is(withKey("k"), "ann")
	_, err := a.auth.Authenticate(t.Context(), withKey("k").caller(), gate.TicketsRefused)
	requireRefusal(t, gate.CodeRateLimited, err)
	var refusal *gate.Refusal
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, 5*time.Second, refusal.RetryAfter)
	a.is(withKey("other"), "ann")

	checked, err := a.auth.Recheck(t.Context(), []gate.Identity{{UserID: "ann", Method: gate.MethodAPIKey, Proof: "row:k-k"}})
	require.NoError(t, err)
	require.Nil(t, checked[0].Refusal, "looking again is no use")

	a.clock.Add(5 * time.Second)
	a.is(withKey("k"), "ann")
	a.refused(withKey("k"), gate.CodeRateLimited)
	a.exec(`UPDATE "apikey" SET "rateLimitEnabled" = false`)
	a.is(withKey("k"), "ann")
	a.exec(`UPDATE "apikey" SET "rateLimitEnabled" = NULL`)
	a.refused(withKey("k"), gate.CodeRateLimited) // as better-auth has it: not switched off
}

func TestKeyLimits(t *testing.T) {
	limits := identity.NewKeyLimits(2)
	use := func(id string, most float64, window time.Duration, now time.Time) bool {
		_, ok := limits.Allow(id, most, window, now)
		return ok
	}
	require.True(t, use("a", 1, time.Minute, start))
	require.False(t, use("a", 1, time.Minute, start))
	require.False(t, use("a", 3, time.Minute, start.Add(time.Second)), "the row allows more from now on")
	require.True(t, use("a", 3, time.Minute, start.Add(21*time.Second)))
	require.True(t, use("b", 1, time.Minute, start))
	require.False(t, use("a", 1, time.Minute, start.Add(21*time.Second)))
	require.True(t, use("c", 1, time.Minute, start))
	require.Equal(t, 2, limits.Len(), "it is bounded")
	require.False(t, use("a", 1, time.Minute, start.Add(21*time.Second)), "the one that was used last stays")
	require.True(t, use("d", 1, 0, start), "no window is no limit")
	require.False(t, use("d", 0, time.Minute, start))
}
