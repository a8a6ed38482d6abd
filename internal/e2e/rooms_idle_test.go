package e2e_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// idleBound is what a room that hibernates may cost, with its connection, bytes.
// It is far above what is measured.
const idleBound = 64 << 10

// Rooms with one silent client each leave memory: what is left of a room is its
// connection. The figure is logged.
func TestIdleRoomsAreCheap(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells how much memory a process has")
	}
	rooms := 1000
	if os.Getenv("YSERVERD_TEST_LONG") == "1" {
		rooms = 10_000
	}
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	if limit.Cur < uint64(rooms)+500 {
		t.Skipf("%d rooms need as many open files, %d are allowed", rooms, limit.Cur)
	}
	for _, party := range []string{"idle", "awake"} {
		t.Run(party, func(t *testing.T) { idleRooms(t, party, rooms) })
	}
}

func idleRooms(t *testing.T, party string, rooms int) {
	s := startRooms(t, t.TempDir())
	defer s.kill()
	const warm = 100 // what the process needs once
	open(t, s, party, warm, "warm")
	_, _, _, before := s.figures()
	conns := open(t, s, party, rooms, "room")
	require.Eventually(t, func() bool {
		connections, _, hibernations, _ := s.figures()
		return connections == rooms+warm && (party != "idle" || hibernations >= rooms+warm)
	}, time.Minute, 200*time.Millisecond)
	_, _, _, after := s.figures()
	each := (after - before) / rooms
	t.Logf("%d rooms with a connection each: %.1f KiB per room", rooms, float64(each)/1024)
	require.Less(t, each, idleBound)
	// They are all there: each wakes up for a message.
	for _, c := range []net.Conn{conns[0], conns[rooms/2], conns[rooms-1]} {
		const change = `{"type":"presence"}`
		_, err := c.Write(append([]byte{0x81, 0x80 | byte(len(change)), 0, 0, 0, 0}, change...))
		require.NoError(t, err)
		require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Minute)))
		_, err = c.Read(make([]byte, 1))
		require.NoError(t, err)
	}
}

// open connects one client to each of so many rooms, by as little as that takes.
// They have read what the room had to say.
func open(t *testing.T, s *roomServer, party string, rooms int, name string) []net.Conn {
	t.Helper()
	conns := make([]net.Conn, 0, rooms)
	for i := range rooms {
		c, err := net.Dial("tcp", s.addr)
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		_, err = fmt.Fprintf(c, "GET /parties/%s/%s-%d HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", party, name, i)
		require.NoError(t, err)
		r := bufio.NewReaderSize(c, 1024)
		resp, err := http.ReadResponse(r, nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
		var head [2]byte // the roster
		_, err = io.ReadFull(r, head[:])
		require.NoError(t, err)
		_, err = r.Discard(int(head[1]))
		require.NoError(t, err)
		conns = append(conns, c)
	}
	return conns
}
