package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/pebble"
)

const (
	lobbies   = 3
	noteRooms = 3
	// keptMessages is more than what a round brings, less than a few of them do.
	keptMessages = 3000
)

// While clients patch, chat, store and set alarms, the server is killed with
// SIGKILL at a random moment, again and again. What was acknowledged is there
// afterwards, without gap or repetition: a patch that came back, a message that
// was relayed with its offset, a transaction that returned, an alarm that was
// set.
func TestKilledServerKeepsTheDataOfRooms(t *testing.T) {
	if dir := os.Getenv(roomsChild); dir != "" {
		serveRooms(t, dir)
		return
	}
	rounds := 15
	if os.Getenv("YSERVERD_TEST_LONG") == "1" {
		rounds = 100
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, %d rounds", seed, rounds)
	k := &roomKiller{t: t, dir: t.TempDir(), rng: rand.New(rand.NewPCG(seed, 0)), stored: map[string]int{}, due: map[string]bool{}}
	for round := range rounds {
		k.round(round)
	}
	t.Logf("acknowledged: %d patches, %d messages, %d transactions, %d alarms", k.patches, k.messages, k.transactions, k.alarms)
	require.Positive(t, k.patches)
	require.Positive(t, k.messages)
	require.Positive(t, k.transactions)
	require.Positive(t, k.alarms)
}

// roomKiller is what must hold from round to round.
type roomKiller struct {
	t   *testing.T
	dir string
	rng *rand.Rand

	lobbies [lobbies]lobbySeen
	stored  map[string]int  // the last transaction of a room that returned
	due     map[string]bool // alarms that were set and did not come

	patches, messages, transactions, alarms int
}

// lobbySeen is what the clients of a lobby have received.
type lobbySeen struct {
	mu       sync.Mutex
	version  uint64
	state    map[string]json.RawMessage
	epoch    string
	offset   uint64
	messages map[uint64]string
}

func (k *roomKiller) round(round int) {
	s := startRooms(k.t, k.dir)
	var conns []*websocket.Conn
	var readers sync.WaitGroup
	dial := func(party, room string) *websocket.Conn {
		c, _, err := websocket.DefaultDialer.Dial(fmt.Sprintf("ws://%s/parties/%s/%s", s.addr, party, room), nil)
		require.NoError(k.t, err)
		conns = append(conns, c)
		return c
	}
	for i := range lobbies {
		writer, reader := dial("lobby", fmt.Sprint(i)), dial("lobby", fmt.Sprint(i))
		k.greeted(i, reader)
		readers.Go(func() { k.watch(i, reader) })
		readers.Go(func() { drainUntilEnd(writer) })
		go chatter(writer, round)
	}
	for i := range noteRooms {
		c := dial("notes", fmt.Sprint(i))
		require.NoError(k.t, c.WriteMessage(websocket.TextMessage, []byte("go")))
	}
	for i := range 10 {
		c := dial("alarms", fmt.Sprintf("%d-%d", round, i))
		require.NoError(k.t, c.WriteMessage(websocket.TextMessage, []byte("set")))
	}
	time.Sleep(time.Duration(20+k.rng.IntN(400)) * time.Millisecond) // the moment is what is tested
	printed := s.kill()
	readers.Wait()
	for _, c := range conns {
		_ = c.Close()
	}
	k.note(printed)
	k.check()
}

// chatter patches the state and chats until the connection ends.
func chatter(c *websocket.Conn, round int) {
	for n := 0; ; n++ {
		text := fmt.Sprintf(`{"say":"%d-%d"}`, round, n)
		if n%3 == 0 {
			text = fmt.Sprintf(`{"type":"state","patch":{"k%d":"%d-%d"}}`, n%7, round, n)
		}
		if c.WriteMessage(websocket.TextMessage, []byte(text)) != nil {
			return
		}
		if n%10 == 9 {
			time.Sleep(5 * time.Millisecond)
		}
	}
}

func drainUntilEnd(c *websocket.Conn) {
	for {
		if _, _, err := c.ReadMessage(); err != nil {
			return
		}
	}
}

// lobbyFrame is any frame that a lobby sends.
type lobbyFrame struct {
	Type     string
	State    map[string]json.RawMessage
	Patch    map[string]json.RawMessage
	Version  uint64
	Epoch    string
	Offset   uint64
	Messages []json.RawMessage
	Say      string
}

// greeted compares what a lobby tells a joiner with what its clients have seen
// in earlier rounds.
func (k *roomKiller) greeted(i int, c *websocket.Conn) {
	seen := &k.lobbies[i]
	_, text, err := c.ReadMessage()
	require.NoError(k.t, err)
	state := decode[lobbyFrame](k.t, text)
	require.Equal(k.t, "state", state.Type)
	require.GreaterOrEqual(k.t, state.Version, seen.version, "a patch that came back is gone")
	if state.Version == seen.version && seen.state != nil {
		require.Equal(k.t, seen.state, state.State)
	}
	seen.version, seen.state = state.Version, state.State

	_, text, err = c.ReadMessage()
	require.NoError(k.t, err)
	past := decode[lobbyFrame](k.t, text)
	require.Equal(k.t, "history", past.Type)
	require.GreaterOrEqual(k.t, past.Offset, seen.offset, "a message that was relayed is gone")
	if seen.epoch != "" {
		require.Equal(k.t, seen.epoch, past.Epoch)
	}
	require.Len(k.t, past.Messages, int(min(past.Offset, keptMessages)))
	gone := past.Offset - uint64(len(past.Messages))
	all := map[uint64]string{}
	for n, m := range past.Messages {
		f := decode[lobbyFrame](k.t, m)
		require.Equal(k.t, gone+uint64(n)+1, f.Offset)
		all[f.Offset] = f.Say
	}
	for offset, said := range seen.messages {
		if offset > gone {
			require.Equal(k.t, said, all[offset], "offset %d", offset)
		}
	}
	seen.offset, seen.messages = past.Offset, all
	if past.Offset > 0 {
		seen.epoch = past.Epoch
	}
}

// watch notes what a client receives until the server is killed: nothing is left
// out.
func (k *roomKiller) watch(i int, c *websocket.Conn) {
	seen := &k.lobbies[i]
	for {
		_, text, err := c.ReadMessage()
		if err != nil {
			return
		}
		var f lobbyFrame
		if err := json.Unmarshal(text, &f); err != nil {
			k.t.Error(err)
			return
		}
		seen.mu.Lock()
		switch f.Type {
		case "state":
			if f.Version != seen.version+1 {
				k.t.Errorf("version %d after %d", f.Version, seen.version)
			}
			seen.version = f.Version
			maps.Copy(seen.state, f.Patch)
		case "":
			if f.Offset != seen.offset+1 {
				k.t.Errorf("offset %d after %d", f.Offset, seen.offset)
			}
			seen.offset = f.Offset
			seen.messages[f.Offset] = f.Say
		}
		seen.mu.Unlock()
	}
}

// note counts what the server had reported when it died.
func (k *roomKiller) note(printed []string) {
	for _, line := range printed {
		var what, room string
		var n int
		_, _ = fmt.Sscan(line, &what, &room, &n) // alarms have no number
		switch what {
		case "stored":
			require.Greater(k.t, n, k.stored[room], "a transaction was forgotten")
			k.stored[room] = n
			k.transactions++
		case "set":
			k.due[room] = true
			k.alarms++
		case "rung":
			delete(k.due, room)
		}
	}
	for i := range k.lobbies {
		k.patches, k.messages = max(k.patches, int(k.lobbies[i].version)), max(k.messages, int(k.lobbies[i].offset))
	}
}

// check looks at the store that the dead server left.
func (k *roomKiller) check() {
	store, err := pebble.Open(k.dir, pebble.Options{})
	require.NoError(k.t, err)
	defer func() { require.NoError(k.t, store.Close()) }()
	ctx := context.Background()
	for room, n := range k.stored {
		k.checkNotes(ctx, store, room, n)
	}
	alarms, err := store.Alarms(ctx, time.Time{}, 1<<20)
	require.NoError(k.t, err)
	there := map[string]bool{}
	for _, a := range alarms {
		there[a.Key.Room] = true
	}
	for room := range k.due {
		require.True(k.t, there[room], "alarm of %s is gone", room)
	}
}

// checkNotes requires that what a room stored is what n transactions or more,
// each of them whole, have written.
func (k *roomKiller) checkNotes(ctx context.Context, store *pebble.Store, room string, n int) {
	key := persist.Key{Party: "notes", Room: room}
	values, err := store.GetRoom(ctx, key, persist.SpaceStorage, []string{"last"})
	require.NoError(k.t, err)
	last := decode[int](k.t, values[0])
	require.GreaterOrEqual(k.t, last, n, "a transaction that returned is gone")
	k.stored[room] = last
	notes, more, err := store.ListRoom(ctx, key, persist.RoomPrefix(persist.SpaceStorage, "note "), false, 1<<20)
	require.NoError(k.t, err)
	require.False(k.t, more)
	require.Len(k.t, notes, last)
	require.True(k.t, slices.IsSortedFunc(notes, func(a, b persist.RoomItem) int { return strings.Compare(a.Key, b.Key) }))
}

// An alarm that was set before the server was killed comes after it was started
// again, also when its time was meanwhile.
func TestKilledServerRingsItsAlarms(t *testing.T) {
	dir := t.TempDir()
	s := startRooms(t, dir)
	const rooms = 20
	for i := range rooms {
		c, _, err := websocket.DefaultDialer.Dial(fmt.Sprintf("ws://%s/parties/alarms/%d", s.addr, i), nil)
		require.NoError(t, err)
		defer c.Close()
		require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte("set")))
		s.line("set ")
	}
	last := time.Now()
	s.kill()
	time.Sleep(time.Until(last.Add(time.Second))) // some are due before, some after it is started
	s = startRooms(t, dir)
	defer s.kill()
	rung := map[string]bool{}
	for range rooms {
		rung[s.line("rung ")] = true
	}
	require.Len(t, rung, rooms)
}
