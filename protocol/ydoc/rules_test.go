package ydoc_test

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/protocol/ydoc"
)

// The tests of this file are the rules of accepting, asking back and relaying, each with what went wrong without it.

func TestE1AcceptsWhatYjsIntegrates(t *testing.T) {
	root := at{root: "r"}
	for name, s := range map[string][]byte{
		"gc":              gc(lib0.MaxInteger),
		"deleted":         deleted(root, lib0.MaxInteger),
		"json":            item(update.JSON, root, lib0.AppendVarString(lib0.AppendVarString([]byte{2}, "undefined"), `{"a":[1]}`)...),
		"binary":          item(update.Binary, root, 2, 0xff, 0xfe),
		"text":            text(root, "a\U0001f600"),
		"embed":           item(update.Embed, root, lib0.AppendVarString(nil, `null`)...),
		"format":          item(update.Format, root, lib0.AppendVarString(lib0.AppendVarString(nil, "bold"), `"\ud800"`)...),
		"xml element":     item(update.Type, root, 3, 1, 'p'),
		"any":             item(update.Any, root, 3, 127, 126, 122, 0, 0, 0, 0, 0, 0, 0, 1),
		"subdocument":     item(update.Doc, root, 1, 'g', 118, 0),
		"empty key":       anys(at{root: "m", keyed: true}, 1),
		"empty root name": text(at{}, "x"),
	} {
		t.Run(name, func(t *testing.T) {
			d := doc(t, one(lib0.MaxInteger, 0, s))
			require.Equal(t, 1, d.Stats().Clients)
			require.Contains(t, string(d.State()), string(s))
		})
	}
}

func TestE2RefusesWhatMakesYjsThrow(t *testing.T) {
	root := at{root: "r"}
	deep := bytes.Repeat([]byte{117, 1}, 513)
	for name, u := range map[string][]byte{
		"end in a struct":       one(1, 0, text(root, "abc"))[:8],
		"no delete set":         one(1, 0, text(root, "abc"))[:12],
		"content 11":            one(1, 0, item(11, root, 1)),
		"content 31":            one(1, 0, item(31, root, 1)),
		"type 7":                one(1, 0, item(update.Type, root, 7)),
		"any tag 115":           one(1, 0, item(update.Any, root, 1, 115)),
		"utf-8":                 one(1, 0, item(update.String, root, 1, 0xff)),
		"embed undefined":       one(1, 0, item(update.Embed, root, lib0.AppendVarString(nil, "undefined")...)),
		"json bom":              one(1, 0, item(update.JSON, root, lib0.AppendVarString([]byte{1}, "\ufeff1")...)),
		"doc without options":   one(1, 0, item(update.Doc, root, 1, 'g', 126)),
		"empty text":            one(1, 0, text(root, "")),
		"empty gc":              one(1, 0, gc(0)),
		"gc with flags":         one(1, 0, []byte{0x80, 1}),
		"skip with flags":       one(1, 0, []byte{0x8a, 1}),
		"beyond 2^53":           one(1, 1, gc(lib0.MaxInteger)),
		"deletes beyond 2^53":   deletes(del{1, 1, lib0.MaxInteger}),
		"nested too deeply":     one(1, 0, item(update.Any, root, append([]byte{1}, append(deep, 126)...)...)),
		"own origin ahead":      one(1, 0, text(at{left: id(1, 0)}, "a")),
		"own right ahead":       one(1, 0, text(at{right: id(1, 5)}, "a")),
		"own parent ahead":      one(1, 0, text(at{parent: id(1, 0)}, "a")),
		"good before bad":       build([]section{sec(9, 0, text(root, "new")), sec(5, 2, text(at{left: id(5, 1)}, "more")), sec(1, 0, gc(0))}),
		"good before bad range": build([]section{sec(5, 2, text(at{left: id(5, 1)}, "more"))}, del{5, 0, 1}, del{4, 1, lib0.MaxInteger}),
	} {
		t.Run(name, func(t *testing.T) {
			d := doc(t, one(5, 0, text(root, "ab")), one(7, 3, text(root, "parked")), deletes(del{8, 1, 1}))
			before, sv := bytes.Clone(d.Full()), bytes.Clone(d.StateVector())
			stats := d.Stats()
			a, err := d.Apply(u)
			require.Error(t, err)
			if name == "nested too deeply" {
				require.ErrorIs(t, err, ydoc.ErrLimit)
			} else {
				require.ErrorIs(t, err, ydoc.ErrMalformed)
			}
			require.Zero(t, a)
			require.NoError(t, d.Check())
			require.Equal(t, before, d.Full())
			require.Equal(t, sv, d.StateVector())
			require.Equal(t, stats, d.Stats())
			// What follows is stored as if nothing had been.
			apply(t, d, one(5, 2, text(at{left: id(5, 1)}, "c")))
			require.Contains(t, joined(t, d.State()), `5:0+3 string "abc" root=r`)
		})
	}
}

