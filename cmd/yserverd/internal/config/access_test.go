package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/cmd/yserverd/internal/config"
	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/gate/access"
)

// secured is the head of a file whose rooms are not public. Its resources begin in line 4.
const secured = `auth: {secret: 0123456789abcdef0123456789abcdef}
database: {url: "postgres://u@h/app"}
resources:
  chats: {firewall: {organization: {column: organization_id}}}
  notes: {tables: {pages: {exception: true}, marks: {exception: true}}}
`

// room is a file with one room that has an access, in line 9.
func room(access string) string {
	return secured + "rooms:\n  M:\n    type: document\n    access: " + access + "\n"
}

// TestAccessForms has every form of access, and what it becomes.
func TestAccessForms(t *testing.T) {
	for _, row := range []struct {
		text string
		want access.RoomRule
	}{
		{"public", access.RoomRule{Public: true}},
		{"{resource: chats}", access.RoomRule{Resource: &access.ResourceRef{Feature: "chats"}}},
		{"{resource: {feature: chats}}", access.RoomRule{Resource: &access.ResourceRef{Feature: "chats"}}},
		{"{resource: {feature: notes, table: pages}}", access.RoomRule{Resource: &access.ResourceRef{Feature: "notes", Table: "pages"}}},
		{"{resource: {feature: notes, table: pages, key: yjsRoomId}}", access.RoomRule{Resource: &access.ResourceRef{Feature: "notes", Table: "pages", Key: "yjsRoomId"}}},
		{"\n      roomId: {pattern: '^(day-note|record):([A-Za-z0-9_-]+)$', kindGroup: 1, idGroup: 2}\n" +
			"      resources: {day-note: {resource: chats}, record: {resource: {feature: notes, table: marks}}}", access.RoomRule{
			Pattern: &access.Pattern{
				Expr: "^(day-note|record):([A-Za-z0-9_-]+)$", KindGroup: 1, IDGroup: 2,
				Resources: map[string]access.ResourceRef{"day-note": {Feature: "chats"}, "record": {Feature: "notes", Table: "marks"}},
			},
		}},
		{"{roomIdEquals: ctx.userId}", access.RoomRule{Equals: access.CtxUserID}},
		{"{roomIdEquals: ctx.activeOrgId}", access.RoomRule{Equals: access.CtxActiveOrgID}},
		{"{webhook: {url: https://app.example/ask, secret: 0123456789abcdef0123456789abcdef}}", access.RoomRule{
			Webhook: &access.Webhook{URL: "https://app.example/ask", Secret: []byte("0123456789abcdef0123456789abcdef"), Timeout: 3 * time.Second},
		}},
		{"{webhook: {url: http://app/ask, secret: '${S}', timeout: 500ms}}", access.RoomRule{
			Webhook: &access.Webhook{URL: "http://app/ask", Secret: []byte("fedcba9876543210fedcba9876543210"), Timeout: 500 * time.Millisecond},
		}},
	} {
		t.Run(row.text, func(t *testing.T) {
			c, err := parse(room(row.text), "S=fedcba9876543210fedcba9876543210")
			require.NoError(t, err)
			require.True(t, c.Rooms["M"].Access.Given)
			require.Equal(t, &row.want, c.Rules()["M"])
			require.Equal(t, !row.want.Public, c.Guarded())
			require.Equal(t, []config.Problem{noAdmin}, c.Warnings)
		})
	}
}

// TestAccessAbsent: every caller who is known, with a warning.
func TestAccessAbsent(t *testing.T) {
	c, err := parse(secured+"admin: {enabled: false}\nrooms:\n  M:\n    type: document\n    ticket: only\n    write: {roles: [editor+, owner], presence: writers}\n  N: {type: message, access: , write: {presence: writers}}\nlimits: {rooms: 3}\n"+
		"# editor+ takes a hierarchy\n", "YSERVERD_AUTH_ROLE_HIERARCHY=viewer,editor")
	require.NoError(t, err)
	require.Equal(t, &access.RoomRule{Write: &access.WriteRule{Roles: []string{"editor+", "owner"}, WritersOnlyPresence: true}}, c.Rooms["M"].Rule())
	require.Equal(t, &access.RoomRule{Write: &access.WriteRule{WritersOnlyPresence: true}}, c.Rooms["N"].Rule())
	require.Equal(t, gate.TicketsOnly, gate.TicketMode(c.Rooms["M"].Ticket))
	require.True(t, c.Guarded())
	require.Equal(t, []config.Problem{
		{File: "y.yaml", Line: 8, Key: "rooms.M.access", Message: "is missing: every caller who is known may open every room of m, of any organisation, if he knows its id"},
		{File: "y.yaml", Line: 12, Key: "rooms.N.access", Message: "is missing: every caller who is known may open every room of n, of any organisation, if he knows its id"},
	}, c.Warnings)
}

