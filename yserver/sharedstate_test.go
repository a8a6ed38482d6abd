package yserver_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist/persisttest"
	"github.com/yserverd/yserverd/yserver"
)

func withState() func(*yserver.Config, *yserver.Party) {
	return withMessage(yserver.Message{Relay: yserver.RelayJSON, State: &yserver.SharedState{}})
}

func stateOf(state string, version int) string {
	return fmt.Sprintf(`{"type":"state","state":%s,"version":%d}`, state, version)
}

func patchOf(patch string, version int, from string) string {
	return fmt.Sprintf(`{"type":"state","patch":%s,"version":%d,"from":%q}`, patch, version, from)
}

func TestStateIsToldOnJoinAndPatchesGoToAll(t *testing.T) {
	k := start(t, withState())
	a, b := k.visit("a", "user=ann"), k.visit("b")
	a.hears(stateOf(`{}`, 0))
	b.hears(stateOf(`{}`, 0))
	a.sendText(`{"type":"state","patch":{"x":1,"y":{"z":[1]}}}`)
	for _, g := range []*guest{a, b} {
		g.hears(`{"type":"state","patch":{"x":1,"y":{"z":[1]}},"version":1,"from":"a","userId":"ann"}`)
	}
	b.sendText(`{"type":"state","patch":{"x":null,"y":{"w":2}},"from":"a","version":77}`)
	for _, g := range []*guest{a, b} {
		g.hears(patchOf(`{"x":null,"y":{"w":2}}`, 2, "b"))
	}
	c := k.visit("c")
	c.hears(stateOf(`{"y":{"z":[1],"w":2}}`, 2))
	c.sendText(`{"type":"state","patch":{"q":1}}`)
	c.hears(patchOf(`{"q":1}`, 3, "c"))
	k.visit("d").hears(stateOf(`{"y":{"z":[1],"w":2},"q":1}`, 3))
}

func TestStateWithIfVersion(t *testing.T) {
	k := start(t, withState())
	a, b := k.visit("a"), k.visit("b")
	a.hears(stateOf(`{}`, 0))
	b.hears(stateOf(`{}`, 0))
	a.sendText(`{"type":"state","patch":{"x":1},"ifVersion":0}`)
	a.hears(patchOf(`{"x":1}`, 1, "a"))
	b.hears(patchOf(`{"x":1}`, 1, "a"))
	b.sendText(`{"type":"state","patch":{"x":2},"ifVersion":0}`)
	b.hears(`{"type":"error","code":"STATE_CONFLICT","state":{"x":1},"version":1}`)
	b.sendText(`{"type":"state","patch":{"x":2},"ifVersion":1}`)
	b.hears(patchOf(`{"x":2}`, 2, "b"))
	a.hears(patchOf(`{"x":2}`, 2, "b"))
}

func TestStateThatIsTooLargeOrBad(t *testing.T) {
	k := start(t, withMessage(yserver.Message{State: &yserver.SharedState{MaxBytes: 20}}))
	a := k.visit("a")
	a.hears(stateOf(`{}`, 0))
	a.sendText(`{"type":"state","patch":{"x":"` + strings.Repeat("x", 12) + `"}}`)
	a.hears(patchOf(`{"x":"`+strings.Repeat("x", 12)+`"}`, 1, "a")) // just fits
	a.sendText(`{"type":"state","patch":{"y":1}}`)
	a.hears(`{"type":"error","code":"STATE_TOO_LARGE"}`)
	for _, bad := range []string{
		`{"type":"state"}`, `{"type":"state","patch":[1]}`, `{"type":"state","patch":null}`,
		`{"type":"state","patch":{},"ifVersion":"1"}`, `{"type":"state","patch":{},"ifVersion":-1}`,
	} {
		a.sendText(bad)
		a.hears(`{"type":"error","code":"BAD_FRAME"}`)
	}
	a.sendText(`{"type":"state","patch":{"x":null}}`)
	a.hears(patchOf(`{"x":null}`, 2, "a"))
	require.EqualValues(t, 1, k.Srv.Stats().OverLimit)
	require.EqualValues(t, 5, k.Srv.Stats().BadFrames)
}

