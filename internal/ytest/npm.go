package ytest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// stampName is the file inside a folder that npm made that says from what; so it goes when the folder goes.
const stampName = ".installed"

// Step is a folder that npm makes out of what lies beside it.
type Step struct {
	Output string   // the folder
	Inputs []string // files and folders that it is made from
	Args   []string // of npm
}

// packages installs what a lock file says.
var packages = Step{
	Output: "node_modules",
	Inputs: []string{"package.json", "package-lock.json"},
	Args:   []string{"ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"},
}

// Make runs, in dir, the steps whose output is not there or was made from something else. Test processes that run at the
// same time take turns.
func Make(dir, npm string, steps ...Step) error {
	if made(dir, steps...) {
		return nil
	}
	sum := sha256.Sum256([]byte(dir))
	unlock, err := lock(filepath.Join(os.TempDir(), "yserverd-npm-"+hex.EncodeToString(sum[:8])+".lock"))
	if err != nil {
		return err
	}
	defer unlock()
	for _, s := range steps {
		if made(dir, s) { // somebody else was first
			continue
		}
		if err := s.run(dir, npm); err != nil {
			return err
		}
	}
	return nil
}

// made reports whether the output of the steps is there, made from the inputs as they are.
func made(dir string, steps ...Step) bool {
	for _, s := range steps {
		want, err := digest(os.DirFS(dir), s.Inputs...)
		if err != nil {
			return false
		}
		have, err := os.ReadFile(s.stamp(dir))
		if err != nil || string(have) != want {
			return false
		}
	}
	return true
}

func (s Step) stamp(dir string) string { return filepath.Join(dir, s.Output, stampName) }

// run makes the output. A step that fails leaves no stamp.
func (s Step) run(dir, npm string) error {
	sum, err := digest(os.DirFS(dir), s.Inputs...)
	if err != nil {
		return err
	}
	if err := os.Remove(s.stamp(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	cmd := exec.Command(npm, s.Args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm %s: %w\n%s", s.Args[0], err, out)
	}
	return os.WriteFile(s.stamp(dir), []byte(sum), 0o644)
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
