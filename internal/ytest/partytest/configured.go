package partytest

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/ytest"
	"github.com/yserverd/yserverd/yserver"
)

// told is any frame of a configured room.
type told struct {
	Type     string
	From     string
	N        int
	Peers    []struct{ ID string }
	State    json.RawMessage
	Patch    json.RawMessage
	Version  uint64
	Epoch    string
	Offset   uint64
	Messages []told
}

// configured has clients in a room without code, with all that a party can be told to do by itself. One that comes back
// asks for what it missed, as an application does: by a query that is made anew for each connection.
func configured(t *testing.T, n *ytest.NodeClients) {
	s := serve(t, n, hooks{}, func(p *yserver.Party) {
		p.New = nil
		p.Message = &yserver.Message{Presence: true, Relay: yserver.RelayJSON, State: &yserver.SharedState{}, History: &yserver.History{Messages: 3}}
	})
	ctx := t.Context()
	a, b := s.join(s.config("a")), s.join(s.config("b"))
	present := func(ids ...string) func(told) bool {
		return func(f told) bool {
			got := []string{}
			for _, p := range f.Peers {
				got = append(got, p.ID)
			}
			slices.Sort(got)
			return f.Type == "presence" && slices.Equal(got, ids)
		}
	}
	Expect(t, a, present("a", "b"))
	Expect(t, b, present("a", "b"))

	for i := range 5 {
		require.NoError(t, a.SendText(ctx, fmt.Sprintf(`{"type":"count","n":%d,"from":"b","userId":"root"}`, i)))
	}
	fourth := Expect(t, b, func(f told) bool { return f.Type == "count" && f.N == 4 })
	require.Equal(t, "a", fourth.From, "stamped by the server")
	require.NoError(t, b.SendAs(ctx, ytest.AsBlob, []byte{1, 2, 3}))
	require.NoError(t, a.AwaitKind(ctx, ytest.AsBlob, 1))
	require.NoError(t, b.SendText(ctx, `{"type":"state","patch":{"k":{"x":1,"y":null}}}`))
	for _, c := range []*ytest.NodeClient{a, b} { // the sender too
		patch := Expect(t, c, func(f told) bool { return f.Patch != nil })
		require.Equal(t, [2]any{"b", uint64(1)}, [2]any{patch.From, patch.Version})
	}

	late := s.join(s.config("late"))
	state := Expect(t, late, func(f told) bool { return f.Type == "state" })
	require.JSONEq(t, `{"k":{"x":1}}`, string(state.State))
	history := Expect(t, late, func(f told) bool { return f.Type == "history" })
	require.Equal(t, []int{2, 3, 4}, numbers(history.Messages))
	require.Equal(t, fourth.Offset, history.Offset)

	cfg := s.config("back")
	cfg.Params = map[string]string{"since": fmt.Sprintf("%s:%d", history.Epoch, history.Offset-1)}
	back := s.join(cfg)
	require.Equal(t, []int{4}, numbers(Expect(t, back, func(f told) bool { return f.Type == "history" }).Messages))
	cfg = s.config("long gone")
	cfg.Params = map[string]string{"since": history.Epoch + ":0"}
	gone := s.join(cfg)
	require.Equal(t, history.Epoch, Expect(t, gone, func(f told) bool { return f.Type == "gap" }).Epoch)

	frames, err := a.Frames(ctx, 0)
	require.NoError(t, err)
	for _, f := range frames {
		require.NotContains(t, f.Text, `"count"`, "what one sends comes back to nobody")
	}
}

func numbers(messages []told) []int {
	list := make([]int, len(messages))
	for i, m := range messages {
		list[i] = m.N
	}
	return list
}
