package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/servertest"
	"github.com/yserverd/yserverd/internal/ytest"
)

const (
	killRooms   = 4
	killClients = 8
	killNotes   = 150 // of each client in a round
	// A note is what a typist writes in one go; # is replaced by a number.
	noteFormat = "[r%dc%d-#]"
)

var notePattern = regexp.MustCompile(`\[r\d+c\d+-\d+\]`)

// While eight stock clients type in four rooms, the server is killed with
// SIGKILL at a random moment: while it appends, makes snapshots and drops what
// they cover. Every update that a client has seen come back is in the store that
// the dead server left, before anybody could send it again. Then the server is
// started, and all clients converge: nothing is lost, nothing is there twice.
func TestKilledServerKeepsWhatItEchoed(t *testing.T) {
	for _, of := range depots {
		t.Run(of.name, func(t *testing.T) {
			rounds := roundsOf(15, 300)
			k := newKilling(t, of.make(t))
			require.NoError(t, k.s.Start())
			var total tally
			for round := range rounds {
				total.add(k.round(round))
				if (round+1)%50 == 0 {
					t.Logf("round %d: %v", round+1, total)
				}
			}
			t.Logf("%d rounds: %v", rounds, total)
			require.Positive(t, total.echoed, "no kill came after an echo")
			require.Less(t, total.echoed, total.made, "no kill came before an echo")
			require.Positive(t, total.folded, "no kill came after a snapshot")
		})
	}
}

// roundsOf is how often a test does what it does.
func roundsOf(short, long int) int {
	if os.Getenv("YSERVERD_TEST_LONG") == "1" {
		return long
	}
	return short
}

// killing is what rounds have in common.
type killing struct {
	t    *testing.T
	d    *depot
	s    *servertest.Server
	node *ytest.NodeClients
	rng  *rand.Rand
}

func newKilling(t *testing.T, d *depot) *killing {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return &killing{t, d, d.server(t), ytest.StartNodeClients(t), rand.New(rand.NewPCG(seed, 0))}
}

// moment waits: when something is killed is what is tested.
func (k *killing) moment() { time.Sleep(time.Duration(20+k.rng.IntN(500)) * time.Millisecond) }

// tally counts updates: made by clients before the kill, echoed to them, and
// found in the store; and the documents that had a snapshot there.
type tally struct{ made, echoed, stored, folded int }

func (t *tally) add(o tally) {
	t.made += o.made
	t.echoed += o.echoed
	t.stored += o.stored
	t.folded += o.folded
}

func (t tally) String() string {
	return fmt.Sprintf("%d updates made, %d echoed, %d of these found stored, in documents of which %d had a snapshot", t.made, t.echoed, t.stored, t.folded)
}

// round types, kills, checks the store, starts again and waits for everybody.
func (k *killing) round(round int) tally {
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	typists := k.join(ctx, round)
	bursts := startTyping(ctx, k.t, typists, round, killNotes)
	k.moment()
	k.s.Kill()
	sum := k.checkStore(ctx, typists, round)
	require.NoError(k.t, k.s.Start())
	bursts.Wait()
	converge(ctx, k.t, typists, round)
	k.leave(ctx, typists)
	return sum
}

// join returns the clients of a round, with what the server has of their rooms.
func (k *killing) join(ctx context.Context, round int) []*ytest.NodeClient {
	k.t.Helper()
	var typists []*ytest.NodeClient
	for i := range killClients {
		c, err := k.node.New(ctx, ytest.ClientConfig{
			Name: fmt.Sprintf("r%dc%d", round, i), Kind: ytest.DocumentKinds[i%len(ytest.DocumentKinds)],
			URL: k.s.WebSocketURL(), Room: killRoom(round, i), Party: "main", MaxBackoffTime: 200,
		})
		require.NoError(k.t, err)
		typists = append(typists, c)
	}
	for _, c := range typists {
		require.NoError(k.t, c.AwaitSynced(ctx))
	}
	return typists
}

func (k *killing) leave(ctx context.Context, typists []*ytest.NodeClient) {
	k.t.Helper()
	for _, c := range typists {
		require.NoError(k.t, c.Destroy(ctx))
	}
}

func killRoom(round, client int) string {
	return fmt.Sprintf("round-%d-%d", round, client%killRooms)
}

// startTyping lets every client write notes in the background, at its own pace.
func startTyping(ctx context.Context, t *testing.T, typists []*ytest.NodeClient, round, notes int) *sync.WaitGroup {
	var wg sync.WaitGroup
	for i, c := range typists {
		wg.Go(func() {
			if err := c.Burst(ctx, fmt.Sprintf(noteFormat, round, i), notes, time.Duration(1+i)*time.Millisecond); err != nil {
				t.Errorf("client %d types: %v", i, err)
			}
		})
	}
	return &wg
}

// checkStore opens what the dead server left and looks for every note that a
// client has seen come back.
func (k *killing) checkStore(ctx context.Context, typists []*ytest.NodeClient, round int) tally {
	k.t.Helper()
	docs := k.d.open(ctx, k.t, k.s)
	defer docs.close()
	var sum tally
	for i, c := range typists {
		made, back, notes, err := c.Echoes(ctx)
		require.NoError(k.t, err)
		state, folded := docs.replay(ctx, killRoom(round, i))
		for _, note := range notes {
			n := bytes.Count(state, []byte(note))
			require.Equal(k.t, 1, n, "round %d: %s came back to its client and is in the store %d times", round, note, n)
		}
		sum.add(tally{made: made, echoed: back, stored: len(notes)})
		if folded && i < killRooms {
			sum.folded++
		}
	}
	return sum
}

// converge waits until the clients of a room have the same, and requires that it
// is every note once.
func converge(ctx context.Context, t *testing.T, typists []*ytest.NodeClient, round int) {
	t.Helper()
	made := make([]int, len(typists)) // a client stops when its server is gone
	for i, c := range typists {
		var err error
		made[i], _, _, err = c.Echoes(ctx)
		require.NoError(t, err)
	}
	for i, c := range typists[:killRooms] {
		j := i + killRooms
		length := notesLength(round, i, made[i]) + notesLength(round, j, made[j])
		for _, x := range []*ytest.NodeClient{c, typists[j]} {
			require.NoError(t, x.AwaitSettled(ctx))
			require.NoError(t, x.AwaitTextLength(ctx, length))
		}
		view, err := c.View(ctx)
		require.NoError(t, err)
		require.NoError(t, typists[j].AwaitStateVector(ctx, view.StateVector))
		require.NoError(t, typists[j].AwaitText(ctx, view.Text))
		requireOnce(t, view.Text, made[i]+made[j])
	}
}

// notesLength is how long the first n notes are that a client writes in a round.
func notesLength(round, client, n int) int {
	length := 0
	for i := range n {
		length += len(strings.ReplaceAll(fmt.Sprintf(noteFormat, round, client), "#", strconv.Itoa(i)))
	}
	return length
}

func requireOnce(t *testing.T, text string, notes int) {
	t.Helper()
	seen := map[string]bool{}
	for _, note := range notePattern.FindAllString(text, -1) {
		require.False(t, seen[note], "%s is there twice", note)
		seen[note] = true
	}
	require.Len(t, seen, notes)
}
