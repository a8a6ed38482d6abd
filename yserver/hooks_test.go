package yserver_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist/persisttest"
	"github.com/yserverd/yserverd/protocol"
	"github.com/yserverd/yserverd/protocol/ydoc"
	"github.com/yserverd/yserverd/yserver"
)

func TestOnLoadGivesANewDocumentItsContentOnce(t *testing.T) {
	store := persisttest.NewMemory()
	var calls atomic.Int64
	load := withDocument(yserver.Document{OnLoad: func(_ context.Context, r *yserver.Room) ([]byte, error) {
		return typed(uint64(100+calls.Add(1)), 0, "seed of "+r.Name()), nil
	}})
	first := start(t, withStore(store), load)
	_, doc := first.join("/parties/main/r")
	holds(t, doc, 101, 9)
	first.Stop()
	second := start(t, withStore(store), load)
	_, doc = second.join("/parties/main/r")
	require.EqualValues(t, 2, calls.Load())
	require.Len(t, clocks(t, doc), 1, "the second seed was not used")
	holds(t, doc, 101, 9)
}

func TestOnLoadThatFailsRefusesTheRoom(t *testing.T) {
	for name, hook := range map[string]func(context.Context, *yserver.Room) ([]byte, error){
		"error":   func(context.Context, *yserver.Room) ([]byte, error) { return nil, errors.New("no") },
		"panic":   func(context.Context, *yserver.Room) ([]byte, error) { panic("no") },
		"garbage": func(context.Context, *yserver.Room) ([]byte, error) { return []byte{1, 2, 3}, nil },
		"endless": func(ctx context.Context, _ *yserver.Room) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			k := start(t, withDocument(yserver.Document{OnLoad: hook}), func(c *yserver.Config, _ *yserver.Party) {
				c.LoadTimeout = 50 * time.Millisecond
			})
			_, resp, err := k.tryDial("/parties/main/r")
			require.Error(t, err)
			require.Equal(t, 503, resp.StatusCode)
		})
	}
}

// An OnLoad that ignores its context is waited for no longer than a load may take,
// and not at all by a Shutdown that gives up.
func TestOnLoadThatNeverReturns(t *testing.T) {
	for name, limit := range map[string]time.Duration{"the load ends": 50 * time.Millisecond, "the server ends": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hang, entered := make(chan struct{}), make(chan struct{})
			k := start(t, withDocument(yserver.Document{OnLoad: func(context.Context, *yserver.Room) ([]byte, error) {
				close(entered)
				<-hang
				return nil, nil
			}}), func(c *yserver.Config, _ *yserver.Party) { c.LoadTimeout = limit })
			t.Cleanup(func() { close(hang) }) // before the server stops again
			status := make(chan int, 1)
			go func() {
				_, resp, err := k.tryDial("/parties/main/r")
				if err == nil || resp == nil {
					status <- 0
					return
				}
				status <- resp.StatusCode
			}()
			receive(t, entered)
			if limit == time.Hour {
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				done := make(chan error, 1)
				go func() { done <- k.Srv.Shutdown(ctx) }()
				_ = receive(t, done) // what has ended by then is up to chance
			}
			require.Equal(t, 503, receive(t, status))
			require.EqualValues(t, 1, k.Srv.Stats().HooksStuck)
		})
	}
}

// saves collects what OnSave gets.
func saves(fail *atomic.Int64) (chan yserver.Save, func(context.Context, *yserver.Room, yserver.Save) error) {
	got := make(chan yserver.Save, 64)
	return got, func(_ context.Context, _ *yserver.Room, s yserver.Save) error {
		if fail != nil && fail.Add(-1) >= 0 {
			return errors.New("not now")
		}
		got <- s
		return nil
	}
}

func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

func TestOnSaveIsDebounced(t *testing.T) {
	got, hook := saves(nil)
	k := start(t, withDocument(yserver.Document{OnSave: hook, CallbackOptions: yserver.CallbackOptions{DebounceWait: 50 * time.Millisecond}}))
	a, _ := k.join("/parties/main/r")
	for clock := range uint64(10) {
		a.update(typed(1, clock, "x"))
	}
	save := receive(t, got)
	doc := ydoc.New(ydoc.Config{})
	_, err := doc.Apply(save.State)
	require.NoError(t, err)
	holds(t, doc, 1, 10)
	require.Positive(t, save.Seq)
	time.Sleep(quiet) // nothing changed: nothing more is saved
	require.Empty(t, got)
}

func TestOnSaveRunsWhenTheLastConnectionLeaves(t *testing.T) {
	got, hook := saves(nil)
	k := start(t, withDocument(yserver.Document{OnSave: hook, CallbackOptions: yserver.CallbackOptions{DebounceWait: time.Hour}}))
	a, _ := k.join("/parties/main/r")
	a.update(typed(1, 0, "hi"))
	a.frame(protocol.SyncUpdate)
	require.Empty(t, got)
	require.NoError(t, a.conn.Close())
	require.EqualValues(t, 1, receive(t, got).Seq)
}

