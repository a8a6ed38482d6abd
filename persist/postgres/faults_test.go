package postgres_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/yserverd/yserverd/internal/pgtest"
	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/persisttest"
	"github.com/yserverd/yserverd/persist/postgres"
)

// faultTimeout is what calls get on a line with faults.
const faultTimeout = 1500 * time.Millisecond

// line is a connection to a database that can be disturbed.
type line struct {
	t     *testing.T
	proxy *toxiproxy.Proxy
}

// newLine returns the URL that leads to a database over the line, and the line.
func newLine(t *testing.T, database string) (string, *line) {
	t.Helper()
	u, err := url.Parse(database)
	require.NoError(t, err)
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxy := toxiproxy.NewProxy(server, "postgres", "127.0.0.1:0", u.Host)
	require.NoError(t, proxy.Start())
	t.Cleanup(proxy.Stop)
	u.Host = proxy.Listen
	return u.String(), &line{t, proxy}
}

// disturb adds a toxic to one direction.
func (l *line) disturb(kind, stream string, attributes map[string]int) {
	l.t.Helper()
	toxic, err := json.Marshal(map[string]any{"name": stream, "type": kind, "stream": stream, "attributes": attributes})
	require.NoError(l.t, err)
	_, err = l.proxy.Toxics.AddToxicJson(bytes.NewReader(toxic))
	require.NoError(l.t, err)
}

// repair takes all toxics away.
func (l *line) repair() { l.proxy.Toxics.ResetToxics(context.Background()) }

// TestUnknownOutcome: the line fails before the server has the statement, or behind its commit. The error is the same, and
// LoadAfter tells.
func TestUnknownOutcome(t *testing.T) {
	for name, c := range map[string]struct {
		kind, stream string
		attributes   map[string]int
		done         bool
	}{
		"question cut":      {"limit_data", "upstream", map[string]int{"bytes": 50}, false},
		"question vanishes": {"timeout", "upstream", map[string]int{"timeout": 0}, false},
		"answer cut":        {"limit_data", "downstream", map[string]int{"bytes": 0}, true},
		"answer torn":       {"limit_data", "downstream", map[string]int{"bytes": 30}, true},
		"answer vanishes":   {"timeout", "downstream", map[string]int{"timeout": 0}, true},
		"reset":             {"reset_peer", "upstream", map[string]int{"timeout": 0}, false},
		"slower than time":  {"latency", "downstream", map[string]int{"latency": 600_000}, true},
	} {
		t.Run(name, func(t *testing.T) {
			database := pgtest.Database(t)
			url, l := newLine(t, database)
			s := mustOpen(t, postgres.Options{URL: url, MaxConnections: 1, StatementTimeout: faultTimeout})
			defer func() { require.NoError(t, s.Close()) }()
			mustAppend(t, s, notes, 0, "a")

			l.disturb(c.kind, c.stream, c.attributes)
			err := tryAppend(t.Context(), s, notes, 1, "b", "c")
			require.ErrorIs(t, err, persist.ErrUnavailable)
			require.False(t, errors.Is(err, context.DeadlineExceeded), "the caller's context is not done")
			require.ErrorIs(t, s.Stats().Err, persist.ErrUnavailable)
			if c.done { // the server may still be at it
				require.Eventually(t, func() bool { return value[int64](t, database, `SELECT seq FROM yserverd.documents`) == 3 },
					time.Minute, time.Millisecond)
			}
			l.repair()

			rows, err := s.LoadAfter(t.Context(), notes, 1)
			require.NoError(t, err)
			require.Equal(t, c.done, len(rows) == 2)
			if c.done {
				require.ErrorIs(t, tryAppend(t.Context(), s, notes, 1, "b", "c"), persist.ErrConflict, "repeating is harmless")
			} else {
				mustAppend(t, s, notes, 1, "b", "c")
			}
			require.Equal(t, []string{"a", "b", "c"}, persisttest.Lines(mustLoad(t, s, notes)))
			require.NoError(t, s.Stats().Err)
		})
	}
}

// patient waits a moment before it returns that the database is away, as rooms do before they try again.
type patient struct{ *postgres.Store }

