package config

import (
	"slices"
	"strconv"
	"strings"

	"github.com/yserverd/yserverd/gate/access"
)

// operators are those that a condition can have.
var operators = []access.Operator{
	access.OpEquals, access.OpNotEquals, access.OpIn, access.OpNotIn, access.OpLessThan, access.OpGreaterThan,
	access.OpLessThanOrEqual, access.OpGreaterThanOrEqual, access.OpIsNull,
}

// isOperator reports whether a key is an operator.
func isOperator(key string) bool { return slices.Contains(operators, access.Operator(key)) }

// operatorNames returns the operators as keys.
func operatorNames() []string {
	names := make([]string, len(operators))
	for i, o := range operators {
		names[i] = string(o)
	}
	return names
}

// spellings are other names of operators, by what they mean here.
var spellings = map[string]access.Operator{
	"eq": access.OpEquals, "=": access.OpEquals, "==": access.OpEquals, "is": access.OpEquals,
	"ne": access.OpNotEquals, "neq": access.OpNotEquals, "!=": access.OpNotEquals, "<>": access.OpNotEquals, "not": access.OpNotEquals,
	"nin": access.OpNotIn, "not_in": access.OpNotIn, "oneOf": access.OpIn,
	"lt": access.OpLessThan, "<": access.OpLessThan, "gt": access.OpGreaterThan, ">": access.OpGreaterThan,
	"lte": access.OpLessThanOrEqual, "<=": access.OpLessThanOrEqual, "gte": access.OpGreaterThanOrEqual, ">=": access.OpGreaterThanOrEqual,
	"null": access.OpIsNull,
}

// unknownOperator reports a key that should be an operator.
func (l *loader) unknownOperator(at path) {
	key := at[len(at)-1]
	if meant, ok := spellings[strings.TrimPrefix(key, "$")]; ok {
		l.reject(at, "unknown operator, did you mean "+string(meant)+"?")
		return
	}
	if meant, ok := nearest(key, operatorNames()); ok {
		l.reject(at, "unknown operator, did you mean "+meant+"?")
		return
	}
	l.reject(at, "unknown operator: want one of "+strings.Join(operatorNames(), ", "))
}

// ctxNames are the values of a caller that a condition may name.
var ctxNames = []string{access.CtxUserID, access.CtxActiveOrgID, access.CtxActiveTeamID, access.CtxUserRole}

// ctxValue reads "ctx.<name>". isCtx reports whether the text wants to be one; a name that there is none of is reported.
func (l *loader) ctxValue(at path, text string) (name string, isCtx bool) {
	name, isCtx = strings.CutPrefix(text, "ctx.")
	if !isCtx {
		name, isCtx = strings.CutPrefix(text, "$ctx.")
		if isCtx && slices.Contains(ctxNames, name) {
			l.reject(at, "is written without the $: ctx."+name)
			return "", true
		}
	}
	if !isCtx || slices.Contains(ctxNames, name) {
		return name, isCtx
	}
	if meant, ok := nearest(name, ctxNames); ok {
		l.reject(at, "unknown value of the caller, did you mean ctx."+meant+"?")
	} else {
		l.reject(at, "unknown value of the caller: want ctx."+strings.Join(ctxNames, ", ctx."))
	}
	return "", true
}

// operand reads what an operator compares with, and reports whether it can.
func (l *loader) operand(at path, op access.Operator, v any, dst *access.Operand) bool {
	list, isList := v.([]any)
	s, isScalar := v.(Scalar)
	switch {
	case op == access.OpIsNull:
		null := true
		l.into(at, v, &null)
		dst.Literal = null
		return !l.undecoded[at.join()]
	case op == access.OpIn || op == access.OpNotIn:
		if !isList {
			l.reject(at, "want a list of values, got "+kind(v))
			return false
		}
		return l.literals(at, list, dst)
	case isList:
		l.reject(at, "want one value, got a list: in and notIn take lists")
		return false
	case !isScalar:
		l.reject(at, "want a value, got "+kind(v))
		return false
	}
	if name, isCtx := l.ctxValue(at, s.Text); isCtx && (s.Foreign || s.Tag == "!!str") {
		dst.Ctx = name
		return name != ""
	}
	literal, ok := l.literal(at, s)
	dst.Literal = literal
	return ok
}

// literals reads the list of in and notIn.
func (l *loader) literals(at path, list []any, dst *access.Operand) bool {
	if len(list) == 0 {
		l.reject(at, "is empty: want a value at least")
		return false
	}
	values := make([]any, 0, len(list))
	for i, v := range list {
		step := at.at("[" + strconv.Itoa(i) + "]")
		s, ok := v.(Scalar)
		if !ok {
			l.reject(step, "want a value, got "+kind(v))
			return false
		}
		if strings.HasPrefix(strings.TrimPrefix(s.Text, "$"), "ctx.") {
			l.reject(step, "a list has no value of the caller: want equals for that, in a condition of its own")
			return false
		}
		literal, ok := l.literal(step, s)
		if !ok {
			return false
		}
		values = append(values, literal)
	}
	dst.Literal = values
	return true
}

// literal reads a value as YAML takes it. What came from the environment is a text.
func (l *loader) literal(at path, s Scalar) (any, bool) {
	tag := s.Tag
	if s.Foreign {
		tag = "!!str"
	}
	switch tag {
	case "!!int":
		if n, err := strconv.ParseInt(s.Text, 0, 64); err == nil {
			return n, true
		}
	case "!!float":
		if f, err := strconv.ParseFloat(s.Text, 64); err == nil && f-f == 0 { // neither an infinity nor no number
			return f, true
		}
	case "!!bool":
		return strings.EqualFold(s.Text, "true"), true
	case "!!str", "!!timestamp":
		return s.Text, true
	case "!!null":
		l.reject(at, "nothing equals null: want isNull: true, or isNull: false")
		return nil, false
	}
	l.reject(at, "want a text, a number, true or false, got "+l.shown(at, s))
	return nil, false
}

