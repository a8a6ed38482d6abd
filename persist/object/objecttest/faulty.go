package objecttest

import (
	"context"
	"sync"
	"time"

	"github.com/yserverd/yserverd/persist/object"
)

// Op names a method of a bucket.
type Op string

// The methods of object.Bucket.
const (
	OpPut    Op = "put"
	OpGet    Op = "get"
	OpDelete Op = "delete"
	OpList   Op = "list"
	OpCheck  Op = "check"
)

// Call is one call that is about to be made.
type Call struct {
	Op   Op
	N    int    // counts the calls of this Op from 1 on
	Name string // of the object; of the first one of several; the prefix of a list; empty for a check
}

// Fault is what happens to a call. The zero Fault lets it through.
type Fault struct {
	// Err makes the call fail with it.
	Err error
	// Done makes a failing call take effect before it fails: the outcome that its caller cannot know.
	Done bool
	// Delay is how long the call takes before anything else.
	Delay time.Duration
	// Until makes the call wait for a channel to be closed first.
	Until <-chan struct{}
}

// Faulty wraps a bucket so that calls fail, hang or lose their answer as a plan says. Its methods may be called from any
// goroutine.
type Faulty struct {
	inner object.Bucket

	mu     sync.Mutex
	plan   func(Call) Fault
	counts map[Op]int
}

var _ object.Bucket = (*Faulty)(nil)

// NewFaulty returns a Faulty that asks plan about every call, one at a time. A nil plan disturbs nothing.
func NewFaulty(inner object.Bucket, plan func(Call) Fault) *Faulty {
	return &Faulty{inner: inner, plan: plan, counts: make(map[Op]int)}
}

// SetPlan replaces the plan, from the next call on.
func (f *Faulty) SetPlan(plan func(Call) Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plan = plan
}

// Count returns how many calls of a method were made.
func (f *Faulty) Count(op Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[op]
}

// ask counts the call and asks the plan.
func (f *Faulty) ask(op Op, name string) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts[op]++
	if f.plan == nil {
		return Fault{}
	}
	return f.plan(Call{Op: op, N: f.counts[op], Name: name})
}

// disturb makes a call as the plan says.
func disturb[T any](ctx context.Context, f *Faulty, op Op, name string, call func() (T, error)) (none T, err error) {
	fault := f.ask(op, name)
	if fault.Delay > 0 {
		timer := time.NewTimer(fault.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return none, ctx.Err()
		}
	}
	if fault.Until != nil {
		select {
		case <-fault.Until:
		case <-ctx.Done():
			return none, ctx.Err()
		}
	}
	if fault.Err != nil && !fault.Done {
		return none, fault.Err
	}
	value, err := call()
	if fault.Err != nil {
		return none, fault.Err
	}
	return value, err
}

// Put implements object.Bucket.
func (f *Faulty) Put(ctx context.Context, name string, data []byte) error {
	_, err := disturb(ctx, f, OpPut, name, func() (struct{}, error) { return struct{}{}, f.inner.Put(ctx, name, data) })
	return err
}

// Get implements object.Bucket.
func (f *Faulty) Get(ctx context.Context, name string, most int64) ([]byte, error) {
	return disturb(ctx, f, OpGet, name, func() ([]byte, error) { return f.inner.Get(ctx, name, most) })
}

// Delete implements object.Bucket.
func (f *Faulty) Delete(ctx context.Context, names []string) error {
	first := ""
	if len(names) > 0 {
		first = names[0]
	}
	_, err := disturb(ctx, f, OpDelete, first, func() (struct{}, error) { return struct{}{}, f.inner.Delete(ctx, names) })
	return err
}

// List implements object.Bucket.
func (f *Faulty) List(ctx context.Context, prefix, after string, limit int) ([]object.Info, error) {
	return disturb(ctx, f, OpList, prefix, func() ([]object.Info, error) { return f.inner.List(ctx, prefix, after, limit) })
}

// Check implements object.Bucket.
func (f *Faulty) Check(ctx context.Context) error {
	_, err := disturb(ctx, f, OpCheck, "", func() (struct{}, error) { return struct{}{}, f.inner.Check(ctx) })
	return err
}
