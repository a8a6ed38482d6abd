package difftest_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/ytest"
	"github.com/yserverd/yserverd/protocol/update"
)

var (
	sessions  = flag.Int("sessions", 600, "how many random sessions to run")
	seed      = flag.String("seed", "1", "what the random sessions are made from; \"now\" for others each time")
	only      = flag.Int("only", -1, "run just this session of the seed")
	script    = flag.String("script", "", "run just the session in this file")
	long      = flag.Bool("long", os.Getenv("YSERVERD_TEST_LONG") == "1", "run at least 3000 sessions")
	processes = flag.Int("processes", 2, "how many Node processes share the sessions")
	keepGoing = flag.Bool("keep-going", false, "do not stop at the first finding")
)

// TestSessions runs simulated rooms against the store.
func TestSessions(t *testing.T) {
	dir := ytest.Fixture(t, "yjs")
	n := *sessions
	if *long {
		n = max(n, 3000)
	}
	if testing.Short() {
		n = min(n, 60)
	}
	if *seed == "now" {
		*seed = strconv.FormatInt(time.Now().UnixNano(), 36)
	}
	t.Logf("seed %s, %d sessions", *seed, n)
	var runs [][]string
	switch {
	case *script != "":
		path, err := filepath.Abs(*script)
		require.NoError(t, err)
		runs = [][]string{{"--script", path}}
	case *only >= 0:
		runs = [][]string{{"--seed", *seed, "--from", strconv.Itoa(*only), "--to", strconv.Itoa(*only + 1)}}
	default:
		for p := range *processes {
			run := []string{"--seed", *seed, "--from", strconv.Itoa(n * p / *processes), "--to", strconv.Itoa(n * (p + 1) / *processes)}
			if p == 0 && !testing.Short() {
				run = append(run, "--cases")
			}
			runs = append(runs, run)
		}
	}
	var wg sync.WaitGroup
	results := make([]*runner, len(runs))
	for i, args := range runs {
		if *keepGoing {
			args = append(args, "--keep-going")
		}
		r := &runner{t: t, args: args}
		results[i] = r
		wg.Go(func() { r.err = r.run(dir) })
	}
	wg.Wait()
	for _, r := range results {
		for i, text := range r.findings {
			t.Errorf("%s\n%s", save(t, i, text), text)
		}
		if r.err != nil && len(r.findings) == 0 {
			t.Errorf("node %s: %v\n%s", strings.Join(r.args, " "), r.err, r.stderr.String())
		}
		t.Logf("node %s: %s", strings.Join(r.args, " "), r.summary)
	}
}

// save writes the script of a finding to a file and returns how to replay it.
func save(t *testing.T, n int, text string) string {
	f, err := os.CreateTemp("", fmt.Sprintf("difftest-%s-%d-*.session", *seed, n))
	if err != nil {
		return err.Error()
	}
	_, err = f.WriteString(text)
	require.NoError(t, errors.Join(err, f.Close()))
	return "go test ./protocol/ydoc/difftest -script " + f.Name()
}

// runner is one Node process and the store that it uses.
type runner struct {
	t    *testing.T
	args []string

	subject  subject
	findings []string
	summary  string
	done     bool
	stderr   bytes.Buffer
	err      error
}

// run starts the process and serves it until it ends.
func (r *runner) run(dir string) error {
	ctx, cancel := context.WithCancel(r.t.Context())
	defer cancel()
	defer r.subject.wait()
	cmd := exec.CommandContext(ctx, ytest.Node(r.t), append([]string{"differential.mjs"}, r.args...)...)
	cmd.Dir = dir
	cmd.Stderr = &r.stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	served := r.serve(bufio.NewReaderSize(out, 1<<16), in)
	if served != nil {
		cancel()
	}
	err = cmd.Wait()
	if served != nil {
		return served
	}
	if err == nil && !r.done {
		return errors.New("ended early")
	}
	return err
}

// serve answers until the process has closed its end.
func (r *runner) serve(in *bufio.Reader, out io.Writer) error {
	var answer []byte
	for {
		op, blobs, err := readRequest(in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		res, err := r.answer(op, blobs)
		answer = appendAnswer(answer[:0], res, err)
		if _, err := out.Write(answer); err != nil {
			return err
		}
	}
}

// answer runs one operation. A panic is an answer too: the session that led to it is worth having.
func (r *runner) answer(op byte, blobs [][]byte) (res [][]byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = broken("panic: %v", p)
		}
	}()
	switch op {
	case opProgress:
		return nil, nil
	case opFailure:
		r.findings = append(r.findings, string(blobs[0]))
		return nil, nil
	case opDone:
		r.done, r.summary = true, summarise(blobs[0])
		return nil, nil
	}
	return r.subject.operate(op, blobs)
}

// operate runs one operation on the store.
func (s *subject) operate(op byte, blobs [][]byte) ([][]byte, error) {
	one := func(b []byte, err error) ([][]byte, error) { return [][]byte{b}, err }
	switch op {
	case opReset:
		s.reset(blobs[0][0] == 1)
		return nil, nil
	case opApply:
		flags, news, from, err := s.apply(blobs[0])
		return [][]byte{{flags}, news, appendIDs(nil, from)}, err
	case opStateVector:
		return one(s.doc.StateVector(), nil)
	case opState:
		return one(s.doc.State(), nil)
	case opDiff:
		return one(s.doc.AppendDiff(nil, blobs[0]))
	case opSince:
		return one(s.doc.AppendSince(nil, readIDs(blobs[0])), nil)
	case opClaims:
		more, err := s.doc.Claims(blobs[0])
		return one([]byte{bit(more, 1)}, err)
	case opPending:
		p := s.doc.Pending()
		return [][]byte{{bit(p != nil, 1)}, p}, nil
	case opFull:
		return one(s.doc.Full(), nil)
	case opRestart:
		return nil, s.restart()
	case opFreeze:
		s.freeze()
		return nil, nil
	case opCompact:
		return one(s.compact())
	case opAdopt:
		ok, err := s.adopt()
		return one([]byte{bit(ok, 1)}, err)
	case opStats:
		return one(s.stats())
	case opCrash:
		return nil, s.crash()
	case opCheck:
		return nil, s.check()
	case opMerge:
		return one(update.Merge(nil, blobs...))
	case opUpdateDiff:
		return one(update.Diff(nil, blobs[0], blobs[1]))
	case opUpdateVector:
		return one(update.StateVector(nil, blobs[0]))
	case opSplit:
		below, above, err := split(blobs[0], blobs[1])
		return [][]byte{below, above}, err
	}
	return nil, broken("operation %d", op)
}

// summarise puts the figures of a run into words.
func summarise(b []byte) string {
	var f struct {
		Ops, Emissions, Frames, Released, Parked, Calls, Probes int
		Bytes, YjsBytes                                         int
		Seconds                                                 float64
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d operations, %d updates by clients, %d frames, %d parked, %d released, %d calls in %.1f s; compacted %d bytes, yjs %d",
		f.Ops, f.Emissions, f.Frames, f.Parked, f.Released, f.Calls, f.Seconds, f.Bytes, f.YjsBytes)
}
