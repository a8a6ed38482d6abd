package yserver_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/persisttest"
	"github.com/yserverd/yserverd/protocol"
	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/yserver"
)

// asleep waits until room r hibernates.
func (k *kit) asleep(room string) {
	k.t.Helper()
	eventually(k.t, "hibernation", func() bool { return yserver.Asleep(k.Srv, "main", room) })
}

// awake requires that room r does not hibernate, for many times HibernateAfter.
func (k *kit) awake(room string) {
	k.t.Helper()
	require.Never(k.t, func() bool { return yserver.Asleep(k.Srv, "main", room) }, quiet, time.Millisecond)
}

// Hibernation (rooms.md, 2.9): the live value goes, connections stay, and whatever
// happens brings the room back.
func TestHibernation(t *testing.T) {
	s := &script{}
	s.tags = func(context.Context, *yserver.Connection, *http.Request) ([]string, error) {
		return []string{"t1", "t2"}, nil
	}
	s.connect = func(_ context.Context, c *yserver.Connection, _ *http.Request) error {
		return c.SetState(map[string]string{"of": c.ID()})
	}
	s.message = func(_ context.Context, c *yserver.Connection, p yserver.Payload) error {
		c.Send(p)
		return nil
	}
	k := start(t, withScript(s), withHibernateAfter(5*time.Millisecond))
	a := k.dial("/parties/main/r?_pk=a&mode=x")
	k.dial("/parties/main/r?_pk=b")
	gone := k.dial("/parties/main/r?_pk=gone")
	uri := k.http.URL + "/parties/main/r?_pk=a&mode=x"
	for _, waker := range []struct {
		name string
		wake func(t *testing.T)
		want []string // the events; nil: the live value is not asked for
	}{
		{"a message", func(t *testing.T) {
			a.sendText("x")
			require.Equal(t, "x", a.nextText())
		}, []string{"OnStart", "OnMessage a x"}},
		{"a close", func(*testing.T) { _ = gone.conn.Close() }, []string{"OnStart", `OnClose gone 1006 "" false`}},
		{"a request", func(*testing.T) { k.do("GET", "/parties/main/r", "") }, []string{"OnStart", "OnRequest GET"}},
		{"a call", func(t *testing.T) {
			require.NoError(t, k.room("r").Call(t.Context(), func(context.Context, any) error { return nil }))
		}, []string{"OnStart"}},
		{"a new connection", func(*testing.T) { k.dial("/parties/main/r?_pk=c") }, []string{"OnStart", "ConnectionTags c", "OnConnect c"}},
		{"a broadcast", func(t *testing.T) {
			k.room("r").Broadcast(yserver.Text("all"))
			require.Equal(t, "all", a.nextText())
		}, nil},
		{"asking for connections", func(t *testing.T) {
			require.Contains(t, ids(k.room("r").Connections("t2")), "a")
		}, nil},
	} {
		t.Run(waker.name, func(t *testing.T) {
			k.asleep("r")
			s.seen()
			waker.wake(t)
			if waker.want == nil {
				require.Empty(t, s.seen())
			} else {
				require.Equal(t, waker.want, s.await(t, len(waker.want)))
			}
			c := k.room("r").Connection("a")
			require.Equal(t, []string{"a", "t1", "t2"}, c.Tags())
			require.Equal(t, uri, c.URI())
			state := map[string]string{}
			require.NoError(t, c.State(&state))
			require.Equal(t, map[string]string{"of": "a"}, state)
		})
	}
	require.Positive(t, k.Srv.Stats().Hibernations)
	t.Run("fields do not survive", func(t *testing.T) {
		count := func() (n int) {
			require.NoError(t, k.room("r").Call(t.Context(), func(_ context.Context, v any) error {
				v.(*scripted).count++
				n = v.(*scripted).count
				return nil
			}))
			return n
		}
		k.asleep("r")
		require.Equal(t, 1, count())
		k.asleep("r")
		require.Equal(t, 1, count())
	})
}

