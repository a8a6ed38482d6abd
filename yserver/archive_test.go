package yserver_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/persisttest"
	"github.com/yserverd/yserverd/protocol"
	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/yserver"
)

func keyOf(room string) persist.Key { return persist.Key{Party: "main", Room: room} }

// listed returns what the server lists of the party.
func (k *kit) listed() []persist.Info {
	k.t.Helper()
	infos, next, err := k.Srv.List(context.Background(), "main", "", "", 0)
	require.NoError(k.t, err)
	require.Empty(k.t, next)
	return infos
}

// live reports whether a room is in memory.
func (k *kit) live() bool { return k.Srv.Stats().Rooms > 0 }

// Rule 11: delete stores what the room has, leaves a tombstone, and tells
// everybody; undelete takes it back.
func TestRule11Delete(t *testing.T) {
	k := start(t)
	ctx := t.Context()
	require.ErrorIs(t, k.room("never").Delete(ctx), persist.ErrNotFound)
	y, _ := k.join("/yjs/r")
	p, _ := k.join("/parties/main/r?_pk=p")
	y.update(typed(1, 0, "hello"))
	p.frame(protocol.SyncUpdate)

	require.NoError(t, k.room("r").Delete(ctx))
	y.expectClose(4410)
	p.expectClose(4410)
	require.Equal(t, http.StatusGone, k.refused("/parties/main/r"))
	k.dial("/yjs/r").expectClose(4410)
	_, err := k.room("r").State(ctx)
	require.ErrorIs(t, err, persist.ErrDeleted)
	require.ErrorIs(t, k.room("r").Import(ctx, typed(2, 0, "x")), persist.ErrDeleted)
	require.NoError(t, k.room("r").Delete(ctx), "again")
	require.False(t, k.listed()[0].Deleted.IsZero())

	require.NoError(t, k.room("r").Undelete(ctx))
	require.ErrorIs(t, k.room("r").Undelete(ctx), persist.ErrNotFound)
	w := k.dial("/yjs/r?epoch=1")
	w.frame(protocol.SyncStep1)
	w.step1(svOf(1, 5)) // the document holds the dead ids itself
	w.frame(protocol.SyncStep2)
	require.Equal(t, []update.ID{{Client: 1, Clock: 5}}, k.content("r"))
}

// A document that is not in memory is deleted, imported over and purged without
// being opened.
func TestArchiveOfRoomsThatAreNotLive(t *testing.T) {
	store := persisttest.NewMemory()
	first := start(t, withStore(store))
	require.NoError(t, first.room("r").Apply(t.Context(), typed(oldClient, 0, "old")))
	first.Stop()
	loads := make(chan struct{}, 9)
	k := start(t, withStore(store), withDocument(yserver.Document{
		OnLoad: func(context.Context, *yserver.Room) ([]byte, error) { loads <- struct{}{}; return nil, nil },
	}))
	r, ctx := k.room("r"), t.Context()
	require.NoError(t, r.Import(ctx, typed(newClient, 0, "new")))
	d, err := store.Load(ctx, keyOf("r"))
	require.NoError(t, err)
	require.Equal(t, []uint64{oldClient}, d.Dead)
	require.NoError(t, r.Delete(ctx))
	require.NoError(t, r.Undelete(ctx))
	d, err = store.Load(ctx, keyOf("r"))
	require.NoError(t, err)
	require.Equal(t, []uint64{oldClient, newClient}, d.Dead)
	require.NoError(t, r.Purge(ctx))
	require.ErrorIs(t, r.Purge(ctx), persist.ErrNotFound)
	require.Empty(t, loads)
	require.False(t, k.live())
}

// Rule 11: hard delete removes log, snapshots and versions, and what the room
// keeps, and listing proves it.
func TestRule11Purge(t *testing.T) {
	k := start(t)
	r, ctx := k.room("r"), t.Context()
	y, _ := k.join("/yjs/r")
	p, _ := k.join("/parties/main/r?_pk=p")
	y.update(typed(1, 0, "hello"))
	p.frame(protocol.SyncUpdate)
	v, err := r.PutVersion(ctx, "one", "me")
	require.NoError(t, err)
	fill(t, r.Storage(), "a")
	require.Len(t, k.listed(), 1)

	require.NoError(t, r.Purge(ctx))
	y.expectClose(4410)
	p.expectClose(4410)
	require.Empty(t, k.listed())
	_, _, err = r.Version(ctx, v.ID)
	require.ErrorIs(t, err, persist.ErrNotFound)
	value, err := r.Storage().Get(ctx, "a")
	require.NoError(t, err)
	require.Nil(t, value)
	require.Empty(t, k.content("r"), "it begins again")

	require.NoError(t, r.Apply(ctx, typed(1, 0, "again")))
	require.NoError(t, r.Delete(ctx))
	require.NoError(t, r.Purge(ctx), "a tombstone too")
	require.Empty(t, k.listed())
}

