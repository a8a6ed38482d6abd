package access

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/yserverd/yserverd/gate"
)

// sourceOf says where a value of a query comes from.
type sourceOf uint8

const (
	fromLiteral sourceOf = iota
	fromKey              // the row's key, of the room's id
	fromCtx              // a value of the caller
)

// source is a value of a query: a parameter, since nothing but quoted identifiers is ever part of the text.
type source struct {
	of     sourceOf
	text   string // the literal, or the name of the caller's value
	family family // of the column that it is compared with; not for literals
}

// value returns the value for a caller and a key, nil (NULL) if there is none that the column's type can hold.
func (s source) value(id *gate.Identity, key string) *string {
	text := key
	switch s.of {
	case fromLiteral:
		return &s.text
	case fromCtx:
		text = ctxValue(id, s.text)
	}
	if !s.family.accepts(text) {
		return nil
	}
	return &text
}

// lowering turns conditions into SQL, one query at a time. The text of a query for one caller has its values as $1, $2,
// …; for many callers those that differ are columns of a table "a" of callers, and the rest are parameters.
type lowering struct {
	catalogue *catalogue
	relations map[string]*Relationship
	batch     bool
	base      int // parameters that are others'
	sources   []source
}

// ref returns the SQL of a value, as text.
func (l *lowering) ref(s source) string {
	at := -1
	for i, other := range l.sources {
		if other == s {
			at = i
		}
	}
	if at < 0 {
		at = len(l.sources)
		l.sources = append(l.sources, s)
	}
	if l.batch && s.of != fromLiteral {
		return "a.v" + strconv.Itoa(at)
	}
	return "$" + strconv.Itoa(l.base+at+1) + "::text"
}

// operand returns the SQL of a column and of what it is compared with.
func (l *lowering) operand(column string, k kind, s source) (left, right string) {
	right = l.ref(s)
	if k.family == familyAsText || k.family == familyEnum && s.of != fromLiteral {
		return column + "::text", right
	}
	return column, right + "::" + k.sql()
}

// comparisons are the operators of SQL.
var comparisons = map[Operator]string{
	OpEquals: "=", OpNotEquals: "<>", OpLessThan: "<", OpGreaterThan: ">",
	OpLessThanOrEqual: "<=", OpGreaterThanOrEqual: ">=",
}

// test returns the SQL of one comparison. It is never true for a NULL column, unless that is what it asks for, nor for
// a value that is NULL: conditions are made of AND and OR alone, which keep that.
func (l *lowering) test(t *tableInfo, alias string, test Test) (string, error) {
	c, ok := t.columns[test.Field]
	if !ok {
		return "", fmt.Errorf("column %q is missing", test.Field)
	}
	column := alias + "." + quote(test.Field)
	switch test.Op {
	case OpIsNull:
		return nullTest(column, test.Value.Literal)
	case OpIn, OpNotIn:
		return l.list(column, c.kind, test)
	}
	op, ok := comparisons[test.Op]
	if !ok {
		return "", fmt.Errorf("unknown operator %q", test.Op)
	}
	s, err := operandSource(test.Value, c.kind)
	if err != nil {
		return "", err
	}
	left, right := l.operand(column, c.kind, s)
	return left + " " + op + " " + right, nil
}

// nullTest returns the SQL of OpIsNull.
func nullTest(column string, literal any) (string, error) {
	want, ok := literal.(bool)
	switch {
	case !ok:
		return "", fmt.Errorf("isNull takes true or false, not %v", literal)
	case want:
		return column + " IS NULL", nil
	}
	return column + " IS NOT NULL", nil
}

// list returns the SQL of OpIn and OpNotIn.
func (l *lowering) list(column string, k kind, test Test) (string, error) {
	list, ok := test.Value.Literal.([]any)
	if !ok || len(list) == 0 {
		return "", fmt.Errorf("%s takes a list with something in it", test.Op)
	}
	left, rights := "", make([]string, len(list))
	for i, v := range list {
		s, err := operandSource(Operand{Literal: v}, k)
		if err != nil {
			return "", err
		}
		left, rights[i] = l.operand(column, k, s)
	}
	op := " IN ("
	if test.Op == OpNotIn {
		op = " NOT IN ("
	}
	return left + op + strings.Join(rights, ", ") + ")", nil
}

// operandSource returns what a column of a kind is compared with.
func operandSource(o Operand, k kind) (source, error) {
	if o.Ctx != "" {
		if !isCtx(o.Ctx) || !k.family.dynamic() {
			return source{}, fmt.Errorf("ctx.%s cannot be compared with type %s", o.Ctx, k.name)
		}
		return source{of: fromCtx, text: o.Ctx, family: k.family}, nil
	}
	text, ok := literalText(o.Literal)
	if !ok || !literalFits(o.Literal, k.family) {
		return source{}, fmt.Errorf("%v cannot be compared with type %s", o.Literal, k.name)
	}
	return source{of: fromLiteral, text: text}, nil
}

// clause returns the SQL of one clause of a firewall.
func (l *lowering) clause(t *tableInfo, c Clause) (string, error) {
	if c.Via != "" {
		return l.via(t, c)
	}
	sql, err := l.test(t, "t", Test{Field: c.Field, Op: c.Op, Value: c.Value})
	if err == nil && c.OrNull {
		sql = "(" + sql + " OR t." + quote(c.Field) + " IS NULL)"
	}
	return sql, err
}

// via returns the SQL of a relationship.
func (l *lowering) via(t *tableInfo, c Clause) (string, error) {
	r, ok := l.relations[c.Via]
	if !ok {
		return "", fmt.Errorf("relationship %q is not declared", c.Via)
	}
	from := l.catalogue.tables[r.From]
	if !t.has(c.Field) || !from.has(r.ResourceColumn) {
		return "", fmt.Errorf("relationship %q: table or column is missing", c.Via)
	}
	tests := append([]Test{{Field: r.SubjectColumn, Op: OpEquals, Value: r.Subject}}, r.Where...)
	where := make([]string, len(tests))
	for i, test := range tests {
		sql, err := l.test(from, "r", test)
		if err != nil {
			return "", fmt.Errorf("relationship %q: %w", c.Via, err)
		}
		where[i] = sql
	}
	return fmt.Sprintf("t.%s IN (SELECT r.%s FROM %s AS r WHERE %s)",
		quote(c.Field), quote(r.ResourceColumn), from.sql(), strings.Join(where, " AND ")), nil
}

// condition returns the SQL of a condition on the row.
func (l *lowering) condition(t *tableInfo, c *Condition) (string, error) {
	var all []string
	for _, test := range c.Tests {
		sql, err := l.test(t, "t", test)
		if err != nil {
			return "", err
		}
		all = append(all, sql)
	}
	for _, part := range c.And {
		sql, err := l.condition(t, part)
		if err != nil {
			return "", err
		}
		all = append(all, sql)
	}
	if c.Or != nil {
		one := []string{"FALSE"}
		for _, part := range c.Or {
			sql, err := l.condition(t, part)
			if err != nil {
				return "", err
			}
			one = append(one, sql)
		}
		all = append(all, "("+strings.Join(one, " OR ")+")")
	}
	if len(all) == 0 {
		return "TRUE", nil
	}
	return "(" + strings.Join(all, " AND ") + ")", nil
}