func TestOnSaveRunsAtShutdownAndWaitsForTheCommit(t *testing.T) {
	got, hook := saves(nil)
	store := newGatedStore()
	k := start(t, withStore(store), withDocument(yserver.Document{OnSave: hook, CallbackOptions: yserver.CallbackOptions{DebounceWait: time.Hour}}))
	a, _ := k.join("/parties/main/r")
	release := store.hold()
	a.update(typed(1, 0, "hi"))
	k.accepted()
	a.silence()
	done := make(chan error, 1)
	go func() { done <- k.Srv.Shutdown(t.Context()) }()
	time.Sleep(quiet)
	require.Empty(t, got, "not committed yet")
	release()
	require.EqualValues(t, 1, receive(t, got).Seq)
	require.NoError(t, <-done)
}

func TestOnSaveThatFailsIsRetried(t *testing.T) {
	fail := &atomic.Int64{}
	fail.Store(1)
	got, hook := saves(fail)
	k := start(t, withDocument(yserver.Document{OnSave: hook, CallbackOptions: yserver.CallbackOptions{DebounceWait: time.Millisecond}}))
	a, _ := k.join("/parties/main/r")
	a.update(typed(1, 0, "hi"))
	require.EqualValues(t, 1, receive(t, got).Seq)
}

func TestAHookThatBlocksStopsNobody(t *testing.T) {
	block := make(chan struct{})
	k := start(t, withDocument(yserver.Document{
		OnSave:          func(context.Context, *yserver.Room, yserver.Save) error { <-block; return nil },
		OnCustomMessage: func(*yserver.Connection, string) { <-block },
		CallbackOptions: yserver.CallbackOptions{DebounceWait: time.Millisecond},
	}))
	defer close(block)
	a, _ := k.join("/parties/main/r?_pk=a")
	b, _ := k.join("/parties/main/r?_pk=b")
	a.sendText("__YPS:block")
	for clock := range uint64(20) {
		a.update(typed(1, clock, "x"))
		b.frame(protocol.SyncUpdate)
		a.frame(protocol.SyncUpdate)
	}
	other, _ := k.join("/parties/main/other")
	other.update(typed(1, 0, "x"))
	other.frame(protocol.SyncUpdate)
}

func TestCustomMessages(t *testing.T) {
	k := start(t, withDocument(yserver.Document{OnCustomMessage: func(c *yserver.Connection, msg string) {
		c.Room().SendCustomMessage(c, "you said "+msg)
		c.Room().BroadcastCustomMessage(fmt.Sprintf("%s said %s", c.ID(), msg), c)
	}}))
	a, _ := k.join("/parties/main/r?_pk=a")
	b, _ := k.join("/parties/main/r?_pk=b")
	y, _ := k.join("/yjs/r") // a y-websocket client: text frames would break it
	a.sendText("__YPS:hello")
	require.Equal(t, "__YPS:you said hello", receive(t, a.text))
	require.Equal(t, "__YPS:a said hello", receive(t, b.text))
	y.step1([]byte{0})
	y.frame(protocol.SyncStep2)
	require.Empty(t, y.text)
	require.Empty(t, a.text)
}

func TestAPanicInAHookCostsNothingElse(t *testing.T) {
	k := start(t, withDocument(yserver.Document{OnCustomMessage: func(c *yserver.Connection, msg string) {
		if msg == "panic" {
			panic("oops")
		}
		c.Room().SendCustomMessage(c, msg)
	}}))
	a, _ := k.join("/parties/main/r?_pk=a")
	a.sendText("__YPS:panic")
	a.sendText("__YPS:fine")
	require.Equal(t, "__YPS:fine", receive(t, a.text))
	require.EqualValues(t, 1, k.Srv.Stats().HookPanics)
}

func TestServerSideEdits(t *testing.T) {
	k := start(t)
	a, _ := k.join("/parties/main/r")
	room, err := k.Srv.Room("main", "r")
	require.NoError(t, err)
	require.NoError(t, room.Apply(t.Context(), typed(1, 0, "hi")))
	holds(t, k.stored("r"), 1, 2)
	a.expect("00 02 0c" + helloUpdate)
	state, err := room.State(t.Context())
	require.NoError(t, err)
	require.Equal(t, typed(1, 0, "hi"), state)
	require.Error(t, room.Apply(t.Context(), []byte{9}))
	require.Len(t, room.Connections(), 1)
	_, err = k.Srv.Room("nobody", "r")
	require.Error(t, err)
}
