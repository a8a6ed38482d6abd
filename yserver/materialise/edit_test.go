package materialise_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/yserver/materialise"
)

func TestTextEdits(t *testing.T) {
	at := materialise.At("t")
	state := change(t, update.Empty, func(tx *materialise.Tx) error {
		return errors.Join(
			tx.TextInsert(at, 0, "one two", nil),
			tx.TextFormat(at, 4, 3, materialise.Attributes{"b": true, "c": "red"}),
			tx.TextInsert(at, 7, "!", nil),                                  // takes the formats before it
			tx.TextInsert(at, 8, ".", materialise.Attributes{}),             // has none
			tx.TextInsert(at, 0, "😀", materialise.Attributes{"b": true}),    // has its own
			tx.TextEmbed(at, 2, map[string]any{"src": "x"}, nil),            //
			tx.TextFormat(at, 7, 4, materialise.Attributes{"c": nil}),       // takes a format away
			tx.TextFormat(at, 0, 12, materialise.Attributes{"u": []any{1}}), //
			tx.TextDelete(at, 5, 1),
		)
	})
	require.Equal(t, `[{"insert":"😀","attributes":{"b":true,"u":[1]}},{"insert":{"src":"x"},"attributes":{"u":[1]}},`+
		`{"insert":"on ","attributes":{"u":[1]}},{"insert":"two!","attributes":{"b":true,"u":[1]}},{"insert":".","attributes":{"u":[1]}}]`,
		deltaOf(t, state, "t"))
}

// The content of a root does not always tell its kind, and then the path does.
func TestKindOfThePath(t *testing.T) {
	at := materialise.At("t")
	state := change(t, update.Empty, func(tx *materialise.Tx) error { return tx.MapSet(at, "k", "v") })
	insert := func(p materialise.Path) func(*materialise.Tx) error {
		return func(tx *materialise.Tx) error { return tx.TextInsert(p, 0, "x", nil) }
	}
	_, err := materialise.Edit(t.Context(), state, materialise.EditOptions{}, insert(at))
	require.ErrorIs(t, err, materialise.ErrPath)
	_, err = materialise.Edit(t.Context(), state, materialise.EditOptions{}, insert(at.As(materialise.Array)))
	require.ErrorIs(t, err, materialise.ErrPath)
	state = change(t, state, insert(at.As(materialise.XMLText)))
	require.Equal(t, `"x"`, jsonOf(t, state, "t", materialise.XMLText))
}

func TestNestedEdits(t *testing.T) {
	root := materialise.At("r")
	state := change(t, update.Empty, func(tx *materialise.Tx) error {
		return errors.Join(
			tx.MapSet(root, "list", materialise.New{Kind: materialise.Array, Items: []any{1, "two", []byte{3}, materialise.New{Kind: materialise.Text, Runs: []materialise.Run{{Insert: "text"}}}, nil}}),
			tx.TextInsert(materialise.At("r", "list", 3), 4, "!", nil),
			tx.ArrayDelete(materialise.At("r", "list"), 1, 2),
			tx.ArrayInsert(materialise.At("r", "list"), 3, true, map[string]any{"k": 1.5}),
			tx.MapSet(root, "gone", 1),
			tx.MapSet(root, "gone", 2),
			tx.MapDelete(root, "gone"),
			tx.MapDelete(root, "never"),
		)
	})
	require.Equal(t, `{"list":[1,"text!",null,true,{"k":1.5}]}`, jsonOf(t, state, "r", materialise.Map))
	state = change(t, state, func(tx *materialise.Tx) error { return tx.MapDelete(root, "list") })
	require.Equal(t, `{}`, jsonOf(t, state, "r", materialise.Map))
}

