package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/internal/servertest"
	"github.com/yserverd/yserverd/internal/ytest"
	"github.com/yserverd/yserverd/persist"
)

const (
	crewNotes = 5                     // that a client writes between two questions whether all is saved
	crewPause = 80 * time.Millisecond // behind each
	lookPause = 20 * time.Millisecond // of the witness: little beside what a line in trouble takes
)

// crew is the clients of the killing's rooms while they write all the time, and what they were told meanwhile.
type crew struct {
	*killing
	ctx     context.Context
	typists []*ytest.NodeClient

	mu     sync.Mutex
	bursts int
	phase  int          // of the barriers
	notes  [][]string   // that each client has written, in order
	asked  [][]question // of each client
}

// question is the sync status n, asked for behind so many notes.
type question struct{ n, notes int }

// newCrew starts the server and lets the clients in.
func newCrew(ctx context.Context, t *testing.T, d *depot) *crew {
	t.Helper()
	k := newKilling(t, d)
	require.NoError(t, k.s.Start())
	c := &crew{killing: k, ctx: ctx, typists: k.join(ctx, 0)}
	c.notes, c.asked = make([][]string, len(c.typists)), make([][]question, len(c.typists))
	return c
}

// write lets all of them write until the returned function is called, which waits for what they have begun.
func (c *crew) write() (stop func()) {
	quit := make(chan struct{})
	var wg sync.WaitGroup
	for i := range c.typists {
		wg.Go(func() {
			for {
				select {
				case <-quit:
					return
				default:
				}
				if err := c.burst(i); err != nil {
					c.t.Errorf("client %d writes: %v", i, err)
					return
				}
			}
		})
	}
	return func() {
		close(quit)
		wg.Wait()
	}
}

// burst writes a few notes and asks whether they are saved.
func (c *crew) burst(i int) error {
	c.mu.Lock()
	c.bursts++
	number := c.bursts
	c.mu.Unlock()
	if err := c.typists[i].Burst(c.ctx, fmt.Sprintf(noteFormat, number, i), crewNotes, crewPause); err != nil {
		return err
	}
	n, err := c.typists[i].Save(c.ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for note := range crewNotes {
		c.notes[i] = append(c.notes[i], noteText(number, i, note))
	}
	c.asked[i] = append(c.asked[i], question{n, len(c.notes[i])})
	return nil
}

// saved returns the notes that a client must find stored when it was told that question n is answered.
func (c *crew) saved(i, n int) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	stored := 0
	for _, q := range c.asked[i] {
		if q.n <= n {
			stored = q.notes
		}
	}
	return c.notes[i][:stored]
}

// count is how many notes a client has written.
func (c *crew) count(i int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.notes[i])
}

// meet waits until the clients of a room have all that both wrote, and requires that it is there once. Nobody writes
// meanwhile.
func (c *crew) meet() {
	c.t.Helper()
	for i, one := range c.typists[:killRooms] {
		other, length, notes := c.typists[i+killRooms], 0, 0
		for _, mine := range [][]string{c.notes[i], c.notes[i+killRooms]} {
			notes += len(mine)
			for _, note := range mine {
				length += len(note)
			}
		}
		require.NoError(c.t, one.AwaitTextLength(c.ctx, length))
		view, err := one.View(c.ctx)
		require.NoError(c.t, err)
		requireOnce(c.t, view.Text, notes)
		require.NoError(c.t, other.AwaitText(c.ctx, view.Text))
	}
}

// nothingIsSaved requires that no client has been told that it is stored what it wrote behind the given numbers of notes,
// though it has asked. Presence that is sent behind the question comes out: so the server has read it.
func (c *crew) nothingIsSaved(before []int) {
	c.t.Helper()
	c.phase++
	at := func(name string) map[string]any { return map[string]any{"phase": c.phase, "name": name} }
	for _, typist := range c.typists {
		require.NoError(c.t, typist.SetAwareness(c.ctx, at(typist.Name())))
	}
	for i := range killRooms {
		one, other := c.typists[i], c.typists[i+killRooms]
		for _, typist := range []*ytest.NodeClient{one, other} {
			require.NoError(c.t, typist.AwaitStates(c.ctx, at(one.Name()), at(other.Name())))
		}
	}
	for i, typist := range c.typists {
		view, err := typist.View(c.ctx)
		require.NoError(c.t, err)
		require.LessOrEqual(c.t, len(c.saved(i, view.Saved)), before[i], "%s is told that it is saved what it wrote without a store", typist.Name())
		_, _, back, err := typist.Echoes(c.ctx)
		require.NoError(c.t, err)
		for _, note := range c.notes[i][before[i]:] {
			require.NotContains(c.t, back, note, "it came back to %s without a store", typist.Name())
		}
	}
}

// snapshots returns which row the snapshot of each room reaches.
func (c *crew) snapshots(docs *shelf) []persist.Seq {
	c.t.Helper()
	reach := make([]persist.Seq, killRooms)
	for i := range reach {
		var err error
		_, reach[i], err = docs.read(c.ctx, killRoom(0, i))
		require.NoError(c.t, err)
	}
	return reach
}

