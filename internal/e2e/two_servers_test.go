package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/pgtest"
	"github.com/yserverd/yserverd/internal/s3test"
	"github.com/yserverd/yserverd/internal/servertest"
	"github.com/yserverd/yserverd/internal/ytest"
)

// sharedNotes is what a client writes at a time.
const sharedNotes = 40

// Two servers keep documents in one database, know nothing of each other, and
// have the same rooms open with a stock client on each. Both clients type at
// once, and then one at a time while the other's server lags behind a log that is
// folded without it. No client is closed, all come to the same text, and the
// store has every edit once.
func TestTwoServersOnOneStoreConverge(t *testing.T) {
	for name, make := range map[string]func(t *testing.T) *depot{
		"Postgres": func(t *testing.T) *depot { return &depot{database: pgtest.Database(t)} },
		"Postgres and S3": func(t *testing.T) *depot {
			return inBucket(t, &depot{database: pgtest.Database(t)}, s3test.Shared(t))
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := make(t)
			rooms := roundsOf(10, 100)
			servers := [2]*servertest.Server{d.server(t), d.server(t)}
			for _, s := range servers {
				require.NoError(t, s.Start())
			}
			node := ytest.StartNodeClients(t)
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rooms)*10*time.Second)
			defer cancel()
			pairs := joinBoth(ctx, t, node, servers, rooms)
			convergeAll(ctx, t, pairs)
			t.Logf("%d rooms, %d notes in each", rooms, 4*sharedNotes)
			checkShared(ctx, t, d, pairs)
		})
	}
}

// pair is the clients of a room, each on its server.
type pair struct {
	room string
	at   [2]*ytest.NodeClient
	told int // pokes
}

func joinBoth(ctx context.Context, t *testing.T, node *ytest.NodeClients, servers [2]*servertest.Server, rooms int) []*pair {
	t.Helper()
	pairs := make([]*pair, rooms)
	for room := range pairs {
		p := &pair{room: fmt.Sprintf("shared-%d", room)}
		for i, s := range servers {
			c, err := node.New(ctx, ytest.ClientConfig{
				Name: fmt.Sprintf("room%d-%d", room, i), Kind: ytest.DocumentKinds[(room+i)%len(ytest.DocumentKinds)],
				URL: s.WebSocketURL(), Room: p.room, Party: "main",
			})
			require.NoError(t, err)
			p.at[i] = c
		}
		pairs[room] = p
	}
	for _, p := range pairs {
		for _, c := range p.at {
			require.NoError(t, c.AwaitSynced(ctx))
		}
	}
	return pairs
}

// The parts of what a pair writes: both at once, then the first alone, then the
// second alone.
const (
	partBoth = iota
	partFirst
	partSecond
	parts
)

func (p *pair) converge(ctx context.Context) error {
	both := [2]error{}
	var wg sync.WaitGroup
	for i := range p.at {
		wg.Go(func() { both[i] = p.types(ctx, i, partBoth) })
	}
	wg.Wait()
	for _, err := range both {
		if err != nil {
			return err
		}
	}
	if err := p.meet(ctx, 0); err != nil {
		return err
	}
	for i, part := range []int{partFirst, partSecond} {
		if err := p.types(ctx, i, part); err != nil {
			return err
		}
		if err := p.meet(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// types writes notes and waits until they are stored.
func (p *pair) types(ctx context.Context, i, part int) error {
	c := p.at[i]
	if err := c.Burst(ctx, fmt.Sprintf(noteFormat, part, i), sharedNotes, 2*time.Millisecond); err != nil {
		return err
	}
	return c.AwaitEchoed(ctx)
}

// meet lets both clients have what is stored, the one that is not ahead first. A
// server hears of another's rows when it appends behind them.
func (p *pair) meet(ctx context.Context, ahead int) error {
	for _, i := range []int{1 - ahead, ahead} {
		p.told++
		if err := p.at[i].Edit(ctx, ytest.SetKey("told", p.told)); err != nil {
			return err
		}
		if err := p.at[i].AwaitEchoed(ctx); err != nil {
			return err
		}
	}
	first, err := p.at[0].View(ctx)
	if err != nil {
		return err
	}
	return p.at[1].AwaitText(ctx, first.Text)
}

// checkShared requires that all clients have everything, that none was closed,
// and that the store has it once.
func checkShared(ctx context.Context, t *testing.T, d *depot, pairs []*pair) {
	t.Helper()
	docs := d.open(ctx, t, nil)
	defer docs.close()
	for _, p := range pairs {
		state, folded := docs.replay(ctx, p.room)
		require.Equal(t, d.fold <= foldEvery, folded, p.room)
		for part := range parts {
			for i := range p.at {
				if part == partFirst && i == 1 || part == partSecond && i == 0 {
					continue
				}
				for n := range sharedNotes {
					note := noteText(part, i, n)
					require.Equal(t, 1, bytes.Count(state, []byte(note)), "%s in the store's %s", note, p.room)
				}
			}
		}
		requireConnected(ctx, t, p.at[:])
		for _, c := range p.at {
			view, err := c.View(ctx)
			require.NoError(t, err)
			requireOnce(t, view.Text, 4*sharedNotes)
			require.False(t, view.Pending)
		}
	}
}
