package ydoc_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/protocol/ydoc"
)

// compacted returns what is left of the updates after compaction, in words.
func compacted(t *testing.T, updates ...[]byte) []string {
	t.Helper()
	d := doc(t, updates...)
	f := d.Freeze()
	c, err := f.Compact()
	require.NoError(t, err)
	require.NoError(t, f.Check(c.Update()))
	require.True(t, d.Adopt(c))
	require.NoError(t, d.Check())
	require.LessOrEqual(t, d.Stats().Structs, 1_000_000)
	again, err := d.Freeze().Compact()
	require.NoError(t, err)
	require.Equal(t, c.Update(), again.Update(), "a second compaction changes nothing")
	return show(t, c.Update())
}

// The steps of compaction.

func TestCompact1SlicesByTheDeleteSet(t *testing.T) {
	require.Equal(t, []string{
		`5:0+1 string "a" root=r`, "5:1+2 deleted left=5:0", `5:3+2 string "de" left=5:2`, "5:5+1 deleted left=5:4",
		"5:6+1 any root=l", "5:7+1 deleted left=5:6", "5:8+1 any left=5:7",
		"del 5:1+2", "del 5:5+1", "del 5:7+1",
	}, compacted(t,
		one(5, 0, text(at{root: "r"}, "abcdef"), anys(at{root: "l"}, 1, 2, 3)),
		deletes(del{5, 1, 2}, del{5, 5, 1}, del{5, 7, 1}),
	))
	require.Equal(t, []string{
		"5:0+1 deleted right=9:0", "5:1+2 string \"\ufffdb\" left=5:0 right=9:0", "del 5:0+1",
	}, compacted(t, one(5, 0, text(at{right: id(9, 0)}, "\U0001f600b")), deletes(del{5, 0, 1})))
	require.Equal(t, []string{
		"5:0+2 string \"a\ufffd\" root=r", "5:2+2 deleted left=5:1", "5:4+1 string \"\ufffd\" left=5:3", "del 5:2+2",
	}, compacted(t, one(5, 0, text(at{root: "r"}, "a\U0001f600\U0001f600")), deletes(del{5, 2, 2})))
	jsons := item(update.JSON, at{root: "l"}, lib0.AppendVarString(lib0.AppendVarString([]byte{2}, "1"), "undefined")...)
	require.Equal(t, []string{"5:0+1 deleted root=l", "5:1+1 json left=5:0", "del 5:0+1"},
		compacted(t, one(5, 0, jsons), deletes(del{5, 0, 1})))
}

