package config_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/cmd/yserverd/internal/config"
	"github.com/yserverd/yserverd/gate/access"
)

// declared is a file with resources, which begin in line 4.
func declared(resources string) string {
	return `auth: {secret: 0123456789abcdef0123456789abcdef, role_hierarchy: [viewer, member, admin]}
database: {url: "postgres://u@h/app"}
rooms: {M: {type: document, access: {roomIdEquals: ctx.userId}}}
` + resources
}

// TestResources has every form of a resource, and what it becomes.
func TestResources(t *testing.T) {
	c, err := parse(declared(`
resources:
  chats:
    table: app.chats
    firewall:
      organization: {column: organization_id}
      owner: {column: owner_id, mode: optional}
      team: {column: team_id}
      softDelete: {column: deleted_at}
      errorMode: hide
    read:
      access:
        roles: [member+, PUBLIC]
        record: {status: {notEquals: archived}, level: {greaterThan: 2, lessThanOrEqual: 9.5}, kind: note}
    write: {access: {roles: [admin]}}
  events:
    tables:
      events:
        firewall:
          - {field: organization_id, equals: ctx.activeOrgId}
          - {field: deleted_at, isNull: true}
          - {field: closed, isNull: false}
          - {field: status, in: [open, 3, 1.5, true, "${S}"]}
          - {field: id, via: attendeeOf}
          - {field: day, lessThan: 2026-01-31}
      plans:
        table: event_plans
        exception: true
        errorMode: reveal
        read:
          access:
            or:
              - {status: open}
              - record: {status: draft, owner_id: {equals: ctx.userId}}
              - {and: [{a: {notIn: [x]}}, {b: {greaterThanOrEqual: 1}}]}
            and:
              - {or: [{c: 1}, {c: 2}]}
  logs: {firewall: {owner: {column: user_id, mode: required}, softDelete: {column: gone}}, read: {access: {record: {or: [{a: 1}]}}}}
relationships:
  attendeeOf: {from: attendees, subject: {column: user_id, equals: ctx.userId}, resource: {column: event_id}, where: {role: organizer, state: {in: [yes, maybe]}}}
`), "S=shared")
	require.NoError(t, err)
	ctx := func(name string) access.Operand { return access.Operand{Ctx: name} }
	literal := func(v any) access.Operand { return access.Operand{Literal: v} }
	require.Equal(t, &access.Schema{
		RoleHierarchy: []string{"viewer", "member", "admin"},
		Features: config.Resources{
			"chats": {Tables: map[string]*access.Table{"chats": {
				SQL: "app.chats", Hide: true,
				Firewall: []access.Clause{
					{Field: "organization_id", Op: access.OpEquals, Value: ctx(access.CtxActiveOrgID), Scope: true},
					{Field: "owner_id", Op: access.OpEquals, Value: ctx(access.CtxUserID), Scope: true, OrNull: true},
					{Field: "team_id", Op: access.OpEquals, Value: ctx(access.CtxActiveTeamID), Scope: true},
					{Field: "deleted_at", Op: access.OpIsNull, Value: literal(true)},
				},
				Read: access.Rule{Roles: []string{"member+", "PUBLIC"}, Record: &access.Condition{Tests: []access.Test{
					{Field: "kind", Op: access.OpEquals, Value: literal("note")},
					{Field: "level", Op: access.OpGreaterThan, Value: literal(int64(2))},
					{Field: "level", Op: access.OpLessThanOrEqual, Value: literal(9.5)},
					{Field: "status", Op: access.OpNotEquals, Value: literal("archived")},
				}}},
				Write: access.Rule{Roles: []string{"admin"}},
			}}},
			"events": {Tables: map[string]*access.Table{
				"events": {SQL: "events", Firewall: []access.Clause{
					{Field: "organization_id", Op: access.OpEquals, Value: ctx(access.CtxActiveOrgID), Scope: true},
					{Field: "deleted_at", Op: access.OpIsNull, Value: literal(true)},
					{Field: "closed", Op: access.OpIsNull, Value: literal(false)},
					{Field: "status", Op: access.OpIn, Value: literal([]any{"open", int64(3), 1.5, true, "shared"})},
					{Field: "id", Via: "attendeeOf", Scope: true},
					{Field: "day", Op: access.OpLessThan, Value: literal("2026-01-31")},
				}},
				"plans": {SQL: "event_plans", Exception: true, Read: access.Rule{Record: &access.Condition{
					Or: []*access.Condition{
						{Tests: []access.Test{{Field: "status", Op: access.OpEquals, Value: literal("open")}}},
						{Tests: []access.Test{
							{Field: "owner_id", Op: access.OpEquals, Value: ctx(access.CtxUserID)},
							{Field: "status", Op: access.OpEquals, Value: literal("draft")},
						}},
						{And: []*access.Condition{
							{Tests: []access.Test{{Field: "a", Op: access.OpNotIn, Value: literal([]any{"x"})}}},
							{Tests: []access.Test{{Field: "b", Op: access.OpGreaterThanOrEqual, Value: literal(int64(1))}}},
						}},
					},
					And: []*access.Condition{{Or: []*access.Condition{
						{Tests: []access.Test{{Field: "c", Op: access.OpEquals, Value: literal(int64(1))}}},
						{Tests: []access.Test{{Field: "c", Op: access.OpEquals, Value: literal(int64(2))}}},
					}}},
				}}},
			}},
			"logs": {Tables: map[string]*access.Table{"logs": {
				SQL: "logs",
				Firewall: []access.Clause{
					{Field: "user_id", Op: access.OpEquals, Value: ctx(access.CtxUserID), Scope: true},
					{Field: "gone", Op: access.OpIsNull, Value: literal(true)},
				},
				Read: access.Rule{Record: &access.Condition{Or: []*access.Condition{
					{Tests: []access.Test{{Field: "a", Op: access.OpEquals, Value: literal(int64(1))}}},
				}}},
			}}},
		},
		Relationships: config.Relationships{"attendeeOf": {
			From: "attendees", SubjectColumn: "user_id", Subject: ctx(access.CtxUserID), ResourceColumn: "event_id",
			Where: []access.Test{
				{Field: "role", Op: access.OpEquals, Value: literal("organizer")},
				{Field: "state", Op: access.OpIn, Value: literal([]any{"yes", "maybe"})},
			},
		}},
	}, c.Schema())
}

