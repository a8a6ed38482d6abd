package yserver_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/persisttest"
	"github.com/yserverd/yserverd/protocol"
	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/protocol/ydoc"
	"github.com/yserverd/yserverd/yserver"
)

const (
	oldClient = 7 // of the epoch that has ended
	newClient = 9 // of the one that goes on
	stranger  = 8 // of nobody's so far
)

func svOf(client, clock uint64) []byte {
	return update.AppendStateVector(nil, []update.ID{{Client: client, Clock: clock}})
}

// item1 is the update of a client that writes one letter, with what stands before
// it: info byte, and ids or the parent.
func item1(client uint64, info byte, before ...uint64) []byte {
	u := lib0.AppendVarUint([]byte{1, 1}, client)
	u = append(u, 0, info|byte(update.String))
	for _, n := range before {
		u = lib0.AppendVarUint(u, n)
	}
	return append(lib0.AppendVarString(u, "!"), 0)
}

// replaced runs a server with room "r", whose first epoch had "old" by oldClient,
// and whose present one has "new" by newClient.
func replaced(t testing.TB, opts ...func(*yserver.Config, *yserver.Party)) *kit {
	t.Helper()
	k := start(t, opts...)
	require.NoError(t, k.room("r").Apply(t.Context(), typed(oldClient, 0, "old")))
	require.NoError(t, k.room("r").Import(t.Context(), typed(newClient, 0, "new")))
	return k
}

// content returns the client clocks of what the room is now.
func (k *kit) content(room string) []update.ID {
	k.t.Helper()
	state, err := k.room(room).State(context.Background())
	require.NoError(k.t, err)
	doc := ydoc.New(ydoc.Config{})
	_, err = doc.Apply(state)
	require.NoError(k.t, err)
	return clocks(k.t, doc)
}

var onlyNew = []update.ID{{Client: newClient, Clock: 3}}

// Rule 9: what a client of a dead epoch brings tells that its copy is stale.
func TestRule9StaleCopy(t *testing.T) {
	k := replaced(t)
	for _, tc := range []struct {
		name  string
		frame []byte
	}{
		{"step 1", protocol.AppendSyncStep1(nil, svOf(oldClient, 3))},
		{"an update of its own", protocol.AppendUpdate(nil, typed(oldClient, 3, "x"))},
		{"an origin", protocol.AppendUpdate(nil, item1(stranger, update.HasOrigin, oldClient, 2))},
		{"a right origin", protocol.AppendUpdate(nil, item1(stranger, update.HasRightOrigin, oldClient, 0))},
		{"a parent", protocol.AppendUpdate(nil, item1(stranger, 0, 0, oldClient, 0))},
		{"a delete", protocol.AppendUpdate(nil, []byte{0, 1, oldClient, 1, 0, 1})},
		{"step 2", append([]byte{0, 1, byte(len(typed(oldClient, 0, "old")))}, typed(oldClient, 0, "old")...)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			k := k.in(t)
			before := k.Srv.Stats().StaleCopies
			y := k.dial("/yjs/r")
			y.frame(protocol.SyncStep1)
			y.send(tc.frame)
			y.expectClose(4409)

			p := k.dial("/parties/main/r?_pk=p")
			p.frame(protocol.SyncStep1)
			p.send(tc.frame)
			require.Equal(t, `__YPS:{"type":"stale","epoch":1}`, p.nextText())
			require.Equal(t, onlyNew, k.content("r"))
			require.Equal(t, before+2, k.Srv.Stats().StaleCopies)
		})
	}
	t.Run("malformed ones are none", func(t *testing.T) {
		k := k.in(t)
		w, _ := k.join("/yjs/r")
		w.update([]byte{9, 9, 9})
		w.send([]byte{0, 0, 1, 9})
		w.update(typed(stranger, 0, "ok"))
		w.frame(protocol.SyncUpdate)
	})
}

