package yserver_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/persisttest"
	"github.com/yserverd/yserverd/protocol"
	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/protocol/ydoc"
	"github.com/yserverd/yserverd/yserver"
)

// versions returns all versions of a room, the newest first.
func (k *kit) versions(room string) []persist.Version {
	k.t.Helper()
	all, next, err := k.room(room).Versions(context.Background(), "", persist.MaxListLimit)
	require.NoError(k.t, err)
	require.Empty(k.t, next)
	return all
}

// Rule 10: named versions are whole states of what is committed.
func TestRule10NamedVersions(t *testing.T) {
	k := start(t)
	r, ctx := k.room("r"), t.Context()
	_, err := r.PutVersion(ctx, "nothing yet", "")
	require.ErrorIs(t, err, persist.ErrNotFound)
	_, err = r.PutVersion(ctx, string(make([]byte, 1<<20)), "")
	require.ErrorIs(t, err, persist.ErrInvalid)
	w, _ := k.join("/yjs/r")
	w.update(typed(1, 0, "hello"))
	w.frame(protocol.SyncUpdate)
	first, err := r.PutVersion(ctx, "first", "me")
	require.NoError(t, err)
	w.update(typed(1, 5, " you"))
	w.frame(protocol.SyncUpdate)
	second, err := r.PutVersion(ctx, "second", "you")
	require.NoError(t, err)
	require.NotEqual(t, first.ID, second.ID)
	require.ElementsMatch(t, []persist.Version{first, second}, k.versions("r"))

	v, state, err := r.Version(ctx, first.ID)
	require.NoError(t, err)
	require.Equal(t, first, v)
	require.False(t, v.Automatic)
	require.EqualValues(t, 1, v.Seq)
	require.EqualValues(t, len(state), v.Bytes)
	doc := ydoc.New(ydoc.Config{})
	_, err = doc.Apply(state)
	require.NoError(t, err)
	require.Equal(t, []update.ID{{Client: 1, Clock: 5}}, clocks(t, doc))

	require.NoError(t, r.DeleteVersion(ctx, first.ID))
	require.ErrorIs(t, r.DeleteVersion(ctx, first.ID), persist.ErrNotFound)
	require.NoError(t, r.Import(ctx, typed(newClient, 0, "new")))
	require.Equal(t, []persist.Version{second}, k.versions("r"), "they outlive epochs")
	require.NoError(t, r.Delete(ctx))
	_, _, err = r.Version(ctx, second.ID)
	require.ErrorIs(t, err, persist.ErrDeleted)
}

// A version waits for the commit of what it has.
func TestRule10VersionIsCommitted(t *testing.T) {
	store := newGatedStore()
	k := start(t, withStore(archived{store, persisttest.NewMemory()}))
	w, _ := k.join("/yjs/r")
	release := store.hold()
	defer release()
	w.update(typed(1, 0, "x"))
	eventually(t, "it is in the document", func() bool { return len(k.content("r")) == 1 })
	put := make(chan error, 1)
	go func() {
		_, err := k.room("r").PutVersion(context.Background(), "v", "")
		put <- err
	}()
	time.Sleep(quiet)
	require.Empty(t, put)
	release()
	require.ErrorIs(t, receive(t, put), persist.ErrNotFound, "it got as far as the archive")
}

// archived is a store with the archive of another one.
type archived struct {
	yserver.Store
	yserver.Archive
}

// Rule 10: of a document that changes, a version is kept in each interval, old
// ones go, named ones stay.
func TestRule10AutomaticVersions(t *testing.T) {
	k := start(t, withDocument(yserver.Document{VersionInterval: 20 * time.Millisecond, VersionsMax: 3}))
	r, ctx := k.room("r"), t.Context()
	w, _ := k.join("/yjs/r")
	w.update(typed(1, 0, "x"))
	w.frame(protocol.SyncUpdate)
	named, err := r.PutVersion(ctx, "named", "")
	require.NoError(t, err)
	clock := uint64(1)
	for made := k.Srv.Stats().Versions; made < 7; made = k.Srv.Stats().Versions {
		w.update(typed(1, clock, "x"))
		w.frame(protocol.SyncUpdate)
		clock++
	}
	eventually(t, "the last one is made", func() bool {
		all := k.versions("r")
		return len(all) == 4 && all[0].Automatic && all[0].Seq > named.Seq
	})
	all := k.versions("r")
	require.Equal(t, named, all[3], "the oldest, and it stays")
	for _, v := range all[:3] {
		require.True(t, v.Automatic)
		require.Empty(t, v.Name)
	}
	require.Greater(t, all[0].Seq, all[1].Seq)
	require.Zero(t, k.Srv.Stats().VersionErrors)
}

