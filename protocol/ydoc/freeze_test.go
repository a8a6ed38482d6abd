package ydoc_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/ydoc"
)

// TestFrozenStaysAsItIs compacts and encodes a copy on another goroutine while the document takes the trace.
func TestFrozenStaysAsItIs(t *testing.T) {
	updates, _ := b4()
	updates = updates[:12_000]
	d := ydoc.New(ydoc.Config{})
	reference := ydoc.New(ydoc.Config{})
	other := newWriter(5)
	type result struct {
		f    *ydoc.Frozen
		full []byte
		c    *ydoc.Compacted
		err  error
	}
	done := make(chan result, 1)
	idle := true
	var want []byte
	adopted := 0
	for i, u := range updates {
		arrives := [][]byte{u}
		if i%10 == 0 {
			arrives = append(arrives, other.insert(i/20, "x"))
		}
		if i%500 == 499 {
			arrives = append(arrives, one(uint64(100+i), 1, gc(1))) // parked
		}
		for _, u := range arrives {
			_, err := d.Apply(u)
			require.NoError(t, err)
			_, err = reference.Apply(u)
			require.NoError(t, err)
		}
		if idle && i%500 == 0 {
			idle = false
			f := d.Freeze()
			want = bytes.Clone(d.Full())
			go func() {
				full := f.AppendFull([]byte("x"))
				c, err := f.Compact()
				if err == nil {
					err = f.Check(c.Update())
				}
				done <- result{f, full, c, err}
			}()
		}
		// Not before some more was typed, so that there is something to follow.
		if !idle && i%500 == 300 {
			r := <-done
			idle = true
			require.NoError(t, r.err)
			require.Equal(t, want, r.full[1:])
			require.Equal(t, want, r.f.AppendFull(nil), "the copy changed")
			require.True(t, d.Adopt(r.c))
			require.False(t, d.Adopt(r.c), "twice")
			require.NoError(t, d.Check())
			adopted++
		}
	}
	if !idle {
		<-done
	}
	require.Greater(t, adopted, 10)
	require.Greater(t, d.Stats().Deletes, 100)
	require.True(t, ydoc.Equal(reference, d))
	require.Equal(t, compact(t, reference), compact(t, d))
}

func TestAdoptOnlyWhatFits(t *testing.T) {
	base := one(5, 0, text(at{root: "r"}, "abc"))
	d := doc(t, base, deletes(del{5, 1, 1}))
	f := d.Freeze()
	first, err := f.Compact()
	require.NoError(t, err)
	second, err := f.Compact()
	require.NoError(t, err)
	require.Equal(t, first.Update(), second.Update())
	require.False(t, doc(t, base).Adopt(first), "of another document")
	require.True(t, d.Adopt(first))
	require.False(t, d.Adopt(second), "of a store that was given up")
	require.NoError(t, d.Check())
	require.Same(t, &first.Update()[0], &d.State()[0], "nothing arrived: the snapshot is the state")
}

// TestAdoptFollowsUp: everything that can arrive between the copy and its return is there afterwards.
func TestAdoptFollowsUp(t *testing.T) {
	for name, late := range map[string][]byte{
		"nothing":               {0, 0},
		"joined text":           one(5, 3, text(at{left: id(5, 2)}, "def")),
		"a struct":              one(5, 3, anys(at{root: "l"}, 1)),
		"deletes":               deletes(del{5, 2, 1}),
		"a client":              build([]section{sec(9, 0, text(at{left: id(5, 1)}, "new"))}, del{9, 1, 1}),
		"what releases":         one(6, 0, text(at{root: "r"}, "xy")),
		"what waits":            build([]section{sec(8, 3, gc(1))}, del{3, 0, 1}),
		"joined and deleted":    build([]section{sec(5, 3, text(at{left: id(5, 2)}, "def"))}, del{5, 2, 3}),
		"children of a deleted": one(4, 0, text(at{parent: id(7, 0)}, "late")),
	} {
		t.Run(name, func(t *testing.T) {
			start := [][]byte{
				one(5, 0, text(at{root: "r"}, "abc")),
				build([]section{sec(7, 0, ytext(at{root: "r"}), text(at{parent: id(7, 0)}, "in"))}, del{7, 0, 1}, del{5, 0, 1}),
				one(6, 2, text(at{left: id(6, 1)}, "waits")),
				deletes(del{6, 5, 1}),
			}
			d := doc(t, start...)
			c, err := d.Freeze().Compact()
			require.NoError(t, err)
			apply(t, d, late)
			require.True(t, d.Adopt(c))
			require.NoError(t, d.Check())
			want := doc(t, append(start, late)...)
			require.True(t, ydoc.Equal(want, d), "%s\n\n%s", joined(t, want.Full()), joined(t, d.Full()))
			require.Equal(t, compact(t, want), compact(t, d))
			// The snapshot and what was logged after it are the same as well.
			require.True(t, ydoc.Equal(want, doc(t, c.Update(), late)))
		})
	}
}

// TestRefusedUpdateLeavesCopiesAlone: an update that began a chunk of its own is undone, and what is joined then must not
// change the bytes that a copy reads.
func TestRefusedUpdateLeavesCopiesAlone(t *testing.T) {
	// Two updates, so that there is room behind the text.
	d := doc(t, one(5, 0, text(at{root: "r"}, "abc")), one(5, 3, text(at{left: id(5, 2)}, "d")))
	f := d.Freeze()
	want := bytes.Clone(f.AppendFull(nil))
	u := one(5, 4, text(at{root: "r"}, string(bytes.Repeat([]byte("x"), 10_000))))
	_, err := d.Apply(u[:len(u)-1])
	require.ErrorIs(t, err, ydoc.ErrMalformed)
	apply(t, d, one(5, 4, text(at{left: id(5, 3)}, "e")))
	require.Equal(t, want, f.AppendFull(nil))
}
