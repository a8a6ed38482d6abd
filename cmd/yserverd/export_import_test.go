package main

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/yserverd/yserverd/cmd/yserverd/internal/config"
	"github.com/yserverd/yserverd/internal/pgtest"
	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/pebble"
)

// oddRooms are names that no file system takes as they are, or that would be confused with each other.
var oddRooms = []string{
	"a", "A", "..", ".", "../../etc/passwd", "a/b", "a%2Fb", "con", "\xff\xfe", "ö", "o\u0308", " ", "new\nline", "~", "manifest",
	strings.Repeat("x", persist.MaxNameBytes), strings.Repeat("x", persist.MaxNameBytes-1) + "y", "<&>",
}

// many returns rooms with content of their own.
func many(n int) map[string][][]byte {
	rooms := make(map[string][][]byte, n)
	for i := range n {
		rooms[fmt.Sprintf("room-%05d", i)] = [][]byte{text(1, fmt.Sprint(i)), text(2, "and more")}
	}
	for i, room := range oddRooms {
		rooms[room] = [][]byte{text(3, fmt.Sprint("odd ", i))}
	}
	return rooms
}

// contents returns the content of every document of a party, by room.
func contents(t *testing.T, storeFlag, store, party string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	f := storeFlags{Data: store}
	if storeFlag == "--store" {
		f = storeFlags{Store: store}
	}
	require.NoError(t, f.withStore(context.Background(), &Main{}, false, func(k keeper, _ *config.Config) error {
		_, err := (&listCommand{}).list(context.Background(), k, party, func(i *persist.Info) error {
			s, err := load(context.Background(), k, i.Key)
			if err == nil {
				all[i.Key.Room] = string(s.state)
			}
			return err
		})
		return err
	}))
	return all
}

// TestExportImport moves a store through a stream, as "export - | import -" does, from embedded to embedded.
func TestExportImport(t *testing.T) {
	documents := 2_000 // the next test moves 10,000
	if os.Getenv("YSERVERD_TEST_LONG") == "1" {
		documents = 10_000
	}
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "data")
	MustFill(t, from, "p", many(documents))
	MustFill(t, from, "q", map[string][][]byte{"other": {text(9, "q")}})
	stream := MustDo(t, nil, "doc", "export", "--data", from, "--party", "p", "--party", "q", "-")
	require.Contains(t, stream.stderr, fmt.Sprintf("exported %d documents, ", documents+1+len(oddRooms)))
	imported := MustDo(t, []byte(stream.stdout), "doc", "import", "--data", to, "-")
	require.Contains(t, imported.stderr, fmt.Sprintf("imported %d documents, ", documents+1+len(oddRooms)))
	for _, party := range []string{"p", "q"} {
		require.Equal(t, contents(t, "--data", from, party), contents(t, "--data", to, party))
	}
}

// TestExportImportPostgres moves 10,000 documents from embedded to Postgres, and back.
func TestExportImportPostgres(t *testing.T) {
	database := pgtest.Database(t)
	from, back := t.TempDir(), filepath.Join(t.TempDir(), "data")
	documents := 10_000
	if testing.Short() {
		documents = 500
	}
	MustFill(t, from, "p", many(documents))
	stream := MustDo(t, nil, "doc", "export", "--data", from, "--party", "p", "-")
	MustDo(t, []byte(stream.stdout), "doc", "import", "--store", database, "-")
	want := contents(t, "--data", from, "p")
	require.Len(t, want, documents+len(oddRooms))
	again := MustDo(t, []byte(stream.stdout), "doc", "import", "--store", database, "-")
	require.Contains(t, again.stderr, fmt.Sprintf("imported 0 documents, 0.0 MiB, %d were there already", len(want)))

	stream = MustDo(t, nil, "doc", "export", "--store", database, "--party", "p", "-")
	MustDo(t, []byte(stream.stdout), "doc", "import", "--data", back, "-")
	require.Equal(t, want, contents(t, "--data", back, "p"))
}

