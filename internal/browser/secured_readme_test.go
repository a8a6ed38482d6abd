package browser_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/browser"
	"github.com/yserverd/yserverd/internal/pgtest"
	"github.com/yserverd/yserverd/internal/ytest"
)

// fenced returns the blocks of a section of the README, by language.
func fenced(t *testing.T, title string) map[string][]string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(ytest.Root(), "README.md"))
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(page), "\n## "+title+"\n")
	require.True(t, found)
	rest, _, _ = strings.Cut(rest, "\n## ")
	blocks := map[string][]string{}
	for _, m := range regexp.MustCompile("(?s)```([a-z]+)\n(.*?)```").FindAllStringSubmatch(rest, -1) {
		blocks[m[1]] = append(blocks[m[1]], m[2])
	}
	return blocks
}

// What the README's clients have around them, and when they are done.
const (
	clientsBefore = `
import { WebSocket } from 'ws'
Object.assign(globalThis, {
  WebSocket, key: process.env.KEY, token: process.env.TOKEN, freshKey: async () => process.env.KEY,
  showRefused: (code, reason) => { throw new Error('refused: ' + code + ' ' + reason) },
  showReadOnly: () => {}, showRefreshed: answer => { globalThis.refreshed = answer }
})
setTimeout(() => { throw new Error('nothing came of it') }, 20000).unref()
`
	queryClientsAfter = `
const refused = new WebsocketProvider('ws://127.0.0.1:1234/notes', 'harbor-plan', new Y.Doc(), { params: { api_key: key }, disableBc: true })
await Promise.all([
  new Promise(resolve => refused.on('closed', ({ code }) => { if (code !== 4403) throw new Error('code ' + code); resolve() })),
  new Promise(resolve => provider.synced ? resolve() : provider.once('sync', resolve)),
  new Promise(resolve => other.synced ? resolve() : other.once('sync', resolve)),
  new Promise(resolve => socket.readyState === 1 ? resolve() : socket.addEventListener('open', resolve))
])
doc.getText('t').insert(0, 'a script wrote this')
while (!other.doc.getText('t').toString()) await new Promise(resolve => setTimeout(resolve, 10))
console.log('clients done')
process.exit(0)
`
	headerClientsAfter = `
while (!globalThis.refreshed) await new Promise(resolve => setTimeout(resolve, 10))
if (globalThis.refreshed.ok !== true) throw new Error(JSON.stringify(globalThis.refreshed))
console.log('clients done')
process.exit(0)
`
)

// TestReadmeOnSecuringRooms does what the README says of securing rooms, with the application that it names. Only
// addresses and the database are those of the test.
func TestReadmeOnSecuringRooms(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the server and an application")
	}
	t.Parallel()
	browser.Require(t) // before anything is built
	blocks := fenced(t, "Securing rooms")
	require.Len(t, blocks["sh"], 3)
	require.Len(t, blocks["yaml"], 1)
	require.Len(t, blocks["js"], 2)
	require.Len(t, blocks["console"], 1)
	database, port, appPort, dir := pgtest.Database(t), freePort(t), freePort(t), t.TempDir()
	replaced := strings.NewReplacer(
		"postgres://postgres@127.0.0.1:5432/postgres", "'"+database+"'",
		"127.0.0.1:1234", fmt.Sprintf("127.0.0.1:%d", port), "127.0.0.1:3000", fmt.Sprintf("127.0.0.1:%d", appPort),
		"go build -o bin/yserverd", "go build -C '"+ytest.Root()+"' -o '"+dir+"/bin/yserverd'",
	)
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(replaced.Replace(text)), 0o600))
	}
	write("secured.yaml", blocks["yaml"][0])
	write("before.mjs", clientsBefore)
	write("query.mjs", blocks["js"][0]+queryClientsAfter)
	write("header.mjs", blocks["js"][1]+headerClientsAfter)
	require.NoError(t, os.Symlink(filepath.Join(ytest.Fixture(t, "clients"), "node_modules"), filepath.Join(dir, "node_modules")))

	environ, application, found := strings.Cut(blocks["sh"][0], "\n")
	require.True(t, found)
	require.Regexp(t, `^\(cd fixtures/secured && npm ci --ignore-scripts && npm start\) &    # http://127\.0\.0\.1:3000,`, application)
	_, secret, _ := strings.Cut(environ, " AUTH_SECRET=")
	browser.StartSecured(t, browser.SecuredApp{Database: database, Secret: secret, Server: fmt.Sprintf("ws://127.0.0.1:%d", port), Port: appPort})

	const serving = "bin/yserverd serve -c secured.yaml &\n"
	require.Contains(t, blocks["sh"][1], serving)
	wanted := regexp.MustCompile(`(?m)^try .* # (\d+)$`).FindAllStringSubmatch(blocks["sh"][2], -1)
	require.Len(t, wanted, 10)
	command, said, found := strings.Cut(strings.TrimPrefix(blocks["console"][0], "$ "), "\n")
	require.True(t, found)
	script := environ + "\n" + strings.Replace(blocks["sh"][1], serving,
		serving+"until curl -sf -o /dev/null http://127.0.0.1:1234/readyz; do kill -0 $!; sleep 0.05; done\n", 1) +
		blocks["sh"][2] + command + "\necho\nexport TOKEN\nnode --import ./before.mjs query.mjs\nnode --import ./before.mjs header.mjs\n"
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", "trap 'kill $(jobs -p); wait' EXIT\n"+replaced.Replace(script))
	cmd.Dir = dir
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Env = append(os.Environ(), "YSERVERD_DATA_DIR="+filepath.Join(dir, "data"))
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	require.NoError(t, err, "%s\n%s", out, errs.String())
	lines := strings.Split(string(out), "\n")
	require.Contains(t, lines[0], "secured.yaml: no problems", "%s", out)
	lines = lines[1:]
	for i, w := range wanted {
		require.Equal(t, w[1], lines[i], "%s\n%s", w[0], out)
	}
	lines = lines[len(wanted):]
	require.Equal(t, strings.TrimSpace(said), lines[0])
	require.Equal(t, 2, strings.Count(string(out), "clients done"), "%s\n%s", out, errs.String())
	require.NotContains(t, errs.String(), secret)
}
