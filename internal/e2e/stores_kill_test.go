package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/pgtest"
	"github.com/yserverd/yserverd/internal/s3test"
	"github.com/yserverd/yserverd/internal/ytest"
)

// outageNotes is what a client writes before an outage, and again in it.
const outageNotes = 60

// While eight stock clients type, PostgreSQL ends as pg_ctl stop -m immediate
// ends it, and is started again. Meanwhile they go on and see each other's
// edits, and none of them is told that anything is stored. In every other round
// the server is killed in the outage: then what it had acknowledged is in the
// database, and it is sent the rest again. In the others no connection ends. At
// last everything is in the database once.
func TestDatabaseThatDiesKeepsWhatWasEchoed(t *testing.T) {
	rounds := roundsOf(3, 50)
	cluster := pgtest.New(t)
	k := newKilling(t, &depot{database: cluster.Database(t)})
	require.NoError(t, k.s.Start())
	var total tally
	for round := range rounds {
		total.add(k.databaseDies(cluster, round))
	}
	t.Logf("%d rounds: %v", rounds, total)
	require.Positive(t, total.echoed, "PostgreSQL never ended after an echo")
	require.Positive(t, total.folded, "there are no snapshots")
}

func (k *killing) databaseDies(cluster *pgtest.Cluster, round int) tally {
	t := k.t
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	typists := k.join(ctx, round)
	before := startTyping(ctx, t, typists, 2*round, outageNotes)
	k.moment()
	require.NoError(t, cluster.StopImmediate())
	before.Wait()
	startTyping(ctx, t, typists, 2*round+1, outageNotes).Wait()
	awaitEachOther(ctx, t, typists, 2*round, 2*round+1)
	k.nothingIsAcknowledged(ctx, typists, 2*round+1)

	var sum tally
	killed := round%2 == 0
	if killed {
		k.s.Kill()
		require.NoError(t, cluster.Start())
		sum = k.checkStore(ctx, typists, round)
		require.NoError(t, k.s.Start())
	} else {
		for _, c := range typists {
			made, back, _, err := c.Echoes(ctx)
			require.NoError(t, err)
			sum.add(tally{made: made, echoed: back})
		}
		require.NoError(t, cluster.Start())
		requireConnected(ctx, t, typists)
	}
	awaitSaved(ctx, t, typists)
	awaitEachOther(ctx, t, typists, 2*round, 2*round+1)
	if !killed {
		requireConnected(ctx, t, typists)
	}
	sum.folded = k.storedOnce(ctx, round, 2*round, 2*round+1)
	k.leave(ctx, typists)
	return sum
}

// nothingIsAcknowledged requires that no client is told that notes are stored
// which it wrote in an outage.
func (k *killing) nothingIsAcknowledged(ctx context.Context, typists []*ytest.NodeClient, written int) {
	t := k.t
	asked := make([]int, len(typists))
	for i, c := range typists {
		var err error
		asked[i], err = c.Save(ctx)
		require.NoError(t, err)
		// What is sent behind the question comes out: the server has read it.
		require.NoError(t, c.SetAwareness(ctx, map[string]any{"asked": c.Name()}))
	}
	for i := range killRooms {
		pair := []*ytest.NodeClient{typists[i], typists[i+killRooms]}
		for _, c := range pair {
			require.NoError(t, c.AwaitStates(ctx, map[string]any{"asked": pair[0].Name()}, map[string]any{"asked": pair[1].Name()}))
		}
	}
	for i, c := range typists {
		view, err := c.View(ctx)
		require.NoError(t, err)
		require.Less(t, view.Saved, asked[i], "%s is told that what it wrote is saved, without a database", c.Name())
		_, _, notes, err := c.Echoes(ctx)
		require.NoError(t, err)
		require.NotContains(t, notes, noteText(written, i, 0), "it came back to %s without a database", c.Name())
	}
}

// noteText is a note as startTyping writes it.
func noteText(round, client, n int) string { return fmt.Sprintf("[r%dc%d-%d]", round, client, n) }

