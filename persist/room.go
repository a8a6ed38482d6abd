package persist

import (
	"fmt"
	"time"
)

// Space separates the kinds of data of one room. The numbers are stored: they
// never change.
type Space uint8

// The spaces of a room.
const (
	SpaceStorage Space = iota + 1 // what an application keeps (Room.Storage)
	SpaceState                    // shared state of a configured message room
	SpaceHistory                  // its kept messages
)

// String names the space in lower case.
func (s Space) String() string {
	switch s {
	case SpaceStorage:
		return "storage"
	case SpaceState:
		return "state"
	case SpaceHistory:
		return "history"
	}
	return fmt.Sprintf("space %d", uint8(s))
}

// Validate returns an error that matches ErrInvalid for a space that does not
// exist.
func (s Space) Validate() error {
	if s < SpaceStorage || s > SpaceHistory {
		return fmt.Errorf("%w: %v", ErrInvalid, s)
	}
	return nil
}

// Limits of the data of rooms.
const (
	MaxRoomKeyBytes   = 2048     // of the key of one value
	MaxRoomValueBytes = 32 << 20 // of one value
	MaxRoomPageBytes  = 8 << 20  // of the keys and values that one ListRoom returns, unless the first alone is larger
	DefaultRoomLimit  = 1000     // items of a ListRoom or an Alarms that names no limit
)

// RoomLimit turns the limit that ListRoom or Alarms was given into the one they
// keep to.
func RoomLimit(limit int) int {
	if limit <= 0 {
		return DefaultRoomLimit
	}
	return limit
}

// RoomItem is one value of a room. Its key may be empty and may hold any bytes,
// NUL too; keys are ordered by their bytes. Value is opaque; it is never nil in
// what a store returns, and a nil one is stored as an empty one.
type RoomItem struct {
	Key   string
	Value []byte
}

// RoomRange is the keys From <= key < To of a space; an empty To is no end. A
// range whose end is not behind its beginning is empty.
type RoomRange struct {
	Space    Space
	From, To string
}

// RoomPrefix returns the range of the keys that begin with prefix.
func RoomPrefix(space Space, prefix string) RoomRange {
	r := RoomRange{Space: space, From: prefix}
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			r.To = prefix[:i] + string([]byte{prefix[i] + 1})
			break
		}
	}
	return r
}

// Rest returns what is left of the range behind the key last, in the direction
// of a listing: the range of its next page. There is one only if ListRoom said
// that there is more.
func (r RoomRange) Rest(last string, reverse bool) RoomRange {
	if reverse {
		r.To = last
	} else {
		r.From = last + "\x00"
	}
	return r
}

// Empty says whether no key can be in the range.
func (r RoomRange) Empty() bool { return r.To != "" && r.To <= r.From }

// Contains says whether the key is in the range.
func (r RoomRange) Contains(key string) bool { return key >= r.From && (r.To == "" || key < r.To) }

// Validate returns an error that matches ErrInvalid for a space that does not
// exist and for bounds that are longer than the key behind the longest one.
func (r RoomRange) Validate() error {
	if err := r.Space.Validate(); err != nil {
		return err
	}
	if n := max(len(r.From), len(r.To)); n > MaxRoomKeyBytes+1 {
		return fmt.Errorf("%w: range bound of %d bytes, more than %d", ErrInvalid, n, MaxRoomKeyBytes+1)
	}
	return nil
}

// RoomPut stores a value in a space, in place of the one that is there.
type RoomPut struct {
	Space Space
	RoomItem
}

// RoomDelete drops one value of a space. That it is not there is no error.
type RoomDelete struct {
	Space Space
	Key   string
}

// RoomChange changes the data of one room, whole or not at all, in the order of
// its fields: a value may be put that the same change deletes first. The store
// only reads it.
type RoomChange struct {
	Key     Key
	Ranges  []RoomRange // what to drop
	Deletes []RoomDelete
	Puts    []RoomPut
	Alarm   *time.Time // nil leaves it, zero clears it; kept in whole milliseconds, rounded down

	// Delivery is the time of the room's next delivery, beside its alarm and
	// kept in the same way.
	Delivery *time.Time
}

// RoomAlarm is the alarm, or the delivery, of one room.
type RoomAlarm struct {
	Key Key
	At  time.Time // in UTC
}

// ValidateRoomKey returns an error that matches ErrInvalid when the space does
// not exist or the key of a value is longer than MaxRoomKeyBytes.
func ValidateRoomKey(space Space, key string) error {
	if err := space.Validate(); err != nil {
		return err
	}
	if len(key) > MaxRoomKeyBytes {
		return fmt.Errorf("%w: key of %d bytes, more than %d", ErrInvalid, len(key), MaxRoomKeyBytes)
	}
	return nil
}

// ValidateAlarm returns an error that matches ErrInvalid unless the time is zero
// or in the years 1970 to 9999. It holds for deliveries too.
func ValidateAlarm(at time.Time) error {
	if year := at.UTC().Year(); !at.IsZero() && (year < 1970 || year > 9999) {
		return fmt.Errorf("%w: time in the year %d", ErrInvalid, year)
	}
	return nil
}

// Validate returns an error that matches ErrInvalid when any part of the change
// can never be stored.
func (c *RoomChange) Validate() error {
	if err := c.Key.Validate(); err != nil {
		return err
	}
	for _, r := range c.Ranges {
		if err := r.Validate(); err != nil {
			return err
		}
	}
	for _, d := range c.Deletes {
		if err := ValidateRoomKey(d.Space, d.Key); err != nil {
			return err
		}
	}
	for i := range c.Puts {
		p := &c.Puts[i]
		if err := ValidateRoomKey(p.Space, p.Key); err != nil {
			return err
		}
		if len(p.Value) > MaxRoomValueBytes {
			return fmt.Errorf("%w: value of %d bytes, more than %d", ErrInvalid, len(p.Value), MaxRoomValueBytes)
		}
	}
	for _, at := range []*time.Time{c.Alarm, c.Delivery} {
		if at == nil {
			continue
		}
		if err := ValidateAlarm(*at); err != nil {
			return err
		}
	}
	return nil
}
