package ydoc_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/protocol/ydoc"
)

func sample(t *testing.T) *ydoc.Doc {
	return doc(t,
		one(900, 0, text(at{root: "r"}, "a\U0001f600b"), anys(at{root: "l"}, 1, 2, 3)),
		one(5, 0, text(at{left: id(900, 3)}, "hello")),
		build([]section{sec(7, 0, gc(9))}, del{5, 1, 2}),
		one(5, 9, text(at{root: "r"}, "parked")),
	)
}

func TestStateVector(t *testing.T) {
	require.Equal(t, []byte{0}, ydoc.New(ydoc.Config{}).StateVector())
	require.Equal(t, []byte{0, 0}, ydoc.New(ydoc.Config{}).State())
	require.Equal(t, []byte{0, 0}, ydoc.New(ydoc.Config{}).Full())
	require.Nil(t, ydoc.New(ydoc.Config{}).Pending())
	d := sample(t)
	require.Equal(t, []byte{3, 0x84, 7, 7, 7, 9, 5, 5}, d.StateVector())
}

func TestDiff(t *testing.T) {
	d := sample(t)
	for name, c := range map[string]struct {
		sv   []byte
		want []string
	}{
		"everything":   {[]byte{0}, show(t, d.State())},
		"nothing":      {d.StateVector(), []string{"del 5:1+2"}},
		"more than we": {[]byte{4, 0x84, 7, 50, 99, 3, 7, 10, 5, 6}, []string{"del 5:1+2"}},
		"within structs": {
			[]byte{3, 0x84, 7, 5, 7, 2, 5, 3},
			[]string{"900:5+2 any left=900:4", "7:2+7 gc", `5:3+2 string "lo" left=5:2`, "del 5:1+2"},
		},
		"within a pair": {
			[]byte{3, 0x84, 7, 2, 7, 9, 5, 5},
			[]string{"900:2+2 string \"\ufffdb\" left=900:1", "900:4+3 any root=l", "del 5:1+2"},
		},
		"any order, the last of two": {
			[]byte{4, 5, 1, 7, 9, 0x84, 7, 7, 5, 4},
			[]string{`5:4+1 string "o" left=5:3`, "del 5:1+2"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dst := []byte("before")
			diff, err := d.AppendDiff(dst, c.sv)
			require.NoError(t, err)
			require.Equal(t, "before", string(diff[:6]))
			require.Equal(t, c.want, show(t, diff[6:]))
		})
	}
	out, err := d.AppendDiff([]byte("x"), []byte{1, 5})
	require.ErrorIs(t, err, ydoc.ErrMalformed)
	require.Equal(t, "x", string(out))
}

func TestSince(t *testing.T) {
	d := sample(t)
	from := []update.ID{{Client: 5, Clock: 3}, {Client: 7, Clock: 9}, {Client: 900, Clock: 4}, {Client: 5, Clock: 2}, {Client: 44, Clock: 0}}
	require.Equal(t, []string{"900:4+3 any root=l", `5:2+3 string "llo" left=5:1`, "del 5:1+2"}, show(t, d.AppendSince(nil, from)))
	require.Equal(t, []string{"del 5:1+2"}, show(t, d.AppendSince(nil, nil)))
}

func TestClaims(t *testing.T) {
	d := sample(t)
	for _, c := range []struct {
		sv   []byte
		want bool
	}{
		{[]byte{0}, false},
		{d.StateVector(), false},
		{[]byte{1, 5, 6}, true},
		{[]byte{2, 5, 5, 1, 0}, false},
		{[]byte{1, 1, 1}, true},
	} {
		got, err := d.Claims(c.sv)
		require.NoError(t, err)
		require.Equal(t, c.want, got)
	}
	_, err := d.Claims([]byte{5})
	require.ErrorIs(t, err, ydoc.ErrMalformed)
}

// TestAnswersAreImmutable: what was handed out stays as it is, whatever comes later.
func TestAnswersAreImmutable(t *testing.T) {
	d := sample(t)
	type answer struct{ got, want []byte }
	var kept []answer
	keep := func(b []byte) { kept = append(kept, answer{b, bytes.Clone(b)}) }
	w := newWriter(77)
	for i := range 300 {
		keep(d.StateVector())
		keep(d.State())
		keep(d.Pending())
		keep(d.Full())
		require.Same(t, &d.State()[0], &d.State()[0], "made once")
		require.Same(t, &d.StateVector()[0], &d.StateVector()[0], "made once")
		require.Same(t, &d.Full()[0], &d.Full()[0], "made once")
		apply(t, d, w.insert(i/2, "x"))
		switch i {
		case 100:
			compact(t, d)
		case 200:
			apply(t, d, one(5, 5, text(at{left: id(5, 4)}, "four")))
		}
	}
	for _, a := range kept {
		require.Equal(t, a.want, a.got)
	}
}

func TestStats(t *testing.T) {
	d := sample(t)
	require.Equal(t, ydoc.Stats{
		Bytes: len(d.State()) - 14, Structs: 4, Clients: 3, Deletes: 1, PendingBytes: 11, Pending: 1,
	}, d.Stats())
}

// TestInputIsNotKept: the bytes of an update may be reused.
func TestInputIsNotKept(t *testing.T) {
	d := ydoc.New(ydoc.Config{})
	u := build([]section{sec(9, 4, text(at{root: "r"}, "parked")), sec(5, 0, text(at{root: "r"}, "abc"))}, del{5, 0, 1}, del{4, 0, 1})
	reference := doc(t, u)
	_, err := d.Apply(u)
	require.NoError(t, err)
	clear(u)
	require.NoError(t, d.Check())
	require.True(t, ydoc.Equal(reference, d))
}

func TestEqual(t *testing.T) {
	base := one(5, 0, text(at{root: "r"}, "abc"))
	require.True(t, ydoc.Equal(doc(t, base), doc(t, base, base)))
	for name, other := range map[string]*ydoc.Doc{
		"empty":          doc(t),
		"another client": doc(t, one(6, 0, text(at{root: "r"}, "abc"))),
		"more":           doc(t, base, one(5, 3, gc(1))),
		"deletes":        doc(t, base, deletes(del{5, 1, 1})),
		"parked":         doc(t, base, one(5, 4, gc(1))),
		"parked deletes": doc(t, base, deletes(del{5, 4, 1})),
	} {
		require.False(t, ydoc.Equal(doc(t, base), other), name)
		require.False(t, ydoc.Equal(other, doc(t, base)), name)
		require.Error(t, doc(t, base).Freeze().Check(other.Full()), name)
		require.NoError(t, other.Freeze().Check(other.Full()), name)
	}
	require.ErrorIs(t, doc(t, base).Freeze().Check(base[:5]), ydoc.ErrMalformed)
	// What every peer derives makes no difference.
	overwritten := []section{sec(5, 0, anys(at{root: "m", key: "k"}, 1), anys(at{left: id(5, 0)}, 2))}
	require.True(t, ydoc.Equal(doc(t, build(overwritten)), doc(t, build(overwritten, del{5, 0, 1}))))
	require.False(t, ydoc.Equal(doc(t, build(overwritten)), doc(t, build(overwritten, del{5, 1, 1}))))
}