// What is under way keeps a room awake.
func TestWhatKeepsARoomAwake(t *testing.T) {
	soon := withHibernateAfter(time.Millisecond)
	t.Run("a hook", func(t *testing.T) {
		release := make(chan struct{})
		s := &script{message: func(context.Context, *yserver.Connection, yserver.Payload) error { <-release; return nil }}
		k := start(t, withScript(s), soon)
		a := k.dial("/parties/main/r?_pk=a")
		a.sendText("x")
		s.await(t, 4)
		k.awake("r")
		close(release)
		k.asleep("r")
	})
	t.Run("a call that nobody waits for", func(t *testing.T) {
		release, entered := make(chan struct{}), make(chan struct{})
		s := &script{}
		k := start(t, withScript(s), soon)
		k.dial("/parties/main/r?_pk=a")
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() {
			result <- k.room("r").Call(ctx, func(context.Context, any) error {
				close(entered)
				<-release
				return nil
			})
		}()
		receive(t, entered)
		cancel()
		require.ErrorIs(t, receive(t, result), context.Canceled)
		s.seen()
		k.awake("r")
		close(release)
		k.asleep("r")
		require.Empty(t, s.seen(), "no second value beside the one that worked")
	})
	t.Run("work beside it", func(t *testing.T) {
		release := make(chan struct{})
		k := start(t, withScript(&script{}), soon)
		k.dial("/parties/main/r?_pk=a")
		require.NoError(t, k.room("r").Go(func(context.Context) func() { <-release; return nil }))
		k.awake("r")
		close(release)
		k.asleep("r")
	})
	t.Run("an edit that is not stored", func(t *testing.T) {
		store := newGatedStore()
		k := start(t, withStore(store), soon)
		a, _ := k.join("/parties/main/r?_pk=a")
		release := store.hold()
		defer release()
		a.update(typed(1, 0, "hi"))
		k.awake("r")
		release()
		k.asleep("r")
		holds(t, k.stored("r"), 1, 2)
	})
	t.Run("a document that is not saved", func(t *testing.T) {
		got, hook := saves(nil)
		k := start(t, soon, withDocument(yserver.Document{OnSave: hook, CallbackOptions: yserver.CallbackOptions{DebounceWait: 2 * quiet}}))
		a, _ := k.join("/parties/main/r?_pk=a")
		a.update(typed(1, 0, "hi"))
		a.frame(protocol.SyncUpdate)
		k.awake("r")
		receive(t, got)
		k.asleep("r")
	})
	t.Run("NoHibernation", func(t *testing.T) {
		k := start(t, withScript(&script{}), soon, func(_ *yserver.Config, p *yserver.Party) { p.NoHibernation = true })
		k.dial("/parties/main/r?_pk=a")
		k.awake("r")
	})
}

// A document room needs its document for edits and for those who ask for it;
// presence does without.
func TestHibernationOfDocuments(t *testing.T) {
	store := newGatedStore()
	k := start(t, withStore(store), withHibernateAfter(5*time.Millisecond))
	a, _ := k.join("/parties/main/r?_pk=a")
	b, _ := k.join("/parties/main/r?_pk=b")
	for clock := range uint64(5) {
		a.update(typed(1, clock, "x"))
		a.frame(protocol.SyncUpdate)
		b.frame(protocol.SyncUpdate)
	}
	k.asleep("r")
	require.Zero(t, k.Srv.Stats().DocumentBytes)
	loads := store.loads.Load()
	for clock := range uint64(3) {
		a.presence(1, clock+1, `{"n":"A"}`)
		a.awareness()
		b.awareness()
		k.asleep("r")
	}
	require.Equal(t, loads, store.loads.Load(), "presence needs no document")
	b.update(typed(2, 0, "hi"))
	a.frame(protocol.SyncUpdate)
	b.frame(protocol.SyncUpdate)
	require.Equal(t, loads+1, store.loads.Load())
	holds(t, k.stored("r"), 1, 5)
	holds(t, k.stored("r"), 2, 2)
	k.asleep("r")
	c, doc := k.join("/parties/main/r?_pk=c")
	holds(t, doc, 1, 5)
	holds(t, doc, 2, 2)
	c.step1([]byte{0})
	k.asleep("r")
	require.NoError(t, a.conn.Close())
	gone := b.awareness()
	require.Contains(t, string(gone), "null", "who leaves takes its presence along")
}

// What a client sent before its room slept is nothing of what others send later:
// that reaches it at once, committed or not.
func TestBatchesAreCountedAnewAfterHibernation(t *testing.T) {
	store := newGatedStore()
	k := start(t, withStore(store), withHibernateAfter(5*time.Millisecond))
	a, _ := k.join("/parties/main/r?_pk=a")
	b, _ := k.join("/parties/main/r?_pk=b")
	a.update(typed(1, 0, "x")) // the first batch of the room
	a.frame(protocol.SyncUpdate)
	b.frame(protocol.SyncUpdate)
	k.asleep("r")
	release := store.hold()
	defer release()
	b.update(typed(2, 0, "y")) // and again
	a.frame(protocol.SyncUpdate)
	b.silence()
	release()
	b.frame(protocol.SyncUpdate)
	require.Zero(t, k.Srv.Stats().RoomPanics)
}

