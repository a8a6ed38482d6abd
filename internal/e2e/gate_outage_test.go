package e2e_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/internal/pgtest"
	"github.com/yserverd/yserverd/internal/ytest"
)

// TestGateWithoutItsDatabase: while the application's database is away nobody is let in or told that he may not, and
// who is there goes on, since documents are elsewhere. When it is back everything works, without a restart; and stock
// clients stop where trying again is in vain, and nowhere else.
func TestGateWithoutItsDatabase(t *testing.T) {
	t.Parallel()
	cluster := pgtest.New(t)
	app := newGateApp(t, cluster.Database(t), "YSERVERD_AUTH_RECHECK=500ms")
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	node := ytest.StartNodeClients(t)
	join := func(kind, user string) *ytest.NodeClient {
		t.Helper()
		c := ytest.ClientConfig{Kind: kind, URL: app.WebSocketURL(), Room: "roadmap", MaxBackoffTime: 200}
		if kind == ytest.YProvider {
			c.Party = "notes"
		} else {
			c.URL += "/notes"
		}
		if user != "" {
			c.Params = map[string]string{"key": "key-of-" + user}
		}
		client, err := node.New(ctx, c)
		require.NoError(t, err)
		return client
	}
	// Keys of the table, so that each of their uses asks the database. SHA-256 as base64url is what better-auth stores.
	gateExec(t, app.database, `INSERT INTO "apikey" ("id", "key", "referenceId", "metadata")
		SELECT 'k-' || "id", rtrim(translate(encode(sha256(('key-of-' || "id")::bytea), 'base64'), '+/', '-_'), '='), "id",
		'{"organizationId":"' || (SELECT "organizationId" FROM "member" WHERE "userId" = "user"."id") || '"}' FROM "user"`)
	grace, alan := join(ytest.YWebsocket, "grace"), join(ytest.YProvider, "alan")
	require.NoError(t, grace.AwaitSynced(ctx))
	require.NoError(t, alan.AwaitSynced(ctx))

	for user, code := range map[string]int{"": 4401, "nobody": 4401, "radia": 4403} {
		c := join(ytest.YWebsocket, user)
		require.NoError(t, c.AwaitStopped(ctx, code), user)
		view, err := c.View(ctx)
		require.NoError(t, err)
		require.Equal(t, 1, view.Sockets, "it tried again")
		require.NoError(t, c.Disconnect(ctx))
	}

	require.NoError(t, cluster.Stop())
	late, lateProvider := join(ytest.YWebsocket, "alan"), join(ytest.YProvider, "grace")
	require.NoError(t, late.AwaitSockets(ctx, 3))
	view, err := late.View(ctx)
	require.NoError(t, err)
	require.Equal(t, 4503, view.Closes[0].Code, "%+v", view.Closes)
	require.Nil(t, view.Stopped, "it gave up")
	require.NoError(t, lateProvider.AwaitRefused(ctx, http.StatusServiceUnavailable))
	for _, header := range [][]string{cookie("grace"), {"X-Api-Key", "key-of-grace"}, {"X-Api-Key", "key-of-nobody"}, bearer(t, "grace")} {
		got := app.upgrade("/parties/notes/roadmap", header...)
		require.Equal(t, http.StatusServiceUnavailable, got.Status, "%v", got)
		require.Regexp(t, gate.CodeAuthUnavailable+"|"+gate.CodeAccessUnavailable, got.Text)
	}
	require.Equal(t, http.StatusUnauthorized, app.upgrade("/parties/notes/roadmap").Status, "who brings nothing needs no database")
	require.Equal(t, 401, app.upgrade("/notes/roadmap", "Cookie", "better-auth.session_token=token.forged").refusal())
	require.True(t, app.upgrade("/parties/lounge/x").opens(), "what is public needs none either")
	require.True(t, app.upgrade("/scratchpad/grace", bearer(t, "grace")...).opens(), "and neither does a token in a room without rows")

	require.Eventually(t, func() bool { return strings.Contains(app.Log(), "access cannot be decided now") }, gatePatience, 20*time.Millisecond,
		"those who are there were looked at, in vain")
	require.NoError(t, grace.Edit(ctx, ytest.InsertText(0, "while it was away")))
	require.NoError(t, grace.AwaitEchoed(ctx))
	require.NoError(t, alan.AwaitText(ctx, "while it was away"))
	for _, c := range []*ytest.NodeClient{grace, alan} {
		view, err := c.View(ctx)
		require.NoError(t, err)
		require.Equal(t, 1, view.Sockets, "%+v", view.Closes)
		require.Empty(t, view.Closes)
	}

	require.NoError(t, cluster.Start())
	require.NoError(t, late.AwaitSynced(ctx))
	require.NoError(t, lateProvider.AwaitSynced(ctx))
	require.NoError(t, late.AwaitText(ctx, "while it was away"))
	conn := app.dial("/notes/roadmap", cookie("alan")...)
	require.NoError(t, conn.WriteMessage(websocket.BinaryMessage, askAll))

	gateExec(t, app.database, "UPDATE notes SET deleted_at = now() WHERE id = 'roadmap'")
	for _, c := range []*ytest.NodeClient{grace, late} {
		require.NoError(t, c.AwaitStopped(ctx, 4403))
	}
	require.NoError(t, alan.AwaitRefused(ctx, http.StatusForbidden))
	require.Equal(t, 4403, closedBy(t, conn).Code)
}
