package access

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// CheckDatabase returns every mistake of a declaration that shows against a database: tables and columns that are
// missing or may not be read, keys that are not unique, values that do not fit the type of their column. What Check
// refuses is left out. The error means that the database did not answer.
func CheckDatabase(ctx context.Context, db Querier, s *Schema, rooms map[string]*RoomRule) ([]Problem, error) {
	if s == nil {
		s = &Schema{}
	}
	b, err := bind(ctx, db, s)
	if err != nil {
		return nil, err
	}
	b.rooms(rooms)
	return b.problems, nil
}

// tableNames returns the tables that a schema names, each once. Names that are none are left out.
func (s *Schema) tableNames() []string {
	var names []string
	for _, f := range s.Features {
		if f == nil {
			continue
		}
		for _, t := range f.Tables {
			if t != nil {
				names = append(names, t.SQL)
			}
		}
	}
	for _, r := range s.Relationships {
		if r != nil {
			names = append(names, r.From)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return slices.DeleteFunc(names, func(name string) bool { return !validTable(name) })
}

// resolve returns the table that a reference means and the column of its key, nil if it means none.
func (r ResourceRef) resolve(s *Schema) (t *Table, key string) {
	key = r.Key
	if key == "" {
		key = defaultKey
	}
	f := s.Features[r.Feature]
	if f == nil {
		return nil, key
	}
	if r.Table != "" {
		return f.Tables[r.Table], key
	}
	if len(f.Tables) == 1 {
		for _, t := range f.Tables {
			return t, key
		}
	}
	return nil, key
}

// binder holds a declaration against a catalogue.
type binder struct {
	catalogue *catalogue
	schema    *Schema
	problems  []Problem
	probes    []probe
}

// bind reads the catalogue and checks the schema, but not the rooms.
func bind(ctx context.Context, db Querier, s *Schema) (*binder, error) {
	c, err := loadCatalogue(ctx, db, s.tableNames())
	if err != nil {
		return nil, err
	}
	b := &binder{catalogue: c, schema: s}
	for _, name := range sortedKeys(s.Features) {
		if f := s.Features[name]; f != nil {
			for _, table := range sortedKeys(f.Tables) {
				b.table(path{"resources", name, "tables", table}, f.Tables[table])
			}
		}
	}
	for _, name := range sortedKeys(s.Relationships) {
		if r := s.Relationships[name]; r != nil {
			b.relationship(path{"relationships", name}, r)
		}
	}
	return b, b.probe(ctx, db)
}

func (b *binder) report(p path, message, fix string) {
	b.problems = append(b.problems, Problem{Path: p, Message: message, Fix: fix})
}

// find returns the table of the database, nil if there is none that can be used.
func (b *binder) find(p path, name string) *tableInfo {
	if !validTable(name) {
		return nil // Check says so
	}
	t := b.catalogue.tables[name]
	switch {
	case t == nil:
		b.report(p, fmt.Sprintf("the database has no table %q", name), "create it, correct the name, or put its schema before it: schema.table")
	case !t.usable:
		b.report(p, fmt.Sprintf("the database role may not use the schema %q", t.schema), fmt.Sprintf("GRANT USAGE ON SCHEMA %s", quote(t.schema)))
		return nil
	}
	return t
}

// column returns a column of a table, and false if it cannot be used.
func (b *binder) column(p path, t *tableInfo, name string) (columnInfo, bool) {
	if !validName(name) {
		return columnInfo{}, false // Check says so
	}
	c, ok := t.columns[name]
	switch {
	case !ok:
		b.report(p, fmt.Sprintf("table %s.%s has no column %q", t.schema, t.name, name), "use one of: "+strings.Join(sortedKeys(t.columns), ", "))
	case !c.readable:
		b.report(p, fmt.Sprintf("the database role may not read column %q of %s.%s", name, t.schema, t.name),
			fmt.Sprintf("GRANT SELECT (%s) ON %s", quote(name), t.sql()))
		return c, false
	}
	return c, ok
}

func (b *binder) table(p path, t *Table) {
	if t == nil {
		return
	}
	info := b.find(p.at("table"), t.SQL)
	if info == nil {
		return
	}
	for i, c := range t.Firewall {
		at := p.at("firewall").index(i)
		if c.Via == "" {
			b.test(at, at.at("field"), info, Test{Field: c.Field, Op: c.Op, Value: c.Value})
			continue
		}
		b.via(at, info, c)
	}
	b.condition(p.at("read", "access", "record"), info, t.Read.Record)
	b.condition(p.at("write", "access", "record"), info, t.Write.Record)
}

func (b *binder) condition(p path, t *tableInfo, c *Condition) {
	if c == nil {
		return
	}
	for _, test := range c.Tests {
		b.test(p.at(test.Field), p.at(test.Field), t, test)
	}
	for i, part := range c.And {
		b.condition(p.at("and").index(i), t, part)
	}
	for i, part := range c.Or {
		b.condition(p.at("or").index(i), t, part)
	}
}

func (b *binder) relationship(p path, r *Relationship) {
	t := b.find(p.at("from"), r.From)
	if t == nil {
		return
	}
	b.column(p.at("resource", "column"), t, r.ResourceColumn)
	subject := p.at("subject")
	b.test(subject, subject.at("column"), t, Test{Field: r.SubjectColumn, Op: OpEquals, Value: r.Subject})
	for _, test := range r.Where {
		at := p.at("where", test.Field)
		b.test(at, at, t, test)
	}
}

// via checks that the two ends of a relationship can be equal.
func (b *binder) via(p path, t *tableInfo, c Clause) {
	column, ok := b.column(p.at("field"), t, c.Field)
	r := b.schema.Relationships[c.Via]
	if !ok || r == nil {
		return
	}
	if from := b.catalogue.tables[r.From]; from.has(r.ResourceColumn) {
		b.probes = append(b.probes, probe{
			path: p.at("via"), left: column.kind, right: from.columns[r.ResourceColumn].kind, op: "=",
			fix: "use columns of one type",
		})
	}
}

// test checks a comparison. p is its path, field that of its column.
func (b *binder) test(p, field path, t *tableInfo, test Test) {
	c, ok := b.column(field, t, test.Field)
	if !ok || test.Op == OpIsNull {
		return
	}
	at := p.at(string(test.Op))
	if list, ok := test.Value.Literal.([]any); ok {
		for i, v := range list {
			b.literal(at.index(i), c.kind, OpEquals, v)
		}
		return
	}
	if test.Value.Ctx == "" {
		b.literal(at, c.kind, test.Op, test.Value.Literal)
		return
	}
	ordered := test.Op != OpEquals && test.Op != OpNotEquals
	if isCtx(test.Value.Ctx) && (!c.kind.family.dynamic() || ordered && c.kind.family == familyEnum) {
		b.report(at, fmt.Sprintf("ctx.%s cannot be compared with column %q of type %s", test.Value.Ctx, test.Field, c.kind.name),
			"use a column of type text, varchar, uuid, numeric or of an integer type; of an enum only equals and notEquals")
	}
}

// literal checks that a value fits its column, and leaves to the database what only it knows.
func (b *binder) literal(p path, k kind, op Operator, v any) {
	text, ok := literalText(v)
	sql, known := comparisons[op]
	switch {
	case !ok || !known || k.family == familyAsText && literalFits(v, k.family):
		return // Check says so, or every text fits
	case !literalFits(v, k.family):
		b.report(p, fmt.Sprintf("%v cannot be compared with a column of type %s", v, k.name), fitting(k.family))
		return
	}
	b.probes = append(b.probes, probe{path: p, left: k, right: k, op: sql, literal: &text, fix: "write a value of that type"})
}

// fitting says what literals a family takes.
func fitting(f family) string {
	switch {
	case f == familyBool:
		return "write true or false, without quotes"
	case f.numeric():
		return "write a number"
	}
	return "write it as a text, in quotes"
}

// rooms checks the keys of resources.
func (b *binder) rooms(rooms map[string]*RoomRule) {
	for _, name := range sortedKeys(rooms) {
		r := rooms[name]
		if r == nil {
			continue
		}
		p := path{"rooms", name, "access"}
		if r.Resource != nil {
			b.key(p, *r.Resource)
		}
		if r.Pattern != nil {
			for _, kind := range sortedKeys(r.Pattern.Resources) {
				b.key(p.at("resources", kind), r.Pattern.Resources[kind])
			}
		}
	}
}

// key checks that room ids can be values of the column, and that each names one row.
func (b *binder) key(p path, ref ResourceRef) {
	table, key := ref.resolve(b.schema)
	if table == nil || b.catalogue.tables[table.SQL] == nil {
		return // said before
	}
	p = p.at("resource", "key")
	t := b.catalogue.tables[table.SQL]
	c, ok := b.column(p, t, key)
	switch {
	case !ok:
	case !c.kind.family.dynamic():
		b.report(p, fmt.Sprintf("column %q of type %s cannot be the key of rooms", key, c.kind.name),
			"use a column of type text, varchar, uuid, numeric or of an integer type")
	case !c.unique:
		b.report(p, fmt.Sprintf("column %q of %s.%s is not unique: a room id could name several rows", key, t.schema, t.name),
			fmt.Sprintf("CREATE UNIQUE INDEX ON %s (%s), without a WHERE, or name another key", t.sql(), quote(key)))
	}
}

// probe is a question on types that only the database can answer.
type probe struct {
	path        path
	left, right kind
	op          string
	literal     *string // a value of both; nil: whether they compare is all
	fix         string
}

// sql returns a query that fails where the answer is no.
func (p *probe) sql() string {
	return "SELECT $1::text::" + p.left.sql() + " " + p.op + " $1::text::" + p.right.sql()
}

// probe asks the database what was left to it.
func (b *binder) probe(ctx context.Context, db Querier) error {
	for _, p := range b.probes {
		rows, err := db.Query(ctx, p.sql(), p.literal)
		if err == nil {
			_, err = pgx.ForEachRow(rows, []any{nil}, func() error { return nil })
		}
		var said *pgconn.PgError
		switch {
		case err == nil:
		case errors.As(err, &said) && p.literal != nil && strings.HasPrefix(said.Code, "22"): // data exceptions
			b.report(p.path, fmt.Sprintf("%.80q is no value of type %s: %s", *p.literal, p.left.name, said.Message), p.fix)
		case errors.As(err, &said) && strings.HasPrefix(said.Code, "42"): // no such operator, or not for us
			b.report(p.path, fmt.Sprintf("type %s has no %s with type %s: %s", p.left.name, p.op, p.right.name, said.Message), p.fix)
		default:
			return fmt.Errorf("compare types: %w", err)
		}
	}
	return nil
}
