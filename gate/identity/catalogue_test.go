package identity_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/gate/identity"
	"github.com/yserverd/yserverd/internal/pgtest"
)

// TestCatalogue has databases and configurations, what is wrong with them, and what is off for want of a table.
func TestCatalogue(t *testing.T) {
	a := newApp(t)
	none := emptySchema(t)
	named := func(key string) map[string]bool { return map[string]bool{key: true} }
	for _, row := range []struct {
		name     string
		sql      string // in a transaction of the application's database; "-" is the empty one
		change   func(*identity.Config)
		problems []string // their starts
		notes    []string // parts of the lines
	}{
		{"better-auth", "", nil, nil, nil},
		{"nothing there", "-", nil, nil, []string{"sessions are off", "memberships are off", "users are not looked up", "API keys of a table are off"}},
		{"nothing there, sessions off", "-", func(c *identity.Config) { c.Session.Enabled = false }, nil, []string{"memberships are off", "users are not looked up", "API keys of a table are off"}},
		{"no database", "", func(c *identity.Config) { c.DB = nil }, nil, []string{"sessions are off", "memberships are off", "users are not looked up", "API keys of a table are off"}},
		{"no session table", `DROP TABLE "session"`, nil, nil, []string{"sessions are off: there is no table session"}},
		{"a session table of something else", `DROP TABLE "session"; CREATE TABLE "session" (id int, data bytea)`, nil, nil, []string{"the table session has no column userId"}},
		{"a token that is no text", `ALTER TABLE "session" ALTER COLUMN "token" TYPE bytea USING "token"::bytea`, nil, nil, []string{"has a column token of type bytea, which is no text"}},
		{"a time that is none", `ALTER TABLE "apikey" ALTER COLUMN "expiresAt" TYPE text`, nil, nil, []string{"has a column expiresAt of type text, which is no timestamp"}},
		{"keys without an owner", `ALTER TABLE "apikey" DROP COLUMN "referenceId"`, nil, nil, []string{"has neither the column referenceId nor userId"}},
		{"keys that cannot be disabled", `ALTER TABLE "apikey" DROP COLUMN "enabled"`, nil, nil, []string{"the table apikey has no column enabled"}},
		{"without the admin plugin", `ALTER TABLE "user" DROP COLUMN "role", DROP COLUMN "banned", DROP COLUMN "banExpires"`, nil, nil, nil},
		{"an index is no table", `DROP TABLE "member"; CREATE INDEX "member" ON "user" ("id")`, nil, nil, []string{"there is no table member"}},
		{
			"a table that may not be read",
			`CREATE ROLE limited; DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %I TO limited', current_schema()); END $$;
			GRANT SELECT ON "user", "member", "apikey" TO limited; SET LOCAL ROLE limited`,
			nil, nil,
			[]string{"has a column token that the database does not let us read"},
		},
		{"a view is one", `ALTER TABLE "member" RENAME TO "people"; CREATE VIEW "member" AS SELECT * FROM "people"`, nil, nil, nil},

		{"named session table", "", func(c *identity.Config) { c.Session.Table = "sessions" }, []string{"session.table: the database has no table sessions"}, nil},
		{"named by its default", `DROP TABLE "session"`, func(c *identity.Config) { c.Session.Named = named("table") }, []string{"session.table: the database has no table session"}, nil},
		{"named membership table", `DROP TABLE "member"`, func(c *identity.Config) { c.Session.Named = named("membership_table") }, []string{"session.membership_table: "}, nil},
		{"named user table", `DROP TABLE "user"`, func(c *identity.Config) { c.Session.Named = named("user_table") }, []string{"session.user_table: "}, nil},
		{"named key table", `DROP TABLE "apikey"`, func(c *identity.Config) { c.APIKeys.Named = named("table") }, []string{"api_keys.table: "}, nil},
		{"all of them", "", func(c *identity.Config) {
			c.Session.Table, c.Session.MembershipTable, c.Session.UserTable, c.APIKeys.Table = "auth.session", "Member", `x"; DROP TABLE "user`, "no.such.keys"
		}, []string{"session.table: ", "session.membership_table: ", "session.user_table: ", "api_keys.table: "}, nil},
		{"named without a database", "", func(c *identity.Config) { c.DB, c.Session.Named = nil, named("table") }, []string{"session.table: there is no database"}, []string{"memberships", "users", "API keys"}},
		{"named, with other columns", `ALTER TABLE "session" RENAME "userId" TO "user_id"`, func(c *identity.Config) { c.Session.Named = named("table") }, []string{"session.table: the table session has no column userId"}, nil},
		{"named column", "", func(c *identity.Config) { c.Session.Columns = map[string]string{"session.userId": "user_id"} }, []string{"session.columns.session.userId: the table session has no column user_id"}, nil},
		{"named column in several", "", func(c *identity.Config) { c.Session.Columns = map[string]string{"userId": "user_id"} }, []string{"session.columns.userId: the table session", "session.columns.userId: the table member"}, nil},
		{"named column that is not required", "", func(c *identity.Config) { c.Session.Columns = map[string]string{"banned": "blocked"} }, []string{"session.columns.banned: the table user has no column blocked"}, nil},
		{"named column of a table that is not there", "-", func(c *identity.Config) { c.APIKeys.Columns = map[string]string{"key": "hash"} }, []string{"api_keys.columns.key: there is no table apikey"}, []string{"sessions", "memberships", "users"}},
		{"named column of another type", "", func(c *identity.Config) { c.APIKeys.Columns = map[string]string{"expiresAt": "metadata"} }, []string{"api_keys.columns.expiresAt: the table apikey has a column metadata of type text"}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			var db identity.Querier = none
			if row.sql != "-" {
				tx, err := a.pool.Begin(t.Context())
				require.NoError(t, err)
				defer func() { _ = tx.Rollback(context.Background()) }()
				_, err = tx.Exec(t.Context(), row.sql)
				require.NoError(t, err)
				db = tx
			}
			var lines bytes.Buffer
			c := a.configure()
			c.DB, c.Log = db, slog.New(slog.NewTextHandler(&lines, nil))
			if row.change != nil {
				row.change(&c)
			}
			problems, err := identity.Check(t.Context(), c)
			require.NoError(t, err)
			require.Empty(t, lines.String(), "Check is quiet")
			require.Len(t, problems, len(row.problems), "%v", problems)
			for i, p := range problems {
				require.True(t, strings.HasPrefix(p.String(), row.problems[i]), p.String())
				require.NotEmpty(t, p.Fix)
			}
			auth, err := identity.New(c)
			require.NoError(t, err)
			defer auth.Close()
			err = auth.Start(t.Context())
			if len(row.problems) > 0 {
				var same identity.Problems
				require.ErrorAs(t, err, &same)
				require.Equal(t, problems, []identity.Problem(same))
				return
			}
			require.NoError(t, err)
			require.Equal(t, len(row.notes), strings.Count(lines.String(), "\n"), lines.String())
			for _, note := range row.notes {
				require.Contains(t, lines.String(), note)
			}
		})
	}
}

