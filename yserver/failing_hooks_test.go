package yserver_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/yserver"
)

// secret is in every error and panic; no client may see it, and the log has it.
const secret = "secret-detail"

// failure is a way for a hook to go wrong.
type failure string

const (
	fails    failure = "error"
	panics   failure = "panic"
	exits    failure = "goexit"
	expires  failure = "until the context ends"
	holdsOut failure = "for a while"
	hangs    failure = "for ever"
)

// timeout is the HookTimeout that brings a failure to its end.
func (f failure) timeout() time.Duration {
	switch f {
	case expires:
		return 300 * time.Millisecond
	case hangs:
		return 150 * time.Millisecond
	default:
		return time.Hour
	}
}

// fuse makes a hook fail once it is armed.
type fuse struct {
	kind    failure
	mu      sync.Mutex
	armed   bool
	entered chan struct{} // closed when the hook is in its failure
	release chan struct{} // closed when what blocks may go on
}

func newFuse(kind failure) *fuse {
	return &fuse{kind: kind, entered: make(chan struct{}), release: make(chan struct{})}
}

func (f *fuse) arm() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed = true
}

// blow is what the hook does: nothing unless armed, and then once.
func (f *fuse) blow(ctx context.Context) error {
	f.mu.Lock()
	armed := f.armed
	f.armed = false
	f.mu.Unlock()
	if !armed {
		return nil
	}
	close(f.entered)
	switch f.kind {
	case fails:
		return errors.New(secret)
	case panics:
		panic(secret)
	case exits:
		runtime.Goexit()
	case expires:
		<-ctx.Done()
		return ctx.Err()
	case holdsOut, hangs:
		<-f.release
	}
	return nil
}

// failingHook is a hook, how a client meets it, and what the client then sees.
type failingHook struct {
	name     string
	document bool
	skip     []failure // it cannot fail like this
	install  func(s *script, p *yserver.Party, f *fuse)
	try      func(k *kit, s *script) string   // what the client sees
	sees     func(kind failure) string        // it has to be this
	ok       string                           // or this, when nothing fails
	spares   func(kind failure) (others bool) // nil: all but a hook that hangs
}

const (
	ready   = "ready"
	failed  = setupError + " close 1011"
	evicted = "close 1011"
)

// answer collects what a client is sent until it has a text that ends the answer,
// or the connection is closed.
func (w *wire) answer(last string) string {
	w.t.Helper()
	var parts []string
	for deadline := time.After(patience); ; {
		select {
		case text := <-w.text:
			parts = append(parts, text)
			if text == last {
				return strings.Join(parts, " ")
			}
		case _, ok := <-w.in:
			if ok {
				continue
			}
			for len(w.text) > 0 {
				parts = append(parts, <-w.text)
			}
			var ce *websocket.CloseError
			require.ErrorAs(w.t, <-w.end, &ce)
			return strings.Join(append(parts, fmt.Sprintf("close %d", ce.Code)), " ")
		case <-deadline:
			w.t.Fatalf("no answer; so far: %q", parts)
		}
	}
}

// enter dials and tells what came of it.
func (k *kit) enter(path string) (*wire, string) {
	k.t.Helper()
	w, resp, err := k.tryDial(path)
	if err != nil {
		require.NotNil(k.t, resp, "%v", err)
		return nil, fmt.Sprintf("status %d", resp.StatusCode)
	}
	return w, w.answer(ready)
}

// ping has a text come back through OnMessage or OnCustomMessage.
func (w *wire) ping(document bool) string {
	w.t.Helper()
	text := "ping"
	if document {
		text = "__YPS:ping"
	}
	if err := w.conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		return evicted
	}
	return w.answer(text)
}

func tryEnter(k *kit, _ *script) string {
	_, saw := k.enter("/parties/main/fresh?_pk=victim")
	return saw
}

func trySend(prefix string) func(*kit, *script) string {
	return func(k *kit, _ *script) string {
		w, saw := k.enter("/parties/main/r?_pk=victim")
		if saw != ready {
			return saw
		}
		w.sendText(prefix + "fuse")
		return w.ping(prefix != "")
	}
}