// What cannot be read can be purged, and nothing else.
func TestRule11PurgeOfWhatCannotBeRead(t *testing.T) {
	store := persisttest.NewMemory()
	k := start(t, withStore(store))
	r, ctx := k.room("r"), t.Context()
	_, err := store.Append(ctx, []persist.Append{{Key: keyOf("r"), Updates: [][]byte{{9, 9}}}})
	require.NoError(t, err)
	require.Error(t, r.Delete(ctx))
	require.ErrorIs(t, r.Import(ctx, typed(1, 0, "x")), persist.ErrCorrupt, "the server put it into quarantine")
	require.ErrorIs(t, r.Delete(ctx), persist.ErrCorrupt)
	require.NoError(t, r.Purge(ctx))
	require.Empty(t, k.content("r"))
}

// Rule 9: importing over a live room evicts with 1012; who comes back is judged.
func TestRule9Import(t *testing.T) {
	k := start(t)
	r, ctx := k.room("r"), t.Context()
	require.NoError(t, r.Import(ctx, typed(oldClient, 0, "old")), "creates it")
	y, _ := k.join("/yjs/r")
	p, doc := k.join("/parties/main/r?_pk=p")
	holds(t, doc, oldClient, 3)
	y.update(typed(stranger, 0, "mine"))
	p.frame(protocol.SyncUpdate)

	require.NoError(t, r.Import(ctx, typed(newClient, 0, "new")))
	y.expectClose(1012)
	p.expectClose(1012)
	for _, client := range []uint64{oldClient, stranger} {
		w := k.dial("/yjs/r")
		w.frame(protocol.SyncStep1)
		w.step1(svOf(client, 1))
		w.expectClose(4409)
	}
	_, doc = k.join("/yjs/r")
	require.Equal(t, onlyNew, clocks(t, doc))
	require.EqualValues(t, 2, k.listed()[0].Epoch)
}

func TestImportOfWhatCannotBeTaken(t *testing.T) {
	k := start(t, func(_ *yserver.Config, p *yserver.Party) { p.Limits.Document = 1 << 10 })
	r, ctx := k.room("r"), t.Context()
	require.NoError(t, r.Apply(ctx, typed(1, 0, "stays")))
	w, _ := k.join("/yjs/r")
	require.Error(t, r.Import(ctx, []byte{9, 9}))
	require.ErrorIs(t, r.Import(ctx, typed(2, 0, string(make([]byte, 2<<10)))), yserver.ErrReadOnlyLimit)
	w.update(typed(3, 0, "on"))
	w.frame(protocol.SyncUpdate)
	require.EqualValues(t, 0, k.listed()[0].Epoch)
}

// bareStore is a store without an archive.
type bareStore struct{ yserver.Store }

func TestArchiveIsOptional(t *testing.T) {
	k := start(t, withStore(bareStore{persisttest.NewMemory()}))
	r, ctx := k.room("r"), t.Context()
	require.NoError(t, r.Apply(ctx, typed(1, 0, "x")))
	_, _, listErr := k.Srv.List(ctx, "main", "", "", 0)
	_, putErr := r.PutVersion(ctx, "", "")
	_, _, versionsErr := r.Versions(ctx, "", 0)
	_, _, versionErr := r.Version(ctx, "x")
	for _, err := range []error{
		listErr, putErr, versionsErr, versionErr, r.DeleteVersion(ctx, "x"),
		r.Delete(ctx), r.Undelete(ctx), r.Purge(ctx), r.Import(ctx, typed(1, 0, "x")),
	} {
		require.ErrorIs(t, err, yserver.ErrNoArchive)
	}
	require.ErrorIs(t, r.Restore(ctx, "x"), yserver.ErrNoMaterialiser)

	m := start(t, func(_ *yserver.Config, p *yserver.Party) {
		p.Document, p.Message, p.YWebSocket, p.Access = nil, &yserver.Message{}, "", gate.Public
	})
	r = m.room("r")
	for _, err := range []error{r.Delete(ctx), r.Undelete(ctx), r.Purge(ctx), r.Import(ctx, nil), r.Restore(ctx, "x"), r.ReplaceDocument(ctx, nil)} {
		require.ErrorIs(t, err, yserver.ErrNotDocument)
	}
}

func TestList(t *testing.T) {
	k := start(t)
	ctx := t.Context()
	for _, name := range []string{"a1", "a2", "a3", "b"} {
		require.NoError(t, k.room(name).Apply(ctx, typed(1, 0, "x")))
	}
	page, next, err := k.Srv.List(ctx, "main", "a", "", 2)
	require.NoError(t, err)
	require.Equal(t, []string{"a1", "a2"}, []string{page[0].Key.Room, page[1].Key.Room})
	page, next, err = k.Srv.List(ctx, "main", "a", next, 2)
	require.NoError(t, err)
	require.Empty(t, next)
	require.Len(t, page, 1)
}

