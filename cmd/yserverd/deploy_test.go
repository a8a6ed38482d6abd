package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/yserverd/yserverd/cmd/yserverd/internal/config"
	"github.com/yserverd/yserverd/internal/ytest"
	"github.com/yserverd/yserverd/yserver"
)

// pinned is an image with a tag that says a version.
var pinned = regexp.MustCompile(`^[a-z0-9./-]+:(v?[0-9]+[0-9a-z.-]*|nonroot|local)$`)

// parses refuses a command line of ours that does not exist.
func parses(t *testing.T, args []string) {
	t.Helper()
	require.NoError(t, (&Main{}).ParseFlags(args), "%q", args)
}

// TestDockerfile: stages, user, paths and commands of docs/Dockerfile are there.
func TestDockerfile(t *testing.T) {
	text, err := os.ReadFile("../../docs/Dockerfile")
	require.NoError(t, err)
	said := make(map[string][]string)
	for line := range strings.Lines(string(text)) {
		if instruction, rest, ok := strings.Cut(strings.TrimSpace(line), " "); ok && instruction != "#" {
			said[instruction] = append(said[instruction], strings.TrimSpace(rest))
		}
	}
	for _, from := range said["FROM"] {
		image, _, _ := strings.Cut(from, " ")
		require.Regexp(t, pinned, image)
	}
	mod, err := os.ReadFile("../../go.mod")
	require.NoError(t, err)
	require.Contains(t, string(mod), "\ngo "+regexp.MustCompile(`golang:([0-9.]+)`).FindStringSubmatch(said["FROM"][0])[1]+".")
	require.Contains(t, strings.Join(said["RUN"], "\n"), "CGO_ENABLED=0 go build")
	require.Contains(t, strings.Join(said["RUN"], "\n"), "./cmd/yserverd")
	require.Equal(t, []string{"65532:65532"}, said["USER"])
	require.Equal(t, []string{"SIGTERM"}, said["STOPSIGNAL"])

	var environ []string
	for _, line := range said["ENV"] {
		environ = append(environ, strings.Fields(line)...)
	}
	environ = append(environ, "YSERVERD_ADMIN_TOKENS="+digest("t")) // without any there is a warning
	cfg, err := config.Load("../../docs/yserverd.yaml", config.Options{Environ: environ, PartyName: yserver.KebabCase})
	require.NoError(t, err)
	require.Empty(t, cfg.Warnings, "every variable is that of a key")
	require.Equal(t, said["VOLUME"][0], cfg.DataDir)
	require.Equal(t, "0.0.0.0:"+said["EXPOSE"][0], cfg.Listen)

	var entry, command, health []string
	require.NoError(t, json.Unmarshal([]byte(said["ENTRYPOINT"][0]), &entry))
	require.NoError(t, json.Unmarshal([]byte(said["CMD"][0]), &command))
	_, check, found := strings.Cut(said["HEALTHCHECK"][0], "CMD ")
	require.True(t, found)
	require.NoError(t, json.Unmarshal([]byte(check), &health))
	require.Equal(t, []string{"yserverd"}, entry)
	parses(t, command)
	parses(t, health[1:])
	require.Equal(t, "http://127.0.0.1:"+said["EXPOSE"][0]+"/healthz", health[2])
	copied := strings.Join(said["COPY"], "\n")
	require.Contains(t, copied, "docs/yserverd.yaml "+command[2])
	require.Contains(t, copied, "--chown=65532:65532 /out/data "+cfg.DataDir)
}

// composed is what a test looks at in a compose file.
type composed struct {
	Services map[string]struct {
		Build struct {
			Context, Dockerfile string
		}
		Image       string
		Environment map[string]string
		Ports       []string
		Command     []string
		Volumes     []string
		DependsOn   map[string]map[string]string `yaml:"depends_on"`
	}
	Volumes map[string]any
}

// TestCompose: docs/compose.yaml configures keys that exist, publishes on loopback only, and pins its images; its
// services know each other by the names, ports and accounts that they have.
func TestCompose(t *testing.T) {
	text, err := os.ReadFile("../../docs/compose.yaml")
	require.NoError(t, err)
	for _, secret := range []string{"POSTGRES_PASSWORD", "S3_SECRET_KEY"} {
		require.Contains(t, string(text), "${"+secret+":?", "a secret has no default")
	}
	filled := regexp.MustCompile(`\$\{([A-Z0-9_]+):\?[^}]*\}`).ReplaceAllString(string(text), "filled-$1")
	var c composed
	require.NoError(t, yaml.Unmarshal([]byte(filled), &c))

	for name, service := range c.Services {
		require.Regexp(t, pinned, service.Image, name)
		for _, port := range service.Ports {
			require.True(t, strings.HasPrefix(port, "127.0.0.1:"), "%s publishes %s", name, port)
		}
		for _, volume := range service.Volumes {
			volume, _, _ = strings.Cut(volume, ":")
			require.Contains(t, c.Volumes, volume)
		}
		for other := range service.DependsOn {
			require.Contains(t, c.Services, other)
		}
	}
	ours, postgres, s3, bucket := c.Services["yserverd"], c.Services["postgres"], c.Services["s3"], c.Services["bucket"]
	require.FileExists(t, filepath.Join("../../docs", ours.Build.Context, ours.Build.Dockerfile))
	var environ []string
	for name, value := range ours.Environment {
		environ = append(environ, name+"="+value)
	}
	environ = append(environ, "YSERVERD_ADMIN_TOKENS="+digest("t")) // without any there is a warning
	cfg, err := config.Load("../../docs/yserverd.yaml", config.Options{Environ: environ, PartyName: yserver.KebabCase})
	require.NoError(t, err)
	require.Empty(t, cfg.Warnings, "every variable is that of a key")
	require.Equal(t, "postgres://"+postgres.Environment["POSTGRES_USER"]+":"+postgres.Environment["POSTGRES_PASSWORD"]+
		"@postgres:5432/"+postgres.Environment["POSTGRES_DB"]+"?sslmode=disable", cfg.Store.URL)
	at := cfg.Snapshots.S3
	require.Equal(t, "s3"+s3.Command[1], at.Endpoint)
	require.Equal(t, s3.Environment["ROOT_ACCESS_KEY"], at.AccessKey)
	require.Equal(t, s3.Environment["ROOT_SECRET_KEY"], at.SecretKey)
	require.Equal(t, s3.Command[len(s3.Command)-1]+"/"+at.Bucket, bucket.Command[len(bucket.Command)-1])
	require.True(t, slices.Equal(s3.Volumes, bucket.Volumes))
	require.True(t, at.PathStyle)
	require.False(t, at.TLS)
}