// Rule 9: the muted socket stays, nothing of it is applied, it gets nothing of
// the document, and it is never told that anything is saved.
func TestRule9Muted(t *testing.T) {
	k := replaced(t)
	other, _ := k.join("/parties/main/r?_pk=other")
	p := k.dial("/parties/main/r?_pk=p")
	p.frame(protocol.SyncStep1)
	p.presence(70, 1, `{"who":"p"}`)
	other.next()
	p.step1(svOf(oldClient, 3))
	require.Equal(t, `__YPS:{"type":"stale","epoch":1}`, p.nextText())
	gone, err := protocol.Parse(other.next())
	require.NoError(t, err)
	require.Equal(t, protocol.MessageAwareness, gone.Type, "its presence is taken back")

	p.update(typed(stranger, 0, "x"))
	p.send(protocol.AppendSyncStatus(nil, []byte{1}))
	p.step1([]byte{0})
	p.presence(70, 5, `{"who":"p"}`)
	other.silence()
	other.update(typed(newClient, 3, "!"))
	other.frame(protocol.SyncUpdate)
	for len(p.in) > 0 { // presence, of itself too, it may get
		msg, err := protocol.Parse(p.next())
		require.NoError(t, err)
		require.Equal(t, protocol.MessageAwareness, msg.Type)
	}
	p.silence()
	p.noText()
	require.Equal(t, []update.ID{{Client: newClient, Clock: 4}}, k.content("r"))
	require.Len(t, k.room("r").Connections(), 2)
	k.room("r").BroadcastCustomMessage("hello")
	require.Equal(t, "__YPS:hello", p.nextText(), "custom messages go on")
}

// A member that is shut out stays so while its room hibernates.
func TestRule9MutedSleeps(t *testing.T) {
	k := replaced(t, withHibernateAfter(30*time.Millisecond))
	p := k.dial("/parties/main/r?_pk=p&epoch=0")
	require.Equal(t, `__YPS:{"type":"epoch","epoch":1}`, p.nextText())
	require.Equal(t, `__YPS:{"type":"stale","epoch":1}`, p.nextText())
	k.asleep("r")
	p.update(typed(stranger, 0, "x"))
	other, _ := k.join("/parties/main/r?_pk=other")
	other.update(typed(newClient, 3, "!"))
	other.frame(protocol.SyncUpdate)
	p.silence()
	require.Equal(t, []update.ID{{Client: newClient, Clock: 4}}, k.content("r"))
}

// Rule 9: who has nothing of the dead epoch, or only what lives on, is served.
func TestRule9Served(t *testing.T) {
	t.Run("new clients", func(t *testing.T) {
		k := replaced(t)
		w, doc := k.join("/yjs/r")
		holds(t, doc, newClient, 3)
		w.update(typed(stranger, 0, "x"))
		w.frame(protocol.SyncUpdate)
		w.step1(svOf(oldClient, 0)) // claims nothing
		w.frame(protocol.SyncStep2)
	})
	t.Run("clients whose ids the new epoch holds", func(t *testing.T) {
		k := start(t)
		require.NoError(t, k.room("r").Apply(t.Context(), typed(oldClient, 0, "old")))
		require.NoError(t, k.room("r").Import(t.Context(), typed(oldClient, 0, "old")))
		w := k.dial("/yjs/r")
		w.frame(protocol.SyncStep1)
		w.step1(svOf(oldClient, 3))
		w.frame(protocol.SyncStep2)
		w.update(typed(oldClient, 3, "er"))
		w.frame(protocol.SyncUpdate)
	})
	t.Run("an application is told", func(t *testing.T) {
		k := replaced(t)
		require.ErrorIs(t, k.room("r").Apply(t.Context(), typed(oldClient, 0, "old")), yserver.ErrStaleCopy)
		require.Equal(t, onlyNew, k.content("r"))
	})
	t.Run("after another start", func(t *testing.T) {
		store := persisttest.NewMemory()
		replaced(t, withStore(store)).Stop()
		k := start(t, withStore(store))
		w := k.dial("/yjs/r")
		w.frame(protocol.SyncStep1)
		w.step1(svOf(oldClient, 3))
		w.expectClose(4409)
	})
}

