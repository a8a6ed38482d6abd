package materialise_test

import (
	"math"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/yserver/materialise"
)

// Values that are easily lost: what JSON.stringify makes of them in JavaScript.
func TestValuesAsJSON(t *testing.T) {
	for _, row := range []struct {
		value any
		want  string
	}{
		{nil, "null"},
		{lib0.Undefined{}, "null"},
		{math.Copysign(0, -1), "0"},
		{0.1, "0.1"},
		{1e21, "1e+21"},
		{123456789012345680000.0, "123456789012345680000"},
		{1e-6, "0.000001"},
		{1e-7, "1e-7"},
		{-1.5e300, "-1.5e+300"},
		{5e-324, "5e-324"},
		{math.MaxFloat64, "1.7976931348623157e+308"},
		{math.NaN(), "null"},
		{math.Inf(-1), "null"},
		{int64(-9223372036854775808), "-9223372036854775808"},
		{"a\"\\\n\u2028\x01\x7f<é😀", "\"a\\\"\\\\\\n\u2028\\u0001\x7f<é😀\""},
		{[]byte{1, 255}, `{"0":1,"1":255}`},
		{[]any{}, "[]"},
		{lib0.Object{}, "{}"},
		{lib0.Object{{Key: "z", Value: lib0.Undefined{}}, {Key: "b", Value: 1.0}, {Key: "a", Value: []any{lib0.Undefined{}, nil}}}, `{"b":1,"a":[null,null]}`},
	} {
		state := change(t, update.Empty, func(tx *materialise.Tx) error {
			return tx.ArrayInsert(materialise.At("a"), 0, row.value)
		})
		require.Equal(t, "["+row.want+"]", jsonOf(t, state, "a", materialise.Array))
	}
}

// What y-crdt is known to hold wrong.
func TestKnownDifficulties(t *testing.T) {
	state := change(t, update.Empty, func(tx *materialise.Tx) error {
		if err := tx.MapSet(materialise.At("m"), "", nil); err != nil {
			return err
		}
		if err := tx.TextInsert(materialise.At("t"), 0, "ab", nil); err != nil {
			return err
		}
		return tx.TextEmbed(materialise.At("t"), 1, materialise.New{Kind: materialise.Map, Entries: map[string]any{"k": math.Copysign(0, -1)}}, nil)
	})
	require.Equal(t, `{"":null}`, jsonOf(t, state, "m", materialise.Map))
	require.Equal(t, `[{"insert":"a"},{"insert":{"k":0}},{"insert":"b"}]`, deltaOf(t, state, "t"))
	require.False(t, materialise.CrossChecked(open(t, state)))

	// The value itself is copied with its sign.
	u, err := materialise.Replace(t.Context(), update.Empty, state, materialise.EditOptions{})
	require.NoError(t, err)
	negative, err := lib0.AppendAny(nil, math.Copysign(0, -1))
	require.NoError(t, err)
	require.Contains(t, string(u), string(negative))
	require.NotEqual(t, []byte{125, 0}, negative)
}

func TestXML(t *testing.T) {
	state := change(t, update.Empty, func(tx *materialise.Tx) error {
		return tx.XMLInsert(materialise.At("x"), 0,
			materialise.New{Kind: materialise.Element, Name: "ΣΟΦΟΣ", Entries: map[string]any{"b": "1", "a": 2.5, "😀": nil, "\uffff": true}, Items: []any{
				materialise.New{Kind: materialise.XMLText, Runs: []materialise.Run{
					{Insert: "é<"},
					{Insert: "bold", Attributes: materialise.Attributes{"b": lib0.Object{{Key: "y", Value: "1"}, {Key: "x", Value: []any{1.0, nil}}}, "a": true}},
					{Insert: lib0.Object{}, Attributes: materialise.Attributes{"s": "ab"}},
				}},
				materialise.New{Kind: materialise.Hook, Name: "h"},
			}})
	})
	require.Equal(t, "<σοφος a=\"2.5\" b=\"1\" 😀=\"null\" \uffff=\"true\">é<<a><b x=\"1,\" y=\"1\">bold</b></a><s 0=\"a\" 1=\"b\">[object Object]</s>[object Object]</σοφος>", xmlOf(t, state, "x"))
	u, err := materialise.Replace(t.Context(), state, update.Empty, materialise.EditOptions{})
	require.NoError(t, err)
	require.Empty(t, xmlOf(t, merged(t, state, u), "x"))
}

func TestChildrenWithoutStringAreRefused(t *testing.T) {
	state := change(t, update.Empty, func(tx *materialise.Tx) error { return tx.ArrayInsert(materialise.At("a"), 0, nil) })
	_, err := open(t, state).XML(t.Context(), "a", materialise.Fragment)
	var u *materialise.UnsupportedError
	require.ErrorAs(t, err, &u)
	require.Equal(t, "a", u.Root)
}