func TestE3ToleratesWhatYjsTolerates(t *testing.T) {
	hello := one(3, 0, text(at{root: "r"}, "hello"))
	for name, u := range map[string][]byte{
		"overlong numbers": {0x81, 0x80, 0, 1, 3, 0, 4, 1, 1, 'r', 0x85, 0, 'h', 'e', 'l', 'l', 'o', 0x80, 0},
		"trailing bytes":   append(bytes.Clone(hello), 1, 2, 3),
		"empty section":    build([]section{sec(3, 0, text(at{root: "r"}, "hello")), sec(2, 7)}),
		"skip":             one(3, 0, text(at{root: "r"}, "hello"), skip(4)),
		"only a skip":      build([]section{sec(4, 0, skip(4)), sec(3, 0, text(at{root: "r"}, "hello"))}),
		"empty deletes":    append(bytes.Clone(hello[:len(hello)-1]), 1, 3, 0),
	} {
		t.Run(name, func(t *testing.T) {
			d := doc(t, u)
			require.True(t, ydoc.Equal(doc(t, hello), d))
			require.Equal(t, []string{`3:0+5 string "hello" root=r`}, show(t, d.State()))
		})
	}
	t.Run("deletes in any order", func(t *testing.T) {
		d := doc(t, hello, deletes(del{3, 3, 1}, del{3, 0, 2}, del{3, 1, 1}, del{3, 3, 2}))
		require.Equal(t, []string{`3:0+5 string "hello" root=r`, "del 3:0+2", "del 3:3+2"}, show(t, d.State()))
	})
	t.Run("any other parent info is an id", func(t *testing.T) {
		child := text(at{parent: id(3, 0)}, "x")
		child[1] = 7
		d := doc(t, one(3, 0, ytext(at{root: "r"})), one(4, 0, child))
		require.Contains(t, show(t, d.State()), `4:0+1 string "x" in=3:0`)
	})
}

func TestE4KindOfTheParentIsNoReason(t *testing.T) {
	// A type is deleted and compacted away, and then a client that was offline inserts first children into it.
	d := doc(t,
		one(5, 0, ytext(at{root: "r"}), text(at{parent: id(5, 0)}, "ab")),
		deletes(del{5, 0, 1}),
	)
	compact(t, d)
	require.Equal(t, []string{"5:0+1 deleted root=r", "5:1+2 gc", "del 5:0+3"}, show(t, d.State()))
	apply(t, d, one(9, 0, text(at{parent: id(5, 0)}, "late"))) // of a deleted item
	apply(t, d, one(8, 0, text(at{parent: id(5, 1)}, "late"))) // of a collected one
	apply(t, d, one(7, 0, text(at{left: id(9, 3)}, "behind")))
	compact(t, d)
	require.NoError(t, d.Check())
	require.Equal(t, []string{
		"9:0+4 gc", "8:0+4 gc", "7:0+6 gc", "5:0+1 deleted root=r", "5:1+2 gc",
		"del 9:0+4", "del 8:0+4", "del 7:0+6", "del 5:0+3",
	}, show(t, d.State()))
}

func TestE5UnknownOriginsAreStored(t *testing.T) {
	d := ydoc.New(ydoc.Config{})
	a := apply(t, d, one(5, 0, text(at{left: id(9, 7)}, "a")))
	require.True(t, a.Missing)
	require.False(t, a.Parked)
	require.Equal(t, []byte{1, 5, 1}, d.StateVector())
	require.Nil(t, d.Pending())

	// Two clients that wait for each other do so for ever, and compaction leaves them alone.
	circle := [][]byte{
		one(1, 0, text(at{left: id(2, 0)}, "x")), one(2, 0, text(at{left: id(3, 0)}, "y")), one(3, 0, text(at{left: id(1, 0)}, "z")),
		// So do types that are each other's parents.
		one(11, 0, ytext(at{parent: id(12, 0)})), one(12, 0, ytext(at{parent: id(11, 0)})),
	}
	d = doc(t, circle...)
	apply(t, d, deletes(del{1, 0, 1}))
	before := show(t, d.State())
	compact(t, d)
	require.NoError(t, d.Check())
	require.Equal(t, strings.Replace(strings.Join(before, "\n"), `string "x"`, "deleted", 1), joined(t, d.State()))
}

