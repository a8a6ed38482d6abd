package servertest_test

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/servertest"
)

// Example shows a test that kills the server under its clients.
func Example() {
	_ = func(t *testing.T, use func(url string)) {
		s := servertest.New(t, servertest.Options{})
		require.NoError(t, s.Start())
		use(s.WebSocketURL())
		require.NoError(t, s.Restart())
		use(s.WebSocketURL())
	}
	// Output:
}

// status asks a path of a server and returns how it answered.
func status(t *testing.T, url string) int {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}

// awaitLog waits until so many bytes were read of what the server writes, which may be after it is ready.
func awaitLog(t *testing.T, s *servertest.Server, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return len(s.Log()) >= n }, 30*time.Second, 5*time.Millisecond)
}

func TestServerIsKilledAndStartedAgain(t *testing.T) {
	s := servertest.New(t, servertest.Options{})
	s.Kill() // nothing to kill
	require.Zero(t, s.PID())
	require.NoError(t, s.Start())
	require.NotZero(t, s.PID())
	require.Equal(t, http.StatusOK, status(t, s.URL()+"/readyz"))
	require.Error(t, s.Start(), "it runs")
	require.DirExists(t, s.Data)
	awaitLog(t, s, 1)

	s.Kill()
	first := len(s.Log())
	_, err := http.Get(s.URL() + "/readyz")
	require.Error(t, err, "nobody is there")
	require.NoError(t, s.Start())
	require.NoError(t, s.Restart())
	require.Equal(t, http.StatusOK, status(t, s.URL()+"/readyz"))
	awaitLog(t, s, first+1)
}

func TestServerIsConfigured(t *testing.T) {
	s := servertest.New(t, servertest.Options{
		Config: "listen: 127.0.0.1:1\ndata_dir: nowhere\nrooms:\n  notes: {type: document, access: public}\n",
		Env:    []string{"YSERVERD_LOG_FORMAT=json"},
	})
	require.NoError(t, s.Start())
	require.DirExists(t, s.Data)
	require.NoDirExists(t, filepath.Join(filepath.Dir(s.Data), "nowhere"))
	awaitLog(t, s, 1)
	require.Equal(t, byte('{'), s.Log()[0], "what is logged is JSON")
}

func TestServerThatEndsSaysWhy(t *testing.T) {
	s := servertest.New(t, servertest.Options{Args: []string{"--no-such-flag"}})
	require.ErrorContains(t, s.Start(), "--no-such-flag")

	s = servertest.New(t, servertest.Options{})
	require.NoError(t, os.WriteFile(s.Data, nil, 0o600))
	require.ErrorContains(t, s.Start(), "exit status")
}

func TestEnvironmentDoesNotConfigure(t *testing.T) {
	require.Equal(t, []string{"PATH=/bin", "MY_YSERVERD_X=1"},
		servertest.Environment([]string{"PATH=/bin", "YSERVERD_LISTEN=:1", "MY_YSERVERD_X=1"}))
}

func TestTailIsWholeLines(t *testing.T) {
	require.Equal(t, "one\ntwo\n", servertest.Tail("one\ntwo\n", 8))
	require.Equal(t, "[...]\ntwo\n", servertest.Tail("one\ntwo\n", 6))
	require.Equal(t, "[...]\nlong", servertest.Tail("a-long", 4))
}
