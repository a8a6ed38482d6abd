package yserver_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/persisttest"
	"github.com/yserverd/yserverd/yserver"
)

func withSweep(s yserver.Sweep) func(*yserver.Config, *yserver.Party) {
	return func(c *yserver.Config, _ *yserver.Party) { c.Sweep = s }
}

// Rule 11: tombstones are purged after the retention, not before.
func TestRule11Retention(t *testing.T) {
	t.Run("over", func(t *testing.T) {
		k := start(t, withSweep(yserver.Sweep{Interval: 5 * time.Millisecond, Retention: time.Nanosecond}))
		ctx := t.Context()
		require.NoError(t, k.room("stays").Apply(ctx, typed(1, 0, "x")))
		require.NoError(t, k.room("r").Apply(ctx, typed(1, 0, "x")))
		require.NoError(t, k.room("r").Delete(ctx))
		eventually(t, "it is purged", func() bool { return len(k.listed()) == 1 })
		require.Equal(t, "stays", k.listed()[0].Key.Room)
		eventually(t, "it is counted", func() bool { return k.Srv.Stats().Swept == 1 })
	})
	for name, s := range map[string]yserver.Sweep{
		"not over": {Interval: time.Millisecond},
		"for ever": {Interval: time.Millisecond, Retention: -1},
	} {
		t.Run(name, func(t *testing.T) {
			faulty := persisttest.NewFaulty(persisttest.NewMemory(), nil)
			k := start(t, withStore(faulty), withSweep(s))
			require.NoError(t, k.room("r").Apply(t.Context(), typed(1, 0, "x")))
			require.NoError(t, k.room("r").Delete(t.Context()))
			swept := faulty.Calls(persisttest.OpSweep)
			eventually(t, "it sweeps", func() bool { return faulty.Calls(persisttest.OpSweep) > swept+2 })
			require.Len(t, k.listed(), 1)
		})
	}
}

// sweepStore answers sweeps from a list, the last for ever, and keeps what it was
// asked.
type sweepStore struct {
	*persisttest.Memory
	mu      sync.Mutex
	answers []persist.SweepStats
	asked   []persist.SweepOptions
	hang    chan struct{} // when set, a sweep waits for its context
}

func (s *sweepStore) Sweep(ctx context.Context, o persist.SweepOptions) (persist.SweepStats, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, o)
	if s.hang != nil {
		close(s.hang)
		s.hang = nil
		<-ctx.Done()
		return persist.SweepStats{}, ctx.Err()
	}
	a := s.answers[0]
	if len(s.answers) > 1 {
		s.answers = s.answers[1:]
	}
	return a, nil
}

func (s *sweepStore) calls() []persist.SweepOptions {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func TestSweep(t *testing.T) {
	t.Run("goes on while there is more", func(t *testing.T) {
		store := &sweepStore{Memory: persisttest.NewMemory(), answers: []persist.SweepStats{
			{Purged: 1, More: true}, {Superseded: 2, More: true}, {Orphans: 3}, {},
		}}
		k := start(t, withStore(store), withSweep(yserver.Sweep{Interval: 1000 * time.Hour, Retention: time.Hour, KeepSuperseded: 2 * time.Hour}))
		yserver.SweepNow(k.Srv)
		require.EqualValues(t, 6, k.Srv.Stats().Swept)
		for _, o := range store.calls()[:3] {
			require.Equal(t, time.Hour, o.TombstonesBefore.Sub(o.SupersededBefore).Round(time.Minute))
			require.Equal(t, 22*time.Hour, o.SupersededBefore.Sub(o.OrphansBefore).Round(time.Minute))
		}
	})
	t.Run("is bounded", func(t *testing.T) {
		store := &sweepStore{Memory: persisttest.NewMemory(), answers: []persist.SweepStats{{More: true}}}
		start(t, withStore(store), withSweep(yserver.Sweep{Interval: time.Millisecond}))
		eventually(t, "the next one begins", func() bool { return len(store.calls()) > 2000 })
	})
	t.Run("goes on after a failure", func(t *testing.T) {
		faulty := persisttest.NewFaulty(persisttest.NewMemory(), persisttest.OnCall(persisttest.OpSweep, 1, persisttest.Fault{Err: persisttest.ErrInjected}))
		k := start(t, withStore(faulty), withSweep(yserver.Sweep{Interval: time.Millisecond}))
		eventually(t, "it sweeps again", func() bool { return faulty.Calls(persisttest.OpSweep) > 2 })
		require.EqualValues(t, 1, k.Srv.Stats().SweepErrors)
	})
	t.Run("ends with the server", func(t *testing.T) {
		hangs := make(chan struct{})
		store := &sweepStore{Memory: persisttest.NewMemory(), hang: hangs}
		k := start(t, withStore(store), withSweep(yserver.Sweep{Interval: time.Millisecond}))
		<-hangs
		k.Stop()
		require.Len(t, store.calls(), 1)
		require.Zero(t, k.Srv.Stats().SweepErrors)
	})
	t.Run("can be switched off", func(t *testing.T) {
		store := &sweepStore{Memory: persisttest.NewMemory()}
		start(t, withStore(store), withSweep(yserver.Sweep{Interval: -1}))
		time.Sleep(quiet)
		require.Empty(t, store.calls())
	})
}
