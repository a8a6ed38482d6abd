package protocol_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol"
	"github.com/yserverd/yserverd/protocol/lib0"
)

var start = time.Unix(1_700_000_000, 0)

// entryOf returns an entry with a state.
func entryOf(client, clock uint64, state string) protocol.AwarenessEntry {
	return protocol.AwarenessEntry{Client: client, Clock: clock, State: []byte(state)}
}

// rawUpdate encodes entries as they are.
func rawUpdate(entries ...protocol.AwarenessEntry) []byte {
	b := lib0.AppendVarUint(nil, uint64(len(entries)))
	for _, e := range entries {
		b = lib0.AppendVarBytes(lib0.AppendVarUint(lib0.AppendVarUint(b, e.Client), e.Clock), e.State)
	}
	return b
}

func TestParseAwareness(t *testing.T) {
	u := rawUpdate(entryOf(1, 2, ` {"a": 1.0} `), entryOf(lib0.MaxInteger, 0, "null"))
	u = append(u, "trailing"...)
	kept := entryOf(9, 9, "0")
	entries, err := protocol.ParseAwareness([]protocol.AwarenessEntry{kept}, u, protocol.AwarenessLimits{})
	require.NoError(t, err)
	require.Equal(t, []protocol.AwarenessEntry{kept, entryOf(1, 2, ` {"a": 1.0} `), entryOf(lib0.MaxInteger, 0, "null")}, entries)
	require.False(t, entries[1].Gone())
	require.True(t, entries[2].Gone())
}

func TestParseAwarenessRefuses(t *testing.T) {
	good := entryOf(1, 1, "{}")
	lim := protocol.AwarenessLimits{State: 20, Entries: 3, Nesting: 2}
	for _, c := range []struct {
		name   string
		u      []byte
		kind   protocol.ErrKind
		offset int
	}{
		{"nothing", nil, protocol.FaultEnd, 0},
		{"count past the end", []byte{9, 1, 1, 1, '0'}, protocol.FaultEnd, 0},
		{"huge count", lib0.AppendVarUint(nil, lib0.MaxInteger), protocol.FaultEnd, 0},
		{"cut short", rawUpdate(good, good)[:9], protocol.FaultEnd, 9},
		{"empty state", rawUpdate(entryOf(1, 1, ""), good), protocol.FaultJSON, 4},
		{"no json", rawUpdate(good, entryOf(1, 1, "{a}")), protocol.FaultJSON, 10},
		{"undefined", rawUpdate(entryOf(1, 1, "undefined")), protocol.FaultJSON, 4},
		{"invalid utf-8", rawUpdate(entryOf(1, 1, "\"\xff\"")), protocol.FaultUTF8, 3},
		{"client out of range", []byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1, 1, '0'}, protocol.FaultRange, 1},
		{"too many", rawUpdate(good, good, good, good), protocol.LimitEntries, 0},
		{"too large", rawUpdate(entryOf(1, 1, `"`+strings.Repeat("x", 19)+`"`)), protocol.LimitState, 3},
		{"too deep", rawUpdate(entryOf(1, 1, `[[[]]]`)), protocol.LimitNesting, 6},
	} {
		dst := []protocol.AwarenessEntry{good}
		entries, err := protocol.ParseAwareness(dst, c.u, lim)
		require.Equal(t, &protocol.Error{Kind: c.kind, Offset: c.offset}, err, c.name)
		require.Equal(t, dst, entries, c.name)
		if c.kind >= protocol.LimitEntries {
			require.ErrorIs(t, err, protocol.ErrLimit)
			_, err = protocol.ParseAwareness(nil, c.u, protocol.AwarenessLimits{})
			require.NoError(t, err, "the limits that stand for zero are wider")
		} else {
			require.ErrorIs(t, err, protocol.ErrMalformed)
		}
	}
}