// A store that fails: the room goes on as it was, unless what was to be done has
// been done, answer or not.
func TestArchiveStoreFails(t *testing.T) {
	lost := persisttest.Fault{Err: persisttest.ErrInjected, Done: true}
	fails := persisttest.Fault{Err: persisttest.ErrInjected}
	remove := func(r *yserver.Room, ctx context.Context) error { return r.Delete(ctx) }
	purge := func(r *yserver.Room, ctx context.Context) error { return r.Purge(ctx) }
	replace := func(r *yserver.Room, ctx context.Context) error { return r.Import(ctx, typed(newClient, 0, "new")) }
	for _, tc := range []struct {
		name  string
		do    func(*yserver.Room, context.Context) error
		op    persisttest.Op
		fault persisttest.Fault
		fails bool
		code  int // zero: the room goes on
	}{
		{"delete", remove, persisttest.OpDelete, fails, true, 0},
		{"delete, answer lost", remove, persisttest.OpDelete, lost, false, 4410},
		{"purge", purge, persisttest.OpPurge, fails, true, 0},
		{"purge, answer lost", purge, persisttest.OpPurge, lost, true, 4410},
		{"import", replace, persisttest.OpReplace, fails, true, 0},
		{"import, answer lost", replace, persisttest.OpReplace, lost, false, 1012},
		{"import that cannot look for others", replace, persisttest.OpLoadAfter, fails, false, 1012},
	} {
		t.Run(tc.name, func(t *testing.T) {
			faulty := persisttest.NewFaulty(persisttest.NewMemory(), nil)
			k := start(t, withStore(faulty))
			w, _ := k.join("/yjs/r")
			other, _ := k.join("/parties/main/r?_pk=p")
			w.update(typed(1, 0, "a"))
			other.frame(protocol.SyncUpdate)
			faulty.SetPlan(func(c persisttest.Call) persisttest.Fault {
				if c.Op == tc.op {
					return tc.fault
				}
				return persisttest.Fault{}
			})
			err := tc.do(k.room("r"), t.Context())
			require.Equal(t, tc.fails, errors.Is(err, persisttest.ErrInjected), "%v", err)
			if tc.code != 0 {
				w.expectClose(tc.code)
				return
			}
			w.update(typed(1, 1, "b"))
			other.frame(protocol.SyncUpdate)
			faulty.SetPlan(nil)
			require.NoError(t, tc.do(k.room("r"), t.Context()))
		})
	}
}

// A room that is not live when the store fails: an error, and nothing is lost.
func TestArchiveStoreFailsWithoutRoom(t *testing.T) {
	for _, op := range []persisttest.Op{persisttest.OpLoad, persisttest.OpDelete, persisttest.OpUndelete, persisttest.OpReplace, persisttest.OpPurge} {
		t.Run(string(op), func(t *testing.T) {
			store := persisttest.NewMemory()
			_, err := store.Append(t.Context(), []persist.Append{{Key: keyOf("r"), Updates: [][]byte{typed(1, 0, "x")}}})
			require.NoError(t, err)
			faulty := persisttest.NewFaulty(store, persisttest.OnCall(op, 1, persisttest.Fault{Err: persisttest.ErrInjected}))
			k := start(t, withStore(faulty))
			r, ctx := k.room("r"), t.Context()
			steps := map[persisttest.Op]func() error{
				persisttest.OpLoad:     func() error { return r.Delete(ctx) },
				persisttest.OpDelete:   func() error { return r.Delete(ctx) },
				persisttest.OpUndelete: func() error { return r.Undelete(ctx) },
				persisttest.OpReplace:  func() error { return r.Import(ctx, typed(2, 0, "y")) },
				persisttest.OpPurge:    func() error { return r.Purge(ctx) },
			}
			require.ErrorIs(t, steps[op](), persisttest.ErrInjected)
			if op != persisttest.OpUndelete {
				require.Equal(t, []update.ID{{Client: 1, Clock: 1}}, k.content("r"))
			}
		})
	}
}

// A store that does not answer holds a room for the time of one call, no longer.
func TestArchiveStoreHangs(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	faulty := persisttest.NewFaulty(persisttest.NewMemory(), nil)
	k := start(t, withStore(faulty), func(c *yserver.Config, _ *yserver.Party) { c.StoreTimeout = 100 * time.Millisecond })
	w, _ := k.join("/yjs/r")
	w.update(typed(1, 0, "a"))
	w.frame(protocol.SyncUpdate)
	faulty.SetPlan(func(c persisttest.Call) persisttest.Fault {
		if c.Op == persisttest.OpDelete {
			return persisttest.Fault{Until: hang}
		}
		return persisttest.Fault{}
	})
	require.ErrorIs(t, k.room("r").Delete(t.Context()), context.DeadlineExceeded)
	w.update(typed(1, 1, "b"))
	w.frame(protocol.SyncUpdate)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, k.room("r").Delete(ctx), context.Canceled)
	w.update(typed(1, 2, "c"))
	w.frame(protocol.SyncUpdate)
}
