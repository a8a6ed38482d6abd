package yserver

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/internal/costtest"
	"github.com/yserverd/yserverd/persist/persisttest"
)

// crowd is a server of message rooms and what many raw clients of it need.
type crowd struct {
	tb  testing.TB
	srv *Server
	ts  *httptest.Server
}

func newCrowd(tb testing.TB, m Message, l Limits) *crowd {
	tb.Helper()
	srv, err := New(Config{Store: persisttest.NewMemory()}, Party{Name: "main", Access: gate.Public, Message: &m, Limits: l})
	require.NoError(tb, err)
	c := &crowd{tb, srv, httptest.NewServer(srv)}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), soon)
		defer cancel()
		require.NoError(tb, srv.Shutdown(ctx))
		c.ts.Close()
	})
	return c
}

// join connects without a library: what a peer costs is the server's.
func (c *crowd) join(id string) (net.Conn, *bufio.Reader) {
	c.tb.Helper()
	nc, err := net.Dial("tcp", c.ts.Listener.Addr().String())
	require.NoError(c.tb, err)
	c.tb.Cleanup(func() { _ = nc.Close() })
	_, err = io.WriteString(nc, strings.Replace(plainHandshake, "/", "/parties/main/r?_pk="+id, 1))
	require.NoError(c.tb, err)
	r := bufio.NewReaderSize(nc, 4<<10)
	resp, err := http.ReadResponse(r, nil)
	require.NoError(c.tb, err)
	require.Equal(c.tb, http.StatusSwitchingProtocols, resp.StatusCode)
	return nc, r
}

// live returns the room, in its own goroutine.
func (c *crowd) live(fn func(*messageRoom)) {
	c.tb.Helper()
	e, err := c.srv.registry.find(c.tb.Context(), roomID{"main", "r"})
	require.NoError(c.tb, err)
	defer c.srv.registry.release(e)
	require.True(c.tb, e.room.do(func() { fn(e.room.kind.(*messageRoom)) }))
}

// waiting returns the frames that wait for a peer and of which nothing is
// written.
func (p *peer) waitingFrames() []*frame {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.out.head
	if p.out.split() {
		i++
	}
	return slices.Clone(p.out.frames[min(i, len(p.out.frames)):])
}

// A writer sends 20 messages a second to a room of a thousand. Everybody gets
// each of them, in order; no more memory is used than what two peers that do not
// read are granted, for which the same frames wait; then they are closed with
// 1013, and nobody has waited for them.
func TestARoomOfAThousand(t *testing.T) {
	const (
		readers = 997
		bound   = 64 << 10
		size    = 8 << 10
	)
	c := newCrowd(t, Message{Relay: RelayJSON}, Limits{PeerQueue: bound})
	writer, _ := c.join("writer")
	heard := make(chan int, readers) // the number of a message, by each reader
	failed := make(chan error, readers)
	for i := range readers {
		_, r := c.join(fmt.Sprintf("r%d", i))
		go func() {
			for {
				_, text, err := readServerFrame(r)
				if err != nil {
					failed <- err
					return
				}
				number, _, _ := bytes.Cut(text[len(`{"n":`):], []byte(","))
				n, err := strconv.Atoi(string(number))
				if err != nil {
					failed <- err
					return
				}
				heard <- n
			}
		}()
	}
	frozen, codes := [2]*bufio.Reader{}, make(chan int, 2)
	for i := range frozen {
		_, frozen[i] = c.join(fmt.Sprintf("frozen%d", i))
	}
	filler := strings.Repeat("x", size)
	sharedFrames := 0
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	n, begun := 0, time.Now()
	for closed := false; !closed || time.Since(begun) < 2*time.Second; n++ {
		text := fmt.Sprintf(`{"n":%d,"x":%q}`, n, filler)
		_, err := writer.Write(masked(true, opText, []byte(text)))
		require.NoError(t, err)
		for range readers { // all have it before the next is sent: whoever is frozen holds nobody up
			select {
			case got := <-heard:
				require.Equal(t, n, got)
			case err := <-failed:
				require.NoError(t, err)
			case <-time.After(soon):
				t.Fatal("a message did not come")
			}
		}
		c.live(func(r *messageRoom) {
			sharedFrames = max(sharedFrames, shared(r, "frozen0", "frozen1"))
			for i := range frozen {
				if m := r.byID.find(fmt.Sprintf("frozen%d", i), r.members); frozen[i] != nil && (m == nil || !m.peer.open()) {
					go func(r *bufio.Reader) { codes <- readClose(r) }(frozen[i]) // it reads what the server had to say
					frozen[i] = nil
				}
			}
			closed = frozen == [2]*bufio.Reader{}
		})
		require.Less(t, c.srv.Stats().QueuedBytes, int64(2*(bound+2*size)+readers*128), "more waits than may")
		<-tick.C
	}
	require.Positive(t, sharedFrames, "no frame waited for both")
	t.Logf("%d messages, %.1f/s, up to %d frames shared by the queues", n, float64(n)/time.Since(begun).Seconds(), sharedFrames)
	for range frozen {
		require.Equal(t, closeTryLater, await(t, codes))
	}
	require.EqualValues(t, 2, c.srv.parties[0].sockets.stats.slow.Load())
}

