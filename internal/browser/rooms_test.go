package browser_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/browser"
	"github.com/yserverd/yserverd/internal/servertest"
	"github.com/yserverd/yserverd/internal/ytest"
)

// examples builds the programs of fixtures/rooms and returns the folder they are in.
func examples(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-o", dir, "./fixtures/rooms/...")
	cmd.Dir = ytest.Root()
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return dir
}

// run starts an example at a free port and returns its address, once it says it, and how to end it as Ctrl-C does.
func run(t *testing.T, program string, args ...string) (url string, end func()) {
	t.Helper()
	cmd := exec.Command(program, append([]string{"--listen", "127.0.0.1:0"}, args...)...)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	end = sync.OnceFunc(func() {
		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		hung := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() }) // the wait tells
		defer hung.Stop()
		require.NoError(t, cmd.Wait(), "%s ends in order", program)
	})
	t.Cleanup(end)
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	m := regexp.MustCompile(`^open (http://\S+) in two windows\n$`).FindStringSubmatch(line)
	require.NotNil(t, m, "%s", line)
	return m[1], end
}

// TestRooms has two people meet in each of the example rooms, the lobby being one that the development server has from
// its configuration alone. What was said in the chat is still there after it has been started again.
func TestRooms(t *testing.T) {
	if testing.Short() {
		t.Skip("starts browsers")
	}
	browser.Require(t) // before anything is built
	ytest.Fixture(t, "rooms")
	programs, data := examples(t), t.TempDir()
	server := servertest.New(t, servertest.Options{})
	require.NoError(t, server.Start())
	chat, endChat := run(t, filepath.Join(programs, "chat"), "--data", data)
	interview, _ := run(t, filepath.Join(programs, "interview"))
	lobby, _ := run(t, filepath.Join(programs, "lobby"), "--server", server.Address)
	result := browser.DriveRooms(t, browser.Rooms{Chat: chat, Interview: interview, Lobby: lobby})
	require.Len(t, result.Sessions, 3)
	for _, session := range result.Sessions {
		require.Len(t, session.Screenshots, 2, session.Session)
	}

	endChat()
	again, _ := run(t, filepath.Join(programs, "chat"), "--data", data)
	response, err := http.Get(again + "parties/chat/demo")
	require.NoError(t, err)
	defer response.Body.Close()
	var said []struct{ Name, Text string }
	require.NoError(t, json.NewDecoder(response.Body).Decode(&said))
	require.Len(t, said, 3)
	require.Equal(t, "Found it.", said[2].Text)
	http.DefaultClient.CloseIdleConnections()
}
