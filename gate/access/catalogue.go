package access

import (
	"context"
	"fmt"
	"slices"

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
	oid      uint32
	labels   []string // of an enum, in its order
	text     textInfo
}

// textInfo is how texts of a column compare.
type textInfo struct {
	exact    bool // they are equal where their bytes are
	bytewise bool // their order is that of their bytes
	folds    fold // where case does not count
}

// fold is how much of lower() is known here. Its rules for other letters are those of a locale.
type fold uint8

const (
	foldNothing fold = iota // not even what becomes of A to Z
	foldASCII               // A to Z, in texts that are ASCII
	foldAll                 // A to Z is all that it changes
)

// catalogueSQL returns a row for each column of the tables. A domain is its base type, whatever lies between. What
// compares without a collation of its own does so by the database's.
const catalogueSQL = `
WITH db AS (
	SELECT pg_encoding_to_char(d.encoding) IN ('UTF8', 'SQL_ASCII') AS plain,
		p.kind = 'b' OR p.kind = 'c' AND d.datcollate IN ('C', 'POSIX') AS bytewise,
		lower('ABCDEFGHIJKLMNOPQRSTUVWXYZ' COLLATE pg_catalog."default") = 'abcdefghijklmnopqrstuvwxyz' AS folds,
		p.kind = 'c' AND d.datctype IN ('C', 'POSIX') AS folds_no_other
	FROM pg_catalog.pg_database d, coalesce(to_jsonb(d) ->> 'datlocprovider', 'c') AS p(kind)
	WHERE d.datname = current_database())
SELECT w.n, ns.nspname::text, c.relname::text, has_schema_privilege(ns.oid, 'USAGE'),
	coalesce(a.attname::text, ''), coalesce(has_column_privilege(c.oid, a.attnum, 'SELECT'), false),
	coalesce(b.schema, ''), coalesce(b.name, ''), coalesce(b.class, ''),
	EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid
		AND i.indpred IS NULL AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum),
	coalesce(a.atttypid::int8, 0), ARRAY(SELECT e.enumlabel::text FROM pg_catalog.pg_enum e WHERE e.enumtypid = b.oid ORDER BY e.enumsortorder),
	coalesce(co.collisdeterministic, true),
	db.plain AND CASE co.collprovider WHEN 'c' THEN co.collcollate IN ('C', 'POSIX') WHEN 'b' THEN true WHEN 'i' THEN false ELSE db.bytewise END,
	CASE WHEN NOT db.folds THEN 0 WHEN db.folds_no_other THEN 2 ELSE 1 END
FROM db, unnest($1::text[], $2::text[]) WITH ORDINALITY AS w(schema, name, n)
JOIN pg_catalog.pg_class c ON c.relname = w.name AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
JOIN pg_catalog.pg_namespace ns ON ns.oid = c.relnamespace
	AND CASE w.schema WHEN '' THEN pg_table_is_visible(c.oid) ELSE ns.nspname = w.schema END
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN LATERAL (
	WITH RECURSIVE d AS (
		SELECT ty.* FROM pg_catalog.pg_type ty WHERE ty.oid = a.atttypid
		UNION ALL
		SELECT ty.* FROM d JOIN pg_catalog.pg_type ty ON d.typtype = 'd' AND ty.oid = d.typbasetype)
	SELECT d.oid, tn.nspname::text AS schema, d.typname::text AS name, d.typtype::text AS class
	FROM d JOIN pg_catalog.pg_namespace tn ON tn.oid = d.typnamespace WHERE d.typtype <> 'd') b ON true
LEFT JOIN pg_catalog.pg_collation co ON co.oid = a.attcollation`

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
		oid    int64
		folds  int32
		into   = []any{
			&n, &t.schema, &t.name, &t.usable, &column, &info.readable, &typ.schema, &typ.name, &typ.class, &info.unique,
			&oid, &info.labels, &info.text.exact, &info.text.bytewise, &folds,
		}
		add = func() error {
			table, ok := c.tables[names[n-1]]
			if !ok {
				table = &tableInfo{schema: t.schema, name: t.name, usable: t.usable, columns: map[string]columnInfo{}}
				c.tables[names[n-1]] = table
			}
			if column != "" {
				c := info
				c.kind, c.oid, c.text.folds = kindOf(typ), uint32(oid), fold(folds)
				c.labels = slices.Clone(info.labels)
				table.columns[column] = c
			}
			return nil
		}
	)
	if _, err := pgx.ForEachRow(rows, into, add); err != nil {
		return nil, fmt.Errorf("read the catalogue: %w", err)
	}
	return c, nil
}
