package relay_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/relay"
)

func TestMergePatch(t *testing.T) {
	for _, row := range []struct{ target, patch, want string }{
		// the test cases of RFC 7386, appendix A
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `null`, `null`},
		{`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},

		// the example of its section 3
		{
			`{"title":"Goodbye!","author":{"givenName":"John","familyName":"Doe"},"tags":["example","sample"],"content":"This will be unchanged"}`,
			`{"title":"Hello!","phoneNumber":"+01-123-456-7890","author":{"familyName":null},"tags":["example"]}`,
			`{"title":"Hello!","author":{"givenName":"John"},"tags":["example"],"content":"This will be unchanged","phoneNumber":"+01-123-456-7890"}`,
		},

		// targets that are not there, or no objects
		{``, `{"a":null,"b":{"c":null,"d":[{"e":null}]}}`, `{"b":{"d":[{"e":null}]}}`},
		{``, `{}`, `{}`},
		{``, ` 7 `, `7`},
		{`null`, `{}`, `{}`},
		{`"x"`, `{"a":{}}`, `{"a":{}}`},
		{`{"a":1}`, `{"a":{"b":null}}`, `{"a":{}}`},
		{`{"a":[]}`, `{"a":{"b":{"c":1}}}`, `{"a":{"b":{"c":1}}}`},

		// order
		{`{"c":1,"a":2,"b":3}`, `{"z":0,"b":4,"c":5,"y":6}`, `{"c":5,"a":2,"b":4,"z":0,"y":6}`},
		{`{"a":1,"b":2,"c":3}`, `{"b":null,"d":4}`, `{"a":1,"c":3,"d":4}`},

		// duplicates
		{`{"a":1,"b":2,"a":3}`, `{}`, `{"b":2,"a":3}`},
		{`{"a":{"x":1},"b":2,"a":{"y":1}}`, `{"a":{"z":1}}`, `{"b":2,"a":{"y":1,"z":1}}`},
		{`{}`, `{"a":1,"a":null}`, `{}`},
		{`{"a":0}`, `{"a":null,"b":1,"a":2}`, `{"a":2,"b":1}`},
		{`{}`, `{"a":{"b":1},"a":{"c":1}}`, `{"a":{"c":1}}`},
		{`{}`, `{"a":[{"b":{"b":1},"b":2,"c":[{"d":1 , "d":[ ]}]}]}`, `{"a":[{"b":2,"c":[{"d":[]}]}]}`},
		{`[{"a":[{"b":1,"b":2}],"a":{"b":1,"b":3}},{"a":1}]`, `{}`, `{}`},
		{`{"x":[{"a":[{"b":1,"b":2}],"a":{"b":1,"b":3}},{"a":1}]}`, `{"y":1}`, `{"x":[{"a":{"b":3}},{"a":1}],"y":1}`},

		// in objects with many members
		{`{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"a":2,"j":{"a":1}}`, `{"b":{}}`, `{"b":{},"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"a":2,"j":{"a":1}}`},
		{`{"a":1}`, `{"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"\u0061":1,"i":null,"i":1,"a":null,"b":{"c":null}}`, `{"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"b":{}}`},

		// keys are compared decoded; what exists keeps its text
		{`{"\u0061":1}`, `{"a":2}`, `{"\u0061":2}`},
		{`{"a":1,"\u0061":2}`, `{"\u0061":{"b":1}}`, `{"\u0061":{"b":1}}`},
		{`{"\ud800":1,"\ud801":2}`, `{"\ud801":null,"\uD802":3}`, `{"\ud800":1,"\uD802":3}`},
		{`{"\ud83d\ude00":1}`, `{"😀":null}`, `{}`},
		{`{"\/":1,"\\u0061":2}`, `{"/":null,"a":3}`, `{"\\u0061":2,"a":3}`},
		{`{"":1}`, `{"":null}`, `{}`},
		{`{"__proto__":{"a":1},"constructor":1}`, `{"__proto__":{"b":1},"toString":2}`, `{"__proto__":{"a":1,"b":1},"constructor":1,"toString":2}`},
		{`{}`, `{"__proto__":null}`, `{}`},

		// text is kept, space is not
		{` { "a" : 1.50 , "b":[ 1 , -0 , "\u0061 \/ \ud800" ] , "s" : " x " } `, ` { "c" : [ { } , { "x" : 1e400 } , 12345678901234567890 ] } `, `{"a":1.50,"b":[1,-0,"\u0061 \/ \ud800"],"s":" x ","c":[{},{"x":1e400},12345678901234567890]}`},
		{`{"a":{"n":null,"k":[null]}}`, `{"a":{"z":1}}`, `{"a":{"n":null,"k":[null],"z":1}}`},
		{"[\n]", " [ \t] ", `[]`},
	} {
		got, err := relay.MergePatch([]byte("+"), []byte(row.target), []byte(row.patch), len(row.want), 0)
		require.NoError(t, err, "%s with %s", row.target, row.patch)
		require.Equal(t, "+"+row.want, string(got), "%s with %s", row.target, row.patch)
		got, err = relay.MergePatch([]byte("+"), []byte(row.target), []byte(row.patch), len(row.want)-1, 0)
		require.ErrorIs(t, err, relay.ErrTooLarge)
		require.Equal(t, "+", string(got))
	}
}

func TestMergePatchRefuses(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 512) + `{}` + strings.Repeat(`}`, 512)
	for _, row := range []struct {
		target, patch string
		err           error
	}{
		{`{}`, ``, relay.ErrBadJSON},
		{`{}`, `{`, relay.ErrBadJSON},
		{`{}`, "\ufeff{}", relay.ErrBadJSON},
		{`{}`, "\"\xff\"", relay.ErrBadJSON},
		{` `, `{}`, relay.ErrBadJSON},
		{`{"a"}`, `{}`, relay.ErrBadJSON},
		{"{\"\xff\":1}", `{}`, relay.ErrBadJSON},
		{deep, `{}`, relay.ErrBadFrame},
		{`{}`, deep, relay.ErrBadFrame},
		{`{}`, strings.Repeat("[", 10<<20), relay.ErrBadFrame},
	} {
		got, err := relay.MergePatch([]byte("+"), []byte(row.target), []byte(row.patch), 1<<30, 0)
		require.ErrorIs(t, err, row.err)
		require.Equal(t, "+", string(got))
	}
	_, err := relay.MergePatch(nil, []byte(`{}`), []byte(`{}`), -1, 0)
	require.ErrorIs(t, err, relay.ErrTooLarge)
	got, err := relay.MergePatch(nil, []byte(deep), []byte(deep), len(deep), 513)
	require.NoError(t, err)
	require.Equal(t, deep, string(got))
}

func TestMergePatchReusesItsBuffer(t *testing.T) {
	target, patch := []byte(`{"a":1}`), []byte(`{"b":2}`)
	dst := make([]byte, 0, 64)
	got, err := relay.MergePatch(dst, target, patch, 64, 0)
	require.NoError(t, err)
	require.Equal(t, `{"a":1,"b":2}`, string(got))
	require.Same(t, &dst[:1][0], &got[0])
	require.Equal(t, `{"a":1}`, string(target))
	require.Equal(t, `{"b":2}`, string(patch))
}

func TestMergePatchOfManyKeys(t *testing.T) {
	const n = 100_000
	state := object(n, func(i int) string { return fmt.Sprintf(`"k%d":%d`, i, i) })
	patch := object(n, func(i int) string {
		if i%2 == 0 {
			return fmt.Sprintf(`"k%d":null`, i)
		}
		return fmt.Sprintf(`"\u006b%d":{"v":%d}`, n+n/2-i, i)
	})
	got, err := relay.MergePatch(nil, state, patch, len(state)+len(patch), 0)
	require.NoError(t, err)
	require.Equal(t, mergeOracle(mustDecodeJSON(t, state), mustDecodeJSON(t, patch)), mustDecodeJSON(t, got))
}
