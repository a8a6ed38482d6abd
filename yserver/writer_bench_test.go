package yserver

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/costtest"
)

// drinkers connects n clients to the site that read and forget.
func drinkers(b *testing.B, st *site, n int) []*peer {
	b.Helper()
	var peers []*peer
	for range n {
		c := st.dialRaw(nil)
		require.NoError(b, c.SetDeadline(time.Time{}))
		peers = append(peers, c.peer)
		go func() { _, _ = io.Copy(io.Discard, c.Conn) }()
	}
	return peers
}

// reportPer adds wall time and CPU time per delivery, the readers' included.
func reportPer(b *testing.B, peers int, cpuStart time.Duration) {
	n := float64(b.N) * float64(peers)
	b.ReportMetric(float64(b.Elapsed().Microseconds())/n, "us/delivery")
	b.ReportMetric(float64((costtest.CPU()-cpuStart).Microseconds())/n, "cpu-us/delivery")
}

// drain waits until no more than n bytes wait for the peer, as a plain Write
// does.
func drain(p *peer, n int64) {
	for p.queued() > n {
		time.Sleep(20 * time.Microsecond) // spinning would take the lock from the writer
	}
}

// BenchmarkPush gives one frame to every peer.
func BenchmarkPush(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		for _, size := range []int{64, 4096} {
			b.Run(fmt.Sprintf("peers=%d/msg=%d", n, size), func(b *testing.B) {
				st := newSite(b, socketConfig{QueueBytes: 1 << 40})
				peers := drinkers(b, st, n)
				body := make([]byte, size)
				b.ReportAllocs()
				b.SetBytes(int64(size * n))
				start := costtest.CPU()
				for b.Loop() {
					f := newFrame(opBinary, kindUpdate, nil, body)
					for _, p := range peers {
						p.push(f)
						drain(p, 256<<10)
					}
				}
				for _, p := range peers {
					drain(p, 0)
				}
				reportPer(b, n, start)
			})
		}
	}
}

// BenchmarkPlainWrite is the floor: a loop of one Write per recipient.
func BenchmarkPlainWrite(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		for _, size := range []int{64, 4096} {
			b.Run(fmt.Sprintf("peers=%d/msg=%d", n, size), func(b *testing.B) {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				require.NoError(b, err)
				defer l.Close()
				var conns []net.Conn
				for range n {
					c, err := net.Dial("tcp", l.Addr().String())
					require.NoError(b, err)
					defer c.Close()
					s, err := l.Accept()
					require.NoError(b, err)
					defer s.Close()
					go func() { _, _ = io.Copy(io.Discard, c) }()
					conns = append(conns, s)
				}
				body := make([]byte, size)
				b.ReportAllocs()
				b.SetBytes(int64(size * n))
				start := costtest.CPU()
				for b.Loop() {
					f := newFrame(opBinary, kindUpdate, nil, body)
					raw := append(append([]byte(nil), f.head...), f.body...)
					for _, c := range conns {
						if _, err := c.Write(raw); err != nil {
							b.Fatal(err)
						}
					}
				}
				reportPer(b, n, start)
			})
		}
	}
}

// BenchmarkPushMany gives every peer several frames at once, as after a tick.
func BenchmarkPushMany(b *testing.B) {
	st := newSite(b, socketConfig{QueueBytes: 1 << 40})
	peers := drinkers(b, st, 10)
	f := newFrame(opBinary, kindUpdate, nil, make([]byte, 64))
	b.ReportAllocs()
	start := costtest.CPU()
	for b.Loop() {
		for _, p := range peers {
			p.push(f, f, f, f)
			drain(p, 256<<10)
		}
	}
	reportPer(b, 40, start)
}

// BenchmarkReceive is a message from a client to its room.
func BenchmarkReceive(b *testing.B) {
	st := newSite(b, socketConfig{})
	room := newFakeRoom()
	got := make(chan struct{}, 1)
	room.onRecv = func(*peer, bool, []byte) { got <- struct{}{} }
	nc, _ := st.dialBusy(room, nil)
	msg := masked(true, opBinary, make([]byte, 64))
	b.ReportAllocs()
	for b.Loop() {
		_, _ = nc.Write(msg)
		<-got
	}
}

// idleChild makes the test binary a server for BenchmarkIdleConnection.
const idleChild = "YSERVER_IDLE_CHILD"

// serveIdle accepts connections until its standard input ends; a line on it is
// answered with the resident memory, as it is and after a collection.
func serveIdle() {
	s := newSockets(socketConfig{PingInterval: 2 * time.Second})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := s.accept(w, r, acceptOptions{receiver: newQuietRoom(), keepalive: true})
		if err != nil {
			panic(err)
		}
		p.start()
	})}
	go func() { _ = srv.Serve(l) }()
	fmt.Println(l.Addr())
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		asIs := rss()
		debug.FreeOSMemory()
		fmt.Println(asIs, rss(), s.live())
	}
}

type quietRoom struct{}

func newQuietRoom() receiver                  { return quietRoom{} }
func (quietRoom) receive(*peer, bool, []byte) {}
func (quietRoom) drained(*peer)               {}
func (quietRoom) left(*peer, closeInfo)       {}

var rssLine = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)

func rss() int {
	b, _ := os.ReadFile("/proc/self/status")
	m := rssLine.FindSubmatch(b)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(string(m[1]))
	return n
}

// BenchmarkIdleConnection measures the resident memory of a server process per
// connection that was pinged, sent a message, and now is idle.
func BenchmarkIdleConnection(b *testing.B) {
	const n = 5000
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), idleChild+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(b, err)
	pipe, err := cmd.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, cmd.Start())
	defer func() {
		_ = in.Close()
		_ = cmd.Wait()
	}()
	out := bufio.NewReader(pipe)
	ask := func() (asIs, collected, live int) {
		_, _ = io.WriteString(in, "\n")
		line, err := out.ReadString('\n')
		require.NoError(b, err)
		_, err = fmt.Sscan(line, &asIs, &collected, &live)
		require.NoError(b, err)
		return asIs, collected, live
	}
	addr, err := out.ReadString('\n')
	require.NoError(b, err)
	for b.Loop() {
		asIs0, collected0, _ := ask()
		var conns []net.Conn
		for range n {
			c, err := net.Dial("tcp", strings.TrimSpace(addr))
			require.NoError(b, err)
			_, err = c.Write([]byte(plainHandshake))
			require.NoError(b, err)
			_, err = c.Write(masked(true, opBinary, make([]byte, 100)))
			require.NoError(b, err)
			conns = append(conns, c)
		}
		time.Sleep(3 * time.Second) // every connection is pinged
		asIs, collected, live := ask()
		require.Equal(b, n, live)
		b.ReportMetric(float64(asIs-asIs0)/n, "KiB/conn")
		b.ReportMetric(float64(collected-collected0)/n, "KiB/conn-collected")
		for _, c := range conns {
			_ = c.Close()
		}
	}
}
