package pebble_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/pebble"
)

// TestKill kills a process that writes, again and again, at whatever it is doing:
// what it said was stored is there, and opening needs no repair.
func TestKill(t *testing.T) {
	if dir := os.Getenv("PEBBLE_TEST_KILL"); dir != "" {
		writeUntilKilled(t, dir)
	}
	dir := t.TempDir()
	stored, rooms := make(map[persist.Key]int), make(map[int]int)
	for range roundsOf(5, 3) {
		killWriter(t, dir, stored, rooms, 1+rand.IntN(300))
		s := mustOpen(t, dir, pebble.Options{}.Small())
		for writer := range roomWriters {
			_, err := checkRooms(t.Context(), s, writer, rooms[writer])
			require.NoError(t, err)
		}
		for k, n := range stored {
			require.NoError(t, checkLines(t.Context(), s, k, n), k)
		}
		require.NoError(t, s.Close())
	}
}

// killWriter starts a writer, kills it after so many acknowledgements, and notes
// them all.
func killWriter(t *testing.T, dir string, stored map[persist.Key]int, rooms map[int]int, after int) {
	t.Helper()
	writer := exec.Command(os.Args[0], "-test.run=^TestKill$")
	writer.Env = append(os.Environ(), "PEBBLE_TEST_KILL="+dir)
	stdout, err := writer.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, writer.Start())
	acknowledged := 0
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		var what string
		var who, n int
		_, err := fmt.Sscanf(lines.Text(), "%s %d %d", &what, &who, &n)
		require.NoError(t, err, lines.Text())
		if what == "rooms" {
			rooms[who] = n
		} else {
			stored[crashKey(0, who)] = n
		}
		if acknowledged++; acknowledged == after {
			require.NoError(t, writer.Process.Kill())
		}
	}
	require.Error(t, writer.Wait())
	require.GreaterOrEqual(t, acknowledged, after)
}

func writeUntilKilled(t *testing.T, dir string) {
	s := mustOpen(t, dir, pebble.Options{}.Small())
	rng := rand.New(rand.NewPCG(rand.Uint64(), 0))
	for {
		writer := rng.IntN(roomWriters)
		version, err := roomVersion(t.Context(), s, writer, 0)
		require.NoError(t, err)
		mustChange(t, s, roomChanges(writer, version+1)...)
		_, _ = fmt.Printf("rooms %d %d\n", writer, version+1)

		doc := rng.IntN(crashDocs)
		k := crashKey(0, doc)
		n := int(mustLoad(t, s, k).Seq)
		mustAppend(t, s, k, uint64(n), line(k, n), line(k, n+1))
		_, _ = fmt.Printf("document %d %d\n", doc, n+2)
		if rng.IntN(10) == 0 {
			require.NoError(t, fold(t.Context(), s, k, rng))
		}
	}
}
