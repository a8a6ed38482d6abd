package access_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/gate/access"
)

// claimsTable has what a usual resource has.
const claimsTable = `
CREATE TYPE mood AS ENUM ('calm', 'up'); CREATE EXTENSION IF NOT EXISTS citext;
CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE DOMAIN small AS int CHECK (VALUE < 100);
CREATE TABLE claims (id text PRIMARY KEY, organization_id text, owner_id text, team_id uuid, deleted_at timestamptz, status text, score int,
	price numeric, org_padded char(8), s small, f float8, icu text COLLATE "und-x-icu", folded text COLLATE folded, x citext, m mood, u uuid,
	j json, jb jsonb, l text[], i interval, ip inet, ts timestamp, d date, t time, tz timetz, b bytea);
CREATE TABLE attendees (user_id text, claim text);`

// claimColumns are those of an image.
var claimColumns = []access.Column{
	{Name: "id"},
	{Name: "status"},
	{Name: "organization_id"},
	{Name: "owner_id"},
	{Name: "deleted_at"},
	{Name: "score"},
	{Name: "price"},
	{Name: "team_id"},
	{Name: "org_padded"},
	{Name: "s"},
	{Name: "f"},
	{Name: "icu"},
	{Name: "folded"},
	{Name: "x"},
	{Name: "m"},
	{Name: "u"},
	{Name: "j"},
	{Name: "jb"},
	{Name: "l"},
	{Name: "i"},
	{Name: "ip"},
	{Name: "ts"},
	{Name: "d"},
	{Name: "t"},
	{Name: "tz"},
	{Name: "b"},
}

// some values.
var (
	null    = access.Value{Null: true}
	unknown = access.Value{Unknown: true}
)

func value(text string) access.Value { return access.Value{Text: text} }

// claimRow returns an image: id, status, organization, owner, deleted_at, score, price.
func claimRow(values ...access.Value) access.Row {
	return append(access.Row{value("c1")}, values...)
}

// claims returns the rule of a table.
func claims(tb testing.TB, db *database, t access.Table) *access.RowRule {
	tb.Helper()
	t.SQL = "claims"
	rule, err := newAccess(tb, db, oneTable(t)).Rows("chats", "", claimColumns)
	require.NoError(tb, err)
	return rule
}

// The tests share a database, since its table has no rows.
func TestRowRule(t *testing.T) {
	db := newDatabase(t, claimsTable)
	for name, test := range map[string]func(*testing.T, *database){
		"UnknownValuesWithhold":          unknownValuesWithhold,
		"NullOwnersAreNobody":            nullOwners,
		"FormsOfOthersAreUnknown":        formsOfOthersAreUnknown,
		"RulesSayWhatTheyRead":           rulesSayWhatTheyRead,
		"ScopesAreTextsOfTheirColumn":    scopes,
		"OwnersAreThoseOfTheFirewall":    owners,
		"WhatImagesCannotTellIsRefused":  whatImagesCannotTellIsRefused,
		"ColumnsAreHeldAgainstTheTable":  columnsAreHeldAgainstTheTable,
		"TablesAreFoundByName":           tablesAreFoundByName,
		"WithoutColumnsNothingIsDecided": withoutColumnsNothingIsDecided,
		"LabelsAddedSinceHaveNoOrder":    labelsAddedSince,
		"DecisionsAllocateNothing":       decisionsAllocateNothing,
	} {
		t.Run(name, func(t *testing.T) { test(t, db) })
	}
}

// usual is a resource with an organization, an optional owner, a soft delete and a condition.
func usual() access.Table {
	return access.Table{
		Firewall: []access.Clause{organization(), ownerOrNone(), softDelete()},
		Read: access.Rule{Roles: []string{"member+"}, Record: &access.Condition{
			Tests: []access.Test{is("status", access.OpNotEquals, "archived")},
			Or:    []*access.Condition{record(is("score", access.OpGreaterThan, 5)), record(is("price", access.OpLessThan, "1.5"))},
		}},
	}
}

