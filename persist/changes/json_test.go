package changes_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist/changes"
)

// typeCases are types with values, as SQL writes them. What to_json makes of the same row is what AppendJSON has to say.
var typeCases = []struct {
	column string // the type
	values []string
}{
	{"int2", []string{"0", "-32768", "32767"}},
	{"int4", []string{"0", "-2147483648", "2147483647"}},
	{"int8", []string{"1", "9007199254740993", "-9223372036854775808"}},
	{"numeric", []string{"0", "1.10", "-0.00000000000000006938893903907228", "123456789012345678901234567890.123456789", "'NaN'"}},
	{"numeric(10,2)", []string{"1", "-3.14159"}},
	{"float4", []string{"0.1", "-1e-20", "3.4e38", "'NaN'", "'Infinity'", "'-Infinity'"}},
	{"float8", []string{"0.1", "1e300", "5e-324", "123456789.123456789", "'NaN'", "'Infinity'", "'-Infinity'", "'-0'"}},
	{"bool", []string{"true", "false"}},
	{"text", []string{"''", "'NULL'", `E'a "b" \\ c\n\r\t\b\f\x01\x7f'`, "'é ☃ 😀'", "'</script>&'"}},
	{"varchar(5)", []string{"'abc'"}},
	{"char(5)", []string{"'abc'"}},
	{`"char"`, []string{"'x'"}},
	{"name", []string{"'somebody'"}},
	{"json", []string{`'{"a" : 1.0,  "b":[null, "x\u0041"]}'`, "'null'", "'1e5'", `'"text"'`}},
	{"jsonb", []string{`'{"a" : 1.0,  "b":[null, "x\u0041"]}'`, "'null'", "'12345678901234567890'", "'[]'"}},
	{"uuid", []string{"'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"}},
	{"bytea", []string{`'\x00ff10'`, "''"}},
	{"timestamp", []string{"'2026-01-02 03:04:05'", "'2026-01-02 03:04:05.123456'", "'2026-01-02 03:04:05.1'", "'infinity'", "'-infinity'", "'0044-03-15 12:00:00 BC'", "'12026-01-02 00:00:00'"}},
	{"timestamptz", []string{"'2026-01-02 03:04:05+00'", "'2026-01-02 03:04:05.123456+05:30'", "'infinity'", "'0044-03-15 12:00:00+00 BC'"}},
	{"date", []string{"'2026-01-02'", "'infinity'", "'0044-03-15 BC'"}},
	{"time", []string{"'03:04:05'", "'23:59:59.999999'"}},
	{"timetz", []string{"'03:04:05+02'", "'03:04:05-05:30'"}},
	{"interval", []string{"'1 day 2 hours'", "'1 year 2 mons -3 days'", "'-00:00:01.5'", "'P1Y2M3DT4H5M6S'"}},
	{"inet", []string{"'192.168.0.1'", "'10.0.0.0/8'", "'::1'"}},
	{"cidr", []string{"'10.0.0.0/8'"}},
	{"macaddr", []string{"'08:00:2b:01:02:03'"}},
	{"int4range", []string{"'[1,5)'", "'empty'", "'(,)'"}},
	{"tstzrange", []string{"'[2026-01-02 03:04:05+00,)'"}},
	{"int4multirange", []string{"'{[1,5),[7,9)}'"}},
	{"money", []string{"'12.34'"}},
	{"oid", []string{"4294967295"}},
	{"bit(3)", []string{"'101'"}},
	{"varbit", []string{"'10101'"}},
	{"point", []string{"'(1,2)'"}},
	{"box", []string{"'(2,2),(0,0)'"}},
	{"tsvector", []string{"'a fat cat'"}},
	{"xml", []string{`'<a b="c"/>'`}},
	{"mood", []string{"'happy'", `'so "so", {really}'`}},
	{"positive", []string{"7"}},
	{"label", []string{"'domain over domain'"}},
	{"int4[]", []string{"'{}'", "'{1,NULL,-3}'", "'{{1,2},{3,4}}'", "'[0:2]={1,2,3}'", "'[2:3][-1:0]={{1,2},{3,4}}'"}},
	{"int8[]", []string{"'{9007199254740993}'"}},
	{"numeric[]", []string{"'{1.10,NaN}'"}},
	{"float8[]", []string{"'{1e300,Infinity}'"}},
	{"bool[]", []string{"'{t,f,NULL}'"}},
	{"text[]", []string{`ARRAY['', 'NULL', 'null', 'a,b', '{x}', E'q"\\ \n', ' pad ', NULL]`, "ARRAY[['a','b'],['c',NULL]]"}},
	{"uuid[]", []string{"'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'"}},
	{"jsonb[]", []string{`ARRAY['{"a": [1, "x\"y"]}'::jsonb, 'null'::jsonb, NULL]`}},
	{"json[]", []string{`ARRAY['{"a" : 1}'::json]`}},
	{"timestamptz[]", []string{"'{2026-01-02 03:04:05+00,NULL}'"}},
	{"timestamp[]", []string{"'{2026-01-02 03:04:05.5}'"}},
	{"date[]", []string{"'{2026-01-02}'"}},
	{"bytea[]", []string{`ARRAY['\x00ff'::bytea]`}},
	{"box[]", []string{"'{(2,2),(0,0);(3,3),(1,1)}'"}},
	{"mood[]", []string{`ARRAY['happy', 'so "so", {really}']::mood[]`}},
	{"positive[]", []string{"'{7,8}'"}},
	{"positives", []string{"'{7,8}'"}},
}