// TestCheckOffline: what is wrong without a database is said together with the rest.
func TestCheckOffline(t *testing.T) {
	name := filepath.Join(t.TempDir(), "jwks.json")
	require.NoError(t, os.WriteFile(name, []byte("{}"), 0o600))
	problems, err := identity.Check(t.Context(), identity.Config{
		Secret: []byte("short"), JWT: identity.JWTConfig{Algorithms: []string{"RS256", "none"}, JWKSFile: name},
		APIKeys: identity.APIKeyConfig{Named: map[string]bool{"table": true}},
	})
	require.NoError(t, err)
	var paths []string
	for _, p := range problems {
		paths = append(paths, strings.Join(p.Path, "."))
	}
	require.Equal(t, []string{"secret", "jwt.algorithms.[1]", "jwt.jwks_file", "api_keys.table"}, paths)
	require.NotContains(t, identity.Problems(problems).Error(), "short\"", "a secret is in no message")
}

// TestCheckAway: a database that cannot be asked is no problem of the configuration.
func TestCheckAway(t *testing.T) {
	c := identity.Config{Secret: secret, Session: identity.SessionConfig{Enabled: true}, DB: openPool(t, "postgres://nobody@127.0.0.1:1/none?sslmode=disable")}
	_, err := identity.Check(t.Context(), c)
	require.ErrorContains(t, err, "look for the tables of identities")
	auth, err := identity.New(c)
	require.NoError(t, err)
	err = auth.Start(t.Context())
	require.Error(t, err)
	var problems identity.Problems
	require.NotErrorAs(t, err, &problems)

	// Nobody knows yet what there is, so nobody is refused for good.
	a := &app{tb: t, auth: auth}
	a.refused(withKey("key"), gate.CodeAuthUnavailable)
	a.refused(withBearer("token"), gate.CodeAuthUnavailable)
	a.refused(withCookie("token"), gate.CodeAuthUnavailable)
	_, err = auth.Recheck(t.Context(), []gate.Identity{{}})
	require.Error(t, err)
}

