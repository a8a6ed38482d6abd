package yserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/yserverd/yserverd/persist"
)

var (
	// ErrNoStorage is returned when the server has no store for the data of rooms.
	ErrNoStorage = errors.New("the store keeps no data of rooms")
	// ErrStorageFull is returned for a write that would take a room's storage over
	// [Limits.Storage].
	ErrStorageFull = errors.New("storage of the room is full")
)

// Storage is the persistent key-value storage of one room, as PartyServer's
// ctx.storage. It belongs to the room's id: it is there whether the room is live
// or not, and stays when the room ends. What was written is durable when a
// method returns nil; after another error it may be there or not.
//
// Keys are ordered by their bytes, at most 2,048 of them; values are opaque. It
// is safe for concurrent use: writes and transactions of one room come one after
// the other, and none begins while it is not known what became of the last. It
// must not be used inside its own transaction, which would wait for itself: use
// the [Tx].
type Storage struct{ room *Room }

// Item is a value with its key.
type Item struct {
	Key   string
	Value []byte
}

// ListOptions choose what List returns. The zero value is everything, by key, up
// to 1,000 items.
type ListOptions struct {
	Prefix     string // only keys that begin so
	Start, End string // only keys from Start on, and before End unless that is empty
	Reverse    bool   // from the last key to the first
	Limit      int    // at most so many items; zero means 1,000
}

// Storage returns the room's storage.
func (r *Room) Storage() *Storage { return &Storage{r} }

func (s *Storage) key() persist.Key { return persist.Key{Party: s.room.id.party, Room: s.room.id.room} }

func (s *Storage) store() (RoomStore, error) {
	if s.room.srv.cfg.RoomStore == nil {
		return nil, ErrNoStorage
	}
	return s.room.srv.cfg.RoomStore, nil
}

// Get returns the value of a key, nil when there is none. It is the caller's.
func (s *Storage) Get(ctx context.Context, key string) ([]byte, error) {
	values, err := s.get(ctx, []string{key})
	if err != nil {
		return nil, err
	}
	return values[0], nil
}

// GetAll returns the values of those keys that have one.
func (s *Storage) GetAll(ctx context.Context, keys ...string) (map[string][]byte, error) {
	values, err := s.get(ctx, keys)
	if err != nil {
		return nil, err
	}
	found := make(map[string][]byte, len(keys))
	for i, v := range values {
		if v != nil {
			found[keys[i]] = v
		}
	}
	return found, nil
}

func (s *Storage) get(ctx context.Context, keys []string) ([][]byte, error) {
	store, err := s.store()
	if err != nil {
		return nil, err
	}
	values, err := store.GetRoom(ctx, s.key(), persist.SpaceStorage, keys)
	if err != nil {
		return nil, fmt.Errorf("storage get: %w", err)
	}
	return values, nil
}

// List returns items in the order of their keys.
func (s *Storage) List(ctx context.Context, o ListOptions) ([]Item, error) {
	store, err := s.store()
	if err != nil {
		return nil, err
	}
	var items []Item
	err = s.pages(ctx, store, o, func(it persist.RoomItem) bool {
		items = append(items, Item(it))
		return len(items) < o.limit()
	})
	return items, err
}

// pages calls yield for the stored items that o chooses, until that returns
// false.
func (s *Storage) pages(ctx context.Context, store RoomStore, o ListOptions, yield func(persist.RoomItem) bool) error {
	for r, more := o.bounds(), true; more && !r.Empty(); {
		page, rest, err := store.ListRoom(ctx, s.key(), r, o.Reverse, o.limit())
		if err != nil {
			return fmt.Errorf("storage list: %w", err)
		}
		for _, it := range page {
			if !yield(it) {
				return nil
			}
		}
		more = rest && len(page) > 0
		if more {
			r = r.Rest(page[len(page)-1].Key, o.Reverse)
		}
	}
	return nil
}

func (o ListOptions) limit() int { return persist.RoomLimit(o.Limit) }

func (o ListOptions) bounds() persist.RoomRange {
	r := persist.RoomPrefix(persist.SpaceStorage, o.Prefix)
	r.From = max(r.From, o.Start)
	if o.End != "" && (r.To == "" || o.End < r.To) {
		r.To = o.End
	}
	return r
}