func TestCompact2DerivesOverwrittenEntries(t *testing.T) {
	first := anys(at{root: "m", key: "k"}, 1)
	// Three clients set a key at the same time, two more go on from one of them; nobody said what was overwritten.
	race := build([]section{
		sec(9, 0, anys(at{left: id(5, 0)}, 91)), // the greatest client of all, but behind 5
		sec(7, 0, first),
		sec(6, 0, anys(at{left: id(7, 0)}, 61)),
		sec(5, 0, anys(at{left: id(7, 0)}, 51)),
		sec(3, 0, first, anys(at{left: id(3, 0)}, 31)),
	})
	// The tree: 3 (3'), 7 (5 (9), 6). From the root to 7, from there to 6.
	require.Equal(t, []string{
		"9:0+1 deleted left=5:0", "7:0+1 deleted root=m key=k", "6:0+1 any left=7:0", "5:0+1 deleted left=7:0",
		"3:0+2 deleted root=m key=k", "del 9:0+1", "del 7:0+1", "del 5:0+1", "del 3:0+2",
	}, compacted(t, race))

	t.Run("not with a right origin", func(t *testing.T) {
		u := one(5, 0, first, anys(at{left: id(5, 0)}, 2), anys(at{left: id(5, 0), right: id(5, 1)}, 3))
		require.NotContains(t, compacted(t, u), "del 5:0+1")
	})
	t.Run("not while an id is unresolved", func(t *testing.T) {
		u := one(5, 0, first, anys(at{left: id(5, 0)}, 2), text(at{left: id(8, 0)}, "x"))
		require.NotContains(t, compacted(t, u), "del 5:0+1")
		require.Contains(t, compacted(t, u, one(8, 0, text(at{root: "r"}, "y"))), "del 5:0+1")
	})
	t.Run("keys apart", func(t *testing.T) {
		u := one(5, 0,
			first, anys(at{root: "m", key: "other"}, 2), anys(at{root: "n", key: "k"}, 3), anys(at{root: "m", key: "", keyed: true}, 4),
			ymap(at{root: "m", key: "map"}), anys(at{parent: id(5, 4), key: "k"}, 5), anys(at{left: id(5, 5)}, 6))
		require.Equal(t, []string{
			"5:0+1 any root=m key=k", "5:1+1 any root=m key=other", "5:2+1 any root=n key=k", "5:3+1 any root=m key=",
			"5:4+1 type root=m key=map", "5:5+1 deleted in=5:4 key=k", "5:6+1 any left=5:5", "del 5:5+1",
		}, compacted(t, u))
	})
	t.Run("children of an overwritten type go", func(t *testing.T) {
		u := one(5, 0, ymap(at{root: "m", key: "k"}), anys(at{parent: id(5, 0), key: "x"}, 1), anys(at{left: id(5, 0)}, 2))
		require.Equal(t, []string{"5:0+1 deleted root=m key=k", "5:1+1 gc", "5:2+1 any left=5:0", "del 5:0+2"}, compacted(t, u))
	})
	t.Run("entries of joined deleted runs", func(t *testing.T) {
		run := one(5, 0, first, anys(at{left: id(5, 0)}, 2), anys(at{left: id(5, 1)}, 3), anys(at{left: id(5, 2)}, 4))
		lines := compacted(t, run)
		require.Equal(t, []string{"5:0+3 deleted root=m key=k", "5:3+1 any left=5:2", "del 5:0+3"}, lines)
		d := doc(t, run)
		compact(t, d)
		// Client 4 loses against the run's next entry, client 8 wins against it.
		apply(t, d, build([]section{sec(8, 0, anys(at{left: id(5, 1)}, 81)), sec(4, 0, anys(at{left: id(5, 0)}, 41))}))
		compact(t, d)
		require.Equal(t, []string{
			"8:0+1 any left=5:1", "5:0+4 deleted root=m key=k", "4:0+1 deleted left=5:0", "del 5:0+4", "del 4:0+1",
		}, show(t, d.State()))
	})
	t.Run("a client twice in one place", func(t *testing.T) {
		u := one(5, 0, first, anys(at{root: "m", key: "k"}, 2))
		require.Equal(t, []string{"5:0+1 any root=m key=k", "5:1+1 any root=m key=k"}, compacted(t, u))
	})
	t.Run("not while there is a circle", func(t *testing.T) {
		u := build([]section{
			sec(9, 0, text(at{left: id(8, 0)}, "x")), sec(8, 0, text(at{left: id(9, 0)}, "x")), sec(5, 0, first, anys(at{left: id(5, 0)}, 2)),
		})
		require.NotContains(t, compacted(t, u), "del 5:0+1")
	})
	t.Run("an entry of which a part is deleted", func(t *testing.T) {
		u := build([]section{sec(5, 0, anys(at{root: "m", key: "k"}, 1, 2), anys(at{root: "m", key: "l"}, 1))}, del{5, 0, 1})
		require.Equal(t, []string{"5:0+1 deleted root=m key=k", "5:1+1 any left=5:0 key", "5:2+1 any root=m key=l", "del 5:0+1"}, compacted(t, u))
	})
}

func TestCompact3DropsDeletedContentOfEveryKind(t *testing.T) {
	root := at{root: "r"}
	kinds := [][]byte{
		item(update.JSON, root, lib0.AppendVarString([]byte{1}, "1")...),
		item(update.Binary, root, 2, 1, 2),
		text(root, "a"),
		item(update.Embed, root, lib0.AppendVarString(nil, "{}")...),
		item(update.Format, root, lib0.AppendVarString(lib0.AppendVarString(nil, "b"), "1")...),
		item(update.Type, root, 3, 1, 'p'),
		anys(root, 1),
		item(update.Doc, root, 1, 'g', 118, 0),
		deleted(root, 1),
	}
	for i, s := range kinds {
		require.Equal(t, []string{"5:0+1 deleted root=r", "del 5:0+1"}, compacted(t, one(5, 0, s), deletes(del{5, 0, 1})), i)
	}
	// Content that came deleted is deleted for everyone, whether the delete set said so or not.
	require.Equal(t, []string{"5:0+1 deleted root=r", "5:1+3 gc", "del 5:0+4"}, compacted(t, one(5, 0, deleted(root, 1), gc(3))))
}

