package access_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/gate/access"
	"github.com/yserverd/yserverd/internal/pgtest"
)

// database is a database that counts what it is asked.
type database struct {
	*pgxpool.Pool
	tb    testing.TB
	url   string
	asked atomic.Int64
}

func (d *database) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	d.asked.Add(1)
	return d.Pool.Query(ctx, sql, args...)
}

// newDatabase returns a database with some statements executed. It is closed with the test.
func newDatabase(tb testing.TB, statements string) *database {
	tb.Helper()
	url := pgtest.Database(tb)
	pool, err := pgxpool.New(tb.Context(), url+"&synchronous_commit=off") // nothing here outlives a crash
	require.NoError(tb, err)
	tb.Cleanup(pool.Close)
	db := &database{Pool: pool, tb: tb, url: url}
	db.exec(tb, statements)
	return db
}

func (d *database) exec(tb testing.TB, statements string) {
	tb.Helper()
	_, err := d.Exec(tb.Context(), statements)
	require.NoError(tb, err)
}

// newAccess returns the Access of a schema.
func newAccess(tb testing.TB, db access.Querier, s *access.Schema) *access.Access {
	tb.Helper()
	a, err := access.New(tb.Context(), access.Config{Schema: s, DB: db})
	require.NoError(tb, err)
	return a
}

// newRoom returns the authorizer of a rule.
func newRoom(tb testing.TB, a *access.Access, r *access.RoomRule) gate.Authorizer {
	tb.Helper()
	authorizer, err := a.Room("ROOM", r)
	require.NoError(tb, err)
	return authorizer
}

// oneTable returns a schema whose only resource is "chats".
func oneTable(t access.Table) *access.Schema {
	if t.SQL == "" {
		t.SQL = "chats"
	}
	return &access.Schema{
		Features:      map[string]*access.Feature{"chats": {Tables: map[string]*access.Table{"chats": &t}}},
		RoleHierarchy: []string{"member", "editor", "owner"},
	}
}

// chats is the rule of rooms that are rows of chats.
func chats() *access.RoomRule {
	return &access.RoomRule{Resource: &access.ResourceRef{Feature: "chats"}}
}

// outcomes that are no refusals.
const (
	writes = "write"
	reads  = "read"
)

// outcome returns "write", "read", or the status and code of a refusal.
func outcome(tb testing.TB, d gate.Decision, err error) string {
	tb.Helper()
	var refusal *gate.Refusal
	switch {
	case errors.As(err, &refusal):
		return refused(refusal)
	case err != nil:
		require.NoError(tb, err)
	case d.Write:
		return writes
	}
	return reads
}

func refused(r *gate.Refusal) string {
	return string(r.Layer) + " " + r.Code
}

// ask returns what becomes of a caller who wants a room.
func ask(tb testing.TB, a gate.Authorizer, id gate.Identity, room string) string {
	tb.Helper()
	d, err := a.Authorize(tb.Context(), id, &gate.Request{Party: "room", Room: room})
	got := outcome(tb, d, err)
	if err == nil {
		require.Equal(tb, id, d.Identity)
		require.Zero(tb, d.Until)
	}
	if batch, ok := a.(gate.BatchAuthorizer); ok {
		verdicts, err := batch.AuthorizeAll(tb.Context(), []gate.Ask{{Identity: id, Party: "room", Room: room}})
		require.NoError(tb, err)
		require.Len(tb, verdicts, 1)
		require.Equal(tb, got, verdict(tb, verdicts[0]), "many at once")
		require.Equal(tb, d, verdicts[0].Decision)
	}
	return got
}

func verdict(tb testing.TB, v gate.Verdict) string {
	tb.Helper()
	if v.Refusal != nil {
		require.Zero(tb, v.Decision)
		return refused(v.Refusal)
	}
	return outcome(tb, v.Decision, nil)
}

// the refusals of gate.md.
const (
	authMissing  = "authentication AUTH_MISSING"
	roleRequired = "access ACCESS_ROLE_REQUIRED"
	condition    = "access ACCESS_CONDITION_FAILED"
	denied       = "access ACCESS_DENIED"
	unavailable  = "access ACCESS_UNAVAILABLE"
	firewall     = "firewall FIREWALL_NOT_FOUND"
	notFound     = "firewall NOT_FOUND"
	badRoom      = "validation ROOM_ID_INVALID"
)

// callers.
var (
	nobody = gate.Identity{}
	ann    = gate.Identity{UserID: "ann", OrgID: "org1", TeamID: "red", Roles: []string{"member"}, Method: gate.MethodJWT}
	ed     = gate.Identity{UserID: "ed", OrgID: "org1", Roles: []string{"editor"}}
	oz     = gate.Identity{UserID: "oz", OrgID: "org1", Roles: []string{"guest", "owner"}}
	guest  = gate.Identity{UserID: "gus", OrgID: "org1", Roles: []string{"guest"}}
	alien  = gate.Identity{UserID: "al", OrgID: "org2", Roles: []string{"owner"}}
	loner  = gate.Identity{UserID: "lou"} // member of nothing
	admin  = gate.Identity{UserID: "root", UserRole: "admin", OrgID: "org1"}
	abroad = gate.Identity{UserID: "root", UserRole: "admin", OrgID: "org2"}
)

// clauses of a firewall.
func organization() access.Clause { return equalsCtx("organization_id", access.CtxActiveOrgID) }
func owner() access.Clause        { return equalsCtx("owner_id", access.CtxUserID) }
func team() access.Clause         { return equalsCtx("team_id", access.CtxActiveTeamID) }

func ownerOrNone() access.Clause {
	c := owner()
	c.OrNull = true
	return c
}

func softDelete() access.Clause {
	return access.Clause{Field: "deleted_at", Op: access.OpIsNull, Value: access.Operand{Literal: true}}
}

func equalsCtx(field, ctx string) access.Clause {
	return access.Clause{Field: field, Op: access.OpEquals, Value: access.Operand{Ctx: ctx}, Scope: true}
}

func literal(field string, op access.Operator, v any) access.Clause {
	return access.Clause{Field: field, Op: op, Value: access.Operand{Literal: v}}
}

// is returns a test with a literal.
func is(field string, op access.Operator, v any) access.Test {
	return access.Test{Field: field, Op: op, Value: access.Operand{Literal: v}}
}

// record returns a condition of tests that all hold.
func record(tests ...access.Test) *access.Condition { return &access.Condition{Tests: tests} }
