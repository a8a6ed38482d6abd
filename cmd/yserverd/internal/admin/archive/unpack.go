package archive

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// tarBlock is what a tar file consists of.
const tarBlock = 512

// Progress is told of an archive as it is unpacked: what it is, and how many bytes of files have been written.
type Progress func(h *Header, written int64)

// Unpack writes the files of an archive into a folder that exists and is empty, and syncs them, but not the folder. Nil
// means that the archive was whole to its last byte and every file is what it was when it was packed. An error that
// matches ErrBroken means that the stream is at fault; the caller removes the folder. Progress may be nil.
func Unpack(r io.Reader, dir string, progress Progress) (*Header, error) {
	counted := &countingReader{r: r}
	u := unpacking{tar: tar.NewReader(counted), dir: dir, progress: progress, buffer: make([]byte, copyBuffer)}
	if err := u.header(); err != nil {
		return nil, err
	}
	end, err := u.rest()
	if err != nil {
		return nil, err
	}
	if err := u.compare(end); err != nil {
		return nil, err
	}
	if err := u.finish(counted); err != nil {
		return nil, err
	}
	return &u.head, u.sync()
}

// unpacking is an archive that is being read.
type unpacking struct {
	tar      *tar.Reader
	dir      string
	progress Progress
	buffer   []byte

	head    Header
	files   []File // written so far
	written int64
}

// next returns the next entry, which is a regular file.
func (u *unpacking) next() (*tar.Header, error) {
	h, err := u.tar.Next()
	switch {
	case err == io.EOF:
		return nil, broken("it ends after %d of %d files", len(u.files), u.head.Files)
	case err != nil:
		return nil, broken("behind %d files: %w", len(u.files), err)
	case h.Typeflag != tar.TypeReg:
		return nil, broken("%q in it is no regular file", h.Name)
	}
	return h, nil
}

// header reads the first entry.
func (u *unpacking) header() error {
	h, err := u.tar.Next()
	if err != nil || h.Name != headerName || h.Typeflag != tar.TypeReg {
		return broken("it does not begin as one")
	}
	if err := u.json(h, maxHeader, &u.head); err != nil {
		return err
	}
	if u.head.Format != Format {
		return fmt.Errorf("the copy has format %d and this program knows %d: use the version of yserverd that made it, %q", u.head.Format, Format, u.head.Server)
	}
	u.tell()
	return nil
}

// json reads an entry that is JSON.
func (u *unpacking) json(h *tar.Header, limit int64, v any) error {
	if h.Size > limit {
		return broken("%q is too large", h.Name)
	}
	text, err := io.ReadAll(u.tar)
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		return broken("%q: %w", h.Name, err)
	}
	return nil
}

// rest writes the files, and returns the last entry.
func (u *unpacking) rest() (*End, error) {
	for {
		h, err := u.next()
		if err != nil {
			return nil, err
		}
		if h.Name == endName {
			var end End
			return &end, u.json(h, maxEnd, &end)
		}
		if len(u.files) == u.head.Files || !plainName(h.Name) {
			return nil, broken("%q has no place in it", h.Name)
		}
		if err := u.file(h); err != nil {
			return nil, err
		}
	}
}

// plainName reports whether a name is that of a file in the folder itself.
func plainName(name string) bool {
	return name != "" && len(name) <= maxName && name[0] != '.' && name != headerName && !strings.ContainsAny(name, "/\\:\x00")
}

// file writes one file.
func (u *unpacking) file(h *tar.Header) (err error) {
	f, err := os.OpenFile(filepath.Join(u.dir, h.Name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	hash := sha256.New()
	for left := h.Size; left > 0; {
		piece := u.buffer[:min(left, int64(len(u.buffer)))]
		if _, err := io.ReadFull(u.tar, piece); err != nil {
			return broken("it ends inside %q: %w", h.Name, err)
		}
		_, _ = hash.Write(piece) // never fails
		if _, err := f.Write(piece); err != nil {
			return err
		}
		left -= int64(len(piece))
		u.written += int64(len(piece))
		u.tell()
	}
	u.files = append(u.files, File{Name: h.Name, Size: h.Size, SHA256: hex.EncodeToString(hash.Sum(nil))})
	return nil
}

// sync syncs the files, once it is known that they are worth it.
func (u *unpacking) sync() error {
	for i := range u.files {
		f, err := os.Open(filepath.Join(u.dir, u.files[i].Name))
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// tell says how far it is.
func (u *unpacking) tell() {
	if u.progress != nil {
		u.progress(&u.head, u.written)
	}
}

// compare holds the files against what the end says of them.
func (u *unpacking) compare(end *End) error {
	if len(end.Files) != len(u.files) || u.head.Files != len(u.files) || u.head.Bytes != u.written {
		return broken("it has %d files of %d bytes and should have %d of %d", len(u.files), u.written, u.head.Files, u.head.Bytes)
	}
	for i, want := range end.Files {
		if u.files[i] != want {
			return broken("%q is not what was sent", want.Name)
		}
	}
	return nil
}

// finish reads the end of the tar, which its reader does not insist on.
func (u *unpacking) finish(r *countingReader) error {
	padding := (tarBlock - r.n%tarBlock) % tarBlock // of the last entry, which is read but for it
	want := r.n + padding + 2*tarBlock
	if h, err := u.tar.Next(); err != io.EOF {
		if err == nil {
			return broken("%q is behind its end", h.Name)
		}
		return broken("its end: %w", err)
	}
	_, err := io.Copy(io.Discard, r)
	switch {
	case err != nil:
		return broken("its end: %w", err)
	case r.n != want:
		return broken("it has %d bytes and should have %d", r.n, want)
	}
	return nil
}

// countingReader counts what is read.
type countingReader struct {
	r io.Reader
	n int64
}

// Read implements io.Reader.
func (c *countingReader) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}
