package access

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/yserverd/yserverd/gate"
)

// defaultKey is the column that room ids are values of, where a rule names none.
const defaultKey = "id"

// errTwice is why nothing is decided: which of the rows is meant, nobody can say.
var errTwice = errors.New("two rows have one key")

// target is a resource as rooms reach it: its rules, and the queries of a row with a given key. It is immutable.
type target struct {
	read, write roles
	needs       []need
	key         source
	hide        bool
	single      query
	many        query // with its parameters behind those of others
}

// need is what a firewall wants from a caller before there is anything to ask the database.
type need struct {
	value   source
	missing bool // a value that the column cannot hold is enough: the clause lets NULL through
}

// query is a text of SQL with its parameters.
type query struct {
	sql     string
	sources []source
}

// row is what a query has found.
type row struct {
	found       bool
	read, write bool // the conditions of the rules hold
}

// targetSpec is what a target is made of.
type targetSpec struct {
	table     *Table
	key       string // column
	base      int    // parameters that the query for many has before its own
	catalogue *catalogue
	schema    *Schema
}

func newTarget(s targetSpec) (*target, error) {
	info := s.catalogue.tables[s.table.SQL]
	if !info.has(s.key) {
		return nil, fmt.Errorf("table %q or its column %q is missing", s.table.SQL, s.key)
	}
	k := info.columns[s.key].kind
	if !k.family.dynamic() {
		return nil, fmt.Errorf("column %q of type %s cannot be a key", s.key, k.name)
	}
	t := &target{
		read:  expandRoles(s.table.Read.Roles, s.schema.RoleHierarchy),
		write: expandRoles(s.table.Write.Roles, s.schema.RoleHierarchy),
		key:   source{of: fromKey, family: k.family},
		hide:  s.table.Hide,
	}
	var err error
	if t.single, err = s.query(info, t.key, false); err != nil {
		return nil, err
	}
	if t.many, err = s.query(info, t.key, true); err != nil {
		return nil, err
	}
	t.needs, err = s.needs(info)
	return t, err
}

// query returns the query of a row: its key, as text, and whether the conditions of the rules hold for it.
func (s *targetSpec) query(info *tableInfo, key source, batch bool) (query, error) {
	l := &lowering{catalogue: s.catalogue, relations: s.schema.Relationships, batch: batch}
	if batch {
		l.base = s.base + 1 // the callers' numbers
	}
	column := "t." + quote(s.key)
	left, right := l.operand(column, info.columns[s.key].kind, key)
	where := []string{left + " = " + right}
	for _, c := range s.table.Firewall {
		sql, err := l.clause(info, c)
		if err != nil {
			return query{}, err
		}
		where = append(where, sql)
	}
	columns := []string{column + "::text"}
	for _, c := range []*Condition{s.table.Read.Record, s.table.Write.Record} {
		sql := "TRUE"
		if c != nil {
			var err error
			if sql, err = l.condition(info, c); err != nil {
				return query{}, err
			}
		}
		columns = append(columns, "coalesce("+sql+", FALSE)")
	}
	from := info.sql() + " AS t"
	if batch {
		columns = append([]string{"a.n"}, columns...)
		from = l.callers() + " JOIN " + from + " ON " + where[0]
		where = append([]string{"TRUE"}, where[1:]...)
	}
	sql := "SELECT " + strings.Join(columns, ", ") + " FROM " + from + " WHERE " + strings.Join(where, " AND ")
	return query{sql: sql, sources: l.sources}, nil
}

// callers returns the table of callers: n, and a column for each value that differs between them. Call it last.
func (l *lowering) callers() string {
	arrays, columns := []string{"$" + strconv.Itoa(l.base) + "::int4[]"}, []string{"n"}
	for i, s := range l.sources {
		if s.of != fromLiteral {
			arrays = append(arrays, "$"+strconv.Itoa(l.base+i+1)+"::text[]")
			columns = append(columns, "v"+strconv.Itoa(i))
		}
	}
	return "unnest(" + strings.Join(arrays, ", ") + ") AS a(" + strings.Join(columns, ", ") + ")"
}

// needs returns what the firewall wants from a caller.
func (s *targetSpec) needs(info *tableInfo) ([]need, error) {
	var needs []need
	add := func(t *tableInfo, test Test, orNull bool) error {
		if test.Value.Ctx == "" {
			return nil
		}
		value, err := operandSource(test.Value, t.columns[test.Field].kind)
		needs = append(needs, need{value, orNull})
		return err
	}
	for _, c := range s.table.Firewall {
		if err := add(info, Test{Field: c.Field, Op: c.Op, Value: c.Value}, c.OrNull); err != nil {
			return nil, err
		}
		if c.Via == "" {
			continue
		}
		r := s.schema.Relationships[c.Via]
		from := s.catalogue.tables[r.From]
		for _, test := range append([]Test{{Field: r.SubjectColumn, Value: r.Subject}}, r.Where...) {
			if err := add(from, test, false); err != nil {
				return nil, err
			}
		}
	}
	return needs, nil
}

// admit refuses a caller who may not read any row: without identity, or without the roles.
func (t *target) admit(id *gate.Identity) *gate.Refusal {
	switch {
	case t.read.pass(id):
		return nil
	case !id.Authenticated():
		return gate.RefuseMissing()
	}
	return gate.RefuseRole()
}

// ready reports whether there can be a row: the key is one, and the caller has every value that the firewall compares.
// No query is made where it is false.
func (t *target) ready(id *gate.Identity, key string) bool {
	if t.key.value(id, key) == nil {
		return false
	}
	for _, n := range t.needs {
		if ctxValue(id, n.value.text) == "" || !n.missing && n.value.value(id, key) == nil {
			return false
		}
	}
	return true
}

// decide says what a caller who is admitted may do with a row.
func (t *target) decide(id *gate.Identity, r row, room *writeRule) (gate.Decision, *gate.Refusal) {
	admin := isAdmin(id)
	switch {
	case !r.found && t.hide:
		return gate.Decision{}, gate.RefuseNotFound()
	case !r.found:
		return gate.Decision{}, gate.RefuseFirewall()
	case !r.read && !admin:
		return gate.Decision{}, gate.RefuseCondition()
	}
	return room.decide(id, t.write.pass(id) && (r.write || admin)), nil
}

// see takes a row with a key for the one that a room id names. PostgreSQL finds other spellings too (07, another case),
// and those are rows of other rooms.
func (r *row) see(found, wanted string, read, write bool) error {
	if found != wanted {
		return nil
	}
	if r.found {
		return errTwice
	}
	*r = row{true, read, write}
	return nil
}