func unknownValuesWithhold(t *testing.T, db *database) {
	rule := claims(t, db, usual())
	open, org1, ann1, six, cheap := value("open"), value("org1"), value("ann"), value("6"), value("1.49")
	for name, c := range map[string]struct {
		id   gate.Identity
		row  access.Row
		want access.Outcome
	}{
		"all known":                        {ann, claimRow(open, org1, ann1, null, six, cheap), access.Visible},
		"no owner":                         {ann, claimRow(open, org1, null, null, six, cheap), access.Visible},
		"another owner":                    {ann, claimRow(open, org1, value("bob"), null, six, cheap), access.Hidden},
		"organization unknown":             {ann, claimRow(open, unknown, ann1, null, six, cheap), access.Unknown},
		"organization NULL":                {ann, claimRow(open, null, ann1, null, six, cheap), access.Hidden},
		"NULL and unknown is unknown":      {ann, claimRow(open, access.Value{Null: true, Unknown: true}, ann1, null, six, cheap), access.Unknown},
		"text and unknown is unknown":      {ann, claimRow(open, access.Value{Text: "org1", Unknown: true}, ann1, null, six, cheap), access.Unknown},
		"owner unknown":                    {ann, claimRow(open, org1, unknown, null, six, cheap), access.Unknown},
		"deletion unknown":                 {ann, claimRow(open, org1, ann1, unknown, six, cheap), access.Unknown},
		"deleted":                          {ann, claimRow(open, org1, ann1, value("2026-01-01 00:00:00+00"), six, cheap), access.Hidden},
		"deleted, the rest unknown":        {ann, claimRow(unknown, unknown, unknown, value("x"), unknown, unknown), access.Hidden},
		"another organization, unknown":    {ann, claimRow(unknown, value("org2"), unknown, unknown, unknown, unknown), access.Hidden},
		"status unknown":                   {ann, claimRow(unknown, org1, ann1, null, six, cheap), access.Unknown},
		"archived, the rest unknown":       {ann, claimRow(value("archived"), org1, ann1, null, unknown, unknown), access.Hidden},
		"one of two is enough":             {ann, claimRow(open, org1, ann1, null, unknown, cheap), access.Visible},
		"the other is enough":              {ann, claimRow(open, org1, ann1, null, six, unknown), access.Visible},
		"one of two is unknown":            {ann, claimRow(open, org1, ann1, null, value("5"), unknown), access.Unknown},
		"none of two":                      {ann, claimRow(open, org1, ann1, null, value("5"), value("1.50")), access.Hidden},
		"the image ends early":             {ann, claimRow(open, org1, ann1), access.Unknown},
		"no image":                         {ann, nil, access.Unknown},
		"no image, no role":                {guest, nil, access.Hidden},
		"no image, nobody":                 {nobody, nil, access.Hidden},
		"no role":                          {guest, claimRow(open, org1, null, null, six, cheap), access.Hidden},
		"role by hierarchy":                {ed, claimRow(open, org1, null, null, six, cheap), access.Visible},
		"administrator, record fails":      {admin, claimRow(value("archived"), org1, null, null, null, null), access.Visible},
		"administrator, record unknown":    {admin, claimRow(unknown, org1, null, null, unknown, unknown), access.Visible},
		"administrator, firewall unknown":  {admin, claimRow(open, unknown, null, null, six, cheap), access.Unknown},
		"administrator, firewall":          {abroad, claimRow(open, org1, null, null, six, cheap), access.Hidden},
		"no organization":                  {gate.Identity{UserID: "lou", Roles: []string{"owner"}}, claimRow(open, unknown, null, null, six, cheap), access.Hidden},
		"no organization, as the row":      {gate.Identity{UserID: "lou", Roles: []string{"owner"}}, claimRow(open, value(""), null, null, six, cheap), access.Hidden},
		"an expired identity is not ours":  {gate.Identity{UserID: "ann", OrgID: "org1", Roles: []string{"member"}, Scope: []string{}}, claimRow(open, org1, ann1, null, six, cheap), access.Visible},
		"roles of the rule's own spelling": {gate.Identity{UserID: "ann", OrgID: "org1", Roles: []string{"member+"}}, claimRow(open, org1, ann1, null, six, cheap), access.Hidden},
	} {
		require.Equal(t, c.want, rule.Decide(c.id, c.row), name)
	}
	public := claims(t, db, access.Table{
		Firewall: []access.Clause{literal("status", access.OpEquals, "open")}, Exception: true, Read: access.Rule{Roles: []string{access.RolePublic}},
	})
	require.Equal(t, access.Visible, public.Decide(nobody, claimRow(open)))
	require.Equal(t, access.Unknown, public.Decide(nobody, claimRow(unknown)))
	require.Equal(t, access.Hidden, public.Decide(nobody, claimRow(null)))
	require.Equal(t, []string{"hidden", "unknown", "visible"}, []string{access.Hidden.String(), access.Unknown.String(), access.Visible.String()})
}