func TestFalsyStatesBecomeNull(t *testing.T) {
	for state, want := range map[string]string{
		"null": "null", " null\n": "null", "false": "null", "0": "null", "-0": "null", "0.000e9": "null", "1e-400": "null", `""`: "null", "": "null",
		"true": "true", "1": "1", "-1e-300": "-1e-300", "1e999": "1e999", `" "`: `" "`, "[]": "[]", ` {"a":0}`: ` {"a":0}`, `"\u0000"`: `"\u0000"`,
	} {
		require.Equal(t, rawUpdate(entryOf(3, 4, want)), protocol.AppendAwarenessUpdate(nil, []protocol.AwarenessEntry{entryOf(3, 4, state)}), "%q", state)
	}
}

// TestVectorsTable replays what an Awareness of y-protocols was given and holds events and states against it. States are
// compared as JSON values, since y-protocols writes them anew.
func TestVectorsTable(t *testing.T) {
	for i, steps := range readVectors(t).Tables {
		a := protocol.NewAwareness(protocol.AwarenessConfig{})
		for j, step := range steps {
			name := fmt.Sprintf("table %d, step %d", i, j)
			got := map[protocol.AwarenessChange][]string{}
			if step.Remove != nil {
				for _, e := range a.Remove(nil, ids(t, step.Remove)...) {
					require.True(t, e.Gone())
					got[protocol.AwarenessRemoved] = append(got[protocol.AwarenessRemoved], strconv.FormatUint(e.Client, 10))
				}
			} else {
				entries, err := protocol.ParseAwareness(nil, step.U, protocol.AwarenessLimits{})
				require.NoError(t, err, name)
				for _, e := range entries {
					change := a.Apply(e, start)
					got[change] = append(got[change], strconv.FormatUint(e.Client, 10))
				}
			}
			require.Empty(t, got[protocol.AwarenessRefused])
			require.ElementsMatch(t, step.Added, got[protocol.AwarenessAdded], name)
			require.ElementsMatch(t, step.Updated, got[protocol.AwarenessUpdated], name)
			require.ElementsMatch(t, step.Removed, got[protocol.AwarenessRemoved], name)
			requireAll(t, a, step.All, name)
		}
	}
}

func requireAll(t *testing.T, a *protocol.Awareness, want [][3]string, name string) {
	t.Helper()
	entries, err := protocol.ParseAwareness(nil, a.AppendAll(nil), protocol.AwarenessLimits{})
	require.NoError(t, err)
	require.Len(t, entries, len(want), name)
	require.Equal(t, len(want), a.Len(), name)
	for i, w := range want {
		require.Equal(t, w[0], strconv.FormatUint(entries[i].Client, 10), name)
		require.Equal(t, w[1], strconv.FormatUint(entries[i].Clock, 10), name)
		require.JSONEq(t, w[2], string(entries[i].State), name)
	}
}

func ids(t *testing.T, list []string) (out []uint64) {
	t.Helper()
	for _, s := range list {
		n, err := strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
		out = append(out, n)
	}
	return out
}

func TestAwarenessRule(t *testing.T) {
	a := protocol.NewAwareness(protocol.AwarenessConfig{})
	for _, step := range []struct {
		clock uint64
		state string
		want  protocol.AwarenessChange
	}{
		{0, "{}", protocol.AwarenessIgnored}, // unknown counts as clock 0
		{0, "null", protocol.AwarenessIgnored},
		{1, "null", protocol.AwarenessIgnored}, // but remembered
		{1, "{}", protocol.AwarenessIgnored},
		{2, "{}", protocol.AwarenessUpdated}, // known, though it had no state
		{2, `{"a":1}`, protocol.AwarenessIgnored},
		{2, " null ", protocol.AwarenessRemoved}, // same clock, but takes away
		{2, "null", protocol.AwarenessIgnored},
		{3, "null", protocol.AwarenessRemoved}, // reported once more, as y-protocols does
		{2, "{}", protocol.AwarenessIgnored},
		{4, "0", protocol.AwarenessUpdated}, // falsy, but a state
		{4, "null", protocol.AwarenessRemoved},
	} {
		require.Equal(t, step.want, a.Apply(entryOf(5, step.clock, step.state), start), "%+v", step)
	}
	e, known := a.Entry(5)
	require.True(t, known)
	require.Equal(t, entryOf(5, 4, "null"), e)
	_, known = a.Entry(6)
	require.False(t, known)
}

