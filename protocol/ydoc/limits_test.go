package ydoc_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/protocol/ydoc"
)

func TestLimits(t *testing.T) {
	long := string(bytes.Repeat([]byte("x"), 900))
	for name, c := range map[string]struct {
		cfg   ydoc.Config
		u     []byte
		limit ydoc.Limit
		max   int64
	}{
		"document bytes": {
			ydoc.Config{MaxBytes: 1000},
			build([]section{sec(5, 2, text(at{left: id(5, 1)}, long)), sec(4, 0, text(at{root: "r"}, long))}), ydoc.LimitBytes, 1000,
		},
		"document bytes in deletes": {
			ydoc.Config{MaxBytes: 20},
			build([]section{sec(5, 2, gc(1000))}, del{5, 200, 200}, del{5, 500, 200}, del{5, 800, 200}), ydoc.LimitBytes, 20,
		},
		"document bytes, parked": {ydoc.Config{MaxBytes: 1000}, one(6, 1, text(at{root: "r"}, long), text(at{root: "r"}, long)), ydoc.LimitBytes, 1000},
		"pending bytes":          {ydoc.Config{MaxPendingBytes: 100}, one(6, 1, text(at{root: "r"}, long)), ydoc.LimitPendingBytes, 100},
		"pending deletes":        {ydoc.Config{MaxPendingBytes: 10}, deletes(del{6, 1000, 1}, del{6, 2000, 1}, del{6, 3000, 1}, del{6, 4000, 1}), ydoc.LimitPendingBytes, 10},
		"pending count":          {ydoc.Config{MaxPending: 2}, build([]section{sec(6, 1, gc(1), skip(1), gc(1))}, del{3, 0, 1}), ydoc.LimitPending, 2},
		"clients":                {ydoc.Config{MaxClients: 2}, build([]section{sec(3, 0, gc(1)), sec(2, 0, gc(1))}), ydoc.LimitClients, 2},
		"sections":               {ydoc.Config{MaxClients: 2}, build([]section{sec(3, 0, gc(1)), sec(2, 0, gc(1)), sec(1, 0, gc(1))}), ydoc.LimitClients, 2},
		"nesting":                {ydoc.Config{Nesting: 2}, one(6, 0, item(update.Any, at{root: "r"}, 1, 117, 1, 117, 1, 117, 0)), ydoc.LimitNesting, 2},
	} {
		t.Run(name, func(t *testing.T) {
			d := ydoc.New(c.cfg)
			apply(t, d, one(5, 0, text(at{root: "r"}, "ab")))
			before := bytes.Clone(d.Full())
			_, err := d.Apply(c.u)
			require.ErrorIs(t, err, ydoc.ErrLimit)
			require.NotErrorIs(t, err, ydoc.ErrMalformed)
			var le *ydoc.LimitError
			require.ErrorAs(t, err, &le)
			require.Equal(t, c.limit, le.Limit)
			require.Equal(t, c.max, le.Max)
			require.NoError(t, d.Check())
			require.Equal(t, before, d.Full())

			// Without the limit it is accepted.
			apply(t, doc(t, before), c.u)
		})
	}
}

// TestLimitsLetKnownContentPass: a peer that repeats what a full document or a full park has already must not be refused.
func TestLimitsLetKnownContentPass(t *testing.T) {
	all := build([]section{
		sec(9, 3, text(at{root: "r"}, "parked")),
		sec(5, 0, text(at{root: "r"}, "abcdefgh")),
	}, del{9, 4, 1}, del{5, 1, 1}, del{5, 3, 1}, del{5, 5, 1})
	d := doc(t, all)
	s := d.Stats()
	full := ydoc.New(ydoc.Config{
		MaxBytes: int64(s.Bytes + s.PendingBytes), MaxPendingBytes: int64(s.PendingBytes), MaxPending: 2, MaxClients: 2,
	})
	apply(t, full, all)
	require.Equal(t, 2, full.Stats().Pending)
	a := apply(t, full, build([]section{sec(5, 0, text(at{root: "r"}, "abcdefgh"))}, del{5, 1, 1}, del{5, 3, 1}))
	require.Nil(t, a.New)
	a = apply(t, full, all)
	require.Nil(t, a.Log)
	require.True(t, a.Parked)
	_, err := full.Apply(one(5, 8, text(at{left: id(5, 7)}, "i")))
	require.ErrorIs(t, err, ydoc.ErrLimit)
}