// A caller whose value the column cannot hold sees what nobody owns.
func nullOwners(t *testing.T, db *database) {
	c := equalsCtx("u", access.CtxUserID)
	row := func(v access.Value) access.Row {
		row := make(access.Row, len(claimColumns))
		row[15] = v
		return row
	}
	required := claims(t, db, access.Table{Firewall: []access.Clause{c}})
	c.OrNull = true
	optional := claims(t, db, access.Table{Firewall: []access.Clause{c}})
	const uuid = "6f1c2c5e-94b5-4a3c-b1cf-c8a1a4d6a0f1"
	other := gate.Identity{UserID: strings.ToUpper(uuid)}
	require.Equal(t, access.Visible, required.Decide(other, row(value(uuid))))
	require.Equal(t, access.Hidden, required.Decide(ann, row(unknown)), "ann is no uuid, whatever it is")
	require.Equal(t, access.Unknown, required.Decide(other, row(unknown)))
	require.Equal(t, access.Unknown, optional.Decide(ann, row(unknown)), "it may be NULL")
	require.Equal(t, access.Visible, optional.Decide(ann, row(null)))
	require.Equal(t, access.Hidden, optional.Decide(nobody, row(null)))
	require.Equal(t, access.Hidden, optional.Decide(ann, row(value(uuid))))
	org := organization()
	org.OrNull = true
	shared := claims(t, db, access.Table{Firewall: []access.Clause{org}})
	require.Equal(t, access.Visible, shared.Decide(ann, claimRow(value("open"), null)))
	require.Equal(t, access.Hidden, shared.Decide(loner, claimRow(value("open"), null)), "who has no organization at all")
	require.Equal(t, access.Hidden, shared.Decide(loner, claimRow(value("open"), unknown)))
}

