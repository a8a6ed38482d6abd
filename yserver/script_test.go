package yserver_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/yserver"
)

// script is a room type that does what a test says and writes down what it was
// called for. Functions that are nil do nothing.
type script struct {
	start   func(ctx context.Context, v *scripted) error
	tags    func(ctx context.Context, c *yserver.Connection, r *http.Request) ([]string, error)
	connect func(ctx context.Context, c *yserver.Connection, r *http.Request) error
	message func(ctx context.Context, c *yserver.Connection, p yserver.Payload) error
	custom  func(ctx context.Context, c *yserver.Connection, msg string) error
	close   func(ctx context.Context, c *yserver.Connection, code int, reason string, clean bool) error
	fault   func(ctx context.Context, c *yserver.Connection, err error)
	request func(w http.ResponseWriter, r *http.Request) error
	alarm   func(ctx context.Context) error

	mu     sync.Mutex
	events []string
	values int
}

// scripted is one live value of a script.
type scripted struct {
	*script
	room  *yserver.Room
	n     int // 1 for the first value
	count int // for tests: lost when the room hibernates
}

func (s *script) live(room *yserver.Room) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values++
	return &scripted{script: s, room: room, n: s.values}
}

func (s *script) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, fmt.Sprintf(format, args...))
}

// seen returns what happened so far and forgets it.
func (s *script) seen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	events := s.events
	s.events = nil
	return events
}

// await waits until so many events were written down, and returns them.
func (s *script) await(t testing.TB, n int) []string {
	t.Helper()
	eventually(t, "events", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.events) >= n
	})
	return s.seen()
}

// hookOf reads one of the functions, which a test may change meanwhile.
func hookOf[F any](s *script, f *F) F {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *f
}

// set changes one of the functions.
func set[F any](s *script, f *F, to F) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*f = to
}

func (v *scripted) OnStart(ctx context.Context) error {
	v.note("OnStart")
	if f := hookOf(v.script, &v.start); f != nil {
		return f(ctx, v)
	}
	return nil
}

func (v *scripted) ConnectionTags(ctx context.Context, c *yserver.Connection, r *http.Request) ([]string, error) {
	v.note("ConnectionTags %s", c.ID())
	if f := hookOf(v.script, &v.tags); f != nil {
		return f(ctx, c, r)
	}
	return nil, nil
}

func (v *scripted) OnConnect(ctx context.Context, c *yserver.Connection, r *http.Request) error {
	v.note("OnConnect %s", c.ID())
	if f := hookOf(v.script, &v.connect); f != nil {
		return f(ctx, c, r)
	}
	return nil
}

func (v *scripted) OnMessage(ctx context.Context, c *yserver.Connection, p yserver.Payload) error {
	v.note("OnMessage %s %s", c.ID(), p)
	if f := hookOf(v.script, &v.message); f != nil {
		return f(ctx, c, p)
	}
	return nil
}

func (v *scripted) OnCustomMessage(ctx context.Context, c *yserver.Connection, msg string) error {
	v.note("OnCustomMessage %s %s", c.ID(), msg)
	if f := hookOf(v.script, &v.custom); f != nil {
		return f(ctx, c, msg)
	}
	return nil
}

func (v *scripted) OnClose(ctx context.Context, c *yserver.Connection, code int, reason string, clean bool) error {
	v.note("OnClose %s %d %q %t", c.ID(), code, reason, clean)
	if f := hookOf(v.script, &v.close); f != nil {
		return f(ctx, c, code, reason, clean)
	}
	return nil
}

func (v *scripted) OnError(ctx context.Context, c *yserver.Connection, err error) {
	v.note("OnError %s", c.ID())
	if f := hookOf(v.script, &v.fault); f != nil {
		f(ctx, c, err)
	}
}

func (v *scripted) OnRequest(w http.ResponseWriter, r *http.Request) error {
	v.note("OnRequest %s", r.Method)
	if f := hookOf(v.script, &v.request); f != nil {
		return f(w, r)
	}
	return nil
}

// withScript makes the party one of message rooms with a script.
func withScript(s *script) func(*yserver.Config, *yserver.Party) {
	return func(_ *yserver.Config, p *yserver.Party) {
		p.Document, p.Message, p.YWebSocket, p.New = nil, &yserver.Message{}, "", s.live
	}
}

// withScriptedDocument gives the party of documents a script.
func withScriptedDocument(s *script) func(*yserver.Config, *yserver.Party) {
	return func(_ *yserver.Config, p *yserver.Party) { p.New = s.live }
}

// logs collects what a server logs.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func withLogs(l *logs) func(*yserver.Config, *yserver.Party) {
	return func(c *yserver.Config, _ *yserver.Party) { c.Logger = slog.New(slog.NewTextHandler(l, nil)) }
}

func withHookTimeout(d time.Duration) func(*yserver.Config, *yserver.Party) {
	return func(_ *yserver.Config, p *yserver.Party) { p.HookTimeout = d }
}

func withHibernateAfter(d time.Duration) func(*yserver.Config, *yserver.Party) {
	return func(_ *yserver.Config, p *yserver.Party) { p.HibernateAfter = d }
}

// do makes a plain HTTP request; header is names and values in turn.
func (k *kit) do(method, path, body string, header ...string) (*http.Response, string) {
	k.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, k.http.URL+path, strings.NewReader(body))
	require.NoError(k.t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := k.http.Client().Do(req)
	require.NoError(k.t, err)
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	require.NoError(k.t, err)
	return resp, string(got)
}

// room returns the handle of a room of the party.
func (k *kit) room(name string) *yserver.Room {
	k.t.Helper()
	room, err := k.Srv.Room("main", name)
	require.NoError(k.t, err)
	return room
}

// refused dials where a connection is refused, and returns the status.
func (k *kit) refused(path string) int {
	k.t.Helper()
	_, resp, err := k.tryDial(path)
	require.Error(k.t, err)
	require.NotNil(k.t, resp, "no answer: %v", err)
	return resp.StatusCode
}

// nextText returns the next text frame.
func (w *wire) nextText() string {
	w.t.Helper()
	select {
	case text := <-w.text:
		return text
	case <-time.After(patience):
		w.t.Fatal("no text came")
		return ""
	}
}

// noText requires that no text comes for a moment.
func (w *wire) noText() {
	w.t.Helper()
	select {
	case text := <-w.text:
		w.t.Fatalf("unexpected text %q", text)
	case <-time.After(quiet):
	}
}

// ids are the connection ids of conns.
func ids(conns []*yserver.Connection) []string {
	out := make([]string, 0, len(conns))
	for _, c := range conns {
		out = append(out, c.ID())
	}
	return out
}

func (v *scripted) OnAlarm(ctx context.Context) error {
	v.note("OnAlarm")
	if f := hookOf(v.script, &v.alarm); f != nil {
		return f(ctx)
	}
	return nil
}
