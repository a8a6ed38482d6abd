package access

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// String returns the problem on one line.
func (p Problem) String() string {
	return strings.Join(p.Path, ".") + ": " + p.Message + ": " + p.Fix
}

// path leads into a declaration.
type path []string

// at returns the path of a part. It never shares memory that another may append to.
func (p path) at(parts ...string) path { return slices.Concat(p, path(parts)) }

// index returns the path of an element of a list.
func (p path) index(i int) path { return p.at("[" + strconv.Itoa(i) + "]") }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// Check returns every mistake of a declaration that shows without a database, in the order of their paths' names. Either
// part may be nil.
func Check(s *Schema, rooms map[string]*RoomRule) []Problem {
	if s == nil {
		s = &Schema{}
	}
	c := &checker{schema: s}
	c.hierarchy()
	for _, f := range sortedKeys(s.Features) {
		c.feature(path{"resources", f}, s.Features[f])
	}
	for _, name := range sortedKeys(s.Relationships) {
		c.relationship(path{"relationships", name}, s.Relationships[name])
	}
	c.rooms(rooms)
	return c.problems
}

// checker collects the problems of a declaration.
type checker struct {
	schema   *Schema
	problems []Problem
}

func (c *checker) report(p path, message, fix string) {
	c.problems = append(c.problems, Problem{Path: p, Message: message, Fix: fix})
}

// hierarchy checks the names of roles.
func (c *checker) hierarchy() {
	p := path{"auth", "role_hierarchy"}
	for i, role := range c.schema.RoleHierarchy {
		switch {
		case role == "" || strings.HasSuffix(role, "+") || role == RolePublic:
			c.report(p.index(i), fmt.Sprintf("%q cannot be a role of the hierarchy", role), `use a name that is not PUBLIC and has no "+" at its end`)
		case slices.Index(c.schema.RoleHierarchy, role) < i:
			c.report(p.index(i), fmt.Sprintf("role %q is in the hierarchy twice", role), "remove one of them")
		}
	}
}

// roles checks a list of roles.
func (c *checker) roles(p path, list []string) {
	for i, role := range list {
		base, above := strings.CutSuffix(role, "+")
		switch {
		case base == "":
			c.report(p.index(i), "a role has no name", "name it, or remove it")
		case above && !slices.Contains(c.schema.RoleHierarchy, base):
			c.report(p.index(i), fmt.Sprintf("no hierarchy knows the role %q", base),
				fmt.Sprintf("add it to auth.role_hierarchy, or write %q for that role alone", base))
		}
	}
}

// name checks the name of a column.
func (c *checker) name(p path, name string) {
	if !validName(name) {
		c.report(p, fmt.Sprintf("%.80q cannot be the name of a column", name), "use a name of 1 to 63 bytes")
	}
}

// table checks the name of a table.
func (c *checker) table(p path, name string) {
	if !validTable(name) {
		c.report(p, fmt.Sprintf("%.140q cannot be the name of a table", name), `use "name" or "schema.name", each of 1 to 63 bytes`)
	}
}

// feature checks the tables of a feature.
func (c *checker) feature(p path, f *Feature) {
	if f == nil || len(f.Tables) == 0 {
		c.report(p, "the feature has no table", "declare one under tables, or remove the feature")
		return
	}
	for _, name := range sortedKeys(f.Tables) {
		at := p.at("tables", name)
		t := f.Tables[name]
		if t == nil {
			c.report(at, "the table declares nothing", "give it a firewall")
			continue
		}
		c.table(at.at("table"), t.SQL)
		c.firewall(at, t)
		c.rule(at.at("read", "access"), t.Read)
		c.rule(at.at("write", "access"), t.Write)
	}
}

// firewall checks the clauses of a table, and that it has a scope or says that it has none.
func (c *checker) firewall(p path, t *Table) {
	scoped := false
	for i, clause := range t.Firewall {
		c.clause(p.at("firewall").index(i), clause)
		scoped = scoped || clause.scopes()
	}
	switch {
	case !scoped && !t.Exception:
		c.report(p.at("firewall"), "the resource has no scope: every caller would see every row",
			"add an organization, owner, team or via clause, or a field that equals a ctx value; or say exception: true")
	case scoped && t.Exception:
		c.report(p.at("exception"), "the resource has a scope and is an exception", "remove exception, or the clauses that scope")
	}
}

// scopes reports whether a clause narrows rows down to the caller's. That is seen from what it does, whatever Scope says.
func (c *Clause) scopes() bool {
	return c.Via != "" || c.Value.Ctx != "" && c.Op == OpEquals
}