func TestCompact4CollectsChildrenOfDeletedTypes(t *testing.T) {
	u := build([]section{
		sec(9, 0, text(at{right: id(5, 2)}, "x"), text(at{left: id(9, 0)}, "y")), // along the right origin, then the origin
		sec(5, 0,
			array(at{root: "r"}),            // 0, deleted
			ytext(at{parent: id(5, 0)}),     // 1, its child
			text(at{parent: id(5, 1)}, "a"), // 2, the child's
			text(at{left: id(5, 0)}, "b"),   // 3, beside the type: stays
			ymap(at{left: id(5, 3)}),        // 4, alive
			anys(at{parent: id(5, 4), key: "k"}, 1),
			text(at{parent: id(5, 3)}, "no type"), // of what is no type
		),
	}, del{5, 0, 1})
	require.Equal(t, []string{
		"9:0+2 gc",
		"5:0+1 deleted root=r", "5:1+2 gc", `5:3+1 string "b" left=5:0`, "5:4+1 type left=5:3", "5:5+1 any in=5:4 key=k", "5:6+7 gc",
		"del 9:0+2", "del 5:0+3", "del 5:6+7",
	}, compacted(t, u))
	t.Run("but not what waits for others", func(t *testing.T) {
		lines := compacted(t, u, one(4, 0, text(at{left: id(5, 1), right: id(3, 0)}, "z"), text(at{left: id(4, 0)}, "w")))
		require.Contains(t, lines, `4:0+1 string "z" left=5:1 right=3:0`)
		require.Contains(t, lines, `4:1+1 string "w" left=4:0`)
	})
}

func TestCompact4DepthCostsNoStack(t *testing.T) {
	const depth = 50_000
	structs := make([][]byte, 0, depth)
	structs = append(structs, array(at{root: "r"}))
	for i := range uint64(depth - 1) {
		structs = append(structs, array(at{parent: id(5, i)}))
	}
	// A second client hangs a chain of origins on the innermost one, each behind the next client's.
	lines := compacted(t, one(5, 0, structs...), deletes(del{5, 0, 1}))
	require.Equal(t, []string{"5:0+1 deleted root=r", "5:1+49999 gc", "del 5:0+50000"}, lines)

	chain := make([]section, 0, 2000)
	for c := uint64(2000); c > 0; c-- {
		chain = append(chain, sec(c, 0, text(at{left: id(c+1, 0)}, "x")))
	}
	lines = compacted(t, build(chain), one(2001, 0, text(at{parent: id(2002, 0)}, "y")), one(2002, 0, ytext(at{root: "r"})), deletes(del{2002, 0, 1}))
	require.Equal(t, "2001:0+1 gc", lines[1])
	require.Equal(t, "1:0+1 gc", lines[2001])
}

func TestCompact5JoinsNeighbours(t *testing.T) {
	r := at{root: "r"}
	for name, c := range map[string]struct {
		u    []byte
		want []string
	}{
		"text":                {one(5, 0, text(r, "a"), text(at{left: id(5, 0)}, "b")), []string{`5:0+2 string "ab" root=r`}},
		"values":              {one(5, 0, anys(r, 1), anys(at{left: id(5, 0)}, 2, 3)), []string{"5:0+3 any root=r"}},
		"json":                {one(5, 0, item(update.JSON, r, 1, 1, '1'), item(update.JSON, at{left: id(5, 0)}, 1, 1, '2')), []string{"5:0+2 json root=r"}},
		"deleted":             {one(5, 0, deleted(r, 1), text(at{left: id(5, 0)}, "b")), []string{"5:0+1 deleted root=r", `5:1+1 string "b" left=5:0`, "del 5:0+1"}},
		"both deleted":        {build([]section{sec(5, 0, anys(r, 1), text(at{left: id(5, 0)}, "b"))}, del{5, 0, 2}), []string{"5:0+2 deleted root=r", "del 5:0+2"}},
		"gc":                  {one(5, 0, gc(3), gc(4)), []string{"5:0+7 gc", "del 5:0+7"}},
		"not another left":    {one(5, 0, text(r, "ab"), text(at{left: id(5, 0)}, "c")), []string{`5:0+2 string "ab" root=r`, `5:2+1 string "c" left=5:0`}},
		"not another right":   {one(5, 0, text(r, "a"), text(at{left: id(5, 0), right: id(9, 0)}, "b")), []string{`5:0+1 string "a" root=r`, `5:1+1 string "b" left=5:0 right=9:0`}},
		"not a further right": {one(5, 0, text(at{right: id(9, 0)}, "a"), text(at{left: id(5, 0), right: id(9, 1)}, "b")), []string{`5:0+1 string "a" right=9:0`, `5:1+1 string "b" left=5:0 right=9:1`}},
		"the same right":      {one(5, 0, text(at{right: id(9, 0)}, "a"), text(at{left: id(5, 0), right: id(9, 0)}, "b")), []string{`5:0+2 string "ab" right=9:0`}},
		"not another kind":    {one(5, 0, text(r, "a"), anys(at{left: id(5, 0)}, 1)), []string{`5:0+1 string "a" root=r`, "5:1+1 any left=5:0"}},
		"not single things":   {one(5, 0, ymap(r), ymap(at{left: id(5, 0)})), []string{"5:0+1 type root=r", "5:1+1 type left=5:0"}},
		"adjacency no matter": {build([]section{sec(9, 0, text(at{left: id(5, 0), right: id(5, 1)}, "x")), sec(5, 0, text(r, "a"), text(at{left: id(5, 0)}, "b"))}), []string{`9:0+1 string "x" left=5:0 right=5:1`, `5:0+2 string "ab" root=r`}},
		"deleted entries":     {build([]section{sec(5, 0, anys(at{root: "m", key: "k"}, 1), anys(at{left: id(5, 0)}, 2))}, del{5, 0, 2}), []string{"5:0+2 deleted root=m key=k", "del 5:0+2"}},
		"never live entries":  {build([]section{sec(5, 0, anys(at{root: "m", key: "k"}, 1), anys(at{left: id(5, 0)}, 2), text(at{left: id(3, 0)}, "x"))}), []string{"5:0+1 any root=m key=k", "5:1+1 any left=5:0", `5:2+1 string "x" left=3:0`}},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, compacted(t, c.u)) })
	}
}

