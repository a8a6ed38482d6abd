package yserver_test

import (
	"context"
	"errors"
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
	<-store.fails
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