func TestStateStaysWhenTheRoomDoesNot(t *testing.T) {
	store := persisttest.NewMemory()
	k := start(t, withStore(store), withState())
	a := k.visit("a")
	a.hears(stateOf(`{}`, 0))
	a.sendText(`{"type":"state","patch":{"x":1}}`)
	a.hears(patchOf(`{"x":1}`, 1, "a"))
	k.Stop()
	k = start(t, withStore(store), withState(), func(_ *yserver.Config, p *yserver.Party) {
		p.HibernateAfter, p.UnloadAfter = time.Millisecond, time.Millisecond
	})
	b := k.visit("b")
	b.hears(stateOf(`{"x":1}`, 1))
	eventually(t, "hibernated", func() bool { return k.Srv.Stats().Hibernations > 0 })
	b.sendText(`{"type":"state","patch":{"y":2},"ifVersion":1}`)
	b.hears(patchOf(`{"y":2}`, 2, "b"))
	b.leaves()
	count(t, "unloaded", 0, func() int64 { return int64(k.Srv.Stats().Rooms) })
	k.visit("c").hears(stateOf(`{"x":1,"y":2}`, 2))
}

// Nobody is told of a state that is not stored: neither who joins, nor who asked
// for a version, nor the sender. Then everybody is, once and in order.
func TestStateIsSentOnlyOnceItIsStored(t *testing.T) {
	store, faulty := withFaults(nil)
	k := start(t, faulty, withState())
	a, b := k.visit("a"), k.visit("b")
	a.hears(stateOf(`{}`, 0))
	b.hears(stateOf(`{}`, 0))
	block := blocks(store, persisttest.OpChangeRooms)
	for i := range 50 {
		a.sendText(fmt.Sprintf(`{"type":"state","patch":{"n":%d}}`, i))
	}
	a.sendText(`{"plain":1}`) // is not held up
	b.hears(`{"plain":1,"from":"a"}`)
	b.sendText(`{"type":"state","patch":{"n":-1},"ifVersion":99}`)
	c := k.visit("c")
	c.hears(stateOf(`{}`, 0))
	b.sendText(`{"plain":2}`)
	a.hears(`{"plain":2,"from":"b"}`)
	c.hears(`{"plain":2,"from":"b"}`)
	require.Positive(t, k.Srv.Stats().PendingBytes)
	block.lift()
	for _, g := range []*guest{a, b, c} {
		for i := range 50 {
			g.hears(patchOf(fmt.Sprintf(`{"n":%d}`, i), i+1, "a"))
		}
	}
	b.hears(`{"type":"error","code":"STATE_CONFLICT","state":{"n":49},"version":50}`)
	a.probe(b, c)
	b.probe(a)
	count(t, "all is stored", 0, func() int64 { return k.Srv.Stats().PendingBytes })
	k.visit("d").hears(stateOf(`{"n":49}`, 50))
}

// A conflict that shows what is not stored yet waits for it.
func TestStateConflictWaitsForTheCommit(t *testing.T) {
	store, faulty := withFaults(nil)
	k := start(t, faulty, withState())
	a, b := k.visit("a"), k.visit("b")
	a.hears(stateOf(`{}`, 0))
	b.hears(stateOf(`{}`, 0))
	block := blocks(store, persisttest.OpChangeRooms)
	a.sendText(`{"type":"state","patch":{"x":1}}`)
	count(t, "it is on its way", 1, func() int64 { return int64(store.Calls(persisttest.OpChangeRooms)) })
	b.sendText(`{"type":"state","patch":{"x":2},"ifVersion":0}`)
	b.sendText(`{"after":1}`)
	a.hears(`{"after":1,"from":"b"}`) // the conflict was dealt with before
	a.probe(b)
	block.lift()
	b.hears(patchOf(`{"x":1}`, 1, "a"))
	b.hears(`{"type":"error","code":"STATE_CONFLICT","state":{"x":1},"version":1}`)
	require.Equal(t, 1, store.Calls(persisttest.OpChangeRooms), "a conflict is nothing to store")
}

