package ytest_test

import (
	"bufio"
	"context"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/ytest"
)

// ExampleNodeClients shows two users of one document.
func ExampleNodeClients() {
	_ = func(t *testing.T, url string) {
		n := ytest.StartNodeClients(t)
		a, err := n.New(t.Context(), ytest.ClientConfig{Kind: ytest.YWebsocket, URL: url, Room: "notes"})
		require.NoError(t, err)
		b, err := n.New(t.Context(), ytest.ClientConfig{Kind: ytest.YProvider, URL: url, Room: "notes", Party: "docs"})
		require.NoError(t, err)
		require.NoError(t, a.Edit(t.Context(), ytest.InsertText(0, "hello")))
		require.NoError(t, b.AwaitText(t.Context(), "hello"))
	}
	// Output:
}

// reference starts the server that comes with y-websocket and returns its address.
func reference(t *testing.T) string {
	t.Helper()
	cmd := exec.Command(ytest.Node(t), "yws.mjs")
	cmd.Dir = ytest.Fixture(t, "clients")
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, in.Close())
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait() // it was killed
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	return strings.TrimSpace(line)
}

// client makes a client or ends the test.
func client(t *testing.T, n *ytest.NodeClients, cfg ytest.ClientConfig) *ytest.NodeClient {
	t.Helper()
	c, err := n.New(t.Context(), cfg)
	require.NoError(t, err)
	return c
}

// on returns where a kind of client finds a room of the reference server, for which every path is a room.
func on(kind, url, room string) ytest.ClientConfig {
	return ytest.ClientConfig{Kind: kind, URL: url, Room: room}
}

func TestClientsAgainstTheReferenceServer(t *testing.T) {
	url := reference(t)
	n := ytest.StartNodeClients(t)
	for i, kind := range ytest.DocumentKinds {
		t.Run(kind, func(t *testing.T) {
			room := "room " + strconv.Itoa(i)
			a := client(t, n, on(kind, url, room))
			b := client(t, n, on(kind, url, room))
			require.NoError(t, a.AwaitSynced(t.Context()))
			require.NoError(t, b.AwaitSynced(t.Context()))
			typing(t, a, b)
			states(t, a, b)
			drops(t, a, b)
		})
	}
	require.Empty(t, n.ConsoleErrors())
}

func typing(t *testing.T, a, b *ytest.NodeClient) {
	ctx := t.Context()
	require.NoError(t, a.Edit(ctx, ytest.InsertText(0, "hello"), ytest.DeleteText(0, 1), ytest.SetKey("k", []any{1, nil, "é"})))
	require.NoError(t, b.AwaitText(ctx, "ello"))
	require.NoError(t, b.AwaitJSON(ctx, map[string]any{"m": map[string]any{"k": []any{1, nil, "é"}}}))
	require.NoError(t, b.EditTogether(ctx, ytest.InsertText(-1, "!"), ytest.UnsetKey("k")))
	require.NoError(t, a.AwaitText(ctx, "ello!"))
	require.NoError(t, a.AwaitEchoed(ctx), "the reference server sends updates back too")
	require.NoError(t, b.AwaitEchoed(ctx))
	made, back, _, err := a.Echoes(ctx)
	require.NoError(t, err)
	require.Equal(t, [2]int{3, 3}, [2]int{made, back})
	require.NoError(t, a.Burst(ctx, "<#>", 5, 0))
	require.NoError(t, b.AwaitText(ctx, "ello!<0><1><2><3><4>"))
	require.NoError(t, a.AwaitEchoed(ctx))
	_, _, notes, err := a.Echoes(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"<0>", "<1>", "<2>", "<3>", "<4>"}, notes)
	view, err := a.View(ctx)
	require.NoError(t, err)
	require.True(t, view.Connected && view.Synced && !view.Pending)
	require.NoError(t, b.AwaitStateVector(ctx, view.StateVector))
	require.Positive(t, view.Frames.Kinds["update"])
	require.Equal(t, 1, view.Frames.Kinds["step2"])
}

func states(t *testing.T, a, b *ytest.NodeClient) {
	ctx := t.Context()
	require.NoError(t, a.SetAwareness(ctx, map[string]any{"name": "a"}))
	require.NoError(t, b.SetAwareness(ctx, map[string]any{"name": "b"}))
	for _, c := range []*ytest.NodeClient{a, b} {
		require.NoError(t, c.AwaitStates(ctx, map[string]any{"name": "b"}, map[string]any{"name": "a"}))
	}
	// Not b: the reference server forgets whose a state is that was removed before.
	require.NoError(t, a.SetAwareness(ctx, nil))
	require.NoError(t, b.AwaitStates(ctx, map[string]any{"name": "b"}))
	require.NoError(t, a.SetAwareness(ctx, map[string]any{"name": "a2"}))
	require.NoError(t, b.AwaitAwarenessCount(ctx, 2))
}

