package yserver_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/yserver"
)

func TestBroadcastTicket(t *testing.T) {
	r := broadcasting(t, func(c *yserver.BroadcastConfig) {
		c.Resource = func(_ context.Context, id gate.Identity, resource, key string) error {
			switch {
			case resource != "events":
				return &gate.Refusal{Status: 400, Layer: gate.LayerValidation, Code: "NO_RESOURCE", Message: "no such resource"}
			case key != "evt_1" || id.UserID != "ann":
				return gate.RefuseFirewall()
			}
			return nil
		}
	})
	r.person("ann", "o1", "member")
	r.person("lone", "")
	r.d.knows("tick", by(gate.MethodTicket))
	for _, row := range []struct {
		token, body string
		status      int
		code        string
	}{
		{"", "", 401, "AUTH_MISSING"},
		{"wrong", "", 401, "AUTH_INVALID"},
		{"tick", "", 401, "AUTH_INVALID"},
		{"ann", "", 200, ""},
		{"ann", " {} ", 200, ""},
		{"ann", `{"scope":"user"}`, 200, ""},
		{"ann", `{"resource":"events","id":"evt_1"}`, 200, ""},
		{"ann", `{"resource":"events","id":"evt_2"}`, 403, "FIREWALL_NOT_FOUND"},
		{"ann", `{"resource":"chats","id":"evt_2"}`, 400, "NO_RESOURCE"},
		{"ann", `{"resource":"","id":"evt_2"}`, 400, "BROADCAST_INVALID"},
		{"ann", `{"resource":"events:x","id":"evt_2"}`, 400, "BROADCAST_INVALID"},
		{"ann", `{"resource":"events"}`, 400, "BROADCAST_INVALID"},
		{"ann", `{"party":"main","room":"a"}`, 200, ""},
		{"ann", `{"party":"none","room":"a"}`, 400, "BROADCAST_INVALID"},
		{"ann", `{"party":"main"}`, 400, "BROADCAST_INVALID"},
		{"ann", `{"scope":"user","party":"main","room":"a"}`, 400, "BROADCAST_INVALID"},
		{"ann", `{"scope":"all"}`, 400, "BROADCAST_INVALID"},
		{"ann", `{"scop":"user"}`, 400, "BROADCAST_INVALID"},
		{"ann", `{"scope":1}`, 400, `"path":"scope"`},
		{"ann", `[]`, 400, "BROADCAST_INVALID"},
		{"ann", `null`, 400, "BROADCAST_INVALID"},
		{"ann", `{} {}`, 400, "BROADCAST_INVALID"},
		{"ann", strings.Repeat(" ", 9<<10), 413, "PAYLOAD_TOO_LARGE"},
		{"lone", "", 403, "ACCESS_NO_ORG"},
		{"lone", `{"scope":"user"}`, 200, ""},
	} {
		status, body := r.post("/ws-ticket?token="+row.token, row.body)
		require.Equal(t, row.status, status, "%+v: %s", row, body)
		require.Contains(t, body, row.code)
		if status != 200 {
			continue
		}
		var got struct {
			WSTicket  string `json:"wsTicket"`
			ExpiresIn int    `json:"expiresIn"`
		}
		require.NoError(t, json.Unmarshal([]byte(body), &got))
		require.InDelta(t, 60, got.ExpiresIn, 30)
		_, bound, err := r.tickets.VerifyTicket(t.Context(), got.WSTicket)
		require.NoError(t, err)
		require.Equal(t, strings.Contains(row.body, "party"), bound.Room == "a")
		require.Equal(t, strings.Contains(row.body, "resource"), bound.ScopeKey == "events:evt_1")
	}
	r.d.set(func() { r.d.down = errAway })
	status, _ := r.post("/ws-ticket?token=ann", "")
	require.Equal(t, 503, status)
	r.d.set(func() { r.d.down = nil })
	status, _ = r.post("/ws-ticket?token=ann", "", "Origin", "https://evil.example")
	require.Equal(t, 403, status)
	resp, _ := r.do("OPTIONS", "/broadcast/v1/ws-ticket", "")
	require.Equal(t, 204, resp.StatusCode)
	resp, _ = r.do("GET", "/broadcast/v1/ws-ticket", "")
	require.Equal(t, 405, resp.StatusCode)
	require.Equal(t, "POST, OPTIONS", resp.Header.Get("Allow"))
	resp, _ = r.do("GET", "/broadcast/v1/other", "")
	require.Equal(t, 404, resp.StatusCode)
}

