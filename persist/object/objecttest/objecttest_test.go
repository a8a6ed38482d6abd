package objecttest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/object"
	"github.com/yserverd/yserverd/persist/object/objecttest"
)

// A bucket that loses its answer: the caller repeats the put, which is right.
func Example() {
	ctx := context.Background()
	memory := &objecttest.Memory{}
	bucket := objecttest.NewFaulty(memory, func(c objecttest.Call) objecttest.Fault {
		if c.Op == objecttest.OpPut && c.N == 1 {
			return objecttest.Fault{Err: persist.ErrUnavailable, Done: true}
		}
		return objecttest.Fault{}
	})
	fmt.Println(bucket.Put(ctx, "a", []byte("x")), memory.Names())
	fmt.Println(bucket.Put(ctx, "a", []byte("x")), memory.Names())
	// Output:
	// persist: store unavailable [a]
	// <nil> [a]
}

func TestMemoryKeepsTheContract(t *testing.T) {
	objecttest.Run(t, func(testing.TB) object.Bucket { return &objecttest.Memory{} })
}

func TestFaultyWithoutFaultsKeepsTheContract(t *testing.T) {
	objecttest.Run(t, func(testing.TB) object.Bucket { return objecttest.NewFaulty(&objecttest.Memory{}, nil) })
}

func TestMemoryIsChanged(t *testing.T) {
	m, ctx := &objecttest.Memory{}, t.Context()
	require.NoError(t, m.Put(ctx, "a", []byte("text")))
	m.Change("a", func(data []byte) []byte { return data[:2] })
	data, err := m.Get(ctx, "a", 10)
	require.NoError(t, err)
	require.Equal(t, "te", string(data))
	at := time.Unix(1000, 0)
	m.Date("a", at)
	infos, err := m.List(ctx, "", "", 0)
	require.NoError(t, err)
	require.Equal(t, []object.Info{{Name: "a", Size: 2, Modified: at}}, infos)
	require.Panics(t, func() { m.Date("none", at) })
	require.Panics(t, func() { m.Change("none", nil) })
}

func TestFaultyDisturbsEveryCall(t *testing.T) {
	memory, ctx := &objecttest.Memory{}, t.Context()
	f := objecttest.NewFaulty(memory, nil)
	calls := map[objecttest.Op]func(context.Context) error{
		objecttest.OpPut:    func(ctx context.Context) error { return f.Put(ctx, "new", []byte("x")) },
		objecttest.OpGet:    func(ctx context.Context) error { _, err := f.Get(ctx, "a", 10); return err },
		objecttest.OpDelete: func(ctx context.Context) error { return f.Delete(ctx, []string{"a"}) },
		objecttest.OpList:   func(ctx context.Context) error { _, err := f.List(ctx, "a", "", 0); return err },
		objecttest.OpCheck:  func(ctx context.Context) error { return f.Check(ctx) },
	}
	require.NoError(t, f.Put(ctx, "a", []byte("x")))
	broken := errors.New("broken")
	for op, call := range calls {
		before := f.Count(op)
		f.SetPlan(func(c objecttest.Call) objecttest.Fault {
			require.Equal(t, op, c.Op)
			require.Equal(t, before+1, c.N)
			return objecttest.Fault{Err: broken}
		})
		require.ErrorIs(t, call(ctx), broken)
		require.Equal(t, []string{"a"}, memory.Names(), "nothing has happened")

		// A call that waits ends with its context, or when it is let go.
		waiting, cancel := context.WithCancel(ctx)
		f.SetPlan(func(objecttest.Call) objecttest.Fault {
			cancel()
			return objecttest.Fault{Until: make(chan struct{})}
		})
		require.ErrorIs(t, call(waiting), context.Canceled)
		waiting, cancel = context.WithCancel(ctx)
		f.SetPlan(func(objecttest.Call) objecttest.Fault {
			cancel()
			return objecttest.Fault{Delay: time.Hour}
		})
		require.ErrorIs(t, call(waiting), context.Canceled)
	}
	open := make(chan struct{})
	close(open)
	f.SetPlan(func(objecttest.Call) objecttest.Fault {
		return objecttest.Fault{Until: open, Delay: time.Nanosecond, Err: broken, Done: true}
	})
	require.ErrorIs(t, calls[objecttest.OpPut](ctx), broken)
	require.ErrorIs(t, calls[objecttest.OpDelete](ctx), broken)
	require.Equal(t, []string{"new"}, memory.Names(), "it has happened all the same")
}
