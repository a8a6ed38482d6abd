package yserver

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/url"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/protocol/relay"
)

// epochKey is where a room keeps the epoch of its history, so that an offset is
// never mistaken for that of another history: a random name, stored with the
// first message.
const epochKey = "epoch"

// dropRange is from how many messages on a range is dropped instead of keys.
const dropRange = 1024

// history is the last messages of a message room, each at its offset, the first
// being 1.
type history struct {
	epoch  string
	next   uint64    // offset of the next message
	kept   []offered // in memory; the last len(kept) messages
	bytes  int
	shown  uint64 // the last offset that is stored
	puts   []persist.RoomItem
	low    uint64 // the first offset that the store may have
	trim   uint64 // offsets below are to be dropped
	isNew  bool   // the epoch is not stored
	flight uint64 // the last offset on its way
	all    *frame // the greeting with everything that is shown; made on demand
}

// offered is a kept message.
type offered struct {
	offset uint64
	text   []byte
}

func (h *history) load(ctx context.Context, r *messageRoom) error {
	h.next, h.low = 1, 1
	if r.cfg.History == nil {
		return nil
	}
	store := r.srv.cfg.RoomStore
	values, err := store.GetRoom(ctx, r.key, persist.SpaceHistory, []string{epochKey})
	if err != nil {
		return fmt.Errorf("load history: %w", err)
	}
	if values[0] == nil {
		if h.isNew = true; h.epoch == "" {
			h.epoch = newConnectionID()
		}
		return nil
	}
	h.epoch = string(values[0])
	for all, more := (persist.RoomRange{Space: persist.SpaceHistory, From: "m", To: "n"}), true; more; {
		var items []persist.RoomItem
		items, more, err = store.ListRoom(ctx, r.key, all, false, 0)
		if err != nil {
			return fmt.Errorf("load history: %w", err)
		}
		for _, it := range items {
			offset, err := historyOffset(it.Key)
			if err != nil {
				return err
			}
			if h.shown == 0 {
				h.low = offset
			}
			h.add(r.cfg.History, offered{offset, it.Value})
			h.next, h.shown = offset+1, offset
		}
		if more {
			all = all.Rest(items[len(items)-1].Key, false)
		}
	}
	return nil
}

func historyKey(offset uint64) string {
	return string(binary.BigEndian.AppendUint64([]byte{'m'}, offset))
}

func historyOffset(key string) (uint64, error) {
	if len(key) != 9 {
		return 0, fmt.Errorf("load history: %w: key of %d bytes", persist.ErrCorrupt, len(key))
	}
	return binary.BigEndian.Uint64([]byte(key[1:])), nil
}

// keep puts a message into the history, at the next offset; not one that is larger
// than the whole history may be.
func (h *history) keep(r *messageRoom, text []byte) bool {
	if len(text) > r.cfg.History.MaxBytes {
		return false
	}
	h.puts = append(h.puts, persist.RoomItem{Key: historyKey(h.next), Value: text})
	h.add(r.cfg.History, offered{h.next, text})
	h.next++
	return true
}

// add keeps a message, and lets go of the oldest that are too many now.
func (h *history) add(cfg *History, o offered) {
	h.kept = append(h.kept, o)
	h.bytes += len(o.text)
	n := 0
	for len(h.kept)-n > cfg.Messages || h.bytes > cfg.MaxBytes {
		h.bytes -= len(h.kept[n].text)
		h.kept[n].text = nil
		n++
	}
	if n > 0 {
		h.kept = h.kept[n:]
		h.trim = o.offset + 1 - uint64(len(h.kept))
	}
}

// write adds what is new to a change, and what it pushed out.
func (h *history) write(c *persist.RoomChange) {
	if len(h.puts) == 0 {
		return
	}
	if h.isNew {
		h.isNew = false
		c.Puts = append(c.Puts, persist.RoomPut{Space: persist.SpaceHistory, RoomItem: persist.RoomItem{Key: epochKey, Value: []byte(h.epoch)}})
	}
	h.drop(c)
	for _, it := range h.puts {
		if it.Key >= historyKey(h.trim) {
			c.Puts = append(c.Puts, persist.RoomPut{Space: persist.SpaceHistory, RoomItem: it})
		}
	}
	h.puts = nil
	h.flight = h.next - 1
}

// drop adds to a change what was pushed out and may be in the store: by key,
// unless that is very much.
func (h *history) drop(c *persist.RoomChange) {
	if h.trim <= h.low {
		return
	}
	if h.trim-h.low > dropRange {
		c.Ranges = append(c.Ranges, persist.RoomRange{Space: persist.SpaceHistory, From: "m", To: historyKey(h.trim)})
	} else {
		for offset := h.low; offset < min(h.trim, h.next-uint64(len(h.puts))); offset++ {
			c.Deletes = append(c.Deletes, persist.RoomDelete{Space: persist.SpaceHistory, Key: historyKey(offset)})
		}
	}
	h.low = h.trim
}

func (h *history) stored() {
	if h.flight > h.shown {
		h.shown, h.all = h.flight, nil
	}
}

// greet sends a newcomer the messages that it asked for, or all.
func (h *history) greet(r *messageRoom, m *member) {
	if r.cfg.History == nil {
		return
	}
	first := uint64(0)
	if u, err := url.Parse(m.conn.uri); err == nil {
		since, gap := h.since(u.Query().Get("since"))
		if first = since; gap {
			m.peer.push(newFrame(opText, kindReply, relay.AppendGap(nil, h.epoch, h.shown), nil))
		}
	}
	if first == 0 && h.all != nil {
		m.peer.push(h.all)
		return
	}
	var texts [][]byte
	for _, o := range h.kept {
		if o.offset > first && o.offset <= h.shown {
			texts = append(texts, o.text)
		}
	}
	f := newFrame(opText, kindReply, nil, relay.AppendHistory(nil, h.epoch, h.shown, texts))
	if first == 0 {
		h.all = f
	}
	m.peer.push(f)
}

// since returns the offset behind which a newcomer gets messages, and whether
// some that it asked for are gone.
func (h *history) since(param string) (after uint64, gap bool) {
	if param == "" {
		return 0, false
	}
	epoch, offset, ok := relay.ParseSince(param)
	switch {
	case !ok, epoch != h.epoch, offset > h.shown, offset+1 < h.next-uint64(len(h.kept)):
		return 0, true
	}
	return offset, false
}
