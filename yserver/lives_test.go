package yserver_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/persisttest"
	"github.com/yserverd/yserverd/protocol"
	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/yserver"
)

// scribe writes one letter after the other as a client of its own until the
// connection ends, and counts what the server said is stored.
type scribe struct {
	w      *wire
	client uint64
	done   chan struct{}
	stored uint64 // valid once done is closed
}

func (k *kit) scribe(path string, client uint64) *scribe {
	k.t.Helper()
	ty := &scribe{w: k.dial(path), client: client, done: make(chan struct{})}
	ty.w.frame(protocol.SyncStep1)
	ty.w.step1([]byte{0})
	go ty.run()
	return ty
}

func (ty *scribe) run() {
	defer close(ty.done)
	sent := uint64(0)
	for f := range ty.w.in {
		msg, err := protocol.Parse(f)
		if err != nil {
			return
		}
		if msg.Type == protocol.MessageSync && msg.Sync == protocol.SyncStep1 {
			continue
		}
		if msg.Type == protocol.MessageSyncStatus {
			ty.stored = sent
		}
		if msg.Type == protocol.MessageSync && sent > ty.stored {
			continue // it waits for its own
		}
		sent++
		_ = ty.w.conn.WriteMessage(2, protocol.AppendUpdate(nil, typed(ty.client, sent-1, "x")))
		_ = ty.w.conn.WriteMessage(2, protocol.AppendSyncStatus(nil, []byte{1}))
	}
}

// typing waits until so many clients have something in the room.
func (k *kit) typing(room string, clients int) {
	k.t.Helper()
	eventually(k.t, "everybody types", func() bool { return len(k.content(room)) >= clients })
}

// Delete while clients type: nobody hangs, and what was acknowledged is in the
// document when it is undeleted.
func TestRaceDeleteWhileEditing(t *testing.T) {
	k := start(t)
	r, ctx := k.room("r"), t.Context()
	for round := range 5 {
		var scribes []*scribe
		for i := range 3 {
			scribes = append(scribes, k.scribe("/yjs/r", uint64(100*round+i+1)))
		}
		k.typing("r", 3*(round+1))
		require.NoError(t, r.Delete(ctx))
		for _, ty := range scribes {
			<-ty.done
		}
		require.NoError(t, r.Undelete(ctx))
		kept := map[uint64]uint64{}
		for _, id := range k.content("r") {
			kept[id.Client] = id.Clock
		}
		for _, ty := range scribes {
			require.GreaterOrEqual(t, kept[ty.client], ty.stored, "what was acknowledged is there")
		}
	}
	require.EqualValues(t, 5, k.listed()[0].Epoch)
}

// Import while clients type: all of them come back to the new epoch, and nothing
// of the old one gets in.
func TestRaceImportWhileTyping(t *testing.T) {
	k := start(t)
	r, ctx := k.room("r"), t.Context()
	for round := range 5 {
		var scribes []*scribe
		for i := range 3 {
			scribes = append(scribes, k.scribe("/yjs/r", uint64(1000*(round+1)+i)))
		}
		k.typing("r", 3+min(round, 1)) // and who wrote what was imported
		require.NoError(t, r.Import(ctx, typed(uint64(round+1), 0, "new")))
		for _, ty := range scribes {
			<-ty.done
			back := k.dial("/yjs/r")
			back.frame(protocol.SyncStep1)
			back.step1(svOf(ty.client, 1))
			back.expectClose(4409)
		}
		require.Equal(t, []update.ID{{Client: uint64(round + 1), Clock: 3}}, k.content("r"))
	}
}