func TestE6GapsParkAndRelease(t *testing.T) {
	d := doc(t, one(7, 0, text(at{root: "r"}, "ab")))
	a := apply(t, d, one(7, 4, text(at{left: id(7, 3)}, "ef")))
	require.Nil(t, a.New)
	require.Empty(t, a.From)
	require.True(t, a.Parked)
	require.True(t, a.Missing)
	require.Equal(t, []string{`7:4+2 string "ef" left=7:3`}, show(t, a.Log))
	require.Equal(t, []byte{1, 7, 2}, d.StateVector())
	require.Equal(t, []string{`7:0+2 string "ab" root=r`}, show(t, d.State()))
	require.Equal(t, []string{`7:4+2 string "ef" left=7:3`}, show(t, d.Pending()))
	require.Equal(t, []string{`7:0+2 string "ab" root=r`, "7:2+2 skip", `7:4+2 string "ef" left=7:3`}, show(t, d.Full()))
	diff, err := d.AppendDiff(nil, []byte{0})
	require.NoError(t, err)
	require.Equal(t, d.State(), diff)

	// Again, and more of it.
	a = apply(t, d, one(7, 4, text(at{left: id(7, 3)}, "efg")))
	require.Equal(t, []string{`7:6+1 string "g" left=7:5`}, show(t, a.Log))
	a = apply(t, d, one(7, 4, text(at{left: id(7, 3)}, "ef")))
	require.True(t, a.Parked)
	require.Nil(t, a.Log)

	a = apply(t, d, one(7, 2, text(at{left: id(7, 1)}, "cd")))
	require.True(t, a.Released)
	require.False(t, a.Parked)
	require.False(t, a.Missing)
	require.Equal(t, []update.ID{{Client: 7, Clock: 2}}, a.From)
	require.Equal(t, []string{`7:2+5 string "cdefg" left=7:1`}, show(t, a.New))
	require.Equal(t, []string{`7:0+7 string "abcdefg" root=r`}, show(t, d.State()))
	require.Nil(t, d.Pending())

	// Deletes wait for what they delete as well.
	a = apply(t, d, deletes(del{7, 6, 3}, del{9, 1, 1}))
	require.True(t, a.Parked)
	require.True(t, a.Missing)
	require.Equal(t, []string{"del 7:6+1"}, show(t, a.New))
	require.Equal(t, []string{"del 9:1+1", "del 7:7+2"}, show(t, d.Pending()))
	a = apply(t, d, one(7, 7, text(at{left: id(7, 6)}, "hi")))
	require.True(t, a.Released)
	require.Equal(t, []string{`7:7+2 string "hi" left=7:6`, "del 7:7+2"}, show(t, a.New))
	require.Equal(t, []string{"del 9:1+1"}, show(t, d.Pending()))
}

// TestE6RunsAreCutByWhatIsParked: of a run of which parts are parked already the rest is parked, cut as yjs cuts.
func TestE6RunsAreCutByWhatIsParked(t *testing.T) {
	d := doc(t, one(7, 2, gc(1)), one(7, 5, gc(1)), one(7, 8, gc(2)), one(7, 12, gc(1)), one(7, 16, gc(1)))
	require.Equal(t, 5, d.Stats().Pending)
	json := item(update.JSON, at{left: id(7, 7), right: id(9, 9)}, lib0.AppendVarString(lib0.AppendVarString([]byte{2}, "1"), "2")...)
	u := one(7, 1,
		text(at{root: "r"}, "a\U0001f600b\U0001f600"),   // 1 to 6, of which 2 and 5 are known
		anys(at{left: id(7, 6), right: id(9, 9)}, 1, 2), // 7 and 8, the latter known
		json,                            // 9 and 10, the former known
		deleted(at{left: id(7, 10)}, 3), // 11 to 13, 12 known
		gc(4),                           // 14 to 17, 16 known
	)
	a := apply(t, d, u)
	want := []string{
		`7:1+1 string "a" root=r`,
		"7:2+1 gc",
		"7:3+2 string \"\ufffdb\" left=7:2", "7:5+1 gc",
		"7:6+1 string \"\ufffd\" left=7:5", "7:7+1 any left=7:6 right=9:9",
		"7:8+2 gc",
		"7:10+1 json left=7:9 right=9:9", "7:11+1 deleted left=7:10",
		"7:12+1 gc",
		"7:13+1 deleted left=7:12", "7:14+2 gc",
		"7:16+1 gc",
		"7:17+1 gc",
	}
	require.Equal(t, want, show(t, d.Pending()))
	require.Equal(t, 1, d.Stats().Pending, "side by side they are one")
	require.NotContains(t, show(t, a.Log), "7:2+1 gc")
	require.Contains(t, show(t, a.Log), "7:17+1 gc")
	require.Nil(t, apply(t, d, u).Log)
	apply(t, d, one(7, 0, gc(1)))
	require.Nil(t, d.Pending())
}