// A text that is not as PostgreSQL writes it says nothing: neither that a row is shown, nor that it is none of the others.
func formsOfOthersAreUnknown(t *testing.T, db *database) {
	for column, c := range map[string]struct {
		literal any
		texts   []string
	}{
		"score":      {7, []string{"", "seven", "7.0", "0x7", " 7", "9223372036854775808", "+", "--7"}},
		"price":      {7, []string{"", "seven", "7e0", "7.", ".7", "nan", "infinity", "+-7", "1.2.3"}},
		"f":          {7.5, []string{"", "seven", "1,5"}},
		"team_id":    {"6f1c2c5e-94b5-4a3c-b1cf-c8a1a4d6a0f1", []string{"", "6f1c2c5e94b54a3cb1cfc8a1a4d6a0f1", "6f1c2c5e-94b5-4a3c-b1cf-c8a1a4d6a0fx"}},
		"deleted_at": {"2026-01-01T00:00:00Z", []string{"", "01/01/2026", "2026-01-01 00:00:00", "2026-01-01", "2026-01-01 00:00:00+00 AD", "2026-01-01 00:00:00.+00", "2026-01-01 00:00:00.1234567+00", "2026-13-01 00:00:00+00", "2026-01-01 25:00:00+00", "2026-01-01 00:60:00+00", "2026-01-01 00:00:61+00", "2026-01-01 00:00:00 PST", "2026-01-01 00:00:00+0", "0000-01-01 00:00:00+00", "26-01-01 00:00:00+00", "2026-01-01 24:00:01+00"}},
		"ts":         {"2026-01-01T00:00:00Z", []string{"", "2026-01-01 00:00:00+00", "2026-01-01x00:00:00"}},
		"d":          {"2026-01-01", []string{"", "01-01-2026", "2026-1-1", "2026-01-01 ", "2026-01-32", "2026-01-00", "12345678-01-01", "2026-01-01 AD"}},
		"t":          {"10:00", []string{"", "10", "10:00:00+00", "10:0", "1:00:00", "10:00:0x", "10:00:00.x"}},
		"b":          {"abc", []string{"", "abc", "61"}},
	} {
		at := -1
		for i := range claimColumns {
			if claimColumns[i].Name == column {
				at = i
			}
		}
		for _, op := range []access.Operator{access.OpEquals, access.OpNotEquals, access.OpNotIn} {
			lit := c.literal
			if op == access.OpNotIn {
				lit = []any{lit}
			}
			rule := claims(t, db, access.Table{Firewall: []access.Clause{literal(column, op, lit)}, Exception: true})
			for _, text := range c.texts {
				row := make(access.Row, len(claimColumns))
				row[at] = value(text)
				require.Equal(t, access.Unknown, rule.Decide(ann, row), "%s %s %q", column, op, text)
			}
		}
	}
}

func rulesSayWhatTheyRead(t *testing.T, db *database) {
	rule := claims(t, db, usual())
	want := []string{"deleted_at", "organization_id", "owner_id", "price", "score", "status"}
	require.Equal(t, want, rule.Columns())
	rule.Columns()[0] = "mine"
	require.Equal(t, want, rule.Columns())
	writes := access.Table{Exception: true, Write: access.Rule{Record: record(is("f", access.OpEquals, 1))}}
	require.Empty(t, claims(t, db, writes).Columns(), "writing is not asked for")
	require.Equal(t, access.Visible, claims(t, db, writes).Decide(ann, nil))
	require.Equal(t, access.Hidden, claims(t, db, writes).Decide(nobody, nil))
}

func scopes(t *testing.T, db *database) {
	rule := claims(t, db, usual())
	for _, c := range []struct {
		row  access.Row
		want string
	}{
		{claimRow(unknown, value("org1")), "org1"},
		{claimRow(unknown, value("org1 ")), "org1 "},
		{claimRow(value("open"), null), ""},
		{claimRow(value("open"), access.Value{Text: "org1", Unknown: true}), ""},
		{nil, ""},
	} {
		org, scoped := rule.Scope(c.row)
		require.True(t, scoped)
		require.Equal(t, c.want, org)
	}
	padded := claims(t, db, access.Table{Firewall: []access.Clause{equalsCtx("org_padded", access.CtxActiveOrgID)}})
	org, scoped := padded.Scope(access.Row{8: value("org1    ")})
	require.True(t, scoped)
	require.Equal(t, "org1", org)
	optional := organization()
	optional.OrNull = true
	not := organization()
	not.Op = access.OpNotEquals
	for name, table := range map[string]access.Table{
		"owner alone": {Firewall: []access.Clause{owner()}},
		"or NULL":     {Firewall: []access.Clause{optional}},
		"not equal":   {Firewall: []access.Clause{owner(), not}},
		"exception":   {Exception: true},
	} {
		_, scoped := claims(t, db, table).Scope(claimRow(value("open"), value("org1")))
		require.False(t, scoped, name)
	}
}