// TestBundles: folder, tar file, and tar file that was extracted are the same to an import.
func TestBundles(t *testing.T) {
	from, dir := t.TempDir(), t.TempDir()
	MustFill(t, from, "p", many(3))
	MustDo(t, nil, "doc", "rm", "--data", from, "p", "room-00001")
	folder, file := filepath.Join(dir, "folder"), filepath.Join(dir, "file.tar")
	for _, target := range []string{folder, file} {
		r := MustDo(t, nil, "doc", "export", "--data", from, "--party", "p", target)
		require.Contains(t, r.stderr, "1 deleted document left out")
		require.Equal(t, exitFailed, run(t, nil, "doc", "export", "--data", from, "--party", "p", target).code, "nothing is overwritten")
	}
	extracted := filepath.Join(dir, "extracted")
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	entries := tar.NewReader(f)
	for h, err := entries.Next(); err != io.EOF; h, err = entries.Next() {
		require.NoError(t, err)
		require.True(t, filepath.IsLocal(h.Name), h.Name)
		name := filepath.Join(extracted, h.Name)
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o700))
		content, err := io.ReadAll(entries)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(name, content, 0o600))
	}
	MustDo(t, nil, "doc", "rm", "--data", from, "--purge", "p", "room-00001")
	want := contents(t, "--data", from, "p")
	for _, source := range []string{folder, file, extracted} {
		to := filepath.Join(t.TempDir(), "data")
		MustDo(t, nil, "doc", "import", "--data", to, source)
		require.Equal(t, want, contents(t, "--data", to, "p"), source)
	}
}

// TestImportExisting: what is there with the same content is done, and a flag says what becomes of the rest.
func TestImportExisting(t *testing.T) {
	from, to, bundle := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "b")
	MustFill(t, from, "p", map[string][][]byte{"same": {text(1, "a")}, "other": {text(1, "b")}, "new": {text(1, "c")}, "gone": {text(1, "d")}})
	MustFill(t, to, "p", map[string][][]byte{"same": {text(1, "a")}, "other": {text(2, "mine")}, "gone": {text(1, "d")}})
	MustDo(t, nil, "doc", "rm", "--data", to, "p", "gone")
	MustDo(t, nil, "doc", "export", "--data", from, "--party", "p", bundle)

	r := run(t, nil, "doc", "import", "--data", to, bundle)
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, "p/other exists with other content: --existing skip or --existing replace")
	require.Contains(t, r.stderr, "p/gone is deleted there")
	require.Contains(t, r.stderr, "imported 1 document, 0.0 MiB, 1 were there already, 0 skipped, 0 replaced")
	require.Contains(t, r.stderr, "2 documents not imported")
	MustDo(t, nil, "doc", "rm", "--data", to, "--purge", "p", "gone")

	r = MustDo(t, nil, "doc", "import", "--data", to, "--existing", "skip", bundle)
	require.Contains(t, r.stderr, "imported 1 document, 0.0 MiB, 2 were there already, 1 skipped, 0 replaced")
	require.Equal(t, string(text(2, "mine")), contents(t, "--data", to, "p")["other"])
	epoch := listed(t, "--data", to, "--party", "p")["other"].Epoch

	r = MustDo(t, nil, "doc", "import", "--data", to, "--existing", "replace", bundle)
	require.Contains(t, r.stderr, "3 were there already, 0 skipped, 1 replaced")
	require.Equal(t, contents(t, "--data", from, "p"), contents(t, "--data", to, "p"))
	require.Equal(t, epoch+1, listed(t, "--data", to, "--party", "p")["other"].Epoch)
	require.Contains(t, MustDo(t, nil, "doc", "import", "--data", to, "--existing", "replace", bundle).stderr, "4 were there already", "no epoch moves for nothing")
}

