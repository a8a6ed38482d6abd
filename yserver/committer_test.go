package yserver_test

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/persisttest"
	"github.com/yserverd/yserverd/yserver"
)

// pinged is a store that fails as it is told to, and tells that.
type pinged struct {
	*persisttest.Memory
	fails chan error // what is in it is what calls return
}

func newPinged() *pinged {
	return &pinged{Memory: persisttest.NewMemory(), fails: make(chan error, 1)}
}

func (p *pinged) Ping(context.Context) error {
	select {
	case err := <-p.fails:
		p.fails <- err
		return err
	default:
		return nil
	}
}

func (p *pinged) ChangeRooms(ctx context.Context, changes []persist.RoomChange) error {
	if err := p.Ping(ctx); err != nil {
		return err
	}
	return p.Memory.ChangeRooms(ctx, changes)
}

// A change of a room's data that failed is the caller's to repeat, who may not.
// The server is ready again when the store works, not only with the next change,
// which would never come to a server that is sent nobody.
func TestReadyAgainWithoutAnythingToStore(t *testing.T) {
	store := newPinged()
	k := start(t, func(c *yserver.Config, _ *yserver.Party) { c.Store = store })
	require.NoError(t, k.Srv.Ready())
	store.fails <- errors.New("away")
	require.Error(t, k.roomOf("r").Storage().Put(t.Context(), "a", nil))
	require.Error(t, k.Srv.Ready())
	time.Sleep(quiet)
	require.Error(t, k.Srv.Ready(), "nothing has changed")
	require.Error(t, <-store.fails)
	eventually(t, "ready", func() bool { return k.Srv.Ready() == nil })
}

// A store that takes an append and says nothing for long is one that fails.
func TestNotReadyWhileTheStoreSaysNothing(t *testing.T) {
	t.Parallel()
	store := newGatedStore()
	k := start(t, withStore(store))
	a, _ := k.join("/parties/main/r")
	release := store.hold()
	defer release()
	a.update(typed(1, 0, "x"))
	eventually(t, "an append", func() bool { return k.Srv.Stats().PendingBytes > 0 })
	require.NoError(t, k.Srv.Ready())
	eventually(t, "not ready", func() bool { return k.Srv.Ready() != nil })
	fresh := k.dial("/parties/main/r")
	fresh.step1([]byte{0})
	fresh.expect("00 00 03 01 01 01")
	release()
	eventually(t, "ready", func() bool { return k.Srv.Ready() == nil })
}

// weighed is a store that notes how many documents and bytes it is asked to
// append at a time.
type weighed struct {
	*gatedStore
	mu    sync.Mutex
	calls []call
}

type call struct{ documents, bytes int }

func (w *weighed) Append(ctx context.Context, items []persist.Append) ([]persist.Result, error) {
	c := call{documents: len(items)}
	for _, it := range items {
		for _, u := range it.Updates {
			c.bytes += len(u)
		}
	}
	w.mu.Lock()
	w.calls = append(w.calls, c)
	w.mu.Unlock()
	return w.gatedStore.Append(ctx, items)
}

// since returns the calls but the first n.
func (w *weighed) since(n int) []call {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]call(nil), w.calls[n:]...)
}

// What has gathered while the store was away may be too much for it to take in
// one call, which has its time: it is brought in parts, and in smaller ones while
// they fail.
func TestABacklogIsBroughtInParts(t *testing.T) {
	store := &weighed{gatedStore: newGatedStore()}
	k := start(t, withStore(store))
	const rooms, each, together = 10, 3 << 20, 16 << 20
	var peers []*wire
	for i := range rooms {
		p, _ := k.join("/parties/main/r" + strconv.Itoa(i))
		peers = append(peers, p)
	}
	saved := func() {
		for i, p := range peers {
			p.send([]byte{102})
			for !bytes.Equal(p.next(), []byte{102}) {
			}
			holds(t, k.stored("r"+strconv.Itoa(i)), 1, each)
		}
	}
	release := store.hold()
	defer release()
	text := string(bytes.Repeat([]byte("x"), each))
	for _, p := range peers {
		p.update(typed(1, 0, text))
	}
	eventually(t, "all of it", func() bool { return k.Srv.Stats().PendingBytes > rooms*each })
	store.setFail(errors.New("too much"))
	release()
	eventually(t, "smallest parts", func() bool {
		calls := store.since(0)
		return len(calls) > 30 && calls[len(calls)-1].documents == 1
	})
	failed := len(store.since(0))
	store.setFail(nil)
	saved()
	several := 0
	for i, c := range store.since(0) {
		require.LessOrEqual(t, c.bytes, together, "call %d of %d, %d failed", i, len(store.since(0)), failed)
		several = max(several, c.documents)
	}
	require.Greater(t, several, 2, "they are brought together where that may be")
}

// What a slow line takes its time for is not cut off for ever.
func TestStoreTimeGrows(t *testing.T) {
	require.Equal(t, time.Second, yserver.StoreTime(time.Second, 64<<10))
	require.Equal(t, 5*time.Second, yserver.StoreTime(time.Second, 32<<20))
}
