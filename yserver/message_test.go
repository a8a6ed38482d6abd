package yserver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/yserver"
)

func presenceOnly() func(*yserver.Config, *yserver.Party) {
	return withMessage(yserver.Message{Presence: true})
}

func TestPresenceGoesToAllOnJoinLeaveAndChange(t *testing.T) {
	k := start(t, presenceOnly())
	a := k.visit("a", "user=ann")
	require.Equal(t, []someone{{ID: "a", UserID: "ann"}}, a.rosterOf("a"))
	b := k.visit("b")
	want := []someone{{ID: "a", UserID: "ann"}, {ID: "b"}}
	require.Equal(t, want, a.rosterOf("a", "b"))
	require.Equal(t, want, b.rosterOf("a", "b"))

	b.sendText(`{"type":"presence","data":{"x":1}}`)
	want[1].Data = json.RawMessage(`{"x":1}`)
	require.Equal(t, want, a.rosterOf("a", "b"))
	require.Equal(t, want, b.rosterOf("a", "b"))
	b.sendText(`{"type":"presence"}`)
	want[1].Data = nil
	require.Equal(t, want, a.rosterOf("a", "b"))

	b.leaves()
	require.Equal(t, want[:1], a.rosterOf("a"))
}

// However often presence changes, it is sent once per interval, and the last
// that is sent is the newest.
func TestPresenceIsThrottledAndAlwaysTheNewest(t *testing.T) {
	const interval, changes = 300 * time.Millisecond, 200
	k := start(t, withMessage(yserver.Message{Presence: true, PresenceInterval: interval}))
	a := k.visit("a")
	a.rosterOf("a")
	begun := time.Now()
	for i := range changes {
		a.sendText(fmt.Sprintf(`{"type":"presence","data":{"n":%d}}`, i))
	}
	rosters := 0
	for newest := ""; newest != fmt.Sprintf(`{"n":%d}`, changes-1); rosters++ {
		newest = string(a.rosterOf("a")[0].Data)
	}
	// One at once perhaps, and one at the end of each interval that has begun.
	require.LessOrEqual(t, rosters, 2+int(time.Since(begun)/interval))
}

func TestPresenceCannotBeForged(t *testing.T) {
	k := start(t, withMessage(yserver.Message{Presence: true, Relay: yserver.RelayJSON}))
	a, b := k.visit("a", "user=ann"), k.visit("b")
	a.rosterOf("a", "b")
	b.rosterOf("a", "b")
	for _, forged := range []string{
		`{"type":"presence","peers":[{"id":"a","userId":"root"}],"id":"a","userId":"root","name":"Ann"}`,
		`{"type":"pres\u0065nce","peers":[]}`,
		`{"type":"x","type":"presence","peers":[]}`,
		`{"type":"state","state":{"x":1},"version":9}`,
		`{"type":"history","messages":[]}`,
		`{"type":"gap"}`,
		`{"type":"error","code":"READ_ONLY"}`,
		`{"type":"auth:refresh","token":"x"}`,
		`{"type":"auth:anything"}`,
	} {
		b.sendText(forged)
	}
	b.sendText(`{"done":true}`)
	for {
		text := a.message()
		if strings.Contains(text, "done") {
			break
		}
		require.JSONEq(t, `{"type":"presence","peers":[{"id":"a","userId":"ann"},{"id":"b"}]}`, text)
	}
	require.Positive(t, k.Srv.Stats().BadFrames)
}

func TestPresenceDataIsAtMost4KiB(t *testing.T) {
	k := start(t, presenceOnly())
	a := k.visit("a")
	a.rosterOf("a")
	largest := fmt.Sprintf(`{"x":%q}`, strings.Repeat("x", 4096-len(`{"x":""}`)))
	a.sendText(`{"type":"presence","data":` + largest + `}`)
	require.Equal(t, largest, string(a.rosterOf("a")[0].Data))
	a.sendText(`{"type":"presence","data":` + strings.Replace(largest, "x", "xx", 1) + `}`)
	a.hears(`{"type":"error","code":"BAD_FRAME"}`)
	a.sendText(`{"type":"presence","data":[1]}`)
	a.hears(`{"type":"error","code":"BAD_FRAME"}`)
}

func TestRelayIsStampedWithItsSender(t *testing.T) {
	k := start(t, relaying())
	a, b, c := k.visit("a", "user=ann"), k.visit("b"), k.visit("c")
	a.sendText(`{"from":"c","text":"hi","userId":"root","fr\u006fm":"c","n":1e999}`)
	for _, g := range []*guest{b, c} {
		require.Equal(t, `{"text":"hi","n":1e999,"from":"a","userId":"ann"}`, g.message())
	}
	b.sendText(`{"userId":"ann"}`)
	require.Equal(t, `{"from":"b"}`, c.message())
	require.Equal(t, `{"from":"b"}`, a.message(), "and a did not hear itself")
}