func owners(t *testing.T, db *database) {
	row := func(owner access.Value) access.Row { return claimRow(value("open"), value("org2"), owner) }
	for name, c := range map[string]access.Clause{"required": owner(), "optional": ownerOrNone()} {
		rule := claims(t, db, access.Table{Firewall: []access.Clause{organization(), c}})
		require.True(t, rule.Owns(ann, row(value("ann"))), name)
		require.False(t, rule.Owns(ed, row(value("ann"))), name)
		require.False(t, rule.Owns(ann, row(null)), name)
		require.False(t, rule.Owns(ann, row(unknown)), name)
		require.False(t, rule.Owns(ann, nil), name)
		require.False(t, rule.Owns(nobody, row(value(""))), name)
	}
	for _, table := range []access.Table{{Firewall: []access.Clause{organization()}}, {Exception: true}} {
		require.False(t, claims(t, db, table).Owns(ann, row(value("ann"))))
	}
	optional := claims(t, db, access.Table{Firewall: []access.Clause{ownerOrNone()}})
	require.Equal(t, access.Visible, optional.Decide(ann, row(null)), "who owns nothing may see it still")
}

func whatImagesCannotTellIsRefused(t *testing.T, db *database) {
	const at = "resources.chats.tables.chats"
	clause := func(field string, op access.Operator, v any) access.Table {
		return access.Table{Firewall: []access.Clause{organization(), literal(field, op, v)}}
	}
	for name, c := range map[string]struct {
		table access.Table
		want  string
	}{
		"a relationship":         {access.Table{Firewall: []access.Clause{{Field: "id", Via: "claimOf"}}}, at + ".firewall.[0].via"},
		"order under a locale":   {clause("icu", access.OpLessThan, "m"), at + ".firewall.[1].lessThan"},
		"a folding collation":    {clause("folded", access.OpEquals, "m"), at + ".firewall.[1].equals"},
		"JSON":                   {clause("jb", access.OpEquals, `{}`), at + ".firewall.[1].equals"},
		"an interval":            {clause("i", access.OpLessThan, "1 day"), at + ".firewall.[1].lessThan"},
		"an address":             {clause("ip", access.OpEquals, "127.0.0.1"), at + ".firewall.[1].equals"},
		"an array":               {clause("l", access.OpEquals, "{}"), at + ".firewall.[1].equals"},
		"a time with a zone":     {clause("tz", access.OpEquals, "10:00+00"), at + ".firewall.[1].equals"},
		"a moment without one":   {clause("deleted_at", access.OpLessThan, "2026-01-01 00:00:00"), at + ".firewall.[1].lessThan"},
		"a moment's day":         {clause("deleted_at", access.OpLessThan, "2026-01-01"), at + ".firewall.[1].lessThan"},
		"now":                    {clause("deleted_at", access.OpLessThan, "now"), at + ".firewall.[1].lessThan"},
		"today":                  {clause("d", access.OpEquals, "today"), at + ".firewall.[1].equals"},
		"a day with a month":     {clause("d", access.OpEquals, "1 January 2026"), at + ".firewall.[1].equals"},
		"a day with a time":      {clause("d", access.OpEquals, "2026-01-01 10:00"), at + ".firewall.[1].equals"},
		"a time of noon":         {clause("t", access.OpEquals, "1:00 PM"), at + ".firewall.[1].equals"},
		"a uuid in braces":       {clause("u", access.OpEquals, "{6f1c2c5e-94b5-4a3c-b1cf-c8a1a4d6a0f1}"), at + ".firewall.[1].equals"},
		"a number with spaces":   {clause("score", access.OpEquals, " 7 "), at + ".firewall.[1].equals"},
		"a number with powers":   {clause("price", access.OpEquals, "1e3"), at + ".firewall.[1].equals"},
		"one of a list":          {clause("score", access.OpIn, []any{7, " 8"}), at + ".firewall.[1].in.[1]"},
		"bytes with escapes":     {clause("b", access.OpEquals, `\000`), at + ".firewall.[1].equals"},
		"bytes with spaces":      {clause("b", access.OpEquals, `\x00 00`), at + ".firewall.[1].equals"},
		"within a condition":     {access.Table{Firewall: []access.Clause{organization()}, Read: access.Rule{Record: &access.Condition{Or: []*access.Condition{record(is("score", access.OpEquals, 1)), {And: []*access.Condition{record(is("jb", access.OpEquals, "1"))}}}}}}, at + ".read.access.record.or.[1].and.[0].jb.equals"},
		"nothing: JSON's NULL":   {clause("jb", access.OpIsNull, true), ""},
		"nothing: same label":    {clause("icu", access.OpEquals, "m"), ""},
		"nothing: rule to write": {access.Table{Firewall: []access.Clause{organization()}, Write: access.Rule{Record: record(is("jb", access.OpEquals, "1"))}}, ""},
	} {
		c.table.SQL = "claims"
		s := oneTable(c.table)
		s.Relationships = map[string]*access.Relationship{"claimOf": {From: "attendees", SubjectColumn: "user_id", Subject: access.Operand{Ctx: access.CtxUserID}, ResourceColumn: "claim"}}
		rule, err := newAccess(t, db, s).Rows("chats", "", claimColumns)
		if c.want == "" {
			require.NoError(t, err, name)
			continue
		}
		require.Nil(t, rule, name)
		requireProblem(t, err, c.want, name)
	}
}

