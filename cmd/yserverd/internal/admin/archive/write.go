package archive

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// copyBuffer is how much of a file is in memory at a time.
const copyBuffer = 256 << 10

// Write writes the files of a folder, which nobody may change meanwhile, as an archive. The folder has no folders in it.
// An error leaves a stream without an end behind. It stops between two pieces when the context ends.
func Write(ctx context.Context, w io.Writer, dir string, h Header) error {
	infos, err := list(dir)
	if err != nil {
		return err
	}
	h.Format, h.Files, h.Bytes = Format, len(infos), 0
	for _, info := range infos {
		h.Bytes += info.Size()
	}
	out := writer{ctx: ctx, tar: tar.NewWriter(w), when: h.Started, buffer: make([]byte, copyBuffer)}
	if err := out.json(headerName, h); err != nil {
		return err
	}
	end := End{Files: make([]File, 0, len(infos))}
	for _, info := range infos {
		sum, err := out.file(filepath.Join(dir, info.Name()), info)
		if err != nil {
			return err
		}
		end.Files = append(end.Files, File{Name: info.Name(), Size: info.Size(), SHA256: sum})
	}
	if err := out.json(endName, end); err != nil {
		return err
	}
	return out.tar.Close()
}

// list returns the files of a folder, by name.
func list(dir string) ([]fs.FileInfo, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	infos := make([]fs.FileInfo, 0, len(entries))
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is no regular file", e.Name())
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// writer is an archive that is being written.
type writer struct {
	ctx    context.Context // of Write
	tar    *tar.Writer
	when   time.Time
	buffer []byte
}

// json writes a value as an entry.
func (w *writer) json(name string, v any) error {
	text, err := json.Marshal(v)
	if err == nil {
		err = w.entry(name, int64(len(text)), w.when)
	}
	if err == nil {
		_, err = w.tar.Write(text)
	}
	return err
}

func (w *writer) entry(name string, size int64, modified time.Time) error {
	return w.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: size, ModTime: modified.Truncate(time.Second)})
}

// file writes a file and returns its SHA-256. One that has not the size any more that it was listed with is an error.
func (w *writer) file(path string, info fs.FileInfo) (sum string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := w.entry(info.Name(), info.Size(), info.ModTime()); err != nil {
		return "", err
	}
	hash := sha256.New()
	for left := info.Size(); left > 0; {
		if err := w.ctx.Err(); err != nil {
			return "", err
		}
		piece := w.buffer[:min(left, int64(len(w.buffer)))]
		if _, err := io.ReadFull(f, piece); err != nil {
			return "", fmt.Errorf("%s changed while it was copied: %w", path, err)
		}
		_, _ = hash.Write(piece) // never fails
		if _, err := w.tar.Write(piece); err != nil {
			return "", err
		}
		left -= int64(len(piece))
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
