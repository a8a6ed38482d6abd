package access_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/gate/access"
)

const chatsTable = `
CREATE TABLE chats (id text PRIMARY KEY, organization_id text, owner_id text, team_id text, deleted_at timestamptz,
	status text, score int, event_id text, "yjsRoomId" uuid UNIQUE);
INSERT INTO chats (id, organization_id, owner_id, team_id, deleted_at, status, score, event_id, "yjsRoomId") VALUES
	('c1', 'org1', 'ann', 'red', NULL, 'open', 5, 'e1', '6f1c2c5e-94b5-4a3c-b1cf-c8a1a4d6a0f1'),
	('gone', 'org1', 'ann', 'red', now(), 'open', 5, 'e1', NULL),
	('free', 'org1', NULL, NULL, NULL, 'archived', NULL, NULL, NULL),
	('blank', 'org1', NULL, NULL, NULL, NULL, NULL, 'e2', NULL),
	('lost', NULL, 'ann', 'red', NULL, 'open', 5, 'e1', NULL),
	('empty', '', '', '', NULL, '', 0, '', NULL),
	('c2', 'org2', 'al', 'blue', NULL, 'open', 5, 'e1', NULL);
CREATE TABLE attendees (user_id text, event_id text, role text);
INSERT INTO attendees VALUES ('ann', 'e1', 'organizer'), ('ed', 'e1', 'visitor'), ('oz', NULL, 'organizer'), (NULL, 'e1', 'organizer');
`

// attendeeOf relates callers to the events that they organise.
var attendeeOf = map[string]*access.Relationship{"attendeeOf": {
	From: "attendees", SubjectColumn: "user_id", Subject: access.Operand{Ctx: access.CtxUserID}, ResourceColumn: "event_id",
	Where: []access.Test{is("role", access.OpEquals, "organizer")},
}}