// awaitEachOther waits until the clients of a room have all notes of the rounds,
// and requires that they have each of them once.
func awaitEachOther(ctx context.Context, t *testing.T, typists []*ytest.NodeClient, rounds ...int) {
	t.Helper()
	for i := range killRooms {
		j := i + killRooms
		length := 0
		for _, round := range rounds {
			length += notesLength(round, i, outageNotes) + notesLength(round, j, outageNotes)
		}
		require.NoError(t, typists[i].AwaitTextLength(ctx, length))
		view, err := typists[i].View(ctx)
		require.NoError(t, err)
		requireOnce(t, view.Text, 2*len(rounds)*outageNotes)
		require.NoError(t, typists[j].AwaitText(ctx, view.Text))
	}
}

// awaitSaved waits until every client is told that all it wrote is stored.
func awaitSaved(ctx context.Context, t *testing.T, typists []*ytest.NodeClient) {
	t.Helper()
	for _, c := range typists {
		require.NoError(t, c.AwaitSettled(ctx))
		n, err := c.Save(ctx)
		require.NoError(t, err)
		require.NoError(t, c.AwaitSaved(ctx, n))
	}
}

// requireConnected requires that no client has lost its connection.
func requireConnected(ctx context.Context, t *testing.T, typists []*ytest.NodeClient) {
	t.Helper()
	for _, c := range typists {
		view, err := c.View(ctx)
		require.NoError(t, err)
		require.True(t, view.Connected, c.Name())
		require.Empty(t, view.Closes, c.Name())
		require.Equal(t, 1, view.Sockets, c.Name())
	}
}

// storedOnce requires that every note of the rounds is in the store once, and
// counts the snapshots there. The rooms are those of another number.
func (k *killing) storedOnce(ctx context.Context, room int, rounds ...int) (folded int) {
	k.t.Helper()
	docs := k.d.open(ctx, k.t, k.s)
	defer docs.close()
	for i := range killClients {
		state, snapshot := docs.replay(ctx, killRoom(room, i))
		if snapshot && i < killRooms {
			folded++
		}
		for _, round := range rounds {
			for n := range outageNotes {
				note := noteText(round, i, n)
				require.Equal(k.t, 1, bytes.Count(state, []byte(note)), note)
			}
		}
	}
	return folded
}

// While eight stock clients type, the S3 server that takes the snapshots is
// killed. Documents do without it: what is written then is stored, and said to
// be. When it is back there are snapshots again. Then the server is killed too,
// and everything is in what it left, once.
func TestBucketThatDiesStopsSnapshotsOnly(t *testing.T) {
	for _, of := range []struct {
		name string
		make func(t *testing.T, s *s3test.Server) *depot
	}{
		{"embedded", func(t *testing.T, s *s3test.Server) *depot { return inBucket(t, &depot{}, s) }},
		{"Postgres", func(t *testing.T, s *s3test.Server) *depot {
			return inBucket(t, &depot{database: pgtest.Database(t)}, s)
		}},
	} {
		t.Run(of.name, func(t *testing.T) {
			rounds := roundsOf(3, 50)
			k := newKilling(t, of.make(t, s3test.New(t)))
			require.NoError(t, k.s.Start())
			for round := range rounds {
				k.bucketDies(round)
			}
			t.Logf("%d rounds, %d objects", rounds, k.d.stored(t))
		})
	}
}

func (k *killing) bucketDies(round int) {
	t := k.t
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	typists := k.join(ctx, round)
	before := startTyping(ctx, t, typists, 2*round, outageNotes)
	k.moment()
	require.NoError(t, k.d.objects.Kill())
	without := k.d.stored(t)
	before.Wait()
	startTyping(ctx, t, typists, 2*round+1, outageNotes).Wait()
	awaitEachOther(ctx, t, typists, 2*round, 2*round+1)
	awaitSaved(ctx, t, typists)
	require.Equal(t, without, k.d.stored(t))

	require.NoError(t, k.d.objects.Start())
	for n := 0; k.d.stored(t) == without; n++ { // until the context ends
		for _, c := range typists[:killRooms] {
			require.NoError(t, c.Edit(ctx, ytest.SetKey("n", n)))
			require.NoError(t, c.AwaitEchoed(ctx))
		}
	}
	requireConnected(ctx, t, typists)
	k.s.Kill()
	sum := k.checkStore(ctx, typists, round)
	require.Positive(t, sum.folded)
	k.storedOnce(ctx, round, 2*round, 2*round+1)
	require.NoError(t, k.s.Start())
	awaitSaved(ctx, t, typists)
	k.leave(ctx, typists)
}
