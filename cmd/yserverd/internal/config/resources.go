package config

import (
	"slices"
	"strconv"

	"github.com/yserverd/yserverd/gate/access"
)

// Resources are the tables of the application, by feature.
type Resources map[string]*access.Feature

// Relationships are the tables that relate callers to rows, by name.
type Relationships map[string]*access.Relationship

// decodeFrom implements decoder.
func (r *Resources) decodeFrom(l *loader, at path, v any) {
	m, ok := l.mapping(at, v)
	if !ok {
		return
	}
	*r = make(Resources, len(m))
	for name, v := range m {
		(*r)[name] = l.feature(at.at(name), name, v)
	}
}

// feature reads the tables of a feature, or the one table that it is short for.
func (l *loader) feature(at path, name string, v any) *access.Feature {
	f := &access.Feature{Tables: make(map[string]*access.Table)}
	m, ok := l.mapping(at, v)
	if !ok {
		return f
	}
	tables, long := m["tables"]
	if !long {
		l.shorthands[at.at("tables").at(name).join()] = at
		f.Tables[name] = l.resource(at, name, v)
		return f
	}
	for key := range m {
		if key != "tables" {
			l.reject(at.at(key), "belongs to a table, below tables: a feature that lists its tables has no other key")
		}
	}
	at = at.at("tables")
	if m, ok = l.mapping(at, tables); !ok {
		return f
	}
	if len(m) == 0 {
		l.reject(at, "is empty: want a table, or nothing for the one table that has the feature's name")
	}
	for table, v := range m {
		f.Tables[table] = l.resource(at.at(table), table, v)
	}
	return f
}

// tableFields is a table as it stands in the file.
type tableFields struct {
	Table     string    `koanf:"table"`
	Firewall  firewall  `koanf:"firewall"`
	Exception bool      `koanf:"exception"`
	ErrorMode string    `koanf:"errorMode"`
	Read      ruleField `koanf:"read"`
	Write     ruleField `koanf:"write"`
}

// resource reads a table.
func (l *loader) resource(at path, name string, v any) *access.Table {
	fields := tableFields{Table: name}
	l.into(at, v, &fields)
	t := &access.Table{
		SQL: fields.Table, Firewall: fields.Firewall.clauses, Read: fields.Read.rule, Write: fields.Write.rule,
		Exception: fields.Exception || fields.Firewall.exception,
	}
	inside := at.at("firewall")
	for i, file := range fields.Firewall.files {
		clause := inside.at("[" + strconv.Itoa(i) + "]")
		l.aliases[clause.join()] = inside.at(file)
		l.aliases[clause.at("field").join()] = inside.at(file).at("column")
		l.aliases[clause.at(string(fields.Firewall.clauses[i].Op)).join()] = inside.at(file)
	}
	if fields.Firewall.exception {
		l.aliases[at.at("exception").join()] = inside.at("exception")
	}
	mode, stands := fields.ErrorMode, at.at("errorMode")
	if fields.Firewall.errorMode != "" {
		mode, stands = fields.Firewall.errorMode, inside.at("errorMode")
		if fields.ErrorMode != "" {
			l.fail(stands, "is beside the firewall too: want it once")
		}
	}
	if mode != "" {
		l.oneOf(stands, mode, "reveal", "hide")
	}
	t.Hide = mode == "hide"
	return t
}

// firewall is the rows that a caller may know of, as a mapping of the usual scopes or as a list of conditions.
type firewall struct {
	clauses   []access.Clause
	files     []string // of each clause of a mapping, the key that it stands at; none for a list
	exception bool
	errorMode string
}

// scopeFields is one scope of a firewall in its form as a mapping.
type scopeFields struct {
	Column string `koanf:"column"`
	Mode   string `koanf:"mode"`
}

// scopes are the keys of a firewall as a mapping, with what they compare to.
var scopes = []struct{ key, ctx string }{
	{"organization", access.CtxActiveOrgID}, {"owner", access.CtxUserID}, {"team", access.CtxActiveTeamID}, {"softDelete", ""},
}

// decodeFrom implements decoder.
func (f *firewall) decodeFrom(l *loader, at path, v any) {
	if list, ok := v.([]any); ok {
		for i, v := range list {
			if c, ok := l.clause(at.at("["+strconv.Itoa(i)+"]"), v); ok {
				f.clauses = append(f.clauses, c)
			}
		}
		return
	}
	m, ok := v.(map[string]any)
	if !ok {
		l.reject(at, "want scopes such as {organization: {column: organization_id}}, or a list of conditions, got "+kind(v))
		return
	}
	known := []string{"exception", "errorMode"}
	for _, s := range scopes {
		known = append(known, s.key)
		v, ok := m[s.key]
		if !ok {
			continue
		}
		if c, ok := l.scope(at.at(s.key), s.ctx, v); ok {
			f.clauses, f.files = append(f.clauses, c), append(f.files, s.key)
		}
	}
	for key, v := range m {
		switch step := at.at(key); {
		case key == "exception":
			l.into(step, v, &f.exception)
		case key == "errorMode":
			l.into(step, v, &f.errorMode)
		case !slices.Contains(known, key):
			l.unknown(step, known)
		}
	}
}