// TestOtherNames: every table and column called otherwise, in a schema, with ids of different types and times without a
// zone in a database whose own is not UTC.
func TestOtherNames(t *testing.T) {
	a := newAppIn(t, openPool(t, pgtest.Database(t)))
	const ann, org = "0190a5a0-0000-7000-8000-000000000001", "0190a5a0-0000-7000-8000-000000000002"
	a.exec(`CREATE SCHEMA "Auth";
CREATE TABLE "Auth"."people" ("uid" uuid PRIMARY KEY, "full name" varchar(50), "level" varchar(20), "blocked" smallint, "until" timestamp);
CREATE TABLE "Auth"."logins" ("sid" bigint PRIMARY KEY, "secret" varchar(100), "user_id" uuid, "ends" timestamp, "org" text, "team_id" bigint);
CREATE TABLE "Auth"."membership" ("user_id" text, "org_id" uuid, "roles" varchar(50));
CREATE TABLE "Auth"."keys" ("kid" uuid PRIMARY KEY, "hash" char(43), "user_id" uuid, "on" smallint, "ends" timestamp, "meta" jsonb);
INSERT INTO "Auth"."people" VALUES ('` + ann + `', 'Ann', 'admin', 0, NULL);
INSERT INTO "Auth"."logins" VALUES (7, 'the-token', '` + ann + `', '2026-05-04 12:30', '` + org + `', 5);
INSERT INTO "Auth"."membership" VALUES ('` + ann + `', '` + org + `', 'owner');
INSERT INTO "Auth"."keys" VALUES ('0190a5a0-0000-7000-8000-000000000003', '` + hashed("k") + `', '` + ann + `', 1, '2026-05-04 12:30', '{"organizationId": "` + org + `"}');
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = ''Asia/Tokyo''', current_database()); END $$`)
	a.pool.Reset()
	c := a.configure()
	c.Session.Table, c.Session.MembershipTable, c.Session.UserTable = "Auth.logins", "Auth.membership", "Auth.people"
	c.Session.Columns = map[string]string{
		"userId": "user_id", "session.id": "sid", "token": "secret", "expiresAt": "ends", "activeOrganizationId": "org", "activeTeamId": "team_id",
		"organizationId": "org_id", "role": "roles", "user.role": "level", "user.id": "uid", "name": "full name", "banned": "blocked", "banExpires": "until",
	}
	c.APIKeys.Table = "Auth.keys"
	c.APIKeys.Columns = map[string]string{"id": "kid", "key": "hash", "userId": "user_id", "enabled": "on", "expiresAt": "ends", "metadata": "meta"}
	problems, err := identity.Check(t.Context(), c)
	require.NoError(t, err)
	require.Empty(t, problems)
	a.started(c)

	want := gate.Identity{
		UserID: ann, Name: "Ann", UserRole: "admin", OrgID: org, TeamID: "5", Roles: []string{"owner"},
		ExpiresAt: start.Add(30 * time.Minute), Method: gate.MethodSession, Proof: "7",
	}
	require.Equal(t, want, a.is(withCookie("the-token"), ann))
	key := a.is(withKey("k"), ann)
	require.Equal(t, []string{"owner"}, key.Roles)
	require.Equal(t, start.Add(30*time.Minute), key.ExpiresAt)
	checked, err := a.auth.Recheck(t.Context(), []gate.Identity{want, key})
	require.NoError(t, err)
	require.Equal(t, []gate.Checked{{Identity: want}, {Identity: key}}, checked)

	a.exec(`UPDATE "Auth"."keys" SET "on" = 0; UPDATE "Auth"."people" SET "blocked" = 1, "until" = '2026-05-04 12:00:01'`)
	a.refused(withKey("k"), gate.CodeInvalid)
	a.refused(withBearer("the-token"), gate.CodeInvalid)
	a.clock.Add(time.Second)
	a.is(withBearer("the-token"), ann)
	a.refused(withKey("k"), gate.CodeInvalid)
	a.exec(`UPDATE "Auth"."people" SET "blocked" = 2, "until" = NULL`)
	a.refused(withBearer("the-token"), gate.CodeInvalid) // who knows what 2 is
}

// TestOlderKeys: the owner of a key is in userId where better-auth is older, and in both while an application moves.
func TestOlderKeys(t *testing.T) {
	a := newApp(t)
	a.key("k", "ann", "")
	a.exec(`ALTER TABLE "apikey" RENAME "referenceId" TO "userId"`)
	a.started(a.configure())
	a.is(withKey("k"), "ann")
	a.exec(`ALTER TABLE "apikey" ADD "referenceId" text`)
	a.started(a.configure())
	a.is(withKey("k"), "ann")
	a.exec(`UPDATE "apikey" SET "referenceId" = 'bob'`)
	a.is(withKey("k"), "bob")
}

// TestFewTables: sessions without users and organisations.
func TestFewTables(t *testing.T) {
	a := newApp(t)
	a.exec(`DROP TABLE "user", "member", "apikey"; ALTER TABLE "session" DROP COLUMN "activeOrganizationId", DROP COLUMN "activeTeamId"`)
	a.exec(`INSERT INTO "session" VALUES ('s', 't', 'ann', '2026-05-04 13:00Z')`)
	a.started(a.configure())
	require.Equal(t, gate.Identity{UserID: "ann", Method: gate.MethodSession, Proof: "s", ExpiresAt: start.Add(time.Hour)}, a.is(withBearer("t"), "ann"))
	a.refused(withKey("k"), gate.CodeInvalid)
	a.exec(`CREATE TABLE "member" ("userId" text, "organizationId" text); INSERT INTO "member" VALUES ('ann', 'org_1')`)
	a.started(a.configure())
	require.Empty(t, a.is(withBearer("t"), "ann").OrgID, "a session that names no organisation has none")
	c := a.configure()
	c.PinnedOrg = "org_1"
	a.started(c)
	require.Equal(t, "org_1", a.is(withBearer("t"), "ann").OrgID)
}