func tryRequest(k *kit, _ *script) string {
	resp, body := k.do("GET", "/parties/main/r", "")
	return fmt.Sprintf("%d %s", resp.StatusCode, strings.TrimSpace(body))
}

// tryLeave has a connection end, and waits for the event that follows.
func tryLeave(end func(w *wire), event string) func(*kit, *script) string {
	return func(k *kit, s *script) string {
		w, saw := k.enter("/parties/main/r?_pk=victim")
		if saw != ready {
			return saw
		}
		s.seen()
		end(w)
		eventually(k.t, event, func() bool {
			for _, e := range s.seen() {
				if strings.HasPrefix(e, event) {
					return true
				}
			}
			return false
		})
		return event
	}
}

func seesAlways(what string) func(failure) string { return func(failure) string { return what } }

// seesUnless is what, but something else when the hook hangs.
func seesUnless(what, hanging string) func(failure) string {
	return func(kind failure) string {
		if kind == hangs {
			return hanging
		}
		return what
	}
}

func sparesAll(failure) bool { return true }

// failingHooks are all hooks.
func failingHooks() []failingHook {
	return []failingHook{
		{
			name: "New", skip: []failure{fails, expires},
			install: func(_ *script, p *yserver.Party, f *fuse) {
				live := p.New
				p.New = func(room *yserver.Room) any {
					if room.Name() == "fresh" {
						_ = f.blow(context.Background())
					}
					return live(room)
				}
			},
			try: tryEnter, sees: seesUnless(failed, "status 503"), ok: ready, spares: sparesAll,
		},
		{
			name: "OnStart",
			install: func(s *script, _ *yserver.Party, f *fuse) {
				s.start = func(ctx context.Context, v *scripted) error {
					if v.room.Name() == "fresh" {
						return f.blow(ctx)
					}
					return nil
				}
			},
			try: tryEnter, sees: seesUnless(failed, "status 503"), ok: ready, spares: sparesAll,
		},
		{
			name: "OnBeforeConnect",
			install: func(_ *script, p *yserver.Party, f *fuse) {
				p.OnBeforeConnect = func(r *http.Request, _ yserver.Lobby) (*http.Request, error) { return nil, f.blow(r.Context()) }
			},
			try: tryEnter, sees: seesAlways("status 500"), ok: ready, spares: sparesAll,
		},
		{
			name: "OnBeforeRequest",
			install: func(_ *script, p *yserver.Party, f *fuse) {
				p.OnBeforeRequest = func(r *http.Request, _ yserver.Lobby) (*http.Request, error) { return nil, f.blow(r.Context()) }
			},
			try: tryRequest, sees: seesAlways(`500 {"error":"internal error","layer":"access","code":"INTERNAL"}`), ok: "200", spares: sparesAll,
		},
		{
			name: "ConnectionTags",
			install: func(s *script, _ *yserver.Party, f *fuse) {
				s.tags = func(ctx context.Context, _ *yserver.Connection, _ *http.Request) ([]string, error) {
					return nil, f.blow(ctx)
				}
			},
			try: func(k *kit, _ *script) string {
				_, saw := k.enter("/parties/main/r?_pk=victim")
				return saw
			},
			sees: seesAlways(failed), ok: ready,
		},
		{
			name: "OnConnect",
			install: func(s *script, _ *yserver.Party, f *fuse) {
				then := s.connect
				s.connect = func(ctx context.Context, c *yserver.Connection, r *http.Request) error {
					if err := f.blow(ctx); err != nil {
						return err
					}
					return then(ctx, c, r)
				}
			},
			try: func(k *kit, _ *script) string {
				_, saw := k.enter("/parties/main/r?_pk=victim")
				return saw
			},
			sees: seesUnless(failed, evicted), ok: ready,
		},
		{
			name: "OnMessage",
			install: func(s *script, _ *yserver.Party, f *fuse) {
				echo := s.message
				s.message = func(ctx context.Context, c *yserver.Connection, p yserver.Payload) error {
					if p.String() == "fuse" {
						return f.blow(ctx)
					}
					return echo(ctx, c, p)
				}
			},
			try: trySend(""), sees: seesUnless("ping", evicted), ok: "ping",
		},
		{
			name: "OnCustomMessage", document: true,
			install: func(s *script, _ *yserver.Party, f *fuse) {
				echo := s.custom
				s.custom = func(ctx context.Context, c *yserver.Connection, msg string) error {
					if msg == "fuse" {
						return f.blow(ctx)
					}
					return echo(ctx, c, msg)
				}
			},
			try: trySend("__YPS:"), sees: seesUnless("__YPS:ping", evicted), ok: "__YPS:ping",
		},
		{
			name: "OnClose",
			install: func(s *script, _ *yserver.Party, f *fuse) {
				s.close = func(ctx context.Context, _ *yserver.Connection, _ int, _ string, _ bool) error { return f.blow(ctx) }
			},
			try: tryLeave(func(w *wire) { _ = w.conn.Close() }, "OnClose victim"), sees: seesAlways("OnClose victim"), ok: "OnClose victim",
		},
		{
			name: "OnError", skip: []failure{fails},
			install: func(s *script, p *yserver.Party, f *fuse) {
				p.Limits.Message = 1000
				s.fault = func(ctx context.Context, _ *yserver.Connection, _ error) { _ = f.blow(ctx) }
			},
			try: tryLeave(func(w *wire) { w.sendText(strings.Repeat("x", 1001)) }, "OnError victim"), sees: seesAlways("OnError victim"), ok: "OnError victim",
		},
		{
			name: "OnRequest",
			install: func(s *script, _ *yserver.Party, f *fuse) {
				s.request = func(w http.ResponseWriter, r *http.Request) error {
					if err := f.blow(r.Context()); err != nil {
						return err
					}
					_, err := fmt.Fprint(w, "answer")
					return err
				}
			},
			try: tryRequest, sees: seesAlways("500 Internal Server Error"), ok: "200 answer",
		},
		{
			name: "OnAlarm",
			install: func(s *script, _ *yserver.Party, f *fuse) {
				s.alarm = func(ctx context.Context) error { return f.blow(ctx) }
			},
			try: func(k *kit, s *script) string {
				s.seen()
				require.NoError(k.t, k.room("r").SetAlarm(context.Background(), time.Now()))
				eventually(k.t, "OnAlarm", func() bool { return slices.Contains(s.seen(), "OnAlarm") })
				return "OnAlarm"
			},
			sees: seesAlways("OnAlarm"), ok: "OnAlarm",
		},
		{
			name: "Call",
			install: func(s *script, _ *yserver.Party, f *fuse) {
				s.custom = func(ctx context.Context, _ *yserver.Connection, _ string) error { return f.blow(ctx) } // as a variable
			},
			try: func(k *kit, s *script) string {
				err := k.room("r").Call(context.Background(), func(ctx context.Context, _ any) error { return s.custom(ctx, nil, "") })
				return fmt.Sprint(err != nil)
			},
			sees: seesAlways("true"), ok: "false",
		},
		{
			name: "Go's end", skip: []failure{fails},
			install: func(s *script, _ *yserver.Party, f *fuse) {
				s.custom = func(ctx context.Context, _ *yserver.Connection, _ string) error {
					_ = f.blow(ctx)
					s.note("ended")
					return nil
				}
			},
			try: func(k *kit, s *script) string {
				err := k.room("r").Go(func(ctx context.Context) func() {
					return func() {
						s.note("then")
						_ = s.custom(ctx, nil, "")
					}
				})
				require.NoError(k.t, err)
				eventually(k.t, "then", func() bool { return len(s.seen()) > 0 })
				return "then"
			},
			sees: seesAlways("then"), ok: "then",
			// its context is that of the room
			spares: func(kind failure) bool { return kind != hangs && kind != expires },
		},
	}
}

