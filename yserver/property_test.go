package yserver_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
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

// witness is a store that knows what it has committed, is slow at random, and
// at random commits without saying so.
type witness struct {
	yserver.Store
	mu        sync.Mutex
	rng       *rand.Rand
	committed map[uint64]uint64 // client to clock
}

func (w *witness) Append(ctx context.Context, appends []persist.Append) ([]persist.Result, error) {
	w.mu.Lock()
	pause, lie, fail := time.Duration(w.rng.IntN(25))*time.Millisecond, w.rng.IntN(10) == 0, w.rng.IntN(10) == 0
	w.mu.Unlock()
	time.Sleep(pause)
	if fail {
		return nil, fmt.Errorf("not now")
	}
	results, err := w.Store.Append(ctx, appends)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, a := range appends {
		for _, u := range a.Updates {
			if results[i].Err == nil {
				w.note(u)
			}
		}
	}
	if lie {
		return nil, fmt.Errorf("answer lost")
	}
	return results, nil
}

func (w *witness) note(u []byte) {
	for client, clock := range ends(u) {
		w.committed[client] = max(w.committed[client], clock)
	}
}

func (w *witness) clock(client uint64) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.committed[client]
}

// ends returns the clock after the last struct of each client in an update.
func ends(u []byte) map[uint64]uint64 {
	var (
		d   update.Decoder
		s   update.Struct
		out = map[uint64]uint64{}
	)
	d.Reset(u, update.Limits{})
	for {
		ok, err := d.Next(&s)
		if err != nil || !ok {
			return out
		}
		if s.Kind != update.Skip {
			out[s.Client] = max(out[s.Client], s.Clock+s.Len)
		}
	}
}

// Many clients type, join and leave while the store is slow, fails and loses
// answers. No frame ever opens a clock gap for its receiver, nobody sees its own
// edit, nor a step 2, before it is committed, and in the end all have the same.
func TestNoGapAndNoEarlyEcho(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rounds := 3
	if longTests {
		rounds = 40
	}
	for round := range rounds {
		rng := rand.New(rand.NewPCG(seed, uint64(round)))
		store := &witness{Store: persisttest.NewMemory(), rng: rand.New(rand.NewPCG(seed, uint64(1000+round))), committed: map[uint64]uint64{}}
		k := start(t, withStore(store))
		const typists, edits = 8, 60
		var wg sync.WaitGroup
		docs := make([]*ydoc.Doc, typists)
		for i := range typists {
			seed := rng.Uint64()
			wg.Go(func() { docs[i] = typist(k, store, uint64(i+1), edits, seed) })
		}
		wg.Wait()
		if t.Failed() {
			return
		}
		final := ydoc.New(ydoc.Config{})
		for i := range typists {
			_, err := final.Apply(docs[i].State())
			require.NoError(t, err)
			holds(t, final, uint64(i+1), edits)
		}
		k.Stop()
		require.True(t, ydoc.Equal(final, k.stored("r")), "the store has what the clients have")
	}
}

// typist types its edits, reconnecting now and then, and checks every frame.
func typist(k *kit, store *witness, client uint64, edits int, seed uint64) *ydoc.Doc {
	t, rng := k.t, rand.New(rand.NewPCG(seed, 1))
	doc := ydoc.New(ydoc.Config{})
	w, check := connect(k, store, doc, client)
	for clock := 0; clock < edits; clock++ {
		u := typed(client, uint64(clock), "x")
		_, err := doc.Apply(u)
		require.NoError(t, err)
		w.update(u)
		for len(w.in) > 0 {
			check(<-w.in)
		}
		switch rng.IntN(20) {
		case 0:
			_ = w.conn.Close()
			w, check = connect(k, store, doc, client)
		case 1, 2, 3:
			time.Sleep(time.Duration(rng.IntN(10)) * time.Millisecond)
		}
	}
	w.send([]byte{102, byte(client)})
	for {
		raw := w.next()
		if raw[0] == 102 {
			require.Equal(t, uint64(edits), store.clock(client), "sync status before the commit")
			return doc
		}
		check(raw)
	}
}

// connect joins, offering what doc has, and returns what checks a frame.
func connect(k *kit, store *witness, doc *ydoc.Doc, client uint64) (*wire, func([]byte)) {
	t := k.t
	w := k.dial("/parties/main/r")
	w.step1(doc.StateVector())
	// Own clocks of which no echo is to come any more: what it had before may
	// reach the server on the connection that just ended.
	before := clockIn(t, doc.StateVector(), client)
	echoed := before
	check := func(raw []byte) {
		msg, err := protocol.Parse(raw)
		require.NoError(t, err)
		switch {
		case msg.Type != protocol.MessageSync:
			return
		case msg.Sync == protocol.SyncStep1:
			diff, err := doc.AppendDiff(nil, msg.Payload)
			require.NoError(t, err)
			w.send(protocol.AppendSyncStep2(nil, diff))
			return
		}
		for c, clock := range ends(msg.Payload) {
			if c == client && clock > before || msg.Sync == protocol.SyncStep2 {
				require.LessOrEqual(t, clock, store.clock(c), "client %d was told %d before the commit", client, c)
			}
		}
		if begin, end, ok := own(msg.Payload, client); ok {
			require.LessOrEqual(t, begin, echoed, "client %d: its echo comes out of order", client)
			echoed = max(echoed, end)
		}
		_, err = doc.Apply(msg.Payload)
		require.NoError(t, err)
		require.Nil(t, doc.Pending(), "client %d: frame %x opens a gap", client, raw)
	}
	for {
		raw := w.next()
		check(raw)
		if msg, err := protocol.Parse(raw); err == nil && msg.Sync == protocol.SyncStep2 && msg.Type == protocol.MessageSync {
			return w, check
		}
	}
}

// own returns the clocks of one client in an update.
func own(u []byte, client uint64) (begin, end uint64, ok bool) {
	var (
		d update.Decoder
		s update.Struct
	)
	d.Reset(u, update.Limits{})
	for {
		more, err := d.Next(&s)
		if err != nil || !more {
			return begin, end, ok
		}
		if s.Client != client || s.Kind == update.Skip {
			continue
		}
		if !ok {
			begin = s.Clock
		}
		end, ok = s.Clock+s.Len, true
	}
}

// clockIn is the clock of a client in a state vector.
func clockIn(t testing.TB, sv []byte, client uint64) uint64 {
	ids, err := update.ParseStateVector(nil, sv, update.Limits{})
	require.NoError(t, err)
	for _, id := range ids {
		if id.Client == client {
			return id.Clock
		}
	}
	return 0
}