func TestE7MissingSaysThatAskingIsUseful(t *testing.T) {
	base := []section{sec(9, 0, text(at{root: "r"}, "abc"))}
	for name, c := range map[string]struct {
		u    []byte
		want bool
	}{
		"all known":                 {one(3, 0, text(at{left: id(9, 2)}, "x")), false},
		"already known":             {build(base), false},
		"origin":                    {one(3, 0, text(at{left: id(9, 3)}, "x")), true},
		"right origin":              {one(3, 0, text(at{left: id(9, 2), right: id(9, 3)}, "x")), true},
		"parent":                    {one(3, 0, text(at{parent: id(8, 0)}, "x")), true},
		"origin in the same update": {build([]section{sec(3, 0, text(at{left: id(2, 0)}, "x")), sec(2, 0, text(at{root: "r"}, "y"))}), false},
		"gap":                       {one(3, 1, text(at{root: "r"}, "x")), true},
		"gap closed behind it":      {build([]section{sec(9, 4, text(at{left: id(9, 3)}, "x")), sec(9, 3, text(at{left: id(9, 2)}, "y"))}), false},
		"origin behind a gap that is closed": {
			build([]section{sec(9, 4, text(at{left: id(8, 0)}, "x")), sec(9, 3, text(at{left: id(9, 2)}, "y"))}), true,
		},
		"deletes beyond":             {deletes(del{9, 2, 2}), true},
		"deletes of what it brought": {build([]section{sec(9, 3, text(at{left: id(9, 2)}, "y"))}, del{9, 3, 1}), false},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, apply(t, doc(t, build(base)), c.u).Missing)
		})
	}
}

func TestE8EverythingThatBecameNewIsRelayed(t *testing.T) {
	// The second update comes first and is parked; the first releases it. A relay of the received bytes alone would leave
	// every peer without the second.
	d, peer := ydoc.New(ydoc.Config{}), ydoc.New(ydoc.Config{})
	second := build([]section{sec(7, 10, text(at{left: id(7, 9)}, "kl"))}, del{7, 3, 2}, del{6, 0, 1})
	first := one(7, 0, text(at{root: "r"}, "abcdefghij"))
	require.Nil(t, apply(t, d, second).New)
	a := apply(t, d, first)
	require.True(t, a.Released)
	require.Equal(t, []string{`7:0+12 string "abcdefghijkl" root=r`, "del 7:3+2"}, show(t, a.New))
	apply(t, peer, a.New)
	require.Equal(t, d.State(), peer.State())
}

func TestE9ReceivedBytesAreRelayedOnlyWhenTheySayTheSame(t *testing.T) {
	base := one(5, 0, text(at{root: "r"}, "abc"))
	more := text(at{left: id(5, 2)}, "d")
	known := []section{sec(5, 3, more)}
	for name, c := range map[string]struct {
		u    []byte
		same bool
		want []string
	}{
		"new text":             {build(known), true, nil},
		"new text and deletes": {build(known, del{5, 0, 4}), true, nil},
		"two clients":          {build([]section{sec(9, 0, text(at{root: "r"}, "x")), sec(5, 3, more)}), true, nil},
		"partly known":         {one(5, 1, text(at{left: id(5, 0)}, "bcd")), false, []string{`5:3+1 string "d" left=5:2`}},
		"known struct before":  {one(5, 0, text(at{root: "r"}, "abc"), more), false, []string{`5:3+1 string "d" left=5:2`}},
		"known deletes":        {build(known, del{5, 1, 2}), false, []string{`5:3+1 string "d" left=5:2`, "del 5:2+1"}},
		"parked deletes":       {build(known, del{5, 3, 2}), false, []string{`5:3+1 string "d" left=5:2`, "del 5:3+1"}},
		"parked structs":       {one(5, 3, more, skip(1), more), false, []string{`5:3+1 string "d" left=5:2`}},
		"a client twice":       {build([]section{sec(5, 3, more), sec(5, 4, text(at{left: id(5, 3)}, "e"))}), false, []string{`5:3+2 string "de" left=5:2`}},
		"ascending clients":    {build([]section{sec(5, 3, more), sec(9, 0, text(at{root: "r"}, "x"))}), false, []string{`9:0+1 string "x" root=r`, `5:3+1 string "d" left=5:2`}},
		"range without length": {build(known, del{5, 3, 0}), false, []string{`5:3+1 string "d" left=5:2`}},
		"touching ranges":      {build(known, del{5, 0, 1}, del{5, 2, 1}, del{5, 3, 1}), false, []string{`5:3+1 string "d" left=5:2`, "del 5:0+1", "del 5:2+2"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := doc(t, base, deletes(del{5, 1, 1}))
			if name == "new text and deletes" || name == "touching ranges" {
				d = doc(t, base)
			}
			peer := doc(t, d.State())
			a := apply(t, d, c.u)
			if c.same {
				require.Same(t, &c.u[0], &a.New[0])
				require.Len(t, a.New, len(c.u))
			} else {
				require.Equal(t, c.want, show(t, a.New))
			}
			apply(t, peer, a.New)
			require.True(t, bytes.Equal(peer.State(), d.State()))
		})
	}
}