// ruleField is a rule of access as it stands in the file: {access: {roles, record, or, and}}.
type ruleField struct{ rule access.Rule }

// decodeFrom implements decoder.
func (r *ruleField) decodeFrom(l *loader, at path, v any) {
	m, ok := l.mapping(at, v)
	if !ok {
		return
	}
	for key, v := range m {
		if key != "access" {
			l.unknown(at.at(key), []string{"access"})
			continue
		}
		l.rule(at.at("access"), v, &r.rule)
	}
}

// rule reads what stands behind access: roles, record, or, and.
func (l *loader) rule(at path, v any, dst *access.Rule) {
	m, ok := l.mapping(at, v)
	if !ok {
		return
	}
	record := make(map[string]any)
	for key, v := range m {
		switch key {
		case "roles":
			l.into(at.at(key), v, (*Roles)(&dst.Roles))
		case "record", "or", "and":
			record[key] = v
		default:
			l.unknown(at.at(key), []string{"roles", "record", "or", "and"})
		}
	}
	if len(record) > 0 {
		dst.Record = l.condition(at.at("record"), at, record)
	}
}

// Roles are roles of which a caller needs one. A list without any would be nobody, or everybody: it is refused.
type Roles []string

// decodeFrom implements decoder.
func (r *Roles) decodeFrom(l *loader, at path, v any) {
	l.into(at, v, (*[]string)(r))
	if len(*r) == 0 {
		l.reject(at, "is empty: want a role, or leave it out to let everybody")
	}
}

// condition reads {record, or, and}, and columns beside them. It is declared as decl and stands at a path.
func (l *loader) condition(decl, at path, m map[string]any) *access.Condition {
	l.aliases[decl.join()] = at
	c := &access.Condition{}
	if v, ok := m["record"]; ok {
		step := at.at("record")
		inner, ok := l.mapping(step, v)
		if ok && len(inner) == 0 {
			l.reject(step, "is empty: want a condition, or leave it out")
		}
		if len(m) == 1 {
			return l.condition(decl, step, inner)
		}
		c.And = append(c.And, l.condition(decl.at("and").at("[0]"), step, inner))
	}
	if v, ok := m["and"]; ok {
		c.And = append(c.And, l.arms(decl.at("and"), len(c.And), at.at("and"), v)...)
	}
	if v, ok := m["or"]; ok {
		if c.Or = l.arms(decl.at("or"), 0, at.at("or"), v); c.Or == nil {
			c.Or = []*access.Condition{} // none of them was understood, so none of them holds
		}
	}
	for key, v := range m {
		switch key {
		case "record", "or", "and":
		case "roles":
			l.reject(at.at(key), "roles stand beside record, not in an arm of or or and: those are about the row")
		default:
			c.Tests = append(c.Tests, l.tests(at.at(key), v)...)
		}
	}
	sortTests(c.Tests)
	return c
}

// arms reads the list of or and and. The first is declared as the one with the number before.
func (l *loader) arms(decl path, before int, at path, v any) []*access.Condition {
	list, ok := v.([]any)
	if !ok {
		l.reject(at, "want a list of conditions, got "+kind(v))
		return nil
	}
	if len(list) == 0 {
		l.reject(at, "is empty: want a condition, or leave it out")
	}
	var arms []*access.Condition
	for i, v := range list {
		step := at.at("[" + strconv.Itoa(i) + "]")
		if m, ok := l.mapping(step, v); ok {
			if len(m) == 0 {
				l.reject(step, "is empty: want a condition")
			}
			arms = append(arms, l.condition(decl.at("["+strconv.Itoa(before+len(arms))+"]"), step, m))
		}
	}
	return arms
}

// testsField is conditions on columns that all hold: {column: value} or {column: {operator: value}}.
type testsField struct{ tests []access.Test }

// decodeFrom implements decoder.
func (t *testsField) decodeFrom(l *loader, at path, v any) {
	m, ok := l.mapping(at, v)
	if !ok {
		return
	}
	for column, v := range m {
		t.tests = append(t.tests, l.tests(at.at(column), v)...)
	}
	sortTests(t.tests)
}

// tests reads the conditions on one column.
func (l *loader) tests(at path, v any) []access.Test {
	column := at[len(at)-1]
	m, ok := v.(map[string]any)
	if !ok {
		test := access.Test{Field: column, Op: access.OpEquals}
		if _, isList := v.([]any); isList {
			l.reject(at, "want {in: [...]} for one of several values, got a list")
			return nil
		}
		if !l.operand(at, test.Op, v, &test.Value) {
			return nil
		}
		return []access.Test{test}
	}
	if len(m) == 0 {
		l.reject(at, "is empty: want {equals: <value>}, or another operator")
	}
	var tests []access.Test
	for key, v := range m {
		step := at.at(key)
		if !isOperator(key) {
			l.unknownOperator(step)
			continue
		}
		test := access.Test{Field: column, Op: access.Operator(key)}
		if l.operand(step, test.Op, v, &test.Value) {
			tests = append(tests, test)
		}
	}
	return tests
}

// sortTests makes the order of what came from mappings, which have none, the same each time.
func sortTests(tests []access.Test) {
	slices.SortFunc(tests, func(a, b access.Test) int {
		return strings.Compare(a.Field+"\x00"+string(a.Op), b.Field+"\x00"+string(b.Op))
	})
}
