package yserver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/persisttest"
	"github.com/yserverd/yserverd/yserver"
)

func key(room string) persist.Key { return persist.Key{Party: "main", Room: room} }

func withHistory(messages int) func(*yserver.Config, *yserver.Party) {
	return withMessage(yserver.Message{Relay: yserver.RelayJSON, History: &yserver.History{Messages: messages}})
}

// past is a history or gap frame.
type past struct {
	Type     string
	Epoch    string
	Offset   uint64
	Messages []json.RawMessage
}

func (p past) since() string {
	return "since=" + url.QueryEscape(fmt.Sprintf("%s:%d", p.Epoch, p.Offset))
}

func (p past) texts() []string {
	texts := []string{}
	for _, m := range p.Messages {
		texts = append(texts, string(m))
	}
	return texts
}

func (g *guest) past(kind string) past {
	g.t.Helper()
	var p past
	text := g.message()
	require.NoError(g.t, json.Unmarshal([]byte(text), &p))
	require.Equal(g.t, kind, p.Type, text)
	return p
}

// chat sends numbered messages and requires that all others get them with their
// offsets.
func (g *guest) chat(first, last int, others ...*guest) {
	g.t.Helper()
	for n := first; n <= last; n++ {
		g.sendText(fmt.Sprintf(`{"n":%d}`, n))
	}
	for _, other := range others {
		for n := first; n <= last; n++ {
			require.Equal(g.t, g.said(n), other.message())
		}
	}
}

func (g *guest) said(n int) string { return fmt.Sprintf(`{"n":%d,"from":%q,"offset":%d}`, n, g.ID, n) }

func (g *guest) saidAll(first, last int) []string {
	all := []string{}
	for n := first; n <= last; n++ {
		all = append(all, g.said(n))
	}
	return all
}

func TestHistoryOnJoin(t *testing.T) {
	k := start(t, withHistory(5))
	a, b := k.visit("a"), k.visit("b")
	first := a.past("history")
	require.NotEmpty(t, first.Epoch)
	require.Zero(t, first.Offset)
	require.Equal(t, []string{}, first.texts())
	require.Equal(t, first, b.past("history"))
	a.chat(1, 3, b)
	later := k.visit("c").past("history")
	require.Equal(t, past{"history", first.Epoch, 3, later.Messages}, later)
	require.Equal(t, a.saidAll(1, 3), later.texts())
	a.chat(4, 9, b)
	require.Equal(t, a.saidAll(5, 9), k.visit("d").past("history").texts(), "the last five")
}

func TestHistoryOffsetsCannotBeForged(t *testing.T) {
	k := start(t, withHistory(5))
	a, b := k.visit("a"), k.visit("b")
	a.past("history")
	b.past("history")
	a.sendText(`{"offset":99,"n":1}`)
	require.Equal(t, `{"n":1,"from":"a","offset":1}`, b.message())
	a.sendText(`{"offset":99,"to":"b","o\u0066fset":98}`)
	require.Equal(t, `{"to":"b","from":"a"}`, b.message())
	a.sendText(`{"offset":99,"to":"b","from":1,"text":"` + strings.Repeat("x", 5000) + `"}`)
	require.Equal(t, `{"to":"b","text":"`+strings.Repeat("x", 5000)+`","from":"a"}`, b.message())
	require.Equal(t, []string{`{"n":1,"from":"a","offset":1}`}, k.visit("c").past("history").texts(), "what is for one is not kept")
}

func TestHistoryResumes(t *testing.T) {
	store := persisttest.NewMemory()
	k := start(t, withStore(store), withHistory(5))
	a, b := k.visit("a"), k.visit("b")
	epoch := a.past("history").Epoch
	b.past("history")
	a.chat(1, 8, b) // 4 to 8 are kept
	at := func(offset uint64) string { return past{Epoch: epoch, Offset: offset}.since() }
	for since, want := range map[string][]string{
		at(8): {}, at(7): a.saidAll(8, 8), at(4): a.saidAll(5, 8), at(3): a.saidAll(4, 8), "since=": a.saidAll(4, 8),
	} {
		got := k.visit("c", since).past("history")
		require.Equal(t, past{"history", epoch, 8, got.Messages}, got, since)
		require.Equal(t, want, got.texts(), since)
	}
	gaps := map[string]string{
		"trimmed": at(2), "long ago": at(0), "to come": at(9), "of another epoch": "since=other:5", "no position": "since=x",
	}
	check := func(k *kit) {
		for name, since := range gaps {
			c := k.visit("c", since)
			require.Equal(t, past{Type: "gap", Epoch: epoch, Offset: 8}, c.past("gap"), name)
			require.Equal(t, a.saidAll(4, 8), c.past("history").texts(), name)
		}
	}
	check(k)
	k.Stop()
	k = start(t, withStore(store), withHistory(5))
	check(k)
	c, d := k.visit("c", at(6)), k.visit("d", at(8))
	require.Equal(t, a.saidAll(7, 8), c.past("history").texts())
	require.Empty(t, d.past("history").Messages)
	c.chat(9, 9, d)
	keys, more, err := store.ListRoom(t.Context(), key("r"), persist.RoomRange{Space: persist.SpaceHistory, From: "m", To: "n"}, false, 0)
	require.NoError(t, err)
	require.False(t, more)
	require.Len(t, keys, 5, "and no more is stored")
}

