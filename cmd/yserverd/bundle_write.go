package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// bundleWriter takes the batches of an export.
type bundleWriter interface {
	// write takes a batch.
	write(b *batch) error
	// close ends the bundle. One that is not whole gets no end.
	close(whole bool) error
}

// folderWriter writes a bundle into a folder.
type folderWriter struct {
	dir   string
	parts int
	total total
}

// newFolderWriter makes the folder, which may exist if it is empty.
func newFolderWriter(dir string) (*folderWriter, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if len(entries) > 0 {
		return nil, fmt.Errorf("%s is not empty", dir)
	}
	return &folderWriter{dir: dir}, os.MkdirAll(filepath.Join(dir, manifestFolder), 0o700)
}

func (w *folderWriter) write(b *batch) error {
	for i := range b.items {
		file := filepath.Join(w.dir, filepath.FromSlash(b.items[i].File))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(file, b.updates[i], 0o600); err != nil {
			return err
		}
	}
	text, err := b.manifest()
	if err != nil {
		return err
	}
	w.parts++
	w.total.Documents += len(b.items)
	return os.WriteFile(filepath.Join(w.dir, filepath.FromSlash(partName(w.parts))), text, 0o600)
}

func (w *folderWriter) close(whole bool) error {
	if !whole {
		return nil
	}
	return os.WriteFile(filepath.Join(w.dir, filepath.FromSlash(manifestEnd)), w.total.text(), 0o600)
}

// tarWriter writes a bundle as a tar file.
type tarWriter struct {
	out   *tar.Writer
	file  io.Closer // nil for standard output
	now   time.Time
	parts int
	total total
}

// newTarWriter makes the file, which must not exist; "-" is standard output.
func newTarWriter(target string, stdout io.Writer) (*tarWriter, error) {
	if target == "-" {
		return &tarWriter{out: tar.NewWriter(stdout), now: time.Now()}, nil
	}
	f, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return &tarWriter{out: tar.NewWriter(f), file: f, now: time.Now()}, nil
}

func (w *tarWriter) write(b *batch) error {
	text, err := b.manifest()
	if err != nil {
		return err
	}
	w.parts++
	w.total.Documents += len(b.items)
	if err := w.entry(partName(w.parts), text, w.now); err != nil {
		return err
	}
	for i := range b.items {
		modified, err := time.Parse(time.RFC3339, b.items[i].Updated)
		if err != nil {
			modified = w.now
		}
		if err := w.entry(b.items[i].File, b.updates[i], modified); err != nil {
			return err
		}
	}
	return nil
}

func (w *tarWriter) entry(name string, content []byte, modified time.Time) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: int64(len(content)), ModTime: modified}
	if err := w.out.WriteHeader(h); err != nil {
		return err
	}
	_, err := w.out.Write(content)
	return err
}

func (w *tarWriter) close(whole bool) (err error) {
	if whole {
		err = errors.Join(w.entry(manifestEnd, w.total.text(), w.now), w.out.Close())
	}
	if w.file != nil {
		err = errors.Join(err, w.file.Close())
	}
	return err
}