// Put stores a value.
func (s *Storage) Put(ctx context.Context, key string, value []byte) error {
	return s.Transaction(ctx, func(tx *Tx) error { return tx.Put(ctx, key, value) })
}

// Delete removes keys. That one is not there is no error.
func (s *Storage) Delete(ctx context.Context, keys ...string) error {
	return s.Transaction(ctx, func(tx *Tx) error { return tx.Delete(ctx, keys...) })
}

// DeleteAll removes everything that the room has stored. Its alarm stays.
func (s *Storage) DeleteAll(ctx context.Context) error {
	return s.Transaction(ctx, func(tx *Tx) error {
		tx.clear()
		return nil
	})
}

// Transaction runs fn, and then stores what it wrote, all or nothing. Nobody
// else writes to the room's storage meanwhile, and what fn reads through tx
// includes what it wrote. An error of fn is returned, and nothing is stored. When
// ctx ends before fn does, the transaction ends: nothing is stored, and others go
// on.
func (s *Storage) Transaction(ctx context.Context, fn func(tx *Tx) error) error {
	store, err := s.store()
	if err != nil {
		return err
	}
	unlock, err := s.room.srv.storage.lock(ctx, s.room.id)
	if err != nil {
		return err
	}
	tx := &Tx{storage: s, store: store, writes: map[string][]byte{}}
	end := func() {
		if tx.end() {
			unlock()
		}
	}
	defer end()
	defer context.AfterFunc(ctx, end)() // fn may not return at all, and nothing of it is stored
	if err := fn(tx); err != nil {
		return err
	}
	change, grows := tx.change()
	if len(change.Ranges)+len(change.Puts)+len(change.Deletes) == 0 {
		return nil
	}
	size, err := tx.size(ctx, grows)
	if err != nil {
		return err
	}
	if !tx.end() {
		return ctx.Err()
	}
	return s.room.srv.change(ctx, change, func(err error) {
		if err != nil {
			size = s.room.party.Limits.Storage // to be measured
		}
		s.room.srv.sizes.set(s.room.id, size)
		unlock()
	})
}

// change commits a change of a room's data, and calls after with the outcome: be
// it that ctx ends before, for until then the change may come true at any time.
func (s *Server) change(ctx context.Context, c persist.RoomChange, after func(error)) error {
	answer := make(chan commit, 1)
	s.changer.submit(c, answer)
	var err error
	select {
	case c := <-answer:
		err = c.err()
		after(err)
	case <-ctx.Done():
		go func() { after((<-answer).err()) }()
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("storage write: %w", err)
	}
	return nil
}

// Tx is a transaction of a room's storage, for the function that was given it
// alone.
type Tx struct {
	storage *Storage
	store   RoomStore
	cleared bool
	writes  map[string][]byte // nil: deleted
	ended   atomic.Bool
}

// end ends the transaction, and reports whether it had not ended before.
func (tx *Tx) end() bool { return tx.ended.CompareAndSwap(false, true) }

var errTxDone = errors.New("storage transaction has ended")

// Get returns the value of a key, nil when there is none.
func (tx *Tx) Get(ctx context.Context, key string) ([]byte, error) {
	if tx.ended.Load() {
		return nil, errTxDone
	}
	if v, ok := tx.writes[key]; ok {
		return slices.Clone(v), nil
	}
	if tx.cleared {
		return nil, nil
	}
	return tx.storage.Get(ctx, key)
}

// Put stores a value. It is copied.
func (tx *Tx) Put(_ context.Context, key string, value []byte) error {
	switch err := persist.ValidateRoomKey(persist.SpaceStorage, key); {
	case tx.ended.Load():
		return errTxDone
	case err != nil:
		return err
	case len(value) > persist.MaxRoomValueBytes:
		return fmt.Errorf("%w: value of %d bytes, more than %d", persist.ErrInvalid, len(value), persist.MaxRoomValueBytes)
	}
	tx.writes[key] = append([]byte{}, value...)
	return nil
}

// Delete removes keys.
func (tx *Tx) Delete(_ context.Context, keys ...string) error {
	if tx.ended.Load() {
		return errTxDone
	}
	for _, key := range keys {
		if err := persist.ValidateRoomKey(persist.SpaceStorage, key); err != nil {
			return err
		}
	}
	for _, key := range keys {
		tx.writes[key] = nil
	}
	return nil
}

