package browser_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/browser"
)

// Example shows a test that drives a server which it can restart.
func Example() {
	_ = func(t *testing.T, start func() (url string, restart func() error)) {
		url, restart := start()
		browser.Drive(t, browser.Scenario{YWebsocket: url, YProvider: url, Saved: true, Restart: restart})
	}
	// Output:
}

func TestFindNamesWhatIsMissing(t *testing.T) {
	installed := map[string]string{"node": "/bin/node", "npm": "/bin/npm", "chromium-browser": "/bin/cb", "/opt/mine": "/opt/mine"}
	look := func(name string) (string, error) {
		if path, ok := installed[name]; ok {
			return path, nil
		}
		return "", fmt.Errorf("%s: %w", name, exec.ErrNotFound)
	}
	environment := map[string]string{}
	getenv := func(key string) string { return environment[key] }

	tools, err := browser.Find(getenv, look)
	require.NoError(t, err)
	require.Equal(t, browser.Tools{Node: "/bin/node", NPM: "/bin/npm", Chromium: "/bin/cb"}, tools)

	environment[browser.ChromiumEnv] = "/opt/mine"
	tools, err = browser.Find(getenv, look)
	require.NoError(t, err)
	require.Equal(t, "/opt/mine", tools.Chromium)

	environment[browser.ChromiumEnv] = "/opt/gone" // a wrong path is not replaced by whatever else there is
	_, err = browser.Find(getenv, look)
	require.ErrorIs(t, err, exec.ErrNotFound)
	require.ErrorContains(t, err, "Chromium")

	delete(installed, "node")
	_, err = browser.Find(getenv, look)
	require.ErrorContains(t, err, "Node")
}

// script is a driver in a few lines of shell.
func script(ctx context.Context, lines ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "sh", "-c", strings.Join(lines, "\n"))
}

func TestConverseServesTheRestart(t *testing.T) {
	var log []string
	note := func(args ...any) { log = append(log, fmt.Sprint(args...)) }
	restarts := 0
	result, err := browser.Converse(script(t.Context(),
		`echo one >&2`,
		`echo READY restart`,
		`read answer && test "$answer" = restarted || exit 3`,
		`printf two >&2`,
		`echo 'RESULT {"ok":true,"sessions":[{"session":"quill-yprovider","clients":3}]}'`,
	), func() error { restarts++; return nil }, note)
	require.NoError(t, err)
	require.Equal(t, 1, restarts)
	require.Equal(t, []string{"one", "two"}, log)
	require.Equal(t, browser.Result{OK: true, Sessions: []browser.Session{{Session: "quill-yprovider", Clients: 3}}}, result)
}

func TestConverseReportsFailure(t *testing.T) {
	silent := func(...any) {}
	result, err := browser.Converse(script(t.Context(), `echo 'RESULT {"ok":false,"error":"documents differ"}'`, `exit 1`), nil, silent)
	require.NoError(t, err)
	require.False(t, result.OK)
	require.Equal(t, "documents differ", result.Error)

	_, err = browser.Converse(script(t.Context(), `exit 7`), nil, silent)
	require.ErrorContains(t, err, "exit status 7")

	_, err = browser.Converse(script(t.Context(), `echo hello`, `read never`), nil, silent)
	require.ErrorContains(t, err, `driver said "hello"`)

	refused := errors.New("address in use")
	_, err = browser.Converse(script(t.Context(), `echo READY restart`, `read never`), func() error { return refused }, silent)
	require.ErrorIs(t, err, refused)

	ctx, cancel := context.WithCancel(t.Context())
	_, err = browser.Converse(script(ctx, `echo READY restart`, `read answer`, `read never`), func() error { cancel(); return nil }, silent)
	require.Error(t, err)
}