// TestDocumentedCommands: every command line of the program in the documents exists, with its flags.
func TestDocumentedCommands(t *testing.T) {
	lines := 0
	for _, page := range []string{"../../README.md", "../../docs/documents.md", "../../docs/configuration.md", "../../docs/y-leveldb-export.mjs"} {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`(?m)^(?://|    )? *(?:go run \./cmd/)?yserverd ([a-z][^|#\n]*)(?:\| yserverd ([^#\n]*))?`).FindAllStringSubmatch(string(text), -1) {
			for _, command := range m[1:] {
				if command = strings.TrimSpace(command); command == "" {
					continue
				}
				args := strings.Fields(strings.NewReplacer("'", "", `"`, "", "<new folder>", "folder").Replace(command))
				parses(t, slices.DeleteFunc(args, func(s string) bool { return strings.HasPrefix(s, ">") || strings.HasPrefix(s, "<") }))
				lines++
			}
		}
	}
	require.Greater(t, lines, 15)
}

// TestArchitectureNamesTests: each failure that ARCHITECTURE.md says something of has tests, and they exist.
func TestArchitectureNamesTests(t *testing.T) {
	page, err := os.ReadFile("../../ARCHITECTURE.md")
	require.NoError(t, err)
	_, table, found := strings.Cut(string(page), "## What survives which failure\n")
	require.True(t, found)
	table, _, found = strings.Cut(table, "\n## ")
	require.True(t, found)
	there := make(map[string]bool)
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)
	for _, folder := range []string{"cmd", "gate", "internal", "persist", "yserver"} {
		require.NoError(t, filepath.WalkDir(filepath.Join("../..", folder), func(file string, _ os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(file, "_test.go") {
				return err
			}
			source, err := os.ReadFile(file)
			for _, m := range declared.FindAllSubmatch(source, -1) {
				there[string(m[1])] = true
			}
			return err
		}))
	}
	rows := 0
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| event") {
			continue
		}
		names := regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(line, -1)
		require.NotEmpty(t, names, line)
		for _, name := range names {
			require.True(t, there[name[1]], name[1])
		}
		rows++
	}
	require.Greater(t, rows, 25, "both tables")
}

// TestYLevelDB: what y-leveldb has written is imported by way of docs/y-leveldb-export.mjs, room by room.
func TestYLevelDB(t *testing.T) {
	node, clients := ytest.Node(t), ytest.Fixture(t, "clients")
	dir := t.TempDir()
	require.NoError(t, os.Symlink(filepath.Join(clients, "node_modules"), filepath.Join(dir, "node_modules")))
	script, err := os.ReadFile("../../docs/y-leveldb-export.mjs")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "y-leveldb-export.mjs"), script, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "write.mjs"), []byte(`
		import { LeveldbPersistence } from 'y-leveldb'
		const store = new LeveldbPersistence('leveldb')
		const updates = JSON.parse(process.argv[2])
		for (const [room, list] of Object.entries(updates)) {
			for (const update of list) await store.storeUpdate(room, Uint8Array.from(update))
		}
		await store.flushDocument('flushed')
		await store.destroy()
	`), 0o600))
	b := []byte{1, 1, 1, 1, 0x84, 1, 0, 1, 'b', 0} // behind the "a" of client 1
	updates := map[string][][]int{}
	for room, list := range map[string][][]byte{"notes": {text(1, "a"), b}, "flushed": {text(1, "a"), b}, "a/b ö": {text(1, "z")}} {
		for _, u := range list {
			var numbers []int
			for _, c := range u {
				numbers = append(numbers, int(c))
			}
			updates[room] = append(updates[room], numbers)
		}
	}
	argument, err := json.Marshal(updates)
	require.NoError(t, err)
	for _, args := range [][]string{{"write.mjs", string(argument)}, {"y-leveldb-export.mjs", "leveldb", "bundle", "p"}} {
		cmd := exec.Command(node, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	data := filepath.Join(dir, "data")
	require.Contains(t, MustDo(t, nil, "doc", "import", "--data", data, filepath.Join(dir, "bundle")).stderr, "imported 3 documents")
	for room, want := range map[string]string{"notes": "ab\n", "flushed": "ab\n", "a/b ö": "z\n"} {
		require.Equal(t, want, MustDo(t, nil, "doc", "get", "--data", data, "p", room, "--format", "text").stdout)
	}
	r := run(t, nil, "doc", "import", "--data", data, "--party", "p", filepath.Join(dir, "leveldb"))
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.stderr, "is a LevelDB")
}