func TestE10StructsAreCarriedByteForByte(t *testing.T) {
	root := at{root: "r"}
	odd := [][]byte{
		item(update.Any, root, 1, 123, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0),                  // 1 as a float64
		item(update.Any, root, 1, 125, 0x40),                                          // minus zero
		item(update.Embed, root, lib0.AppendVarString(nil, ` { "b":1.0, "b":2 }`)...), // spaces, a key twice
		item(update.JSON, root, lib0.AppendVarString([]byte{1}, `"\u0061"`)...),
		item(update.Doc, root, 1, 'g', 118, 1, 1, 'z', 126),
	}
	d := ydoc.New(ydoc.Config{})
	for i, s := range odd {
		apply(t, d, one(uint64(10+i), 0, s))
	}
	check := func(u []byte) {
		t.Helper()
		last := uint64(math.MaxUint64)
		var dec update.Decoder
		dec.Reset(u, update.Limits{})
		var s update.Struct
		for n := 0; ; n++ {
			ok, err := dec.Next(&s)
			require.NoError(t, err)
			if !ok {
				require.Equal(t, len(odd), n)
				return
			}
			require.Less(t, s.Client, last)
			require.Equal(t, odd[s.Client-10], s.Raw)
			last = s.Client
		}
	}
	check(d.State())
	compact(t, d)
	check(d.State())
}

// TestTypedTextIsJoinedOnArrival as yjs joins it, and nothing else that might be a map's entry.
func TestTypedTextIsJoinedOnArrival(t *testing.T) {
	r := at{root: "r"}
	overlong := []byte{1, 1, 5, 0, 4, 1, 1, 'r', 0x81, 0, 'a', 0}
	for name, c := range map[string]struct {
		first, second []byte
		structs       int
	}{
		"text":                     {one(5, 0, text(r, "a")), one(5, 1, text(at{left: id(5, 0)}, "b")), 1},
		"text with a right origin": {one(5, 0, text(at{right: id(9, 0)}, "a")), one(5, 1, text(at{left: id(5, 0), right: id(9, 0)}, "b")), 1},
		"another right origin":     {one(5, 0, text(at{right: id(9, 0)}, "a")), one(5, 1, text(at{left: id(5, 0), right: id(9, 1)}, "b")), 2},
		"another left":             {one(5, 0, text(r, "ab")), one(5, 2, text(at{left: id(5, 0)}, "c")), 2},
		"another client's left":    {one(5, 0, text(r, "ab")), one(5, 2, text(at{left: id(4, 1)}, "c")), 2},
		"behind odd bytes":         {overlong, one(5, 1, text(at{left: id(5, 0)}, "b")), 2},
		"values":                   {one(5, 0, anys(r, 1)), one(5, 1, anys(at{left: id(5, 0)}, 2)), 2},
		"text under a key":         {one(5, 0, text(at{root: "m", key: "k"}, "a")), one(5, 1, text(at{left: id(5, 0), keyed: true}, "b")), 2},
		"deleted":                  {one(5, 0, deleted(r, 2)), one(5, 2, deleted(at{left: id(5, 1)}, 3)), 1},
		"gc":                       {one(5, 0, gc(2)), one(5, 2, gc(3)), 1},
	} {
		t.Run(name, func(t *testing.T) {
			d := doc(t, c.first)
			a := apply(t, d, c.second)
			require.Equal(t, c.structs, d.Stats().Structs)
			require.Equal(t, c.second, a.New)
			// What is cut off again is what came.
			diff, err := d.AppendDiff(nil, append([]byte{1, 5}, byte(a.From[0].Clock)))
			require.NoError(t, err)
			require.Equal(t, c.second, diff)
		})
	}
}