// requireProblem checks that a declaration has one problem.
func requireProblem(t *testing.T, err error, path, name string) {
	t.Helper()
	var invalid *access.InvalidError
	require.ErrorAs(t, err, &invalid, name)
	require.Equal(t, []string{path}, paths(t, invalid.Problems), name)
}

func columnsAreHeldAgainstTheTable(t *testing.T, db *database) {
	a := newAccess(t, db, oneTable(access.Table{SQL: "claims", Firewall: []access.Clause{organization(), literal("s", access.OpLessThan, 7)}}))
	var text, domain uint32
	require.NoError(t, db.QueryRow(t.Context(), `SELECT 'text'::regtype::oid, 'small'::regtype::oid`).Scan(&text, &domain))
	rule, err := a.Rows("chats", "chats", []access.Column{{Name: "s", Type: domain}, {Name: "organization_id", Type: text}})
	require.NoError(t, err)
	require.Equal(t, access.Visible, rule.Decide(ann, access.Row{value("6"), value("org1")}))
	const at = "resources.chats.tables.chats.firewall"
	_, err = a.Rows("chats", "", []access.Column{{Name: "s"}})
	requireProblem(t, err, at+".[0].field", "a column is not published")
	_, err = a.Rows("chats", "", []access.Column{{Name: "organization_id"}, {Name: "s", Type: 23}})
	requireProblem(t, err, at+".[1].field", "a column is another now")
}

func tablesAreFoundByName(t *testing.T, db *database) {
	table := access.Table{SQL: "claims", Firewall: []access.Clause{organization()}}
	other := access.Table{SQL: "claims", Firewall: []access.Clause{owner()}}
	a := newAccess(t, db, &access.Schema{Features: map[string]*access.Feature{"two": {Tables: map[string]*access.Table{"a": &table, "b": &other}}}})
	for name, column := range map[string]string{"a": "organization_id", "b": "owner_id"} {
		rule, err := a.Rows("two", name, claimColumns)
		require.NoError(t, err)
		require.Equal(t, []string{column}, rule.Columns())
	}
	_, err := a.Rows("two", "", claimColumns)
	requireProblem(t, err, "broadcast.resource", "which")
	_, err = a.Rows("two", "c", claimColumns)
	requireProblem(t, err, "broadcast.resource.table", "none")
	_, err = a.Rows("one", "", claimColumns)
	requireProblem(t, err, "broadcast.resource.feature", "none")
}

