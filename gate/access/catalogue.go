package access

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// catalogue is what the database has of the tables that a declaration names.
type catalogue struct {
	tables map[string]*tableInfo // by the text that names them; without those that are missing
}

// tableInfo is a table of the database. Its schema is the one that the search path had at the time: a query does not
// look for it again.
type tableInfo struct {
	schema, name string
	usable       bool // our role may use the schema
	columns      map[string]columnInfo
}

// sql returns the table as SQL names it.
func (t *tableInfo) sql() string { return quote(t.schema, t.name) }

// has reports whether there is a column, and a table.
func (t *tableInfo) has(column string) bool {
	if t == nil {
		return false
	}
	_, ok := t.columns[column]
	return ok
}

// columnInfo is a column of a table.
type columnInfo struct {
	kind     kind
	unique   bool // by an index on it alone, over all rows
	readable bool // by our role
}

// catalogueSQL returns a row for each column of the tables. A domain is its base type, whatever lies between.
const catalogueSQL = `
SELECT w.n, ns.nspname::text, c.relname::text, has_schema_privilege(ns.oid, 'USAGE'),
	coalesce(a.attname::text, ''), coalesce(has_column_privilege(c.oid, a.attnum, 'SELECT'), false),
	coalesce(b.schema, ''), coalesce(b.name, ''), coalesce(b.class, ''),
	EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid
		AND i.indpred IS NULL AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum)
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w(schema, name, n)
JOIN pg_catalog.pg_class c ON c.relname = w.name AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
JOIN pg_catalog.pg_namespace ns ON ns.oid = c.relnamespace
	AND CASE w.schema WHEN '' THEN pg_table_is_visible(c.oid) ELSE ns.nspname = w.schema END
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN LATERAL (
	WITH RECURSIVE d AS (
		SELECT ty.* FROM pg_catalog.pg_type ty WHERE ty.oid = a.atttypid
		UNION ALL
		SELECT ty.* FROM d JOIN pg_catalog.pg_type ty ON d.typtype = 'd' AND ty.oid = d.typbasetype)
	SELECT tn.nspname::text AS schema, d.typname::text AS name, d.typtype::text AS class
	FROM d JOIN pg_catalog.pg_namespace tn ON tn.oid = d.typnamespace WHERE d.typtype <> 'd') b ON true`

// loadCatalogue looks tables up, by the texts that name them.
func loadCatalogue(ctx context.Context, db Querier, names []string) (*catalogue, error) {
	c := &catalogue{tables: map[string]*tableInfo{}}
	if len(names) == 0 {
		return c, nil
	}
	schemas, tables := make([]string, len(names)), make([]string, len(names))
	for i, name := range names {
		t := parseTable(name)
		schemas[i], tables[i] = t.schema, t.name
	}
	rows, err := db.Query(ctx, catalogueSQL, schemas, tables)
	if err != nil {
		return nil, fmt.Errorf("read the catalogue: %w", err)
	}
	var (
		n      int
		t      tableInfo
		column string
		info   columnInfo
		typ    typeInfo
		into   = []any{&n, &t.schema, &t.name, &t.usable, &column, &info.readable, &typ.schema, &typ.name, &typ.class, &info.unique}
		add    = func() error {
			table, ok := c.tables[names[n-1]]
			if !ok {
				table = &tableInfo{schema: t.schema, name: t.name, usable: t.usable, columns: map[string]columnInfo{}}
				c.tables[names[n-1]] = table
			}
			if column != "" {
				info.kind = kindOf(typ)
				table.columns[column] = info
			}
			return nil
		}
	)
	if _, err := pgx.ForEachRow(rows, into, add); err != nil {
		return nil, fmt.Errorf("read the catalogue: %w", err)
	}
	return c, nil
}
