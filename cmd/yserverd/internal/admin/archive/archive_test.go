package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/cmd/yserverd/internal/admin/archive"
)

// Example packs a folder and unpacks it elsewhere.
func Example() {
	from, _ := os.MkdirTemp("", "from")
	to, _ := os.MkdirTemp("", "to")
	defer func() { _ = errors.Join(os.RemoveAll(from), os.RemoveAll(to)) }()
	_ = os.WriteFile(filepath.Join(from, "a"), []byte("hello"), 0o600)

	var stream bytes.Buffer
	err := archive.Write(context.Background(), &stream, from, archive.Header{Server: "v1", Started: time.Now()})
	fmt.Println(err)
	head, err := archive.Unpack(&stream, to, nil)
	fmt.Println(head.Files, head.Bytes, err)
	content, _ := os.ReadFile(filepath.Join(to, "a"))
	fmt.Println(string(content))
	// Output:
	// <nil>
	// 1 5 <nil>
	// hello
}

// content is a few files such as a store has: an empty one, one that ends with a block of a tar, and others.
var content = map[string]string{
	"000002.log": "log of no great length", "CURRENT": "", "MANIFEST-000001": string(bytes.Repeat([]byte("m"), 512)),
	"000005.sst": string(bytes.Repeat([]byte("0123456789"), 77)),
}

// packed returns an archive of the content.
func packed(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	for name, text := range content {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	var b bytes.Buffer
	require.NoError(t, archive.Write(t.Context(), &b, dir, archive.Header{Server: "v1", Store: "id", Started: time.Now(), Bucket: true}))
	return b.Bytes()
}

// unpack unpacks into a new folder, which it removes.
func unpack(t *testing.T, r io.Reader) (*archive.Header, map[string]string, error) {
	t.Helper()
	dir, err := os.MkdirTemp(t.TempDir(), "")
	require.NoError(t, err)
	head, err := archive.Unpack(r, dir, nil)
	files := map[string]string{}
	entries, dirErr := os.ReadDir(dir)
	require.NoError(t, dirErr)
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		require.NoError(t, err)
		files[e.Name()] = string(text)
	}
	require.NoError(t, os.RemoveAll(dir))
	return head, files, err
}

func TestRoundTrip(t *testing.T) {
	stream := packed(t)
	for _, r := range []io.Reader{bytes.NewReader(stream), iotest.OneByteReader(bytes.NewReader(stream)), iotest.DataErrReader(bytes.NewReader(stream))} {
		head, files, err := unpack(t, r)
		require.NoError(t, err)
		require.Equal(t, content, files)
		require.Equal(t, 4, head.Files)
		require.True(t, head.Bucket)
		require.Equal(t, "id", head.Store)
	}
}

// TestPlainTarReadsIt: whoever has no yserverd at hand unpacks it with tar.
func TestPlainTarReadsIt(t *testing.T) {
	r := tar.NewReader(bytes.NewReader(packed(t)))
	var names []string
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		names = append(names, h.Name)
	}
	require.Equal(t, []string{"yserverd-backup.json", "000002.log", "000005.sst", "CURRENT", "MANIFEST-000001", "yserverd-backup-end.json"}, names)
}

// stride is at how many of the bytes tests look: every one in the long form.
func stride() int {
	if os.Getenv("YSERVERD_TEST_LONG") == "1" {
		return 1
	}
	return 29
}

// TestEveryCutIsRefused cuts behind bytes, all of those at the end among them, and adds one.
func TestEveryCutIsRefused(t *testing.T) {
	stream := packed(t)
	for n := 0; n < len(stream); n++ {
		if n%stride() != 0 && n < len(stream)-20 && n%512 > 1 {
			continue
		}
		_, _, err := unpack(t, bytes.NewReader(stream[:n]))
		require.ErrorIs(t, err, archive.ErrBroken, "cut behind %d of %d bytes", n, len(stream))
	}
	_, _, err := unpack(t, bytes.NewReader(append(bytes.Clone(stream), 0)))
	require.ErrorIs(t, err, archive.ErrBroken)
	_, _, err = unpack(t, io.MultiReader(bytes.NewReader(stream), iotest.ErrReader(io.ErrUnexpectedEOF)))
	require.ErrorIs(t, err, archive.ErrBroken, "a connection that broke behind everything, so that nobody knows")
}

