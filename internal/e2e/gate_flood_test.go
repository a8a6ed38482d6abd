package e2e_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol"
)

const (
	// callersEnv is set in a process that floods, to whom and with what, or that answers a flood.
	callersEnv = "YSERVERD_E2E_CALLERS"

	callersRate    = 1000 // refused upgrades a second
	editRate       = 200  // updates a second in the room beside
	floodRounds    = 5    // each with a quiet and a loud part
	shortFloodPart = 500 * time.Millisecond
	longFloodPart  = 10 * time.Second
	// floodSlack is what a scheduler may do to a percentile of a hundred updates.
	floodSlack = time.Millisecond
)

// TestRefusedCallersDisturbNobody: a thousand callers a second who are refused, each on a connection of his own, leave
// those who edit their latency. The machine has two cores for the server, the clients and the flood, and a thousand
// connections a second cost the kernel and the one who makes them more than the server. So it is held against the same
// flood at the least that could answer it: a process that says 401 to everything. Callers whose keys and sessions have
// to be looked up cost the database as well, which is on the same cores here: for them the bound is twice as wide.
func TestRefusedCallersDisturbNobody(t *testing.T) {
	switch flood := os.Getenv(callersEnv); flood {
	case "":
	case "least":
		refuseEverybody()
		return
	default:
		refusedCallers(flood)
		return
	}
	part, bound, slack := shortFloodPart, 2.0, floodSlack
	if os.Getenv("YSERVERD_TEST_LONG") == "1" {
		part, bound, slack = longFloodPart, 1.3, 0
	}
	app := sharedGateApp(t)
	room := newTimedRoom(t, app)
	room.measure(part) // warm
	least := startCallersChild(t, "least")
	var address string
	_, err := fmt.Fscanf(least.out, "%s\n", &address)
	require.NoError(t, err)
	during := map[string][]time.Duration{}
	reached := map[string]float64{}
	for range floodRounds {
		during["quiet"] = append(during["quiet"], room.measure(part))
		for name, flood := range map[string]string{
			"least": address + " stateless", "refused": app.Address + " stateless", "looked up": app.Address + " stored",
		} {
			callers := startCallers(t, flood)
			during[name] = append(during[name], room.measure(part))
			reached[name] += callers.stop() / floodRounds
		}
	}
	least.end()
	p99 := map[string]time.Duration{}
	for name, d := range during {
		slices.Sort(d)
		p99[name] = d[floodRounds/2]
	}
	t.Logf("p99 of %d updates a second, beside so many callers a second: %v, %v; all: %v", editRate, p99, reached, during)
	require.Greater(t, reached["refused"], callersRate*0.5, "the machine cannot make the flood")
	beside := float64(max(p99["least"], p99["quiet"]) + slack) // a machine that is busy otherwise is never quiet
	require.LessOrEqual(t, float64(p99["refused"]), bound*beside)
	require.LessOrEqual(t, float64(p99["looked up"]), 2*bound*beside)
	require.Less(t, filesOf(t, app), 100, "the refused leave connections behind")
}

// filesOf counts the open files of the server, connections among them.
func filesOf(t *testing.T, app *gateApp) int {
	t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", app.PID()))
	require.NoError(t, err)
	return len(files)
}

// timedRoom is a room with one who edits and one who reads.
type timedRoom struct {
	t              *testing.T
	writer, reader *websocket.Conn
	clock          uint64
	arrived        chan time.Duration
}

func newTimedRoom(t *testing.T, app *gateApp) *timedRoom {
	t.Helper()
	r := &timedRoom{t: t, arrived: make(chan time.Duration, 1<<12)}
	r.writer, r.reader = app.dial("/parties/notes/roadmap?_pk=w", bearer(t, "grace")...), app.dial("/parties/notes/roadmap?_pk=r", bearer(t, "alan")...)
	for _, conn := range []*websocket.Conn{r.writer, r.reader} {
		require.NoError(t, conn.SetReadDeadline(time.Time{}))
		require.NoError(t, conn.WriteMessage(websocket.BinaryMessage, askAll))
		expectFrame(t, conn, answerNo)
	}
	var reading sync.WaitGroup
	reading.Go(func() { // echoes
		for {
			if _, _, err := r.writer.ReadMessage(); err != nil {
				return
			}
		}
	})
	reading.Go(func() {
		for {
			_, frame, err := r.reader.ReadMessage()
			if err != nil {
				return
			}
			now := time.Now().UnixNano()
			// Updates that came close together are one frame: each of them says when it was sent.
			for text := string(frame); ; {
				_, after, ok := strings.Cut(text, "@")
				if !ok || len(after) < 19 {
					break
				}
				if sent, err := strconv.ParseInt(after[:19], 10, 64); err == nil {
					r.arrived <- time.Duration(now - sent)
				}
				text = after
			}
		}
	})
	t.Cleanup(func() { r.writer.Close(); r.reader.Close(); reading.Wait() })
	return r
}

