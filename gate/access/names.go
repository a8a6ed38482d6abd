package access

import (
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

// maxName is the longest identifier of PostgreSQL, in bytes. It cuts longer ones, and so takes them for another.
const maxName = 63

// validName reports whether a name can be that of a table or column, and only of that one.
func validName(name string) bool {
	return name != "" && len(name) <= maxName && utf8.ValidString(name) && !strings.ContainsRune(name, 0)
}

// tableName is a table as a declaration names it.
type tableName struct {
	schema string // empty: wherever the search path has it
	name   string
}

// parseTable splits "name" or "schema.name" at its first dot.
func parseTable(s string) tableName {
	if schema, name, ok := strings.Cut(s, "."); ok {
		return tableName{schema, name}
	}
	return tableName{name: s}
}

// validTable reports whether both parts are names.
func validTable(s string) bool {
	t := parseTable(s)
	return validName(t.name) && (!strings.Contains(s, ".") || validName(t.schema))
}

// quote returns an identifier of SQL.
func quote(parts ...string) string { return pgx.Identifier(parts).Sanitize() }
