package access_test

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate/access"
)

// paths returns where problems are, and requires of each that it says what is wrong and what to do.
func paths(t *testing.T, problems []access.Problem) []string {
	t.Helper()
	list := []string{}
	for _, p := range problems {
		require.NotEmpty(t, p.Message)
		require.NotEmpty(t, p.Fix)
		require.Contains(t, p.String(), p.Message)
		list = append(list, strings.Join(p.Path, "."))
	}
	return list
}

func TestCheckFindsEveryMistakeOfATable(t *testing.T) {
	const at = "resources.chats.tables.chats"
	scope := organization()
	deep := record(is("a", access.OpEquals, "x"))
	for range 40 {
		deep = &access.Condition{And: []*access.Condition{deep}}
	}
	with := func(c access.Clause) access.Table { return access.Table{Firewall: []access.Clause{scope, c}} }
	reading := func(r access.Rule) access.Table { return access.Table{Firewall: []access.Clause{scope}, Read: r} }
	for name, c := range map[string]struct {
		table access.Table
		want  []string
	}{
		"fine":                      {with(softDelete()), nil},
		"exception":                 {access.Table{Exception: true}, nil},
		"no scope":                  {access.Table{}, []string{at + ".firewall"}},
		"soft delete is no scope":   {access.Table{Firewall: []access.Clause{softDelete()}}, []string{at + ".firewall"}},
		"a literal is no scope":     {access.Table{Firewall: []access.Clause{literal("a", access.OpEquals, "x")}}, []string{at + ".firewall"}},
		"a flag is no scope":        {access.Table{Firewall: []access.Clause{{Field: "a", Op: access.OpEquals, Value: access.Operand{Literal: "x"}, Scope: true}}}, []string{at + ".firewall"}},
		"everybody else's":          {access.Table{Firewall: []access.Clause{{Field: "a", Op: access.OpNotEquals, Value: access.Operand{Ctx: access.CtxUserID}}}}, []string{at + ".firewall"}},
		"exception with scope":      {access.Table{Firewall: []access.Clause{scope}, Exception: true}, []string{at + ".exception"}},
		"exception with via":        {access.Table{Firewall: []access.Clause{{Field: "a", Via: "attendeeOf"}}, Exception: true}, []string{at + ".exception"}},
		"table's name":              {access.Table{SQL: "a.", Firewall: []access.Clause{scope}}, []string{at + ".table"}},
		"table's name with NUL":     {access.Table{SQL: "a\x00", Firewall: []access.Clause{scope}}, []string{at + ".table"}},
		"table's name too long":     {access.Table{SQL: strings.Repeat("x", 64), Firewall: []access.Clause{scope}}, []string{at + ".table"}},
		"schema's name too long":    {access.Table{SQL: strings.Repeat("x", 64) + ".a", Firewall: []access.Clause{scope}}, []string{at + ".table"}},
		"schema without a name":     {access.Table{SQL: ".a", Firewall: []access.Clause{scope}}, []string{at + ".table"}},
		"field without a name":      {with(literal("", access.OpEquals, "x")), []string{at + ".firewall.[1].field"}},
		"field too long":            {with(literal(strings.Repeat("x", 64), access.OpEquals, "x")), []string{at + ".firewall.[1].field"}},
		"field with NUL":            {with(literal("a\x00", access.OpEquals, "x")), []string{at + ".firewall.[1].field"}},
		"field not of UTF-8":        {with(literal("a\xff", access.OpEquals, "x")), []string{at + ".firewall.[1].field"}},
		"no operator":               {with(access.Clause{Field: "a"}), []string{at + ".firewall.[1]"}},
		"unknown operator":          {with(literal("a", "like", "x")), []string{at + ".firewall.[1]"}},
		"unknown ctx":               {with(equalsCtx("a", "roles")), []string{at + ".firewall.[1].equals"}},
		"ctx spelt with its prefix": {with(equalsCtx("a", "ctx.userId")), []string{at + ".firewall.[1].equals"}},
		"two values":                {with(access.Clause{Field: "a", Op: access.OpEquals, Value: access.Operand{Ctx: access.CtxUserID, Literal: "x"}}), []string{at + ".firewall.[1].equals"}},
		"equals nothing":            {with(literal("a", access.OpEquals, nil)), []string{at + ".firewall.[1].equals"}},
		"equals a list":             {with(literal("a", access.OpEquals, []any{"x"})), []string{at + ".firewall.[1].equals"}},
		"equals NaN":                {with(literal("a", access.OpLessThan, math.NaN())), []string{at + ".firewall.[1].lessThan"}},
		"equals infinity":           {with(literal("a", access.OpLessThan, math.Inf(1))), []string{at + ".firewall.[1].lessThan"}},
		"equals NUL":                {with(literal("a", access.OpEquals, "x\x00")), []string{at + ".firewall.[1].equals"}},
		"in nothing":                {with(literal("a", access.OpIn, []any{})), []string{at + ".firewall.[1].in"}},
		"in a text":                 {with(literal("a", access.OpIn, "x")), []string{at + ".firewall.[1].in"}},
		"in a ctx value":            {with(access.Clause{Field: "a", Op: access.OpIn, Value: access.Operand{Ctx: access.CtxUserID}}), []string{at + ".firewall.[1].in"}},
		"notIn a list of lists":     {with(literal("a", access.OpNotIn, []any{"x", []any{"y"}, nil})), []string{at + ".firewall.[1].notIn.[1]", at + ".firewall.[1].notIn.[2]"}},
		"isNull of a text":          {with(literal("a", access.OpIsNull, "true")), []string{at + ".firewall.[1].isNull"}},
		"isNull of a ctx value":     {with(access.Clause{Field: "a", Op: access.OpIsNull, Value: access.Operand{Ctx: access.CtxUserID, Literal: true}}), []string{at + ".firewall.[1].isNull"}},
		"or NULL of a literal":      {with(access.Clause{Field: "a", Op: access.OpEquals, Value: access.Operand{Literal: "x"}, OrNull: true}), []string{at + ".firewall.[1]"}},
		"or NULL of another one":    {with(access.Clause{Field: "a", Op: access.OpNotEquals, Value: access.Operand{Ctx: access.CtxUserID}, OrNull: true}), []string{at + ".firewall.[1]"}},
		"via nothing":               {with(access.Clause{Field: "a", Via: "friendOf"}), []string{at + ".firewall.[1].via"}},
		"via and more":              {with(access.Clause{Field: "a", Via: "attendeeOf", Op: access.OpEquals, Value: access.Operand{Literal: "x"}}), []string{at + ".firewall.[1]"}},
		"via without a field":       {with(access.Clause{Via: "attendeeOf"}), []string{at + ".firewall.[1].field"}},

		"unknown role+":       {reading(access.Rule{Roles: []string{"member+", "boss", "boss+"}}), []string{at + ".read.access.roles.[2]"}},
		"PUBLIC+":             {reading(access.Rule{Roles: []string{"PUBLIC+"}}), []string{at + ".read.access.roles.[0]"}},
		"empty role":          {reading(access.Rule{Roles: []string{"", "+"}}), []string{at + ".read.access.roles.[0]", at + ".read.access.roles.[1]"}},
		"empty record":        {reading(access.Rule{Record: &access.Condition{}}), []string{at + ".read.access.record"}},
		"empty or":            {reading(access.Rule{Record: &access.Condition{Or: []*access.Condition{}}}), []string{at + ".read.access.record.or"}},
		"or of nothing":       {reading(access.Rule{Record: &access.Condition{Or: []*access.Condition{nil, {}}}}), []string{at + ".read.access.record.or.[0]", at + ".read.access.record.or.[1]"}},
		"and of nothing":      {reading(access.Rule{Record: &access.Condition{And: []*access.Condition{{}}}}), []string{at + ".read.access.record.and.[0]"}},
		"record's operator":   {reading(access.Rule{Record: record(is("a", "matches", "x"))}), []string{at + ".read.access.record.a"}},
		"deep in a record":    {reading(access.Rule{Record: &access.Condition{Or: []*access.Condition{{And: []*access.Condition{record(is("a", access.OpEquals, nil))}}}}}), []string{at + ".read.access.record.or.[0].and.[0].a.equals"}},
		"too deep":            {reading(access.Rule{Record: deep}), []string{at + ".read.access.record" + strings.Repeat(".and.[0]", 33)}},
		"the rule of writing": {access.Table{Firewall: []access.Clause{scope}, Write: access.Rule{Roles: []string{"x+"}, Record: &access.Condition{}}}, []string{at + ".write.access.roles.[0]", at + ".write.access.record"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := oneTable(c.table)
			s.Relationships = attendeeOf
			require.ElementsMatch(t, c.want, paths(t, access.Check(s, nil)))
			if c.want == nil {
				return
			}
			_, err := access.New(t.Context(), access.Config{Schema: s})
			var invalid *access.InvalidError
			require.ErrorAs(t, err, &invalid, "what Check refuses, New refuses before it needs a database")
			require.ElementsMatch(t, c.want, paths(t, invalid.Problems))
			require.ErrorContains(t, err, invalid.Problems[0].Message)
		})
	}
}