func (c *checker) clause(p path, clause Clause) {
	if clause.Via == "" {
		c.test(p, Test{Field: clause.Field, Op: clause.Op, Value: clause.Value})
		if clause.OrNull && (clause.Op != OpEquals || clause.Value.Ctx == "") {
			c.report(p, "only a field that equals a ctx value may be NULL instead", "remove it, or compare with a ctx value")
		}
		return
	}
	c.name(p.at("field"), clause.Field)
	if clause.Op != "" || clause.OrNull || clause.Value.Ctx != "" || clause.Value.Literal != nil {
		c.report(p, "a clause has a relationship and a comparison", "write two clauses")
	}
	if c.schema.Relationships[clause.Via] == nil {
		c.report(p.at("via"), fmt.Sprintf("relationship %q is not declared", clause.Via), "declare it under relationships"+known(c.schema.Relationships))
	}
}

// known returns what could have been meant.
func known[V any](m map[string]V) string {
	if len(m) == 0 {
		return ""
	}
	return ", or use one of: " + strings.Join(sortedKeys(m), ", ")
}

func (c *checker) rule(p path, r Rule) {
	c.roles(p.at("roles"), r.Roles)
	if r.Record != nil {
		c.condition(p.at("record"), r.Record, 0)
	}
}

// maxNesting bounds conditions within conditions.
const maxNesting = 32

func (c *checker) condition(p path, cond *Condition, depth int) {
	switch {
	case cond == nil || len(cond.Tests)+len(cond.And) == 0 && cond.Or == nil:
		c.report(p, "the condition asks for nothing, and so is always true", "remove it, or say what it asks for")
		return
	case depth > maxNesting:
		c.report(p, "conditions are nested too deeply", fmt.Sprintf("use at most %d levels", maxNesting))
		return
	case cond.Or != nil && len(cond.Or) == 0:
		c.report(p.at("or"), "the list is empty, and so never true", "remove it, or add a condition")
	}
	for _, t := range cond.Tests {
		c.test(p.at(t.Field), t)
	}
	for i, part := range cond.And {
		c.condition(p.at("and").index(i), part, depth+1)
	}
	for i, part := range cond.Or {
		c.condition(p.at("or").index(i), part, depth+1)
	}
}

// test checks a comparison, as far as the column's type is not needed.
func (c *checker) test(p path, t Test) {
	c.name(p.at("field"), t.Field)
	at := p.at(string(t.Op))
	_, isBool := t.Value.Literal.(bool)
	list, isList := t.Value.Literal.([]any)
	switch t.Op {
	case OpIsNull:
		if !isBool || t.Value.Ctx != "" {
			c.report(at, "isNull takes true or false", "write isNull: true, or isNull: false")
		}
	case OpIn, OpNotIn:
		if !isList || len(list) == 0 || t.Value.Ctx != "" {
			c.report(at, fmt.Sprintf("%s takes a list with something in it", t.Op), "list the values")
			return
		}
		for i, v := range list {
			c.literal(at.index(i), v)
		}
	case OpEquals, OpNotEquals, OpLessThan, OpGreaterThan, OpLessThanOrEqual, OpGreaterThanOrEqual:
		c.operand(at, t.Value)
	default:
		c.report(p, fmt.Sprintf("unknown operator %q", t.Op),
			"use one of: equals, notEquals, in, notIn, lessThan, greaterThan, lessThanOrEqual, greaterThanOrEqual, isNull")
	}
}

func (c *checker) operand(p path, o Operand) {
	switch {
	case o.Ctx == "":
		c.literal(p, o.Literal)
	case !isCtx(o.Ctx):
		c.report(p, fmt.Sprintf("there is no value ctx.%s", o.Ctx), "use one of: ctx.userId, ctx.activeOrgId, ctx.activeTeamId, ctx.userRole")
	case o.Literal != nil:
		c.report(p, "the comparison has two values", "use one of them")
	}
}

func (c *checker) literal(p path, v any) {
	if _, ok := literalText(v); !ok {
		c.report(p, "the value is no text, number or bool that a column can hold", "use one of those; for NULL write isNull: true")
	}
}

func (c *checker) relationship(p path, r *Relationship) {
	if r == nil {
		c.report(p, "the relationship declares nothing", "give it from, subject and resource")
		return
	}
	c.table(p.at("from"), r.From)
	c.name(p.at("subject", "column"), r.SubjectColumn)
	c.name(p.at("resource", "column"), r.ResourceColumn)
	if r.Subject.Ctx == "" {
		c.report(p.at("subject", "equals"), "the subject is not the caller: everybody would be related", "write equals: ctx.userId")
	} else {
		c.operand(p.at("subject", "equals"), r.Subject)
	}
	for _, t := range r.Where {
		c.test(p.at("where", t.Field), t)
	}
}