func TestRoots(t *testing.T) {
	list := materialise.At
	state := change(t, update.Empty, func(tx *materialise.Tx) error {
		for _, err := range []error{
			tx.ArrayInsert(list("array"), 0, 1, "x"),
			tx.MapSet(list("map"), "k", 1),
			tx.TextInsert(list("text"), 0, "a😀", nil),
			tx.XMLInsert(list("xml"), 0, materialise.New{Kind: materialise.Element, Name: "p"}),
			tx.ArrayInsert(list("types"), 0, materialise.New{Kind: materialise.Map}),
			tx.TextInsert(list("gone"), 0, "x", nil),
			tx.TextDelete(list("gone"), 0, 1),
		} {
			if err != nil {
				return err
			}
		}
		return nil
	})
	require.Equal(t, []materialise.Root{
		{Name: "array", Kinds: []materialise.Kind{materialise.Array}, Length: 2},
		{Name: "gone"},
		{Name: "map", Kinds: []materialise.Kind{materialise.Map, materialise.Element, materialise.XMLText}, Keys: 1},
		{Name: "text", Kinds: []materialise.Kind{materialise.Text, materialise.XMLText}, Length: 3},
		{Name: "types", Kinds: []materialise.Kind{materialise.Array}, Length: 1},
		{Name: "xml", Kinds: []materialise.Kind{materialise.Fragment, materialise.Element, materialise.Array}, Length: 1},
	}, open(t, state).Roots())
	all, err := open(t, state).AllJSON(t.Context())
	require.NoError(t, err)
	require.JSONEq(t, `{"array":[1,"x"],"map":{"k":1},"text":"a😀","types":[{}],"xml":"<p></p>"}`, string(all))

	_, err = open(t, state).JSON(t.Context(), "gone", materialise.Unknown)
	require.ErrorIs(t, err, materialise.ErrAmbiguous)
	_, err = open(t, state).JSON(t.Context(), "never", materialise.Unknown)
	require.ErrorIs(t, err, materialise.ErrPath)
	require.Equal(t, "[]", jsonOf(t, state, "never", materialise.Array))
	require.Equal(t, `"<undefined><p></p></undefined>"`, jsonOf(t, state, "xml", materialise.Element))
}

// A list with a value and a key at the same time is no kind that applications have.
func TestAmbiguousRoot(t *testing.T) {
	u := bytesOf([]byte{1, 2}, 5, 0,
		[]byte{byte(update.Any), 1}, "r", []byte{1, 126},
		[]byte{byte(update.Any) | update.HasParentSub, 1}, "r", "k", []byte{1, 126},
		[]byte{0})
	_, err := open(t, u).JSON(t.Context(), "r", materialise.Unknown)
	var a *materialise.AmbiguousError
	require.ErrorAs(t, err, &a)
	require.Equal(t, "r", a.Root)
	require.Equal(t, "[null]", jsonOf(t, u, "r", materialise.Array))
	require.Equal(t, `{"k":null}`, jsonOf(t, u, "r", materialise.Map))
}

// What names something that is not there is left out, and said to be.
func TestPending(t *testing.T) {
	u := bytesOf([]byte{2, 1}, 9, 0, []byte{byte(update.String) | update.HasOrigin}, 8, 7, "lost", // 8:7 is not there
		[]byte{1}, 5, 0, []byte{byte(update.String), 1}, "t", "held", []byte{0})
	d := open(t, u)
	require.True(t, d.Pending())
	require.Equal(t, `"held"`, jsonOf(t, u, "t", materialise.Text))
	more := change(t, u, func(tx *materialise.Tx) error { return tx.TextInsert(materialise.At("t"), 4, "!", nil) })
	require.Equal(t, `"held!"`, jsonOf(t, more, "t", materialise.Text))
}

func TestSurrogates(t *testing.T) {
	u := bytesOf([]byte{1, 1}, 5, 0, []byte{byte(update.String), 1}, "t", "a😀b", []byte{1}, 5, 1, 2, 1) // deletes the second half
	require.Equal(t, "\"a\ufffdb\"", jsonOf(t, u, "t", materialise.Text))
	// As a list, text is its units.
	whole := bytesOf([]byte{1, 1}, 5, 0, []byte{byte(update.String), 1}, "t", "😀", []byte{0})
	require.Equal(t, `["\ud83d","\ude00"]`, jsonOf(t, whole, "t", materialise.Array))
	// JSON texts may have half a pair, and keep it.
	embed := bytesOf([]byte{1, 1}, 5, 0, []byte{byte(update.Embed), 1}, "t", `"\ud83d\ude00 \ude00"`, []byte{0})
	require.Equal(t, `[{"insert":"😀 \ude00"}]`, deltaOf(t, embed, "t"))
	// Halves that meet are the character again.
	halves := bytesOf([]byte{1, 3}, 5, 0, []byte{byte(update.Embed), 1}, "t", `"<\ud83d"`, []byte{byte(update.Embed) | update.HasOrigin}, 5, 0, `"\ude00"`,
		[]byte{byte(update.Embed) | update.HasOrigin}, 5, 1, `"\ude00"`, []byte{0})
	b, err := open(t, halves).XML(t.Context(), "t", materialise.XMLText)
	require.NoError(t, err)
	require.Equal(t, "<😀\ufffd", string(b))
}

// A document only reads, so that any number of readers may share it.
func TestReadersShare(t *testing.T) {
	d := open(t, manyFormats(50))
	want, err := d.Delta(t.Context(), "t")
	require.NoError(t, err)
	var wg sync.WaitGroup
	results := make([][]byte, 8)
	for i := range results {
		wg.Go(func() {
			results[i], _ = d.Delta(t.Context(), "t")
			_, _ = d.AllJSON(t.Context())
			_, _ = d.JSON(t.Context(), "never", materialise.Map)
			d.Roots()
		})
	}
	wg.Wait()
	for _, got := range results {
		require.Equal(t, string(want), string(got))
	}
}

func TestParseKind(t *testing.T) {
	for _, k := range []materialise.Kind{materialise.Array, materialise.Map, materialise.Text, materialise.Element, materialise.Fragment, materialise.Hook, materialise.XMLText} {
		got, err := materialise.ParseKind(k.String())
		require.NoError(t, err)
		require.Equal(t, k, got)
	}
	got, err := materialise.ParseKind("")
	require.NoError(t, err)
	require.Equal(t, materialise.Unknown, got)
	_, err = materialise.ParseKind("list")
	require.ErrorIs(t, err, materialise.ErrValue)
	require.Equal(t, "unknown", materialise.Unknown.String())
}