// A room does not fall asleep over what it owes to somebody.
func TestNobodyIsForgottenOverHibernation(t *testing.T) {
	t.Run("who asks for nothing", func(t *testing.T) {
		k := start(t, withHibernateAfter(time.Millisecond))
		silent := k.dial("/parties/main/r?_pk=silent")
		silent.frame(protocol.SyncStep1)
		a, _ := k.join("/parties/main/r?_pk=a")
		a.update(typed(1, 0, "x"))
		silent.frame(protocol.SyncUpdate)
		require.Zero(t, k.Srv.Stats().RoomPanics)
	})
	t.Run("presence that was merged", func(t *testing.T) {
		k := start(t, withHibernateAfter(time.Millisecond), withDocument(yserver.Document{AwarenessInterval: 2 * quiet}))
		a, _ := k.join("/parties/main/r?_pk=a")
		a.presence(1, 1, `{"n":1}`)
		require.Contains(t, string(a.awareness()), `{"n":1}`)
		a.presence(1, 2, `{"n":2}`)
		require.Contains(t, string(a.awareness()), `{"n":2}`)
		k.asleep("r")
	})
}

// A room that is asked again and again is in use, with or without connections.
func TestRequestsKeepTheLiveValue(t *testing.T) {
	const lives = 400 * time.Millisecond
	for name, connected := range map[string]bool{"hibernation": true, "unloading": false} {
		t.Run(name, func(t *testing.T) {
			s := &script{}
			k := start(t, withScript(s), withHibernateAfter(lives), func(_ *yserver.Config, p *yserver.Party) { p.UnloadAfter = lives })
			if connected {
				k.dial("/parties/main/r?_pk=a")
			}
			longest := time.Duration(0)
			begun, last := time.Now(), time.Now()
			for time.Since(begun) < 5*lives/2 {
				k.do("GET", "/parties/main/r", "")
				longest, last = max(longest, time.Since(last)), time.Now()
				time.Sleep(10 * time.Millisecond)
			}
			if longest > lives/2 {
				t.Skip("this machine is too busy to ask often enough")
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			require.Equal(t, 1, s.values)
		})
	}
}

// awareness returns the next awareness frame.
func (w *wire) awareness() []byte {
	w.t.Helper()
	for {
		msg, err := protocol.Parse(w.next())
		require.NoError(w.t, err)
		if msg.Type == protocol.MessageAwareness {
			return msg.Payload
		}
	}
}

// The presence of y-websocket clients times out, so their rooms stay; the document
// goes all the same. When it is back, nothing counts as stored that is not.
func TestHeartbeatsKeepTheRoomWithoutItsDocument(t *testing.T) {
	store := newGatedStore()
	k := start(t, withStore(store), withHibernateAfter(5*time.Millisecond))
	y, _ := k.join("/yjs/r")
	for clock := range uint64(5) {
		y.update(typed(1, clock, "x"))
		y.frame(protocol.SyncUpdate)
	}
	y.presence(1, 1, `{"n":"Y"}`)
	y.awareness()
	eventually(t, "the document to go", func() bool { return k.Srv.Stats().DocumentBytes == 0 })
	loads := store.loads.Load()
	for clock := range uint64(10) {
		y.presence(1, clock+2, `{"n":"Y"}`)
		y.awareness()
	}
	require.Equal(t, loads, store.loads.Load())
	require.False(t, yserver.Asleep(k.Srv, "main", "r"))

	release := store.hold()
	defer release()
	applied := make(chan error, 1)
	go func() { applied <- k.room("r").Apply(context.Background(), typed(2, 0, "x")) }()
	select {
	case err := <-applied:
		t.Fatalf("stored before it is stored: %v", err)
	case <-time.After(quiet):
	}
	release()
	require.NoError(t, receive(t, applied))
	y.frame(protocol.SyncUpdate)
	holds(t, k.stored("r"), 2, 1)
}

// slowHijack takes its time to give up the connection.
type slowHijack struct{ http.ResponseWriter }

func (w slowHijack) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	time.Sleep(quiet)
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// A document that was there before the upgrade may be gone after it.
func TestUpgradeThatTakesLongerThanTheDocumentStays(t *testing.T) {
	k := start(t, withHibernateAfter(time.Millisecond))
	slow := k.in(t)
	slow.http = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.Srv.ServeHTTP(slowHijack{w}, r)
	}))
	t.Cleanup(slow.http.Close)
	require.NoError(t, k.room("r").Apply(t.Context(), typed(1, 0, "hi")))
	_, doc := slow.join("/parties/main/r?_pk=a")
	holds(t, doc, 1, 2)
	require.Zero(t, k.Srv.Stats().RoomPanics)
}

