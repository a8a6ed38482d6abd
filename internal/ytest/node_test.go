package ytest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/ytest"
)

// Example shows a test that runs a script of a fixture.
func Example() {
	_ = func(t *testing.T) {
		cmd := exec.Command(ytest.Node(t), "differential.mjs", "--standin")
		cmd.Dir = ytest.Fixture(t, "yjs")
	}
	// Output:
}

// fakeNPM writes a program that, called as npm, makes node_modules and notes each call.
func fakeNPM(t *testing.T, dir string, exit string) string {
	path := filepath.Join(t.TempDir(), "npm")
	script := "#!/bin/sh\nmkdir -p node_modules\necho \"$@\" >> calls\n" + exit + "\n"
	require.NoError(t, os.WriteFile(path, []byte(script), 0o755))
	return path
}

func TestInstallOnceForEachLock(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	calls := func() int {
		b, err := os.ReadFile(filepath.Join(dir, "calls"))
		if os.IsNotExist(err) {
			return 0
		}
		require.NoError(t, err)
		return strings.Count(string(b), "ci --ignore-scripts")
	}
	npm := fakeNPM(t, dir, "")
	require.Error(t, ytest.Install(dir, npm), "no package files")
	write("package.json", "{}")
	write("package-lock.json", "1")
	require.False(t, ytest.Installed(dir))

	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := ytest.Install(dir, npm); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.True(t, ytest.Installed(dir))
	require.Equal(t, 1, calls())

	write("package-lock.json", "2")
	require.False(t, ytest.Installed(dir), "the lock changed")
	require.Error(t, ytest.Install(dir, fakeNPM(t, dir, "echo broken; exit 1")))
	require.False(t, ytest.Installed(dir))
	require.NoError(t, ytest.Install(dir, npm))
	require.True(t, ytest.Installed(dir))
	require.Equal(t, 3, calls())
}

func TestFixtureHasItsPackages(t *testing.T) {
	dir := ytest.Fixture(t, "yjs")
	require.FileExists(t, filepath.Join(dir, "node_modules", "yjs", "package.json"))
	require.True(t, ytest.Installed(dir))
}
