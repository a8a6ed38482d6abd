package ydoc_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/protocol/ydoc"
)

// fuzzBase is a document with something of everything, for updates to meet.
func fuzzBase(tb testing.TB) *ydoc.Doc {
	d := ydoc.New(ydoc.Config{MaxBytes: 1 << 20, MaxPendingBytes: 1 << 16, MaxPending: 1000, MaxClients: 1000})
	for _, u := range [][]byte{
		one(5, 0, text(at{root: "t"}, "ab\U0001f600cd"), ymap(at{root: "m", key: "k"}), anys(at{parent: id(5, 6), key: "x"}, 1), anys(at{left: id(5, 7)}, 2)),
		one(6, 0, array(at{left: id(5, 3)}), anys(at{parent: id(6, 0)}, 1, 2, 3), gc(3)),
		deletes(del{5, 1, 2}, del{6, 0, 2}),
		one(7, 4, text(at{left: id(7, 3)}, "parked")),
		deletes(del{7, 6, 9}, del{8, 0, 1}),
	} {
		_, err := d.Apply(u)
		require.NoError(tb, err)
	}
	return d
}

// FuzzApply gives arbitrary bytes to a document. They are taken as a whole or not at all, twice is once, and the document
// is sound before and after its compaction.
func FuzzApply(f *testing.F) {
	f.Add([]byte{0, 0})
	f.Add(fuzzBase(f).Full())
	f.Add(one(5, 9, text(at{left: id(5, 8)}, "more")))
	f.Add(build([]section{sec(7, 0, text(at{root: "t"}, "abcd")), sec(3, 0, ytext(at{root: "m", key: "k"}))}, del{5, 0, 20}))
	f.Add(build([]section{sec(5, 9, text(at{left: id(6, 9)}, "x"), skip(4), gc(1<<50)), sec(5, 0, gc(1<<52))}, del{5, 3, 0}, del{5, 1 << 40, 1 << 41}))
	f.Fuzz(func(t *testing.T, u []byte) {
		d := fuzzBase(t)
		before, sv := bytes.Clone(d.Full()), bytes.Clone(d.StateVector())
		a, err := d.Apply(u)
		if err != nil {
			require.True(t, errors.Is(err, ydoc.ErrMalformed) || errors.Is(err, ydoc.ErrLimit))
			require.Equal(t, before, d.Full())
			require.NoError(t, d.Check())
			return
		}
		peer := ydoc.New(ydoc.Config{})
		log := ydoc.New(ydoc.Config{})
		_, err = peer.Apply(fuzzBase(t).State())
		require.NoError(t, err)
		_, err = log.Apply(before)
		require.NoError(t, err)
		if a.New != nil {
			_, err = peer.Apply(a.New)
			require.NoError(t, err)
			require.Equal(t, d.State(), peer.State())
		} else {
			require.Equal(t, sv, d.StateVector())
		}
		if a.Log != nil {
			_, err = log.Apply(a.Log)
			require.NoError(t, err)
		}
		require.True(t, ydoc.Equal(d, log))
		require.NoError(t, d.Check())

		full := bytes.Clone(d.Full())
		a, err = d.Apply(u)
		require.NoError(t, err)
		require.Nil(t, a.New)
		require.Nil(t, a.Log)
		require.Equal(t, full, d.Full())

		fuzzAnswers(t, d, u)
		frozen := d.Freeze()
		c, err := frozen.Compact()
		require.NoError(t, err)
		require.NoError(t, frozen.Check(c.Update()))
		require.True(t, d.Adopt(c))
		require.NoError(t, d.Check())
		again, err := d.Freeze().Compact()
		require.NoError(t, err)
		require.LessOrEqual(t, len(again.Update()), len(c.Update()))
	})
}

// fuzzAnswers takes the bytes as a state vector.
func fuzzAnswers(t *testing.T, d *ydoc.Doc, sv []byte) {
	diff, err := d.AppendDiff(nil, sv)
	if _, claimErr := d.Claims(sv); err != nil {
		require.Error(t, claimErr)
		return
	}
	require.NoError(t, update.Validate(diff, update.Limits{}))
	// Whoever has what the vector says has all with the answer.
	entries, err := update.ParseStateVector(nil, sv, update.Limits{})
	require.NoError(t, err)
	peer := ydoc.New(ydoc.Config{})
	var has []section
	last := make(map[uint64]uint64)
	for _, e := range entries {
		last[e.Client] = e.Clock
	}
	for client, clock := range last {
		if clock > 0 && clock < 1<<53 {
			has = append(has, sec(client, 0, gc(clock)))
		}
	}
	if _, err := peer.Apply(build(has)); err != nil {
		return
	}
	_, err = peer.Apply(diff)
	require.NoError(t, err)
	more, err := peer.Claims(d.StateVector())
	require.NoError(t, err)
	require.False(t, more)
	require.Nil(t, peer.Pending())
}

// FuzzSequence delivers the updates of a session in the manner that the bytes say: in any order, twice, merged, in parts,
// with compaction and reloading on the way. What comes out must be what comes of them in order.
func FuzzSequence(f *testing.F) {
	for i := range 8 {
		b := make([]byte, 40+60*i)
		x := uint32(i + 1)
		for j := range b {
			x = x*1664525 + 1013904223
			b[j] = byte(x >> 24)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 4000 {
			return
		}
		// The first half of the bytes makes the updates, the second brings them.
		s := newSession(b[:len(b)/2])
		s.run(40)
		s.script.b = b[len(b)/2:]
		deliver(t, s)
	})
}
