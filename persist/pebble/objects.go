package pebble

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	engine "github.com/cockroachdb/pebble/v2"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/object"
)

// Each object that a row names has a record of its own under its name, and each
// that a row named until now another, both written in the batch that changes the
// row. So what Sweep finds in the bucket is looked up by its name.

// supersede turns an object that a row names into one that is remembered only.
func supersede(b *engine.Batch, name string, now uint64) {
	_ = b.Delete(appendObjectKey(nil, kindNamed, name), nil) // none of these fail on such a batch
	key := appendObjectKey(nil, kindSuperseded, name)
	_ = b.Set(key, appendTime(nil, key, now), nil)
	key = appendSinceKey(nil, now, name)
	_ = b.Set(key, appendRecord(nil, key, nil), nil)
}

// isNamed says whether a row names the object, as far as commits are visible.
func (s *Store) isNamed(name string) (bool, error) {
	return s.read(appendObjectKey(nil, kindNamed, name), func([]byte) error { return nil })
}

// supersededSince returns since when an object is superseded; zero: it is not.
func (s *Store) supersededSince(name string) (ms uint64, err error) {
	key := appendObjectKey(nil, kindSuperseded, name)
	_, err = s.read(key, func(value []byte) (err error) {
		ms, err = parseTime(key, value)
		return err
	})
	return ms, err
}

// docLocks are held by whoever puts objects of a document and then names them,
// and by whoever deletes its objects because nothing names them. The key is what
// the names of the document's objects begin with.
type docLocks struct {
	mu   sync.Mutex
	held map[string]*docLock
}

type docLock struct {
	slot  chan struct{}
	users int // who has it and who waits for it
}

func (l *docLocks) lock(ctx context.Context, prefix string) (unlock func(), err error) {
	l.mu.Lock()
	if l.held == nil {
		l.held = make(map[string]*docLock)
	}
	d := l.held[prefix]
	if d == nil {
		d = &docLock{slot: make(chan struct{}, 1)}
		l.held[prefix] = d
	}
	d.users++
	l.mu.Unlock()
	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if d.users--; d.users == 0 {
			delete(l.held, prefix)
		}
	}
	select {
	case d.slot <- struct{}{}:
		return func() { <-d.slot; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

func (s *Store) lockDocument(ctx context.Context, k persist.Key) (unlock func(), err error) {
	return s.documents.lock(ctx, object.DocumentPrefix(s.uuid, k))
}

// prefixOf is the DocumentPrefix of an object's name.
func prefixOf(name string) string { return name[:strings.LastIndexByte(name, '/')+1] }

// allDurable waits until everything that is queued now is durable.
func (s *Store) allDurable(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	ticket := s.ticket
	s.end()
	return s.await(ctx, &s.durable, ticket)
}

// fetch reads a state from the bucket. A badRecord says that the object is
// missing or damaged.
func (s *Store) fetch(ctx context.Context, name string, p *place) ([]byte, error) {
	if s.opts.Bucket == nil {
		return nil, s.noBucket(name)
	}
	stored, err := s.opts.Bucket.Get(ctx, name, int64(p.objectBytes))
	var state []byte
	if err == nil {
		state, err = object.Decode(stored, p.sum, int64(p.bytes))
	}
	switch {
	case errors.Is(err, persist.ErrNotFound):
		return nil, errMissing
	case errors.Is(err, persist.ErrCorrupt):
		return nil, badRecord(err.Error())
	case err != nil:
		return nil, fmt.Errorf("get object %q: %w", name, err)
	case uint64(len(state)) != p.bytes:
		return nil, errSize
	}
	return state, nil
}

// fetchOf reads the state that a row names, as row tells it. An object that is
// missing may have been superseded and swept since the row was read, so it is
// looked for again while nobody can do that.
func (s *Store) fetchOf(ctx context.Context, k persist.Key, row func() (name string, p place, err error)) ([]byte, error) {
	state, err := s.fetchRow(ctx, row)
	var bad badRecord
	if !errors.As(err, &bad) {
		return state, err
	}
	unlock, err := s.lockDocument(ctx, k)
	if err != nil {
		return nil, err
	}
	defer unlock()
	return s.fetchRow(ctx, row)
}

func (s *Store) fetchRow(ctx context.Context, row func() (name string, p place, err error)) ([]byte, error) {
	name, p, err := row()
	if err != nil || name == "" {
		return nil, err
	}
	return s.fetch(ctx, name, &p)
}

func (s *Store) noBucket(name string) error {
	return fmt.Errorf("%w: object %q is in a bucket, and the store was opened without one", persist.ErrUnavailable, name)
}