// rooms checks the rules of rooms.
func (c *checker) rooms(rooms map[string]*RoomRule) {
	for _, name := range sortedKeys(rooms) {
		r := rooms[name]
		if r == nil {
			continue
		}
		p := path{"rooms", name}
		c.kinds(p.at("access"), r)
		if r.Write != nil {
			c.roles(p.at("write", "roles"), r.Write.Roles)
		}
	}
}

// kinds checks what a room's access says, and that it says one thing.
func (c *checker) kinds(p path, r *RoomRule) {
	kinds := 0
	for _, set := range []bool{r.Resource != nil, r.Pattern != nil, r.Equals != "", r.Webhook != nil, r.Public} {
		if set {
			kinds++
		}
	}
	if kinds > 1 {
		c.report(p, "the room has more than one kind of access", "keep one of: public, resource, roomId, roomIdEquals, webhook")
	}
	if r.Resource != nil {
		c.resource(p, *r.Resource)
	}
	if r.Pattern != nil {
		c.pattern(p, r.Pattern)
	}
	if r.Equals != "" && r.Equals != CtxUserID && r.Equals != CtxActiveOrgID {
		c.report(p.at("roomIdEquals"), fmt.Sprintf("a room id cannot be ctx.%s", r.Equals), "use ctx.userId or ctx.activeOrgId")
	}
	if r.Webhook != nil {
		c.webhook(p.at("webhook"), r.Webhook)
	}
}

// resource checks that a reference names one table. p is of what has the key "resource".
func (c *checker) resource(p path, ref ResourceRef) {
	p = p.at("resource")
	f := c.schema.Features[ref.Feature]
	switch {
	case f == nil:
		c.report(p.at("feature"), fmt.Sprintf("resource %q is not declared", ref.Feature), "declare it under resources"+known(c.schema.Features))
	case ref.Table == "" && len(f.Tables) > 1:
		c.report(p, fmt.Sprintf("%q has several tables", ref.Feature),
			fmt.Sprintf("write {feature: %s, table: …} with one of: %s", ref.Feature, strings.Join(sortedKeys(f.Tables), ", ")))
	case ref.Table != "" && f.Tables[ref.Table] == nil:
		c.report(p.at("table"), fmt.Sprintf("resource %q has no table %q", ref.Feature, ref.Table), "declare it"+known(f.Tables))
	}
	if ref.Key != "" {
		c.name(p.at("key"), ref.Key)
	}
}

func (c *checker) pattern(p path, r *Pattern) {
	at := p.at("roomId")
	re, err := compilePattern(r.Expr)
	switch {
	case err != nil:
		c.report(at.at("pattern"), "the pattern is no regular expression: "+err.Error(), "use the syntax of RE2; it has no look-around and no back-references")
	case r.Expr == "":
		c.report(at.at("pattern"), "the pattern is empty", "write one with a group for the kind and one for the id")
	default:
		c.group(at.at("kindGroup"), r.KindGroup, re.NumSubexp())
		c.group(at.at("idGroup"), r.IDGroup, re.NumSubexp())
	}
	if r.KindGroup == r.IDGroup {
		c.report(at.at("idGroup"), "the kind and the id are one group", "use a group for each")
	}
	if len(r.Resources) == 0 {
		c.report(p.at("resources"), "no kind has a resource", "add one for each kind that the pattern can find")
	}
	for _, kind := range sortedKeys(r.Resources) {
		c.resource(p.at("resources", kind), r.Resources[kind])
	}
}

func (c *checker) group(p path, n, groups int) {
	if n < 1 || n > groups {
		c.report(p, fmt.Sprintf("there is no group %d", n), fmt.Sprintf("the pattern has %d, counted from 1", groups))
	}
}

func (c *checker) webhook(p path, w *Webhook) {
	u, err := url.Parse(w.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		c.report(p.at("url"), "the URL is not one of http or https", "write it in full, such as https://app.example.com/access")
	}
	if len(w.Secret) < webhookSecret {
		c.report(p.at("secret"), fmt.Sprintf("the secret has %d bytes", len(w.Secret)), fmt.Sprintf("use at least %d random ones", webhookSecret))
	}
	if w.Timeout < 0 {
		c.report(p.at("timeout"), "the timeout is negative", "use a duration such as 3s")
	}
}
