package e2e_test

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/costtest"
	"github.com/yserverd/yserverd/internal/ytest"
	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/protocol/ydoc"
)

// The targets of the engine against yjs on the same machine, by processor time.
// The plain run asserts half of a factor, for machines that are busy.
const (
	applyFactor = 25
	mergeFactor = 200
	memoryBound = 2 // live memory in compacted encodings
	alternate   = 5
)

// TestEngineAgainstYjs runs the engine and yjs in turn on the same updates and
// compares medians. It prints the table of the README.
func TestEngineAgainstYjs(t *testing.T) {
	slack, more := 2.0, false
	if os.Getenv("YSERVERD_TEST_LONG") == "1" {
		slack, more = 1, true
	}
	yjs := startYjs(t)
	table := []string{"| | yserverd | yjs 13.6.33 | factor |", "|---|---:|---:|---:|"}
	row := func(what string, ours, theirs time.Duration) float64 {
		factor := float64(theirs) / float64(ours)
		table = append(table, fmt.Sprintf("| %s | %s | %s | %.0f |", what, short(ours), short(theirs), factor))
		return factor
	}

	b4 := yjs.prepare("b4")
	sizes := memory(t, b4)
	ours, theirs := yjs.duel("apply", func() { load(t, b4) })
	require.GreaterOrEqual(t, row("B4 trace, 259,778 updates one by one", ours, theirs)*slack, float64(applyFactor))
	ours, theirs = yjs.duel("merge 10000", func() { merge(t, b4[:10_000]) })
	require.GreaterOrEqual(t, row("merge 10,000 of them", ours, theirs)*slack, float64(mergeFactor))
	doc := load(t, b4)
	ours, theirs = yjs.duel("encode", func() { doc.State() })
	row("the state for a client that joins, from the second on", ours, theirs)

	for _, s := range []struct{ name, what string }{
		{"typing", "one client types 100,000 characters"},
		{"map", "100,000 updates of one map by 50 clients"},
		{"load", "one update of 1,000,000 items that cannot be joined"},
	} {
		if !more {
			break
		}
		updates := yjs.prepare(s.name)
		ours, theirs = yjs.duel("apply", func() { load(t, updates) })
		row(s.what, ours, theirs)
	}
	t.Logf("processor time, medians of %d alternations\n%s\n%s", alternate, strings.Join(table, "\n"), sizes)
}

// memory compares what a document takes with its compacted encoding.
func memory(t *testing.T, updates [][]byte) string {
	before := liveHeap()
	doc := load(t, updates)
	live := liveHeap() - before
	compacted, err := doc.Freeze().Compact()
	require.NoError(t, err)
	encoded := len(compacted.Update())
	runtime.KeepAlive(doc)
	require.LessOrEqual(t, live, int64(memoryBound*encoded), "live memory of the B4 document")
	return fmt.Sprintf("B4 document: %d bytes live, %d bytes encoded and compacted", live, encoded)
}

func liveHeap() int64 {
	var m runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func load(t *testing.T, updates [][]byte) *ydoc.Doc {
	doc := ydoc.New(ydoc.Config{})
	for _, u := range updates {
		if _, err := doc.Apply(u); err != nil {
			require.NoError(t, err)
		}
	}
	return doc
}

func merge(t *testing.T, updates [][]byte) {
	_, err := update.Merge(nil, updates...)
	require.NoError(t, err)
}

func short(d time.Duration) string {
	switch {
	case d < time.Microsecond:
		return fmt.Sprintf("%d ns", d.Nanoseconds())
	case d < time.Millisecond:
		return fmt.Sprintf("%.1f us", float64(d)/float64(time.Microsecond))
	default:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	}
}

// yjsRunner is a Node process with yjs (fixtures/yjs/speed.mjs).
type yjsRunner struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Reader
}

func startYjs(t *testing.T) *yjsRunner {
	t.Helper()
	dir := ytest.Fixture(t, "yjs")
	cmd := exec.Command(ytest.Node(t), "--expose-gc", "speed.mjs")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	return &yjsRunner{t: t, in: in, out: bufio.NewReader(out)}
}

// call runs a command there.
func (y *yjsRunner) call(command string) (ms float64) {
	y.t.Helper()
	_, err := fmt.Fprintln(y.in, command)
	require.NoError(y.t, err)
	line, err := y.out.ReadBytes('\n')
	require.NoError(y.t, err, "yjs ended")
	var answer struct{ Ms float64 }
	require.NoError(y.t, json.Unmarshal(line, &answer))
	return answer.Ms
}

// prepare returns the updates of a scenario, which yjs has too then.
func (y *yjsRunner) prepare(scenario string) [][]byte {
	y.t.Helper()
	file := filepath.Join(y.t.TempDir(), scenario)
	y.call("prepare " + scenario + " " + file)
	raw, err := os.ReadFile(file)
	require.NoError(y.t, err)
	var updates [][]byte
	for len(raw) > 0 {
		n := binary.LittleEndian.Uint32(raw)
		updates = append(updates, raw[4:4+n])
		raw = raw[4+n:]
	}
	return updates
}

// duel lets yjs run a command and us fn, in turn, and returns the medians.
func (y *yjsRunner) duel(command string, fn func()) (ours, theirs time.Duration) {
	y.t.Helper()
	var a, b []time.Duration
	for range alternate {
		b = append(b, time.Duration(y.call(command)*float64(time.Millisecond)))
		a = append(a, processorTime(fn))
	}
	slices.Sort(a)
	slices.Sort(b)
	return a[alternate/2], b[alternate/2]
}

// processorTime is what fn costs, collecting garbage included. What is too quick
// for the clock is repeated.
func processorTime(fn func()) time.Duration {
	runtime.GC()
	for n := 1; ; n *= 10 {
		begin := costtest.CPU()
		for range n {
			fn()
		}
		if d := costtest.CPU() - begin; d > time.Millisecond {
			return d / time.Duration(n)
		}
	}
}
