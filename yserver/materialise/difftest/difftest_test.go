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
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/ytest"
	"github.com/yserverd/yserverd/yserver/materialise"
)

var (
	sessions = flag.Int("sessions", 60, "how many random sessions to run of each kind")
	seed     = flag.String("seed", "1", "what the random sessions are made from")
	profile  = flag.String("profile", "", "run just this kind of session")
	long     = flag.Bool("long", os.Getenv("YSERVERD_TEST_LONG") == "1", "run at least 300 sessions of each kind")
)

// TestSessions holds reading, editing and replacing to Yjs, for every kind of session.
func TestSessions(t *testing.T) {
	dir := ytest.Fixture(t, "yjs")
	n := *sessions
	if *long {
		n = max(n, 300)
	}
	if testing.Short() {
		n = min(n, 15)
	}
	for _, p := range []string{"everything", "text", "rich", "maps", "arrays", "xml"} {
		if *profile != "" && p != *profile {
			continue
		}
		t.Run(p, func(t *testing.T) {
			t.Parallel()
			sum := hold(t, dir, "--seed", *seed, "--to", strconv.Itoa(n), "--profile", p)
			require.Equal(t, n, sum.Sessions)
			require.Equal(t, 6*n, sum.Replaced, "refused: %v", sum.Refusals)
			require.Zero(t, sum.Refused+sum.EditsRefused, "refused: %v", sum.Refusals)
		})
	}
}

// TestForged holds reading to Yjs for states that no client makes.
func TestForged(t *testing.T) {
	n := 20_000
	if *long {
		n = 200_000
	}
	if testing.Short() {
		n = 4_000
	}
	sum := hold(t, ytest.Fixture(t, "yjs"), "--seed", *seed, "--forged", strconv.Itoa(n))
	require.Equal(t, 3*n, sum.Reads)
	require.Less(t, sum.Refused, n/100, "nearly all of them can be read")
}

// figures are what Node counts.
type figures struct {
	Sessions, Reads, Replaced, Refused, Edits, EditsRefused, Findings int
	Refusals                                                          map[string]int
}

// hold runs Node and reports what it finds.
func hold(t *testing.T, dir string, args ...string) (sum figures) {
	r := &runner{t: t}
	err := r.run(dir, args...)
	for i, f := range r.findings {
		if i < 5 {
			t.Error(f)
		}
	}
	if err != nil && len(r.findings) == 0 {
		t.Errorf("node: %v\n%s", err, r.stderr.String())
	}
	t.Logf("%d findings; %s", len(r.findings), r.summary)
	require.Empty(t, r.findings)
	require.NoError(t, json.Unmarshal([]byte(r.summary), &sum))
	return sum
}

// runner is one Node process.
type runner struct {
	t        *testing.T
	findings []string
	summary  string
	done     bool
	stderr   bytes.Buffer
}

func (r *runner) run(dir string, args ...string) error {
	ctx, cancel := context.WithCancel(r.t.Context())
	defer cancel()
	cmd := exec.CommandContext(ctx, ytest.Node(r.t), append([]string{"materialise.mjs"}, args...)...)
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
	if err := errors.Join(served, cmd.Wait()); err != nil {
		return err
	}
	if !r.done {
		return errors.New("ended early")
	}
	return nil
}

// serve answers until the process has closed its end.
func (r *runner) serve(in *bufio.Reader, out io.Writer) error {
	for {
		op, blobs, err := readRequest(in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		res, err := r.operate(op, blobs)
		reply := answer(statusOK, res...)
		switch {
		case errors.Is(err, materialise.ErrUnsupported), errors.Is(err, materialise.ErrMalformed):
			reply = answer(statusRefused, []byte(err.Error()))
		case err != nil:
			reply = answer(statusBroken, []byte(err.Error()))
		}
		if _, err := out.Write(reply); err != nil {
			return err
		}
	}
}

func (r *runner) operate(op byte, blobs [][]byte) ([][]byte, error) {
	ctx := r.t.Context()
	switch op {
	case opFailure:
		r.findings = append(r.findings, string(blobs[0]))
		return nil, nil
	case opDone:
		r.done, r.summary = true, string(blobs[0])
		return nil, nil
	case opRead:
		return read(ctx, blobs[0], string(blobs[1]), string(blobs[2]))
	case opReplace:
		u, err := materialise.Replace(ctx, blobs[0], blobs[1], materialise.EditOptions{})
		return [][]byte{u}, err
	case opEdit:
		u, err := applyOperations(ctx, blobs[0], blobs[1])
		return [][]byte{u}, err
	}
	return nil, fmt.Errorf("operation %d", op)
}

// read renders a root in every way that its kind has.
func read(ctx context.Context, state []byte, root, kindName string) ([][]byte, error) {
	kind, err := materialise.ParseKind(kindName)
	if err != nil {
		return nil, err
	}
	d, err := materialise.Open(ctx, state, materialise.Limits{})
	if err != nil {
		return nil, err
	}
	var out [4][]byte
	if out[0], err = d.JSON(ctx, root, kind); err != nil {
		return nil, err
	}
	if kind == materialise.Text || kind == materialise.XMLText {
		if out[1], err = d.Text(ctx, root); err != nil {
			return nil, err
		}
		if out[2], err = d.Delta(ctx, root); err != nil {
			return nil, err
		}
	}
	if kind == materialise.XMLText || kind == materialise.Element || kind == materialise.Fragment {
		if out[3], err = d.XML(ctx, root, kind); err != nil {
			return nil, err
		}
	}
	return out[:], nil
}
