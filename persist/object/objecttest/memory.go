package objecttest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/object"
)

// Memory is a bucket in memory. The zero value is empty and ready; it may be used from any goroutine.
type Memory struct {
	mu      sync.Mutex
	objects map[string]stored
}

type stored struct {
	data     []byte
	modified time.Time
}

var _ object.Bucket = (*Memory)(nil)

// Put implements object.Bucket.
func (m *Memory) Put(ctx context.Context, name string, data []byte) error {
	if err := check(ctx, name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if there, ok := m.objects[name]; ok {
		if bytes.Equal(there.data, data) {
			return nil
		}
		return fmt.Errorf("%w: %q", object.ErrExists, name)
	}
	m.set(name, stored{bytes.Clone(data), time.Now()})
	return nil
}

// set needs the lock.
func (m *Memory) set(name string, s stored) {
	if m.objects == nil {
		m.objects = make(map[string]stored)
	}
	m.objects[name] = s
}

// Get implements object.Bucket.
func (m *Memory) Get(ctx context.Context, name string, most int64) ([]byte, error) {
	if err := check(ctx, name); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	there, ok := m.objects[name]
	if !ok {
		return nil, fmt.Errorf("%w: object %q", persist.ErrNotFound, name)
	}
	if int64(len(there.data)) > most {
		return nil, &object.DamageError{Reason: fmt.Sprintf("%d bytes, more than %d", len(there.data), most), Err: object.ErrTooLarge}
	}
	return bytes.Clone(there.data), nil
}

// Delete implements object.Bucket.
func (m *Memory) Delete(ctx context.Context, names []string) error {
	if err := check(ctx, names...); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range names {
		delete(m.objects, name)
	}
	return nil
}

// List implements object.Bucket.
func (m *Memory) List(ctx context.Context, prefix, after string, limit int) ([]object.Info, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []object.Info
	for name, s := range m.objects {
		if strings.HasPrefix(name, prefix) && name > after {
			found = append(found, object.Info{Name: name, Size: int64(len(s.data)), Modified: s.modified})
		}
	}
	slices.SortFunc(found, func(a, b object.Info) int { return strings.Compare(a.Name, b.Name) })
	return found[:min(len(found), object.PageLimit(limit))], nil
}

// Check implements object.Bucket.
func (m *Memory) Check(ctx context.Context) error { return ctx.Err() }

// Names returns the names of all objects, in order.
func (m *Memory) Names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for name := range m.objects {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Change puts what fn returns in the place of an object, as nobody can who keeps to the contract. It panics if there is
// none.
func (m *Memory) Change(name string, fn func(data []byte) []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.objects[name]
	if !ok {
		panic("no object " + name)
	}
	s.data = fn(bytes.Clone(s.data))
	m.set(name, s)
}

// Date sets when an object was put. It panics if there is none.
func (m *Memory) Date(name string, modified time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.objects[name]
	if !ok {
		panic("no object " + name)
	}
	s.modified = modified
	m.set(name, s)
}

// check is what comes first everywhere.
func check(ctx context.Context, names ...string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, name := range names {
		if err := object.ValidateName(name); err != nil {
			return err
		}
	}
	return nil
}