func TestRefusedEdits(t *testing.T) {
	state := change(t, update.Empty, func(tx *materialise.Tx) error {
		return errors.Join(
			tx.TextInsert(materialise.At("t"), 0, "a😀b", nil),
			tx.MapSet(materialise.At("m"), "k", 1),
			tx.MapSet(materialise.At("m"), "n", materialise.New{Kind: materialise.Array}))
	})
	text := materialise.At("t")
	for name, row := range map[string]struct {
		want error
		fn   func(tx *materialise.Tx) error
	}{
		"past the end":     {materialise.ErrRange, func(tx *materialise.Tx) error { return tx.TextInsert(text, 5, "x", nil) }},
		"deletes too much": {materialise.ErrRange, func(tx *materialise.Tx) error { return tx.TextDelete(text, 1, 4) }},
		"formats too much": {materialise.ErrRange, func(tx *materialise.Tx) error { return tx.TextFormat(text, 1, 4, materialise.Attributes{"b": true}) }},
		"within a pair":    {materialise.ErrRange, func(tx *materialise.Tx) error { return tx.TextInsert(text, 2, "x", nil) }},
		"half of a pair":   {materialise.ErrRange, func(tx *materialise.Tx) error { return tx.TextDelete(text, 1, 1) }},
		"text in a map":    {materialise.ErrPath, func(tx *materialise.Tx) error { return tx.TextInsert(materialise.At("m"), 0, "x", nil) }},
		"no type":          {materialise.ErrPath, func(tx *materialise.Tx) error { return tx.MapSet(materialise.At("m", "k"), "x", 1) }},
		"no key":           {materialise.ErrPath, func(tx *materialise.Tx) error { return tx.MapSet(materialise.At("m", "q"), "x", 1) }},
		"no index":         {materialise.ErrPath, func(tx *materialise.Tx) error { return tx.MapSet(materialise.At("m", "n", 0), "x", 1) }},
		"negative index":   {materialise.ErrPath, func(tx *materialise.Tx) error { return tx.MapSet(materialise.At("m", -1), "x", 1) }},
		"wrong kind":       {materialise.ErrPath, func(tx *materialise.Tx) error { return tx.TextInsert(materialise.At("m", "n"), 0, "x", nil) }},
		"no value":         {materialise.ErrValue, func(tx *materialise.Tx) error { return tx.MapSet(materialise.At("m"), "x", make(chan int)) }},
		"no JSON":          {materialise.ErrValue, func(tx *materialise.Tx) error { return tx.TextEmbed(text, 0, math.NaN(), nil) }},
		"bytes as a format": {materialise.ErrValue, func(tx *materialise.Tx) error {
			return tx.TextFormat(text, 0, 1, materialise.Attributes{"b": []byte{1}})
		}},
		"no UTF-8":          {materialise.ErrValue, func(tx *materialise.Tx) error { return tx.TextInsert(text, 0, "\xff", nil) }},
		"a key that is not": {materialise.ErrValue, func(tx *materialise.Tx) error { return tx.MapSet(materialise.At("m"), "\xff", 1) }},
		"a list in a map": {materialise.ErrValue, func(tx *materialise.Tx) error {
			return tx.MapSet(materialise.At("m"), "x", materialise.New{Kind: materialise.Map, Items: []any{1}})
		}},
		"a kind that is none": {materialise.ErrValue, func(tx *materialise.Tx) error { return tx.MapSet(materialise.At("m"), "x", materialise.New{Kind: 9}) }},
		"an array in XML": {materialise.ErrValue, func(tx *materialise.Tx) error {
			return tx.XMLInsert(materialise.At("x"), 0, materialise.New{Kind: materialise.Array})
		}},
		"deeper than may be":    {materialise.ErrLimit, func(tx *materialise.Tx) error { return tx.MapSet(materialise.At("m"), "x", nested(600)) }},
		"the caller's own":      {context.Canceled, func(*materialise.Tx) error { return context.Canceled }},
		"a panic of the caller": {materialise.ErrInternal, func(*materialise.Tx) error { panic("no") }},
	} {
		t.Run(name, func(t *testing.T) {
			u, err := materialise.Edit(t.Context(), state, materialise.EditOptions{}, row.fn)
			require.ErrorIs(t, err, row.want)
			require.Nil(t, u)
		})
	}
}

func nested(depth int) materialise.New {
	n := materialise.New{Kind: materialise.Array}
	for range depth {
		n = materialise.New{Kind: materialise.Array, Items: []any{n}}
	}
	return n
}

