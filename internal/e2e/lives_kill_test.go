package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/ytest"
	"github.com/yserverd/yserverd/persist"
)

// lifeNotes is what a client writes at most in a round.
const lifeNotes = 150

// roomsOf are the rooms of a round, with the kinds of their clients. Who may come
// back from an epoch that has ended is a y-websocket that then stops for good.
var roomsOf = []struct {
	kind    string
	clients []string
}{
	{roomKept, []string{ytest.YWebsocket, ytest.YProvider}},
	{roomKept, []string{ytest.YWebsocket2, ytest.YWebsocket}},
	{roomLive, []string{ytest.YWebsocket, ytest.YProvider}},
	{roomLive, []string{ytest.YWebsocket2}},
	{roomDead, []string{ytest.YWebsocket}},
	{roomDead, []string{ytest.YWebsocket}},
	{roomNew, []string{ytest.YWebsocket}},
	{roomNew, []string{ytest.YWebsocket}},
}

// While stock clients type, versions of their documents are kept and dropped,
// documents are replaced, restored, deleted, undeleted and purged, begin new
// epochs, and are swept; and the server is killed with SIGKILL at a random moment,
// again and again. What was acknowledged is in the store that it left: edits,
// unless the document was ended or overwritten behind them, versions with the
// exact content, tombstones. What was under way is there whole or not at all,
// nothing is there twice, and no copy of a dead epoch gets into the next.
func TestKilledServerKeepsLives(t *testing.T) {
	if config := os.Getenv(livesChild); config != "" {
		serveLives(t, config)
		return
	}
	for _, of := range depots {
		t.Run(of.name, func(t *testing.T) {
			t.Parallel()
			rounds := roundsOf(6, 300)
			k := newLifeKiller(t, of.make(t))
			for round := range rounds {
				k.round(round)
				if (round+1)%25 == 0 {
					t.Logf("round %d: %v", round+1, k.tally)
				}
			}
			k.finish()
			t.Logf("%d rounds: %v", rounds, k.tally)
			for _, op := range []string{opVersion, opWrite, opReplace, opRestore, opImport, opDelete, opUndelete, opPurge} {
				require.Positive(t, k.tally.ended[op], "never acknowledged before a kill: %s", op)
			}
			require.Positive(t, k.tally.echoed)
		})
	}
}

// lifeKiller is what rounds have in common.
type lifeKiller struct {
	t      *testing.T
	d      *depot
	dir    string
	listen string
	node   *ytest.NodeClients
	rng    *rand.Rand
	s      *livesServer
	starts int
	tally  livesTally
}

// livesTally counts what was acknowledged before kills, and what became of what
// was under way.
type livesTally struct {
	ended         map[string]int
	echoed        int // updates of clients
	whole, absent int // of what was under way; what cannot be told is not counted
	versions      int // compared with what they were
	stale         int // clients that were shut out of a new epoch
	stopped       int // clients that were told that a document is deleted
}

func (s livesTally) String() string {
	return fmt.Sprintf("acknowledged %v and %d updates; under way %d whole, %d absent; %d versions read; %d stale copies and %d of deleted documents refused",
		s.ended, s.echoed, s.whole, s.absent, s.versions, s.stale, s.stopped)
}

func newLifeKiller(t *testing.T, d *depot) *lifeKiller {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close()) // clients find the server where it was
	k := &lifeKiller{
		t: t, d: d, dir: t.TempDir(), listen: l.Addr().String(),
		node: ytest.StartNodeClients(t), rng: rand.New(rand.NewPCG(seed, 0)), tally: livesTally{ended: map[string]int{}},
	}
	t.Cleanup(func() {
		if k.s != nil {
			k.s.kill()
		}
	})
	k.start()
	return k
}

// start starts the server. Every other one sweeps tombstones soon.
func (k *lifeKiller) start() {
	k.t.Helper()
	retention := time.Hour
	if k.starts%2 == 1 {
		retention = 100 * time.Millisecond
	}
	k.starts++
	k.s = startLives(k.t, livesConfig{place: k.d.in(k.dir), Listen: k.listen, Retention: retention})
	k.s.line("listens")
}

// livingRoom is a room of a round, and what must have become of it.
type livingRoom struct {
	kind, name string
	typists    []*typist
	life       life  // as somebody was told
	began      *deed // what was under way
}

// typist is a stock client, with what it has been told.
type typist struct {
	*ytest.NodeClient
	id    uint64 // of its document
	notes []string
	made  int
}

// round lets clients and the server work, kills, checks the store, starts again,
// and sees to it that clients find what they may find.
func (k *lifeKiller) round(round int) {
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	rooms := k.join(ctx, round)
	var typing sync.WaitGroup
	for i, r := range rooms {
		for j, c := range r.typists {
			typing.Go(func() {
				text := fmt.Sprintf(noteFormat, round, 10*i+j)
				if err := c.Burst(ctx, text, lifeNotes, time.Duration(1+i)*time.Millisecond); err != nil {
					k.t.Errorf("client %d of room %d types: %v", j, i, err)
				}
			})
		}
		k.s.drive(driven{r.kind, r.name, k.rng.Uint64()})
	}
	done := k.s.await(1 + k.rng.IntN(300))
	time.Sleep(time.Duration(k.rng.IntN(20)) * time.Millisecond) // the moment is what is tested
	k.follow(rooms, append(done, k.s.deeds()...))
	k.s = nil
	k.check(ctx, rooms)
	k.start()
	typing.Wait()
	for _, r := range rooms {
		k.meet(ctx, r)
		for _, c := range r.typists {
			require.NoError(k.t, c.Destroy(ctx))
		}
	}
}

