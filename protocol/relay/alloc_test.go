package relay_test

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/costtest"
	"github.com/yserverd/yserverd/protocol/relay"
)

// allocated returns how many bytes f allocates, whether or not they are still in use.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestAllocatedBytesAreBoundedByInput: all that is ever allocated, not only what is in use at once.
func TestAllocatedBytesAreBoundedByInput(t *testing.T) {
	costtest.Unraced(t)
	const spare = 64 << 10
	for name, family := range hostile {
		// The size of a table doubles, so sizes in between are looked at as well.
		for _, n := range []int{2_000, 49_000, 49_200, 98_400} {
			text := family(n)
			var f relay.ClientFrame
			got := allocated(func() { f, _ = relay.Parse(text, relay.Limits{Data: 1 << 30}) })
			require.LessOrEqual(t, got, uint64(16*len(text)+spare), "parse %s", name)
			got = allocated(func() { f.AppendRelay(make([]byte, 0, len(text)+200), relay.Stamp{From: "c", UserID: "u"}) })
			require.LessOrEqual(t, got, uint64(2*len(text)+spare), "relay %s", name)
			for _, other := range [][]byte{nil, []byte(`{}`), text} {
				got = allocated(func() { _, _ = relay.MergePatch(nil, text, other, 1<<30, 0) })
				require.LessOrEqual(t, got, uint64(16*(len(text)+len(other))+spare), "patch %s with %.10s", name, other)
				got = allocated(func() { _, _ = relay.MergePatch(nil, other, text, 1<<30, 0) })
				require.LessOrEqual(t, got, uint64(16*(len(text)+len(other))+spare), "patch %.10s with %s", other, name)
			}
		}
	}
}

func TestAllocsOfFrames(t *testing.T) {
	costtest.Unraced(t)
	dst := make([]byte, 0, 1<<10)
	stamp := relay.Stamp{From: "c1", UserID: "ada", Offset: 1 << 40, HasOffset: true}
	for _, row := range []struct {
		text   string
		allocs float64
	}{
		{`{"type":"move","x":1.5,"y":[1,2,{"a":"\u0061"}]}`, 0},
		{`{"typ\u0065":"mov\u0065","fr\u006fm":"x","userId":"y","offset":1}`, 0},
		{`{"type":"presence","data":{"x":1}}`, 0},
		{`{"type":"state","patch":{"x":1}}`, 0},
		{`{"type":"state","patch":{"x":1},"ifVersion":7}`, 1},
		{`{"to":"c2"}`, 1},
		{`{"toTag":"a\n","to":"b\n"}`, 4},
	} {
		text := []byte(row.text)
		require.Equal(t, row.allocs, testing.AllocsPerRun(100, func() {
			f, err := relay.Parse(text, relay.Limits{})
			if err != nil {
				t.Error(err)
			}
			f.AppendRelay(dst, stamp)
		}), row.text)
	}

	peers := []relay.Peer{{ID: "c1", UserID: "ada", Name: "Ada \"é\"", Data: []byte(`{}`)}, {ID: "c2"}}
	messages := [][]byte{[]byte(`{}`), []byte(`{}`)}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		relay.AppendPresence(dst, peers)
		relay.AppendState(dst, peers[0].Data, 7)
		relay.AppendPatch(dst, peers[0].Data, 7, "c1", "ada")
		relay.AppendError(dst, relay.CodeBadFrame)
		relay.AppendConflict(dst, peers[0].Data, 7)
		relay.AppendHistory(dst, "epoch", 7, messages)
		relay.AppendGap(dst, "epoch", 7)
		_, _, _ = relay.ParseSince("epoch:7")
	}))
}