// measure edits for a time and returns the 99th percentile of how long the edits took to the reader.
func (r *timedRoom) measure(part time.Duration) time.Duration {
	r.t.Helper()
	tick := time.NewTicker(time.Second / editRate)
	defer tick.Stop()
	n := int(part.Seconds() * editRate)
	for range n {
		<-tick.C
		require.NoError(r.t, r.writer.WriteMessage(websocket.BinaryMessage, r.update("@"+strconv.FormatInt(time.Now().UnixNano(), 10))))
	}
	took := make([]time.Duration, 0, n)
	late := time.After(gatePatience)
	for len(took) < n {
		select {
		case d := <-r.arrived:
			took = append(took, d)
		case <-late:
			require.Fail(r.t, "updates did not arrive", "%d of %d", len(took), n)
		}
	}
	slices.Sort(took)
	return took[len(took)*99/100]
}

// update is client 7 appending to an array of texts "a": one item behind the one before.
func (r *timedRoom) update(text string) []byte {
	b := []byte{1, 1, 7}
	b = binary.AppendUvarint(b, r.clock)
	if r.clock == 0 {
		b = append(b, 4, 1, 1, 't') // a text in the root "t"
	} else {
		b = append(b, 4|0x80, 7)
		b = binary.AppendUvarint(b, r.clock-1)
	}
	b = append(b, byte(len(text)))
	b = append(append(b, text...), 0)
	r.clock += uint64(len(text))
	return append(protocol.AppendSyncHeader(nil, protocol.SyncUpdate, len(b)), b...)
}

// callers is the process that floods.
type callers struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.Closer
	out   *bufio.Reader
	began time.Time
}

// startCallers starts a flood, and returns once it runs. It has the lowest priority, as if it were on machines of its own.
func startCallers(t *testing.T, flood string) *callers {
	t.Helper()
	c := startCallersChild(t, flood)
	line, err := c.out.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "callers\n", line)
	c.began = time.Now()
	return c
}

// startCallersChild starts this test as another process that does something else.
func startCallersChild(t *testing.T, do string) *callers {
	t.Helper()
	c := &callers{t: t, cmd: exec.Command("nice", "-n", "19", os.Args[0], "-test.run=^TestRefusedCallersDisturbNobody$", "-test.timeout=5m")}
	if do == "least" {
		c.cmd = exec.Command(os.Args[0], c.cmd.Args[4:]...)
	}
	c.cmd.Env = append(os.Environ(), callersEnv+"="+do)
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	c.cmd.Stderr = t.Output()
	in, err := c.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := c.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.cmd.Start())
	c.in, c.out = in, bufio.NewReader(out)
	return c
}

// stop ends the flood, and returns how many were refused a second.
func (c *callers) stop() float64 {
	c.t.Helper()
	took := time.Since(c.began)
	require.NoError(c.t, c.in.Close())
	var refused int
	_, err := fmt.Fscanf(c.out, "refused %d\n", &refused)
	require.NoError(c.t, err)
	c.end()
	return float64(refused) / took.Seconds()
}

// end waits for the end of the process.
func (c *callers) end() {
	c.t.Helper()
	_ = c.in.Close()
	_, _ = io.Copy(io.Discard, c.out)
	require.NoError(c.t, c.cmd.Wait())
}

// refuseEverybody answers everything with 401 until standard input ends.
func refuseEverybody() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	s := &http.Server{ReadHeaderTimeout: gatePatience, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
	})}
	go func() { _ = s.Serve(l) }()
	fmt.Println(l.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = s.Close()
}

// callersCredentials are what callers bring who are refused: what the server knows by itself, and what it looks up.
var callersCredentials = map[string][]string{
	"stateless": {
		"", "Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.AAAA\r\n",
		"Cookie: better-auth.session_token=forged.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%3D\r\n",
	},
	"stored": {"Authorization: Bearer nothing\r\n", "X-Api-Key: nothing\r\n"},
}

// refusedCallers floods until standard input ends: an address, and the name of credentials.
func refusedCallers(flood string) {
	const rate = callersRate
	address, kind, _ := strings.Cut(flood, " ")
	credentials := callersCredentials[kind]
	var refused atomic.Int64
	stop := make(chan struct{})
	var running sync.WaitGroup
	slots := make(chan int, rate)
	for range 16 {
		running.Go(func() {
			for n := range slots {
				if refuseOne(address, credentials[n%len(credentials)]) {
					refused.Add(1)
				}
			}
		})
	}
	running.Go(func() {
		defer close(slots)
		begun, n := time.Now(), 0
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
			for due := int(time.Since(begun).Seconds() * float64(rate)); n < due; n++ {
				select {
				case slots <- n:
				default: // the machine cannot: the figures say so
				}
			}
		}
	})
	fmt.Println("callers")
	_, _ = io.Copy(io.Discard, os.Stdin)
	counted := refused.Load()
	close(stop)
	running.Wait()
	fmt.Printf("refused %d\n", counted)
}

// refuseOne reports whether one caller is refused.
func refuseOne(address, credential string) bool {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = io.WriteString(conn, "GET /parties/notes/roadmap HTTP/1.1\r\nHost: "+address+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"+credential+"\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusTooManyRequests
}
