package yserver

import (
	"errors"
	"fmt"
	"time"

	"github.com/yserverd/yserverd/persist"
)

// Message is what the rooms of a party do with messages by themselves, in the
// frames of package protocol/relay. The zero Message does nothing: everything is
// left to the room type of the party. With both, the type receives what is
// relayed.
type Message struct {
	// Presence keeps everybody informed who is there, and lets clients set data
	// of their own.
	Presence bool
	// Relay sends what a client sends to the others.
	Relay Relay
	// State keeps a JSON state that clients patch. Nil means none.
	State *SharedState
	// History keeps the last messages. Nil means none. It needs RelayJSON.
	History *History
	// PresenceInterval is the least time between two rosters. Zero means 50 ms.
	PresenceInterval time.Duration
}

// Relay says what becomes of what clients send.
type Relay uint8

const (
	// RelayNone relays nothing.
	RelayNone Relay = iota
	// RelayJSON relays JSON objects, stamped with their sender, to all others or
	// to whom they name, and binary messages as they are.
	RelayJSON
	// RelayRaw relays everything as it is to all others.
	RelayRaw
)

// SharedState is a JSON state that a room keeps, also when nobody is there.
type SharedState struct {
	MaxBytes int // of the state as JSON; zero means 256 KiB, at most 16 MiB
}

// History is the messages that a room keeps for those who come later.
type History struct {
	Messages int // the last so many
	MaxBytes int // of them together; zero means 1 MiB, at most 16 MiB
}

func (m Message) withDefaults() Message {
	setDefault(&m.PresenceInterval, 50*time.Millisecond)
	if m.State != nil {
		s := *m.State
		setDefault(&s.MaxBytes, 256<<10)
		m.State = &s
	}
	if m.History != nil {
		h := *m.History
		setDefault(&h.MaxBytes, 1<<20)
		m.History = &h
	}
	return m
}

func (m Message) validate() error {
	switch {
	case m.Relay > RelayRaw:
		return fmt.Errorf("unknown relay %d", m.Relay)
	case m.PresenceInterval < 0:
		return fmt.Errorf("presence interval %s is negative", m.PresenceInterval)
	case m.State != nil && (m.State.MaxBytes < 0 || m.State.MaxBytes > maxRoomBytes):
		return fmt.Errorf("state of at most %d bytes: want 1 to %d", m.State.MaxBytes, maxRoomBytes)
	case m.History == nil:
		return nil
	case m.Relay != RelayJSON:
		return errors.New("history needs RelayJSON: other messages have no offset")
	case m.History.Messages <= 0:
		return errors.New("history of no messages: set History.Messages, or leave History nil")
	case m.History.MaxBytes < 0 || m.History.MaxBytes > maxRoomBytes:
		return fmt.Errorf("history of at most %d bytes: want 1 to %d", m.History.MaxBytes, maxRoomBytes)
	}
	return nil
}

// maxRoomBytes bounds state and history: each is kept in memory and sent to
// everybody who joins, and a store must be able to take it as one value.
const maxRoomBytes = persist.MaxRoomValueBytes / 2

// configured reports whether clients' text is looked at.
func (m Message) configured() bool { return m.Relay == RelayJSON || m.Presence || m.State != nil }
