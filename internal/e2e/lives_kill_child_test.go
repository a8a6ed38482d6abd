package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/gate"
	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/yserver"
	"github.com/yserverd/yserverd/yserver/materialise"
)

// livesChild configures a process that serves documents, makes versions of them,
// and ends their epochs: the test binary itself, which a test may kill.
const livesChild = "YSERVERD_E2E_LIVES"

// livesConfig is the configuration, as JSON.
type livesConfig struct {
	place
	Listen    string
	Retention time.Duration // of tombstones
}

// driven is a line of standard input: a room in which things are to be done.
type driven struct {
	Kind, Room string
	Seed       uint64
}

// serveLives serves documents until its standard input ends. For each line of
// that it begins to do things in a room, and reports each before and after.
func serveLives(t *testing.T, config string) {
	var cfg livesConfig
	require.NoError(t, json.Unmarshal([]byte(config), &cfg))
	store, _, err := cfg.open(t.Context())
	require.NoError(t, err)
	l, err := net.Listen("tcp", cfg.Listen)
	require.NoError(t, err)
	srv, err := yserver.New(
		yserver.Config{
			Store: store, Materialiser: restorer{},
			Sweep: yserver.Sweep{Interval: 20 * time.Millisecond, Retention: cfg.Retention, KeepSuperseded: 50 * time.Millisecond},
		},
		yserver.Party{
			Name: "main", Access: gate.Public, YWebSocket: "/", UnloadAfter: 50 * time.Millisecond,
			Document: &yserver.Document{SnapshotUpdates: foldEvery, VersionInterval: 60 * time.Millisecond, VersionsMax: 3},
		},
	)
	require.NoError(t, err)
	go func() { _ = (&http.Server{Handler: srv, ReadHeaderTimeout: time.Minute}).Serve(l) }()
	say("listens")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var d driven
		require.NoError(t, json.Unmarshal(in.Bytes(), &d))
		room, err := srv.Room("main", d.Room)
		require.NoError(t, err)
		go (&driver{room: room, kind: d.Kind, rng: rand.New(rand.NewPCG(d.Seed, 0))}).run()
	}
}

// restorer makes edits as cmd/yserverd has them made.
type restorer struct{}

func (restorer) Replace(ctx context.Context, current, target []byte) ([]byte, error) {
	return materialise.Replace(ctx, current, target, materialise.EditOptions{})
}

// driver does things in one room, one after the other.
type driver struct {
	room *yserver.Room
	kind string
	rng  *rand.Rand
	life life
	mark int
}

func (d *driver) run() {
	for {
		time.Sleep(time.Duration(d.rng.IntN(15)) * time.Millisecond) // clients edit meanwhile
		d.mark++
		now := d.life.next(d.kind, d.room.Name(), d.mark, d.rng)
		d.report(now)
		err := d.do(context.Background(), &now)
		if errors.Is(err, persist.ErrNotFound) && d.life.is == deleted {
			now.Gone, err = true, nil
		}
		if err != nil {
			now.Wrong = err.Error()
		}
		now.Ended = true
		d.report(now)
		if err != nil {
			return
		}
		d.life = d.life.after(now)
	}
}

func (d *driver) report(what deed) {
	line, _ := json.Marshal(what) // of strings and numbers
	say("deed %s", line)
}

func (d *driver) do(ctx context.Context, what *deed) error {
	switch what.Op {
	case opVersion:
		return d.version(ctx, what)
	case opUnversion:
		return d.room.DeleteVersion(ctx, what.ID)
	case opWrite:
		return d.write(ctx, what.Mark)
	case opReplace:
		return d.replace(ctx, what.Mark, d.room.ReplaceDocument)
	case opRestore:
		return d.room.Restore(ctx, what.ID)
	case opImport:
		return d.replace(ctx, what.Mark, d.room.Import)
	case opDelete:
		return d.room.Delete(ctx)
	case opUndelete:
		return d.room.Undelete(ctx)
	case opPurge:
		return d.room.Purge(ctx)
	}
	time.Sleep(time.Duration(d.rng.IntN(60)) * time.Millisecond)
	return nil
}