// Joins while the document is being deleted: each is let in before and closed, or
// refused; nobody stays in a room that is no more.
func TestRaceJoinDuringDelete(t *testing.T) {
	k := start(t)
	r, ctx := k.room("r"), t.Context()
	for range 10 {
		require.NoError(t, r.Apply(ctx, typed(1, 0, "x")))
		var joins sync.WaitGroup
		for range 6 {
			joins.Go(func() {
				w, _, err := k.tryDial("/yjs/r")
				if err != nil {
					return
				}
				for range w.in { // until it is closed
				}
			})
		}
		require.NoError(t, r.Delete(ctx))
		joins.Wait()
		require.NoError(t, r.Undelete(ctx))
	}
}

// A load that has begun before a deletion is waited for.
func TestRaceLoadDuringDelete(t *testing.T) {
	store := persisttest.NewMemory()
	_, err := store.Append(t.Context(), []persist.Append{{Key: keyOf("r"), Updates: [][]byte{typed(1, 0, "x")}}})
	require.NoError(t, err)
	loading, goOn := make(chan struct{}), make(chan struct{})
	k := start(t, withStore(store), withDocument(yserver.Document{
		OnLoad: func(context.Context, *yserver.Room) ([]byte, error) {
			close(loading)
			<-goOn // it has been read
			return nil, nil
		},
	}))
	joined := make(chan *wire, 1)
	go func() {
		w, _, err := k.tryDial("/yjs/r")
		if err == nil {
			joined <- w
		}
		close(joined)
	}()
	<-loading
	deleted := make(chan error, 1)
	go func() { deleted <- k.room("r").Delete(context.Background()) }()
	time.Sleep(quiet)
	require.Empty(t, deleted, "it waits")
	close(goOn)
	require.NoError(t, receive(t, deleted))
	w := <-joined
	require.NotNil(t, w)
	for range w.in { // let in and closed, or not let in: it does not stay
	}
	k.dial("/yjs/r").expectClose(4410)
	require.False(t, k.live())
}

// While a document is being deleted nobody loads it: who comes waits, and is
// answered by what it is then.
func TestNobodyLoadsWhatIsBeingDeleted(t *testing.T) {
	hang := make(chan struct{})
	faulty := persisttest.NewFaulty(persisttest.NewMemory(), persisttest.OnCall(persisttest.OpDelete, 1, persisttest.Fault{Until: hang}))
	_, err := faulty.Append(t.Context(), []persist.Append{{Key: keyOf("r"), Updates: [][]byte{typed(1, 0, "x")}}})
	require.NoError(t, err)
	k := start(t, withStore(faulty))
	deleted, came := make(chan error, 1), make(chan error, 1)
	go func() { deleted <- k.room("r").Delete(context.Background()) }()
	eventually(t, "the deletion is under way", func() bool { return faulty.Calls(persisttest.OpDelete) == 1 })
	go func() {
		_, err := k.room("r").State(context.Background())
		came <- err
	}()
	time.Sleep(quiet)
	require.Empty(t, came)
	close(hang)
	require.NoError(t, receive(t, deleted))
	require.ErrorIs(t, receive(t, came), persist.ErrDeleted)
}

// Purge while clients type: the room is gone at once, its log does not come back
// by itself.
func TestRacePurgeWhileLive(t *testing.T) {
	k := start(t)
	r, ctx := k.room("r"), t.Context()
	for round := range 5 {
		ty := k.scribe("/yjs/r", uint64(round+1))
		k.typing("r", 1)
		require.NoError(t, r.Purge(ctx))
		<-ty.done
		require.Empty(t, k.listed())
		require.Empty(t, k.content("r"))
	}
}

