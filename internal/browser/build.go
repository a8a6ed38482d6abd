package browser

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Stamps say what a folder was made from; they lie inside it, so that they go when it goes.
const stampName = ".stamp"

// Build installs the page's packages and builds it, unless both are up to date, and returns the folder
// fixtures/editors. Test processes that run at the same time take turns.
func Build(tb testing.TB, tools Tools) string {
	tb.Helper()
	dir := editors()
	unlock, err := lock(filepath.Join(dir, ".build.lock"))
	if err != nil {
		tb.Fatalf("lock the page's build: %v", err)
	}
	defer unlock()

	steps := []struct {
		output string   // folder that the step makes
		inputs []string // files and folders that it is made from
		args   []string // of npm
	}{
		{"node_modules", []string{"package.json", "package-lock.json", ".npmrc"}, []string{"ci", "--no-progress"}},
		{"dist", []string{"package-lock.json", "build.mjs", "src"}, []string{"run", "build"}},
	}
	for _, step := range steps {
		sum, err := digest(os.DirFS(dir), step.inputs...)
		if err != nil {
			tb.Fatalf("read the page's sources: %v", err)
		}
		stamp := filepath.Join(dir, step.output, stampName)
		if was, err := os.ReadFile(stamp); err == nil && string(was) == sum {
			continue
		}
		cmd := exec.CommandContext(tb.Context(), tools.NPM, step.args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			tb.Fatalf("npm %v: %v\n%s", step.args, err, out)
		}
		if err := os.WriteFile(stamp, []byte(sum), 0o644); err != nil {
			tb.Fatalf("note what %s was made from: %v", step.output, err)
		}
	}
	return dir
}

// digest is a hash over the names and contents of the given files, and of those in the given folders.
func digest(fsys fs.FS, names ...string) (string, error) {
	hash := sha256.New()
	for _, name := range names {
		err := fs.WalkDir(fsys, name, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			content, err := fs.ReadFile(fsys, path)
			if err != nil {
				return err
			}
			// Lengths keep what moves from one file to the next from hashing alike.
			fmt.Fprintf(hash, "%s %d\n", path, len(content))
			_, err = hash.Write(content)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
