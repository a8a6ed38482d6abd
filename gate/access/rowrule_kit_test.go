package access_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/gate/access"
)

// imageType is a type of columns, with values that are close to each other.
type imageType struct {
	name, sql string
	values    []string
	literals  []any // nil: the values
	equality  bool  // images know whether two values are the same, but not their order
	ctx       bool  // values of callers may be compared with it
}

const imageTypesSQL = `
CREATE EXTENSION IF NOT EXISTS citext;
CREATE TYPE mood AS ENUM ('up', 'calm', 'b''usy', '7');
CREATE DOMAIN small AS int CHECK (VALUE < 100);
CREATE DOMAIN ident AS uuid;
CREATE DOMAIN label AS text COLLATE "und-x-icu";
`

var (
	wholes     = []string{"0", "7", "-7", "70", "-70", "127", "-128", "32767", "-32768"}
	words      = []string{"", "a", "A", "ab", "a b", "B", "7", "é", "É", "z", "💥", "\uffff", "org1", "a'; --"}
	identities = []string{
		"6f1c2c5e-94b5-4a3c-b1cf-c8a1a4d6a0f1", "6f1c2c5e-94b5-4a3c-b1cf-c8a1a4d6a0f2", "00000000-0000-0000-0000-000000000000",
		"ffffffff-ffff-ffff-ffff-ffffffffffff", "7fffffff-ffff-ffff-ffff-ffffffffffff", "6f1c2c5e-94b5-4a3c-8000-000000000000",
		"6f1c2c5e-94b5-4a3c-7fff-ffffffffffff",
	}
)

// imageTypes are all the types whose comparisons are known without a database.
var imageTypes = []imageType{
	{name: "text", sql: "text", values: words, ctx: true},
	{name: "varchar", sql: "varchar(10)", values: words, ctx: true},
	{name: "posix", sql: `text COLLATE "POSIX"`, values: words, ctx: true},
	{name: "icu", sql: `text COLLATE "und-x-icu"`, values: words, equality: true, ctx: true},
	{name: "label", sql: "label", values: words, equality: true, ctx: true},
	{name: "padded", sql: "char(6)", values: []string{"", "a", "A", "a b", "a\t", "7", "é", " a", "org1"}, ctx: true},
	{name: "name", sql: "name", values: words, ctx: true},
	{name: "byte", sql: `"char"`, values: []string{"", "a", "A", "7", "~"}, ctx: true},
	{name: "citext", sql: "citext", values: words, ctx: true},
	{name: "mood", sql: "mood", values: []string{"up", "calm", "b'usy", "7"}, ctx: true},
	{name: "uuid", sql: "uuid", values: identities, ctx: true},
	{name: "ident", sql: "ident", values: identities, ctx: true},
	{name: "int2", sql: "int2", values: wholes, ctx: true},
	{name: "int4", sql: "int4", values: append([]string{"2147483647", "-2147483648"}, wholes...), literals: []any{7, -70, int64(1) << 30, "70", 0}, ctx: true},
	{name: "int8", sql: "int8", values: append([]string{"9223372036854775807", "-9223372036854775808"}, wholes...), ctx: true},
	{name: "small", sql: "small", values: []string{"0", "7", "-7", "99"}, literals: []any{7, 1000, "-7"}, ctx: true},
	{
		name: "numeric", sql: "numeric",
		values: []string{
			"0", "-0.0", "7", "7.00", "-7", "0.05", "0.5", "-0.05", "-0.5", "70", "70.10", "70.1", "-70.1", "-71", "70.01", "1e30", "-1e30",
			"123456789012345678901234567890.123", "123456789012345678901234567890.12", "NaN", "Infinity", "-Infinity",
		},
		literals: []any{7, 7.0, -0.5, 1e30, "070.100", "-70.1", "0", "NaN", "Infinity", "-Infinity", "123456789012345678901234567890.123", uint64(1) << 63},
		ctx:      true,
	},
	{name: "money", sql: "numeric(10,2)", values: []string{"0", "7", "-7.1", "70.05"}, literals: []any{7, 70.05, 70.051}, ctx: true},
	{name: "float4", sql: "float4", values: []string{"0", "-0", "0.1", "-0.1", "7", "1e-45", "3.4e38", "NaN", "Infinity", "-Infinity"}, literals: []any{0, 0.1, -0.1, 7, "NaN", "Infinity", "-Infinity", "1e-45"}},
	{name: "float8", sql: "float8", values: []string{"0", "-0", "0.1", "-0.1", "7", "0.30000000000000004", "5e-324", "1.7e308", "NaN", "Infinity", "-Infinity"}, literals: []any{0, 0.1, 0.3, "0.30000000000000004", 7, "NaN", "-Infinity"}},
	{name: "bool", sql: "bool", values: []string{"true", "false"}, literals: []any{true, false}},
	{name: "date", sql: "date", values: []string{"1970-01-01", "1969-12-31", "2026-02-28", "2024-02-29", "0001-01-01", "0001-12-31 BC", "0044-03-15 BC", "4713-01-01 BC", "5874897-12-31", "1582-10-10", "infinity", "-infinity"}},
	{name: "time", sql: "time", values: []string{"00:00:00", "24:00:00", "23:59:59.999999", "07:00:00.5", "07:00:00.05"}, literals: []any{"07:00", "07:00:00.05", "24:00:00"}},
	{
		name: "timestamp", sql: "timestamp",
		values: []string{
			"1970-01-01 00:00:00", "1969-12-31 23:59:59.999999", "2026-01-01 05:30:00", "2026-01-01 00:00:00", "294276-12-31 23:59:59.999999",
			"4713-01-01 00:00:00 BC", "0044-03-15 12:00:00.25 BC", "infinity", "-infinity",
		},
		literals: []any{"2026-01-01", "2026-01-01T05:30:00Z", "2026-01-01T05:30:00+02:00", "1970-01-01 00:00", "0044-03-15 12:00:00.25 BC", "infinity", "-infinity"},
	},
	{
		name: "timestamptz", sql: "timestamptz",
		values: []string{
			"1970-01-01 00:00:00Z", "1969-12-31 23:59:59.999999Z", "2026-01-01 05:30:00Z", "2026-01-01 00:00:00Z", "2025-12-31 23:30:00Z",
			"4713-01-02 00:00:00Z BC", "0001-12-31 23:59:59Z BC", "0044-03-15 12:00:00Z BC", "infinity", "-infinity",
		},
		literals: []any{"2026-01-01T05:30:00Z", "2026-01-01T05:30:00+05:30", "2025-12-31 19:00:00.0-05", "1970-01-01 00:00Z", "0001-01-01 00:00:00+00:00:01", "0044-03-15 12:00:00Z BC", "infinity"},
	},
	{name: "bytea", sql: "bytea", values: []string{"", "a", `\x00`, `\x0001`, `\xff`, "A"}, literals: []any{"", "a", `\x00`, `\xFF`, `\x0001`}},
}

