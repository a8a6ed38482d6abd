package partytest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/ytest"
	"github.com/yserverd/yserverd/yserver"
)

// quick is how often a condition is looked at that has no event.
const quick = 2 * time.Millisecond

// binaries are messages whose bytes and sizes matter to the framing.
func binaries() [][]byte {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	return [][]byte{{}, {0}, all, bytes.Repeat(all, 256+1), bytes.Repeat(all, 4096)} // up to 1 MiB
}

func sendsBinary(t *testing.T, n *ytest.NodeClients) {
	s := serve(t, n, hooks{})
	a := s.join(s.config("a"))
	s.next("connect")
	require.NoError(t, a.AwaitConnected(t.Context()))
	for _, as := range []string{ytest.AsBlob, ytest.AsArrayBuffer, ytest.AsView} {
		for _, data := range binaries() {
			require.NoError(t, a.SendAs(t.Context(), as, data))
			got := s.next("message").payload
			require.True(t, got.Binary)
			require.True(t, bytes.Equal(data, got.Data), "%d bytes as %s", len(data), as)
		}
	}
	text := "text, not bytes: \x00 é 日本 🚢"
	require.NoError(t, a.SendText(t.Context(), text))
	require.Equal(t, yserver.Text(text), s.next("message").payload)
}

func receivesBinary(t *testing.T, n *ytest.NodeClients) {
	for _, as := range []string{ytest.AsBlob, ytest.AsArrayBuffer} {
		t.Run(as, func(t *testing.T) {
			s := serve(t, n, hooks{})
			cfg := s.config("a")
			if as != ytest.AsBlob { // which is the default
				cfg.BinaryType = as
			}
			a := s.join(cfg)
			s.next("connect")
			for _, data := range binaries() {
				s.live().Broadcast(yserver.Binary(data))
			}
			s.live().Connection("a").Send(yserver.Text("🚢"))
			require.NoError(t, a.AwaitFrames(t.Context(), len(binaries())+1))
			frames, err := a.Frames(t.Context(), 0)
			require.NoError(t, err)
			for i, data := range binaries() {
				require.Equal(t, as, frames[i].As)
				require.True(t, bytes.Equal(data, frames[i].Binary), "%d bytes", len(data))
			}
			require.Equal(t, "🚢", frames[len(binaries())].Text)
		})
	}
}

func fetches(t *testing.T, n *ytest.NodeClients) {
	s := serve(t, n, hooks{request: func(w http.ResponseWriter, r *http.Request) error {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.WriteHeader(http.StatusAccepted)
		_, err = w.Write([]byte(r.Method + " " + r.URL.RequestURI() + " " + r.Header.Get("Content-Type") + "\n" + string(body)))
		return err
	}})
	cfg := s.config("a")
	cfg.Params = map[string]string{"token": "t"}
	a := s.join(cfg)
	fetch := func(r ytest.Request) string {
		response, err := a.Fetch(t.Context(), r)
		require.NoError(t, err)
		require.Equal(t, http.StatusAccepted, response.Status)
		require.Equal(t, "application/octet-stream", response.Headers.Get("Content-Type"))
		return string(response.Body)
	}
	require.Equal(t, "GET /parties/chat/lobby?token=t \n", fetch(ytest.Request{}), "the query has no _pk")
	require.Equal(t, "GET /parties/chat/lobby/deeper/still?token=t \n", fetch(ytest.Request{Path: "deeper/still"}))
	require.Equal(t, "POST /parties/chat/lobby?token=t application/json\n{\"a\":1}", fetch(ytest.Request{
		Method: http.MethodPost, Text: `{"a":1}`, Headers: map[string]string{"content-type": "application/json"}, // a browser asks first
	}))
	data := binaries()[2]
	for _, as := range []string{ytest.AsBlob, ytest.AsArrayBuffer, ytest.AsView} {
		require.Equal(t, "POST /parties/chat/lobby?token=t \n"+string(data), fetch(ytest.Request{Method: http.MethodPost, Body: data, BodyAs: as}))
	}
}

func fetchFails(t *testing.T, n *ytest.NodeClients) {
	s := serve(t, n, hooks{request: func(_ http.ResponseWriter, r *http.Request) error {
		if r.Method == http.MethodPost {
			panic("password: hunter2")
		}
		return errors.New("password: hunter2")
	}})
	a := s.join(s.config("a"))
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		response, err := a.Fetch(t.Context(), ytest.Request{Method: method})
		require.NoError(t, err, "a browser is shown the answer too")
		require.Equal(t, http.StatusInternalServerError, response.Status)
		require.False(t, strings.Contains(string(response.Body), "hunter2"), "%s", response.Body)
	}
	require.NoError(t, a.AwaitConnected(t.Context()), "the room lives on")

	plain := serve(t, n, hooks{}, func(p *yserver.Party) { p.New = func(*yserver.Room) any { return struct{}{} } })
	b := plain.join(plain.config("b"))
	response, err := b.Fetch(t.Context(), ytest.Request{})
	require.NoError(t, err)
	require.Equal(t, http.StatusNotFound, response.Status)
	require.Equal(t, "Not implemented", strings.TrimSpace(string(response.Body)))
}

// hibernates has a room leave memory under its client, who notices nothing.
func hibernates(t *testing.T, n *ytest.NodeClients) {
	s := serve(t, n, hooks{
		connect: func(conn *yserver.Connection) error { return conn.SetState("of " + conn.ID()) },
		message: func(conn *yserver.Connection, _ yserver.Payload) error {
			var state string
			if err := conn.State(&state); err != nil {
				return err
			}
			conn.Send(yserver.Text(state))
			return nil
		},
	}, func(p *yserver.Party) { p.HibernateAfter = 30 * time.Millisecond })
	a := s.join(s.config("a"))
	s.next("start")
	s.next("connect")
	require.NoError(t, a.AwaitConnected(t.Context()))
	for i := range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		for s.Srv.Stats().Hibernations <= int64(i) {
			require.NoError(t, ctx.Err(), "the room stays awake")
			time.Sleep(quick)
		}
		cancel()
		require.NoError(t, a.SendText(t.Context(), "state?"))
		s.next("start")
		s.next("message")
		require.Equal(t, "of a", texts(t, a, i+1)[i])
	}
	v := view(t, a)
	require.Equal(t, [2]int{1, 0}, [2]int{v.Opens, len(v.Closes)}, "it is the same connection all the time")
}
