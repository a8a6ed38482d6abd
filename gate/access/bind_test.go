package access_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate/access"
)

const typedTable = `
CREATE TYPE mood AS ENUM ('calm', 'up');
CREATE DOMAIN small AS int CHECK (VALUE < 100);
CREATE TABLE chats (id text PRIMARY KEY, organization_id text, twice text, part text, pair1 int, pair2 int, u uuid, i int, b bigint, n numeric(10,2),
	f float8, o bool, m mood, j json, jb jsonb, ts timestamptz, d date, s small, nm name, l text[], lower_only text,
	UNIQUE (pair1, pair2));
CREATE UNIQUE INDEX ON chats (part) WHERE part <> 'x';
CREATE UNIQUE INDEX ON chats (lower(lower_only));
CREATE UNIQUE INDEX ON chats (i) INCLUDE (b);
CREATE UNIQUE INDEX ON chats (d);
CREATE TABLE attendees (user_id text, event_id int, role text);
CREATE VIEW seen AS SELECT * FROM chats;
CREATE SCHEMA app; CREATE TABLE app.chats (id int PRIMARY KEY, only_here text);`

func TestCheckDatabaseFindsWhatTheCatalogueHasNot(t *testing.T) {
	db := newDatabase(t, typedTable)
	const at = "resources.chats.tables.chats"
	scope := organization()
	clause := func(c access.Clause) access.Table { return access.Table{Firewall: []access.Clause{scope, c}} }
	key := func(k string) *access.RoomRule {
		return &access.RoomRule{Resource: &access.ResourceRef{Feature: "chats", Key: k}}
	}
	plainTable := access.Table{Firewall: []access.Clause{scope}}
	for name, c := range map[string]struct {
		table access.Table
		rule  *access.RoomRule
		want  []string
	}{
		"fine":                     {plainTable, chats(), nil},
		"table":                    {access.Table{SQL: "cats", Firewall: []access.Clause{scope}}, chats(), []string{at + ".table"}},
		"table of another schema":  {access.Table{SQL: "app2.chats", Firewall: []access.Clause{scope}}, nil, []string{at + ".table"}},
		"schema":                   {access.Table{SQL: "app.chats", Firewall: []access.Clause{scope}}, nil, []string{at + ".firewall.[0].field"}},
		"index":                    {access.Table{SQL: "chats_pkey", Firewall: []access.Clause{scope}}, nil, []string{at + ".table"}},
		"column":                   {clause(literal("nothing", access.OpEquals, 1)), nil, []string{at + ".firewall.[1].field"}},
		"column in capitals":       {clause(literal("STATUS", access.OpIsNull, true)), nil, []string{at + ".firewall.[1].field"}},
		"system column":            {clause(literal("ctid", access.OpIsNull, false)), nil, []string{at + ".firewall.[1].field"}},
		"column of a read rule":    {access.Table{Firewall: []access.Clause{scope}, Read: access.Rule{Record: &access.Condition{Or: []*access.Condition{record(is("a", access.OpEquals, 1))}}}}, nil, []string{at + ".read.access.record.or.[0].a"}},
		"column of a write rule":   {access.Table{Firewall: []access.Clause{scope}, Write: access.Rule{Record: &access.Condition{And: []*access.Condition{record(is("a", access.OpEquals, 1))}}}}, nil, []string{at + ".write.access.record.and.[0].a"}},
		"via":                      {clause(access.Clause{Field: "i", Via: "attendeeOf"}), nil, nil},
		"via a wider number":       {clause(access.Clause{Field: "b", Via: "attendeeOf"}), nil, nil},
		"via another type":         {clause(access.Clause{Field: "u", Via: "attendeeOf"}), nil, []string{at + ".firewall.[1].via"}},
		"via a missing field":      {clause(access.Clause{Field: "x", Via: "attendeeOf"}), nil, []string{at + ".firewall.[1].field"}},
		"no key":                   {plainTable, key("nothing"), []string{"rooms.ROOM.access.resource.key"}},
		"key twice":                {plainTable, key("twice"), []string{"rooms.ROOM.access.resource.key"}},
		"key in part":              {plainTable, key("part"), []string{"rooms.ROOM.access.resource.key"}},
		"key of a pair":            {plainTable, key("pair1"), []string{"rooms.ROOM.access.resource.key"}},
		"key by expression":        {plainTable, key("lower_only"), []string{"rooms.ROOM.access.resource.key"}},
		"key with more":            {plainTable, key("i"), nil},
		"key of a date":            {plainTable, key("d"), []string{"rooms.ROOM.access.resource.key"}},
		"key of a view":            {access.Table{SQL: "seen", Firewall: []access.Clause{scope}}, key("id"), []string{"rooms.ROOM.access.resource.key"}},
		"key of a kind":            {plainTable, &access.RoomRule{Pattern: &access.Pattern{Expr: "(a):(b)", KindGroup: 1, IDGroup: 2, Resources: map[string]access.ResourceRef{"a": {Feature: "chats", Key: "twice"}}}}, []string{"rooms.ROOM.access.resources.a.resource.key"}},
		"ctx against a bool":       {clause(equalsCtx("o", access.CtxUserID)), nil, []string{at + ".firewall.[1].equals"}},
		"ctx against JSON":         {clause(equalsCtx("jb", access.CtxUserID)), nil, []string{at + ".firewall.[1].equals"}},
		"ctx against a float":      {clause(equalsCtx("f", access.CtxUserID)), nil, []string{at + ".firewall.[1].equals"}},
		"ctx against a time":       {clause(equalsCtx("ts", access.CtxUserID)), nil, []string{at + ".firewall.[1].equals"}},
		"ctx against an array":     {clause(equalsCtx("l", access.CtxUserID)), nil, []string{at + ".firewall.[1].equals"}},
		"ctx against an enum":      {clause(equalsCtx("m", access.CtxUserRole)), nil, nil},
		"ctx less than an enum":    {clause(access.Clause{Field: "m", Op: access.OpLessThan, Value: access.Operand{Ctx: access.CtxUserRole}}), nil, []string{at + ".firewall.[1].lessThan"}},
		"a text against a number":  {clause(literal("i", access.OpEquals, "seven")), nil, []string{at + ".firewall.[1].equals"}},
		"a quoted number":          {clause(literal("n", access.OpLessThan, "12345678901234567890.5")), nil, nil},
		"a number out of range":    {clause(literal("i", access.OpEquals, int64(1)<<40)), nil, []string{at + ".firewall.[1].equals"}},
		"a fraction against int":   {clause(literal("i", access.OpLessThan, 2.5)), nil, []string{at + ".firewall.[1].lessThan"}},
		"a whole float":            {clause(literal("i", access.OpLessThan, 1e6)), nil, nil},
		"a number against a text":  {clause(literal("organization_id", access.OpEquals, 5)), nil, []string{at + ".firewall.[1].equals"}},
		"a bool against a text":    {clause(literal("organization_id", access.OpEquals, true)), nil, []string{at + ".firewall.[1].equals"}},
		"a text against a bool":    {clause(literal("o", access.OpEquals, "true")), nil, []string{at + ".firewall.[1].equals"}},
		"a number against a bool":  {clause(literal("o", access.OpEquals, 1)), nil, []string{at + ".firewall.[1].equals"}},
		"no label":                 {clause(literal("m", access.OpIn, []any{"calm", "down"})), nil, []string{at + ".firewall.[1].in.[1]"}},
		"labels in order":          {clause(literal("m", access.OpLessThan, "up")), nil, nil},
		"no uuid":                  {clause(literal("u", access.OpNotIn, []any{"x"})), nil, []string{at + ".firewall.[1].notIn.[0]"}},
		"a time":                   {clause(literal("ts", access.OpLessThan, "2026-01-01T00:00:00Z")), nil, nil},
		"no time":                  {clause(literal("ts", access.OpLessThan, "soon")), nil, []string{at + ".firewall.[1].lessThan"}},
		"JSON has no order":        {clause(literal("j", access.OpEquals, `{}`)), nil, []string{at + ".firewall.[1].equals"}},
		"JSON of the other kind":   {clause(literal("jb", access.OpEquals, `{"a": 1}`)), nil, nil},
		"no JSON":                  {clause(literal("jb", access.OpEquals, `{`)), nil, []string{at + ".firewall.[1].equals"}},
		"isNull of anything":       {clause(literal("j", access.OpIsNull, true)), nil, nil},
		"beyond a domain":          {clause(literal("s", access.OpLessThan, 1000)), nil, nil},
		"a name longer than names": {clause(literal("nm", access.OpEquals, "x")), nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := oneTable(c.table)
			s.Relationships = attendeeOf
			rooms := map[string]*access.RoomRule{"ROOM": c.rule}
			require.Empty(t, access.Check(s, rooms))
			problems, err := access.CheckDatabase(t.Context(), db, s, rooms)
			require.NoError(t, err)
			require.ElementsMatch(t, c.want, paths(t, problems))

			a, err := access.New(t.Context(), access.Config{Schema: s, DB: db})
			if err == nil {
				_, err = a.Room("ROOM", c.rule)
			}
			var invalid *access.InvalidError
			if c.want == nil {
				require.NoError(t, err)
			} else {
				require.ErrorAs(t, err, &invalid, "who starts anyway is stopped")
			}
		})
	}
}