// TestImportResumes: an import that was cut goes on where it was, and stores nothing of what was not whole.
func TestImportResumes(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "data")
	MustFill(t, from, "p", many(300))
	stream := []byte(MustDo(t, nil, "doc", "export", "--data", from, "--party", "p", "-").stdout)
	for _, cut := range []int{len(stream) / 2, len(stream) / 3 / 512 * 512, len(stream) - 3*512} { // 512 is the block of tar
		r := run(t, stream[:cut], "doc", "import", "--data", to, "-")
		require.Equal(t, exitFailed, r.code)
		require.Contains(t, r.stderr, "this is not the whole export")
		require.Contains(t, r.stderr, "the same command goes on with the rest")
		if cut == len(stream)/2 {
			requireSome(t, from, to)
		}
	}
	MustDo(t, stream, "doc", "import", "--data", to, "-")
	require.Equal(t, contents(t, "--data", from, "p"), contents(t, "--data", to, "p"))

	folder := filepath.Join(t.TempDir(), "b")
	MustDo(t, nil, "doc", "export", "--data", from, "--party", "p", folder)
	require.NoError(t, os.Remove(filepath.Join(folder, "manifest", "end.json")))
	require.Contains(t, run(t, nil, "doc", "import", "--data", to, folder).stderr, "this is not the whole export")
	require.NoError(t, os.Remove(filepath.Join(folder, "manifest", "000002.jsonl")))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "manifest", "end.json"), []byte(`{"documents":318}`), 0o600))
	require.Contains(t, run(t, nil, "doc", "import", "--data", to, folder).stderr, "256 documents of 318")
}

// requireSome: some documents of one store are in the other, as they are.
func requireSome(t *testing.T, from, to string) {
	t.Helper()
	want := contents(t, "--data", from, "p")
	half := contents(t, "--data", to, "p")
	require.NotEmpty(t, half)
	require.Less(t, len(half), len(want))
	for room, state := range half {
		require.Equal(t, want[room], state)
	}
}

// TestImportChecks: what is not what the manifest says, or lies elsewhere, is not imported; the rest is.
func TestImportChecks(t *testing.T) {
	from := t.TempDir()
	MustFill(t, from, "p", map[string][][]byte{"a": {text(1, "a")}, "b": {text(1, "b")}})
	outside := filepath.Join(t.TempDir(), "outside.bin")
	require.NoError(t, os.WriteFile(outside, text(1, "a"), 0o600))
	manifest := func(dir string) string { return filepath.Join(dir, "manifest", "000001.jsonl") }
	edit := func(old, new string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			b, err := os.ReadFile(manifest(dir))
			require.NoError(t, err)
			require.Contains(t, string(b), old)
			require.NoError(t, os.WriteFile(manifest(dir), bytes.Replace(b, []byte(old), []byte(new), 1), 0o600))
		}
	}
	for _, row := range []struct {
		name, want string
		harm       func(t *testing.T, dir string)
		rest       int // of the two documents
	}{
		{"changed", "is not what the manifest says", func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "p", "a.bin"), text(1, "A"), 0o600))
		}, 1},
		{"longer", "is not what the manifest says", func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "p", "a.bin"), append(text(1, "a"), 0), 0o600))
		}, 1},
		{"missing", "no such file", func(t *testing.T, dir string) { require.NoError(t, os.Remove(filepath.Join(dir, "p", "a.bin"))) }, 1},
		{"a link to elsewhere", "escapes", func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(filepath.Join(dir, "p", "a.bin")))
			require.NoError(t, os.Symlink(outside, filepath.Join(dir, "p", "a.bin")))
		}, 1},
		{"a path to elsewhere", "is no file below the bundle", edit("p/a.bin", "../a.bin"), 0},
		{"an absolute path", "is no file below the bundle", edit("p/a.bin", "/etc/passwd"), 0},
		{"too large", "bytes", edit(`"bytes":11`, `"bytes":99999999999`), 0},
		{"an unknown field", "unknown field", edit(`"seq"`, `"sequence"`), 0},
		{"an empty room", "room is empty", edit(`"room":"a"`, `"room":""`), 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			bundle, to := filepath.Join(t.TempDir(), "b"), filepath.Join(t.TempDir(), "data")
			MustDo(t, nil, "doc", "export", "--data", from, "--party", "p", bundle)
			row.harm(t, bundle)
			r := run(t, nil, "doc", "import", "--data", to, bundle)
			require.Equal(t, exitFailed, r.code, r.stderr)
			require.Contains(t, r.stderr, row.want)
			require.Len(t, contents(t, "--data", to, "p"), row.rest)
		})
	}

	// bytes that have their sum, and that no client would take
	bundle, to := filepath.Join(t.TempDir(), "b"), filepath.Join(t.TempDir(), "data")
	w, err := newFolderWriter(bundle)
	require.NoError(t, err)
	var b batch
	b.add(&persist.Info{Key: persist.Key{Party: "p", Room: "r"}}, &stored{state: []byte("no update")})
	require.NoError(t, w.write(&b))
	require.NoError(t, w.close(true))
	r := run(t, nil, "doc", "import", "--data", to, bundle)
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, "p/r, p/r.bin: is no update of format V1")
}

