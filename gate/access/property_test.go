package access_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/gate/access"
)

// What follows decides on plain maps, from the words of the specification and without the code under test.

// model is a database and a declaration, as values of Go.
type model struct {
	types    map[string]string          // by column, of the table
	rows     []map[string]any           // nil, string, int64 or bool; of the table
	relTypes map[string]string          // of the table between
	related  []map[string]any           //
	key      string                     // column
	table    access.Table               //
	relation *access.Relationship       //
	write    *access.WriteRule          //
	above    map[string]map[string]bool // roles that "role+" means
}

var (
	wholeNumber = regexp.MustCompile(`^[+-]?[0-9]{1,9}$`)
	uuidText    = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
)

// labels of the enum, in its order.
var labels = []string{"calm", "b'usy", "up"}

// typed returns a text as a value of a type.
func typed(typ, text string) (any, bool) {
	switch typ {
	case "int":
		n, _ := strconv.ParseInt(text, 10, 64)
		return n, wholeNumber.MatchString(text)
	case "uuid":
		return strings.ToLower(text), uuidText.MatchString(text)
	case "bool":
		return nil, false
	}
	return text, true
}

// order returns how two values of a type are ordered.
func order(typ string, a, b any) int {
	switch a := a.(type) {
	case int64:
		switch b := b.(int64); {
		case a < b:
			return -1
		case a > b:
			return 1
		}
		return 0
	case bool:
		return order("int", bit(a), bit(b.(bool)))
	case string:
		if typ == "mood" {
			return order("int", int64(slices.Index(labels, a)), int64(slices.Index(labels, b.(string))))
		}
		return strings.Compare(a, b.(string))
	}
	panic("unknown value")
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// of returns the caller's value of a name.
func of(id gate.Identity, name string) string {
	return map[string]string{"userId": id.UserID, "activeOrgId": id.OrgID, "activeTeamId": id.TeamID, "userRole": id.UserRole}[name]
}

// holds decides a test on a value of a type.
func holds(id gate.Identity, typ string, value any, test access.Test) bool {
	if test.Op == access.OpIsNull {
		return (value == nil) == test.Value.Literal.(bool)
	}
	if value == nil {
		return false
	}
	if list, ok := test.Value.Literal.([]any); ok {
		among := false
		for _, v := range list {
			among = among || order(typ, value, plain(v)) == 0
		}
		return among == (test.Op == access.OpIn)
	}
	other := plain(test.Value.Literal)
	if test.Value.Ctx != "" {
		text := of(id, test.Value.Ctx)
		if id.UserID == "" || text == "" {
			return false
		}
		var ok bool
		if other, ok = typed(typ, text); !ok {
			return false
		}
		if typ == "mood" { // unknown labels have no order, and are no label
			return (value == other) == (test.Op == access.OpEquals)
		}
	}
	o := order(typ, value, other)
	return map[access.Operator]bool{
		access.OpEquals: o == 0, access.OpNotEquals: o != 0, access.OpLessThan: o < 0, access.OpGreaterThan: o > 0,
		access.OpLessThanOrEqual: o <= 0, access.OpGreaterThanOrEqual: o >= 0,
	}[test.Op]
}

func plain(v any) any {
	if n, ok := v.(int); ok {
		return int64(n)
	}
	return v
}

// met decides a condition on a row.
func (m *model) met(id gate.Identity, row map[string]any, c *access.Condition) bool {
	if c == nil {
		return true
	}
	for _, test := range c.Tests {
		if !holds(id, m.types[test.Field], row[test.Field], test) {
			return false
		}
	}
	for _, part := range c.And {
		if !m.met(id, row, part) {
			return false
		}
	}
	return c.Or == nil || slices.ContainsFunc(c.Or, func(part *access.Condition) bool { return m.met(id, row, part) })
}

// seen decides the firewall on a row.
func (m *model) seen(id gate.Identity, row map[string]any) bool {
	for _, c := range m.table.Firewall {
		value := row[c.Field]
		switch {
		case c.Via != "":
			if !m.relates(id, m.types[c.Field], value) {
				return false
			}
		case c.OrNull && value == nil && id.UserID != "" && of(id, c.Value.Ctx) != "":
		case !holds(id, m.types[c.Field], value, access.Test{Field: c.Field, Op: c.Op, Value: c.Value}):
			return false
		}
	}
	return true
}

// relates decides a relationship.
func (m *model) relates(id gate.Identity, typ string, value any) bool {
	r := m.relation
	for _, row := range m.related {
		is := func(test access.Test) bool { return holds(id, m.relTypes[test.Field], row[test.Field], test) }
		subject := is(access.Test{Field: r.SubjectColumn, Op: access.OpEquals, Value: r.Subject})
		if other := row[r.ResourceColumn]; subject && value != nil && other != nil && order(typ, value, other) == 0 &&
			!slices.ContainsFunc(r.Where, func(test access.Test) bool { return !is(test) }) {
			return true
		}
	}
	return false
}

// may decides a list of roles.
func (m *model) may(id gate.Identity, list []string) bool {
	if slices.Contains(list, "PUBLIC") {
		return true
	}
	if id.UserID == "" {
		return false
	}
	if len(list) == 0 || id.UserRole == "admin" {
		return true
	}
	for _, role := range id.Roles {
		for _, wanted := range list {
			if role == wanted && !strings.HasSuffix(wanted, "+") || m.above[wanted][role] {
				return true
			}
		}
	}
	return false
}

// decide decides.
func (m *model) decide(id gate.Identity, room string) string {
	if !m.may(id, m.table.Read.Roles) {
		if id.UserID == "" {
			return authMissing
		}
		return roleRequired
	}
	for _, row := range m.rows {
		if fmt.Sprint(row[m.key]) != room || row[m.key] == nil || !m.seen(id, row) {
			continue
		}
		free := id.UserID != "" && id.UserRole == "admin"
		if !free && !m.met(id, row, m.table.Read.Record) {
			return condition
		}
		if m.may(id, m.table.Write.Roles) && (free || m.met(id, row, m.table.Write.Record)) &&
			(m.write == nil || len(m.write.Roles) == 0 || m.may(id, m.write.Roles)) {
			return writes
		}
		return reads
	}
	if m.table.Hide {
		return notFound
	}
	return firewall
}

// pools are the values of each type, few so that they meet.
var pools = map[string][]any{
	"text": {"org1", "Org1", "x'y", `q"; DROP TABLE a; --`, "7", "$1", "calm", ""},
	"int":  {int64(0), int64(7), int64(-3), int64(70)},
	"uuid": {"6f1c2c5e-94b5-4a3c-b1cf-c8a1a4d6a0f1", "6f1c2c5e-94b5-4a3c-b1cf-c8a1a4d6a0f2"},
	"bool": {true, false},
	"mood": {labels[0], labels[1], labels[2]},
}

// texts are callers' values and room ids.
var texts = []string{
	"org1", "Org1", "x'y", `q"; DROP TABLE a; --`, "7", "07", "+7", "-3", "70", "$1", "calm", "b'usy", "nothing", "", "true",
	"6f1c2c5e-94b5-4a3c-b1cf-c8a1a4d6a0f1", "6F1C2C5E-94B5-4A3C-B1CF-C8A1A4D6A0F1", "6f1c2c5e-94b5-4a3c-b1cf-c8a1a4d6a0f2",
}

var names = []string{"id", "A b", `quo"te`, "semi;--", "sel'ect", "$1", "t", "a", "r", "n", "v0", "a.b", "é💥", "user", "order", `""`, "NULL", "tru\\e"}

var allRoles = []string{"guest", "member", "editor", "owner"}

// drawModel draws a database and what is declared of it.
func drawModel(t *rapid.T) *model {
	m := &model{above: map[string]map[string]bool{
		"member+": {"member": true, "editor": true, "owner": true}, "editor+": {"editor": true, "owner": true}, "owner+": {"owner": true},
	}}
	m.types, m.rows = drawTable(t, "table")
	m.relTypes, m.related = drawTable(t, "between")
	m.key = drawColumn(t, m.types, "key", "text", "int", "uuid", "mood")
	m.rows = uniqueBy(m.rows, m.key)
	m.table.SQL = rapid.SampledFrom([]string{"chats", "public.se;lect", "public.d.o.t", `ap"p.t`, "ORDER"}).Draw(t, "name")
	m.table.Hide = rapid.Bool().Draw(t, "hide")
	shared := drawColumn(t, m.types, "shared")
	m.relation = &access.Relationship{
		From: "app2.between", Subject: access.Operand{Ctx: rapid.SampledFrom([]string{"userId", "activeOrgId"}).Draw(t, "subject")},
		SubjectColumn:  drawColumn(t, m.relTypes, "subject column", "text", "int", "uuid", "mood"),
		ResourceColumn: drawColumn(t, m.relTypes, "resource column", m.types[shared]),
		Where:          rapid.SliceOfN(rapid.Custom(func(t *rapid.T) access.Test { return drawTest(t, m.relTypes) }), 0, 1).Draw(t, "where"),
	}
	scoped := false
	for range rapid.IntRange(0, 2).Draw(t, "clauses") {
		c := access.Clause{Field: shared, Via: "rel"}
		if rapid.IntRange(0, 3).Draw(t, "via") > 0 {
			test := drawTest(t, m.types)
			c = access.Clause{Field: test.Field, Op: test.Op, Value: test.Value}
			c.OrNull = c.Op == access.OpEquals && c.Value.Ctx != "" && rapid.Bool().Draw(t, "or null")
		}
		scoped = scoped || c.Via != "" || c.Op == access.OpEquals && c.Value.Ctx != ""
		m.table.Firewall = append(m.table.Firewall, c)
	}
	m.table.Exception = !scoped
	m.table.Read, m.table.Write = drawRule(t, m.types, "read"), drawRule(t, m.types, "write")
	if rapid.Bool().Draw(t, "room's rule") {
		m.write = &access.WriteRule{Roles: drawRoles(t, "room's roles")}
	}
	return m
}

// drawTable draws columns, one at least of each type, and rows.
func drawTable(t *rapid.T, what string) (types map[string]string, rows []map[string]any) {
	types = map[string]string{}
	columns := rapid.Permutation(names).Draw(t, what+" columns")
	for i, typ := range []string{"text", "int", "uuid", "bool", "mood", "text", "int"} {
		types[columns[i]] = typ
	}
	for range rapid.IntRange(3, 8).Draw(t, what+" rows") {
		row := map[string]any{}
		for _, c := range slices.Sorted(maps.Keys(types)) {
			row[c] = rapid.SampledFrom(append([]any{nil}, pools[types[c]]...)).Draw(t, c)
		}
		rows = append(rows, row)
	}
	return types, rows
}

func uniqueBy(rows []map[string]any, key string) (kept []map[string]any) {
	for _, row := range rows {
		if row[key] == nil || !slices.ContainsFunc(kept, func(other map[string]any) bool { return other[key] == row[key] }) {
			kept = append(kept, row)
		}
	}
	return kept
}

// drawColumn draws a column of some types, or of any.
func drawColumn(t *rapid.T, types map[string]string, what string, of ...string) string {
	columns := slices.DeleteFunc(slices.Sorted(maps.Keys(types)), func(c string) bool {
		return len(of) > 0 && !slices.Contains(of, types[c])
	})
	return rapid.SampledFrom(columns).Draw(t, what)
}

func drawTest(t *rapid.T, types map[string]string) access.Test {
	test := access.Test{Field: drawColumn(t, types, "field")}
	typ := types[test.Field]
	ops := []access.Operator{
		access.OpEquals, access.OpEquals, access.OpNotEquals, access.OpIn, access.OpNotIn, access.OpIsNull,
		access.OpLessThan, access.OpGreaterThan, access.OpLessThanOrEqual, access.OpGreaterThanOrEqual,
	}
	test.Op = rapid.SampledFrom(ops).Draw(t, "op")
	switch test.Op {
	case access.OpIsNull:
		test.Value.Literal = rapid.Bool().Draw(t, "null")
	case access.OpIn, access.OpNotIn:
		test.Value.Literal = rapid.SliceOfN(rapid.SampledFrom(pools[typ]), 1, 3).Draw(t, "list")
	default:
		test.Value.Literal = rapid.SampledFrom(pools[typ]).Draw(t, "literal")
		comparable := typ != "bool" && (typ != "mood" || test.Op == access.OpEquals || test.Op == access.OpNotEquals)
		if comparable && rapid.Bool().Draw(t, "ctx") {
			ctx := rapid.SampledFrom([]string{"userId", "activeOrgId", "activeTeamId", "userRole"}).Draw(t, "name")
			test.Value = access.Operand{Ctx: ctx}
		}
	}
	return test
}

func drawRule(t *rapid.T, types map[string]string, what string) access.Rule {
	r := access.Rule{Roles: drawRoles(t, what+" roles")}
	if rapid.Bool().Draw(t, what+" record") {
		r.Record = drawCondition(t, types, 2)
	}
	return r
}

func drawRoles(t *rapid.T, what string) []string {
	roles := append([]string{"PUBLIC", "member+", "member+", "editor+", "owner+"}, allRoles...)
	return rapid.SliceOfN(rapid.SampledFrom(roles), 0, 2).Draw(t, what)
}

func drawCondition(t *rapid.T, types map[string]string, depth int) *access.Condition {
	c := &access.Condition{Tests: []access.Test{drawTest(t, types)}}
	if depth == 0 {
		return c
	}
	for range rapid.IntRange(0, 1).Draw(t, "and") {
		c.And = append(c.And, drawCondition(t, types, depth-1))
	}
	for range rapid.IntRange(0, 2).Draw(t, "or") {
		c.Or = append(c.Or, drawCondition(t, types, depth-1))
	}
	if c.Or != nil && rapid.Bool().Draw(t, "or alone") {
		c.Tests = nil
	}
	return c
}

func drawIdentity(t *rapid.T) gate.Identity {
	text := rapid.SampledFrom(append([]string{"org1", "org1", "org1", "7", "7", "7", texts[len(texts)-1], texts[len(texts)-1]}, texts...))
	return gate.Identity{
		UserID: text.Draw(t, "user"), OrgID: text.Draw(t, "org"), TeamID: text.Draw(t, "team"),
		UserRole: rapid.SampledFrom([]string{"", "", "calm", "7", "org1", "admin"}).Draw(t, "user role"),
		Roles:    rapid.SliceOfN(rapid.SampledFrom(append([]string{"member+", "PUBLIC"}, allRoles...)), 0, 2).Draw(t, "roles"),
	}
}

// build makes the tables of a model. Names are quoted here in a way of our own.
func (m *model) build(t *rapid.T, db *database) {
	var sql strings.Builder
	table := m.table.SQL
	for _, name := range []string{"chats", "se;lect", "d.o.t", "ORDER"} {
		fmt.Fprintf(&sql, "DROP TABLE IF EXISTS public.%s;", quoted(name))
	}
	sql.WriteString(`DROP SCHEMA IF EXISTS "ap""p" CASCADE; CREATE SCHEMA "ap""p"; DROP TABLE IF EXISTS app2.between;`)
	if schema, name, ok := strings.Cut(table, "."); ok {
		table = quoted(schema) + "." + quoted(name)
	} else {
		table = quoted(table)
	}
	write(&sql, table, m.types, m.rows)
	fmt.Fprintf(&sql, "CREATE UNIQUE INDEX ON %s (%s);", table, quoted(m.key))
	write(&sql, "app2.between", m.relTypes, m.related)
	_, err := db.Exec(t.Context(), sql.String(), pgx.QueryExecModeSimpleProtocol)
	require.NoError(t, err, sql.String())
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func write(sql *strings.Builder, table string, types map[string]string, rows []map[string]any) {
	columns := slices.Sorted(maps.Keys(types))
	var list []string
	for _, c := range columns {
		list = append(list, quoted(c)+" "+types[c])
	}
	fmt.Fprintf(sql, "CREATE TABLE %s (%s);", table, strings.Join(list, ", "))
	for _, row := range rows {
		list = list[:0]
		for _, c := range columns {
			switch v := row[c].(type) {
			case nil:
				list = append(list, "NULL")
			case string:
				list = append(list, "'"+strings.ReplaceAll(v, "'", "''")+"'")
			default:
				list = append(list, fmt.Sprint(v))
			}
		}
		fmt.Fprintf(sql, "INSERT INTO %s VALUES (%s);", table, strings.Join(list, ", "))
	}
}

func TestDecisionsAreThoseOfTheModel(t *testing.T) {
	db := newDatabase(t, `CREATE TYPE mood AS ENUM ('calm', 'b''usy', 'up'); CREATE SCHEMA app2;`)
	outcomes := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		m.build(t, db)
		s := oneTable(m.table)
		s.Relationships = map[string]*access.Relationship{"rel": m.relation}
		require.Empty(t, access.Check(s, nil))
		a, err := access.New(t.Context(), access.Config{Schema: s, DB: db})
		require.NoError(t, err)
		rule := &access.RoomRule{Resource: &access.ResourceRef{Feature: "chats", Key: m.key}, Write: m.write}
		room, err := a.Room("ROOM", rule)
		require.NoError(t, err)

		var asks []gate.Ask
		for range rapid.IntRange(8, 24).Draw(t, "asks") {
			id := rapid.SampledFrom(texts).Draw(t, "room")
			if len(m.rows) > 0 && rapid.IntRange(0, 3).Draw(t, "of a row") > 0 {
				id = fmt.Sprint(rapid.SampledFrom(m.rows).Draw(t, "row")[m.key])
			}
			if id != "" {
				asks = append(asks, gate.Ask{Identity: drawIdentity(t), Room: id})
			}
		}
		verdicts, err := room.(gate.BatchAuthorizer).AuthorizeAll(t.Context(), asks)
		require.NoError(t, err)
		require.Len(t, verdicts, len(asks))
		for i, ask := range asks {
			want := m.decide(ask.Identity, ask.Room)
			outcomes[want]++
			d, err := room.Authorize(t.Context(), ask.Identity, &gate.Request{Room: ask.Room})
			require.Equal(t, want, outcome(db.tb, d, err), "%+v", ask)
			require.Equal(t, want, verdict(db.tb, verdicts[i]), "many at once: %+v", ask)
			require.Equal(t, d, verdicts[i].Decision)
		}
	})
	for _, want := range []string{writes, reads, condition, firewall, notFound, roleRequired, authMissing} {
		require.Positive(t, outcomes[want], want)
	}
	t.Log(outcomes)
}