func TestHistoryIsBoundedInBytes(t *testing.T) {
	store := persisttest.NewMemory()
	bounded := func(messages, size int) func(*yserver.Config, *yserver.Party) {
		return withMessage(yserver.Message{Relay: yserver.RelayJSON, History: &yserver.History{Messages: messages, MaxBytes: size}})
	}
	k := start(t, withStore(store), bounded(10_000, 10_000))
	a, b := k.visit("a"), k.visit("b")
	epoch := a.past("history").Epoch
	b.past("history")
	text := strings.Repeat("x", 3000)
	for n := range 5 {
		a.sendText(fmt.Sprintf(`{"text":%q}`, text))
		b.hears(fmt.Sprintf(`{"text":%q,"from":"a","offset":%d}`, text, n+1))
	}
	require.Len(t, k.visit("c").past("history").Messages, 3)
	a.sendText(fmt.Sprintf(`{"text":%q}`, strings.Repeat(text, 4)))
	a.hears(`{"type":"error","code":"BAD_FRAME"}`)
	// What a smaller configuration has no room for is gone: offsets go on.
	k.Stop()
	k = start(t, withStore(store), bounded(1, 1000))
	c := k.visit("c", past{Epoch: epoch, Offset: 4}.since())
	require.EqualValues(t, 5, c.past("gap").Offset)
	require.Empty(t, c.past("history").Messages)
	d := k.visit("d", past{Epoch: epoch, Offset: 5}.since())
	require.Empty(t, d.past("history").Messages)
	c.sendText(`{"n":6}`)
	require.Equal(t, c.said(6), d.message())
	keys, _, err := store.ListRoom(t.Context(), key("r"), persist.RoomRange{Space: persist.SpaceHistory}, false, 0)
	require.NoError(t, err)
	require.Len(t, keys, 2, "a message and the epoch")
}

func TestHistoryIsDroppedInOneGoWhenItShrinks(t *testing.T) {
	store := persisttest.NewMemory()
	k := start(t, withStore(store), withHistory(3000))
	a, b := k.visit("a"), k.visit("b")
	a.past("history")
	b.past("history")
	a.chat(1, 2500, b)
	k.Stop()
	k = start(t, withStore(store), withHistory(2))
	a, b = k.visit("a"), k.visit("b")
	require.Len(t, a.past("history").Messages, 2)
	b.past("history")
	a.chat(2501, 2501, b)
	keys, _, err := store.ListRoom(t.Context(), key("r"), persist.RoomRange{Space: persist.SpaceHistory}, false, 0)
	require.NoError(t, err)
	require.Len(t, keys, 3)
}

// The epoch of a history without messages outlives hibernation: the positions
// that clients have stay good.
func TestHistoryKeepsItsEpochThroughHibernation(t *testing.T) {
	k := start(t, withHistory(5), func(_ *yserver.Config, p *yserver.Party) { p.HibernateAfter = time.Millisecond })
	a, b := k.visit("a"), k.visit("b")
	epoch := a.past("history").Epoch
	b.past("history")
	asleep := func(n int64) {
		eventually(t, "hibernated", func() bool { return k.Srv.Stats().Hibernations >= n })
	}
	asleep(1)
	a.chat(1, 1, b)
	asleep(2)
	c := k.visit("c", past{Epoch: epoch}.since())
	require.Equal(t, a.saidAll(1, 1), c.past("history").texts())
}

