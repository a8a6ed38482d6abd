package yserver_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/yserver"
)

// One who does not read is closed, and delays nobody.
func TestBroadcastSlow(t *testing.T) {
	r := broadcasting(t, func(c *yserver.BroadcastConfig) { c.PeerQueue = 64 << 10 })
	ann := r.person("ann", "o1")
	conn, _, err := websocket.DefaultDialer.Dial(r.url(r.socketPath(ann, yserver.BroadcastTicket{})), nil)
	require.NoError(t, err)
	defer conn.Close()
	good := r.listen(ann, yserver.BroadcastTicket{})
	payload := strings.Repeat("x", 256<<10)
	want := event("big", payload)
	for r.b.Stats().TooSlow == 0 {
		_, err := r.b.Publish(t.Context(), yserver.Target{OrgID: "o1"}, "big", payload)
		require.NoError(t, err)
		good.hears(want)
	}
	for err == nil {
		_, _, err = conn.ReadMessage()
	}
	var ce *websocket.CloseError
	require.ErrorAs(t, err, &ce)
	require.Equal(t, 1013, ce.Code)
	good.deaf()
}

func TestBroadcastRecheck(t *testing.T) {
	r := broadcasting(t, func(c *yserver.BroadcastConfig) {
		c.Resource = func(_ context.Context, id gate.Identity, _, _ string) error {
			if id.UserID == "dan" {
				return gate.RefuseFirewall()
			}
			return nil
		}
	})
	open := map[string]*wire{}
	for _, name := range []string{"ann", "bob", "moved", "gone"} {
		open[name] = r.listen(r.person(name, "o1", "viewer"), yserver.BroadcastTicket{})
	}
	dan := r.listen(r.person("dan", "o1"), forRow("events:1"))
	cat := r.listen(r.person("cat", "o1"), forRow("events:1"))
	r.d.set(func() { r.d.down = errAway })
	res, err := r.b.Recheck(t.Context(), yserver.RecheckFilter{})
	require.Error(t, err)
	require.Equal(t, yserver.RecheckResult{Checked: 6, Unknown: 6}, res)
	r.d.set(func() {
		r.d.down = nil
		r.d.now["ann"] = gate.Checked{Identity: gate.Identity{UserID: "ann", OrgID: "o1", Roles: []string{"admin"}}}
		r.d.now["moved"] = gate.Checked{Identity: gate.Identity{UserID: "moved", OrgID: "o2"}}
		r.d.now["gone"] = gate.Checked{Refusal: gate.RefuseInvalid()}
	})
	for _, f := range []yserver.RecheckFilter{{Party: "main"}, {UserID: "nobody"}, {OrgID: "o2"}, {UserID: "ann", OrgID: "o2"}} {
		res, err = r.b.Recheck(t.Context(), f)
		require.NoError(t, err)
		require.Zero(t, res)
	}
	res, err = r.b.Recheck(t.Context(), yserver.RecheckFilter{OrgID: "o1"})
	require.NoError(t, err)
	require.Equal(t, yserver.RecheckResult{Checked: 6, Closed: 3}, res)
	open["moved"].expectClose(4401)
	open["gone"].expectClose(4401)
	dan.expectClose(4403)
	r.said(1, `{"type":"broadcast","event":"e","organizationId":"o1","roles":["admin"]}`)
	open["ann"].hears(event("e", nil))
	open["bob"].deaf()
	cat.deaf()
}

func TestBroadcastRecheckRounds(t *testing.T) {
	r := broadcasting(t, nil, withRecheck(10*time.Millisecond))
	w := r.listen(r.person("ann", "o1"), yserver.BroadcastTicket{})
	r.d.set(func() { r.d.now["ann"] = gate.Checked{Refusal: gate.RefuseInvalid()} })
	w.expectClose(4401)
}

