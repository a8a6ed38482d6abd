package access_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/gate/access"
)

// zones are offsets of hours and minutes on both sides, and of seconds in the past.
var zones = []string{"UTC", "<+0530>-05:30", "<-0330>+03:30", "Europe/Amsterdam", "<y>+11:59"}

// Every type by every operator, literal and value that there is above.
func TestImagesCompareAsTheirColumnsDo(t *testing.T) {
	db := newDatabase(t, imageTypesSQL)
	db.exec(t, imageTable("images", imageTypes))
	long := os.Getenv("YSERVERD_TEST_LONG") == "1"
	s := &access.Schema{Features: map[string]*access.Feature{}}
	add := func(typ *imageType, op access.Operator, o access.Operand) {
		name := fmt.Sprint(typ.name, " ", op, " ", o)
		s.Features[name] = &access.Feature{Tables: map[string]*access.Table{"t": {
			SQL: "images", Firewall: []access.Clause{{Field: typ.name, Op: op, Value: o}}, Exception: o.Ctx == "" || op != access.OpEquals,
		}}}
	}
	for i := range imageTypes {
		typ := &imageTypes[i]
		for n, v := range typ.literal() {
			for at, op := range typ.ops() {
				if long || (n+at)%4 == 0 {
					add(typ, op, access.Operand{Literal: v})
				}
			}
			add(typ, access.OpNotIn, access.Operand{Literal: []any{v, typ.literal()[0]}})
			add(typ, access.OpIn, access.Operand{Literal: []any{v, typ.literal()[0]}})
		}
		add(typ, access.OpIsNull, access.Operand{Literal: true})
		add(typ, access.OpIsNull, access.Operand{Literal: false})
		for _, op := range typ.ops() {
			if typ.ctx && (typ.name != "mood" || op == access.OpEquals || op == access.OpNotEquals) {
				add(typ, op, access.Operand{Ctx: access.CtxUserID})
			}
		}
	}
	ids := callers()
	a := newAccess(t, db, s)
	outcomes := map[access.Outcome]int{}
	var columns []access.Column
	lists := make([][]image, len(zones))
	for i, zone := range zones {
		columns, lists[i] = images(t, db, "images", "pk", zone)
	}
	for n, name := range sortedNames(s.Features) {
		list := lists[n%len(zones)]
		rule, err := a.Rows(name, "", columns)
		require.NoError(t, err, name)
		ids := ids
		if !strings.Contains(name, access.CtxUserID) {
			ids = ids[:1]
		}
		want := decisions(t, a, access.ResourceRef{Feature: name, Key: "pk"}, ids, list)
		for at, id := range ids {
			for j, i := range list {
				got := rule.Decide(id, i.row)
				require.Equal(t, want[at][j], got, "%s: %q %+v", name, id.UserID, i)
				outcomes[got]++
			}
		}
	}
	require.Positive(t, outcomes[access.Visible])
	t.Log(len(s.Features), outcomes)
}

// callers have the values of all the types, and some that are none.
func callers() []gate.Identity {
	var list []string
	for _, t := range imageTypes {
		if t.ctx {
			list = append(list, t.values...)
		}
	}
	list = append(list, texts...)
	list = append(list, "a  ", "A ", "7.", ".7", "07.10", "-0", "99999", "9223372036854775808", "\x00", "\xff", strings.Repeat("9", 1000), strings.Repeat("x", 1100))
	slices.Sort(list)
	var ids []gate.Identity
	for _, text := range slices.Compact(list) {
		ids = append(ids, gate.Identity{UserID: text})
	}
	return ids[1:] // without the anonymous one
}

func sortedNames(m map[string]*access.Feature) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// imageModel is a table, what is declared of it, and its callers.
type imageModel struct {
	types []imageType
	sql   string
	table access.Table
	ids   []gate.Identity
}

func drawImages(t *rapid.T) *imageModel {
	m := &imageModel{types: rapid.SliceOfNDistinct(rapid.SampledFrom(imageTypes), 3, 6, func(t imageType) string { return t.name }).Draw(t, "types")}
	m.types = append(m.types, imageTypes[0])
	m.types = slices.CompactFunc(sortTypes(m.types), func(a, b imageType) bool { return a.name == b.name })
	columns := []string{"pk text PRIMARY KEY"}
	for _, typ := range m.types {
		columns = append(columns, quoted(typ.name)+" "+typ.sql)
	}
	columns = rapid.Permutation(columns).Draw(t, "columns")
	m.sql = "DROP TABLE IF EXISTS images; CREATE TABLE images (" + strings.Join(columns, ", ") + ");"
	for n := range rapid.IntRange(2, 6).Draw(t, "rows") {
		names, values := []string{"pk"}, []string{fmt.Sprintf("'row%d'", n)}
		for _, typ := range m.types {
			names = append(names, quoted(typ.name))
			if rapid.IntRange(0, 4).Draw(t, "null") == 0 {
				values = append(values, "NULL")
			} else {
				values = append(values, sqlText(rapid.SampledFrom(typ.values).Draw(t, typ.name)))
			}
		}
		m.sql += fmt.Sprintf("INSERT INTO images (%s) VALUES (%s);", strings.Join(names, ", "), strings.Join(values, ", "))
	}
	scoped := false
	for range rapid.IntRange(0, 2).Draw(t, "clauses") {
		test := m.drawTest(t)
		c := access.Clause{Field: test.Field, Op: test.Op, Value: test.Value}
		c.OrNull = c.Op == access.OpEquals && c.Value.Ctx != "" && rapid.Bool().Draw(t, "or null")
		scoped = scoped || c.Op == access.OpEquals && c.Value.Ctx != ""
		m.table.Firewall = append(m.table.Firewall, c)
	}
	m.table.SQL, m.table.Exception, m.table.Read.Roles = "images", !scoped, drawRoles(t, "roles")
	if rapid.Bool().Draw(t, "record") {
		m.table.Read.Record = m.drawCondition(t, 2)
	}
	for range rapid.IntRange(3, 8).Draw(t, "callers") {
		m.ids = append(m.ids, m.drawIdentity(t))
	}
	return m
}

