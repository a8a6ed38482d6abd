package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/fixtures/load/loadgen"
	"github.com/yserverd/yserverd/internal/pgtest"
	"github.com/yserverd/yserverd/internal/servertest"
	"github.com/yserverd/yserverd/internal/ytest"
	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/protocol"
	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/protocol/ydoc"
)

const (
	// uncommittedBytes is what a room accepts while its store takes nothing: the default of yserver's Limits.
	uncommittedBytes = 32 << 20
	// betweenBytes is what may be on its way in the buffers of sockets, of both ends.
	betweenBytes = 16 << 20
	// floodMemory is what all of the flooded rooms may cost beyond what a server needs anyway, by the bytes that they
	// accept: as the document, as rows for the log, and as room that the collector has not found yet.
	floodMemory = 6
)

// flood is a client that sends as fast as its socket takes it.
type flood struct {
	room   string
	client uint64
	units  int // of an update
	socket *websocket.Conn

	sent    atomic.Uint64 // units
	bytes   atomic.Int64  // of updates
	stop    atomic.Bool
	writing chan error
	reading chan error // what ended it
	saved   chan struct{}
	once    sync.Once
}

// newFlood connects. Its room is open then.
func newFlood(t *testing.T, s *servertest.Server, room string, client uint64, units int) *flood {
	t.Helper()
	socket, resp, err := websocket.DefaultDialer.Dial(s.WebSocketURL()+"/"+room, nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	f := &flood{
		room: room, client: client, units: units, socket: socket,
		writing: make(chan error, 1), reading: make(chan error, 1), saved: make(chan struct{}),
	}
	t.Cleanup(func() { _ = socket.Close() })
	go func() { f.reading <- f.read() }()
	return f
}

// start begins to send.
func (f *flood) start() {
	go func() { f.writing <- f.write() }()
}

// read takes what comes, and notes the answer to the sync status.
func (f *flood) read() error {
	for {
		_, frame, err := f.socket.ReadMessage()
		if err != nil {
			return err
		}
		if bytes.Equal(frame, []byte{byte(protocol.MessageSyncStatus)}) {
			f.once.Do(func() { close(f.saved) })
		}
	}
}

// write sends until it is stopped, and then asks whether all is saved.
func (f *flood) write() error {
	var data, frame []byte
	for clock := uint64(0); !f.stop.Load(); clock += uint64(f.units) {
		data = loadgen.AppendInsert(data[:0], f.client, clock, f.units)
		frame = append(protocol.AppendSyncHeader(frame[:0], protocol.SyncUpdate, len(data)), data...)
		if err := f.socket.WriteMessage(websocket.BinaryMessage, frame); err != nil {
			return err
		}
		f.sent.Add(uint64(f.units))
		f.bytes.Add(int64(len(data)))
	}
	return f.socket.WriteMessage(websocket.BinaryMessage, []byte{byte(protocol.MessageSyncStatus)})
}

// awaitStuck waits until a client can send nothing more: for a while nothing was taken.
func (f *flood) awaitStuck(t *testing.T) {
	t.Helper()
	last, since := int64(-1), time.Now()
	require.Eventually(t, func() bool {
		if now := f.bytes.Load(); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > time.Second
	}, time.Minute, 10*time.Millisecond, "the server goes on reading")
}

// resident is the memory of a process, in bytes.
func resident(t *testing.T, pid int) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skip("the system does not tell what memory a process has")
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kilobytes, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			require.NoError(t, err)
			return kilobytes << 10
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

// While PostgreSQL cannot be reached two clients send as fast as they can, one in large updates and one character by
// character. The server takes what a room may have uncommitted, and then reads from the sockets of that room no further:
// its memory stays bounded. Nobody there is counted dead meanwhile, however long it lasts, and other rooms go on. When
// the line is back, all of it is taken and stored.
func TestFloodWithoutADatabaseIsHeldBack(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	d := &depot{database: pgtest.Database(t), fold: 500, room: ", ping_interval: 1s"} // dead: silent for 12 s
	database, _ := overLines(t, d)
	s := d.server(t)
	require.NoError(t, s.Start())
	node := ytest.StartNodeClients(t)
	bystanders, others := joinRoom(ctx, t, node, s, "large"), joinRoom(ctx, t, node, s, "other")
	floods := []*flood{newFlood(t, s, "large", 1, 16<<10), newFlood(t, s, "small", 2, 1)}
	before := resident(t, s.PID())

	database.proxy.Stop()
	for _, f := range floods {
		f.start()
	}
	awaitReadiness(t, s, http.StatusServiceUnavailable)
	peak := int64(0)
	for _, f := range floods {
		f.awaitStuck(t)
		require.Less(t, f.bytes.Load(), int64(uncommittedBytes+betweenBytes), f.room)
		peak = max(peak, resident(t, s.PID()))
	}
	for until := time.Now().Add(time.Duration(roundsOf(0, 75)) * time.Second); time.Now().Before(until); {
		time.Sleep(time.Second) // longer than the time after which who is silent is dead
		peak = max(peak, resident(t, s.PID()))
	}
	t.Logf("the server has %d MiB more at most, for %d MiB in large updates and %d MiB in small ones",
		(peak-before)>>20, floods[0].bytes.Load()>>20, floods[1].bytes.Load()>>20)
	require.Less(t, peak-before, int64(floodMemory*len(floods)*uncommittedBytes))
	writeAndSee(ctx, t, others, "[r1c1-0]")
	requireConnected(ctx, t, bystanders)

	database.repair()
	for _, f := range floods {
		f.stop.Store(true)
		select {
		case <-f.saved:
		case err := <-f.reading:
			require.NoError(t, err, "%s was closed", f.room)
		case <-ctx.Done():
			t.Fatalf("%s is never told that it is saved", f.room)
		}
		require.NoError(t, <-f.writing)
	}
	awaitReadiness(t, s, http.StatusOK)
	awaitSaved(ctx, t, append(bystanders, others...))
	requireConnected(ctx, t, bystanders)
	requireConnected(ctx, t, others)
	docs := d.open(ctx, t, s)
	defer docs.close()
	for _, f := range floods {
		require.Equal(t, f.sent.Load(), docs.clock(ctx, f.room, f.client), f.room)
	}
}

// joinRoom returns two stock clients of a room.
func joinRoom(ctx context.Context, t *testing.T, node *ytest.NodeClients, s *servertest.Server, room string) []*ytest.NodeClient {
	t.Helper()
	clients := make([]*ytest.NodeClient, 2)
	for i := range clients {
		var err error
		clients[i], err = node.New(ctx, ytest.ClientConfig{
			Name: fmt.Sprint(room, i), Kind: ytest.DocumentKinds[i], URL: s.WebSocketURL(), Room: room, Party: "main",
		})
		require.NoError(t, err)
		require.NoError(t, clients[i].AwaitSynced(ctx))
	}
	return clients
}

// writeAndSee lets one client write, and the other see it.
func writeAndSee(ctx context.Context, t *testing.T, clients []*ytest.NodeClient, note string) {
	t.Helper()
	require.NoError(t, clients[0].Edit(ctx, ytest.InsertText(-1, note)))
	require.NoError(t, clients[1].AwaitText(ctx, note))
}

// clock returns how much of a client's writing is stored.
func (s *shelf) clock(ctx context.Context, room string, client uint64) uint64 {
	s.t.Helper()
	stored, err := s.store.Load(ctx, persist.Key{Party: "main", Room: room})
	require.NoError(s.t, err)
	doc := ydoc.New(ydoc.Config{})
	for _, data := range append([]persist.Update{{Data: stored.Snapshot.Data}}, stored.Tail...) {
		if data.Data != nil {
			_, err := doc.Apply(data.Data)
			require.NoError(s.t, err)
		}
	}
	ids, err := update.ParseStateVector(nil, doc.StateVector(), update.Limits{})
	require.NoError(s.t, err)
	for _, id := range ids {
		if id.Client == client {
			return id.Clock
		}
	}
	return 0
}