func (tx *Tx) clear() {
	tx.cleared = true
	clear(tx.writes)
}

// List returns items in the order of their keys, with what the transaction wrote.
func (tx *Tx) List(ctx context.Context, o ListOptions) ([]Item, error) {
	if tx.ended.Load() {
		return nil, errTxDone
	}
	bounds := o.bounds()
	var items []Item
	for key, value := range tx.writes {
		if value != nil && bounds.Contains(key) {
			items = append(items, Item{key, slices.Clone(value)})
		}
	}
	if !tx.cleared {
		kept := 0
		err := tx.storage.pages(ctx, tx.store, o, func(it persist.RoomItem) bool {
			if _, written := tx.writes[it.Key]; !written {
				items = append(items, Item(it))
				kept++
			}
			return kept < o.limit()
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(items, func(a, b Item) int {
		if (a.Key < b.Key) != o.Reverse {
			return -1
		}
		return 1
	})
	return items[:min(len(items), o.limit())], nil
}

// change is what the transaction wrote, and by how many bytes that grows the
// storage at most.
func (tx *Tx) change() (c persist.RoomChange, grows int64) {
	c.Key = tx.storage.key()
	if tx.cleared {
		c.Ranges = []persist.RoomRange{{Space: persist.SpaceStorage}}
	}
	for key, value := range tx.writes {
		if value == nil {
			c.Deletes = append(c.Deletes, persist.RoomDelete{Space: persist.SpaceStorage, Key: key})
			continue
		}
		c.Puts = append(c.Puts, persist.RoomPut{Space: persist.SpaceStorage, RoomItem: persist.RoomItem{Key: key, Value: value}})
		grows += int64(len(key) + len(value))
	}
	return c, grows
}

// size returns how large the storage is at most with what the transaction wrote;
// ErrStorageFull when that is over the limit. What is there is measured only if
// what is known does not suffice.
func (tx *Tx) size(ctx context.Context, grows int64) (int64, error) {
	limit := tx.storage.room.party.Limits.Storage
	if tx.cleared || grows > limit {
		return grows, tooMuch(grows, limit)
	}
	size, known := tx.storage.room.srv.sizes.get(tx.storage.room.id)
	if grows == 0 || known && size+grows <= limit {
		if !known {
			size = limit // measured when it matters
		}
		return size + grows, nil
	}
	size, err := tx.store.RoomSize(ctx, tx.storage.key(), persist.SpaceStorage)
	if err == nil && size+grows > limit {
		var replaced int64
		replaced, err = tx.replaces(ctx)
		size -= replaced
	}
	if err != nil {
		return 0, fmt.Errorf("storage size: %w", err)
	}
	return size + grows, tooMuch(size+grows, limit)
}

func tooMuch(size, limit int64) error {
	if size > limit {
		return fmt.Errorf("%w: %d bytes, more than %d", ErrStorageFull, size, limit)
	}
	return nil
}

// replaces returns the bytes that go because of what the transaction wrote.
func (tx *Tx) replaces(ctx context.Context) (bytes int64, err error) {
	keys := slices.Collect(maps.Keys(tx.writes))
	values, err := tx.storage.get(ctx, keys)
	for i, v := range values {
		if v != nil {
			bytes += int64(len(keys[i]) + len(v))
		}
	}
	return bytes, err
}

// Getter is a [Storage] or a [Tx].
type Getter interface {
	Get(ctx context.Context, key string) ([]byte, error)
}

// Putter is a [Storage] or a [Tx].
type Putter interface {
	Put(ctx context.Context, key string, value []byte) error
}

// GetJSON returns the value of a key that PutJSON stored, and whether there is
// one.
func GetJSON[T any](ctx context.Context, from Getter, key string) (value T, found bool, err error) {
	data, err := from.Get(ctx, key)
	if err != nil || data == nil {
		return value, false, err
	}
	if err := json.Unmarshal(data, &value); err != nil {
		return value, false, fmt.Errorf("storage key %q: %w", key, err)
	}
	return value, true, nil
}

// PutJSON stores a value as JSON.
func PutJSON(ctx context.Context, to Putter, key string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("storage key %q: %w", key, err)
	}
	return to.Put(ctx, key, data)
}
