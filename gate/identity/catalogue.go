package identity

import (
	"context"
	"fmt"
	"strings"
)

// catalogueQuery returns the columns of the tables that exist, of those that may be read.
const catalogueQuery = `
SELECT t.n::int, a.attname::text, format_type(coalesce(nullif(y.typbasetype, 0), a.atttypid), -1),
       has_column_privilege(c.oid, a.attnum, 'SELECT')
  FROM unnest($1::text[]) WITH ORDINALITY AS t(name, n)
  JOIN pg_catalog.pg_class c ON c.oid = to_regclass(t.name) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  JOIN pg_catalog.pg_type y ON y.oid = a.atttypid`

// found is a column of the catalogue.
type found struct {
	sqlType  string
	readable bool
}

// look fills in what the database has of the tables. It returns what must be there and is not, and a line for each
// table that is not there and need not be. It changes t, which nobody else has yet.
func (t tables) look(ctx context.Context, db Querier) (problems Problems, notes []string, err error) {
	var catalogue []map[string]found
	all := t.all()
	if db != nil {
		if catalogue, err = readCatalogue(ctx, db, all); err != nil {
			return nil, nil, fmt.Errorf("look for the tables of identities: %w", err)
		}
	}
	for i, table := range all {
		var columns map[string]found
		if db != nil {
			columns = catalogue[i]
		}
		missing := table.resolve(columns)
		more := table.problems(columns, db != nil, missing)
		problems = append(problems, more...)
		if len(missing) > 0 && len(more) == 0 {
			notes = append(notes, fmt.Sprintf("%s: %s", effects[table.logical], strings.Join(missing, ", ")))
		}
	}
	return problems, notes, nil
}

// effects say what goes without a table.
var effects = map[string]string{
	"session": "sessions are off",
	"member":  "memberships are off, so that sessions and keys of the table have no organisation and no roles",
	"user":    "users are not looked up, so that sessions and keys of the table have no name, and deleted and banned users are not known",
	"apikey":  "API keys of a table are off",
}

// readCatalogue returns the columns of each table, by name. A table that is not there has nil.
func readCatalogue(ctx context.Context, db Querier, all []*table) ([]map[string]found, error) {
	names, catalogue := make([]string, len(all)), make([]map[string]found, len(all))
	for i, t := range all {
		names[i] = t.sql()
	}
	rows, err := db.Query(ctx, catalogueQuery, names)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var (
			n    int
			name string
			f    found
		)
		if err := rows.Scan(&n, &name, &f.sqlType, &f.readable); err != nil {
			return nil, err
		}
		if catalogue[n-1] == nil {
			catalogue[n-1] = make(map[string]found)
		}
		catalogue[n-1][name] = f
	}
	return catalogue, rows.Err()
}

// resolve takes over what the catalogue has, and returns what is missing that the table cannot do without.
func (t *table) resolve(columns map[string]found) (missing []string) {
	if columns == nil {
		return []string{fmt.Sprintf("there is no table %s", t.name)}
	}
	for i := range t.columns {
		c := &t.columns[i]
		if why := c.mismatch(columns); why == "" {
			c.sqlType = columns[c.name].sqlType
		} else if c.required {
			missing = append(missing, fmt.Sprintf("the table %s %s", t.name, why))
		}
	}
	if t.logical == "apikey" && t.column("referenceId").sqlType == "" && t.column("userId").sqlType == "" {
		missing = append(missing, fmt.Sprintf("the table %s has neither the column referenceId nor userId", t.name))
	}
	t.there = len(missing) == 0
	return missing
}

// mismatch returns what keeps the column from being used, in words that follow the table's name. Empty means nothing.
func (c *column) mismatch(columns map[string]found) string {
	f, ok := columns[c.name]
	switch {
	case !ok:
		return fmt.Sprintf("has no column %s", c.name)
	case !f.readable:
		return fmt.Sprintf("has a column %s that the database does not let us read", c.name)
	case c.kind == textKind && !isText(f.sqlType):
		return fmt.Sprintf("has a column %s of type %s, which is no text", c.name, f.sqlType)
	case c.kind == timeKind && !strings.HasPrefix(f.sqlType, "timestamp"):
		return fmt.Sprintf("has a column %s of type %s, which is no timestamp", c.name, f.sqlType)
	}
	return ""
}

// problems returns what must be there, since somebody named it, and is not.
func (t *table) problems(columns map[string]found, database bool, missing []string) (problems Problems) {
	switch {
	case !database && t.named:
		return Problems{{t.path, "there is no database to look in for the table " + t.name, "set database.url, or leave the table out"}}
	case t.named && columns == nil:
		return Problems{{t.path, "the database has no table " + t.name, "create it, or correct the name (schema.name, upper and lower case count)"}}
	}
	for _, c := range t.columns {
		if !c.named {
			continue
		}
		switch why := c.mismatch(columns); {
		case columns == nil:
			problems = append(problems, Problem{c.path, fmt.Sprintf("there is no table %s that could have a column %s", t.name, c.name), "create it, or leave the column out"})
		case why != "":
			problems = append(problems, Problem{c.path, fmt.Sprintf("the table %s %s", t.name, why), "correct the name (upper and lower case count)"})
		}
	}
	if t.named && len(problems) == 0 && len(missing) > 0 {
		problems = append(problems, Problem{t.path, strings.Join(missing, ", "), "name its columns under " + t.path[0] + ".columns"})
	}
	return problems
}