// failingRooms is a store whose data of rooms cannot be read while it fails.
type failingRooms struct {
	*persisttest.Memory
	fail atomic.Bool
}

func (s *failingRooms) GetRoom(ctx context.Context, k persist.Key, sp persist.Space, keys []string) ([][]byte, error) {
	if s.fail.Load() {
		return nil, errors.New("no")
	}
	return s.Memory.GetRoom(ctx, k, sp, keys)
}

func (s *failingRooms) Load(ctx context.Context, k persist.Key) (persist.Document, error) {
	if s.fail.Load() {
		return persist.Document{}, errors.New("no")
	}
	return s.Memory.Load(ctx, k)
}

// A room that cannot wake up sends its clients away, to come back.
func TestAFailedWakeClosesTheConnections(t *testing.T) {
	t.Run("message room", func(t *testing.T) {
		store := &failingRooms{Memory: persisttest.NewMemory()}
		k := start(t, withStore(store), withHibernateAfter(5*time.Millisecond), func(c *yserver.Config, p *yserver.Party) {
			c.RoomStore = store
			p.Document, p.YWebSocket, p.Message = nil, "", &yserver.Message{Relay: yserver.RelayJSON, State: &yserver.SharedState{}}
		})
		a, b := k.dial("/parties/main/r?_pk=a"), k.dial("/parties/main/r?_pk=b")
		k.asleep("r")
		store.fail.Store(true)
		a.sendText(`{"type":"x"}`)
		a.expectClose(1013)
		b.expectClose(1013)
		require.Equal(t, 503, k.refused("/parties/main/r?_pk=a"))
		store.fail.Store(false)
		k.dial("/parties/main/r?_pk=a")
	})
	t.Run("document", func(t *testing.T) {
		store := &failingRooms{Memory: persisttest.NewMemory()}
		k := start(t, withStore(store), withHibernateAfter(5*time.Millisecond))
		a, _ := k.join("/parties/main/r?_pk=a")
		b, _ := k.join("/parties/main/r?_pk=b")
		k.asleep("r")
		store.fail.Store(true)
		a.update(typed(1, 0, "x"))
		a.expectClose(1013)
		require.Equal(t, 503, k.refused("/parties/main/r?_pk=a"))
		b.presence(2, 1, `{}`)
		b.awareness()
		store.fail.Store(false)
		b.update(typed(2, 0, "hi"))
		b.frame(protocol.SyncUpdate)
		holds(t, k.stored("r"), 2, 2)
	})
}

// Shutdown closes the connections of rooms that sleep like all others.
func TestShutdownWhileRoomsHibernate(t *testing.T) {
	k := start(t, withHibernateAfter(5*time.Millisecond))
	var clients []*wire
	for i := range 5 {
		w, _ := k.join("/parties/main/" + roomName(i))
		clients = append(clients, w)
	}
	for i := range 5 {
		k.asleep(roomName(i))
	}
	require.NoError(t, k.Srv.Shutdown(t.Context()))
	for _, w := range clients {
		w.expectClose(1012)
	}
	require.Zero(t, k.Srv.Stats().Connections)
}

// However many come at once, a room has one value.
func TestManyOpenOneRoomAtOnce(t *testing.T) {
	const clients = 1000
	s := &script{}
	s.connect = func(_ context.Context, c *yserver.Connection, _ *http.Request) error { return nil }
	k := start(t, withScript(s))
	barrier := make(chan struct{})
	var done sync.WaitGroup
	var open [clients]*websocket.Conn
	for i := range clients {
		done.Go(func() {
			<-barrier
			conn, _, err := websocket.DefaultDialer.Dial(k.url(fmt.Sprintf("/parties/main/r?_pk=%d", i)), nil)
			if err != nil {
				t.Error(err)
				return
			}
			open[i] = conn
		})
	}
	close(barrier)
	done.Wait()
	require.Len(t, k.room("r").Connections(), clients)
	starts := 0
	for _, e := range s.seen() {
		if e == "OnStart" {
			starts++
		}
	}
	require.Equal(t, 1, starts)
	for _, conn := range open {
		_ = conn.Close()
	}
}

