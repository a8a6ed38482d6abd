package main

import (
	"net/http"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

// say sends a text frame.
func say(t *testing.T, conn *websocket.Conn, text string) {
	t.Helper()
	require.NoError(t, conn.WriteMessage(websocket.TextMessage, []byte(text)))
}

// hear reads until the text comes; others are passed over.
func hear(t *testing.T, conn *websocket.Conn, text string) {
	t.Helper()
	expect(t, conn, []byte(text))
}

// TestDevLobby: the message rooms of a development server relay, tell who is there, and keep their state.
func TestDevLobby(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	p := MustRun(t, nil, "dev", "--listen", "127.0.0.1:0", "--data", data)
	require.Contains(t, p.stdout.String(), "ws://"+p.addr+"/parties/lobby/<room>")

	a := dial(t, p.addr, "/parties/lobby/my-room?_pk=a")
	hear(t, a, `{"type":"state","state":{},"version":0}`)
	b := dial(t, p.addr, "/parties/lobby/my-room?_pk=b")
	hear(t, a, `{"type":"presence","peers":[{"id":"a"},{"id":"b"}]}`)
	say(t, b, `{"type":"chat","text":"hello","from":"a"}`)
	hear(t, a, `{"type":"chat","text":"hello","from":"b"}`)
	say(t, a, `{"type":"state","patch":{"n":1}}`)
	hear(t, a, `{"type":"state","patch":{"n":1},"version":1,"from":"a"}`)
	hear(t, b, `{"type":"state","patch":{"n":1},"version":1,"from":"a"}`)
	require.NoError(t, b.Close())
	hear(t, a, `{"type":"presence","peers":[{"id":"a"}]}`)

	status, body, _ := p.get(t, "/parties/lobby/my-room")
	require.Equal(t, http.StatusNotFound, status, "there is no code that could answer")
	require.Equal(t, "Not implemented", body)

	p.stop()
	err := hangUp(a)
	require.True(t, websocket.IsCloseError(err, websocket.CloseServiceRestart), "closed with %v", err)
	require.Equal(t, exitOK, p.end(t))

	p = MustRun(t, nil, "dev", "--listen", "127.0.0.1:0", "--data", data)
	a = dial(t, p.addr, "/parties/lobby/my-room?_pk=a")
	hear(t, a, `{"type":"state","state":{"n":1},"version":1}`)
	a = dial(t, p.addr, "/parties/lobby/other-room?_pk=a")
	hear(t, a, `{"type":"state","state":{},"version":0}`)
}

// TestServeMessage: a message room does what its entry says, and no more.
func TestServeMessage(t *testing.T) {
	file := MustWriteConfig(t, `
listen: 127.0.0.1:0
data_dir: `+filepath.Join(t.TempDir(), "data")+`
rooms:
  RAW_ROOM: {type: message, access: public, relay: raw, presence: false, state: {enabled: false}}
  Minutes: {type: message, access: public, presence: false, state: {enabled: false}, history: {messages: 2}}
`)
	p := MustRun(t, nil, "serve", "-c", file)
	a, b := dial(t, p.addr, "/parties/raw-room/r?_pk=a"), dial(t, p.addr, "/parties/raw-room/r?_pk=b")
	say(t, a, `{"type":"state","from":"me"}`)
	_, first, err := b.ReadMessage()
	require.NoError(t, err)
	require.Equal(t, `{"type":"state","from":"me"}`, string(first), "verbatim, and the first that anybody hears")

	a = dial(t, p.addr, "/realtime/minutes/r?_pk=a")
	_, first, err = a.ReadMessage()
	require.NoError(t, err)
	require.Regexp(t, `^{"type":"history","epoch":"[\w-]{21}","offset":0,"messages":\[\]}$`, string(first))
	b = dial(t, p.addr, "/realtime/minutes/r?_pk=b")
	for _, text := range []string{"1", "2", "3"} {
		say(t, b, `{"text":"`+text+`"}`)
		hear(t, a, `{"text":"`+text+`","from":"b","offset":`+text+`}`)
	}
	_, first, err = dial(t, p.addr, "/realtime/minutes/r?_pk=c").ReadMessage()
	require.NoError(t, err)
	require.Regexp(t, `"offset":3,"messages":\[{"text":"2","from":"b","offset":2},{"text":"3","from":"b","offset":3}\]}$`, string(first))
}

// TestBinaryLobby: what the built server told everybody is there after kill -9.
func TestBinaryLobby(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	p := MustStart(t, data)
	a := dial(t, p.addr, "/parties/lobby/my-room?_pk=a")
	b := dial(t, p.addr, "/parties/lobby/my-room?_pk=b")
	say(t, a, `{"type":"state","patch":{"n":1}}`)
	hear(t, b, `{"type":"state","patch":{"n":1},"version":1,"from":"a"}`)
	p.signal(t, syscall.SIGKILL)
	p.wait(t)

	p = MustStart(t, data)
	a = dial(t, p.addr, "/parties/lobby/my-room?_pk=a")
	hear(t, a, `{"type":"state","state":{"n":1},"version":1}`)
}