func TestCompact6KeepDeleted(t *testing.T) {
	d := ydoc.New(ydoc.Config{KeepDeleted: true})
	apply(t, d, build([]section{sec(5, 0,
		text(at{root: "r"}, "abc"), array(at{left: id(5, 2)}), text(at{parent: id(5, 3)}, "in"), anys(at{root: "l"}, 1), anys(at{left: id(5, 6)}, 2),
		anys(at{root: "m", key: "k"}, 1), anys(at{left: id(5, 8)}, 2),
	)}, del{5, 1, 1}, del{5, 3, 1}))
	before := show(t, d.State())
	f := d.Freeze()
	u := compact(t, d)
	require.NoError(t, d.Check())
	require.NoError(t, f.Check(u))
	require.Equal(t, []string{
		`5:0+3 string "abc" root=r`, "5:3+1 type left=5:2", `5:4+2 string "in" in=5:3`, "5:6+2 any root=l",
		"5:8+1 any root=m key=k", "5:9+1 any left=5:8",
		"del 5:1+1", "del 5:3+1", "del 5:8+1",
	}, show(t, u))
	require.Len(t, before, 9)
}

func TestCompactKeepsWhatIsParked(t *testing.T) {
	d := doc(t, one(5, 0, text(at{root: "r"}, "ab")), one(5, 4, text(at{left: id(5, 3)}, "ef")), deletes(del{5, 1, 1}, del{5, 5, 4}, del{9, 0, 2}))
	f := d.Freeze()
	u := compact(t, d)
	require.NoError(t, f.Check(u))
	require.Equal(t, []string{
		`5:0+1 string "a" root=r`, "5:1+1 deleted left=5:0", "5:2+2 skip", `5:4+2 string "ef" left=5:3`,
		"del 9:0+2", "del 5:1+1", "del 5:5+4",
	}, show(t, u))
	require.True(t, ydoc.Equal(d, doc(t, u)))
}

func TestCompactNodesAreSmall(t *testing.T) {
	require.LessOrEqual(t, ydoc.NodeSize, uintptr(32))
}

// TestCompactB4 holds the compacted trace against the size of what yjs 13.6.33 makes of it.
func TestCompactB4(t *testing.T) {
	updates, want := b4()
	d := load(t, updates)
	f := d.Freeze()
	u := compact(t, d)
	require.NoError(t, f.Check(u))
	require.NoError(t, d.Check())
	const yjs = 245_320 // Y.encodeStateAsUpdate(doc).length
	require.LessOrEqual(t, len(u), yjs)
	require.Len(t, u, 222_820)
	alive := 0
	var dec update.Decoder
	dec.Reset(u, update.Limits{})
	for s := (update.Struct{}); ; {
		ok, err := dec.Next(&s)
		require.NoError(t, err)
		if !ok {
			break
		}
		if s.Kind == update.String {
			alive += int(s.Len)
		}
	}
	require.Equal(t, len(want), alive)
}