func TestBroadcastSocket(t *testing.T) {
	r := broadcasting(t, nil)
	ann := r.person("ann", "o1")
	lone := r.person("lone", "")
	path := "/broadcast/v1/websocket"
	require.Equal(t, 401, r.refused(path))
	require.Equal(t, 401, r.refused(path+"?ws_ticket=x"))
	require.Equal(t, 401, r.refused(r.socketPath(ann, yserver.BroadcastTicket{})+"&ws_ticket=x"))
	require.Equal(t, 403, r.refused(r.socketPath(ann, yserver.BroadcastTicket{})+"&organizationId=o2"))
	require.Equal(t, 403, r.refused(r.socketPath(ann, yserver.BroadcastTicket{Party: "main", Room: "a"})))
	require.Equal(t, 403, r.refused(r.socketPath(lone, yserver.BroadcastTicket{})))
	resp, _ := r.do("GET", path, "")
	require.Equal(t, 401, resp.StatusCode)
	resp, _ = r.do("GET", r.socketPath(ann, yserver.BroadcastTicket{}), "")
	require.Equal(t, 400, resp.StatusCode)
	_, resp, err := websocket.DefaultDialer.Dial(r.url(r.socketPath(ann, yserver.BroadcastTicket{})), map[string][]string{"Origin": {"https://evil.example"}})
	require.Error(t, err)
	require.Equal(t, 403, resp.StatusCode)
	require.Zero(t, r.b.Stats().Sockets)

	w := r.dial(r.socketPath(ann, yserver.BroadcastTicket{}) + "&organizationId=o1")
	w.sendText("anything")
	w.send([]byte("ping"))
	w.deaf()
	w.sendText(strings.Repeat("x", 1024))
	w.deaf()
	w.sendText(strings.Repeat("x", 1025))
	w.expectClose(1009)
	require.NoError(t, w.conn.Close())

	// The expiry of the identity ends the socket, not that of the ticket.
	w = r.listen(r.person("brief", "o1"), yserver.BroadcastTicket{})
	w.expectEnd(4401, "token expired")
	require.NoError(t, w.conn.Close())
	require.EqualValues(t, 1, r.b.Stats().Dismissed)
	eventually(t, "all are gone", func() bool { return r.b.Stats().Sockets == 0 && r.Srv.Stats().Connections == 0 })
}

// Who gets what, by the scope of a socket and the target of a message.
func TestBroadcastTargets(t *testing.T) {
	r := broadcasting(t, nil)
	ann, bob, eve := r.person("ann", "o1", "admin"), r.person("bob", "o1", "member"), r.person("eve", "o2", "admin")
	org := yserver.BroadcastTicket{}
	sockets := map[string]*wire{
		"ann": r.listen(ann, org), "bob": r.listen(bob, org), "eve": r.listen(eve, org),
		"ann's own": r.listen(ann, forUser), "ann at 1": r.listen(ann, forRow("events:1")),
		"eve at 1": r.listen(eve, forRow("events:1")), "bob at 2": r.listen(bob, forRow("events:2")),
	}
	for _, row := range []struct {
		target string
		want   []string
	}{
		{`"organizationId":"o1"`, []string{"ann", "bob"}},
		{`"organizationId":"o3"`, nil},
		{`"organizationId":"o1","roles":["admin"]`, []string{"ann"}},
		{`"organizationId":"o1","roles":["member+"]`, []string{"ann", "bob"}},
		{`"organizationId":"o1","roles":["owner"]`, nil},
		{`"organizationId":"o1","roles":[]`, []string{"ann", "bob"}},
		{`"organizationId":"o1","userId":"ann"`, []string{"ann", "ann's own"}},
		{`"organizationId":"o2","userId":"ann"`, nil},
		{`"userId":"ann"`, []string{"ann", "ann's own", "ann at 1"}},
		{`"userId":"ann","roles":["member"]`, nil},
		{`"scopeKey":"events:1"`, []string{"ann at 1", "eve at 1"}},
		{`"scopeKey":"events:1","organizationId":"o2"`, []string{"eve at 1"}},
		{`"scopeKey":"events:1","userId":"ann"`, []string{"ann at 1"}},
		{`"scopeKey":":user"`, nil},
		{`"scopeKey":"o1"`, nil},
	} {
		t.Run(row.target, func(t *testing.T) {
			r := &radio{kit: r.in(t), b: r.b, d: r.d, tickets: r.tickets}
			r.said(len(row.want), `{"type":"broadcast","event":"ns:e","payload":{"a":1},`+row.target+`}`)
			for _, name := range row.want {
				sockets[name].hears(event("ns:e", map[string]int{"a": 1}))
			}
			r.said(2, `{"type":"broadcast","event":"end","organizationId":"o1"}`)
			sockets["ann"].hears(event("end", nil))
			sockets["bob"].hears(event("end", nil))
		})
	}
	for _, w := range sockets {
		w.deaf()
	}
	n, err := r.b.InvalidateToken(t.Context(), "bob", "role-changed")
	require.NoError(t, err)
	require.Equal(t, 2, n)
	for _, name := range []string{"bob", "bob at 2"} {
		sockets[name].hears(event("auth:token-invalidated", map[string]string{"reason": "role-changed"}))
	}
	_, err = r.b.InvalidateToken(t.Context(), "", "x")
	require.Error(t, err)
	_, err = r.b.Publish(t.Context(), yserver.Target{OrgID: "o1"}, "e", json.RawMessage("\"\xff\""))
	require.ErrorContains(t, err, "payload")
	_, err = r.b.Publish(t.Context(), yserver.Target{Roles: []string{"admin"}}, "e", nil)
	require.ErrorContains(t, err, "no target")
}