func TestCheckDatabaseFindsAllMistakesAtOnce(t *testing.T) {
	db := newDatabase(t, typedTable)
	s := oneTable(access.Table{Firewall: []access.Clause{organization(), literal("x", access.OpEquals, 1), literal("m", access.OpEquals, "down")}})
	s.Features["none"] = nil
	s.Features["files"] = &access.Feature{Tables: map[string]*access.Table{"files": {SQL: "files"}, "nil": nil, "bad": {SQL: "a\x00"}}}
	s.Relationships = map[string]*access.Relationship{
		"a": {From: "nothing", SubjectColumn: "u", ResourceColumn: "r", Subject: access.Operand{Ctx: access.CtxUserID}},
		"b": {From: "attendees", SubjectColumn: "u", ResourceColumn: "r", Subject: access.Operand{Ctx: access.CtxUserID}, Where: []access.Test{is("w", access.OpEquals, 1)}},
		"c": nil,
	}
	rooms := map[string]*access.RoomRule{"A": {Resource: &access.ResourceRef{Feature: "chats", Key: "twice"}}, "B": nil, "C": {Resource: &access.ResourceRef{Feature: "what"}}}
	problems, err := access.CheckDatabase(t.Context(), db, s, rooms)
	require.NoError(t, err)
	require.Equal(t, []string{
		"resources.chats.tables.chats.firewall.[1].field", "resources.files.tables.files.table", "relationships.a.from",
		"relationships.b.resource.column", "relationships.b.subject.column", "relationships.b.where.w",
		"resources.chats.tables.chats.firewall.[2].equals", "rooms.A.access.resource.key",
	}, paths(t, problems))
	problems, err = access.CheckDatabase(t.Context(), db, nil, nil)
	require.NoError(t, err)
	require.Empty(t, problems)
}