// join lets clients into new rooms, each of which has written something that is
// stored, so that all its documents know it.
func (k *lifeKiller) join(ctx context.Context, round int) []*livingRoom {
	var rooms []*livingRoom
	for i, of := range roomsOf {
		r := &livingRoom{kind: of.kind, name: fmt.Sprintf("%s-%d-%d", of.kind, round, i)}
		for _, kind := range of.clients {
			c, err := k.node.New(ctx, ytest.ClientConfig{Kind: kind, URL: "ws://" + k.listen, Room: r.name, Party: "main", MaxBackoffTime: 200})
			require.NoError(k.t, err)
			r.typists = append(r.typists, &typist{NodeClient: c})
		}
		rooms = append(rooms, r)
	}
	for i, r := range rooms {
		for j, c := range r.typists {
			require.NoError(k.t, c.AwaitSynced(ctx))
			require.NoError(k.t, c.Burst(ctx, fmt.Sprintf("[r%dc%d-0#]", round, 10*i+j), 1, 0))
		}
	}
	for _, r := range rooms {
		for _, c := range r.typists {
			require.NoError(k.t, c.AwaitEchoed(ctx))
			view, err := c.View(ctx)
			require.NoError(k.t, err)
			c.id = view.ClientID
		}
	}
	return rooms
}

// follow works out what the lives are from what the server had reported.
func (k *lifeKiller) follow(rooms []*livingRoom, deeds []deed) {
	byName := map[string]*livingRoom{}
	for _, r := range rooms {
		byName[r.name] = r
	}
	for _, d := range deeds {
		require.Empty(k.t, d.Wrong, "%v of %s", d, d.Room)
		r := byName[d.Room]
		if !d.Ended {
			r.began = &d
			continue
		}
		r.life, r.began = r.life.after(d), nil
		k.tally.ended[d.Op]++
	}
}

// meet waits until the clients of a room have come back to the server and have
// what they should have.
func (k *lifeKiller) meet(ctx context.Context, r *livingRoom) {
	t := k.t
	switch {
	case r.kind == roomKept:
		notes := 0
		for _, c := range r.typists {
			made, _, _, err := c.Echoes(ctx)
			require.NoError(t, err)
			notes += made
		}
		text := k.agree(ctx, r, nil)
		require.Equal(t, notes, strings.Count(text, "["))
		requireOnce(t, text, notes)
	case r.kind == roomLive:
		k.agree(ctx, r, &r.life)
	case r.life.is == deleted && r.began == nil && k.starts%2 == 1: // this server does not sweep
		require.NoError(t, r.typists[0].AwaitStopped(ctx, 4410))
		k.tally.stopped++
	case r.kind == roomNew && r.life.epoch > 0:
		require.NoError(t, r.typists[0].AwaitStopped(ctx, 4409))
		k.tally.stale++
	case r.kind == roomNew && r.began == nil:
		k.agree(ctx, r, nil)
	}
}

// agree waits until the clients of a room have the same, with nothing that waits,
// and returns its text.
func (k *lifeKiller) agree(ctx context.Context, r *livingRoom, l *life) string {
	t := k.t
	first := r.typists[0]
	for _, c := range r.typists {
		awaitSaved(ctx, t, []*ytest.NodeClient{c.NodeClient})
	}
	view, err := first.View(ctx)
	require.NoError(t, err)
	if len(r.typists) == 2 {
		other, err := r.typists[1].View(ctx)
		require.NoError(t, err)
		require.NoError(t, first.AwaitStateVector(ctx, other.StateVector))
		view, err = first.View(ctx)
		require.NoError(t, err)
		require.NoError(t, r.typists[1].AwaitStateVector(ctx, view.StateVector))
		require.NoError(t, r.typists[1].AwaitText(ctx, view.Text))
	}
	require.False(t, view.Pending)
	if l != nil && r.began == nil {
		marks := map[string]any{"mark": l.mark, "twin": l.mark}
		for _, c := range r.typists {
			if l.mark > 0 {
				require.NoError(t, c.AwaitJSON(ctx, map[string]any{"m": marks}))
				continue
			}
			view, err := c.View(ctx)
			require.NoError(t, err)
			require.Contains(t, []string{"", "{}"}, string(view.JSON["m"])) // it may never have been in use
		}
	}
	return view.Text
}

// finish kills the last server and sweeps all that is due: every document that is
// left loads, and no object is left that none of them names.
func (k *lifeKiller) finish() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	k.s.kill()
	k.s = nil
	docs := k.d.openIn(ctx, k.t, k.dir)
	defer docs.close()
	soon := time.Now().Add(time.Hour)
	all := persist.SweepOptions{TombstonesBefore: soon, SupersededBefore: soon, OrphansBefore: soon}
	for more := true; more; {
		did, err := docs.store.Sweep(ctx, all)
		require.NoError(k.t, err)
		more = did != persist.SweepStats{}
	}
	named, cursor := 0, ""
	for {
		page, next, err := docs.store.List(ctx, "main", "", cursor, 0)
		require.NoError(k.t, err)
		for _, info := range page {
			require.Empty(k.t, info.Quarantined, info.Key)
			docs.replay(ctx, info.Key.Room)
			versions, _, err := docs.store.Versions(ctx, info.Key, "", 0)
			require.NoError(k.t, err)
			named += len(versions)
			if info.SnapshotSeq > 0 {
				named++
			}
		}
		if cursor = next; next == "" {
			break
		}
	}
	if k.d.objects != nil {
		require.Equal(k.t, named, k.d.stored(k.t), "objects that nothing names, or names without an object")
	}
}