func TestNothingToDo(t *testing.T) {
	state := change(t, update.Empty, func(tx *materialise.Tx) error { return tx.TextInsert(materialise.At("t"), 0, "x", nil) })
	u, err := materialise.Edit(t.Context(), state, materialise.EditOptions{}, func(*materialise.Tx) error { return nil })
	require.NoError(t, err)
	require.Nil(t, u)
	u, err = materialise.Replace(t.Context(), state, state, materialise.EditOptions{})
	require.NoError(t, err)
	require.Nil(t, u)
}

// One client id goes on where the state has it; without one each edit has another.
func TestClient(t *testing.T) {
	insert := func(tx *materialise.Tx) error { return tx.TextInsert(materialise.At("t"), 0, "ab", nil) }
	state := update.Empty
	for range 3 {
		u, err := materialise.Edit(t.Context(), state, materialise.EditOptions{Client: 42}, insert)
		require.NoError(t, err)
		state = merged(t, state, u)
	}
	sv, err := update.StateVector(nil, state)
	require.NoError(t, err)
	require.Equal(t, []byte{1, 42, 6}, sv)
	state = change(t, change(t, state, insert), insert)
	sv, err = update.StateVector(nil, state)
	require.NoError(t, err)
	entries, err := update.ParseStateVector(nil, sv, update.Limits{})
	require.NoError(t, err)
	require.Len(t, entries, 3)
	require.Equal(t, `"ababababab"`, jsonOf(t, state, "t", materialise.Text))
}

// A replacement says no more than what differs.
func TestReplaceIsSmall(t *testing.T) {
	long := strings.Repeat("the same words ", 1000)
	doc := func(middle string) []byte {
		return change(t, update.Empty, func(tx *materialise.Tx) error {
			return errors.Join(
				tx.TextInsert(materialise.At("t"), 0, long+middle+long, nil),
				tx.XMLInsert(materialise.At("x"), 0, paragraph(long), paragraph(middle+long), paragraph(long)),
				tx.MapSet(materialise.At("m"), "same", long),
				tx.MapSet(materialise.At("m"), "nested", materialise.New{Kind: materialise.Map, Entries: map[string]any{"same": long, "other": middle}}))
		})
	}
	from, to := doc("before 😀"), doc("after 😁")
	u, err := materialise.Replace(t.Context(), from, to, materialise.EditOptions{})
	require.NoError(t, err)
	require.Less(t, len(u), 250)
	after := merged(t, from, u)
	for _, root := range []string{"t", "x", "m"} {
		require.Equal(t, jsonOf(t, to, root, materialise.Unknown), jsonOf(t, after, root, materialise.Unknown))
	}
}

// Neither does one that moves things apart.
func TestReplaceKeepsWhatIsCommon(t *testing.T) {
	long := strings.Repeat("words ", 500)
	doc := func(texts ...string) []byte {
		return change(t, update.Empty, func(tx *materialise.Tx) error {
			for i, text := range texts {
				if err := errors.Join(tx.XMLInsert(materialise.At("x"), uint64(i), paragraph(text)), tx.ArrayInsert(materialise.At("a"), uint64(i), text)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	from := doc("1"+long, "old", "2"+long, "3"+long, "gone", "4"+long)
	to := doc("new", "1"+long, "2"+long, "between", "3"+long, "4"+long, "last")
	u, err := materialise.Replace(t.Context(), from, to, materialise.EditOptions{})
	require.NoError(t, err)
	require.Less(t, len(u), 300)
	after := merged(t, from, u)
	for _, root := range []string{"x", "a"} {
		require.Equal(t, jsonOf(t, to, root, materialise.Unknown), jsonOf(t, after, root, materialise.Unknown))
	}
}

func paragraph(text string) materialise.New {
	return materialise.New{Kind: materialise.Element, Name: "p", Items: []any{materialise.New{Kind: materialise.XMLText, Runs: []materialise.Run{{Insert: text}}}}}
}

// Edits wait for their turn no longer than their context.
func TestOneEditAtATime(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, err := materialise.Edit(t.Context(), update.Empty, materialise.EditOptions{}, func(*materialise.Tx) error {
		cancel()
		_, err := materialise.Edit(ctx, update.Empty, materialise.EditOptions{}, func(*materialise.Tx) error { return nil })
		return err
	})
	require.ErrorIs(t, err, context.Canceled)
}
