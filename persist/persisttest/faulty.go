package persisttest

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/yserverd/yserverd/persist"
)

// ErrInjected is an error for faults to fail with.
var ErrInjected = errors.New("injected fault")

// Op names a method of a store.
type Op string

// The methods of Store and Rooms.
const (
	OpLoad      Op = "load"
	OpLoadAfter Op = "load after"
	OpAppend    Op = "append"
	OpCompact   Op = "compact"
	OpReplace   Op = "replace"
	OpDelete    Op = "delete"
	OpUndelete  Op = "undelete"
	OpPurge     Op = "purge"
	OpList      Op = "list"

	OpPutVersion    Op = "put version"
	OpVersions      Op = "versions"
	OpVersion       Op = "version"
	OpDeleteVersion Op = "delete version"
	OpSweep         Op = "sweep"

	OpGetRoom     Op = "get room"
	OpListRoom    Op = "list room"
	OpChangeRooms Op = "change rooms"
	OpRoomSize    Op = "room size"
	OpAlarm       Op = "alarm"
	OpAlarms      Op = "alarms"
	OpDelivery    Op = "delivery"
	OpDeliveries  Op = "deliveries"
)

// Call is one call that is about to be made.
type Call struct {
	Op  Op
	N   int         // counts the calls of this Op from 1 on
	Key persist.Key // of the document or room; of the first one of several; Room empty for a list; empty for alarms, deliveries and a sweep
}

// Fault is what happens to a call. The zero Fault lets it through.
type Fault struct {
	// Err makes the call fail with it.
	Err error
	// Done makes a failing call take effect before it fails: the outcome that
	// its caller cannot know.
	Done bool
	// Delay is how long the call takes before anything else.
	Delay time.Duration
	// Until makes the call wait for a channel to be closed first.
	Until <-chan struct{}
	// Results replaces the results of an append that has taken effect.
	Results func([]persist.Result)
}

// Faulty wraps a store so that calls fail, hang or lose their answer as a plan
// says. Its methods may be called from any goroutine. Close is never disturbed.
// The methods of Rooms need a wrapped store that has them, and fail without.
type Faulty struct {
	inner Store

	mu     sync.Mutex
	plan   func(Call) Fault
	counts map[Op]int
}

var (
	_ Store = (*Faulty)(nil)
	_ Rooms = (*Faulty)(nil)
)

// NewFaulty returns a Faulty that asks plan about every call, one at a time. A
// nil plan disturbs nothing.
func NewFaulty(inner Store, plan func(Call) Fault) *Faulty {
	return &Faulty{inner: inner, plan: plan, counts: make(map[Op]int)}
}

// SetPlan replaces the plan, from the next call on.
func (f *Faulty) SetPlan(plan func(Call) Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plan = plan
}

// Calls returns how many calls of a method were made, disturbed or not.
func (f *Faulty) Calls(op Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[op]
}

// AtRandom is a plan that fails about one call in every n, half of them after
// they took effect, the same ones for the same seed and order of calls.
func AtRandom(seed uint64, n int) func(Call) Fault {
	rng := rand.New(rand.NewPCG(seed, uint64(n)))
	return func(Call) Fault {
		if rng.IntN(n) != 0 {
			return Fault{}
		}
		return Fault{Err: ErrInjected, Done: rng.IntN(2) == 0}
	}
}

// OnCall is a plan that gives the fault to the nth call of op.
func OnCall(op Op, n int, fault Fault) func(Call) Fault {
	return func(c Call) Fault {
		if c.Op == op && c.N == n {
			return fault
		}
		return Fault{}
	}
}

// do makes a call under the plan's fault.
func (f *Faulty) do(ctx context.Context, op Op, key persist.Key, call func(Fault) error) error {
	f.mu.Lock()
	f.counts[op]++
	var fault Fault
	if f.plan != nil {
		fault = f.plan(Call{Op: op, N: f.counts[op], Key: key})
	}
	f.mu.Unlock()
	if err := fault.wait(ctx); err != nil {
		return err
	}
	if fault.Err != nil && !fault.Done {
		return fault.Err
	}
	if err := call(fault); err != nil {
		return err
	}
	return fault.Err
}

func (fault *Fault) wait(ctx context.Context) error {
	if fault.Delay > 0 {
		timer := time.NewTimer(fault.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if fault.Until != nil {
		select {
		case <-fault.Until:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Load implements Store.
func (f *Faulty) Load(ctx context.Context, key persist.Key) (doc persist.Document, err error) {
	err = f.do(ctx, OpLoad, key, func(Fault) (err error) {
		doc, err = f.inner.Load(ctx, key)
		return err
	})
	if err != nil {
		return persist.Document{}, err
	}
	return doc, nil
}

// LoadAfter implements Store.
func (f *Faulty) LoadAfter(ctx context.Context, key persist.Key, after persist.Seq) (rows []persist.Update, err error) {
	err = f.do(ctx, OpLoadAfter, key, func(Fault) (err error) {
		rows, err = f.inner.LoadAfter(ctx, key, after)
		return err
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// Append implements Store.
func (f *Faulty) Append(ctx context.Context, items []persist.Append) (results []persist.Result, err error) {
	var key persist.Key
	if len(items) > 0 {
		key = items[0].Key
	}
	err = f.do(ctx, OpAppend, key, func(fault Fault) (err error) {
		results, err = f.inner.Append(ctx, items)
		if err == nil && fault.Results != nil {
			fault.Results(results)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

// Compact implements Store.
func (f *Faulty) Compact(ctx context.Context, key persist.Key, epoch persist.Epoch, upTo persist.Seq, snapshot []byte) error {
	return f.do(ctx, OpCompact, key, func(Fault) error {
		return f.inner.Compact(ctx, key, epoch, upTo, snapshot)
	})
}

// List implements Store.
func (f *Faulty) List(ctx context.Context, party, prefix, cursor string, limit int) (page []persist.Info, next string, err error) {
	err = f.do(ctx, OpList, persist.Key{Party: party}, func(Fault) (err error) {
		page, next, err = f.inner.List(ctx, party, prefix, cursor, limit)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return page, next, nil
}

// Close implements Store.
func (f *Faulty) Close() error { return f.inner.Close() }