// A hook that goes wrong, in whatever way, costs its own event at most, or its own
// room if it does not return: other rooms and connections live on, the next event
// works, the client learns nothing, and the log has it.
func TestFailingHooks(t *testing.T) {
	for _, hook := range failingHooks() {
		for _, kind := range []failure{fails, panics, exits, expires, holdsOut, hangs} {
			if skips(hook, kind) {
				continue
			}
			t.Run(hook.name+"/"+string(kind), func(t *testing.T) {
				t.Parallel()
				testFailingHook(t, hook, kind)
			})
		}
	}
}

func skips(hook failingHook, kind failure) bool {
	for _, k := range hook.skip {
		if k == kind {
			return true
		}
	}
	return false
}

// echoing is a script whose rooms greet and echo.
func echoing() *script {
	s := &script{}
	s.connect = func(_ context.Context, c *yserver.Connection, _ *http.Request) error {
		c.Send(yserver.Text(ready))
		return nil
	}
	s.message = func(_ context.Context, c *yserver.Connection, p yserver.Payload) error {
		c.Send(p)
		return nil
	}
	s.custom = func(_ context.Context, c *yserver.Connection, msg string) error {
		c.Room().SendCustomMessage(c, msg)
		return nil
	}
	return s
}

func testFailingHook(t *testing.T, hook failingHook, kind failure) {
	f, s, l := newFuse(kind), echoing(), &logs{}
	party := withScript(s)
	if hook.document {
		party = withScriptedDocument(s)
	}
	k := start(t, withLogs(l), withHookTimeout(kind.timeout()), party, func(_ *yserver.Config, p *yserver.Party) { hook.install(s, p, f) })
	release := sync.OnceFunc(func() { close(f.release) })
	t.Cleanup(release) // before the server stops
	witness, saw := k.enter("/parties/main/r?_pk=witness")
	require.Equal(t, ready, saw)
	other, saw := k.enter("/parties/main/other?_pk=other")
	require.Equal(t, ready, saw)
	same := hook.document // of the others, echoes are custom messages

	f.arm()
	tried := make(chan string, 1)
	go func() { tried <- hook.try(k, s) }()
	receive(t, f.entered)
	if hook.name != "Call" && hook.name != "Go's end" || !same {
		require.Equal(t, text(same), other.ping(same), "another room")
	}
	want := hook.sees(kind)
	if kind == holdsOut {
		k.room("r").Broadcast(yserver.Text("meanwhile"), "victim")
		require.Equal(t, "meanwhile", witness.answer("meanwhile"), "the room itself")
		require.Contains(t, ids(k.room("r").Connections()), "witness")
		release()
		want = hook.ok
	}
	require.Equal(t, want, strings.TrimSpace(receive(t, tried)))

	spared := kind != hangs
	if hook.spares != nil {
		spared = hook.spares(kind)
	}
	if spared {
		require.Equal(t, text(same), witness.ping(same), "others of the room")
	} else {
		require.Equal(t, evicted, witness.answer(""))
		eventually(t, "a new value", func() bool {
			w, saw := k.enter("/parties/main/r?_pk=again")
			return saw == ready && w.ping(same) == text(same)
		})
	}
	require.Equal(t, hook.ok, strings.TrimSpace(hook.try(k, s)), "the next event")
	require.Equal(t, text(same), other.ping(same), "another room")
	checkFailure(t, k, l, hook, kind)
}