func withoutColumnsNothingIsDecided(t *testing.T, db *database) {
	table := usual()
	table.SQL = "claims"
	rule, err := newAccess(t, db, oneTable(table)).Rows("chats", "", nil)
	require.NoError(t, err)
	require.Len(t, rule.Columns(), 6)
	require.Equal(t, access.Unknown, rule.Decide(ann, claimRow(value("open"), value("org1"), null, null, value("6"), value("1"))))
}

func labelsAddedSince(t *testing.T, db *database) {
	equal := claims(t, db, access.Table{Firewall: []access.Clause{literal("m", access.OpNotEquals, "calm")}, Exception: true})
	above := claims(t, db, access.Table{Firewall: []access.Clause{literal("m", access.OpGreaterThan, "calm")}, Exception: true})
	for label, want := range map[string][2]access.Outcome{
		"calm": {access.Hidden, access.Hidden}, "up": {access.Visible, access.Visible}, "new": {access.Visible, access.Unknown},
	} {
		row := access.Row{14: value(label)}
		require.Equal(t, want, [2]access.Outcome{equal.Decide(ann, row), above.Decide(ann, row)}, label)
	}
}

// everything is a rule with a test of each kind.
func everything() access.Table {
	t := usual()
	mine := func(field string) access.Test {
		return access.Test{Field: field, Op: access.OpEquals, Value: access.Operand{Ctx: access.CtxUserID}}
	}
	t.Read.Record.Or = []*access.Condition{
		record(mine("score")), record(mine("s")), record(mine("price")), record(mine("u")), record(mine("x")), record(mine("m")),
		record(is("f", access.OpLessThan, 0.5)), record(is("u", access.OpIn, []any{"6f1c2c5e-94b5-4a3c-b1cf-c8a1a4d6a0f1"})),
		record(is("ts", access.OpLessThan, "2026-01-01")), record(is("m", access.OpGreaterThan, "up")), record(is("b", access.OpLessThan, "a")),
		record(is("d", access.OpLessThan, "2026-01-01")), record(is("t", access.OpLessThan, "10:00")), record(is("price", access.OpLessThan, "1.5")),
	}
	return t
}

// everyValue is a row for it, for which everything has to be looked at.
func everyValue() access.Row {
	row := make(access.Row, len(claimColumns))
	for i, c := range claimColumns {
		row[i] = value(map[string]string{
			"status": "open", "organization_id": "org1", "owner_id": "ann", "score": "5", "s": "6", "price": "100.50", "f": "0.75", "x": "Bob",
			"m": "up", "u": "6f1c2c5e-94b5-4a3c-b1cf-c8a1a4d6a0f2", "ts": "2026-02-01 00:00:00.25", "b": `\x62`, "d": "2026-02-01", "t": "11:00:00",
		}[c.Name])
		row[i].Null = c.Name == "deleted_at"
	}
	return row
}

func decisionsAllocateNothing(t *testing.T, db *database) {
	rule := claims(t, db, everything())
	seen, partly := everyValue(), everyValue()
	seen[6], partly[6] = value("0.5"), unknown
	number := ann
	number.UserID = "100.5"
	for name, c := range map[string]struct {
		id   gate.Identity
		row  access.Row
		want access.Outcome
	}{
		"seen": {ann, seen, access.Visible}, "hidden": {ann, everyValue(), access.Hidden}, "unknown": {ann, partly, access.Unknown},
		"foreign": {alien, seen, access.Hidden}, "nobody": {nobody, seen, access.Hidden}, "administrator": {admin, seen, access.Hidden},
		"another number": {number, everyValue(), access.Hidden}, "no image": {ann, nil, access.Unknown},
	} {
		got := access.Hidden
		allocs := testing.AllocsPerRun(100, func() {
			got = rule.Decide(c.id, c.row)
			rule.Scope(c.row)
			rule.Owns(c.id, c.row)
		})
		require.Equal(t, c.want, got, name)
		require.Zero(t, allocs, name)
	}
}