func TestCheckFindsEveryMistakeOfRelationshipsAndRoles(t *testing.T) {
	fine := *attendeeOf["attendeeOf"]
	everybody, nameless, where, unknown := fine, fine, fine, fine
	everybody.Subject = access.Operand{Literal: "ann"}
	nameless.From, nameless.SubjectColumn, nameless.ResourceColumn = "", "", ""
	where.Where = []access.Test{is("role", "is", "x"), is("", access.OpEquals, "x")}
	unknown.Subject = access.Operand{Ctx: "email"}
	s := &access.Schema{
		RoleHierarchy: []string{"member", "owner", "member", "", "x+", "PUBLIC"},
		Features:      map[string]*access.Feature{"none": nil, "empty": {}, "nil": {Tables: map[string]*access.Table{"t": nil}}},
		Relationships: map[string]*access.Relationship{
			"a": &everybody, "b": &nameless, "c": &where, "d": &unknown, "e": nil, "f": &fine,
		},
	}
	require.Equal(t, []string{
		"auth.role_hierarchy.[2]", "auth.role_hierarchy.[3]", "auth.role_hierarchy.[4]", "auth.role_hierarchy.[5]",
		"resources.empty", "resources.nil.tables.t", "resources.none",
		"relationships.a.subject.equals",
		"relationships.b.from", "relationships.b.subject.column", "relationships.b.resource.column",
		"relationships.c.where.role", "relationships.c.where..field",
		"relationships.d.subject.equals",
		"relationships.e",
	}, paths(t, access.Check(s, nil)))
	require.Empty(t, access.Check(nil, nil))
}