func TestRowsAreDecidedInOrder(t *testing.T) {
	db := newDatabase(t, chatsTable)
	scope := []access.Clause{organization(), softDelete()}
	open := access.Rule{Roles: []string{"member+"}, Record: record(is("status", access.OpNotEquals, "archived"))}
	cases := []struct {
		name    string
		table   access.Table
		write   *access.WriteRule
		id      gate.Identity
		room    string
		want    string
		queries int64
	}{
		// who, before what
		{"anonymous", access.Table{Firewall: scope}, nil, nobody, "c1", authMissing, 0},
		{"anonymous, no row", access.Table{Firewall: scope}, nil, nobody, "none", authMissing, 0},
		{"no role", access.Table{Firewall: scope, Read: open}, nil, guest, "c1", roleRequired, 0},
		{"no role, row of others", access.Table{Firewall: scope, Read: open}, nil, guest, "c2", roleRequired, 0},
		{"anonymous, roles", access.Table{Firewall: scope, Read: open}, nil, nobody, "c1", authMissing, 0},
		{"roles by the hierarchy", access.Table{Firewall: scope, Read: open}, nil, oz, "c1", writes, 1},
		{"role alone", access.Table{Firewall: scope, Read: access.Rule{Roles: []string{"member"}}}, nil, ed, "c1", roleRequired, 0},
		{"any of roles", access.Table{Firewall: scope, Read: access.Rule{Roles: []string{"nurse", "member"}}}, nil, ann, "c1", writes, 1},
		{"a role spelt as the rule", access.Table{Firewall: scope, Read: open}, nil, gate.Identity{UserID: "x", OrgID: "org1", Roles: []string{"member+"}}, "c1", roleRequired, 0},
		{"a role spelt PUBLIC", access.Table{Firewall: scope, Read: open}, nil, gate.Identity{UserID: "x", OrgID: "org1", Roles: []string{"PUBLIC"}}, "c1", roleRequired, 0},
		{"no rule, any caller", access.Table{Firewall: scope}, nil, guest, "c1", writes, 1},

		// the firewall
		{"in scope", access.Table{Firewall: scope, Read: open}, nil, ann, "c1", writes, 1},
		{"no row", access.Table{Firewall: scope, Read: open}, nil, ann, "none", firewall, 1},
		{"no row, hidden", access.Table{Firewall: scope, Read: open, Hide: true}, nil, ann, "none", notFound, 1},
		{"row of another organisation", access.Table{Firewall: scope, Read: open}, nil, ann, "c2", firewall, 1},
		{"row of another organisation, hidden", access.Table{Firewall: scope, Read: open, Hide: true}, nil, ann, "c2", notFound, 1},
		{"row of no organisation", access.Table{Firewall: scope, Read: open}, nil, ann, "lost", firewall, 1},
		{"row of the empty organisation", access.Table{Firewall: scope}, nil, loner, "empty", firewall, 0},
		{"no organisation", access.Table{Firewall: scope}, nil, loner, "c1", firewall, 0},
		{"no organisation, hidden", access.Table{Firewall: scope, Hide: true}, nil, loner, "c1", notFound, 0},
		{"deleted", access.Table{Firewall: scope, Read: open}, nil, ann, "gone", firewall, 1},
		{"admin", access.Table{Firewall: scope, Read: open}, nil, admin, "c1", writes, 1},
		{"admin of another organisation", access.Table{Firewall: scope, Read: open}, nil, abroad, "c1", firewall, 1},
		{"admin, deleted", access.Table{Firewall: scope, Read: open}, nil, admin, "gone", firewall, 1},

		// owner and team
		{"owner", access.Table{Firewall: []access.Clause{owner()}}, nil, ann, "c1", writes, 1},
		{"not the owner", access.Table{Firewall: []access.Clause{owner()}}, nil, ed, "c1", firewall, 1},
		{"no owner, required", access.Table{Firewall: []access.Clause{owner()}}, nil, ann, "free", firewall, 1},
		{"no owner, optional", access.Table{Firewall: []access.Clause{ownerOrNone()}}, nil, ed, "free", writes, 1},
		{"owner, optional", access.Table{Firewall: []access.Clause{ownerOrNone()}}, nil, ann, "c1", writes, 1},
		{"not the owner, optional", access.Table{Firewall: []access.Clause{ownerOrNone()}}, nil, ed, "c1", firewall, 1},
		{"optional does not reach past it", access.Table{Firewall: []access.Clause{ownerOrNone(), organization()}}, nil, alien, "free", firewall, 1},
		{"team", access.Table{Firewall: []access.Clause{team()}}, nil, ann, "c1", writes, 1},
		{"not in the team", access.Table{Firewall: []access.Clause{team()}}, nil, ann, "c2", firewall, 1},
		{"no team", access.Table{Firewall: []access.Clause{team()}}, nil, ed, "c1", firewall, 0},
		{"empty owner", access.Table{Firewall: []access.Clause{ownerOrNone()}, Read: access.Rule{Roles: []string{"PUBLIC"}}}, nil, nobody, "free", firewall, 0},
		{"all clauses hold", access.Table{Firewall: []access.Clause{organization(), owner(), team(), softDelete()}}, nil, ann, "c1", writes, 1},

		// lists
		{"in", access.Table{Firewall: []access.Clause{organization(), literal("status", access.OpIn, []any{"shared", "open"})}}, nil, ann, "c1", writes, 1},
		{"not in", access.Table{Firewall: []access.Clause{organization(), literal("status", access.OpIn, []any{"shared", "closed"})}}, nil, ann, "c1", firewall, 1},
		{"in, NULL", access.Table{Firewall: []access.Clause{organization(), literal("status", access.OpIn, []any{"shared"})}}, nil, ann, "blank", firewall, 1},
		{"notIn, NULL", access.Table{Firewall: []access.Clause{organization(), literal("status", access.OpNotIn, []any{"shared"})}}, nil, ann, "blank", firewall, 1},
		{"notEquals, NULL", access.Table{Firewall: []access.Clause{organization(), literal("status", access.OpNotEquals, "shared")}}, nil, ann, "blank", firewall, 1},
		{"not NULL", access.Table{Firewall: []access.Clause{organization(), literal("owner_id", access.OpIsNull, false)}}, nil, ann, "free", firewall, 1},

		// relationships
		{"via", access.Table{Firewall: []access.Clause{{Field: "event_id", Via: "attendeeOf"}}}, nil, ann, "c1", writes, 1},
		{"via, and more", access.Table{Firewall: []access.Clause{{Field: "event_id", Via: "attendeeOf"}, organization()}}, nil, ann, "c2", firewall, 1},
		{"via, where fails", access.Table{Firewall: []access.Clause{{Field: "event_id", Via: "attendeeOf"}}}, nil, ed, "c1", firewall, 1},
		{"via, not related", access.Table{Firewall: []access.Clause{{Field: "event_id", Via: "attendeeOf"}}}, nil, guest, "c1", firewall, 1},
		{"via, other event", access.Table{Firewall: []access.Clause{{Field: "event_id", Via: "attendeeOf"}}}, nil, ann, "blank", firewall, 1},
		{"via, NULL on both sides", access.Table{Firewall: []access.Clause{{Field: "event_id", Via: "attendeeOf"}}}, nil, oz, "free", firewall, 1},
		{"via, nobody", access.Table{Firewall: []access.Clause{{Field: "event_id", Via: "attendeeOf"}}, Read: access.Rule{Roles: []string{"PUBLIC"}}}, nil, nobody, "c1", firewall, 0},

		// the rule of reading
		{"record fails", access.Table{Firewall: scope, Read: open}, nil, ann, "free", condition, 1},
		{"record fails, hidden", access.Table{Firewall: scope, Read: open, Hide: true}, nil, ann, "free", condition, 1},
		{"record, NULL", access.Table{Firewall: scope, Read: open}, nil, ann, "blank", condition, 1},
		{"record, admin", access.Table{Firewall: scope, Read: open}, nil, admin, "free", writes, 1},
		{"record, admin abroad", access.Table{Firewall: scope, Read: open}, nil, abroad, "free", firewall, 1},
		{"record, empty value", access.Table{Firewall: []access.Clause{owner()}, Read: access.Rule{Record: record(access.Test{Field: "organization_id", Op: access.OpEquals, Value: access.Operand{Ctx: access.CtxActiveOrgID}})}}, nil, gate.Identity{UserID: "ann"}, "c1", condition, 1},
		{"record, empty value not equal", access.Table{Firewall: []access.Clause{owner()}, Read: access.Rule{Record: record(access.Test{Field: "organization_id", Op: access.OpNotEquals, Value: access.Operand{Ctx: access.CtxActiveOrgID}})}}, nil, gate.Identity{UserID: "ann"}, "c1", condition, 1},
		{"record, empty value against NULL", access.Table{Firewall: []access.Clause{owner()}, Read: access.Rule{Record: record(access.Test{Field: "organization_id", Op: access.OpEquals, Value: access.Operand{Ctx: access.CtxActiveOrgID}})}}, nil, gate.Identity{UserID: "ann"}, "lost", condition, 1},
		{"or, one holds", access.Table{Firewall: scope, Read: access.Rule{Record: &access.Condition{Or: []*access.Condition{record(is("status", access.OpEquals, "shared")), record(is("score", access.OpGreaterThan, 4))}}}}, nil, ann, "c1", writes, 1},
		{"or, none holds", access.Table{Firewall: scope, Read: access.Rule{Record: &access.Condition{Or: []*access.Condition{record(is("status", access.OpEquals, "shared")), record(is("score", access.OpGreaterThan, 5))}}}}, nil, ann, "c1", condition, 1},
		{"or, and a test", access.Table{Firewall: scope, Read: access.Rule{Record: &access.Condition{Tests: []access.Test{is("score", access.OpLessThan, 5)}, Or: []*access.Condition{record(is("status", access.OpEquals, "open"))}}}}, nil, ann, "c1", condition, 1},
		{"and, one fails", access.Table{Firewall: scope, Read: access.Rule{Record: &access.Condition{And: []*access.Condition{record(is("status", access.OpEquals, "open")), record(is("score", access.OpGreaterThan, 5))}}}}, nil, ann, "c1", condition, 1},
		{"and, all hold", access.Table{Firewall: scope, Read: access.Rule{Record: &access.Condition{And: []*access.Condition{record(is("status", access.OpEquals, "open")), record(is("score", access.OpLessThanOrEqual, 5))}}}}, nil, ann, "c1", writes, 1},

		// without scope, and PUBLIC
		{"exception", access.Table{Exception: true}, nil, loner, "lost", writes, 1},
		{"exception, anonymous", access.Table{Exception: true}, nil, nobody, "c1", authMissing, 0},
		{"PUBLIC, anonymous reads", access.Table{Exception: true, Read: access.Rule{Roles: []string{"PUBLIC"}}}, nil, nobody, "c1", reads, 1},
		{"PUBLIC, anonymous writes", access.Table{Exception: true, Read: access.Rule{Roles: []string{"PUBLIC"}}, Write: access.Rule{Roles: []string{"PUBLIC"}}}, nil, nobody, "c1", writes, 1},
		{"PUBLIC, and not to write rooms", access.Table{Exception: true, Read: access.Rule{Roles: []string{"PUBLIC"}}, Write: access.Rule{Roles: []string{"PUBLIC"}}}, &access.WriteRule{Roles: []string{"member"}}, nobody, "c1", reads, 1},
		{"PUBLIC, record", access.Table{Exception: true, Read: access.Rule{Roles: []string{"PUBLIC"}, Record: record(is("status", access.OpEquals, "shared"))}}, nil, nobody, "c1", condition, 1},
		{"PUBLIC, record, an anonymous admin", access.Table{Exception: true, Read: access.Rule{Roles: []string{"PUBLIC"}, Record: record(is("status", access.OpEquals, "shared"))}}, nil, gate.Identity{UserRole: "admin"}, "c1", condition, 1},
		{"PUBLIC, with a role", access.Table{Exception: true, Read: access.Rule{Roles: []string{"PUBLIC"}}}, nil, guest, "c1", writes, 1},
		{"PUBLIC, in a scope, an organisation without a user", access.Table{Firewall: scope, Read: access.Rule{Roles: []string{"PUBLIC"}}}, nil, gate.Identity{OrgID: "org1"}, "c1", firewall, 0},
		{"PUBLIC, in a scope", access.Table{Firewall: scope, Read: access.Rule{Roles: []string{"PUBLIC"}}}, nil, nobody, "c1", firewall, 0},

		// writing: the room's rule and the resource's
		{"resource's role", access.Table{Firewall: scope, Write: access.Rule{Roles: []string{"editor+"}}}, nil, ed, "c1", writes, 1},
		{"not the resource's role", access.Table{Firewall: scope, Write: access.Rule{Roles: []string{"editor+"}}}, nil, ann, "c1", reads, 1},
		{"room's role", access.Table{Firewall: scope}, &access.WriteRule{Roles: []string{"editor+"}}, oz, "c1", writes, 1},
		{"not the room's role", access.Table{Firewall: scope}, &access.WriteRule{Roles: []string{"editor+"}}, ann, "c1", reads, 1},
		{"both roles", access.Table{Firewall: scope, Write: access.Rule{Roles: []string{"editor"}}}, &access.WriteRule{Roles: []string{"editor"}}, ed, "c1", writes, 1},
		{"one of both, the room's", access.Table{Firewall: scope, Write: access.Rule{Roles: []string{"owner"}}}, &access.WriteRule{Roles: []string{"editor"}}, ed, "c1", reads, 1},
		{"one of both, the resource's", access.Table{Firewall: scope, Write: access.Rule{Roles: []string{"editor"}}}, &access.WriteRule{Roles: []string{"owner"}}, ed, "c1", reads, 1},
		{"resource's record", access.Table{Firewall: scope, Write: access.Rule{Record: record(is("status", access.OpEquals, "open"))}}, nil, ann, "c1", writes, 1},
		{"not the resource's record", access.Table{Firewall: scope, Write: access.Rule{Record: record(is("status", access.OpEquals, "open"))}}, nil, ann, "free", reads, 1},
		{"record of a NULL", access.Table{Firewall: scope, Write: access.Rule{Record: record(is("status", access.OpNotEquals, "open"))}}, nil, ann, "blank", reads, 1},
		{"admin writes", access.Table{Firewall: scope, Write: access.Rule{Roles: []string{"owner"}, Record: record(is("status", access.OpEquals, "x"))}}, &access.WriteRule{Roles: []string{"owner"}}, admin, "c1", writes, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := oneTable(c.table)
			s.Relationships = attendeeOf
			rule := chats()
			rule.Write = c.write
			a := newRoom(t, newAccess(t, db, s), rule)
			before := db.asked.Load()
			_, _ = a.Authorize(t.Context(), c.id, &gate.Request{Room: c.room})
			require.Equal(t, c.queries, db.asked.Load()-before, "queries")
			require.Equal(t, c.want, ask(t, a, c.id, c.room))
			require.Equal(t, slices.Contains(c.table.Read.Roles, access.RolePublic), a.(gate.AnonymousAuthorizer).Anonymous())
		})
	}
}

func TestPresenceOfReadersIsDropped(t *testing.T) {
	db := newDatabase(t, chatsTable)
	a := newAccess(t, db, oneTable(access.Table{Firewall: []access.Clause{organization()}, Write: access.Rule{Roles: []string{"editor"}}}))
	for _, quiet := range []bool{true, false} {
		rule := chats()
		rule.Write = &access.WriteRule{WritersOnlyPresence: quiet}
		room := newRoom(t, a, rule)
		for _, id := range []gate.Identity{ann, ed} {
			d, err := room.Authorize(t.Context(), id, &gate.Request{Room: "c1"})
			require.NoError(t, err)
			require.Equal(t, id.UserID == "ed", d.Write)
			require.Equal(t, quiet && !d.Write, d.NoPresence)
		}
	}
}