// While the store fails, patches wait; Ready tells. A write whose answer got lost
// is repeated, and nobody notices.
func TestStateSurvivesAStoreThatFails(t *testing.T) {
	for name, fault := range map[string]persisttest.Fault{
		"before": {Err: persisttest.ErrInjected},
		"after":  {Err: persisttest.ErrInjected, Done: true},
	} {
		t.Run(name, func(t *testing.T) {
			store, faulty := withFaults(nil)
			k := start(t, faulty, withState())
			a, b := k.visit("a"), k.visit("b")
			a.hears(stateOf(`{}`, 0))
			b.hears(stateOf(`{}`, 0))
			require.NoError(t, k.Srv.Ready())
			store.SetPlan(onOp(persisttest.OpChangeRooms, fault))
			a.sendText(`{"type":"state","patch":{"x":1}}`)
			eventually(t, "repeated", func() bool { return store.Calls(persisttest.OpChangeRooms) >= 3 })
			require.Error(t, k.Srv.Ready())
			a.sendText(`{"type":"state","patch":{"y":2}}`)
			a.probe(b)
			store.SetPlan(nil)
			for _, g := range []*guest{a, b} {
				g.hears(patchOf(`{"x":1}`, 1, "a"))
				g.hears(patchOf(`{"y":2}`, 2, "a"))
			}
			require.NoError(t, k.Srv.Ready())
			k.visit("c").hears(stateOf(`{"x":1,"y":2}`, 2))
		})
	}
}

// A room whose data is out of service is refused and ends; others, whose changes
// come with its own, do not notice, and neither does Ready.
func TestARoomOutOfServiceDisturbsNoOther(t *testing.T) {
	store := persisttest.NewMemory()
	faulty := persisttest.NewFaulty(store, nil)
	k := start(t, withStore(faulty), withState())
	a, b := k.visitRoom("bad", "a"), k.visitRoom("good", "b")
	a.hears(stateOf(`{}`, 0))
	b.hears(stateOf(`{}`, 0))
	// The first change waits, so that the next ones come together.
	block := blocks(faulty, persisttest.OpChangeRooms)
	c := k.visitRoom("first", "c")
	c.hears(stateOf(`{}`, 0))
	c.sendText(`{"type":"state","patch":{"x":1}}`)
	count(t, "blocked", 1, func() int64 { return int64(faulty.Calls(persisttest.OpChangeRooms)) })
	require.NoError(t, store.QuarantineRoom(t.Context(), key("bad"), "made by a test"))
	a.sendText(`{"type":"state","patch":{"x":1}}`)
	b.sendText(`{"type":"state","patch":{"x":1}}`)
	eventually(t, "both wait", func() bool { return k.Srv.Stats().PendingBytes > 300 })
	block.lift()
	b.hears(patchOf(`{"x":1}`, 1, "b"))
	a.expectClose(1011)
	require.NoError(t, k.Srv.Ready())
	_, resp, err := k.tryDial("/parties/main/bad")
	require.Error(t, err)
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	b.sendText(`{"type":"state","patch":{"x":2}}`)
	b.hears(patchOf(`{"x":2}`, 2, "b"))
}

// One who sends faster than the store takes it is read no further.
func TestStateThatIsNotStoredIsBounded(t *testing.T) {
	store, faulty := withFaults(nil)
	k := start(t, faulty, withState(), func(_ *yserver.Config, p *yserver.Party) { p.Limits.Uncommitted = 64 << 10 })
	a := k.visit("a")
	a.hears(stateOf(`{}`, 0))
	block := blocks(store, persisttest.OpChangeRooms)
	const patches = 200
	value := strings.Repeat("x", 4000)
	sent := make(chan error, 1)
	go func() {
		for i := range patches {
			if err := a.conn.WriteMessage(1, fmt.Appendf(nil, `{"type":"state","patch":{"n":%d,"v":%q}}`, i, value)); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	eventually(t, "full", func() bool { return k.Srv.Stats().PendingBytes > 64<<10 })
	require.Less(t, k.Srv.Stats().PendingBytes, int64(64<<10+2*5000))
	block.lift()
	for i := range patches {
		a.hears(patchOf(fmt.Sprintf(`{"n":%d,"v":%q}`, i, value), i+1, "a"))
	}
	require.NoError(t, receive(t, sent))
}