// TestResourceProblems has a table of the file for each mistake. Keys are given from resources.t on, lines from its own.
func TestResourceProblems(t *testing.T) {
	const scoped = "firewall: {owner: {column: o}}\n    "
	for _, row := range []struct{ name, table, want string }{
		{"unknown key", scoped + "raed: {}", "2: raed: unknown key, did you mean read?"},
		{"tables and a key of one", "tables: {a: {exception: true}}\n    " + scoped, "2: firewall: belongs to a table, below tables: a feature that lists its tables has no other key"},
		{"no tables", "tables: {}", "1: tables: is empty: want a table, or nothing for the one table that has the feature's name"},
		{"tables that are a list", "tables: [a]", "1: tables: want a mapping, got a list"},
		{"another error mode", scoped + "errorMode: 404", `2: errorMode: want a text (quote it if it looks like a number), got 404`},
		{"an error mode that is none", scoped + "errorMode: hidden", "2: errorMode: want reveal or hide"},
		{"two error modes", "firewall:\n      owner: {column: o}\n      errorMode: hide\n    errorMode: reveal", "3: firewall.errorMode: is beside the firewall too: want it once"},

		{"firewall that is a text", "firewall: organization", "1: firewall: want scopes such as {organization: {column: organization_id}}, or a list of conditions, got text"},
		{"mistyped scope", "firewall:\n      organisation: {column: o}\n      owner: {column: o}", "2: firewall.organisation: unknown key, did you mean organization?"},
		{"scope without a column", "firewall:\n      organization: {}", "2: firewall.organization.column: is missing: want the column to compare"},
		{"scope that is a text", "firewall:\n      organization: org_id", "2: firewall.organization: want a mapping, got text"},
		{"mode of another scope", "firewall: {organization: {column: o, mode: optional}}", "1: firewall.organization.mode: belongs to owner"},
		{"another mode", "firewall: {owner: {column: o, mode: maybe}}", "1: firewall.owner.mode: want required or optional"},
		{"condition without a column", "firewall:\n      - {equals: ctx.userId}", "2: firewall[0].field: is missing: want the column to compare"},
		{"condition without an operator", "firewall:\n      - {field: o}", "2: firewall[0]: want one condition: {field: <column>, equals: ctx.activeOrgId}, or another operator, or via"},
		{"condition with two", "firewall:\n      - {field: o, equals: ctx.userId, via: r}", "2: firewall[0]: want one condition: {field: <column>, equals: ctx.activeOrgId}, or another operator, or via"},
		{"mistyped operator", "firewall:\n      - {field: o, equal: ctx.userId}", "2: firewall[0].equal: unknown key, did you mean equals?"},
		{"condition that is a text", "firewall:\n      - organization", "2: firewall[0]: want a mapping, got text"},

		{"unknown value of the caller", "firewall:\n      - {field: o, equals: ctx.userID}", "2: firewall[0].equals: unknown value of the caller, did you mean ctx.userId?"},
		{"unlike any value of the caller", "firewall:\n      - {field: o, equals: ctx.x}", "2: firewall[0].equals: unknown value of the caller: want ctx.userId, ctx.activeOrgId, ctx.activeTeamId, ctx.userRole"},
		{"value of the caller with a $", "firewall:\n      - {field: o, equals: $ctx.userId}", "2: firewall[0].equals: is written without the $: ctx.userId"},
		{"value of the caller in a list", "firewall:\n      - {field: o, in: [ctx.userId]}", "2: firewall[0].in[0]: a list has no value of the caller: want equals for that, in a condition of its own"},
		{"in of a text", "firewall:\n      - {field: o, in: open}", "2: firewall[0].in: want a list of values, got text"},
		{"in of nothing", "firewall:\n      - {field: o, in: []}", "2: firewall[0].in: is empty: want a value at least"},
		{"in of lists", "firewall:\n      - {field: o, in: [[a]]}", "2: firewall[0].in[0]: want a value, got a list"},
		{"equals a list", "firewall:\n      - {field: o, equals: [a]}", "2: firewall[0].equals: want one value, got a list: in and notIn take lists"},
		{"equals a mapping", "firewall:\n      - {field: o, equals: {a: b}}", "2: firewall[0].equals: want a value, got a mapping"},
		{"equals null", "firewall:\n      - {field: o, equals: null}", "2: firewall[0].equals: nothing equals null: want isNull: true, or isNull: false"},
		{"isNull of a text", "firewall:\n      - {field: o, isNull: no}", `2: firewall[0].isNull: want true or false, got "no"`},
		{"more than 64 bits", "firewall:\n      - {field: o, equals: 18446744073709551615}", "2: firewall[0].equals: want a text, a number, true or false, got 18446744073709551615"},
		{"no number", "firewall:\n      - {field: o, equals: .inf}", "2: firewall[0].equals: want a text, a number, true or false, got .inf"},

		{"no scope", "table: x", "0: firewall: the resource has no scope: every caller would see every row: add an organization, owner, team or via clause, or a field that equals a ctx value; or say exception: true"},
		{"soft delete alone", "firewall:\n      softDelete: {column: gone}", "1: firewall: the resource has no scope: every caller would see every row: add an organization, owner, team or via clause, or a field that equals a ctx value; or say exception: true"},
		{"a list without a scope", "firewall:\n      - {field: o, notEquals: ctx.userId}", "1: firewall: the resource has no scope: every caller would see every row: add an organization, owner, team or via clause, or a field that equals a ctx value; or say exception: true"},
		{"a scope and an exception", scoped + "exception: true", "2: exception: the resource has a scope and is an exception: remove exception, or the clauses that scope"},
		{"a scope and an exception in it", "firewall:\n      owner: {column: o}\n      exception: true", "3: firewall.exception: the resource has a scope and is an exception: remove exception, or the clauses that scope"},
		{"an exception and a scope of a list", "exception: true\n    tables_: 1\n    firewall: [{field: o, equals: ctx.userId}]", "1: exception: the resource has a scope and is an exception: remove exception, or the clauses that scope\ny.yaml:7: resources.t.tables_: unknown key, did you mean table?"},
		{"unknown relationship", "firewall:\n      - {field: o, via: attendeeOf}", "2: firewall[0].via: relationship \"attendeeOf\" is not declared: declare it under relationships"},
		{"unknown role of a hierarchy", scoped + "read:\n      access:\n        roles: [admin, editor+]", "4: read.access.roles[1]: no hierarchy knows the role \"editor\": add it to auth.role_hierarchy, or write \"editor\" for that role alone"},
		{"a long name in a record", scoped + "write:\n      access:\n        record: {a: 1}\n        or:\n          - {b: 2}\n          - {" + strings.Repeat("c", 64) + ": 3}", "7: write.access.or[1]." + strings.Repeat("c", 64) + ".field: \"" + strings.Repeat("c", 64) + "\" cannot be the name of a column: use a name of 1 to 63 bytes"},
		{"a long name in a record beside arms", scoped + "write:\n      access:\n        or: [{b: 2}]\n        record:\n          " + strings.Repeat("c", 64) + ": 3", "6: write.access.record." + strings.Repeat("c", 64) + ".field: \"" + strings.Repeat("c", 64) + "\" cannot be the name of a column: use a name of 1 to 63 bytes"},
		{"rule without access", scoped + "read: {roles: [member]}", "2: read.roles: unknown key"},
		{"access that is a text", scoped + "read: {access: public}", "2: read.access: want a mapping, got text"},
		{"mistyped rule", scoped + "read: {access: {role: [member]}}", "2: read.access.role: unknown key, did you mean roles?"},
		{"no roles", scoped + "read: {access: {roles: []}}", "2: read.access.roles: is empty: want a role, or leave it out to let everybody"},
		{"an empty role", scoped + "read: {access: {roles: ['+']}}", "2: read.access.roles[0]: a role has no name: name it, or remove it"},
		{"mistyped operator of a record", scoped + "read:\n      access:\n        record:\n          status: {notEqual: archived}", "5: read.access.record.status.notEqual: unknown operator, did you mean notEquals?"},
		{"another language's operator", scoped + "read: {access: {record: {status: {$ne: archived}}}}", "2: read.access.record.status.$ne: unknown operator, did you mean notEquals?"},
		{"no operator at all", scoped + "read: {access: {record: {status: {matches: x}}}}", "2: read.access.record.status.matches: unknown operator: want one of equals, notEquals, in, notIn, lessThan, greaterThan, lessThanOrEqual, greaterThanOrEqual, isNull"},
		{"a column without a condition", scoped + "read: {access: {record: {status: {}}}}", "2: read.access.record.status: is empty: want {equals: <value>}, or another operator"},
		{"a column with a list", scoped + "read: {access: {record: {status: [a, b]}}}", "2: read.access.record.status: want {in: [...]} for one of several values, got a list"},
		{"an empty record", scoped + "read: {access: {record: {}}}", "2: read.access.record: is empty: want a condition, or leave it out"},
		{"arms that are a mapping", scoped + "read: {access: {or: {a: 1}}}", "2: read.access.or: want a list of conditions, got a mapping"},
		{"no arms", scoped + "read: {access: {or: []}}", "2: read.access.or: is empty: want a condition, or leave it out"},
		{"an empty arm", scoped + "read: {access: {or: [{a: 1},\n      {}]}}", "3: read.access.or[1]: is empty: want a condition"},
		{"roles in an arm", scoped + "read: {access: {or: [{roles: [member]}]}}", "2: read.access.or[0].roles: roles stand beside record, not in an arm of or or and: those are about the row"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := parse(declared("resources:\n  t:\n    " + row.table))
			line, text, _ := strings.Cut(row.want, ": ")
			n, _ := strconv.Atoi(line)
			require.EqualError(t, err, fmt.Sprintf("y.yaml:%d: resources.t.%s", n+5, text))
		})
	}
}