// A document that does not change gets no versions; one that did gets one when
// everybody has left, but not more than one in an interval.
func TestRule10VersionOnTheLastLeave(t *testing.T) {
	for _, tc := range []struct {
		name string
		opt  func(*yserver.Config, *yserver.Party)
	}{
		{"unloaded", func(_ *yserver.Config, p *yserver.Party) { p.UnloadAfter = 10 * time.Millisecond }},
		{"hibernating", func(_ *yserver.Config, p *yserver.Party) { p.HibernateAfter = 10 * time.Millisecond }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			k := start(t, tc.opt)
			for round := range 3 {
				w, _ := k.join("/yjs/r")
				w.update(typed(uint64(round+1), 0, "x"))
				w.frame(protocol.SyncUpdate)
				if tc.name == "unloaded" {
					require.NoError(t, w.conn.Close())
					eventually(t, "it is unloaded", func() bool { return !k.live() })
				} else {
					k.asleep("r")
				}
				eventually(t, "there is one", func() bool { return len(k.versions("r")) == 1 })
			}
			require.EqualValues(t, 1, k.versions("r")[0].Seq)
		})
	}
	t.Run("unchanged", func(t *testing.T) {
		k := start(t, func(_ *yserver.Config, p *yserver.Party) { p.UnloadAfter = 10 * time.Millisecond })
		w, _ := k.join("/yjs/r")
		require.NoError(t, w.conn.Close())
		eventually(t, "it is unloaded", func() bool { return !k.live() })
		require.Empty(t, k.versions("r"))
	})
	t.Run("switched off", func(t *testing.T) {
		k := start(t, withDocument(yserver.Document{VersionInterval: -1}), func(_ *yserver.Config, p *yserver.Party) { p.UnloadAfter = 10 * time.Millisecond })
		require.NoError(t, k.room("r").Apply(t.Context(), typed(1, 0, "x")))
		eventually(t, "it is unloaded", func() bool { return !k.live() })
		require.Empty(t, k.versions("r"))
	})
	t.Run("deleted", func(t *testing.T) {
		k := start(t)
		require.NoError(t, k.room("r").Apply(t.Context(), typed(1, 0, "x")))
		require.NoError(t, k.room("r").Delete(t.Context()))
		k.Stop()
		require.Zero(t, k.Srv.Stats().Versions)
	})
}

// What is made for a save, or for a snapshot, is the version too.
func TestRule10VersionOfASave(t *testing.T) {
	saved := make(chan yserver.Save, 100)
	k := start(t, withDocument(yserver.Document{
		VersionInterval: 400 * time.Millisecond,
		CallbackOptions: yserver.CallbackOptions{DebounceWait: 350 * time.Millisecond, DebounceMaxWait: 350 * time.Millisecond},
		OnSave: func(ctx context.Context, r *yserver.Room, s yserver.Save) error {
			saved <- s
			return r.Apply(ctx, typed(2, 0, "later")) // a version of its own would have it
		},
	}))
	require.NoError(t, k.room("r").Apply(t.Context(), typed(1, 0, "x")))
	s := receive(t, saved)
	eventually(t, "a version", func() bool { return len(k.versions("r")) == 1 })
	_, state, err := k.room("r").Version(t.Context(), k.versions("r")[0].ID)
	require.NoError(t, err)
	require.Equal(t, s.State, state)
}

// A store that fails costs the version, for an interval, and nothing else.
func TestRule10AutomaticVersionsStoreFails(t *testing.T) {
	for _, op := range []persisttest.Op{persisttest.OpVersions, persisttest.OpPutVersion, persisttest.OpDeleteVersion} {
		t.Run(string(op), func(t *testing.T) {
			faulty := persisttest.NewFaulty(persisttest.NewMemory(), persisttest.OnCall(op, 1, persisttest.Fault{Err: persisttest.ErrInjected}))
			k := start(t, withStore(faulty), withDocument(yserver.Document{VersionInterval: 20 * time.Millisecond, VersionsMax: 1}))
			w, _ := k.join("/yjs/r")
			clock := uint64(0)
			for k.Srv.Stats().VersionErrors == 0 || k.Srv.Stats().Versions < 2 {
				w.update(typed(1, clock, "x"))
				w.frame(protocol.SyncUpdate)
				clock++
			}
			eventually(t, "one is left", func() bool { return len(k.versions("r")) == 1 })
		})
	}
}