func TestCheckDatabaseFindsWhatMayNotBeRead(t *testing.T) {
	db := newDatabase(t, typedTable+`CREATE TABLE app.more (id int PRIMARY KEY, organization_id text)`)
	db.exec(t, `DROP ROLE IF EXISTS weak; CREATE ROLE weak LOGIN; GRANT SELECT (id) ON chats TO weak; GRANT SELECT ON app.more TO weak`)
	t.Cleanup(func() {
		_, err := db.Exec(context.Background(), `DROP OWNED BY weak; DROP ROLE weak`)
		require.NoError(t, err)
	})
	config, err := pgxpool.ParseConfig(db.url)
	require.NoError(t, err)
	config.ConnConfig.User = "weak"
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	s := oneTable(access.Table{Firewall: []access.Clause{organization()}})
	s.Features["more"] = &access.Feature{Tables: map[string]*access.Table{"more": {SQL: "app.more", Firewall: []access.Clause{organization()}}}}
	problems, err := access.CheckDatabase(t.Context(), pool, s, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"resources.chats.tables.chats.firewall.[0].field", "resources.more.tables.more.table"}, paths(t, problems))
	require.Contains(t, problems[0].Fix, `GRANT SELECT ("organization_id") ON "public"."chats"`)
	require.Contains(t, problems[1].Fix, `GRANT USAGE ON SCHEMA "app"`)
}

func TestCheckDatabaseThatIsAwayIsAnError(t *testing.T) {
	db := newDatabase(t, typedTable)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := oneTable(access.Table{Firewall: []access.Clause{organization()}})
	_, err := access.CheckDatabase(ctx, db, s, nil)
	require.ErrorIs(t, err, context.Canceled)
	_, err = access.New(ctx, access.Config{Schema: s, DB: db})
	require.ErrorIs(t, err, context.Canceled)
}