// A room gets messages as well: text in a message room, custom messages for the
// clients of a document that know them.
func TestBroadcastRooms(t *testing.T) {
	r := broadcasting(t, nil)
	ann, bob := r.person("ann", "o1", "admin"), r.person("bob", "o1")
	socket := r.listen(ann, yserver.BroadcastTicket{})
	inRoom := r.dial("/parties/main/r?_pk=a&token=" + ann.UserID)
	bobs := r.dial("/parties/main/r?_pk=b&token=" + bob.UserID)
	elsewhere := r.dial("/parties/main/other?_pk=c&token=" + ann.UserID)
	yws := r.dial("/yjs/r?token=" + ann.UserID)
	eventually(t, "they are in", func() bool { return r.Srv.Stats().Connections == 5 })
	custom := func(w *wire, want string) {
		t.Helper()
		got := <-w.text
		require.True(t, strings.HasPrefix(got, "__YPS:"), got)
		require.JSONEq(t, want, strings.TrimPrefix(got, "__YPS:"))
	}
	joined := func() bool {
		room, err := r.Srv.Room("main", "r")
		require.NoError(t, err)
		other, err := r.Srv.Room("main", "other")
		require.NoError(t, err)
		return len(room.Connections()) == 3 && len(other.Connections()) == 1
	}
	eventually(t, "they have joined", joined)
	r.said(3, `{"type":"broadcast","event":"e","payload":1,"organizationId":"o1","party":"main","room":"r"}`)
	socket.hears(event("e", 1))
	custom(inRoom, event("e", 1))
	custom(bobs, event("e", 1))
	r.said(2, `{"type":"postgres_changes","table":"claims","eventType":"INSERT","party":"main","room":"r",
		"new":{"id":1,"title":"T","email":"paul@example.com"}}`)
	custom(inRoom, change("INSERT", clearRow, "null"))
	custom(bobs, change("INSERT", maskedRow, "null"))
	r.said(1, `{"type":"broadcast","event":"e","payload":2,"userId":"bob","party":"main","room":"r"}`)
	custom(bobs, event("e", 2))
	r.said(1, `{"type":"broadcast","event":"e","payload":3,"roles":["admin"],"party":"main","room":"r"}`)
	custom(inRoom, event("e", 3))
	r.said(2, `{"type":"broadcast","event":"e","payload":4,"userId":"ann","party":"main"}`)
	custom(inRoom, event("e", 4))
	custom(elsewhere, event("e", 4))
	n, err := r.b.InvalidateToken(t.Context(), "ann", "role-changed")
	require.NoError(t, err)
	require.Equal(t, 3, n)
	for _, w := range []*wire{inRoom, elsewhere} {
		custom(w, event("auth:token-invalidated", map[string]string{"reason": "role-changed"}))
	}
	socket.hears(event("auth:token-invalidated", map[string]string{"reason": "role-changed"}))
	r.said(0, `{"type":"broadcast","event":"e","party":"main","room":"nobody is here"}`)
	for _, w := range []*wire{inRoom, bobs, elsewhere, yws} {
		require.Empty(t, w.text)
		require.NoError(t, w.conn.Close())
	}
	eventually(t, "nobody is left", func() bool { return r.Srv.Stats().Connections == 1 })
	r.said(0, `{"type":"broadcast","event":"e","userId":"ann","party":"main"}`)
}

func TestBroadcastMessageRoom(t *testing.T) {
	r := broadcasting(t, nil, messages(yserver.Message{}))
	ann := r.person("ann", "o1")
	w := r.dial("/parties/main/r?token=" + ann.UserID)
	eventually(t, "it has joined", func() bool {
		room, err := r.Srv.Room("main", "r")
		require.NoError(t, err)
		return len(room.Connections()) == 1
	})
	r.said(1, `{"type":"broadcast","event":"e","payload":1,"party":"main","room":"r"}`)
	w.hears(event("e", 1))
}

// Messages of one caller come in its order, whoever else sends, and whoever comes
// and goes.
func TestBroadcastConcurrently(t *testing.T) {
	const senders, each = 4, 50
	r := broadcasting(t, nil)
	ann := r.person("ann", "o1")
	listeners := []*wire{r.listen(ann, yserver.BroadcastTicket{}), r.listen(ann, yserver.BroadcastTicket{}), r.listen(ann, yserver.BroadcastTicket{})}
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := range each {
				if _, err := r.b.Publish(t.Context(), yserver.Target{OrgID: "o1"}, fmt.Sprint(s), i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			conn, _, err := websocket.DefaultDialer.Dial(r.url(r.socketPath(ann, yserver.BroadcastTicket{})), nil)
			if err == nil {
				err = conn.Close()
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	for _, w := range listeners {
		next := make([]int, senders)
		for range senders * each {
			var s, i int
			_, err := fmt.Sscanf(<-w.text, `{"type":"broadcast","event":"%d","payload":%d}`, &s, &i)
			require.NoError(t, err)
			require.Equal(t, next[s], i)
			next[s]++
		}
	}
}

func TestBroadcastThousand(t *testing.T) {
	const n = 1000
	r := broadcasting(t, nil)
	conns := make([]*websocket.Conn, n)
	var wg sync.WaitGroup
	for i := range n {
		path := r.socketPath(r.person(fmt.Sprint("u", i), fmt.Sprint("o", i%10), []string{"admin", "member"}[i/10%2]), yserver.BroadcastTicket{})
		if wg.Go(func() {
			var err error
			if conns[i], _, err = websocket.DefaultDialer.Dial(r.url(path), nil); err != nil {
				t.Error(err)
			}
		}); i%32 == 31 {
			wg.Wait()
		}
	}
	wg.Wait()
	require.False(t, t.Failed())
	before := r.b.Stats().Encodings
	for org := range 10 {
		require.Equal(t, n/10, r.b.Changed(yserver.Change{
			Schema: "public", Table: "claims", Op: yserver.ChangeInsert, New: &image{org: fmt.Sprint("o", org)},
		}))
	}
	require.EqualValues(t, 20, r.b.Stats().Encodings-before)
	for i, c := range conns {
		_, text, err := c.ReadMessage()
		require.NoError(t, err)
		want := maskedRow
		if i/10%2 == 0 {
			want = clearRow
		}
		require.JSONEq(t, change("INSERT", want, "null"), string(text))
		require.NoError(t, c.Close())
	}
}

func TestBroadcastShutdown(t *testing.T) {
	r := broadcasting(t, nil)
	path := r.socketPath(r.person("ann", "o1"), yserver.BroadcastTicket{})
	w := r.dial(path)
	require.NoError(t, r.b.Shutdown(t.Context()))
	w.expectEnd(1012, "server is restarting")
	require.Equal(t, 503, r.refused(path))
	n, err := r.b.Publish(t.Context(), yserver.Target{OrgID: "o1"}, "e", nil)
	require.NoError(t, err)
	require.Zero(t, n)
}