func sortTypes(list []imageType) []imageType {
	slices.SortFunc(list, func(a, b imageType) int { return strings.Compare(a.name, b.name) })
	return list
}

func (m *imageModel) drawTest(t *rapid.T) access.Test {
	typ := rapid.SampledFrom(m.types).Draw(t, "field")
	test := access.Test{Field: typ.name}
	ops := append(typ.ops(), access.OpEquals, access.OpIn, access.OpNotIn, access.OpIsNull)
	switch test.Op = rapid.SampledFrom(ops).Draw(t, "op"); test.Op {
	case access.OpIsNull:
		test.Value.Literal = rapid.Bool().Draw(t, "null")
	case access.OpIn, access.OpNotIn:
		test.Value.Literal = rapid.SliceOfN(rapid.SampledFrom(typ.literal()), 1, 3).Draw(t, "list")
	default:
		test.Value.Literal = rapid.SampledFrom(typ.literal()).Draw(t, "literal")
		same := test.Op == access.OpEquals || test.Op == access.OpNotEquals
		if typ.ctx && (same || typ.name != "mood") && rapid.IntRange(0, 2).Draw(t, "ctx") > 0 {
			test.Value = access.Operand{Ctx: rapid.SampledFrom([]string{"userId", "activeOrgId", "activeTeamId", "userRole"}).Draw(t, "name")}
		}
	}
	return test
}

func (m *imageModel) drawCondition(t *rapid.T, depth int) *access.Condition {
	c := &access.Condition{Tests: []access.Test{m.drawTest(t)}}
	if depth == 0 {
		return c
	}
	for range rapid.IntRange(0, 1).Draw(t, "and") {
		c.And = append(c.And, m.drawCondition(t, depth-1))
	}
	for range rapid.IntRange(0, 2).Draw(t, "or") {
		c.Or = append(c.Or, m.drawCondition(t, depth-1))
	}
	if c.Or != nil && rapid.Bool().Draw(t, "or alone") {
		c.Tests = nil
	}
	return c
}

// drawIdentity draws a caller with values that the table may have.
func (m *imageModel) drawIdentity(t *rapid.T) gate.Identity {
	list := slices.Clone(texts)
	for _, typ := range m.types {
		list = append(list, typ.values...)
	}
	text := rapid.SampledFrom(list)
	return gate.Identity{
		UserID: text.Draw(t, "user"), OrgID: text.Draw(t, "org"), TeamID: text.Draw(t, "team"),
		UserRole: rapid.SampledFrom([]string{"", "", "calm", "7", "org1", "admin"}).Draw(t, "user role"),
		Roles:    rapid.SliceOfN(rapid.SampledFrom(allRoles), 0, 3).Draw(t, "roles"),
	}
}

// mask returns a row of which some values are not known, and one that has others in their place.
func mask(t *rapid.T, row, other access.Row) (masked, mixed access.Row) {
	masked, mixed = slices.Clone(row), slices.Clone(row)
	for i := range row {
		if rapid.Bool().Draw(t, "masked") {
			masked[i].Unknown, mixed[i] = true, other[i]
		}
	}
	return masked, mixed
}

func TestImagesAreDecidedAsTheDatabaseDecides(t *testing.T) {
	db := newDatabase(t, imageTypesSQL)
	outcomes := map[access.Outcome]int{}
	masked := map[access.Outcome]int{}
	rapid.Check(t, func(t *rapid.T) {
		m := drawImages(t)
		_, err := db.Exec(t.Context(), m.sql, pgx.QueryExecModeSimpleProtocol)
		require.NoError(t, err, m.sql)
		s := oneTable(m.table)
		a, err := access.New(t.Context(), access.Config{Schema: s, DB: db})
		require.NoError(t, err)
		columns, list := images(db.tb, db, "images", "pk", rapid.SampledFrom(zones).Draw(t, "zone"))
		rule, err := a.Rows("chats", "chats", columns)
		require.NoError(t, err)
		want := decisions(db.tb, a, access.ResourceRef{Feature: "chats", Key: "pk"}, m.ids, list)
		for n, id := range m.ids {
			for j, i := range list {
				got := rule.Decide(id, i.row)
				require.Equal(t, want[n][j], got, "%+v %+v", id, i)
				outcomes[got]++
				partly, mixed := mask(t, i.row, rapid.SampledFrom(list).Draw(t, "other").row)
				if less := rule.Decide(id, partly); less != access.Unknown {
					require.Equal(t, less, got, "known of %+v", partly)
					require.Equal(t, less, rule.Decide(id, mixed), "known of %+v", partly)
					masked[less]++
				} else {
					masked[less]++
				}
			}
		}
	})
	for _, counts := range []map[access.Outcome]int{outcomes, masked} {
		require.Positive(t, counts[access.Visible])
		require.Positive(t, counts[access.Hidden])
	}
	require.Positive(t, masked[access.Unknown])
	require.Zero(t, outcomes[access.Unknown])
	t.Log(outcomes, masked)
}