func TestFullParkAcceptsWhatReleasesIt(t *testing.T) {
	d := ydoc.New(ydoc.Config{MaxPending: 1})
	apply(t, d, one(5, 2, text(at{left: id(5, 1)}, "cd")))
	_, err := d.Apply(one(5, 6, text(at{left: id(5, 1)}, "gh")))
	require.ErrorIs(t, err, ydoc.ErrLimit)
	a := apply(t, d, one(5, 0, text(at{root: "r"}, "ab")))
	require.True(t, a.Released)
	require.Equal(t, []string{`5:0+4 string "abcd" root=r`}, show(t, d.State()))
}

// TestRefusedJoinIsUndone: text of a refused update was joined with stored text, so that the width of its length changed.
func TestRefusedJoinIsUndone(t *testing.T) {
	for _, n := range []int{1, 100, 127, 128, 16_000, 16_383, 16_384} {
		d := doc(t, one(5, 0, text(at{root: "r"}, string(bytes.Repeat([]byte("x"), n)))))
		d.Freeze() // its bytes are shared
		before := bytes.Clone(d.State())
		for _, more := range []int{1, 28, 127, 400, 20_000} {
			u := one(5, uint64(n), text(at{left: id(5, uint64(n-1))}, string(bytes.Repeat([]byte("y"), more))))
			_, err := d.Apply(u[:len(u)-1])
			require.ErrorIs(t, err, ydoc.ErrMalformed)
			require.NoError(t, d.Check())
			require.Equal(t, before, d.State())
		}
		apply(t, d, one(5, uint64(n), text(at{left: id(5, uint64(n-1))}, "end")))
		require.Equal(t, 1, d.Stats().Structs)
	}
}

func TestHugeClaimsCostNothing(t *testing.T) {
	half := uint64(1) << 52
	d := doc(t,
		one(5, 0, gc(half)),
		one(5, half, deleted(at{root: "r"}, half-1)),
		deletes(del{5, 10, half}, del{5, 0, 1}),
		one(7, lib0.MaxInteger-1, gc(1)),
		deletes(del{8, 3, lib0.MaxInteger - 3}),
	)
	sv := append([]byte{1, 5}, lib0.AppendVarUint(nil, 17)...)
	diff, err := d.AppendDiff(nil, sv)
	require.NoError(t, err)
	require.Equal(t, "5:17+4503599627370479 gc", show(t, diff)[0])
	u := compact(t, d)
	require.NoError(t, d.Check())
	require.Less(t, len(u), 100)
	require.NoError(t, d.Freeze().Check(u))
}

// TestRestoreHasNoLimits: what was stored is loaded, whatever the limits are now.
func TestRestoreHasNoLimits(t *testing.T) {
	stored := build([]section{sec(9, 3, text(at{root: "r"}, "parked")), sec(5, 0, text(at{root: "r"}, "abcdefgh")), sec(4, 0, gc(1))}, del{3, 4, 1})
	d := ydoc.New(ydoc.Config{MaxBytes: 1, MaxPendingBytes: 1, MaxPending: 1, MaxClients: 1})
	require.NoError(t, d.Restore(stored))
	require.NoError(t, d.Check())
	require.True(t, ydoc.Equal(doc(t, stored), d))
	_, err := d.Apply(one(5, 8, text(at{left: id(5, 7)}, "i")))
	require.ErrorIs(t, err, ydoc.ErrLimit)
	require.ErrorIs(t, d.Restore(stored[:9]), ydoc.ErrMalformed)
}

// TestFullOfOneDocumentFitsAnother with the same limits, also where parked clients come on top of all others.
func TestFullOfOneDocumentFitsAnother(t *testing.T) {
	cfg := ydoc.Config{MaxClients: 2, MaxPending: 3}
	d := ydoc.New(cfg)
	for _, u := range [][]byte{one(5, 0, gc(1)), one(4, 0, gc(1)), one(3, 1, gc(1)), deletes(del{2, 0, 1}, del{1, 0, 1})} {
		apply(t, d, u)
	}
	again := ydoc.New(cfg)
	apply(t, again, d.Full())
	require.True(t, ydoc.Equal(d, again))
	_, err := d.Apply(one(2, 0, gc(1)))
	require.ErrorIs(t, err, ydoc.ErrLimit)
}
