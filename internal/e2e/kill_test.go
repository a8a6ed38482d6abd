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
	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/pebble"
	"github.com/yserverd/yserverd/protocol/ydoc"
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
// SIGKILL at a random moment. Every update that a client has seen come back is
// in the store that the dead server left, before anybody could send it again.
// Then the server is started, and all clients converge: nothing is lost, nothing
// is there twice.
func TestKilledServerKeepsWhatItEchoed(t *testing.T) {
	rounds := 15
	if os.Getenv("YSERVERD_TEST_LONG") == "1" {
		rounds = 200
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, %d rounds", seed, rounds)
	rng := rand.New(rand.NewPCG(seed, 0))
	clients := ytest.StartNodeClients(t)
	s := servertest.New(t, servertest.Options{})
	require.NoError(t, s.Start())
	var total tally
	for round := range rounds {
		total.add(killRound(t, s, clients, round, rng))
		if (round+1)%10 == 0 {
			t.Logf("round %d: %v", round+1, total)
		}
	}
	t.Logf("%d rounds: %v", rounds, total)
	require.Positive(t, total.echoed, "no kill came after an echo")
	require.Less(t, total.echoed, total.made, "no kill came before an echo")
}

// tally counts updates: made by clients before the kill, echoed to them, and
// found in the store.
type tally struct{ made, echoed, stored int }

func (t *tally) add(o tally) {
	t.made += o.made
	t.echoed += o.echoed
	t.stored += o.stored
}

func (t tally) String() string {
	return fmt.Sprintf("%d updates made, %d echoed, %d of these found stored", t.made, t.echoed, t.stored)
}

// killRound types, kills, checks the store, starts again and waits for everybody.
func killRound(t *testing.T, s *servertest.Server, node *ytest.NodeClients, round int, rng *rand.Rand) tally {
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	var typists []*ytest.NodeClient
	for i := range killClients {
		c, err := node.New(ctx, ytest.ClientConfig{
			Name: fmt.Sprintf("r%dc%d", round, i), Kind: ytest.DocumentKinds[i%len(ytest.DocumentKinds)],
			URL: s.WebSocketURL(), Room: killRoom(round, i), Party: "main", MaxBackoffTime: 200,
		})
		require.NoError(t, err)
		typists = append(typists, c)
	}
	for _, c := range typists {
		require.NoError(t, c.AwaitSynced(ctx))
	}
	after := time.Duration(20+rng.IntN(500)) * time.Millisecond
	bursts := startTyping(ctx, t, typists, round)
	time.Sleep(after) // the moment is what is tested
	s.Kill()
	sum := checkStore(ctx, t, s, typists, round)
	require.NoError(t, s.Start())
	bursts.Wait()
	converge(ctx, t, typists, round)
	for _, c := range typists {
		require.NoError(t, c.Destroy(ctx))
	}
	return sum
}

func killRoom(round, client int) string {
	return fmt.Sprintf("round-%d-%d", round, client%killRooms)
}

// startTyping lets every client write notes in the background, at its own pace.
func startTyping(ctx context.Context, t *testing.T, typists []*ytest.NodeClient, round int) *sync.WaitGroup {
	var wg sync.WaitGroup
	for i, c := range typists {
		wg.Go(func() {
			if err := c.Burst(ctx, fmt.Sprintf(noteFormat, round, i), killNotes, time.Duration(1+i)*time.Millisecond); err != nil {
				t.Errorf("client %d types: %v", i, err)
			}
		})
	}
	return &wg
}

// checkStore opens what the dead server left and looks for every note that a
// client has seen come back.
func checkStore(ctx context.Context, t *testing.T, s *servertest.Server, typists []*ytest.NodeClient, round int) tally {
	t.Helper()
	store, err := pebble.Open(s.Data, pebble.Options{})
	require.NoError(t, err, "the store of a killed server opens")
	defer func() { require.NoError(t, store.Close()) }()
	var sum tally
	for i, c := range typists {
		made, back, notes, err := c.Echoes(ctx)
		require.NoError(t, err)
		state := replay(ctx, t, store, killRoom(round, i))
		for _, note := range notes {
			n := bytes.Count(state, []byte(note))
			require.Equal(t, 1, n, "round %d: %s came back to its client and is in the store %d times", round, note, n)
		}
		sum.add(tally{made, back, len(notes)})
	}
	return sum
}

// replay returns the state of a document as its snapshot and log give it.
func replay(ctx context.Context, t *testing.T, store *pebble.Store, room string) []byte {
	t.Helper()
	stored, err := store.Load(ctx, persist.Key{Party: "main", Room: room})
	require.NoError(t, err)
	doc := ydoc.New(ydoc.Config{})
	if stored.Snapshot.Data != nil {
		_, err = doc.Apply(stored.Snapshot.Data)
		require.NoError(t, err)
	}
	for _, row := range stored.Tail {
		_, err = doc.Apply(row.Data)
		require.NoError(t, err)
	}
	return doc.State()
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