// foldOn writes until every room has a snapshot that reaches further than before.
func (c *crew) foldOn(docs *shelf, before []persist.Seq) {
	c.t.Helper()
	for n := 0; ; n++ { // until the context ends
		behind := false
		for i, reach := range c.snapshots(docs) {
			if reach > before[i] {
				continue
			}
			behind = true
			require.NoError(c.t, c.typists[i].Edit(c.ctx, ytest.SetKey("n", n)))
			require.NoError(c.t, c.typists[i].AwaitEchoed(c.ctx))
		}
		if !behind {
			return
		}
	}
}

// everythingOnce requires that every note is in the store once.
func (c *crew) everythingOnce(docs *shelf) {
	c.t.Helper()
	for i, mine := range c.notes {
		state, _ := docs.replay(c.ctx, killRoom(0, i))
		for _, note := range mine {
			require.Equal(c.t, 1, bytes.Count(state, []byte(note)), note)
		}
	}
}

// witness compares again and again what clients are told with what is in the store at that moment.
type witness struct {
	c      *crew
	docs   *shelf
	quit   chan struct{}
	done   chan struct{}
	told   []int // notes of each client that were found stored after it was told so
	echoed []int // the same, of its echoes
	looks  int
	err    error
}

func (c *crew) witness(docs *shelf) *witness {
	w := &witness{
		c: c, docs: docs, quit: make(chan struct{}), done: make(chan struct{}),
		told: make([]int, len(c.typists)), echoed: make([]int, len(c.typists)),
	}
	go func() {
		defer close(w.done)
		for w.err == nil {
			select {
			case <-w.quit:
				return
			case <-time.After(lookPause):
				w.err = w.look()
			}
		}
	}()
	return w
}

// look asks the clients first, and the store then.
func (w *witness) look() error {
	type claim struct{ saved, back []string }
	claims := make([]claim, len(w.c.typists))
	for i, typist := range w.c.typists {
		view, err := typist.View(w.c.ctx)
		if err != nil {
			return err
		}
		_, _, back, err := typist.Echoes(w.c.ctx)
		if err != nil {
			return err
		}
		claims[i] = claim{w.c.saved(i, view.Saved), back}
	}
	for room := range killRooms {
		state, _, err := w.docs.read(w.c.ctx, killRoom(0, room))
		if err != nil {
			return err
		}
		for _, i := range []int{room, room + killRooms} {
			if err := missing(state, claims[i].saved[w.told[i]:]); err != nil {
				return fmt.Errorf("%s is told that it is saved, and the store does not have it: %w", w.c.typists[i].Name(), err)
			}
			if err := missing(state, claims[i].back[w.echoed[i]:]); err != nil {
				return fmt.Errorf("it came back to %s, and the store does not have it: %w", w.c.typists[i].Name(), err)
			}
			w.told[i], w.echoed[i] = len(claims[i].saved), len(claims[i].back)
		}
	}
	w.looks++
	return nil
}

// missing returns which of the notes is not in a state.
func missing(state []byte, notes []string) error {
	for _, note := range notes {
		if !bytes.Contains(state, []byte(note)) {
			return fmt.Errorf("note %s", note)
		}
	}
	return nil
}

// end stops looking, and requires that there was nothing wrong to be seen.
func (w *witness) end() string {
	w.c.t.Helper()
	close(w.quit)
	<-w.done
	require.NoError(w.c.t, w.err)
	require.NoError(w.c.t, w.look(), "at the end")
	told, echoed := 0, 0
	for i := range w.told {
		require.Equal(w.c.t, w.c.count(i), w.told[i], "it is told everything")
		require.Equal(w.c.t, w.c.count(i), w.echoed[i], "it is sent everything back")
		told += w.told[i]
		echoed += w.echoed[i]
	}
	return fmt.Sprintf("%d notes were told to be saved and %d came back; each was in the store then, in %d looks", told, echoed, w.looks)
}

// readiness is what a server says of itself: the status of /readyz.
func readiness(s *servertest.Server) (int, error) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(s.URL() + "/readyz")
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// awaitReadiness waits until a server says so.
func awaitReadiness(t *testing.T, s *servertest.Server, status int) {
	t.Helper()
	require.Eventually(t, func() bool {
		got, err := readiness(s)
		return err == nil && got == status
	}, time.Minute, 10*time.Millisecond, "/readyz does not answer %d", status)
}

// observe watches what a server says of itself until the returned function is called, which says how often it said it.
func (c *crew) observe() (end func() map[int]int) {
	quit, said := make(chan struct{}), make(chan map[int]int, 1)
	go func() {
		seen := map[int]int{}
		for {
			select {
			case <-quit:
				said <- seen
				return
			case <-time.After(20 * time.Millisecond):
			}
			got, _ := readiness(c.s) // zero where there is no answer
			seen[got]++
		}
	}()
	return func() map[int]int {
		close(quit)
		return <-said
	}
}

// storeOn writes until there are more objects than before.
func (c *crew) storeOn(before int) {
	c.t.Helper()
	for n := 0; c.d.stored(c.t) <= before; n++ { // until the context ends
		for _, typist := range c.typists[:killRooms] {
			require.NoError(c.t, typist.Edit(c.ctx, ytest.SetKey("s", n)))
			require.NoError(c.t, typist.AwaitEchoed(c.ctx))
		}
	}
}