// Messages with an offset go out once they are stored; what their sender sends
// behind them does not overtake them, and who joins meanwhile misses nothing.
func TestHistoryIsSentOnlyOnceItIsStored(t *testing.T) {
	store, faulty := withFaults(nil)
	k := start(t, faulty, withHistory(3))
	a, b := k.visit("a"), k.visit("b")
	a.past("history")
	b.past("history")
	a.chat(1, 1, b)
	block := blocks(store, persisttest.OpChangeRooms)
	for n := 2; n <= 9; n++ {
		a.sendText(fmt.Sprintf(`{"n":%d}`, n))
	}
	a.sendText(`{"to":"b","x":1}`)
	a.send([]byte("behind"))
	// The room has it all: an error comes at once.
	a.sendText(`{"to":1}`)
	a.hears(`{"type":"error","code":"BAD_FRAME"}`)
	eventually(t, "all wait", func() bool { return k.Srv.Stats().PendingBytes > 900 })
	c := k.visit("c")
	joined := c.past("history")
	require.EqualValues(t, 1, joined.Offset)
	b.silence()
	require.Empty(t, b.text)
	require.Empty(t, c.text)
	block.lift()
	for n := 2; n <= 9; n++ {
		require.Equal(t, a.said(n), b.message())
		require.Equal(t, a.said(n), c.message())
	}
	b.hears(`{"to":"b","x":1,"from":"a"}`)
	require.Equal(t, "behind", string(b.next()))
	require.Equal(t, "behind", string(c.next()))
	require.Equal(t, a.saidAll(7, 9), k.visit("d", joined.since()).pastAfterGap().texts())
}

// pastAfterGap returns the history that follows a gap.
func (g *guest) pastAfterGap() past {
	g.t.Helper()
	g.past("gap")
	return g.past("history")
}

// A store that fails at random, half of the time after it wrote, loses nothing
// and doubles nothing, and neither does a restart.
func TestHistoryThroughAStoreThatFailsAtRandom(t *testing.T) {
	store, faulty := withFaults(nil)
	k := start(t, faulty, withHistory(1000))
	a, b := k.visit("a"), k.visit("b")
	a.past("history")
	b.past("history")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	store.SetPlan(persisttest.AtRandom(seed, 3))
	for n := 1; n <= 200; n += 10 {
		a.chat(n, n+9, b)
	}
	store.SetPlan(nil)
	require.Equal(t, a.saidAll(1, 200), k.visit("c").past("history").texts())
	k.Stop()
	k = start(t, faulty, withHistory(1000))
	require.Equal(t, a.saidAll(1, 200), k.visit("d").past("history").texts())
}

// A room that cannot read what it kept is not opened without it.
func TestARoomWithoutItsHistoryIsRefused(t *testing.T) {
	for _, op := range []persisttest.Op{persisttest.OpGetRoom, persisttest.OpListRoom} {
		t.Run(string(op), func(t *testing.T) {
			store, faulty := withFaults(nil)
			k := start(t, faulty, withHistory(5))
			a, b := k.visit("a"), k.visit("b")
			a.past("history")
			b.past("history")
			a.chat(1, 1, b)
			k.Stop()
			store.SetPlan(onOp(op, persisttest.Fault{Err: persisttest.ErrInjected}))
			k = start(t, faulty, withHistory(5))
			_, resp, err := k.tryDial("/parties/main/r")
			require.Error(t, err)
			require.Equal(t, 503, resp.StatusCode)
			store.SetPlan(nil)
			require.Equal(t, a.saidAll(1, 1), k.visit("c").past("history").texts())
		})
	}
}

func TestShutdownStoresAndSendsWhatWaits(t *testing.T) {
	store, faulty := withFaults(nil)
	k := start(t, faulty, withHistory(5))
	a, b := k.visit("a"), k.visit("b")
	a.past("history")
	b.past("history")
	block := blocks(store, persisttest.OpChangeRooms)
	a.sendText(`{"n":1}`)
	eventually(t, "it waits", func() bool { return k.Srv.Stats().PendingBytes > 0 })
	ended := make(chan error, 1)
	go func() { ended <- k.Srv.Shutdown(t.Context()) }()
	b.silence()
	require.Empty(t, ended)
	block.lift()
	require.Equal(t, a.said(1), b.message())
	b.expectClose(1012)
	require.NoError(t, receive(t, ended))
	values, err := store.GetRoom(t.Context(), key("r"), persist.SpaceHistory, []string{"epoch"})
	require.NoError(t, err)
	require.NotNil(t, values[0])
}

// A store that does not answer holds Shutdown up only as long as that may take.
func TestShutdownGivesUpOnAStoreThatHangs(t *testing.T) {
	store, faulty := withFaults(nil)
	k := start(t, faulty, withHistory(5))
	a := k.visit("a")
	a.past("history")
	block := blocks(store, persisttest.OpChangeRooms)
	defer block.lift()
	a.sendText(`{"n":1}`)
	eventually(t, "it waits", func() bool { return k.Srv.Stats().PendingBytes > 0 })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- k.Srv.Shutdown(ctx) }()
	var unsaved *yserver.UnsavedError
	require.ErrorAs(t, receive(t, ended), &unsaved)
}
