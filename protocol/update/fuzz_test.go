package update_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/update"
)

// seeds are the smaller updates that yjs made, and some that it never would.
func seeds(f *testing.F) (list [][]byte) {
	f.Helper()
	for _, c := range readVectors(f).Updates {
		if len(c.U) < 200 {
			list = append(list, c.U)
		}
	}
	return append(list,
		update.Empty,
		text(1, 0, "a😀b"),
		u(2, 1, 9, 1, byte(0x84), 9, 0, "b", 1, 9, 0, 4, 1, "t", "a", 0),
		u(1, 4, 9, 0, 10, 3, 0, 1, 10, 7, 10, 1, 0),
		u(0, 2, 1, 3, 9, 1, 2, 4, 3, 4, 9, 1, 1, 1),
		u(1, 1, 9, most-5, 0, 5, 1, 9, 1, 0, most),
	)
}

// FuzzValidate takes every update apart that is accepted and cuts its structs.
func FuzzValidate(f *testing.F) {
	for _, b := range seeds(f) {
		f.Add(b, uint64(1), uint64(3))
	}
	f.Fuzz(func(t *testing.T, b []byte, x, y uint64) {
		err := update.Validate(b, update.Limits{})
		if err != nil {
			require.True(t, isOne(err), "%v", err)
			return
		}
		raw := 0
		for _, s := range structsOf(t, b) {
			require.Positive(t, s.Len)
			require.LessOrEqual(t, s.End(), uint64(most))
			require.Equal(t, s.Raw, update.AppendSlice(nil, &s, 0, s.Len))
			raw += len(s.Raw)
			if s.Len <= maxUnits && s.Kind != update.Skip {
				from := x % (s.Len + 1)
				requireParts(t, &s, from, from+y%(s.Len+1-from))
			}
		}
		require.Less(t, raw, len(b))
		if canonical(t, b) {
			require.Equal(t, b, merge(t, b))
		}
	})
}

// isOne reports whether an error is of just one of the two classes.
func isOne(err error) bool {
	var e *update.Error
	malformed, limit := errors.Is(err, update.ErrMalformed), errors.Is(err, update.ErrLimit)
	return errors.As(err, &e) && malformed != limit
}

// FuzzMerge holds the merge of two updates against what each of them says of every id.
func FuzzMerge(f *testing.F) {
	list := seeds(f)
	for i := range list {
		f.Add(list[i], list[(i+1)%len(list)])
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		got, err := update.Merge(nil, a, b)
		valid := update.Validate(a, update.Limits{}) == nil && update.Validate(b, update.Limits{}) == nil
		require.Equal(t, valid, err == nil)
		if err != nil {
			return
		}
		require.NoError(t, update.Validate(got, update.Limits{}))
		require.True(t, clientsDescend(t, got))
		require.Equal(t, got, merge(t, got, got), "merging again changes nothing")
		requireSaid(t, got, a, b)
		sv, err := update.StateVector(nil, got)
		require.NoError(t, err)
		requireReaches(t, sv, got)
	})
}

// requireSaid checks that an update says of every id what one of its sources says, and leaves none out.
func requireSaid(t *testing.T, got []byte, sources ...[]byte) {
	t.Helper()
	m, ok := meaningOf(t, got)
	all := make([]meaning, len(sources))
	deletes := map[update.ID]bool{}
	for i, b := range sources {
		var small bool
		all[i], small = meaningOf(t, b)
		ok = ok && small
		for id := range all[i].deletes {
			deletes[id] = true
		}
	}
	if !ok {
		return
	}
	require.Equal(t, deletes, m.deletes)
	for id, g := range m.units {
		said := false
		for _, s := range all {
			w, known := s.units[id]
			said = said || known && (w == g || sameButHalved(w, g))
		}
		if !said { // a source may say two things of one id
			said = saysAgain(t, id, g, sources)
		}
		if !said {
			require.Fail(t, "nobody says this", "%v: %+v", id, g)
		}
	}
	for _, s := range all {
		for id := range s.units {
			_, ok := m.units[id]
			require.True(t, ok, "%v is missing", id)
		}
	}
}

// sameButHalved reports whether two units differ in nothing but half a surrogate pair.
func sameButHalved(a, b unit) bool {
	b.value, a.value = "", b.value
	return a.kind == update.String && a.value == "65533" && unit{a.kind, a.origin, a.right, a.parent, ""} == b
}

// saysAgain looks for a struct that says this of the id, behind another that says something else.
func saysAgain(t *testing.T, id update.ID, g unit, sources [][]byte) bool {
	for _, b := range sources {
		for _, s := range structsOf(t, b) {
			if s.Client != id.Client || s.Clock > id.Clock || s.End() <= id.Clock || s.Kind == update.Skip {
				continue
			}
			m := meaning{units: map[update.ID]unit{}}
			m.add(t, &s)
			if w := m.units[id]; w == g || sameButHalved(w, g) {
				return true
			}
		}
	}
	return false
}

// requireReaches checks a state vector against the structs of the merged update it was made from.
func requireReaches(t *testing.T, sv, merged []byte) {
	t.Helper()
	entries, err := update.ParseStateVector(nil, sv, update.Limits{})
	require.NoError(t, err)
	want := map[uint64]uint64{}
	for _, s := range structsOf(t, merged) {
		if s.Clock == want[s.Client] && s.Kind != update.Skip {
			want[s.Client] = s.End()
		}
	}
	got := map[uint64]uint64{}
	for _, e := range entries {
		require.NotContains(t, got, e.Client)
		got[e.Client] = e.Clock
	}
	for client, clock := range want {
		if clock > 0 {
			require.Equal(t, clock, got[client])
		}
	}
}

// FuzzDiff checks that a diff says of every id past the vector what the update says, and of no other.
func FuzzDiff(f *testing.F) {
	for i, b := range seeds(f) {
		f.Add(b, u(2, 1, i, 9, 2))
	}
	f.Fuzz(func(t *testing.T, b, sv []byte) {
		vector, err := update.ParseStateVector(nil, sv, update.Limits{})
		if err != nil {
			require.True(t, isOne(err))
			return
		}
		require.LessOrEqual(t, len(vector), len(sv)/2)
		again, err := update.ParseStateVector(nil, update.AppendStateVector(nil, vector), update.Limits{})
		require.NoError(t, err)
		require.Equal(t, vector, again)
		got, err := update.Diff(nil, b, sv)
		require.Equal(t, update.Validate(b, update.Limits{}) == nil, err == nil)
		if err != nil {
			return
		}
		require.NoError(t, update.Validate(got, update.Limits{}))
		have := map[uint64]uint64{}
		for _, id := range vector {
			have[id.Client] = id.Clock
		}
		whole := merge(t, b, b)
		want, ok := meaningOf(t, whole)
		diff, small := meaningOf(t, got)
		if !ok || !small {
			return
		}
		for id := range want.units {
			if id.Clock < have[id.Client] {
				delete(want.units, id)
			}
		}
		adoptEither(want, diff)
		requireSame(t, want, diff)
		if len(vector) == 0 {
			require.Equal(t, whole, got)
		}
	})
}