func TestRelayToOneConnection(t *testing.T) {
	k := start(t, relaying())
	a, b, c := k.visit("a"), k.visit("b"), k.visit("c")
	a.sendText(`{"to":"b","x":1}`)
	b.hears(`{"to":"b","x":1,"from":"a"}`)
	a.sendText(`{"to":"nobody","x":2}`)
	a.sendText(`{"to":"a","x":3}`)
	a.sendText(`{"to":7}`)
	a.hears(`{"type":"error","code":"BAD_FRAME"}`)
	a.probe(b, c)
	b.probe(a, c)
}

// A client that reconnects under its id is the one that the id names.
func TestRelayToTheNewestOfAnID(t *testing.T) {
	k := start(t, relaying())
	old := k.visit("b", "user=ben")
	b := k.visit("b", "user=ben")
	a := k.visit("a")
	_, resp, err := k.tryDial("/parties/main/r?_pk=b&user=eve")
	require.Error(t, err)
	require.Equal(t, http.StatusConflict, resp.StatusCode)
	a.sendText(`{"to":"b","x":1}`)
	b.hears(`{"to":"b","x":1,"from":"a"}`)
	a.probe(b, old)
}

// tagging gives each connection the tag that its URL names.
type tagging struct{}

func (tagging) ConnectionTags(_ context.Context, _ *yserver.Connection, r *http.Request) ([]string, error) {
	if tag := r.URL.Query().Get("tag"); tag != "" {
		return []string{tag}, nil
	}
	return nil, nil
}

func TestRelayToATagWhichAnIDNeverIs(t *testing.T) {
	k := start(t, relaying(), func(_ *yserver.Config, p *yserver.Party) {
		p.New = func(*yserver.Room) any { return tagging{} }
	})
	a, host, liar := k.visit("a"), k.visit("b", "tag=hosts"), k.visit("hosts")
	a.sendText(`{"toTag":"hosts","x":1}`)
	host.hears(`{"toTag":"hosts","x":1,"from":"a"}`)
	a.sendText(`{"toTag":"","x":2}`)
	a.sendText(`{"toTag":"b","x":3}`)
	host.sendText(`{"toTag":"hosts","x":4}`)
	a.probe(host, liar)
	liar.probe(a, host)
}

func TestTextThatIsNoObjectIsDroppedAndCounted(t *testing.T) {
	k := start(t, relaying())
	a, b := k.visit("a"), k.visit("b")
	for _, text := range []string{"", "hello", "[1]", `"x"`, "null", `{"a":1`, `{"a":1}{}`, "7"} {
		a.sendText(text)
	}
	a.probe(b)
	require.EqualValues(t, 8, k.Srv.Stats().BadFrames)
}

func TestRawRelaysEverythingVerbatim(t *testing.T) {
	k := start(t, withMessage(yserver.Message{Relay: yserver.RelayRaw}))
	a, b := k.visit("a"), k.visit("b")
	for _, text := range []string{"hello", `{"type":"presence","peers":[]}`, `{"from":"b"}`, "", "[1]"} {
		a.sendText(text)
		require.Equal(t, text, b.message())
	}
	a.send([]byte{1, 2, 3})
	require.Equal(t, []byte{1, 2, 3}, b.next())
	b.sendText("back")
	require.Equal(t, "back", a.message(), "and a did not hear itself")
}

func TestBinaryIsRelayedVerbatim(t *testing.T) {
	k := start(t, relaying())
	a, b := k.visit("a"), k.visit("b")
	for _, data := range [][]byte{{}, {0}, []byte(`{"type":"presence"}`), make([]byte, 100_000)} {
		a.send(data)
		require.Equal(t, data, b.next())
	}
	b.send([]byte("back"))
	require.Equal(t, []byte("back"), a.next(), "and a did not hear itself")
}

func TestAReadOnlyCallerSendsPresenceOnly(t *testing.T) {
	k := start(t, withMessage(yserver.Message{Presence: true, Relay: yserver.RelayJSON, State: &yserver.SharedState{}}))
	w, r := k.visit("w"), k.visit("r", "read=1")
	w.hears(`{"type":"state","state":{},"version":0}`)
	r.hears(`{"type":"state","state":{},"version":0}`)
	w.rosterOf("w", "r")
	r.rosterOf("w", "r")
	r.sendText(`{"type":"presence","data":{"x":1}}`)
	require.Equal(t, `{"x":1}`, string(w.rosterOf("w", "r")[1].Data))
	r.rosterOf("w", "r")
	r.sendText(`{"type":"auth:refresh","token":"t"}`)
	r.sendText(`{"x":1}`)
	r.hears(`{"type":"error","code":"READ_ONLY"}`)
	r.sendText(`{"type":"state","patch":{"x":1}}`)
	r.hears(`{"type":"error","code":"READ_ONLY"}`)
	r.send([]byte{1})
	r.hears(`{"type":"error","code":"READ_ONLY"}`)
	w.sendText(`{"x":2}`)
	r.hears(`{"x":2,"from":"w"}`)
	w.sendText(`{"type":"state","patch":{"y":1}}`)
	w.hears(`{"type":"state","patch":{"y":1},"version":1,"from":"w"}`)
	require.EqualValues(t, 3, k.Srv.Stats().RefusedWrites)
}

