package browser_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/browser"
	"github.com/yserverd/yserverd/internal/pgtest"
	"github.com/yserverd/yserverd/internal/servertest"
	"github.com/yserverd/yserverd/internal/ytest"
)

// appSecret signs the cookies of the application's login.
const appSecret = "a secret of the test that is long enough"

// freePort returns a port on which nobody listens.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// TestSecured has people sign in at better-auth and open notes as the rows of the application's tables allow, until
// the rows or their sessions change.
func TestSecured(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser")
	}
	t.Parallel()
	browser.Require(t) // before anything is built
	database := pgtest.Database(t)
	config, err := os.ReadFile(filepath.Join(ytest.Root(), "fixtures", "secured", "yserverd.yaml"))
	require.NoError(t, err)
	port := freePort(t)
	app := browser.SecuredApp{Database: database, Secret: appSecret, Port: port}
	server := servertest.New(t, servertest.Options{Config: string(config), Env: []string{
		"DATABASE_URL=" + database, "AUTH_SECRET=" + appSecret, "APP_ORIGIN=" + app.Origin(), "YSERVERD_AUTH_RECHECK=1s", "YSERVERD_LOG_LEVEL=debug",
	}})
	app.Server = server.WebSocketURL()
	running := browser.StartSecured(t, app) // it makes the tables
	require.NoError(t, server.Start())
	result := running.Drive(t)
	require.Len(t, result.Sessions, 1)
	require.Len(t, result.Sessions[0].Screenshots, 8)
	require.NotContains(t, strings.ToLower(server.Log()), "session_token")
	require.NotContains(t, server.Log(), appSecret)
}