// Changes of one document at once come one after the other.
func TestRaceChangesOfOneDocument(t *testing.T) {
	k := start(t)
	r, ctx := k.room("r"), t.Context()
	require.NoError(t, r.Apply(ctx, typed(1, 0, "x")))
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if err := r.Import(ctx, typed(uint64(i+10), 0, "new")); err != nil {
				t.Errorf("import: %v", err)
			}
		})
		all.Go(func() {
			_, err := r.State(ctx)
			if err != nil && !errors.Is(err, persist.ErrEpoch) && err.Error() != "room has ended" {
				t.Errorf("state: %v", err)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 8, k.listed()[0].Epoch)
	require.Len(t, k.content("r"), 1)
	d, err := k.Store.Load(ctx, keyOf("r"))
	require.NoError(t, err)
	require.Len(t, d.Dead, 8)
	require.Zero(t, yserver.HeldLocks(k.Srv))
}

// Edits wait while the document stands still, and go on when nothing came of it.
func TestEditsWaitWhileItStandsStill(t *testing.T) {
	hang := make(chan struct{})
	faulty := persisttest.NewFaulty(persisttest.NewMemory(), nil)
	k := start(t, withStore(faulty))
	r, ctx := k.room("r"), t.Context()
	w, _ := k.join("/yjs/r")
	w.update(typed(1, 0, "a"))
	w.frame(protocol.SyncUpdate)
	faulty.SetPlan(persisttest.OnCall(persisttest.OpReplace, 1, persisttest.Fault{Err: persisttest.ErrInjected, Until: hang}))
	imported := make(chan error, 1)
	go func() { imported <- r.Import(ctx, typed(newClient, 0, "new")) }()
	eventually(t, "the import is under way", func() bool { return faulty.Calls(persisttest.OpReplace) == 1 })
	w.update(typed(1, 1, "b"))
	applied := make(chan error, 1)
	go func() { applied <- r.Apply(ctx, typed(2, 0, "c")) }()
	w.silence()
	require.Empty(t, applied)
	close(hang)
	require.ErrorIs(t, receive(t, imported), persisttest.ErrInjected)
	require.NoError(t, receive(t, applied))
	eventually(t, "both are in", func() bool { return len(k.content("r")) == 2 })
	w.frame(protocol.SyncUpdate)
}

// Two servers on one store: one deletes, imports or purges while the other has
// the document open. The other notices with its next edit.
func TestTwoServersOneDocument(t *testing.T) {
	two := func(t *testing.T) (a, b *kit, w *wire) {
		store := persisttest.NewMemory()
		a, b = start(t, withStore(store)), start(t, withStore(store))
		require.NoError(t, a.room("r").Apply(t.Context(), typed(oldClient, 0, "old")))
		w, _ = b.join("/parties/main/r?_pk=w")
		return a, b, w
	}
	t.Run("deleted", func(t *testing.T) {
		a, b, w := two(t)
		require.NoError(t, a.room("r").Delete(t.Context()))
		w.update(typed(stranger, 0, "x"))
		w.expectClose(4410)
		require.Equal(t, 410, b.refused("/parties/main/r"))
	})
	t.Run("deleted and undeleted", func(t *testing.T) {
		a, b, w := two(t)
		require.NoError(t, a.room("r").Delete(t.Context()))
		require.NoError(t, a.room("r").Undelete(t.Context()))
		w.update(typed(stranger, 0, "x"))
		w.expectClose(1012)
		back, _ := b.join("/yjs/r")
		back.update(typed(stranger, 0, "x"))
		back.frame(protocol.SyncUpdate)
		require.Len(t, a.content("r"), 2)
	})
	t.Run("imported over", func(t *testing.T) {
		a, b, w := two(t)
		require.NoError(t, a.room("r").Import(t.Context(), typed(newClient, 0, "new")))
		w.update(typed(stranger, 0, "x"))
		w.expectClose(1012)
		back := b.dial("/yjs/r")
		back.frame(protocol.SyncStep1)
		back.step1(svOf(oldClient, 3))
		back.expectClose(4409)
		require.Equal(t, onlyNew, b.content("r"))
		require.Equal(t, onlyNew, a.content("r"))
	})
	t.Run("imported over what the other wrote", func(t *testing.T) {
		a, b, w := two(t)
		w.update(typed(stranger, 0, "x"))
		w.frame(protocol.SyncUpdate)
		require.NoError(t, a.room("r").Import(t.Context(), typed(newClient, 0, "new")))
		back := a.dial("/yjs/r")
		back.frame(protocol.SyncStep1)
		back.step1(svOf(stranger, 1))
		back.expectClose(4409)
		w.update(typed(stranger, 1, "y"))
		w.expectClose(1012)
		require.Equal(t, onlyNew, b.content("r"))
	})
	t.Run("purged", func(t *testing.T) {
		a, _, w := two(t)
		require.NoError(t, a.room("r").Purge(t.Context()))
		w.update(typed(stranger, 0, "x"))
		w.expectClose(1012)
		require.Empty(t, a.listed())
	})
	t.Run("deleted while the other's room sleeps", func(t *testing.T) { testSleepsThrough(t, true) })
	t.Run("imported over while the other's room sleeps", func(t *testing.T) { testSleepsThrough(t, false) })
}

func testSleepsThrough(t *testing.T, remove bool) {
	store := persisttest.NewMemory()
	a, b := start(t, withStore(store)), start(t, withStore(store), withHibernateAfter(30*time.Millisecond))
	require.NoError(t, a.room("r").Apply(t.Context(), typed(oldClient, 0, "old")))
	w, _ := b.join("/yjs/r")
	b.asleep("r")
	code := 1012
	if remove {
		require.NoError(t, a.room("r").Delete(t.Context()))
		code = 4410
	} else {
		require.NoError(t, a.room("r").Import(t.Context(), typed(newClient, 0, "new")))
	}
	w.update(typed(stranger, 0, "x"))
	w.expectClose(code)
	if !remove {
		require.Equal(t, onlyNew, b.content("r"), "nothing of it was applied")
	}
}

// Rule 12 with an epoch that ends between a conflict and the look at what is
// there: nothing of the new epoch gets into the old room.
func TestRule12EpochEndsDuringAConflict(t *testing.T) {
	store := persisttest.NewMemory()
	faulty := persisttest.NewFaulty(store, nil)
	a, b := start(t, withStore(store)), start(t, withStore(faulty))
	require.NoError(t, a.room("r").Apply(t.Context(), typed(oldClient, 0, "old")))
	w, _ := b.join("/parties/main/r?_pk=w")
	require.NoError(t, a.room("r").Apply(t.Context(), typed(stranger, 0, "x"))) // b will meet a conflict
	hang := make(chan struct{})
	faulty.SetPlan(persisttest.OnCall(persisttest.OpLoadAfter, 1, persisttest.Fault{Until: hang}))
	w.update(typed(2, 0, "y"))
	eventually(t, "it has met the conflict", func() bool { return faulty.Calls(persisttest.OpLoadAfter) == 1 })
	require.NoError(t, a.room("r").Import(t.Context(), typed(newClient, 0, "new")))
	close(hang)
	for f := range w.in {
		t.Errorf("the old room was told %x", f)
	}
	require.ErrorContains(t, <-w.end, "1012")
	require.Equal(t, onlyNew, b.content("r"))
}

// Shutdown while an epoch is being ended leaves nobody behind.
func TestShutdownDuringImport(t *testing.T) {
	hang := make(chan struct{})
	faulty := persisttest.NewFaulty(persisttest.NewMemory(), nil)
	k := start(t, withStore(faulty))
	w, _ := k.join("/yjs/r")
	w.update(typed(1, 0, "a"))
	w.frame(protocol.SyncUpdate)
	faulty.SetPlan(persisttest.OnCall(persisttest.OpReplace, 1, persisttest.Fault{Until: hang}))
	imported := make(chan error, 1)
	go func() { imported <- k.room("r").Import(context.Background(), typed(newClient, 0, "new")) }()
	eventually(t, "the import is under way", func() bool { return faulty.Calls(persisttest.OpReplace) == 1 })
	k.Stop()
	w.expectClose(1012)
	close(hang)
	require.NoError(t, receive(t, imported))
}
