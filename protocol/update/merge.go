package update

import (
	"cmp"
	"slices"
	"sync"

	"github.com/yserverd/yserverd/protocol/lib0"
)

// Merge appends one update that holds everything the given ones hold and returns the extended buffer; a Yjs client that
// applies it is where it would be after applying each of them (Yjs mergeUpdates). Clocks that none of them has, between
// others that one has, become Skips. Structs that belong together are joined and deletes sorted and joined, so the result
// is not larger than it need be. One update alone is copied if it is canonical. Without updates the result is [Empty].
//
// An update that a decoder refuses is an error, which names it; dst is then returned as it was. Limits do not apply: memory
// is a small multiple of what is given, and time grows with it.
func Merge(dst []byte, updates ...[]byte) ([]byte, error) {
	c := collections.Get().(*collection)
	defer c.release()
	if err := c.collect(updates, true); err != nil {
		return dst, err
	}
	if len(updates) == 1 && c.canonical {
		return append(dst, updates[0]...), nil
	}
	return c.encode(dst, nil), nil
}

// Diff appends what u holds beyond the state vector sv, and its whole delete set, which no vector describes (Yjs
// diffUpdate). The update may be of any kind that [Merge] takes, the vector of any that [ParseStateVector] takes. On an
// error dst is returned as it was.
func Diff(dst, u, sv []byte) ([]byte, error) {
	c := collections.Get().(*collection)
	defer c.release()
	var err error
	if c.vector, err = ParseStateVector(c.vector[:0], sv, anything); err != nil {
		return dst, err
	}
	c.inputs1[0] = u
	if err := c.collect(c.inputs1[:], true); err != nil {
		return dst, err
	}
	return c.encode(dst, sortVector(c.vector)), nil
}

// StateVector appends the state vector of what u holds: for each client that it has from clock 0 on, the first clock that
// is missing (Yjs encodeStateVectorFromUpdate). On an error dst is returned as it was.
func StateVector(dst, u []byte) ([]byte, error) {
	c := collections.Get().(*collection)
	defer c.release()
	c.inputs1[0] = u
	if err := c.collect(c.inputs1[:], false); err != nil {
		return dst, err
	}
	c.vector = c.vector[:0]
	for runs := c.runs; len(runs) > 0; {
		n := clientRuns(runs)
		var end uint64
		for _, r := range runs[:n] {
			if r.clock > end {
				break
			}
			end = max(end, r.end)
		}
		if end > 0 {
			c.vector = append(c.vector, ID{runs[0].client, end})
		}
		runs = runs[n:]
	}
	return AppendStateVector(dst, c.vector), nil
}

// collections keeps what merging needs from one call to the next.
var collections = sync.Pool{New: func() any { return new(collection) }}

// keep bounds what a collection may hold on to while it waits, in entries.
const keep = 1 << 12

func (c *collection) release() {
	clear(c.inputs1[:])
	c.inputs = nil
	if cap(c.runs) <= keep && cap(c.deletes) <= keep && cap(c.vector) <= keep {
		collections.Put(c)
	}
}

// clientRuns returns how many of the runs, which are sorted, are of the first one's client.
func clientRuns(runs []run) int {
	n := 1
	for n < len(runs) && runs[n].client == runs[0].client {
		n++
	}
	return n
}

// encode appends everything beyond the vector, which is sorted, as one update.
func (c *collection) encode(dst []byte, vector []ID) []byte {
	size := 0
	for _, u := range c.inputs {
		size += len(u)
	}
	if len(vector) == 0 {
		dst = slices.Grow(dst, size)
	}
	sections := c.beyond(vector)
	w := writer{dst: lib0.AppendVarUint(dst, sections), lengthAt: -1}
	cur := cursor{vector}
	for runs := c.runs; len(runs) > 0; {
		n := clientRuns(runs)
		c.section(&w, runs[:n], cur.clock(runs[0].client))
		runs = runs[n:]
	}
	return c.appendDeletes(w.dst)
}

// beyond drops the runs that the vector covers and returns how many clients have others.
func (c *collection) beyond(vector []ID) uint64 {
	kept := c.runs[:0]
	var clients uint64
	cur := cursor{vector}
	for _, r := range c.runs {
		if r.end <= cur.clock(r.client) {
			continue
		}
		if len(kept) == 0 || kept[len(kept)-1].client != r.client {
			clients++
		}
		kept = append(kept, r)
	}
	c.runs = kept
	return clients
}

// section writes the structs of one client from the given clock on. Each run continues where those before it ended, so
// every clock is written once, from the run that came first.
func (c *collection) section(w *writer, runs []run, from uint64) {
	bound := uint64(0)
	for i := range runs {
		bound += uint64(runs[i].count) + 1
	}
	next := max(from, runs[0].clock)
	w.begin(runs[0].client, next, bound)
	var d Decoder
	var s Struct
	for i := range runs {
		r := &runs[i]
		if r.end <= next {
			continue
		}
		if r.clock > next {
			w.skip(r.client, next, r.clock-next)
			next = r.clock
		}
		c.open(&d, r)
		for {
			if ok, err := d.Next(&s); err != nil || !ok {
				break
			}
			if s.End() > next {
				w.put(&s, next-s.Clock)
				next = s.End()
			}
		}
	}
	w.end()
}

// appendDeletes appends the delete set.
func (c *collection) appendDeletes(dst []byte) []byte {
	clients := uint64(0)
	for i := range c.deletes {
		if i == 0 || c.deletes[i].client != c.deletes[i-1].client {
			clients++
		}
	}
	dst = lib0.AppendVarUint(dst, clients)
	for rest := c.deletes; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].client == rest[0].client {
			n++
		}
		dst = lib0.AppendVarUint(dst, rest[0].client)
		dst = lib0.AppendVarUint(dst, uint64(n))
		for _, r := range rest[:n] {
			dst = lib0.AppendVarUint(dst, r.clock)
			dst = lib0.AppendVarUint(dst, r.end-r.clock)
		}
		rest = rest[n:]
	}
	return dst
}

// cursor looks clocks up in a vector that is sorted by descending client, for clients that come in that order too.
type cursor struct{ rest []ID }

func (c *cursor) clock(client uint64) uint64 {
	for len(c.rest) > 0 && c.rest[0].Client > client {
		c.rest = c.rest[1:]
	}
	if len(c.rest) > 0 && c.rest[0].Client == client {
		return c.rest[0].Clock
	}
	return 0
}

// sortVector sorts a vector by descending client. Of entries for one client the last counts.
func sortVector(v []ID) []ID {
	descending := func(a, b ID) int { return cmp.Compare(b.Client, a.Client) }
	if !slices.IsSortedFunc(v, descending) {
		slices.SortStableFunc(v, descending)
	}
	kept := v[:0]
	for _, id := range v {
		if n := len(kept); n > 0 && kept[n-1].Client == id.Client {
			kept[n-1] = id
			continue
		}
		kept = append(kept, id)
	}
	return kept
}
