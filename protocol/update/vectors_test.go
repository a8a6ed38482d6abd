package update_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/update"
)

// vectors is testdata/vectors.json: what yjs 13.6.33 makes of updates. It was written by fixtures/yjs/vectors.mjs, which
// says what each part means.
type vectors struct {
	Yjs     string
	Updates []struct{ U, SV []byte }
	Merges  []struct {
		Of    []int
		U, SV []byte
	}
	Diffs  []struct{ U, From, Diff []byte }
	Slices []struct {
		U      []byte
		Offset uint64
		Tail   []byte
	}
	Splits []struct {
		U     []byte
		At    [2]uint64
		Parts []byte
	}
	Verdicts []struct {
		U             []byte
		Decode, Apply bool
	}
}

func readVectors(t testing.TB) (v vectors) {
	t.Helper()
	b, err := os.ReadFile("testdata/vectors.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &v))
	require.Equal(t, "13.6.33", v.Yjs)
	require.GreaterOrEqual(t, len(v.Updates), 200)
	return v
}

func TestVectorsUpdates(t *testing.T) {
	v := readVectors(t)
	kinds := map[update.Kind]int{}
	for i, c := range v.Updates {
		require.NoError(t, update.Validate(c.U, update.Limits{}), "update %d", i)
		sv, err := update.StateVector(nil, c.U)
		require.NoError(t, err)
		require.Equal(t, c.SV, sv, "update %d", i)
		for _, s := range structsOf(t, c.U) {
			kinds[s.Kind]++
		}
	}
	for k := update.GC; k <= update.Skip; k++ {
		require.Positive(t, kinds[k], "no vector has kind %d", k)
	}
}

func TestVectorsMerge(t *testing.T) {
	v := readVectors(t)
	differing := 0
	for i, c := range v.Merges {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			var updates [][]byte
			for _, j := range c.Of {
				updates = append(updates, v.Updates[j].U)
			}
			got, err := update.Merge(nil, updates...)
			require.NoError(t, err)
			require.NoError(t, update.Validate(got, update.Limits{}))
			require.True(t, clientsDescend(t, got))

			want, ok := meaningOf(t, c.U)
			require.True(t, ok)
			have, ok := meaningOf(t, got)
			require.True(t, ok)
			if n := adoptEither(want, have); n == 0 {
				require.LessOrEqual(t, len(got), len(c.U))
			} else {
				differing++
			}
			requireSame(t, want, have)

			sv, err := update.StateVector(nil, got)
			require.NoError(t, err)
			require.Equal(t, c.SV, sv)
		})
	}
	require.Less(t, differing, len(v.Merges)/4)
}

// adoptEither lets got differ from want where the updates themselves do, and either will do: some still have the content of
// an id that is deleted, others have it collected; some have a surrogate pair, others, who deleted one half, U+FFFD. It
// returns how many there are.
func adoptEither(want, got meaning) (n int) {
	gone := func(k update.Kind) bool { return k == update.GC || k == update.Deleted }
	const replacement = "65533"
	for id, w := range want.units {
		g, ok := got.units[id]
		if !ok || g == w {
			continue
		}
		collected := got.deletes[id] && want.deletes[id] && (gone(g.kind) || gone(w.kind))
		halved := g.kind == w.kind && (g.value == replacement || w.value == replacement)
		if collected || halved {
			want.units[id] = g
			n++
		}
	}
	return n
}

func TestVectorsDiff(t *testing.T) {
	v := readVectors(t)
	for i, c := range v.Diffs {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			got, err := update.Diff(nil, c.U, c.From)
			require.NoError(t, err)
			require.NoError(t, update.Validate(got, update.Limits{}))
			require.LessOrEqual(t, len(got), len(c.Diff))
			want, ok := meaningOf(t, c.Diff)
			require.True(t, ok)
			have, ok := meaningOf(t, got)
			require.True(t, ok)
			requireSame(t, want, have)
		})
	}
}

func TestVectorsSlices(t *testing.T) {
	v := readVectors(t)
	for i, c := range v.Slices {
		s := structsOf(t, c.U)
		require.Len(t, s, 1)
		want := structsOf(t, c.Tail)
		require.Len(t, want, 1)
		got := update.AppendSlice(nil, &s[0], c.Offset, s[0].Len)
		require.Equal(t, want[0].Raw, got, "slice %d at %d", i, c.Offset)
	}
}

func TestVectorsSplits(t *testing.T) {
	v := readVectors(t)
	for i, c := range v.Splits {
		s := structsOf(t, c.U)
		require.Len(t, s, 1)
		want := structsOf(t, c.Parts)
		require.Len(t, want, 3)
		for j, cut := range [][2]uint64{{0, c.At[0]}, {c.At[0], c.At[1]}, {c.At[1], s[0].Len}} {
			got := update.AppendSlice(nil, &s[0], cut[0], cut[1])
			require.Equal(t, want[j].Raw, got, "split %d at %v, part %d", i, c.At, j)
		}
	}
}

// TestVectorsVerdicts holds what is refused against what yjs refuses. The two may differ only where the rules say so.
func TestVectorsVerdicts(t *testing.T) {
	v := readVectors(t)
	for i, c := range v.Verdicts {
		err := update.Validate(c.U, update.Limits{})
		var e *update.Error
		switch {
		case err == nil:
			require.True(t, c.Decode, "%d: %x is accepted, yjs cannot decode it", i, c.U)
			if !c.Apply {
				require.False(t, canonical(t, c.U), "%d: %x is accepted, yjs throws", i, c.U) // a delete without length
			}
		case errors.As(err, &e):
			if c.Decode && c.Apply { // yjs throws, or misbehaves, only once it integrates
				require.Contains(t, []update.ErrKind{
					update.FaultReference, update.FaultEmpty, update.FaultInfo, update.FaultRange,
				}, e.Kind, "%d: %x", i, c.U)
			}
		default:
			require.Fail(t, "error of another type", "%v", err)
		}
	}
}