// TestPublicStaysSimple: a file with public rooms alone takes no secret and no database.
func TestPublicStaysSimple(t *testing.T) {
	c, err := parse(minimal)
	require.NoError(t, err)
	require.False(t, c.Guarded())
	require.Empty(t, c.DatabaseURL())

	for _, added := range []string{"ticket: true", "write: {roles: [editor]}", "write: {presence: writers}"} {
		_, err = parse("rooms:\n  M:\n    type: document\n    access: public\n    " + added)
		require.EqualError(t, err, "y.yaml:2: auth.secret: is missing, and M has to know its callers: want at least 32 bytes: head -c 32 /dev/urandom | base64", added)
	}
}

// TestSecretMissing: it is said once, where the secret belongs.
func TestSecretMissing(t *testing.T) {
	const two = "rooms:\n  A:\n    type: document\n  B: {type: document}\n"
	_, err := parse(two)
	require.EqualError(t, err, "y.yaml:2: auth.secret: is missing, and A has to know its callers: want at least 32 bytes: head -c 32 /dev/urandom | base64; or access: public, which lets everybody in")
	_, err = parse("auth:\n  recheck: 1m\n" + two)
	require.EqualError(t, err, "y.yaml:1: auth.secret: is missing, and A has to know its callers: want at least 32 bytes: head -c 32 /dev/urandom | base64; or access: public, which lets everybody in")
	c, err := parse(two, "YSERVERD_AUTH_SECRET=0123456789abcdef0123456789abcdef")
	require.NoError(t, err)
	require.Equal(t, "0123456789abcdef0123456789abcdef", c.Auth.Secret)
}