// Rule 9: clients that send ?epoch= are told and compared directly.
func TestRule9EpochParameter(t *testing.T) {
	k := replaced(t)
	t.Run("told", func(t *testing.T) {
		k := k.in(t)
		for _, value := range []string{"", "1"} {
			w := k.dial("/parties/main/r?_pk=p&epoch=" + value)
			require.Equal(t, `__YPS:{"type":"epoch","epoch":1}`, w.nextText())
			w.frame(protocol.SyncStep1)
			w.noText()
		}
	})
	t.Run("compared", func(t *testing.T) {
		k := k.in(t)
		for _, value := range []string{"0", "2", "18446744073709551615"} {
			w := k.dial("/parties/main/r?epoch=" + value)
			require.Equal(t, `__YPS:{"type":"epoch","epoch":1}`, w.nextText())
			require.Equal(t, `__YPS:{"type":"stale","epoch":1}`, w.nextText())
			w.step1([]byte{0})
			w.silence()
			k.dial("/yjs/r?epoch=" + value).expectClose(4409)
		}
	})
	t.Run("y-websocket clients get no text", func(t *testing.T) {
		w, _ := k.in(t).join("/yjs/r?epoch=1")
		w.noText()
	})
	t.Run("nonsense", func(t *testing.T) {
		k := k.in(t)
		for _, value := range []string{"x", "-1", "1.5", "18446744073709551616"} {
			require.Equal(t, http.StatusBadRequest, k.refused("/parties/main/r?epoch="+value))
			k.dial("/yjs/r?epoch=" + value).expectClose(4400)
		}
	})
	t.Run("nobody is told who did not ask", func(t *testing.T) {
		w, _ := k.in(t).join("/parties/main/r?_pk=p")
		w.noText()
	})
}

func TestRequireEpoch(t *testing.T) {
	k := replaced(t, withDocument(yserver.Document{RequireEpoch: true}))
	require.Equal(t, http.StatusPreconditionRequired, k.refused("/parties/main/r"))
	k.dial("/yjs/r").expectClose(4400)
	k.join("/yjs/r?epoch=")
	k.join("/yjs/r?epoch=1")
	k.dial("/yjs/r?epoch=0").expectClose(4409)
}

// begunStore has documents whose epoch has begun, with nothing in it.
type begunStore struct {
	*persisttest.Memory
	appended chan persist.Append
}

func (s begunStore) Load(context.Context, persist.Key) (persist.Document, error) {
	return persist.Document{Exists: true, Seq: 5, First: 5, Epoch: 2, Dead: []uint64{oldClient}}, nil
}

func (s begunStore) Append(_ context.Context, appends []persist.Append) ([]persist.Result, error) {
	s.appended <- appends[0]
	return []persist.Result{{Seq: appends[0].After + 1}}, nil
}

// Rule 7: a document is new while nothing was appended in its epoch.
func TestRule7SeedOfAnEpoch(t *testing.T) {
	seed := withDocument(yserver.Document{
		OnLoad: func(context.Context, *yserver.Room) ([]byte, error) { return typed(1, 0, "seed"), nil },
	})
	t.Run("new", func(t *testing.T) {
		store := begunStore{persisttest.NewMemory(), make(chan persist.Append, 1)}
		k := start(t, withStore(store), seed)
		require.Equal(t, []update.ID{{Client: 1, Clock: 4}}, k.content("r"))
		a := receive(t, store.appended)
		require.EqualValues(t, 5, a.After)
		require.EqualValues(t, 2, a.Epoch)
	})
	t.Run("imported", func(t *testing.T) {
		k := start(t, seed)
		require.NoError(t, k.room("r").Import(t.Context(), typed(newClient, 0, "new")))
		require.Equal(t, onlyNew, k.content("r"))
	})
	t.Run("undeleted", func(t *testing.T) {
		k := start(t, seed)
		require.NoError(t, k.room("r").Import(t.Context(), typed(newClient, 0, "new")))
		require.NoError(t, k.room("r").Delete(t.Context()))
		require.NoError(t, k.room("r").Undelete(t.Context()))
		require.Equal(t, onlyNew, k.content("r"))
	})
	t.Run("purged", func(t *testing.T) {
		k := start(t, seed)
		require.NoError(t, k.room("r").Import(t.Context(), typed(newClient, 0, "new")))
		require.NoError(t, k.room("r").Purge(t.Context()))
		require.Equal(t, []update.ID{{Client: 1, Clock: 4}}, k.content("r"))
	})
}
