package yserver_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/yserver"
)

// Plain requests to a room (rooms.md, 1.5 and 2.2).
func TestRequests(t *testing.T) {
	s := &script{}
	s.request = func(w http.ResponseWriter, r *http.Request) error {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		w.Header().Set("X-Method", r.Method)
		w.Header().Add("X-Two", "1")
		w.Header().Add("X-Two", "2")
		w.WriteHeader(http.StatusCreated)
		_, err = fmt.Fprintf(w, "%s %s %s %s", r.URL.Path, r.URL.RawQuery, body, yserver.IdentityOf(r.Context()).UserID)
		return err
	}
	k := start(t, withScript(s), func(_ *yserver.Config, p *yserver.Party) {
		p.Access = func(_ context.Context, r *gate.Request) (gate.Decision, error) {
			if r.HTTP.Header.Get("X-Api-Key") == "" {
				return gate.Decision{}, &gate.Refusal{Status: 401, Layer: gate.LayerAccess, Code: "AUTH_MISSING", Message: "who?"}
			}
			return gate.Decision{Identity: gate.Identity{UserID: "u"}}, nil
		}
	})
	resp, body := k.do("PUT", "/parties/main/r/more?a=1", "body", "X-Api-Key", "k")
	require.Equal(t, 201, resp.StatusCode)
	require.Equal(t, "/parties/main/r/more a=1 body u", body)
	require.Equal(t, []string{"1", "2"}, resp.Header.Values("X-Two"))
	resp, body = k.do("HEAD", "/parties/main/r", "", "X-Api-Key", "k")
	require.Equal(t, 201, resp.StatusCode)
	require.Equal(t, "HEAD", resp.Header.Get("X-Method"))
	require.Empty(t, body)
	s.seen()
	resp, _ = k.do("GET", "/parties/main/r", "")
	require.Equal(t, 401, resp.StatusCode, "requests pass the gate too")
	require.Empty(t, s.seen())
}

// Those who may only read reach the hooks of plain requests and of custom
// messages, which can tell.
func TestMayWriteOfHooks(t *testing.T) {
	s := &script{}
	s.request = func(w http.ResponseWriter, r *http.Request) error {
		_, err := fmt.Fprint(w, yserver.MayWrite(r.Context()))
		return err
	}
	heard := make(chan bool, 1)
	s.custom = func(_ context.Context, c *yserver.Connection, _ string) error {
		heard <- c.MayWrite()
		return nil
	}
	d := newDirectory()
	d.knows("ann")
	d.knows("reader")
	d.set(func() { d.may["reader"] = gate.Decision{} })
	k := start(t, withScriptedDocument(s), guarded(t, d))
	for name, may := range map[string]bool{"ann": true, "reader": false} {
		_, body := k.do("PUT", "/parties/main/r?token="+name, "")
		require.Equal(t, fmt.Sprint(may), body)
		k.dial("/parties/main/r?token=" + name).sendText("__YPS:hello")
		require.Equal(t, may, <-heard)
	}
	require.False(t, yserver.MayWrite(t.Context()), "of nobody")
}

// bare is a room type without hooks.
type bare struct{}

func TestRequestsThatNobodyAnswers(t *testing.T) {
	for name, opt := range map[string]func(*yserver.Config, *yserver.Party){
		"no room type":  func(*yserver.Config, *yserver.Party) {},
		"no OnRequest":  func(_ *yserver.Config, p *yserver.Party) { p.New = func(*yserver.Room) any { return bare{} } },
		"no live value": func(_ *yserver.Config, p *yserver.Party) { p.New = func(*yserver.Room) any { return nil } },
		"a message room": func(_ *yserver.Config, p *yserver.Party) {
			p.Document, p.Message, p.YWebSocket = nil, &yserver.Message{}, ""
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := start(t, opt)
			resp, body := k.do("GET", "/parties/main/r", "")
			require.Equal(t, 404, resp.StatusCode)
			require.Equal(t, "Not implemented", body)
			w := k.dial("/parties/main/r?_pk=a") // a type without hooks is one all the same
			w.sendText("x")
			require.NoError(t, w.conn.Close())
		})
	}
}

// A client that sends its body slowly, or reads the answer slowly, holds up no
// room: the hook runs in between.
func TestSlowRequestsHoldUpNoRoom(t *testing.T) {
	s := &script{}
	k := start(t, withScript(s))
	body, feed := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, k.http.URL+"/parties/main/r", body)
	require.NoError(t, err)
	answered := make(chan int, 1)
	go func() {
		resp, err := k.http.Client().Do(req)
		if err != nil {
			answered <- 0
			return
		}
		_ = resp.Body.Close()
		answered <- resp.StatusCode
	}()
	_, err = feed.Write([]byte(strings.Repeat("x", 10)))
	require.NoError(t, err)
	k.do("GET", "/parties/main/r", "")
	require.Equal(t, []string{"OnStart", "OnRequest GET"}, s.seen())
	require.NoError(t, feed.Close())
	require.Equal(t, 200, receive(t, answered))
	require.Equal(t, []string{"OnRequest POST"}, s.seen())
}