// rounds has every client send in rounds, at different times, with pauses between
// the rounds that are sometimes long enough for the room to fall asleep.
func rounds(clients, count, each int, send func(client, n int)) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for round := range count {
		var done sync.WaitGroup
		for client := range clients {
			wait := time.Duration(rnd.IntN(3000)) * time.Microsecond
			done.Go(func() {
				time.Sleep(wait)
				for n := range each {
					send(client, round*each+n)
				}
			})
		}
		done.Wait()
		time.Sleep(time.Duration(rnd.IntN(40)) * time.Millisecond)
	}
}

// Messages are delivered once and in order, however often the room sleeps.
func TestMessagesToARoomThatKeepsFallingAsleep(t *testing.T) {
	const clients, count, each = 10, 30, 5
	var (
		mu       sync.Mutex
		received = map[string][]string{}
		inside   atomic.Int32
	)
	s := &script{message: func(_ context.Context, c *yserver.Connection, p yserver.Payload) error {
		if inside.Add(1) != 1 {
			t.Error("two hooks of a room at once")
		}
		defer inside.Add(-1)
		mu.Lock()
		defer mu.Unlock()
		received[c.ID()] = append(received[c.ID()], p.String())
		return nil
	}}
	k := start(t, withScript(s), withHibernateAfter(time.Millisecond))
	var joined []*wire
	for i := range clients {
		joined = append(joined, k.dial(fmt.Sprintf("/parties/main/r?_pk=%d", i)))
	}
	settle := k.disturb(t)
	rounds(clients, count, each, func(client, n int) {
		if err := joined[client].conn.WriteMessage(websocket.TextMessage, fmt.Append(nil, n)); err != nil {
			t.Error(err)
		}
	})
	settle()
	var want []string
	for n := range count * each {
		want = append(want, fmt.Sprint(n))
	}
	for i := range clients {
		eventually(t, "messages", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(received[fmt.Sprint(i)]) >= len(want)
		})
		require.Equal(t, want, received[fmt.Sprint(i)])
	}
	require.Greater(t, k.Srv.Stats().Hibernations, int64(5), "the room did sleep")
}

// disturb joins, leaves, asks and calls until the returned function is called.
func (k *kit) disturb(t *testing.T) (settle func()) {
	stop := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(n%7*5) * time.Millisecond):
			}
			switch n % 4 {
			case 0:
				conn, _, err := websocket.DefaultDialer.Dial(k.url("/parties/main/r?_pk=guest"), nil)
				if err != nil {
					t.Error(err)
					return
				}
				_ = conn.Close()
			case 1:
				k.do("GET", "/parties/main/r", "")
			case 2:
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(n%5)*time.Millisecond)
				_ = k.room("r").Call(ctx, func(context.Context, any) error { time.Sleep(time.Millisecond); return nil })
				cancel()
			case 3:
				k.room("r").Connections()
			}
		}
	})
	return func() {
		close(stop)
		done.Wait()
	}
}

// Edits converge and are stored, however often the document goes.
func TestEditsToARoomThatKeepsFallingAsleep(t *testing.T) {
	const clients, count, each = 6, 20, 3
	for name, path := range map[string]string{"provider": "/parties/main/r?_pk=%d", "y-websocket": "/yjs/r?n=%d"} {
		t.Run(name, func(t *testing.T) {
			l := &logs{}
			k := start(t, withLogs(l), withHibernateAfter(time.Millisecond))
			defer func() { require.Zero(t, k.Srv.Stats().RoomPanics, l) }()
			var joined []*wire
			for i := range clients {
				w, _ := k.join(fmt.Sprintf(path, i))
				w.presence(uint64(i+1), 1, "{}")
				joined = append(joined, w)
			}
			settle := k.disturb(t)
			rounds(clients, count, each, func(client, n int) {
				u := protocol.AppendUpdate(nil, typed(uint64(client+1), uint64(n), "x"))
				_ = joined[client].conn.WriteMessage(websocket.BinaryMessage, u) // what was lost does not come
			})
			settle()
			want := make([]update.ID, 0, clients)
			for i := range clients {
				want = append(want, update.ID{Client: uint64(i + 1), Clock: count * each})
			}
			for _, w := range joined { // its own edits come back only when they are stored
				require.ElementsMatch(t, want, clocks(t, w.collect(clients*count*each)))
			}
			require.ElementsMatch(t, want, clocks(t, k.stored("r")))
			require.Greater(t, k.Srv.Stats().Loads, int64(5), "the document did go and come back")
		})
	}
}