func TestAccessProblems(t *testing.T) {
	const want = "want public, {resource: <feature>}, {roomId: {pattern: ...}, resources: {...}}, {roomIdEquals: ctx.userId} or {webhook: {url: ...}}"
	const key = "0123456789abcdef0123456789abcdef"
	for _, row := range []struct{ name, access, want string }{
		{"a text", "chats", "9: rooms.M.access: " + want},
		{"nothing", "''", "9: rooms.M.access: " + want},
		{"a number", "4711", "9: rooms.M.access: " + want},
		{"a list", "[public]", "9: rooms.M.access: " + want + ", got a list"},
		{"two forms", "{resource: chats, roomIdEquals: ctx.userId}", "9: rooms.M.access: " + want},
		{"no form", "{}", "9: rooms.M.access: " + want},
		{"mistyped form", "{resource: chats,\n      roomIdEqual: ctx.userId}", "10: rooms.M.access.roomIdEqual: unknown key, did you mean roomIdEquals?"},
		{"resources without a pattern", "{resources: {a: {resource: chats}}}", "9: rooms.M.access: " + want + "\n9: rooms.M.access.resources: goes with roomId: {pattern: ...}; for one resource it is resource"},
		{"a resource without a name", "{resource: ''}", "9: rooms.M.access.resource: want the name of a feature of resources"},
		{"a resource without a feature", "{resource: {table: chats}}", "9: rooms.M.access.resource.feature: is missing: want the name of a feature of resources"},
		{"a resource that is a number", "{resource: 7}", "9: rooms.M.access.resource: want a text (quote it if it looks like a number), got 7"},
		{"a resource with another key", "{resource: {feature: chats, colum: id}}", "9: rooms.M.access.resource.colum: unknown key"},

		{"an undeclared resource", "{resource: chat}", "9: rooms.M.access.resource: resource \"chat\" is not declared: declare it under resources, or use one of: chats, notes"},
		{"an undeclared feature", "\n      resource:\n        feature: chat", "11: rooms.M.access.resource.feature: resource \"chat\" is not declared: declare it under resources, or use one of: chats, notes"},
		{"an undeclared table", "\n      resource:\n        feature: notes\n        table: page", "12: rooms.M.access.resource.table: resource \"notes\" has no table \"page\": declare it, or use one of: marks, pages"},
		{"a resource of several tables", "{resource: notes}", "9: rooms.M.access.resource: \"notes\" has several tables: write {feature: notes, table: …} with one of: marks, pages"},
		{"a kind of several tables", "\n      roomId: {pattern: '^(a):(b)$', kindGroup: 1, idGroup: 2}\n      resources:\n        a: {resource: chats}\n        b: {resource: notes}", "13: rooms.M.access.resources.b.resource: \"notes\" has several tables: write {feature: notes, table: …} with one of: marks, pages"},
		{"equals another value", "{roomIdEquals: ctx.activeTeamId}", "9: rooms.M.access.roomIdEquals: want ctx.userId or ctx.activeOrgId"},
		{"equals a name", "{roomIdEquals: userId}", "9: rooms.M.access.roomIdEquals: want ctx.userId or ctx.activeOrgId"},

		{"no pattern", "{roomId: {kindGroup: 1, idGroup: 2}, resources: {a: {resource: chats}}}", "9: rooms.M.access.roomId.pattern: the pattern is empty: write one with a group for the kind and one for the id"},
		{"broken pattern", "{roomId: {pattern: '^(a', kindGroup: 1, idGroup: 2}, resources: {a: {resource: chats}}}", "9: rooms.M.access.roomId.pattern: the pattern is no regular expression: error parsing regexp: missing closing ): `^(a`: use the syntax of RE2; it has no look-around and no back-references"},
		{"a group too many", "{roomId: {pattern: '^(a):(b)$', kindGroup: 1, idGroup: 3}, resources: {a: {resource: chats}}}", "9: rooms.M.access.roomId.idGroup: there is no group 3: the pattern has 2, counted from 1"},
		{"no groups", "{roomId: {pattern: '^a$'}, resources: {a: {resource: chats}}}", "9: rooms.M.access.roomId.idGroup: there is no group 0: the pattern has 0, counted from 1\n9: rooms.M.access.roomId.idGroup: the kind and the id are one group: use a group for each\n9: rooms.M.access.roomId.kindGroup: there is no group 0: the pattern has 0, counted from 1"},
		{"one group for both", "{roomId: {pattern: '^(a):(b)$', kindGroup: 1, idGroup: 1}, resources: {a: {resource: chats}}}", "9: rooms.M.access.roomId.idGroup: the kind and the id are one group: use a group for each"},
		{"no kinds", "{roomId: {pattern: '^(a):(b)$', kindGroup: 1, idGroup: 2}}", "9: rooms.M.access.resources: no kind has a resource: add one for each kind that the pattern can find"},
		{"a kind without a resource", "{roomId: {pattern: '^(a):(b)$', kindGroup: 1, idGroup: 2}, resources: {a: {}}}", "9: rooms.M.access.resources.a.resource: is missing: want the name of a feature of resources"},

		{"webhook without a secret", "{webhook: {url: https://h}}", "9: rooms.M.access.webhook.secret: the secret has 0 bytes: use at least 32 random ones"},
		{"webhook with a short one", "{webhook: {url: https://h, secret: hunter2}}", "9: rooms.M.access.webhook.secret: the secret has 7 bytes: use at least 32 random ones"},
		{"webhook of another scheme", "{webhook: {url: 'ftp://u:hunter2@h', secret: " + key + "}}", "9: rooms.M.access.webhook.url: the URL is not one of http or https: write it in full, such as https://app.example.com/access"},
		{"webhook that waits for nothing", "{webhook: {url: https://h, secret: " + key + ", timeout: 0}}", "9: rooms.M.access.webhook.timeout: want more than 0"},
		{"webhook secret that is a number", "{webhook: {url: https://h, secret: 4711}}", "9: rooms.M.access.webhook.secret: want a text (quote it if it looks like a number), got something else"},

		{"public with tickets alone", "public\n    ticket: only", "10: rooms.M.ticket: access: public lets everybody in: want access for who has a ticket, or ticket: true"},
		{"another ticket", "public\n    ticket: both", "10: rooms.M.ticket: want true (tickets too), only (nothing but tickets) or false"},
		{"writers without a role", "public\n    write:\n      roles: []", "11: rooms.M.write.roles: is empty: want a role, or leave it out to let everybody"},
		{"writers of an unknown role", "public\n    write:\n      roles: [admin, member+]", "11: rooms.M.write.roles[1]: no hierarchy knows the role \"member\": add it to auth.role_hierarchy, or write \"member\" for that role alone"},
		{"another presence", "public\n    write:\n      presence: none", "11: rooms.M.write.presence: want all or writers"},
		{"roles that are a text", "public\n    write: {roles: editor}", "10: rooms.M.write.roles: want a list, got text"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := parse(room(row.access))
			require.EqualError(t, err, "y.yaml:"+strings.ReplaceAll(row.want, "\n", "\ny.yaml:"))
			require.NotContains(t, err.Error(), "hunter2", "a secret in an error")
		})
	}
}
