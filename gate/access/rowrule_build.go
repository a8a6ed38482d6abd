package access

import (
	"fmt"
	"slices"
)

// Rows returns the rule of a resource on images of its rows that have these columns. The table is the name within the
// feature, and may be empty where the feature has one.
//
// What only the database can decide is an *InvalidError: relationships, orders under a collation that is not "C", types
// whose values compare by rules of their own (JSON, arrays, intervals). So is a column that the images do not have, or
// whose type is not the one that New has found. Without any columns the rule says what it reads, and every outcome that
// hangs on a row is Unknown: that is for checking a declaration.
func (a *Access) Rows(feature, table string, columns []Column) (*RowRule, error) {
	b := &rowBuilder{columns: columns, reads: map[string]bool{}}
	c := &checker{schema: a.schema}
	ref := ResourceRef{Feature: feature, Table: table}
	if c.resource(path{"broadcast"}, ref); len(c.problems) > 0 {
		return nil, invalid(c.problems)
	}
	t, _ := ref.resolve(a.schema)
	b.table = a.catalogue.tables[t.SQL]
	r := &RowRule{read: expandRoles(t.Read.Roles, a.schema.RoleHierarchy)}
	p := path{"resources", feature, "tables", ref.name(a.schema)}
	for i, clause := range t.Firewall {
		r.firewall = append(r.firewall, b.clause(p.at("firewall").index(i), clause))
	}
	if t.Read.Record != nil {
		r.record = b.condition(p.at("read", "access", "record"), t.Read.Record)
	}
	if err := invalid(b.problems); err != nil {
		return nil, err
	}
	r.columns = sortedKeys(b.reads)
	for i, clause := range t.Firewall {
		if clause.Op != OpEquals {
			continue
		}
		test := r.firewall[i]
		switch {
		case clause.Value.Ctx == CtxActiveOrgID && !clause.OrNull && r.scope == nil:
			r.scope = &test
		case clause.Value.Ctx == CtxUserID && r.owner == nil:
			test.null = nullFails // who owns nothing in particular is no owner
			r.owner = &test
		}
	}
	return r, nil
}

// name returns the name of the table that a reference means, which is one.
func (r ResourceRef) name(s *Schema) string {
	if r.Table == "" {
		return sortedKeys(s.Features[r.Feature].Tables)[0]
	}
	return r.Table
}

// rowBuilder makes the tests of a RowRule.
type rowBuilder struct {
	table    *tableInfo
	columns  []Column
	reads    map[string]bool
	problems []Problem
}

func (b *rowBuilder) report(p path, message, fix string) {
	b.problems = append(b.problems, Problem{Path: p, Message: message, Fix: fix})
}

// clause makes the test of a firewall's clause.
func (b *rowBuilder) clause(p path, c Clause) rowTest {
	if c.Via != "" {
		b.report(p.at("via"), "a change of a row does not tell who is related to it",
			"leave the table out of broadcast, or scope it by a column of its own")
		return rowTest{}
	}
	t := b.test(p, p.at("field"), Test{Field: c.Field, Op: c.Op, Value: c.Value})
	if c.OrNull {
		t.null = nullPasses
	}
	return t
}

// condition makes a condition.
func (b *rowBuilder) condition(p path, c *Condition) *rowCondition {
	out := &rowCondition{asks: c.Or != nil}
	for _, test := range c.Tests {
		at := p.at(test.Field)
		out.tests = append(out.tests, b.test(at, at, test))
	}
	for i, part := range c.And {
		out.and = append(out.and, b.condition(p.at("and").index(i), part))
	}
	for i, part := range c.Or {
		out.or = append(out.or, b.condition(p.at("or").index(i), part))
	}
	return out
}

// test makes a test. p is its path, field that of its column. The declaration is one that New has accepted.
func (b *rowBuilder) test(p, field path, test Test) rowTest {
	info := b.table.columns[test.Field]
	b.reads[test.Field] = true
	t := rowTest{column: b.position(field, test.Field, info), family: info.kind.family, ctx: test.Value.Ctx, want: wanted[test.Op]}
	p = p.at(string(test.Op))
	if test.Op == OpIsNull {
		t.null = nullBarred
		if test.Value.Literal == true {
			t.null = nullWanted
		}
		return t
	}
	c, fix := comparisonOf(info, test.Op.ordered())
	if c.read == nil {
		b.report(p, fmt.Sprintf("%s of column %q, of type %s, is for the database alone to decide", test.Op, test.Field, info.kind.name), fix)
		return t
	}
	t.read, t.order, t.not = c.read, c.order, test.Op == OpNotIn
	switch list, isList := test.Value.Literal.([]any); {
	case t.ctx != "":
	case isList:
		for i, v := range list {
			t.literals = append(t.literals, b.literal(p.index(i), info, c, v))
		}
	default:
		t.literals = []scalar{b.literal(p, info, c, test.Value.Literal)}
	}
	return t
}