func text(document bool) string {
	if document {
		return "__YPS:ping"
	}
	return "ping"
}

// checkFailure looks at what the operator learns.
func checkFailure(t *testing.T, k *kit, l *logs, hook failingHook, kind failure) {
	stats := k.Srv.Stats()
	switch kind {
	case fails:
		require.EqualValues(t, 1, stats.HookErrors)
		require.Contains(t, l.String(), secret)
	case panics:
		require.EqualValues(t, 1, stats.HookPanics)
		require.Contains(t, l.String(), secret)
	case hangs:
		require.EqualValues(t, 1, stats.HooksStuck)
		require.NotEmpty(t, l.String())
	case holdsOut:
		require.Zero(t, stats.HookErrors+stats.HookPanics+stats.HooksStuck, hook.name)
	}
}

// What a hook keeps and uses when it is too late goes to nobody, and harms
// nothing.
func TestHooksThatWriteTooLate(t *testing.T) {
	conns := make(chan *yserver.Connection, 1)
	writers := make(chan http.ResponseWriter, 1)
	s := &script{}
	s.connect = func(_ context.Context, c *yserver.Connection, _ *http.Request) error {
		if c.ID() == "a" {
			conns <- c
		}
		return nil
	}
	s.request = func(w http.ResponseWriter, _ *http.Request) error {
		writers <- w
		_, err := w.Write([]byte("in time"))
		return err
	}
	k := start(t, withScript(s))
	a := k.dial("/parties/main/r?_pk=a")
	b := k.dial("/parties/main/r?_pk=b")
	c := receive(t, conns)
	require.NoError(t, a.conn.Close())
	receive(t, c.Done())
	c.Send(yserver.Text("late"))
	c.Close(4000, "late")
	c.Room().Broadcast(yserver.Text("still there"))
	require.Equal(t, "still there", b.nextText())

	_, body := k.do("GET", "/parties/main/r", "")
	require.Equal(t, "in time", body)
	w := receive(t, writers)
	w.Header().Set("X-Late", "1")
	w.WriteHeader(500)
	_, err := w.Write([]byte("late"))
	require.Error(t, err)
}