func TestCheckFindsEveryMistakeOfRooms(t *testing.T) {
	s := twoKinds()
	s.RoleHierarchy = []string{"member"}
	resource := func(r access.ResourceRef) *access.RoomRule { return &access.RoomRule{Resource: &r} }
	pattern := func(change func(*access.Pattern)) *access.RoomRule {
		r := kindsPattern(`(record):(.+)`)
		change(r.Pattern)
		return r
	}
	webhook := func(url, secret string) *access.RoomRule {
		return &access.RoomRule{Webhook: &access.Webhook{URL: url, Secret: []byte(secret)}}
	}
	for name, c := range map[string]struct {
		rule *access.RoomRule
		want []string // below rooms.ROOM
	}{
		"nothing":             {nil, nil},
		"any caller":          {&access.RoomRule{}, nil},
		"public":              {&access.RoomRule{Public: true}, nil},
		"shorthand":           {resource(access.ResourceRef{Feature: "notes"}), nil},
		"table":               {resource(access.ResourceRef{Feature: "records", Table: "others"}), nil},
		"unknown feature":     {resource(access.ResourceRef{Feature: "files"}), []string{"access.resource.feature"}},
		"ambiguous shorthand": {resource(access.ResourceRef{Feature: "records"}), []string{"access.resource"}},
		"unknown table":       {resource(access.ResourceRef{Feature: "records", Table: "pages"}), []string{"access.resource.table"}},
		"key's name":          {resource(access.ResourceRef{Feature: "notes", Key: "a\x00"}), []string{"access.resource.key"}},
		"two kinds":           {&access.RoomRule{Public: true, Equals: access.CtxUserID}, []string{"access"}},
		"room id":             {&access.RoomRule{Equals: access.CtxActiveTeamID}, []string{"access.roomIdEquals"}},
		"pattern":             {pattern(func(*access.Pattern) {}), nil},
		"pattern's syntax":    {pattern(func(p *access.Pattern) { p.Expr = `(record):(` }), []string{"access.roomId.pattern"}},
		"pattern that closes": {pattern(func(p *access.Pattern) { p.Expr = `(record):(x))|(?:.*` }), []string{"access.roomId.pattern"}},
		"look-ahead":          {pattern(func(p *access.Pattern) { p.Expr = `(record):(?=x)(.+)` }), []string{"access.roomId.pattern"}},
		"empty pattern":       {pattern(func(p *access.Pattern) { p.Expr = "" }), []string{"access.roomId.pattern"}},
		"no groups":           {pattern(func(p *access.Pattern) { p.Expr = "record:.+" }), []string{"access.roomId.kindGroup", "access.roomId.idGroup"}},
		"group 0":             {pattern(func(p *access.Pattern) { p.IDGroup = 0 }), []string{"access.roomId.idGroup"}},
		"group 3":             {pattern(func(p *access.Pattern) { p.KindGroup = 3 }), []string{"access.roomId.kindGroup"}},
		"one group":           {pattern(func(p *access.Pattern) { p.KindGroup = 2 }), []string{"access.roomId.idGroup"}},
		"no kinds":            {pattern(func(p *access.Pattern) { p.Resources = nil }), []string{"access.resources"}},
		"unknown resource":    {pattern(func(p *access.Pattern) { p.Resources["x"] = access.ResourceRef{Feature: "y"} }), []string{"access.resources.x.resource.feature"}},
		"webhook":             {webhook("https://app.example/access", secret), nil},
		"webhook's URL":       {webhook("app.example/access", secret), []string{"access.webhook.url"}},
		"webhook's scheme":    {webhook("ftp://app.example", secret), []string{"access.webhook.url"}},
		"webhook's secret":    {webhook("http://app.example", "short"), []string{"access.webhook.secret"}},
		"webhook's timeout":   {&access.RoomRule{Webhook: &access.Webhook{URL: "http://a", Secret: []byte(secret), Timeout: -1}}, []string{"access.webhook.timeout"}},
		"roles":               {&access.RoomRule{Write: &access.WriteRule{Roles: []string{"member+", "x+", ""}}}, []string{"write.roles.[1]", "write.roles.[2]"}},
	} {
		t.Run(name, func(t *testing.T) {
			want := []string{}
			for _, w := range c.want {
				want = append(want, "rooms.ROOM."+w)
			}
			require.ElementsMatch(t, want, paths(t, access.Check(s, map[string]*access.RoomRule{"ROOM": c.rule})))
			if len(want) == 0 {
				return
			}
			empty := newAccess(t, nil, &access.Schema{RoleHierarchy: s.RoleHierarchy})
			_, err := empty.Room("ROOM", c.rule)
			var invalid *access.InvalidError
			require.ErrorAs(t, err, &invalid)
		})
	}
}

func TestResourcesNeedADatabase(t *testing.T) {
	_, err := access.New(t.Context(), access.Config{Schema: twoKinds()})
	require.ErrorContains(t, err, "database")
}