// ordered reports whether the operator asks for more than whether two values are the same.
func (o Operator) ordered() bool {
	return wanted[o]&(wantLess|wantMore) != 0 && o != OpNotEquals
}

// position returns where the images have a column.
func (b *rowBuilder) position(p path, name string, info columnInfo) int {
	at := slices.IndexFunc(b.columns, func(c Column) bool { return c.Name == name })
	switch {
	case len(b.columns) == 0:
	case at < 0:
		b.report(p, fmt.Sprintf("changes of %s.%s come without column %q", b.table.schema, b.table.name, name), "publish the column")
	case b.columns[at].Type != 0 && b.columns[at].Type != info.oid:
		b.report(p, fmt.Sprintf("column %q of %s.%s has another type than at the start", name, b.table.schema, b.table.name), "start again")
	}
	return at
}

// literal reads a literal, which the database has taken for a value of the column's type.
func (b *rowBuilder) literal(p path, info columnInfo, c comparison, v any) scalar {
	text, _ := literalText(v)
	s, ok := c.literal(text)
	if !ok {
		b.report(p, fmt.Sprintf("%.80q is a way to write a %s that is the database's own", text, info.kind.name), c.plain)
	}
	return s
}

// comparison is how values of a column compare. The one without a reader is for the database alone.
type comparison struct {
	read    reader
	literal reader
	order   order
	plain   string // how its literals are written
}

// comparisonOf returns how a column's values compare, and what to do where that is not known.
func comparisonOf(info columnInfo, ordered bool) (c comparison, fix string) {
	c, fix = comparison{order: compareScalars}, "use equals, notEquals, in, notIn or isNull"
	switch info.kind.family {
	case familyText, familyPadded, familyAsText:
		return textComparison(info, ordered)
	case familyEnum:
		if c.read = readText; ordered {
			c.read, c.plain = readLabel(info.labels), "write a label of the type"
		}
	case familyUUID:
		c.read, c.plain = readUUID, "write it in lower case with its four hyphens"
	case familyInt2, familyInt4, familyInt8:
		c.read, c.plain = readInt, "write its digits"
	case familyNumeric:
		c.read, c.order, c.plain = readDecimal, compareDecimals, "write its digits"
	case familyFloat:
		c.read, c.plain = readFloat(info.kind.bits()), "write its digits"
	case familyBool:
		c.read = readBool
	case familyOther:
		return otherComparison(info.kind)
	}
	c.literal = c.read
	return c, fix
}

// textComparison returns how texts compare.
func textComparison(info columnInfo, ordered bool) (c comparison, fix string) {
	c.order, fix = compareScalars, "use equals, notEquals, in, notIn or isNull"
	folds := info.kind.folds()
	switch {
	case !info.text.exact:
		return c, "use a column whose collation is deterministic"
	case ordered && (!info.text.bytewise || folds && info.text.folds != foldAll):
		return c, fix + `, or a column with COLLATE "C"`
	case folds:
		c.order = compareFolded(info.text.folds)
	}
	if c.read = readText; info.kind.family == familyPadded {
		c.read = readPadded
	}
	c.literal = c.read
	return c, fix
}

// folds reports whether the type is the one in which case does not count.
func (k kind) folds() bool { return k.name == "citext" && k.schema != "pg_catalog" }

// bits returns the size of a float.
func (k kind) bits() int {
	if k.name == "float4" {
		return 32
	}
	return 64
}

// otherComparison returns how values of types compare that are no ids.
func otherComparison(k kind) (c comparison, fix string) {
	c.order = compareScalars
	if k.schema == "pg_catalog" {
		switch k.name {
		case "date":
			c.read, c.literal, c.plain = readDate, readDate, "write it as 2006-01-02"
		case "time":
			c.read, c.literal, c.plain = readClock, readClock, "write it as 15:04:05"
		case "timestamp":
			c.read, c.literal, c.plain = readTimestamp(zoneNone), readTimestamp(zoneIgnored), "write it as 2006-01-02T15:04:05"
		case "timestamptz":
			c.read, c.literal = readTimestamp(zoneNeeded), readTimestamp(zoneNeeded)
			c.plain = "write it as 2006-01-02T15:04:05Z, or with another offset from UTC"
		case "bytea":
			c.read, c.literal, c.plain = readBytes, literalBytes, `write it as \x and hexadecimal digits`
		}
	}
	return c, "use isNull, or a column of another type"
}