// TestDamageIsRefused changes bytes of the files, and removes and adds some.
func TestDamageIsRefused(t *testing.T) {
	stream := packed(t)
	for _, text := range content {
		at := bytes.Index(stream, []byte(text))
		for i := 0; i < len(text); i += stride() {
			damaged := bytes.Clone(stream)
			damaged[at+i] ^= 1
			_, _, err := unpack(t, bytes.NewReader(damaged))
			require.ErrorIs(t, err, archive.ErrBroken)
		}
	}
	for what, build := range map[string]func(w *tar.Writer, name string, text []byte){
		"a file is missing": func(w *tar.Writer, name string, text []byte) {
			if name != "CURRENT" {
				entry(t, w, name, text)
			}
		},
		"a file is there twice": func(w *tar.Writer, name string, text []byte) {
			if name != "CURRENT" {
				entry(t, w, name, text)
			}
			if name == "000002.log" {
				entry(t, w, name, text)
			}
		},
		"a file outside": func(w *tar.Writer, name string, text []byte) {
			if name == "CURRENT" {
				name = "../CURRENT"
			}
			entry(t, w, name, text)
		},
		"a link": func(w *tar.Writer, name string, text []byte) {
			if name == "CURRENT" {
				require.NoError(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: "/etc/passwd"}))
				return
			}
			entry(t, w, name, text)
		},
		"no beginning": func(w *tar.Writer, name string, text []byte) {
			if name != "yserverd-backup.json" {
				entry(t, w, name, text)
			}
		},
		"something behind the end": func(w *tar.Writer, name string, text []byte) {
			entry(t, w, name, text)
			if name == "yserverd-backup-end.json" {
				entry(t, w, "more", nil)
			}
		},
	} {
		_, _, err := unpack(t, bytes.NewReader(rebuilt(t, stream, build)))
		require.Error(t, err, what)
	}
	_, _, err := unpack(t, bytes.NewReader(rebuilt(t, stream, func(w *tar.Writer, name string, text []byte) {
		entry(t, w, name, bytes.Replace(text, []byte(`"format":1`), []byte(`"format":2`), 1))
	})))
	require.ErrorContains(t, err, "format 2")
	require.NotErrorIs(t, err, archive.ErrBroken)
}

// entry writes a file of a tar.
func entry(t *testing.T, w *tar.Writer, name string, text []byte) {
	t.Helper()
	require.NoError(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: int64(len(text))}))
	_, err := w.Write(text)
	require.NoError(t, err)
}

// rebuilt packs the entries of a tar again, as build does it.
func rebuilt(t *testing.T, stream []byte, build func(w *tar.Writer, name string, text []byte)) []byte {
	t.Helper()
	var b bytes.Buffer
	r, w := tar.NewReader(bytes.NewReader(stream)), tar.NewWriter(&b)
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		text, err := io.ReadAll(r)
		require.NoError(t, err)
		build(w, h.Name, text)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

// TestWriteStops: with its context, and at what it cannot read. Then there is no end.
func TestWriteStops(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a"), []byte("x"), 0o600))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var b bytes.Buffer
	require.ErrorIs(t, archive.Write(ctx, &b, dir, archive.Header{}), context.Canceled)
	_, _, err := unpack(t, &b)
	require.ErrorIs(t, err, archive.ErrBroken)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "folder"), 0o700))
	require.Error(t, archive.Write(t.Context(), io.Discard, dir, archive.Header{}))
}
