package yserver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/persist/persisttest"
	"github.com/yserverd/yserverd/yserver"
)

// withMessage makes the party one of message rooms, whose callers are who they
// say: ?user= is their id, ?read= makes them read-only.
func withMessage(m yserver.Message) func(*yserver.Config, *yserver.Party) {
	return func(_ *yserver.Config, p *yserver.Party) {
		p.Document, p.Message, p.YWebSocket = nil, &m, ""
		p.Access = func(_ context.Context, r *gate.Request) (gate.Decision, error) {
			q := r.HTTP.URL.Query()
			return gate.Decision{Identity: gate.Identity{UserID: q.Get("user")}, Write: !q.Has("read")}, nil
		}
	}
}

// relaying is a message room that relays JSON and does nothing else.
func relaying() func(*yserver.Config, *yserver.Party) {
	return withMessage(yserver.Message{Relay: yserver.RelayJSON})
}

// withFaults wraps the store so that its calls fail or wait as a plan says.
func withFaults(plan func(persisttest.Call) persisttest.Fault) (*persisttest.Faulty, func(*yserver.Config, *yserver.Party)) {
	faulty := persisttest.NewFaulty(persisttest.NewMemory(), plan)
	return faulty, func(c *yserver.Config, _ *yserver.Party) { c.Store = faulty }
}

// onOp gives a fault to all calls of a method.
func onOp(op persisttest.Op, fault persisttest.Fault) func(persisttest.Call) persisttest.Fault {
	return func(c persisttest.Call) persisttest.Fault {
		if c.Op == op {
			return fault
		}
		return persisttest.Fault{}
	}
}

// guest is a client of a message room.
type guest struct {
	*wire
	ID string
}

// visit connects to room r as id; query is more of the URL ("user=u&read=1").
func (k *kit) visit(id string, query ...string) *guest { return k.visitRoom("r", id, query...) }

func (k *kit) visitRoom(room, id string, query ...string) *guest {
	k.t.Helper()
	path := "/parties/main/" + room + "?_pk=" + url.QueryEscape(id)
	for _, q := range query {
		path += "&" + q
	}
	return &guest{k.dial(path), id}
}

// message returns the next text frame.
func (g *guest) message() string {
	g.t.Helper()
	select {
	case text := <-g.text:
		return text
	case <-time.After(patience):
		g.t.Fatalf("%s: no text came", g.ID)
		return ""
	}
}

// hears requires that the next text frame is this JSON.
func (g *guest) hears(want string) {
	g.t.Helper()
	require.JSONEq(g.t, want, g.message(), "what %s hears", g.ID)
}

// probe has a guest say something that all others hear, and requires that they
// have heard nothing before.
func (g *guest) probe(others ...*guest) {
	g.t.Helper()
	text := fmt.Sprintf(`"probe":%d`, time.Now().UnixNano())
	g.sendText("{" + text + "}")
	for _, other := range others {
		heard := other.message()
		require.True(g.t, strings.HasPrefix(heard, "{"+text), "%s heard %s", other.ID, heard)
	}
}

// someone is an entry of a roster.
type someone struct {
	ID     string          `json:"id"`
	UserID string          `json:"userId,omitempty"`
	Name   string          `json:"name,omitempty"`
	Data   json.RawMessage `json:"data,omitempty"`
}

// roster returns the next text frame, which must be presence.
func (g *guest) roster() []someone {
	g.t.Helper()
	var f struct {
		Type  string
		Peers []someone
	}
	text := g.message()
	require.NoError(g.t, json.Unmarshal([]byte(text), &f))
	require.Equal(g.t, "presence", f.Type, text)
	return f.Peers
}

// rosterOf waits for the roster of exactly these ids, in their order.
func (g *guest) rosterOf(ids ...string) []someone {
	g.t.Helper()
	for {
		peers := g.roster()
		if len(peers) != len(ids) {
			continue
		}
		same := true
		for i := range peers {
			same = same && peers[i].ID == ids[i]
		}
		if same {
			return peers
		}
	}
}

// leaves closes the connection.
func (g *guest) leaves() { require.NoError(g.t, g.conn.Close()) }

// roomOf returns the handle of a room.
func (k *kit) roomOf(name string) *yserver.Room {
	k.t.Helper()
	r, err := k.Srv.Room("main", name)
	require.NoError(k.t, err)
	return r
}

// blockade is a plan that holds calls of one method up.
type blockade struct {
	op      persisttest.Op
	store   *persisttest.Faulty
	release chan struct{}
}

// blocks makes the calls of a method wait until lift.
func blocks(store *persisttest.Faulty, op persisttest.Op) *blockade {
	b := &blockade{op, store, make(chan struct{})}
	store.SetPlan(onOp(op, persisttest.Fault{Until: b.release}))
	return b
}

func (b *blockade) lift() {
	b.store.SetPlan(nil)
	close(b.release)
}

func count(t testing.TB, what string, want int64, have func() int64) {
	t.Helper()
	eventually(t, what, func() bool { return have() == want })
}
