package ydoc_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/protocol/ydoc"
)

// id is shorter than update.ID.
func id(client, clock uint64) *update.ID { return &update.ID{Client: client, Clock: clock} }

// at is where an item stands: behind left, before right, or as the first under a parent, which is the name of a root type
// or an id. Key makes it an entry of a map.
type at struct {
	left, right *update.ID
	root        string
	parent      *update.ID
	key         string
	keyed       bool
}

func item(kind update.Kind, p at, content ...byte) []byte {
	info := byte(kind)
	b := []byte{0}
	if p.left != nil {
		info |= update.HasOrigin
		b = lib0.AppendVarUint(lib0.AppendVarUint(b, p.left.Client), p.left.Clock)
	}
	if p.right != nil {
		info |= update.HasRightOrigin
		b = lib0.AppendVarUint(lib0.AppendVarUint(b, p.right.Client), p.right.Clock)
	}
	if p.key != "" || p.keyed {
		info |= update.HasParentSub
	}
	if p.left == nil && p.right == nil {
		if p.parent != nil {
			b = lib0.AppendVarUint(lib0.AppendVarUint(append(b, 0), p.parent.Client), p.parent.Clock)
		} else {
			b = lib0.AppendVarString(append(b, 1), p.root)
		}
		if p.key != "" || p.keyed {
			b = lib0.AppendVarString(b, p.key)
		}
	}
	b[0] = info
	return append(b, content...)
}

func text(p at, s string) []byte { return item(update.String, p, lib0.AppendVarString(nil, s)...) }

// anys is an item with small numbers.
func anys(p at, numbers ...uint64) []byte {
	c := lib0.AppendVarUint(nil, uint64(len(numbers)))
	for _, n := range numbers {
		c = lib0.AppendVarInt(append(c, 125), n, false)
	}
	return item(update.Any, p, c...)
}

// A nested Y.Array, Y.Map and Y.Text.
func array(p at) []byte { return item(update.Type, p, 0) }
func ymap(p at) []byte  { return item(update.Type, p, 1) }
func ytext(p at) []byte { return item(update.Type, p, 2) }

func deleted(p at, n uint64) []byte { return item(update.Deleted, p, lib0.AppendVarUint(nil, n)...) }
func gc(n uint64) []byte            { return lib0.AppendVarUint([]byte{byte(update.GC)}, n) }
func skip(n uint64) []byte          { return lib0.AppendVarUint([]byte{byte(update.Skip)}, n) }

// section is the structs of one client from a clock on.
type section struct {
	client, clock uint64
	structs       [][]byte
}

func sec(client, clock uint64, structs ...[]byte) section { return section{client, clock, structs} }

// del is a delete range.
type del struct{ client, clock, n uint64 }

// build encodes an update as it is described, sound or not. Deletes of one client must stand together.
func build(sections []section, deletes ...del) []byte {
	u := lib0.AppendVarUint(nil, uint64(len(sections)))
	for _, s := range sections {
		u = lib0.AppendVarUint(u, uint64(len(s.structs)))
		u = lib0.AppendVarUint(lib0.AppendVarUint(u, s.client), s.clock)
		for _, b := range s.structs {
			u = append(u, b...)
		}
	}
	var groups [][]del
	for i, d := range deletes {
		if i == 0 || d.client != deletes[i-1].client {
			groups = append(groups, nil)
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], d)
	}
	u = lib0.AppendVarUint(u, uint64(len(groups)))
	for _, g := range groups {
		u = lib0.AppendVarUint(lib0.AppendVarUint(u, g[0].client), uint64(len(g)))
		for _, d := range g {
			u = lib0.AppendVarUint(lib0.AppendVarUint(u, d.clock), d.n)
		}
	}
	return u
}

// one is an update of one section.
func one(client, clock uint64, structs ...[]byte) []byte {
	return build([]section{sec(client, clock, structs...)})
}

// deletes is an update that only deletes.
func deletes(d ...del) []byte { return build(nil, d...) }

// show writes an update in words, one line for each struct and delete range:
//
//	7:0+2 string "hi" root=text    7:2+1 any left=7:1 right=3:0 key    3:0+5 gc    del 7:1+1
func show(tb testing.TB, u []byte) []string {
	tb.Helper()
	lines := []string{}
	if u == nil {
		return lines
	}
	var d update.Decoder
	d.Reset(u, update.Limits{Clients: 1 << 30})
	var s update.Struct
	for {
		ok, err := d.Next(&s)
		require.NoError(tb, err)
		if !ok {
			break
		}
		lines = append(lines, showStruct(&s))
	}
	for {
		client, clock, n, ok, err := d.NextDelete()
		require.NoError(tb, err)
		if !ok {
			return lines
		}
		lines = append(lines, fmt.Sprintf("del %d:%d+%d", client, clock, n))
	}
}

func showStruct(s *update.Struct) string {
	names := []string{"gc", "deleted", "json", "binary", "string", "embed", "format", "type", "any", "doc", "skip"}
	l := fmt.Sprintf("%d:%d+%d %s", s.Client, s.Clock, s.Len, names[s.Kind])
	if s.Kind == update.String {
		r := lib0.NewReader(s.Content)
		t, _ := r.VarString()
		l += fmt.Sprintf(" %q", t)
	}
	if !s.IsItem() {
		return l
	}
	if s.Info&update.HasOrigin != 0 {
		l += fmt.Sprintf(" left=%d:%d", s.Origin.Client, s.Origin.Clock)
	}
	if s.Info&update.HasRightOrigin != 0 {
		l += fmt.Sprintf(" right=%d:%d", s.RightOrigin.Client, s.RightOrigin.Clock)
	}
	if s.Info&(update.HasOrigin|update.HasRightOrigin) == 0 {
		if s.ParentIsID {
			l += fmt.Sprintf(" in=%d:%d", s.Parent.Client, s.Parent.Clock)
		} else {
			l += " root=" + string(s.ParentName)
		}
		if s.Info&update.HasParentSub != 0 {
			l += " key=" + string(s.ParentSub)
		}
	} else if s.Info&update.HasParentSub != 0 {
		l += " key"
	}
	return l
}

// apply applies an update that must be accepted and checks the document's invariants.
func apply(tb testing.TB, d *ydoc.Doc, u []byte) ydoc.Applied {
	tb.Helper()
	a, err := d.Apply(u)
	require.NoError(tb, err)
	require.NoError(tb, d.Check())
	return a
}

// doc returns a document that holds the updates.
func doc(tb testing.TB, updates ...[]byte) *ydoc.Doc {
	tb.Helper()
	d := ydoc.New(ydoc.Config{})
	for _, u := range updates {
		apply(tb, d, u)
	}
	return d
}

// seeded returns a random source whose seed is printed when the test fails.
func seeded(tb testing.TB) *rand.Rand {
	tb.Helper()
	seed := rand.Uint64()
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("seed %d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 0))
}

// joined returns the lines of show as one text, for messages.
func joined(tb testing.TB, u []byte) string { return strings.Join(show(tb, u), "\n") }
