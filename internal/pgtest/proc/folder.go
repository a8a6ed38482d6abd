package proc

import (
	"fmt"
	"os"
	"path/filepath"
)

// holdName is the file in a folder that its process has locked.
const holdName = ".held"

// Folder is a temporary folder of this process.
type Folder struct {
	Path string
	hold *os.File
}

// NewFolder makes a folder whose name begins with kind, and removes those of processes that are gone. Everybody may look
// into it, since a child may be another user.
func NewFolder(kind string) (*Folder, error) {
	sweep(kind)
	dir, err := os.MkdirTemp("", kind+"-")
	if err != nil {
		return nil, err
	}
	// The file gets its name when it is locked, so that no sweep ever finds it otherwise.
	unnamed := filepath.Join(dir, holdName+".new")
	hold, err := os.OpenFile(unnamed, os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		err = tryLock(hold)
	}
	if err == nil {
		err = os.Rename(unnamed, filepath.Join(dir, holdName))
	}
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		_ = os.RemoveAll(dir) // the first error says more
		return nil, fmt.Errorf("make a folder for %s: %w", kind, err)
	}
	return &Folder{Path: dir, hold: hold}, nil
}

// Remove removes the folder and what is in it.
func (f *Folder) Remove() error {
	defer f.hold.Close()
	return os.RemoveAll(f.Path)
}

// sweep removes folders that nobody holds. One without its file is being made or removed right now.
func sweep(kind string) {
	names, _ := filepath.Glob(filepath.Join(os.TempDir(), kind+"-*")) // the pattern is well formed
	for _, name := range names {
		hold, err := os.OpenFile(filepath.Join(name, holdName), os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if tryLock(hold) == nil {
			_ = os.RemoveAll(name) // another process may do the same
		}
		hold.Close()
	}
}