// readClose reads up to the close frame and returns its code.
func readClose(r *bufio.Reader) int {
	for {
		op, payload, err := readServerFrame(r)
		if err != nil {
			return closeAbnormal
		}
		if op == opClose {
			code, _, _ := parseClosePayload(payload)
			return code
		}
	}
}

// shared counts the frames that wait for two peers, which must be the same in
// memory.
func shared(r *messageRoom, one, other string) (n int) {
	a, b := r.byID.find(one, r.members), r.byID.find(other, r.members)
	if a == nil || b == nil {
		return 0
	}
	theirs := b.peer.waitingFrames()
	for _, f := range a.peer.waitingFrames() {
		if slices.Contains(theirs, f) {
			n++
		}
	}
	return n
}

// tap is clients that read and count what they get, and allocate nothing.
type tap struct {
	mu   sync.Mutex
	cond *sync.Cond
	got  int64 // bytes
}

func newTap() *tap {
	t := &tap{}
	t.cond = sync.NewCond(&t.mu)
	return t
}

func (t *tap) drink(nc net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := nc.Read(buf)
		t.mu.Lock()
		t.got += int64(n)
		t.cond.Signal()
		t.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// await waits until n bytes have come since the last await.
func (t *tap) await(n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.got < n {
		t.cond.Wait()
	}
	t.got -= n
}

// crowdOf makes a room of one writer and so many who read, and returns functions
// that send a message, from the writer or from the server, and wait until all
// have it.
func crowdOf(tb testing.TB, m Message, peers int) (relay, broadcast func()) {
	c := newCrowd(tb, m, Limits{})
	writer, r := c.join("writer")
	go func() { _, _ = io.Copy(io.Discard, r) }()
	t := newTap()
	for i := range peers {
		nc, _ := c.join(fmt.Sprintf("p%d", i))
		go t.drink(nc)
	}
	text := []byte(`{"x":12,"y":"` + strings.Repeat("y", 100) + `"}`)
	onWire := func(n int) int64 { return int64(peers * (frameHeaderLen(n) + n)) }
	frame, relayed := masked(true, opText, text), onWire(len(text)+len(`,"from":"writer"`))
	room, err := c.srv.Room("main", "r")
	require.NoError(tb, err)
	without := []string{"writer"}
	return func() {
			_, err := writer.Write(frame)
			require.NoError(tb, err)
			t.await(relayed)
		}, func() {
			room.Broadcast(Payload{Data: text}, without...)
			t.await(onWire(len(text)))
		}
}

// A message is encoded once: what is allocated for it does not depend on how many
// get it.
func TestRelayAllocatesNothingPerPeer(t *testing.T) {
	costtest.Unraced(t)
	perMessage := func(peers int, broadcasts bool) float64 {
		send, broadcast := crowdOf(t, Message{Relay: RelayJSON}, peers)
		if broadcasts {
			send = broadcast
		}
		for range 100 {
			send()
		}
		const n = 300
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range n {
			send()
		}
		runtime.ReadMemStats(&after)
		return float64(after.Mallocs-before.Mallocs) / n
	}
	for _, broadcasts := range []bool{false, true} {
		few, many := perMessage(2, broadcasts), perMessage(202, broadcasts)
		t.Logf("allocations: %.1f for 2 peers, %.1f for 202", few, many)
		require.Less(t, many-few, 20.0, "200 more peers")
	}
}

// BenchmarkRelay sends a message through a room, from a client or from the code
// of the room, and waits until all have it.
func BenchmarkRelay(b *testing.B) {
	for _, peers := range []int{1, 10, 100, 1000} {
		relay, broadcast := crowdOf(b, Message{Relay: RelayJSON}, peers)
		for name, send := range map[string]func(){"relay": relay, "broadcast": broadcast} {
			b.Run(fmt.Sprintf("%s/peers=%d", name, peers), func(b *testing.B) {
				b.ReportAllocs()
				start := costtest.CPU()
				for b.Loop() {
					send()
				}
				reportPer(b, peers, start)
			})
		}
	}
}
