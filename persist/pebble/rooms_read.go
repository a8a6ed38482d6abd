package pebble

import (
	"context"
	"errors"
	"fmt"

	engine "github.com/cockroachdb/pebble/v2"

	"github.com/yserverd/yserverd/persist"
)

// viewRoom calls fn with an iterator over one state of the store, in which all
// that there is of the room is durable. See view.
func (s *Store) viewRoom(ctx context.Context, k persist.Key, lower, upper []byte, fn func(*engine.Iterator) error) (err error) {
	if err := errors.Join(ctx.Err(), s.quarantinedRooms.check(k)); err != nil {
		return err
	}
	if err := s.roomSettled(ctx, k); err != nil {
		return err
	}
	it, err := s.db.NewIter(&engine.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return fmt.Errorf("open iterator: %w", err)
	}
	defer closeIter(it, &err)
	if err := s.roomSettled(ctx, k); err != nil {
		return err
	}
	return fn(it)
}

// valueAt returns a copy of the value at the iterator, which is that of name. It
// is never nil.
func (s *Store) valueAt(it *engine.Iterator, k persist.Key, space persist.Space, name []byte) ([]byte, error) {
	value, err := it.ValueAndErr()
	if err == nil {
		value, err = parseRecord(it.Key(), value)
	}
	if err != nil {
		return nil, s.unreadableRoom(k, valueName(space, name), err)
	}
	return append(make([]byte, 0, len(value)), value...), nil
}

// valueName names a value for people.
func valueName(space persist.Space, name []byte) string { return fmt.Sprintf("%v %.200q", space, name) }

// GetRoom implements persist's contract.
func (s *Store) GetRoom(ctx context.Context, k persist.Key, space persist.Space, keys []string) ([][]byte, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	err := errors.Join(k.Validate(), space.Validate())
	for i := 0; err == nil && i < len(keys); i++ {
		err = persist.ValidateRoomKey(space, keys[i])
	}
	if err != nil {
		return nil, fmt.Errorf("get room: %w", err)
	}
	values := make([][]byte, len(keys))
	lower, upper := spaceBounds(k, persist.RoomRange{Space: space})
	prefix := len(lower)
	err = s.viewRoom(ctx, k, lower, upper, func(it *engine.Iterator) error {
		bound := lower
		for i, name := range keys {
			if err := ctx.Err(); err != nil {
				return err
			}
			// The least key behind a key is that with a zero behind it.
			bound = append(append(bound[:prefix], name...), 0)
			it.SetBounds(bound[:len(bound)-1], bound)
			if !it.First() {
				if err := it.Error(); err != nil {
					return s.unreadableRoom(k, valueName(space, []byte(name)), err)
				}
				continue
			}
			var err error
			if values[i], err = s.valueAt(it, k, space, []byte(name)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("get room: %w", err)
	}
	return values, nil
}

// ListRoom implements persist's contract.
func (s *Store) ListRoom(ctx context.Context, k persist.Key, r persist.RoomRange, reverse bool, limit int) (items []persist.RoomItem, more bool, err error) {
	if err := s.enter(); err != nil {
		return nil, false, err
	}
	defer s.leave()
	if err := errors.Join(k.Validate(), r.Validate()); err != nil {
		return nil, false, fmt.Errorf("list room: %w", err)
	}
	if r.Empty() {
		r.To = r.From // bounds that are the wrong way round are no bounds
	}
	lower, upper := spaceBounds(k, r)
	err = s.viewRoom(ctx, k, lower, upper, func(it *engine.Iterator) (err error) {
		items, more, err = s.page(ctx, it, k, r.Space, reverse, persist.RoomLimit(limit))
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("list room: %w", err)
	}
	return items, more, nil
}

// page reads what one ListRoom returns.
func (s *Store) page(ctx context.Context, it *engine.Iterator, k persist.Key, space persist.Space, reverse bool, limit int) (items []persist.RoomItem, more bool, err error) {
	first, next := it.First, it.Next
	if reverse {
		first, next = it.Last, it.Prev
	}
	prefix := valueKeyLen(k, "")
	size := 0
	for ok := first(); ok; ok = next() {
		if err := ctx.Err(); err != nil {
			return nil, false, err
		}
		name, value := it.Key()[prefix:], it.LazyValue()
		size += len(name) + max(value.Len()-recordOverhead, 0)
		if len(items) == limit || len(items) > 0 && size > persist.MaxRoomPageBytes {
			return items, true, nil
		}
		data, err := s.valueAt(it, k, space, name)
		if err != nil {
			return nil, false, err
		}
		items = append(items, persist.RoomItem{Key: string(name), Value: data})
	}
	if err := it.Error(); err != nil {
		return nil, false, s.unreadableRoom(k, space.String(), err)
	}
	return items, false, nil
}

// RoomSize implements persist's contract. It looks at all keys of the space, but
// reads no value.
func (s *Store) RoomSize(ctx context.Context, k persist.Key, space persist.Space) (size int64, err error) {
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.leave()
	if err := errors.Join(k.Validate(), space.Validate()); err != nil {
		return 0, fmt.Errorf("room size: %w", err)
	}
	lower, upper := spaceBounds(k, persist.RoomRange{Space: space})
	err = s.viewRoom(ctx, k, lower, upper, func(it *engine.Iterator) error {
		for ok := it.First(); ok; ok = it.Next() {
			if err := ctx.Err(); err != nil {
				return err
			}
			value := it.LazyValue()
			if value.Len() < recordOverhead {
				return s.unreadableRoom(k, valueName(space, it.Key()[len(lower):]), errTruncated)
			}
			size += int64(len(it.Key()) - len(lower) + value.Len() - recordOverhead)
		}
		if err := it.Error(); err != nil {
			return s.unreadableRoom(k, space.String(), err)
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("room size: %w", err)
	}
	return size, nil
}