func TestRelationshipProblems(t *testing.T) {
	for _, row := range []struct{ name, text, want string }{
		{"a list", "relationships: []", "4: relationships: want a mapping, got a list"},
		{"nothing", "relationships:\n  r: {}", "5: relationships.r.from: is missing: want the table that relates callers to rows\n" +
			"5: relationships.r.resource.column: is missing: want the column that has the row's key\n" +
			"5: relationships.r.subject: is missing: want {column: <column>, equals: ctx.userId}"},
		{"subject of nothing", "relationships:\n  r: {from: f, subject: {}, resource: {column: c}}", "5: relationships.r.subject.column: is missing: want the column that has the caller\n" +
			"5: relationships.r.subject.equals: is missing: want ctx.userId, or another value of the caller"},
		{"unknown operator", "relationships:\n  r:\n    from: f\n    subject: {column: u, equals: ctx.userId}\n    resource: {column: c}\n    where: {role: {is: a}}", "9: relationships.r.where.role.is: unknown operator, did you mean equals?"},
		{"unknown value of the caller", "relationships:\n  r:\n    from: f\n    subject: {column: u, equals: ctx.id}\n    resource: {column: c}", "7: relationships.r.subject.equals: unknown value of the caller: want ctx.userId, ctx.activeOrgId, ctx.activeTeamId, ctx.userRole"},
		{"another key", "relationships:\n  r: {from: f, subject: {column: u, eq: ctx.userId}, resource: {column: c}}", "5: relationships.r.subject.eq: unknown key\n5: relationships.r.subject.equals: is missing: want ctx.userId, or another value of the caller"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := parse(declared(row.text))
			require.EqualError(t, err, "y.yaml:"+strings.ReplaceAll(row.want, "\n", "\ny.yaml:"))
		})
	}
}

// TestResourcesNeedADatabase: rows are asked for, so there has to be somewhere to ask.
func TestResourcesNeedADatabase(t *testing.T) {
	const text = "auth: {secret: 0123456789abcdef0123456789abcdef}\nresources:\n  a: {exception: true}\nrooms: {M: {type: document, access: {resource: a}}}\n"
	_, err := parse(text)
	require.EqualError(t, err, "y.yaml:2: resources: takes a database: want database.url, or store.url")
	c, err := parse(text, "YSERVERD_STORE_URL=postgres://u@h/db")
	require.NoError(t, err)
	require.Equal(t, "postgres://u@h/db", c.DatabaseURL())
	c, err = parse(text, "YSERVERD_STORE_URL=postgres://u@h/db", "YSERVERD_DATABASE_URL=postgres://u@h/app")
	require.NoError(t, err)
	require.Equal(t, "postgres://u@h/app", c.DatabaseURL())
}