func TestBroadcastAPI(t *testing.T) {
	r := broadcasting(t, func(c *yserver.BroadcastConfig) { c.MaxPayload = 8 << 10 })
	w := r.listen(r.person("ann", "o1", "member"), yserver.BroadcastTicket{})
	good := `{"type":"broadcast","event":"e","payload":1,"organizationId":"o1"}`
	for _, header := range [][]string{nil, {"X-Internal-Secret", "wrong"}, {"X-Internal-Secret", ""}, {"X-Internal-Secret", internalToken, "X-Internal-Secret", internalToken}} {
		status, _ := r.post("/api/broadcast", good, header...)
		require.Equal(t, 401, status, header)
	}
	status, _ := r.post("/api/broadcast", good, "X-Internal-Secret", internalToken, "Origin", "https://evil.example")
	require.Equal(t, 403, status)
	resp, _ := r.do("GET", "/broadcast/v1/api/broadcast", "")
	require.Equal(t, 405, resp.StatusCode)
	w.deaf()
	for _, row := range []struct{ query, body, path string }{
		{"", `nonsense`, ""},
		{"", `[]`, ""},
		{"", `null`, ""},
		{"", `{"type":"other"}`, "type"},
		{"", `{"type":["broadcast"]}`, "type"},
		{"", `{"type":"broadcast","event":"e","payload":1}`, "organizationId"},
		{"", `{"type":"broadcast","event":"e","organizationId":null}`, "organizationId"},
		{"", `{"type":"broadcast","event":"e","organizationId":"o1","userId":""}`, "userId"},
		{"", `{"type":"broadcast","event":"e","organizationId":"o1","userID":"ann"}`, "userID"},
		{"", `{"type":"broadcast","event":"e","organizationId":"o1","organizationId":"o2"}`, ""},
		{"", `{"type":"broadcast","event":7,"organizationId":"o1"}`, "event"},
		{"", `{"type":"broadcast","organizationId":"o1"}`, "event"},
		{"", `{"type":"broadcast","event":"e","organizationId":"o1","roles":"admin"}`, "roles"},
		{"", `{"type":"broadcast","event":"e","organizationId":"o1","roles":null}`, "roles"},
		{"", `{"type":"broadcast","event":"e","organizationId":"o1","roles":["boss+"]}`, "roles"},
		{"", `{"type":"broadcast","event":"e","organizationId":"o1","new":{}}`, "new"},
		{"", `{"type":"broadcast","event":"e","party":"none","room":"r"}`, "party"},
		{"", `{"type":"broadcast","event":"e","party":"main"}`, "room"},
		{"", `{"type":"broadcast","event":"e","room":"r","organizationId":"o1"}`, "party"},
		{"?organizationId=o2", good, "organizationId"},
		{"?organizationId=", good, "organizationId"},
		{"?organizationId=o1&organizationId=o2", good, "organizationId"},
		{"", `{"type":"postgres_changes","table":"other","eventType":"INSERT","new":{},"organizationId":"o1"}`, "table"},
		{"", `{"type":"postgres_changes","table":"claims","schema":"x","eventType":"INSERT","new":{},"organizationId":"o1"}`, "table"},
		{"", `{"type":"postgres_changes","table":"claims","eventType":"insert","new":{},"organizationId":"o1"}`, "eventType"},
		{"", `{"type":"postgres_changes","table":"claims","new":{},"organizationId":"o1"}`, "eventType"},
		{"", `{"type":"postgres_changes","table":"claims","eventType":"INSERT","new":[],"organizationId":"o1"}`, "new"},
		{"", `{"type":"postgres_changes","table":"claims","eventType":"INSERT","new":{"id":1,"id":2},"organizationId":"o1"}`, "new"},
		{"", `{"type":"postgres_changes","table":"claims","eventType":"UPDATE","old":{},"organizationId":"o1"}`, "new"},
		{"", `{"type":"postgres_changes","table":"claims","eventType":"UPDATE","new":{},"old":3,"organizationId":"o1"}`, "old"},
		{"", `{"type":"postgres_changes","table":"claims","eventType":"UPDATE","new":{},"payload":3,"organizationId":"o1"}`, "payload"},
		{"", `{"messages":[]}`, "messages"},
		{"", `{"messages":{}}`, "messages"},
		{"", `{"messages":[` + strings.TrimSuffix(strings.Repeat("{},", 101), ",") + `]}`, "messages"},
		{"", `{"messages":[` + good + `],"event":"e"}`, "event"},
		{"", `{"messages":[` + good + `,3]}`, "messages[1]"},
		{"", `{"messages":[` + good + `,{"type":"broadcast","event":"","organizationId":"o1"}]}`, "messages[1].event"},
	} {
		status, body := r.say(row.query, row.body)
		require.Equal(t, 400, status, "%s: %s", row.body, body)
		var got struct {
			Layer, Code string
			Details     struct{ Path string }
		}
		require.NoError(t, json.Unmarshal([]byte(body), &got))
		require.Equal(t, row.path, got.Details.Path, "%s: %s", row.body, body)
		require.Equal(t, "validation", got.Layer)
	}
	status, _ = r.say("", `{"type":"broadcast","event":"e`+"\xff"+`","organizationId":"o1"}`)
	require.Equal(t, 400, status)
	status, _ = r.say("", good+strings.Repeat(" ", 8<<10))
	require.Equal(t, 413, status)
	w.deaf() // of a batch with a mistake nothing is sent

	status, body := r.say("?organizationId=o1", `{"type":"broadcast","event":"e","payload":{"x":"é"}}`)
	require.Equal(t, 202, status, body)
	w.hears(event("e", map[string]string{"x": "é"}))
	r.said(2, `{"messages":[{"type":"broadcast","event":"1","organizationId":"o1"},{"type":"broadcast","event":"2","organizationId":"o1"}]}`)
	w.hears(event("1", nil))
	w.hears(event("2", nil))

	closed := broadcasting(t, func(c *yserver.BroadcastConfig) { c.InternalToken = "" })
	status, _ = closed.post("/api/broadcast", good, "X-Internal-Secret", "")
	require.Equal(t, 404, status)
}

func TestBroadcastConfig(t *testing.T) {
	k := start(t)
	r := broadcasting(t, nil)
	guard, err := gate.NewGuard(gate.GuardConfig{Public: true})
	require.NoError(t, err)
	good := yserver.BroadcastConfig{Tickets: r.tickets, Guard: guard}
	for want, change := range map[string]func(*yserver.BroadcastConfig){
		"no tickets": func(c *yserver.BroadcastConfig) { c.Tickets = nil },
		"no guard":   func(c *yserver.BroadcastConfig) { c.Guard = nil },
		"no name":    func(c *yserver.BroadcastConfig) { c.Tables = []yserver.BroadcastTable{{}} },
		"twice":      func(c *yserver.BroadcastConfig) { c.Tables = []yserver.BroadcastTable{claims(), claims()} },
		"hierarchy": func(c *yserver.BroadcastConfig) {
			c.Tables = []yserver.BroadcastTable{{Name: "a", RequiredRoles: []string{"x+"}}}
		},
	} {
		cfg := good
		change(&cfg)
		_, err := yserver.NewBroadcaster(k.Srv, cfg)
		require.ErrorContains(t, err, want)
	}
}