func TestAwarenessKeepsTextAndCopies(t *testing.T) {
	a := protocol.NewAwareness(protocol.AwarenessConfig{})
	text := []byte(`{"z":1.0,"a":12345678901234567890}`)
	require.Equal(t, protocol.AwarenessAdded, a.Apply(protocol.AwarenessEntry{Client: 1, Clock: 1, State: text}, start))
	want := string(text)
	clear(text)
	e, _ := a.Entry(1)
	require.Equal(t, want, string(e.State))
	require.Equal(t, len(want), a.Bytes())
}

func TestAwarenessOutdated(t *testing.T) {
	a := protocol.NewAwareness(protocol.AwarenessConfig{})
	for i := range 5 {
		a.Apply(entryOf(uint64(10-i), 1, "{}"), start.Add(time.Duration(i)*time.Second))
	}
	a.Remove(nil, 10)
	require.Equal(t, []uint64{8, 9}, a.Outdated(nil, start.Add(3*time.Second)))
	require.Equal(t, []uint64{6, 7, 8, 9}, a.Clients(nil))
}

func TestAwarenessBounds(t *testing.T) {
	a := protocol.NewAwareness(protocol.AwarenessConfig{Bytes: 100, Clients: 16})
	forty := `"` + strings.Repeat("x", 38) + `"`
	require.Equal(t, protocol.AwarenessAdded, a.Apply(entryOf(1, 1, forty), start))
	require.Equal(t, protocol.AwarenessAdded, a.Apply(entryOf(2, 1, forty), start))
	require.Equal(t, protocol.AwarenessRefused, a.Apply(entryOf(3, 1, forty), start))
	require.Equal(t, protocol.AwarenessUpdated, a.Apply(entryOf(2, 2, forty), start), "replacing needs no room")
	require.Equal(t, protocol.AwarenessRefused, a.Apply(entryOf(2, 3, `[`+forty+`,`+forty+`]`), start))
	e, _ := a.Entry(2)
	require.Equal(t, uint64(2), e.Clock, "what is refused leaves no trace")
	a.Remove(nil, 1, 1, 7)
	require.Equal(t, 40, a.Bytes())

	// Clients come and go: those who went last are remembered.
	for i := range uint64(1000) {
		require.Equal(t, protocol.AwarenessAdded, a.Apply(entryOf(100+i, 5, "{}"), start.Add(time.Duration(i))))
		a.Remove(nil, 100+i)
		require.Equal(t, protocol.AwarenessIgnored, a.Apply(entryOf(100+i, 4, "{}"), start))
	}
	require.Equal(t, 1, a.Len())
	require.Equal(t, protocol.AwarenessIgnored, a.Apply(entryOf(1098, 5, "{}"), start), "still known")
	require.Equal(t, protocol.AwarenessAdded, a.Apply(entryOf(100, 5, "{}"), start), "long forgotten")

	// All are present: nobody is forgotten for a newcomer.
	full := protocol.NewAwareness(protocol.AwarenessConfig{Clients: 4})
	for i := range uint64(4) {
		require.Equal(t, protocol.AwarenessAdded, full.Apply(entryOf(i, 1, "1"), start))
	}
	require.Equal(t, protocol.AwarenessRefused, full.Apply(entryOf(9, 1, "1"), start))
	require.Equal(t, protocol.AwarenessIgnored, full.Apply(entryOf(9, 1, "null"), start))
	require.Equal(t, 4, full.Len())
}

// TestAwarenessHoldsOnToLittle: a state that shrank must not keep the memory of what it was.
func TestAwarenessHoldsOnToLittle(t *testing.T) {
	a := protocol.NewAwareness(protocol.AwarenessConfig{})
	a.Apply(entryOf(1, 1, `"`+strings.Repeat("x", 60_000)+`"`), start)
	a.Apply(entryOf(1, 2, `{}`), start)
	e, _ := a.Entry(1)
	require.Less(t, cap(e.State), 200)
}
