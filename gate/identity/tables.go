package identity

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Kinds of columns, as far as it matters.
const (
	anyKind  = iota // whatever can be shown as text
	textKind        // compared with a secret's text
	timeKind        // with or without a time zone; without is UTC
)

// column is a column that a method reads.
type column struct {
	logical  string // what better-auth calls it
	name     string // what the table calls it
	kind     int
	required bool // the table is not what it seems without it
	named    bool // the configuration names it: it must be there
	path     []string
	sqlType  string // from the catalogue. Empty means that it is not there.
}

// table is a table that a method reads.
type table struct {
	logical string // what better-auth calls it
	name    string // "name" or "schema.name"
	named   bool
	path    []string
	columns []column
	there   bool // all that is required is
}

// tables are those that the methods read. One that is switched off is nil.
type tables struct{ session, member, user, apikey *table }

// all returns those that are not switched off.
func (t tables) all() []*table {
	return slices.DeleteFunc([]*table{t.session, t.member, t.user, t.apikey}, func(t *table) bool { return t == nil })
}

// tables returns what the configuration says of the tables, and which of its columns no table has.
func (c Config) tables() (t tables, problems Problems) {
	s, k := c.Session, c.APIKeys
	t.member = newTable("member", s.MembershipTable, s.Named["membership_table"], "session", "membership_table")
	t.member.add(anyKind, true, "userId", "organizationId")
	t.member.add(anyKind, false, "role")
	t.user = newTable("user", s.UserTable, s.Named["user_table"], "session", "user_table")
	t.user.add(anyKind, true, "id")
	t.user.add(anyKind, false, "name", "role", "banned")
	t.user.add(timeKind, false, "banExpires")
	t.session = newTable("session", s.Table, s.Named["table"], "session", "table")
	t.session.add(anyKind, true, "id", "userId")
	t.session.add(textKind, true, "token")
	t.session.add(timeKind, true, "expiresAt")
	t.session.add(anyKind, false, "activeOrganizationId", "activeTeamId")
	t.apikey = newTable("apikey", k.Table, k.Named["table"], "api_keys", "table")
	t.apikey.add(anyKind, true, "id", "enabled")
	t.apikey.add(textKind, true, "key")
	t.apikey.add(timeKind, true, "expiresAt")
	t.apikey.add(anyKind, false, "referenceId", "userId", "remaining", "metadata", "rateLimitEnabled", "rateLimitTimeWindow", "rateLimitMax")

	problems = rename(s.Columns, "session", t.session, t.member, t.user)
	problems = append(problems, rename(k.Columns, "api_keys", t.apikey)...)
	if !s.Enabled {
		t.session = nil
	}
	return t, problems
}

// newTable returns a table without columns. One that is not called as better-auth calls it was named by somebody.
func newTable(logical, name string, named bool, path ...string) *table {
	return &table{logical: logical, name: name, named: named || name != logical, path: path}
}

// add adds columns under better-auth's names.
func (t *table) add(kind int, required bool, names ...string) {
	for _, n := range names {
		t.columns = append(t.columns, column{logical: n, name: n, kind: kind, required: required})
	}
}

// column returns a column that the table is known to have.
func (t *table) column(logical string) *column {
	for i := range t.columns {
		if t.columns[i].logical == logical {
			return &t.columns[i]
		}
	}
	return nil
}

// rename gives columns the names that the configuration has for them: first those that go for every table, then those
// that go for one.
func rename(columns map[string]string, section string, of ...*table) (problems Problems) {
	keys := slices.SortedFunc(maps.Keys(columns), func(a, b string) int {
		if n := strings.Count(a, ".") - strings.Count(b, "."); n != 0 {
			return n
		}
		return strings.Compare(a, b)
	})
	for _, key := range keys {
		tableName, logical, qualified := strings.Cut(key, ".")
		if !qualified {
			tableName, logical = "", key
		}
		path, known := []string{section, "columns", key}, false
		for _, t := range of {
			if qualified && t.logical != tableName {
				continue
			}
			if c := t.column(logical); c != nil {
				c.name, c.named, c.path, known = columns[key], true, path, true
			}
		}
		switch {
		case !known:
			problems = append(problems, Problem{path, fmt.Sprintf("there is no column %q", key), "use one of " + strings.Join(columnNames(of), ", ")})
		case columns[key] == "":
			problems = append(problems, Problem{path, "the column has no name", "leave it out, or say what it is called"})
		}
	}
	return problems
}

// columnNames returns what a configuration may name.
func columnNames(of []*table) (names []string) {
	for _, t := range of {
		for _, c := range t.columns {
			if !slices.Contains(names, c.logical) {
				names = append(names, c.logical)
			}
		}
	}
	slices.Sort(names)
	return names
}

// sql returns the table as it is written in a query.
func (t *table) sql() string { return quoteTable(t.name) }

// quoteTable quotes "name" or "schema.name".
func quoteTable(name string) string {
	if schema, table, ok := strings.Cut(name, "."); ok {
		return pgx.Identifier{schema, table}.Sanitize()
	}
	return pgx.Identifier{name}.Sanitize()
}

// has reports whether the table is there, and the column in it.
func (t *table) has(logical string) bool {
	return t != nil && t.there && t.column(logical).sqlType != ""
}

// ref returns a column as it is written in a query; alias is the table's. It must be there.
func (t *table) ref(alias, logical string) string {
	return alias + "." + pgx.Identifier{t.column(logical).name}.Sanitize()
}

// text returns a column as text, which is NULL where there is no such column.
func (t *table) text(alias, logical string) string {
	if !t.has(logical) {
		return "NULL::text"
	}
	return t.ref(alias, logical) + "::text"
}

// number returns a column as a number, which is NULL where there is no such column.
func (t *table) number(alias, logical string) string {
	if !t.has(logical) {
		return "NULL::float8"
	}
	return t.ref(alias, logical) + "::float8"
}

// seconds returns a time as seconds since 1970, so that one without a time zone is UTC whatever the session's is.
func (t *table) seconds(alias, logical string) string {
	if !t.has(logical) {
		return "NULL::float8"
	}
	return "extract(epoch FROM " + t.ref(alias, logical) + ")::float8"
}

// operand is a column in a comparison.
type operand struct{ sql, sqlType string }

// operand returns a column of the table for a comparison.
func (t *table) operand(alias, logical string) operand {
	return operand{t.ref(alias, logical), t.column(logical).sqlType}
}

// equal compares columns of different tables, which need not have one type: ids are text here and uuid there. Where they
// have, an index serves.
func equal(a, b operand) string {
	if a.sqlType == b.sqlType || isText(a.sqlType) && isText(b.sqlType) {
		return a.sql + " = " + b.sql
	}
	return a.sql + "::text = " + b.sql + "::text"
}

// isText reports whether a type's values compare as text with each other.
func isText(sqlType string) bool {
	return sqlType == "text" || sqlType == "character varying" || sqlType == "bpchar"
}