// A body over the limit is refused, as is an answer over it, and a status that
// is none is the hook's failure.
func TestRequestLimits(t *testing.T) {
	s := &script{}
	s.request = func(w http.ResponseWriter, r *http.Request) error {
		switch r.URL.RawQuery {
		case "status":
			w.WriteHeader(42)
		case "early":
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusTeapot)
			w.WriteHeader(http.StatusOK) // too late
		default:
			_, _ = w.Write(make([]byte, 60))
			_, err := w.Write(make([]byte, 60))
			require.Error(t, err)
		}
		return nil
	}
	k := start(t, withScript(s), func(_ *yserver.Config, p *yserver.Party) { p.Limits.Request, p.Limits.Message = 100, 100 })
	for _, tc := range []struct {
		query, body string
		status      int
	}{
		{"", strings.Repeat("x", 101), 413},
		{"", strings.Repeat("x", 100), 500},
		{"?status", "", 500},
		{"?early", "", 418},
	} {
		resp, _ := k.do("POST", "/parties/main/r"+tc.query, tc.body)
		require.Equal(t, tc.status, resp.StatusCode, tc.query)
	}
}

// Shutdown does not wait for ever for work that does not end.
func TestShutdownWithWorkThatNeverEnds(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	k := start(t, withScript(&script{}))
	t.Cleanup(func() { close(release) }) // before the server stops again
	require.NoError(t, k.room("a").Go(func(context.Context) func() { <-release; return nil }))
	k.dial("/parties/main/a?_pk=a")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- k.Srv.Shutdown(ctx) }()
	require.ErrorIs(t, receive(t, done), context.DeadlineExceeded)
}

// Work beside a room keeps it alive, comes back as a hook, and may panic.
func TestWorkBesideARoom(t *testing.T) {
	s := &script{}
	k := start(t, withScript(s), func(_ *yserver.Config, p *yserver.Party) { p.UnloadAfter = time.Millisecond })
	var v *scripted
	require.NoError(t, k.room("r").Call(t.Context(), func(_ context.Context, value any) error {
		v = value.(*scripted)
		return v.room.Go(func(ctx context.Context) func() {
			time.Sleep(quiet) // longer than an idle room lives
			return func() { v.count++ }
		})
	}))
	eventually(t, "the work", func() bool {
		count := 0
		require.NoError(t, k.room("r").Call(t.Context(), func(context.Context, any) error { count = v.count; return nil }))
		return count == 1
	})
	require.NoError(t, k.room("p").Go(func(context.Context) func() { panic(secret) }))
	eventually(t, "the panic", func() bool { return k.Srv.Stats().HookPanics == 1 })
	eventually(t, "the end of the rooms", func() bool { return k.Srv.Stats().Rooms == 0 })
}

// A hook that loads the room may ask for it, and is told that nobody is there.
func TestOnLoadMayAskForItsRoom(t *testing.T) {
	k := start(t, withDocument(yserver.Document{OnLoad: func(_ context.Context, room *yserver.Room) ([]byte, error) {
		room.Broadcast(yserver.Text("hello"))
		room.BroadcastCustomMessage("hello")
		if n := len(room.Connections()); n > 0 || room.Connection("a") != nil {
			return nil, errors.New("somebody is there")
		}
		return typed(1, 0, "hi"), nil
	}}))
	_, doc := k.join("/parties/main/r?_pk=a")
	holds(t, doc, 1, 2)
}
