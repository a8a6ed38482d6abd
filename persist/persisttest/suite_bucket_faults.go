package persisttest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/object/objecttest"
)

// insist repeats a call while it fails with ErrInjected.
func insist(call func() error) (err error) {
	for range attempts {
		if err = call(); !errors.Is(err, ErrInjected) {
			return err
		}
	}
	return err
}

// also is what else repeating may answer once the call has been done.
func also(err, done error) error {
	if errors.Is(err, done) {
		return nil
	}
	return err
}

// live leads a document through all that makes and drops objects, as somebody who
// repeats what fails.
func (b *bucketEnv) live(k persist.Key) error {
	s, ctx := b.store, b.ctx
	hand := &Writer{Store: s, Key: k}
	compact := func() error { return insist(func() error { return hand.Compact(ctx) }) }
	later := persist.SweepOptions{SupersededBefore: time.Now().Add(time.Hour)}
	sweep := func() error {
		return insist(func() error {
			_, err := s.Sweep(ctx, later)
			return err
		})
	}
	put := func(id string) error {
		return insist(func() error { return s.PutVersion(ctx, k, versionAt(id, 1), []byte("state of "+id)) })
	}
	steps := []func() error{
		func() error { return hand.Append(ctx, "0.0") },
		compact,
		func() error { return put("gone") },
		func() error { return put("kept") },
		func() error { return hand.Append(ctx, "0.1") },
		compact,
		func() error {
			return also(insist(func() error { return s.DeleteVersion(ctx, k, "gone") }), persist.ErrNotFound)
		},
		sweep,
		func() error { return hand.Load(ctx) },
		func() error {
			return also(insist(func() error {
				_, err := s.Replace(ctx, k, 0, []uint64{1}, []byte("0.0\n0.1\n0.2"))
				return err
			}), persist.ErrEpoch)
		},
		func() error { return hand.Load(ctx) },
		sweep,
		func() error { return hand.Append(ctx, "0.3") },
		compact,
		func() error { return insist(func() error { return s.Delete(ctx, k, nil) }) },
		func() error { return insist(func() error { return s.Undelete(ctx, k) }) },
		func() error { return hand.Load(ctx) },
	}
	for i, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	return nil
}

// check checks what live has left, once everything that is due is swept: one
// object for each row that names one.
func (b *bucketEnv) check(k persist.Key) {
	b.Helper()
	for b.sweep(everything()).More { //nolint:revive // it is the sweeping that counts
	}
	for range 2 {
		d := b.load(k)
		require.Equal(b, []string{"0.0", "0.1", "0.2", "0.3"}, Lines(d))
		require.Equal(b, []uint64{1}, d.Dead)
		require.Equal(b, uint64(2), d.Epoch)
		require.Equal(b, "kept@1=state of kept", b.versions(k))
		require.Equal(b, "1-4 v", b.objects(k))
		b.reopen()
	}
}

// testBucketFaults lets every call of the bucket fail in turn, before and after
// its effect, and then many at random.
func testBucketFaults(b *bucketEnv) {
	k := key("undisturbed")
	require.NoError(b, b.live(k))
	b.check(k)
	counts := make(map[objecttest.Op]int)
	for _, op := range []objecttest.Op{objecttest.OpPut, objecttest.OpGet, objecttest.OpDelete} {
		counts[op] = b.faulty.Count(op)
	}
	b.faulty.SetPlan(nil)
	for op, calls := range counts {
		require.Positive(b, calls, op)
		for n := range calls {
			for _, done := range []bool{false, true} {
				k := key(fmt.Sprint(op, n, done))
				at := b.faulty.Count(op) + n + 1
				b.faulty.SetPlan(func(c objecttest.Call) objecttest.Fault {
					if c.Op == op && c.N == at {
						return objecttest.Fault{Err: ErrInjected, Done: done}
					}
					return objecttest.Fault{}
				})
				require.NoError(b, b.live(k), k)
				b.faulty.SetPlan(nil)
				b.check(k)
			}
		}
	}
	all := b.rooms("main", "", 100)
	random := AtRandom(1, 3)
	b.faulty.SetPlan(func(objecttest.Call) objecttest.Fault {
		fault := random(Call{})
		return objecttest.Fault{Err: fault.Err, Done: fault.Done}
	})
	for i := range 10 {
		require.NoError(b, b.live(key(fmt.Sprint("random", i))))
	}
	for i := range 10 {
		require.NoError(b, insist(func() error { return b.store.Purge(b.ctx, key(fmt.Sprint("random", i))) }))
	}
	b.faulty.SetPlan(nil)
	for i := range 10 {
		require.Empty(b, b.objects(key(fmt.Sprint("random", i))))
		b.requireNothing(key(fmt.Sprint("random", i)))
	}
	require.Len(b, b.memory.Names(), 2*len(all))
}

// testSweepConcurrent sweeps all that is superseded while documents are written
// and read: nothing that is named is ever missing, and nothing is quarantined.
func testSweepConcurrent(b *bucketEnv) {
	const writers, rounds = 3, 25
	var writing errgroup.Group
	ctx, stop := context.WithCancel(b.ctx)
	defer stop()
	room := func(w int) persist.Key { return key(fmt.Sprint("own", w)) }
	for w := range writers {
		writing.Go(func() error { return b.writeAndDrop(room(w), rounds) })
	}
	var others errgroup.Group
	others.Go(func() error {
		for ctx.Err() == nil {
			later := persist.SweepOptions{SupersededBefore: time.Now().Add(time.Hour), Limit: 3}
			if _, err := b.store.Sweep(b.ctx, later); err != nil {
				return fmt.Errorf("sweep: %w", err)
			}
		}
		return nil
	})
	others.Go(func() error {
		for n := 0; ctx.Err() == nil; n++ {
			if _, err := b.store.Load(b.ctx, room(n%writers)); err != nil {
				return fmt.Errorf("load: %w", err)
			}
			if _, _, err := b.store.Version(b.ctx, room(n%writers), "v"); also(err, persist.ErrNotFound) != nil {
				return fmt.Errorf("version: %w", err)
			}
		}
		return nil
	})
	require.NoError(b, writing.Wait())
	stop()
	require.NoError(b, others.Wait())
	for b.sweep(everything()).More { //nolint:revive // it is the sweeping that counts
	}
	for w := range writers {
		require.Len(b, Lines(b.load(room(w))), rounds)
		require.Equal(b, "v@1=always the same", b.versions(room(w)))
	}
	require.Len(b, b.memory.Names(), 2*writers)
}

// writeAndDrop writes a document and a version that comes and goes under the same
// name.
func (b *bucketEnv) writeAndDrop(k persist.Key, rounds int) error {
	hand := &Writer{Store: b.store, Key: k}
	for n := range rounds {
		if err := hand.Append(b.ctx, fmt.Sprintf("0.%d %s", n, strings.Repeat("x", n))); err != nil {
			return fmt.Errorf("append: %w", err)
		}
		if err := hand.Compact(b.ctx); err != nil {
			return fmt.Errorf("compact: %w", err)
		}
		if n > 0 {
			if err := b.store.DeleteVersion(b.ctx, k, "v"); err != nil {
				return fmt.Errorf("delete version: %w", err)
			}
		}
		if err := b.store.PutVersion(b.ctx, k, versionAt("v", 1), []byte("always the same")); err != nil {
			return fmt.Errorf("put version: %w", err)
		}
		if _, _, err := b.store.Version(b.ctx, k, "v"); err != nil {
			return fmt.Errorf("version: %w", err)
		}
	}
	return nil
}