// version keeps a version, and requires that it is of the moment.
func (d *driver) version(ctx context.Context, what *deed) error {
	before, err := d.room.State(ctx)
	if err != nil {
		return err
	}
	v, err := d.room.PutVersion(ctx, "by hand", "driver")
	if err != nil {
		return err
	}
	_, state, err := d.room.Version(ctx, v.ID)
	if err != nil {
		return err
	}
	after, err := d.room.State(ctx)
	if err != nil {
		return err
	}
	mark, err := markOf(ctx, state)
	if err != nil || mark != d.life.mark {
		return fmt.Errorf("the version has mark %d, the document %d: %w", mark, d.life.mark, err)
	}
	if d.life.has == typed {
		if err := errors.Join(holdsNotes(state, before), holdsNotes(after, state)); err != nil {
			return err
		}
	}
	what.ID, what.Sum = v.ID, sumOf(state)
	return nil
}

// holdsNotes reports a note that is in one state and not in another.
func holdsNotes(state, notes []byte) error {
	for _, note := range notePattern.FindAll(notes, -1) {
		if n := bytes.Count(state, note); n != 1 {
			return fmt.Errorf("%s is there %d times", note, n)
		}
	}
	return nil
}

func (d *driver) write(ctx context.Context, mark int) error {
	state, err := d.room.State(ctx)
	if err != nil {
		return err
	}
	u, err := marked(ctx, state, mark)
	if err != nil {
		return err
	}
	return d.room.Apply(ctx, u)
}

func (d *driver) replace(ctx context.Context, mark int, with func(context.Context, []byte) error) error {
	target, err := marked(ctx, []byte{0, 0}, mark)
	if err != nil {
		return err
	}
	return with(ctx, target)
}

// marked returns an update that sets the mark of a state: two keys, so that half
// of it shows.
func marked(ctx context.Context, state []byte, mark int) ([]byte, error) {
	return materialise.Edit(ctx, state, materialise.EditOptions{}, func(tx *materialise.Tx) error {
		at := materialise.At("m").As(materialise.Map)
		if err := tx.MapSet(at, "mark", mark); err != nil {
			return err
		}
		return tx.MapSet(at, "twin", mark)
	})
}

// markOf returns the mark of a state, zero if it has none.
func markOf(ctx context.Context, state []byte) (int, error) {
	doc, err := materialise.Open(ctx, state, materialise.Limits{})
	if err != nil {
		return 0, err
	}
	text, err := doc.JSON(ctx, "m", materialise.Map)
	if err != nil {
		return 0, err
	}
	var m struct{ Mark, Twin int }
	if err := json.Unmarshal(text, &m); err != nil {
		return 0, err
	}
	if m.Mark != m.Twin {
		return 0, fmt.Errorf("half of an edit: %s", text)
	}
	return m.Mark, nil
}

func sumOf(state []byte) string { return fmt.Sprintf("%x", sha256.Sum256(state)) }

// livesServer is such a process.
type livesServer struct{ *roomServer }

func startLives(t *testing.T, cfg livesConfig) *livesServer {
	t.Helper()
	config, err := json.Marshal(cfg)
	require.NoError(t, err)
	return &livesServer{startChild(t, "TestKilledServerKeepsLives", livesChild+"="+string(config))}
}

// drive begins to do things in a room.
func (s *livesServer) drive(d driven) {
	s.t.Helper()
	line, err := json.Marshal(d)
	require.NoError(s.t, err)
	_, err = s.in.Write(append(line, '\n'))
	require.NoError(s.t, err)
}

// await waits until so many reports have come, and returns them.
func (s *livesServer) await(n int) (all []deed) {
	s.t.Helper()
	for range n {
		all = append(all, decode[deed](s.t, []byte(s.line("deed "))))
	}
	return all
}

// deeds kills the process and returns what it had reported.
func (s *livesServer) deeds() (all []deed) {
	s.t.Helper()
	for _, line := range s.kill() {
		if text, found := strings.CutPrefix(line, "deed "); found {
			all = append(all, decode[deed](s.t, []byte(text)))
		}
	}
	return all
}
