package access_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/gate/access"
)

// twoKinds has day notes, which are public to read, and records.
func twoKinds() *access.Schema {
	return &access.Schema{Features: map[string]*access.Feature{
		"notes": {Tables: map[string]*access.Table{"day": {
			SQL: "day_notes", Firewall: []access.Clause{literal("published", access.OpEquals, true)}, Exception: true,
			Read: access.Rule{Roles: []string{access.RolePublic}},
		}}},
		"records": {Tables: map[string]*access.Table{
			"records": {SQL: "public.records", Firewall: []access.Clause{organization()}, Read: access.Rule{Roles: []string{"member"}}, Hide: true},
			"others":  {SQL: "public.records", Firewall: []access.Clause{organization()}},
		}},
	}}
}

const twoKindsTables = `
CREATE TABLE day_notes (id text PRIMARY KEY, published bool); INSERT INTO day_notes VALUES ('mon', true), ('tue', false), ('1', true);
CREATE TABLE records (id int PRIMARY KEY, organization_id text); INSERT INTO records VALUES (1, 'org1'), (2, 'org2'), (3, 'org1');`

func kindsPattern(expr string) *access.RoomRule {
	return &access.RoomRule{Pattern: &access.Pattern{Expr: expr, KindGroup: 1, IDGroup: 2, Resources: map[string]access.ResourceRef{
		"day-note": {Feature: "notes"}, "record": {Feature: "records", Table: "records"},
	}}}
}

// The tests share a database, since it is only read.
func TestPattern(t *testing.T) {
	db := newDatabase(t, twoKindsTables)
	for name, test := range map[string]func(*testing.T, *database){
		"PatternFindsTheResource":                            patternFindsTheResource,
		"PatternMatchesTheWholeID":                           patternMatchesTheWholeID,
		"PatternWithoutPublicResourceAsksForAnIdentityFirst": patternWithoutPublicResourceAsksForAnIdentityFirst,
		"PatternTakesLinearTime":                             patternTakesLinearTime,
		"WriteRuleOfARoomCountsForEveryKind":                 writeRuleOfARoomCountsForEveryKind,
	} {
		t.Run(name, func(t *testing.T) { test(t, db) })
	}
}

func patternFindsTheResource(t *testing.T, db *database) {
	a := newAccess(t, db, twoKinds())
	room := newRoom(t, a, kindsPattern(`^(day-note|record|other):([A-Za-z0-9_-]+)$`))
	for _, c := range []struct {
		id   gate.Identity
		room string
		want string
	}{
		{ann, "record:1", writes},
		{ann, "record:2", notFound},
		{ann, "record:3", writes},
		{ann, "record:mon", notFound},
		{ann, "record:01", notFound},
		{alien, "record:2", roleRequired},
		{ann, "day-note:mon", writes},
		{ann, "day-note:1", writes},
		{ann, "day-note:2", firewall},
		{ann, "day-note:tue", firewall},
		{nobody, "day-note:mon", reads},
		{nobody, "day-note:tue", firewall},
		{nobody, "record:1", authMissing},
		{nobody, "record", badRoom},
		{ann, "other:1", badRoom},
		{ann, "records:1", badRoom},
		{ann, "RECORD:1", badRoom},
		{ann, "record:", badRoom},
		{ann, ":1", badRoom},
		{ann, "", badRoom},
		{ann, "xrecord:1", badRoom},
		{ann, "record:1\n", badRoom},
		{ann, "x\nrecord:1", badRoom},
		{ann, "record:1\nrecord:1", badRoom},
		{ann, "record:1 ", badRoom},
		{ann, "record:1' OR '1'='1", badRoom},
		{ann, "record:" + strings.Repeat("1", 1<<20), badRoom},
		{ann, "record:\xff", badRoom},
	} {
		require.Equal(t, c.want, ask(t, room, c.id, c.room), "%s in %.80q", c.id.UserID, c.room)
	}
}

func patternMatchesTheWholeID(t *testing.T, db *database) {
	a := newAccess(t, db, twoKinds())
	for _, expr := range []string{
		`(record|day-note):([0-9]+)`, `(?m)^(record|day-note):([0-9]+)$`, `(?P<kind>record|day-note):(?P<id>[0-9]+)`,
		`(record):([0-9]+)|(?:day-note)()`, `(?U)(record):([0-9]+)`, `(?s)(record):([0-9]+)`,
	} {
		room := newRoom(t, a, kindsPattern(expr))
		require.Equal(t, writes, ask(t, room, ann, "record:1"), expr)
		for _, id := range []string{"xrecord:1", "record:1x", "record:1\nx", "x\nrecord:1", "record:1\n", "day-note", "record"} {
			require.Equal(t, badRoom, ask(t, room, ann, id), "%s %q", expr, id)
		}
	}
	swapped := kindsPattern(`([0-9]+)@(record)`)
	swapped.Pattern.KindGroup, swapped.Pattern.IDGroup = 2, 1
	require.Equal(t, writes, ask(t, newRoom(t, a, swapped), ann, "1@record"))
}

func patternWithoutPublicResourceAsksForAnIdentityFirst(t *testing.T, db *database) {
	rule := kindsPattern(`(record|day-note):([0-9]+)`)
	delete(rule.Pattern.Resources, "day-note")
	room := newRoom(t, newAccess(t, db, twoKinds()), rule)
	require.Equal(t, authMissing, ask(t, room, nobody, "nonsense"))
	require.Equal(t, badRoom, ask(t, room, ann, "day-note:1"))
	require.False(t, room.(gate.AnonymousAuthorizer).Anonymous())
	require.True(t, newRoom(t, newAccess(t, db, twoKinds()), kindsPattern(`(record):([0-9]+)`)).(gate.AnonymousAuthorizer).Anonymous())
}

// An expression that takes exponential time elsewhere.
func patternTakesLinearTime(t *testing.T, db *database) {
	room := newRoom(t, newAccess(t, db, twoKinds()), kindsPattern(`(record|day-note):((?:a|a?)+)+b`))
	require.Equal(t, badRoom, ask(t, room, ann, "record:"+strings.Repeat("a", gate.MaxRoomID-10)))
}

func writeRuleOfARoomCountsForEveryKind(t *testing.T, db *database) {
	rule := kindsPattern(`(record|day-note):([a-z0-9]+)`)
	rule.Write = &access.WriteRule{Roles: []string{"editor"}, WritersOnlyPresence: true}
	room := newRoom(t, newAccess(t, db, twoKinds()), rule)
	require.Equal(t, reads, ask(t, room, ann, "record:1"))
	require.Equal(t, reads, ask(t, room, ann, "day-note:mon"))
	require.Equal(t, writes, ask(t, room, ed, "day-note:mon"))
}