// scope reads one scope of a mapping; without ctx it is that of rows that are not deleted.
func (l *loader) scope(at path, ctx string, v any) (access.Clause, bool) {
	var fields scopeFields
	if _, ok := l.mapping(at, v); !ok {
		return access.Clause{}, false
	}
	l.into(at, v, &fields)
	if fields.Column == "" {
		l.reject(at.at("column"), "is missing: want the column to compare")
		return access.Clause{}, false
	}
	if fields.Mode != "" {
		if ctx == access.CtxUserID {
			l.oneOf(at.at("mode"), fields.Mode, "required", "optional")
		} else {
			l.fail(at.at("mode"), "belongs to owner")
		}
	}
	if ctx == "" {
		return access.Clause{Field: fields.Column, Op: access.OpIsNull, Value: access.Operand{Literal: true}}, true
	}
	return access.Clause{
		Field: fields.Column, Op: access.OpEquals, Value: access.Operand{Ctx: ctx}, Scope: true, OrNull: fields.Mode == "optional",
	}, true
}

// clause reads one condition of a list: {field, <operator>: value} or {field, via}.
func (l *loader) clause(at path, v any) (c access.Clause, ok bool) {
	m, ok := l.mapping(at, v)
	if !ok {
		return c, false
	}
	found := 0
	for key, v := range m {
		step := at.at(key)
		switch {
		case key == "field":
			l.into(step, v, &c.Field)
		case key == "via":
			found++
			l.into(step, v, &c.Via)
			c.Scope = true
		case isOperator(key):
			found++
			if c.Op = access.Operator(key); !l.operand(step, c.Op, v, &c.Value) {
				ok = false
			}
			// what only excludes the caller's own, or reaches past it, does not narrow to the caller
			c.Scope = c.Scope || c.Value.Ctx != "" && (c.Op == access.OpEquals || c.Op == access.OpIn)
		default:
			ok = false
			l.unknown(step, append(operatorNames(), "field", "via"))
		}
	}
	if !ok {
		return c, false
	}
	if c.Field == "" {
		l.reject(at.at("field"), "is missing: want the column to compare")
		return c, false
	}
	if found != 1 {
		l.reject(at, "want one condition: {field: <column>, equals: ctx.activeOrgId}, or another operator, or via")
		return c, false
	}
	return c, true
}

// decodeFrom implements decoder.
func (r *Relationships) decodeFrom(l *loader, at path, v any) {
	m, ok := l.mapping(at, v)
	if !ok {
		return
	}
	*r = make(Relationships, len(m))
	for name, v := range m {
		(*r)[name] = l.relationship(at.at(name), v)
	}
}

// relationship reads one relationship.
func (l *loader) relationship(at path, v any) *access.Relationship {
	var fields struct {
		From     string       `koanf:"from"`
		Subject  subjectField `koanf:"subject"`
		Resource struct {
			Column string `koanf:"column"`
		} `koanf:"resource"`
		Where testsField `koanf:"where"`
	}
	l.into(at, v, &fields)
	if fields.From == "" {
		l.reject(at.at("from"), "is missing: want the table that relates callers to rows")
	}
	if !fields.Subject.set {
		l.reject(at.at("subject"), "is missing: want {column: <column>, equals: ctx.userId}")
	}
	if fields.Resource.Column == "" {
		l.reject(at.at("resource").at("column"), "is missing: want the column that has the row's key")
	}
	return &access.Relationship{
		From: fields.From, SubjectColumn: fields.Subject.column, Subject: fields.Subject.operand,
		ResourceColumn: fields.Resource.Column, Where: fields.Where.tests,
	}
}

// subjectField is the column of a relationship that has the caller.
type subjectField struct {
	column  string
	operand access.Operand
	set     bool
}

// decodeFrom implements decoder.
func (s *subjectField) decodeFrom(l *loader, at path, v any) {
	m, ok := l.mapping(at, v)
	if !ok {
		return
	}
	s.set = true
	known := []string{"column", "equals"}
	for key, v := range m {
		switch step := at.at(key); key {
		case "column":
			l.into(step, v, &s.column)
		case "equals":
			l.operand(step, access.OpEquals, v, &s.operand)
		default:
			l.unknown(step, known)
		}
	}
	if s.column == "" {
		l.reject(at.at("column"), "is missing: want the column that has the caller")
	}
	if s.operand == (access.Operand{}) {
		l.reject(at.at("equals"), "is missing: want ctx.userId, or another value of the caller")
	}
}
