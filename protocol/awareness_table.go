package protocol

import (
	"slices"
	"time"

	"github.com/yserverd/yserverd/protocol/lib0"
)

// AwarenessChange is what became of an entry.
type AwarenessChange uint8

// The changes. All but the first and the last are what the "update" event of y-protocols reports.
const (
	AwarenessIgnored AwarenessChange = iota // the clock is not newer, or a client nobody knew is gone
	AwarenessAdded                          // a client of which nothing was known has a state
	AwarenessUpdated                        // a client that was known has a state, be it the same or its first after null
	AwarenessRemoved                        // a client that was known is gone
	AwarenessRefused                        // there is no room; nothing changed
)

// AwarenessConfig bounds an [Awareness].
type AwarenessConfig struct {
	// Bytes is how much JSON all states together may have. Zero means 4 MiB.
	Bytes int
	// Clients is how many clients are remembered, those that are gone included. Zero means 16,384. When there are more the
	// half that went longest ago is forgotten; where nearly all are present further ones are refused.
	Clients int
}

// Awareness is who is present in a room and with what state: the table of y-protocols' Awareness, by the same rule for what
// replaces what, without a client of its own. It has no clock: whoever applies something says when. Clocks of clients that
// are gone are kept, so that what arrives late does not bring them back.
//
// It copies what it is given. It is not safe for concurrent use: the owner of the room owns it.
type Awareness struct {
	cfg     AwarenessConfig
	clients map[uint64]*presence
	present int // clients with a state
	bytes   int // of all states
}

// presence is what is known of one client.
type presence struct {
	clock   uint64
	updated time.Time
	state   []byte
	here    bool // has a state
}

// NewAwareness returns an empty table.
func NewAwareness(cfg AwarenessConfig) *Awareness {
	if cfg.Bytes <= 0 {
		cfg.Bytes = 4 << 20
	}
	if cfg.Clients <= 0 {
		cfg.Clients = 16 << 10
	}
	return &Awareness{cfg: cfg, clients: make(map[uint64]*presence)}
}

// Apply takes an entry over if it is newer than what is known and returns what became of it (y-protocols
// applyAwarenessUpdate): a higher clock always is, the same clock only if it takes a state away. A client that is not known
// counts as having clock 0, so an entry with clock 0 is never taken from it. The entry's state must be valid JSON.
func (a *Awareness) Apply(e AwarenessEntry, now time.Time) AwarenessChange {
	p := a.clients[e.Client]
	known := p != nil
	if !known {
		p = &presence{}
	}
	gone := e.Gone()
	if p.clock > e.Clock || p.clock == e.Clock && !(gone && p.here) {
		return AwarenessIgnored
	}
	if !gone && a.bytes-len(p.state)+len(e.State) > a.cfg.Bytes {
		return AwarenessRefused
	}
	if !known {
		if !a.makeRoom() {
			if gone {
				return AwarenessIgnored
			}
			return AwarenessRefused
		}
		a.clients[e.Client] = p
	}
	p.clock, p.updated = e.Clock, now
	if gone {
		a.clear(p)
	} else {
		a.set(p, e.State)
	}
	switch {
	case gone && known:
		return AwarenessRemoved
	case gone:
		return AwarenessIgnored
	case known:
		return AwarenessUpdated
	default:
		return AwarenessAdded
	}
}

// set gives a client a state. Its buffer is used again unless that would hold on to much more than the state needs.
func (a *Awareness) set(p *presence, state []byte) {
	a.bytes += len(state) - len(p.state)
	if !p.here {
		a.present++
	}
	p.here = true
	if cap(p.state) > 2*len(state)+64 {
		p.state = nil
	}
	p.state = append(p.state[:0], state...)
}

// clear takes a client's state away.
func (a *Awareness) clear(p *presence) {
	a.bytes -= len(p.state)
	if p.here {
		a.present--
	}
	p.here, p.state = false, nil
}

// makeRoom makes sure that there is room for one more client and reports whether there is. Forgetting takes a walk over all
// of them, so it is only done when it makes room for many.
func (a *Awareness) makeRoom() bool {
	if len(a.clients) < a.cfg.Clients {
		return true
	}
	gone := make([]uint64, 0, len(a.clients)-a.present)
	if cap(gone) < max(len(a.clients)/8, 1) {
		return false
	}
	for id, p := range a.clients {
		if !p.here {
			gone = append(gone, id)
		}
	}
	slices.SortFunc(gone, func(x, y uint64) int { return a.clients[x].updated.Compare(a.clients[y].updated) })
	for _, id := range gone[:(len(gone)+1)/2] {
		delete(a.clients, id)
	}
	return true
}

// Remove takes away the states of those of the clients that have one, as for a connection that was lost, and appends to dst
// the entries that tell others (y-protocols removeAwarenessStates). Clocks stay as they are: peers accept a null of the same
// clock. A client that comes back must raise its clock, as all do.
func (a *Awareness) Remove(dst []AwarenessEntry, clients ...uint64) []AwarenessEntry {
	for _, id := range clients {
		p := a.clients[id]
		if p == nil || !p.here {
			continue
		}
		a.clear(p)
		dst = append(dst, AwarenessEntry{Client: id, Clock: p.clock, State: []byte(null)})
	}
	return dst
}

// Entry returns what is known of a client; the state of one that is gone is null. The state is valid until the table
// changes.
func (a *Awareness) Entry(client uint64) (e AwarenessEntry, known bool) {
	p := a.clients[client]
	if p == nil {
		return AwarenessEntry{}, false
	}
	e = AwarenessEntry{Client: client, Clock: p.clock, State: p.state}
	if !p.here {
		e.State = []byte(null)
	}
	return e, true
}

// Clients appends the clients that have a state, in ascending order.
func (a *Awareness) Clients(dst []uint64) []uint64 {
	start := len(dst)
	for id, p := range a.clients {
		if p.here {
			dst = append(dst, id)
		}
	}
	slices.Sort(dst[start:])
	return dst
}

// Outdated appends, in ascending order, the clients with a state that nothing was heard of since before the given time.
func (a *Awareness) Outdated(dst []uint64, before time.Time) []uint64 {
	start := len(dst)
	for id, p := range a.clients {
		if p.here && p.updated.Before(before) {
			dst = append(dst, id)
		}
	}
	slices.Sort(dst[start:])
	return dst
}

// AppendAll appends an awareness update of all states, by ascending client: what a newcomer is sent.
func (a *Awareness) AppendAll(dst []byte) []byte {
	ids := a.Clients(make([]uint64, 0, a.present))
	dst = slices.Grow(dst, a.bytes+16*len(ids)+8)
	dst = lib0.AppendVarUint(dst, uint64(len(ids)))
	for _, id := range ids {
		p := a.clients[id]
		dst = appendEntry(dst, AwarenessEntry{Client: id, Clock: p.clock, State: p.state})
	}
	return dst
}

// Len returns how many clients have a state.
func (a *Awareness) Len() int { return a.present }

// Bytes returns how much JSON the states have.
func (a *Awareness) Bytes() int { return a.bytes }
