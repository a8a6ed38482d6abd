package ydoc_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/ydoc"
)

func TestSetReportsWhatIsNew(t *testing.T) {
	var s ydoc.Set
	require.Equal(t, [][2]uint64{{5, 10}}, s.Add(5, 10))
	require.Empty(t, s.Add(6, 9))
	require.Empty(t, s.Add(5, 10))
	require.Equal(t, [][2]uint64{{10, 12}}, s.Add(10, 12), "touching behind")
	require.Equal(t, [][2]uint64{{3, 5}}, s.Add(3, 7), "overlapping before")
	require.Equal(t, [][2]uint64{{20, 25}}, s.Add(20, 25))
	require.Equal(t, [][2]uint64{{0, 3}, {12, 20}, {25, 30}}, s.Add(0, 30), "over several")
	require.Equal(t, [][2]uint64{{0, 30}}, s.Spans())
	require.Empty(t, s.Add(7, 7))
	require.NoError(t, s.Check())
}

// TestSetAgainstModel holds a set against a plain array of clocks, through many chunks.
func TestSetAgainstModel(t *testing.T) {
	r := seeded(t)
	const clocks = 20_000
	var s ydoc.Set
	var model [clocks]bool
	var frozen *ydoc.Set
	var want [][2]uint64
	for range 30_000 {
		start := uint64(r.IntN(clocks))
		end := min(start+1+uint64(r.IntN(1+r.IntN(8))), clocks)
		if r.IntN(5000) == 0 {
			end = min(start+2000, clocks) // over whole chunks
		}
		var fresh [][2]uint64
		for c := start; c < end; c++ {
			if model[c] {
				continue
			}
			if n := len(fresh); n > 0 && fresh[n-1][1] == c {
				fresh[n-1][1]++
			} else {
				fresh = append(fresh, [2]uint64{c, c + 1})
			}
			model[c] = true
		}
		require.Equal(t, len(fresh) == 0, s.Covers(start, end))
		require.Equal(t, fresh, s.Add(start, end))
		if r.IntN(2000) == 0 {
			require.NoError(t, s.Check())
			if frozen != nil {
				require.Equal(t, want, frozen.Spans(), "a copy changed")
				require.NoError(t, frozen.Check())
			}
			frozen, want = s.Freeze(), s.Spans()
		}
	}
	require.NoError(t, s.Check())
	require.Equal(t, spansOf(model[:]), s.Spans())

	for at := uint64(0); at <= clocks; at += uint64(1 + r.IntN(500)) {
		var removed []bool
		for c := range model {
			gone := model[c] && uint64(c) < at
			removed = append(removed, gone)
			model[c] = model[c] && !gone
		}
		require.Equal(t, spansOf(removed), s.Cut(at))
		require.NoError(t, s.Check())
		require.Equal(t, spansOf(model[:]), s.Spans())
	}
	require.Equal(t, want, frozen.Spans(), "a copy changed")
}

func spansOf(model []bool) (spans [][2]uint64) {
	for c, in := range model {
		switch n := len(spans); {
		case !in:
		case n > 0 && spans[n-1][1] == uint64(c):
			spans[n-1][1]++
		default:
			spans = append(spans, [2]uint64{uint64(c), uint64(c) + 1})
		}
	}
	return spans
}