func (p patient) pause(ctx context.Context, err error) {
	if errors.Is(err, persist.ErrUnavailable) {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (p patient) Load(ctx context.Context, k persist.Key) (persist.Document, error) {
	d, err := p.Store.Load(ctx, k)
	p.pause(ctx, err)
	return d, err
}

func (p patient) LoadAfter(ctx context.Context, k persist.Key, after persist.Seq) ([]persist.Update, error) {
	rows, err := p.Store.LoadAfter(ctx, k, after)
	p.pause(ctx, err)
	return rows, err
}

func (p patient) Append(ctx context.Context, items []persist.Append) ([]persist.Result, error) {
	results, err := p.Store.Append(ctx, items)
	p.pause(ctx, err)
	return results, err
}

// writing has writers of two documents, one half of each on either store, and checks when they have ended that each line
// is there once, in its writer's order.
type writing struct {
	t       *testing.T
	stores  []persisttest.Store
	writers int
	group   errgroup.Group
	stop    chan struct{}
	lines   []int // that each writer got acknowledged, once it has ended
}

func write(t *testing.T, writers int, stores ...persisttest.Store) *writing {
	w := &writing{t: t, stores: stores, writers: writers, stop: make(chan struct{}), lines: make([]int, writers)}
	for i := range writers {
		w.group.Go(func() error { return w.write(i) })
	}
	return w
}

func (w *writing) key(writer int) persist.Key {
	return persist.Key{Party: "main", Room: fmt.Sprint("shared", writer/2%2)}
}

func (w *writing) write(i int) error {
	hand := &persisttest.Writer{Store: w.stores[i%len(w.stores)], Key: w.key(i)}
	for n := 0; ; n++ {
		select {
		case <-w.stop:
			w.lines[i] = n
			return nil
		default:
		}
		if err := hand.Append(w.t.Context(), fmt.Sprintf("%d.%d", i, n)); err != nil {
			return fmt.Errorf("writer %d: %w", i, err)
		}
		if n%20 == 19 {
			if err := hand.Compact(w.t.Context()); err != nil && !errors.Is(err, persist.ErrUnavailable) && !errors.Is(err, persisttest.ErrInjected) {
				return fmt.Errorf("writer %d: %w", i, err)
			}
		}
	}
}

// end stops the writers and checks what they have left.
func (w *writing) end() {
	close(w.stop)
	require.NoError(w.t, w.group.Wait())
	next, total := make([]int, w.writers), 0
	for _, k := range []persist.Key{w.key(0), w.key(2)} {
		for _, line := range persisttest.Lines(mustLoad(w.t, w.stores[0], k)) {
			var i, n int
			_, err := fmt.Sscanf(line, "%d.%d", &i, &n)
			require.NoError(w.t, err)
			require.Equal(w.t, next[i], n, "writer %d", i)
			next[i]++
			total++
		}
	}
	require.Equal(w.t, w.lines, next, "what was acknowledged, and no more")
	w.t.Logf("%d lines", total)
}

// TestFaultyLineUnderWriters disturbs the line in every way while documents are written.
func TestFaultyLineUnderWriters(t *testing.T) {
	database := pgtest.Database(t)
	url, l := newLine(t, database)
	s := mustOpen(t, postgres.Options{URL: url, StatementTimeout: 200 * time.Millisecond})
	direct := mustOpen(t, postgres.Options{URL: database})
	defer func() { require.NoError(t, errors.Join(s.Close(), direct.Close())) }()
	w := write(t, 4, patient{direct}, patient{s})
	rng := rand.New(rand.NewPCG(1, 2))
	for range 25 {
		stream := []string{"upstream", "downstream"}[rng.IntN(2)]
		switch rng.IntN(5) {
		case 0:
			l.disturb("limit_data", stream, map[string]int{"bytes": rng.IntN(2000)})
		case 1:
			l.disturb("timeout", stream, map[string]int{"timeout": 0})
		case 2:
			l.disturb("reset_peer", stream, map[string]int{"timeout": 0})
		case 3:
			l.disturb("slicer", stream, map[string]int{"average_size": 20, "size_variation": 10, "delay": 10})
		case 4:
			l.proxy.Stop()
		}
		before := s.Stats()
		_ = s.Ping(t.Context()) // one call at least has met it
		l.repair()
		require.NoError(t, l.proxy.Update(&toxiproxy.Proxy{Listen: l.proxy.Listen, Upstream: l.proxy.Upstream, Enabled: true}))
		require.Eventually(t, func() bool { return s.Stats().Appended > before.Appended }, time.Minute, time.Millisecond, "it recovers")
	}
	w.end()
}

// TestTwoStoresOnOneDatabase: what two servers write converges through the log.
func TestTwoStoresOnOneDatabase(t *testing.T) {
	url := pgtest.Database(t)
	one, two := mustOpen(t, postgres.Options{URL: url}), mustOpen(t, postgres.Options{URL: url})
	defer func() { require.NoError(t, errors.Join(one.Close(), two.Close())) }()
	w := write(t, 4, two, persisttest.NewFaulty(one, persisttest.AtRandom(1, 9)))
	require.Eventually(t, func() bool { return min(one.Stats().Appended, two.Stats().Appended) >= 300 }, time.Minute, time.Millisecond)
	w.end()
	require.Positive(t, one.Stats().Refused+two.Stats().Refused, "they were in each other's way")
}

// TestStopImmediateUnderWriters: the server dies and recovers; nothing that was acknowledged is lost, and nobody restarts.
func TestStopImmediateUnderWriters(t *testing.T) {
	c := pgtest.New(t)
	s := mustOpen(t, postgres.Options{URL: c.Database(t), StatementTimeout: 5 * time.Second})
	defer func() { require.NoError(t, s.Close()) }()
	w := write(t, 4, patient{s})
	for range 3 {
		before := s.Stats().Appended
		require.Eventually(t, func() bool { return s.Stats().Appended > before+50 }, time.Minute, time.Millisecond)
		require.NoError(t, c.StopImmediate())
		require.NoError(t, c.Start())
	}
	before := s.Stats().Appended
	require.Eventually(t, func() bool { return s.Stats().Appended > before+50 }, time.Minute, time.Millisecond)
	w.end()
}
