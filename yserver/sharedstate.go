package yserver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/protocol/relay"
)

// stateKey is where a room keeps its state: the version, eight bytes, and the
// JSON.
const stateKey = "state"

// sharedState is the JSON state of a message room. Patches apply to the state as
// it was left by the one before; clients see what is stored.
type sharedState struct {
	json    []byte // with all patches
	version uint64
	dirty   bool // json is not on its way to the store

	flight versioned // on its way
	shown  versioned // what newcomers are told
	all    *frame    // the greeting that says so; made on demand
}

type versioned struct {
	json    []byte
	version uint64
}

func (s *sharedState) load(ctx context.Context, r *messageRoom) error {
	s.json = []byte("{}")
	if r.cfg.State == nil {
		return nil
	}
	values, err := r.srv.cfg.RoomStore.GetRoom(ctx, r.key, persist.SpaceState, []string{stateKey})
	if err != nil {
		return fmt.Errorf("load state: %w", err)
	}
	if v := values[0]; v != nil {
		if len(v) < 8 {
			return fmt.Errorf("load state: %w: %d bytes", persist.ErrCorrupt, len(v))
		}
		s.version, s.json = binary.BigEndian.Uint64(v), v[8:]
	}
	s.shown = versioned{s.json, s.version}
	return nil
}

// patch applies a client's patch.
func (r *messageRoom) patch(from *member, f *relay.ClientFrame) {
	s := &r.state
	if f.IfVersion != nil && *f.IfVersion != s.version {
		// Behind the patches that made it, which may not be stored yet.
		r.sendStored(addressed{frame: textFrame(relay.AppendConflict(nil, s.json, s.version)), to: from})
		return
	}
	next, err := relay.MergePatch(nil, s.json, f.Data, r.cfg.State.MaxBytes, r.party.Limits.Nesting)
	switch {
	case errors.Is(err, relay.ErrTooLarge):
		r.srv.counters.overLimit.Add(1)
		from.peer.push(errorFrame(relay.CodeStateTooLarge))
		return
	case err != nil:
		r.srv.counters.badFrames.Add(1)
		from.peer.push(errorFrame(relay.CodeBadFrame))
		return
	}
	s.json, s.dirty = next, true
	s.version++
	text := relay.AppendPatch(nil, f.Data, s.version, from.conn.id, from.conn.userID())
	r.sendStored(addressed{frame: textFrame(text)})
}

// write adds the state to a change, if it changed.
func (s *sharedState) write(c *persist.RoomChange) {
	if !s.dirty {
		return
	}
	s.dirty = false
	s.flight = versioned{s.json, s.version}
	value := append(binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(s.json)), s.version), s.json...)
	c.Puts = append(c.Puts, persist.RoomPut{Space: persist.SpaceState, RoomItem: persist.RoomItem{Key: stateKey, Value: value}})
}

// stored shows what was on its way.
func (s *sharedState) stored() {
	if s.flight.json != nil {
		s.shown, s.flight, s.all = s.flight, versioned{}, nil
	}
}

func (s *sharedState) greet(r *messageRoom, m *member) {
	if r.cfg.State == nil {
		return
	}
	if s.all == nil {
		s.all = newFrame(opText, kindReply, nil, relay.AppendState(nil, s.shown.json, s.shown.version))
	}
	m.peer.push(s.all)
}