// TestJSONIsThatOfTheDatabase compares with to_json, and with the file of what that was, which people read.
func TestJSONIsThatOfTheDatabase(t *testing.T) {
	k := newKit(t, `CREATE TYPE mood AS ENUM ('happy', 'so "so", {really}')`, "CREATE DOMAIN positive AS int8 CHECK (VALUE > 0)",
		"CREATE DOMAIN word AS text", "CREATE DOMAIN label AS word", "CREATE DOMAIN positives AS positive[]",
		"SET TimeZone = 'UTC'", "SET IntervalStyle = 'postgres'", "SET lc_monetary = 'C'")
	var names []string
	for i, c := range typeCases {
		names = append(names, "t"+string(rune('a'+i/26))+string(rune('a'+i%26)))
		k.exec("CREATE TABLE " + names[i] + " (id serial PRIMARY KEY, v " + c.column + ")")
	}
	k.open(changes.Config{Tables: tables(names...)})
	var golden strings.Builder
	for i, c := range typeCases {
		for _, value := range append([]string{"NULL"}, c.values...) {
			k.exec("INSERT INTO " + names[i] + " (v) VALUES (" + value + ")")
			e := k.next()
			require.Len(t, e.Changes, 1, c.column)
			got := changes.AppendJSON(nil, e.Changes[0].Table, e.Changes[0].New, []int{1})
			require.True(t, json.Valid(got), "%s", got)
			want := one[string](k, "SELECT '{\"v\":' || coalesce(to_json(v)::text, 'null') || '}' FROM "+names[i]+" ORDER BY id DESC LIMIT 1")
			require.Equal(t, want, string(got), "%s %s", c.column, value)
			if value != "NULL" {
				fmt.Fprintf(&golden, "%s\t%q\t%s\n", c.column, e.Changes[0].New[1].Text, got[5:len(got)-1])
			}
		}
	}
	checkGolden(t, "types.tsv", golden.String())
}

// checkGolden compares with a file, or writes it with YSERVERD_TEST_UPDATE=1.
func checkGolden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("YSERVERD_TEST_UPDATE") == "1" {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), text)
}

// TestWhatIsNotTheTextOfItsType becomes a string: nothing that the database says breaks a message.
func TestWhatIsNotTheTextOfItsType(t *testing.T) {
	for _, c := range []struct {
		column changes.Column
		text   string
		want   string
	}{
		{changes.Number, "01", `"01"`},
		{changes.Number, "-", `"-"`},
		{changes.Number, "1.", `"1."`},
		{changes.Number, ".5", `".5"`},
		{changes.Number, "1e", `"1e"`},
		{changes.Number, "1e+5", `1e+5`},
		{changes.Number, "0x1", `"0x1"`},
		{changes.Bool, "true", `"true"`},
		{changes.JSON, "{", `"{"`},
		{changes.Numbers, "{1", `"{1"`},
		{changes.Numbers, "1", `"1"`},
		{changes.Numbers, "{1}x", `"{1}x"`},
		{changes.Numbers, "{1,}", `"{1,}"`},
		{changes.Numbers, `{"1`, `"{\"1"`},
		{changes.Numbers, `[0:1]`, `"[0:1]"`},
		{changes.Numbers, "{{{{{{{1}}}}}}}", `"{{{{{{{1}}}}}}}"`},
		{changes.Numbers, `{"1",two}`, `[1,"two"]`},
		{changes.Text, "\xff\x00é", `"\ufffd\u0000é"`},
	} {
		got := changes.AppendValue([]byte("x"), &c.column, changes.Value{Text: c.text})
		want := strings.ReplaceAll(c.want, `\ufffd`, "\ufffd")
		require.Equal(t, "x"+want, string(got))
	}
	require.Equal(t, "null", string(changes.AppendValue(nil, &changes.Column{}, changes.Value{Unknown: true})))
	require.Equal(t, "null", string(changes.AppendJSON(nil, &changes.Relation{}, nil, nil)))
}

func TestAppendJSONTakesColumns(t *testing.T) {
	rel := &changes.Relation{Columns: []changes.Column{{Name: "a"}, {Name: "b"}, {Name: "c"}}}
	row := []changes.Value{{Text: "1"}, {Unknown: true}, {Null: true}}
	require.Equal(t, `[{"a":"1","c":null}`, string(changes.AppendJSON([]byte("["), rel, row, nil)))
	require.Equal(t, `{"c":null,"a":"1"}`, string(changes.AppendJSON(nil, rel, row, []int{2, 1, 0})))
	require.Equal(t, `{}`, string(changes.AppendJSON(nil, rel, row, []int{})))
}

func TestAppendJSONAllocatesNothing(t *testing.T) {
	rel := &changes.Relation{Columns: []changes.Column{changes.Number, changes.Numbers, changes.Text}}
	row := []changes.Value{{Text: "12.5"}, {Text: `{1,2,NULL}`}, {Text: "a \"b\""}}
	buffer := make([]byte, 0, 1024)
	require.Zero(t, testing.AllocsPerRun(100, func() { buffer = changes.AppendJSON(buffer[:0], rel, row, nil) }))
}