func drops(t *testing.T, a, b *ytest.NodeClient) {
	ctx := t.Context()
	require.NoError(t, b.Terminate(ctx, true))
	require.NoError(t, b.AwaitDisconnected(ctx))
	require.NoError(t, a.AwaitAwarenessCount(ctx, 1))
	require.NoError(t, b.Edit(ctx, ytest.InsertText(0, "offline ")))
	require.NoError(t, b.Connect(ctx))
	require.NoError(t, a.AwaitText(ctx, "offline ello!<0><1><2><3><4>"))
	require.NoError(t, b.Pause(ctx))
	require.NoError(t, a.Edit(ctx, ytest.InsertText(0, "x")))
	quick, cancel := context.WithTimeout(ctx, 400*time.Millisecond) // a false pass is all that slowness can cause
	defer cancel()
	err := b.AwaitText(quick, "xoffline ello!<0><1><2><3><4>")
	require.ErrorContains(t, err, `not text "xoffline`, "it reads nothing")
	require.NoError(t, b.Resume(ctx))
	require.NoError(t, b.AwaitText(ctx, "xoffline ello!<0><1><2><3><4>"))
	require.NoError(t, b.Terminate(ctx, false))
	require.NoError(t, b.AwaitSockets(ctx, 3))
	require.NoError(t, b.AwaitSynced(ctx))
	require.NoError(t, b.Disconnect(ctx))
	require.NoError(t, b.AwaitDisconnected(ctx))
	require.NoError(t, a.AwaitAwarenessCount(ctx, 1))
	require.NoError(t, b.Destroy(ctx))
	_, err = b.View(ctx)
	require.ErrorContains(t, err, "there is no client")
}

func TestTabsOfOneBrowser(t *testing.T) {
	url := reference(t)
	n := ytest.StartNodeClients(t)
	for _, kind := range ytest.DocumentKinds {
		cfg := on(kind, url, "tabs-"+kind)
		cfg.BroadcastChannel = true
		a, b := client(t, n, cfg), client(t, n, cfg)
		require.NoError(t, a.Edit(t.Context(), ytest.InsertText(0, "tab")))
		require.NoError(t, b.AwaitText(t.Context(), "tab"))
		require.NoError(t, b.AwaitSynced(t.Context()))
	}
}

func TestBareSockets(t *testing.T) {
	url := reference(t)
	n := ytest.StartNodeClients(t)
	ctx := t.Context()
	s := client(t, n, ytest.ClientConfig{Kind: ytest.Socket, URL: url + "/bare"})
	require.NoError(t, s.AwaitConnected(ctx))
	require.NoError(t, s.SendBinary(ctx, []byte{0, 0, 1, 0})) // step 1 of an empty document
	require.NoError(t, s.AwaitFrames(ctx, 2))
	frames, err := s.Frames(ctx, 0)
	require.NoError(t, err)
	require.Equal(t, []ytest.Frame{{Binary: []byte{0, 0, 1, 0}}, {Binary: []byte{0, 1, 2, 0, 0}}}, frames)
	require.NoError(t, s.DisconnectWith(ctx, 4001, "bye"))
	require.NoError(t, s.AwaitCloses(ctx, 1))
	view, err := s.View(ctx)
	require.NoError(t, err)
	require.Equal(t, []ytest.CloseView{{Code: 4001, Reason: "bye"}}, view.Closes)

	p := client(t, n, ytest.ClientConfig{Kind: ytest.PartySocket, URL: url, Room: "r", Party: "chat", ConnectionID: "me"})
	require.NoError(t, p.AwaitConnected(ctx))
	view, err = p.View(ctx)
	require.NoError(t, err)
	require.Equal(t, url+"/parties/chat/r?_pk=me", view.URL)
	require.NoError(t, p.Destroy(ctx))

	none := client(t, n, ytest.ClientConfig{Kind: ytest.Socket, URL: "ws://127.0.0.1:1/none"})
	require.NoError(t, none.AwaitCloses(ctx, 1))
	view, err = none.View(ctx)
	require.NoError(t, err)
	require.Equal(t, 1006, view.Closes[0].Code)
	require.Len(t, view.Errors, 1)
}

func TestErrorsOfTheDriver(t *testing.T) {
	n := ytest.StartNodeClients(t)
	cfg := ytest.ClientConfig{Name: "twice", Kind: ytest.YWebsocket, URL: "ws://127.0.0.1:1", Room: "r", Disconnected: true}
	c := client(t, n, cfg)
	_, err := n.New(t.Context(), cfg)
	require.ErrorContains(t, err, "there is already a client twice")
	_, err = n.New(t.Context(), ytest.ClientConfig{Kind: "carrier pigeon"})
	require.ErrorContains(t, err, "no such kind of client")
	quick, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err = c.AwaitSynced(quick)
	require.ErrorContains(t, err, "not synced within")
	require.ErrorContains(t, err, `"sockets":0`, "it tells what the client looks like")
	n.Kill()
	require.ErrorContains(t, c.Connect(t.Context()), "client twice")
}