// The code of a room gets what is relayed, beside what the room does by itself.
func TestARoomTypeBesideRelay(t *testing.T) {
	heard := make(chan string, 16)
	k := start(t, withMessage(yserver.Message{Presence: true, Relay: yserver.RelayJSON}), func(_ *yserver.Config, p *yserver.Party) {
		p.New = func(*yserver.Room) any { return hearing(heard) }
	})
	a, b := k.visit("a"), k.visit("b")
	a.rosterOf("a", "b")
	b.rosterOf("a", "b")
	a.sendText(`{"type":"presence","data":{}}`)
	a.sendText(`{"x":1}`)
	a.send([]byte("y"))
	require.Equal(t, `a {"x":1}`, receive(t, heard))
	require.Equal(t, "a y", receive(t, heard))
}

type hearing chan string

func (h hearing) OnMessage(_ context.Context, c *yserver.Connection, p yserver.Payload) error {
	h <- c.ID() + " " + p.String()
	return nil
}

// A peer that does not read gets the newest roster when it does again, in place
// of all that came meanwhile.
func TestASlowPeerGetsTheNewestRoster(t *testing.T) {
	const padding = 4000
	k := start(t, withMessage(yserver.Message{Presence: true, PresenceInterval: time.Millisecond}), func(_ *yserver.Config, p *yserver.Party) {
		p.Limits.PeerQueue = 64 << 10
	})
	slow := k.frozen("/parties/main/r?_pk=slow")
	a := k.visit("a")
	a.rosterOf("slow", "a")
	n := 0
	for ; k.Srv.Stats().Conflations == 0; n++ {
		a.sendText(fmt.Sprintf(`{"type":"presence","data":{"n":%d,"x":%q}}`, n, strings.Repeat("x", padding)))
		a.rosterOf("slow", "a")
	}
	for range 100 { // all of it is dropped
		n++
		a.sendText(fmt.Sprintf(`{"type":"presence","data":{"n":%d}}`, n))
		a.rosterOf("slow", "a")
	}
	newest := fmt.Sprintf(`{"n":%d}`, n)
	rosters := 0
	for last := ""; last != newest; rosters++ {
		require.NoError(t, slow.SetReadDeadline(time.Now().Add(patience)))
		_, text, err := slow.ReadMessage()
		require.NoError(t, err)
		var f struct{ Peers []someone }
		require.NoError(t, json.Unmarshal(text, &f))
		last = string(f.Peers[len(f.Peers)-1].Data)
	}
	require.Less(t, rosters, n-50, "of %d", n)
}

// Messages cannot be dropped: a peer that does not read is closed when too much
// waits for it, and the others hear everything.
func TestAFrozenPeerIsClosed1013(t *testing.T) {
	k := start(t, relaying(), func(_ *yserver.Config, p *yserver.Party) { p.Limits.PeerQueue = 64 << 10 })
	slow := k.frozen("/parties/main/r?_pk=slow")
	a, b := k.visit("a"), k.visit("b")
	text := strings.Repeat("x", 4000)
	n := 0
	for ; len(k.roomOf("r").Connections()) == 3; n++ {
		a.sendText(fmt.Sprintf(`{"n":%d,"x":%q}`, n, text))
		b.hears(fmt.Sprintf(`{"n":%d,"x":%q,"from":"a"}`, n, text))
	}
	require.Greater(t, n*len(text), 64<<10, "it was closed for less than the limit")
	require.NoError(t, slow.SetReadDeadline(time.Now().Add(patience)))
	for {
		if _, _, err := slow.ReadMessage(); err != nil {
			var ce *websocket.CloseError
			require.ErrorAs(t, err, &ce)
			require.Equal(t, websocket.CloseTryAgainLater, ce.Code)
			break
		}
	}
	a.probe(b)
}

func TestMessageConfigurationThatCannotBe(t *testing.T) {
	for name, m := range map[string]yserver.Message{
		"history of what has no offset": {Relay: yserver.RelayRaw, History: &yserver.History{Messages: 1}},
		"history of nothing":            {History: &yserver.History{Messages: 1}},
		"history of no messages":        {Relay: yserver.RelayJSON, History: &yserver.History{}},
		"history that is too large":     {Relay: yserver.RelayJSON, History: &yserver.History{Messages: 1, MaxBytes: 17 << 20}},
		"state that is too large":       {State: &yserver.SharedState{MaxBytes: 17 << 20}},
		"negative state":                {State: &yserver.SharedState{MaxBytes: -1}},
		"unknown relay":                 {Relay: 9},
		"negative interval":             {Presence: true, PresenceInterval: -1},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, p := yserver.Config{Store: brokenStore{}}, yserver.Party{Name: "main"}
			withMessage(m)(&cfg, &p)
			_, err := yserver.New(cfg, p)
			require.Error(t, err)
		})
	}
}
