package persisttest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/yserverd/yserverd/persist"
)

// requireLines checks that a document consists of the lines "writer.number" of
// so many writers with so many lines each, every one once, each writer's in
// order.
func (e *env) requireLines(k persist.Key, writers, lines int) {
	e.Helper()
	d := e.load(k)
	got := Lines(d)
	require.Len(e, got, writers*lines)
	require.Equal(e, uint64(writers*lines), d.Seq)
	next := make([]int, writers)
	for _, line := range got {
		var w, n int
		_, err := fmt.Sscanf(line, "%d.%d", &w, &n)
		require.NoError(e, err, line)
		require.Equal(e, next[w], n, "writer %d", w)
		next[w]++
	}
}

func testConcurrentWriters(e *env) {
	const writers, lines = 6, 40
	keys := []persist.Key{key("one"), key("two"), key("three")}
	group, ctx := errgroup.WithContext(e.ctx)
	for w := range writers {
		group.Go(func() error {
			hands := make([]*Writer, len(keys))
			for i, k := range keys {
				hands[i] = &Writer{Store: e.store, Key: k}
			}
			for n := range lines {
				for i, hand := range hands {
					if err := hand.Append(ctx, fmt.Sprintf("%d.%d", w, n)); err != nil {
						return fmt.Errorf("append: %w", err)
					}
					if (n+w+i)%10 == 0 {
						if err := hand.Compact(ctx); err != nil {
							return fmt.Errorf("compact: %w", err)
						}
					}
				}
			}
			return nil
		})
	}
	require.NoError(e, group.Wait())
	for range 2 {
		for _, k := range keys {
			e.requireLines(k, writers, lines)
		}
		e.reopen()
	}
}

func testConcurrentLoad(e *env) {
	const lines = 120
	k := key("notes")
	var stored atomic.Int64
	group, ctx := errgroup.WithContext(e.ctx)
	done := make(chan struct{})
	group.Go(func() error {
		defer close(done)
		hand := &Writer{Store: e.store, Key: k}
		// Large enough that a snapshot is several writes.
		filler := strings.Repeat("x", 12<<10)
		for n := range lines {
			if err := hand.Append(ctx, fmt.Sprintf("0.%d %s", n, filler)); err != nil {
				return err
			}
			stored.Store(int64(n + 1))
			if n%20 == 19 {
				if err := hand.Compact(ctx); err != nil {
					return err
				}
			}
		}
		return nil
	})
	for range 3 {
		group.Go(func() error {
			for {
				select {
				case <-done:
					return nil
				default:
				}
				if err := loadConsistent(ctx, e.store, k, int(stored.Load())); err != nil {
					return err
				}
			}
		})
	}
	require.NoError(e, group.Wait())
	e.requireLines(k, 1, lines)
}

// loadConsistent checks that a document holds at least so many lines, without
// gaps, and that its numbers agree with them.
func loadConsistent(ctx context.Context, s Store, k persist.Key, atLeast int) error {
	d, err := s.Load(ctx, k)
	if err != nil {
		return err
	}
	lines := Lines(d)
	if len(lines) < atLeast || uint64(len(lines)) != d.Seq {
		return fmt.Errorf("%d lines, at least %d acknowledged, seq %d", len(lines), atLeast, d.Seq)
	}
	for n, line := range lines {
		if !strings.HasPrefix(line, fmt.Sprintf("0.%d ", n)) {
			return fmt.Errorf("line %d is %.10q", n, line)
		}
	}
	return nil
}

// testFaults disturbs every call of a writer in turn, before and after its
// effect, and then many writers at random.
func testFaults(e *env) {
	script := func(store Store, k persist.Key) error {
		hand := &Writer{Store: store, Key: k}
		if err := hand.Load(e.ctx); err != nil {
			return err
		}
		for n := range 8 {
			if err := hand.Append(e.ctx, fmt.Sprintf("0.%d", n)); err != nil {
				return err
			}
			if n%3 == 2 {
				if err := hand.Compact(e.ctx); err != nil && !errors.Is(err, ErrInjected) {
					return err
				}
			}
		}
		return hand.Load(e.ctx)
	}
	calls := NewFaulty(e.store, nil)
	require.NoError(e, script(calls, key("undisturbed")))
	e.requireLines(key("undisturbed"), 1, 8)
	for _, op := range []Op{OpLoad, OpAppend, OpCompact} {
		for n := range calls.Calls(op) {
			for _, done := range []bool{false, true} {
				k := key(fmt.Sprint(op, n+1, done))
				faulty := NewFaulty(e.store, OnCall(op, n+1, Fault{Err: ErrInjected, Done: done}))
				require.NoError(e, script(faulty, k), k)
				e.requireLines(k, 1, 8)
			}
		}
	}
	e.randomFaults()
}

func (e *env) randomFaults() {
	const writers, lines = 4, 25
	k := key("shared")
	faulty := NewFaulty(e.store, AtRandom(1, 3))
	group, ctx := errgroup.WithContext(e.ctx)
	for w := range writers {
		group.Go(func() error {
			hand := &Writer{Store: faulty, Key: k}
			for n := range lines {
				if err := hand.Append(ctx, fmt.Sprintf("%d.%d", w, n)); err != nil {
					return err
				}
				if n%5 == 4 {
					if err := hand.Compact(ctx); err != nil && !errors.Is(err, ErrInjected) {
						return err
					}
				}
			}
			return nil
		})
	}
	require.NoError(e, group.Wait())
	e.requireLines(k, writers, lines)
	require.True(e, slices.Contains(Lines(e.load(k)), "0.0"))
}
