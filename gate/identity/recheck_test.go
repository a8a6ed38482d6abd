package identity_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/gate/identity"
)

// TestRecheck: many identities, one query for each method, and each as it is now.
func TestRecheck(t *testing.T) {
	a := newStartedApp(t)
	ids := []gate.Identity{
		a.is(withCookie(a.session("ann", "org_1")), "ann"),
		a.is(withCookie(a.session("ann", "org_2")), "ann"),
		a.is(withCookie(a.session("bob", "org_1")), "bob"),
		a.is(withCookie(a.session("cyd", "")), "cyd"),
		a.is(withBearer(minted(t, secret, claims(nil))), "ann"),
		a.is(withTicket(a.issue(identity.IssueOptions{})), "ann"),
	}
	a.key("k1", "ann", `{"organizationId":"org_1"}`)
	a.key("k2", "bob", "")
	ids = append(ids, a.is(withKey("k1"), "ann"), a.is(withKey("k2"), "bob"), gate.Identity{}, ids[0])

	look := func() []gate.Checked {
		before := a.db.queries.Load()
		checked, err := a.auth.Recheck(t.Context(), ids)
		require.NoError(t, err)
		require.Len(t, checked, len(ids))
		require.EqualValues(t, 2, a.db.queries.Load()-before, "one query for all sessions, and one for all keys")
		return checked
	}
	for i, c := range look() {
		require.Nil(t, c.Refusal, i)
		require.Equal(t, ids[i], c.Identity, "nothing has changed")
	}

	a.exec(`UPDATE "session" SET "expiresAt" = '2026-05-04 14:00Z' WHERE "id" = 's-ann-org_1'`) // it slides
	a.exec(`UPDATE "member" SET "role" = 'viewer' WHERE "id" = 'm1'`)
	a.exec(`DELETE FROM "session" WHERE "id" = 's-ann-org_2'`)
	a.exec(`DELETE FROM "member" WHERE "id" = 'm2'`)
	a.exec(`DELETE FROM "user" WHERE "id" = 'cyd'`)
	a.exec(`UPDATE "apikey" SET "enabled" = false WHERE "id" = 'k-k2'`)
	checked := look()
	require.Equal(t, start.Add(2*time.Hour), checked[0].Identity.ExpiresAt)
	require.Equal(t, []string{"viewer"}, checked[0].Identity.Roles)
	require.Equal(t, checked[0], checked[9])
	requireRefusal(t, gate.CodeInvalid, checked[1].Refusal)
	require.Nil(t, checked[2].Refusal)
	require.Empty(t, checked[2].Identity.OrgID, "the user has left")
	requireRefusal(t, gate.CodeInvalid, checked[3].Refusal)
	require.Nil(t, checked[4].Refusal)
	require.Nil(t, checked[5].Refusal)
	require.Equal(t, []string{"viewer"}, checked[6].Identity.Roles)
	requireRefusal(t, gate.CodeInvalid, checked[7].Refusal)
	require.Equal(t, gate.Checked{}, checked[8], "nobody stays nobody")

	a.clock.Add(time.Hour)
	checked = look()
	require.Nil(t, checked[0].Refusal)
	requireRefusal(t, gate.CodeExpired, checked[4].Refusal)
	require.Nil(t, checked[5].Refusal, "the ticket opened it, the identity has no end")

	// A session that became somebody else's is not the one that was held.
	a.exec(`UPDATE "session" SET "userId" = 'bob' WHERE "id" = 's-ann-org_1'`)
	requireRefusal(t, gate.CodeInvalid, look()[0].Refusal)
}

// TestRecheckMany: as many as a server has.
func TestRecheckMany(t *testing.T) {
	a := newStartedApp(t)
	a.exec(`INSERT INTO "session" SELECT 's' || n, 't' || n, 'ann', '2026-05-04 13:00Z', 'org_1' FROM generate_series(1, 5000) n`)
	ids := make([]gate.Identity, 10000)
	for i := range ids {
		ids[i] = gate.Identity{UserID: "ann", Method: gate.MethodSession, Proof: fmt.Sprintf("s%d", i+1)}
	}
	checked, err := a.auth.Recheck(t.Context(), ids)
	require.NoError(t, err)
	for i, c := range checked {
		require.Equal(t, i >= 5000, c.Refusal != nil)
	}
}

// TestRecheckStatic: a key of the configuration is as good as it was, and asks nobody.
func TestRecheckStatic(t *testing.T) {
	a := newOffline(t)
	ids := []gate.Identity{a.is(withKey("static"), "svc"), {UserID: "ann", Method: gate.MethodSession, Proof: "s1"}, {UserID: "ann", Method: gate.MethodAPIKey, Proof: "row:1"}}
	checked, err := a.auth.Recheck(t.Context(), ids)
	require.NoError(t, err)
	require.Equal(t, gate.Checked{Identity: ids[0]}, checked[0])
	requireRefusal(t, gate.CodeInvalid, checked[1].Refusal)
	requireRefusal(t, gate.CodeInvalid, checked[2].Refusal)
}

// TestAtOnce: many callers at once, of every kind, beside those who are looked at again.
func TestAtOnce(t *testing.T) {
	a := newStartedApp(t)
	token := a.session("ann", "org_1")
	a.key("k", "bob", "")
	a.exec(`UPDATE "apikey" SET "rateLimitEnabled" = true, "rateLimitMax" = 1000, "rateLimitTimeWindow" = 1000`)
	held := []gate.Identity{a.is(withCookie(token), "ann"), a.is(withKey("k"), "bob")}
	requests := map[string]request{"ann": withCookie(token), "bob": withKey("k"), "cyd": withBearer(minted(t, secret, claims(jwt.MapClaims{"sub": "cyd"})))}
	var all sync.WaitGroup
	errs := make(chan error, 1000)
	for range 8 {
		all.Go(func() {
			for range 10 {
				for user, r := range requests {
					id, err := a.auth.Authenticate(context.Background(), r.caller(), gate.TicketsRefused)
					if err != nil || id.UserID != user {
						errs <- fmt.Errorf("%s is %s: %w", user, id.UserID, err)
					}
				}
				if checked, err := a.auth.Recheck(context.Background(), held); err != nil || checked[0].Refusal != nil || checked[1].Refusal != nil {
					errs <- fmt.Errorf("recheck: %v, %w", checked, err)
				}
			}
		})
	}
	all.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
}