// literal returns the literals that the type is compared with.
func (t *imageType) literal() []any {
	if t.literals != nil {
		return t.literals
	}
	var list []any
	for _, v := range t.values {
		list = append(list, v)
	}
	return list
}

// ops returns the operators whose outcome is known, those of lists left out.
func (t *imageType) ops() []access.Operator {
	ops := []access.Operator{access.OpEquals, access.OpNotEquals}
	if !t.equality {
		ops = append(ops, access.OpLessThan, access.OpGreaterThan, access.OpLessThanOrEqual, access.OpGreaterThanOrEqual)
	}
	return ops
}

// image is a row as the database writes it.
type image struct {
	key string
	row access.Row
}

// images returns the rows of a table, with the columns that they have, as a session in some zone gets them.
func images(tb testing.TB, db *database, table, key, zone string) (columns []access.Column, list []image) {
	tb.Helper()
	conn, err := db.Acquire(tb.Context())
	require.NoError(tb, err)
	defer conn.Release()
	_, err = conn.Exec(tb.Context(), "SET timezone TO '"+zone+"'")
	require.NoError(tb, err)
	defer func() {
		_, err := conn.Exec(context.Background(), "RESET timezone")
		require.NoError(tb, err)
	}()
	rows, err := conn.Query(tb.Context(), "SELECT * FROM "+table, pgx.QueryExecModeSimpleProtocol)
	require.NoError(tb, err)
	defer rows.Close()
	for _, f := range rows.FieldDescriptions() {
		columns = append(columns, access.Column{Name: f.Name, Type: typeOf(f.Name, f.DataTypeOID)})
	}
	for rows.Next() {
		var i image
		for at, raw := range rows.RawValues() {
			i.row = append(i.row, access.Value{Text: string(raw), Null: raw == nil})
			if columns[at].Name == key {
				i.key = string(raw)
			}
		}
		list = append(list, i)
	}
	require.NoError(tb, rows.Err())
	return columns, list
}

// typeOf returns a column's type, zero for domains: results of queries have their base types.
func typeOf(column string, oid uint32) uint32 {
	for _, t := range imageTypes {
		if t.name == column && (t.sql == "small" || t.sql == "ident" || t.sql == "label") {
			return 0
		}
	}
	return oid
}

// decisions returns what the database says of each caller and row: whether the row may be read.
func decisions(tb testing.TB, a *access.Access, ref access.ResourceRef, ids []gate.Identity, list []image) [][]access.Outcome {
	tb.Helper()
	room := newRoom(tb, a, &access.RoomRule{Resource: &ref})
	var asks []gate.Ask
	for _, id := range ids {
		for _, i := range list {
			asks = append(asks, gate.Ask{Identity: id, Room: i.key})
		}
	}
	verdicts, err := room.(gate.BatchAuthorizer).AuthorizeAll(tb.Context(), asks)
	require.NoError(tb, err)
	out := make([][]access.Outcome, len(ids))
	for n, v := range verdicts {
		o := access.Hidden
		if v.Refusal == nil {
			o = access.Visible
		}
		out[n/len(list)] = append(out[n/len(list)], o)
	}
	return out
}

// imageTable returns a table with a column of each type, and a row more than the longest has values, of NULLs alone.
func imageTable(table string, types []imageType) string {
	most := 0
	columns := []string{"pk text PRIMARY KEY"}
	for _, t := range types {
		most = max(most, len(t.values))
		columns = append(columns, quoted(t.name)+" "+t.sql)
	}
	var sql strings.Builder
	fmt.Fprintf(&sql, "CREATE TABLE %s (%s);", table, strings.Join(columns, ", "))
	for n := range most {
		values := []string{fmt.Sprintf("'row%d'", n)}
		for _, t := range types {
			values = append(values, sqlText(t.values[n%len(t.values)]))
		}
		fmt.Fprintf(&sql, "INSERT INTO %s VALUES (%s);", table, strings.Join(values, ", "))
	}
	fmt.Fprintf(&sql, "INSERT INTO %s (pk) VALUES ('null');", table)
	return sql.String()
}

func sqlText(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