// TestImportPlain: updates without a manifest, whose names are rooms.
func TestImportPlain(t *testing.T) {
	dir, to := t.TempDir(), filepath.Join(t.TempDir(), "data")
	for name, u := range map[string][]byte{"notes.bin": text(1, "n"), "a%2Fb.bin": text(1, "ab"), "Plain.bin": text(1, "P"), "readme.txt": nil} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), u, 0o600))
	}
	MustDo(t, nil, "doc", "import", "--data", to, "--party", "p", dir)
	require.Equal(t, map[string]string{"notes": string(text(1, "n")), "a/b": string(text(1, "ab")), "Plain": string(text(1, "P"))}, contents(t, "--data", to, "p"))
	MustDo(t, nil, "doc", "import", "--data", to, "--party", "p", "--room", "single", filepath.Join(dir, "notes.bin"))
	require.Equal(t, string(text(1, "n")), contents(t, "--data", to, "p")["single"])

	require.NoError(t, os.WriteFile(filepath.Join(dir, "bad%2.bin"), text(1, "n"), 0o600))
	r := run(t, nil, "doc", "import", "--data", to, "--party", "p", dir)
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, "hexadecimal")
	for _, args := range [][]string{{dir}, {filepath.Join(dir, "notes.bin")}, {"--party", "p", filepath.Join(dir, "notes.bin")}} {
		require.Equal(t, exitUsage, run(t, nil, append([]string{"doc", "import", "--data", to}, args...)...).code, "%q", args)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "CURRENT"), []byte("MANIFEST-000001\n"), 0o600))
	r = run(t, nil, "doc", "import", "--data", to, "--party", "p", dir)
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.stderr, "y-leveldb-export.mjs")
}

// TestExportTellsWhatItLeavesOut: a document that does not decode is named, the others are exported, and the exit code
// says that something is missing.
func TestExportTellsWhatItLeavesOut(t *testing.T) {
	from, bundle := t.TempDir(), filepath.Join(t.TempDir(), "b")
	MustFill(t, from, "p", map[string][][]byte{"good": {text(1, "a")}, "bad": {[]byte("no update")}, "quarantined": {text(1, "a")}})
	store, err := pebble.Open(from, pebble.Options{})
	require.NoError(t, err)
	require.NoError(t, store.Quarantine(context.Background(), persist.Key{Party: "p", Room: "quarantined"}, "looked odd"))
	require.NoError(t, store.Close())
	r := run(t, nil, "doc", "export", "--data", from, "--party", "p", bundle)
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, "left out: p/bad does not decode")
	require.Contains(t, r.stderr, "looked odd")
	require.Contains(t, r.stderr, "exported 1 document")
	require.Contains(t, r.stderr, "2 documents could not be read and are not in the export")
	require.FileExists(t, filepath.Join(bundle, "p", "good.bin"))
}

// TestEscapeName: names of files are short, have plain letters, and lead back to the room.
func TestEscapeName(t *testing.T) {
	seen := make(map[string]string)
	rapid.Check(t, func(t *rapid.T) {
		room := rapid.OneOf(rapid.String(), rapid.SampledFrom(oddRooms), rapid.StringN(100, 400, 1024)).Filter(func(s string) bool { return s != "" }).Draw(t, "room")
		got := escapeName(room)
		require.Regexp(t, `^[a-z0-9%_~A-F-][a-z0-9%_~A-F.-]*$`, got)
		require.LessOrEqual(t, len(got), longestFileName)
		if other, taken := seen[strings.ToLower(got)]; taken {
			require.Equal(t, other, room, "two rooms, one file")
		}
		seen[strings.ToLower(got)] = room
		if back, err := unescapeName(got); !strings.Contains(got, "~") {
			require.NoError(t, err)
			require.Equal(t, room, back)
		}
	})
}
