package ydoc

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
)

// store is what is known of a document: for every client its structs from clock 0 on without a gap, and which of their
// units are deleted.
type store struct {
	clients index
	// All clients in descending order of their ids, as they are encoded; behind the first sorted ones in the order of
	// arrival, so that many new clients cost one sort.
	order  []*client
	sorted int

	structs int
	bytes   int // of all encoded structs
	spans   spanTally
	epoch   uint32 // raised whenever a copy is made
}

// lookup returns a client, or nil.
func (st *store) lookup(id uint64) *client { return st.clients.get(id) }

// next returns the clock after the last struct of a client, 0 for one that is unknown.
func (st *store) next(id uint64) uint64 {
	if c := st.lookup(id); c != nil {
		return c.next
	}
	return 0
}

// insert adds a client that is not there yet.
func (st *store) insert(id uint64) *client {
	c := &client{id: id}
	st.clients.add(c)
	st.order = append(st.order, c)
	return c
}

// addStruct puts a struct behind the last one of its client.
func (st *store) addStruct(c *client, s *update.Struct, how joining) {
	bytes, structs := c.add(s, how)
	st.bytes += bytes
	st.structs += structs
}

// addPart puts the units of a struct from cut on behind the client's last one. It returns the scratch memory that it was
// given, perhaps grown.
func (st *store) addPart(c *client, s *update.Struct, cut uint64, scratch []byte) []byte {
	if cut == 0 {
		st.addStruct(c, s, joinSafe)
		return scratch
	}
	scratch = update.AppendSlice(scratch[:0], s, cut, s.Len)
	w := walker{buf: scratch, client: s.Client, clock: s.Clock + cut}
	var part update.Struct
	w.next(&part)
	st.addStruct(c, &part, joinSafe)
	return scratch
}

// sort brings order in order: what has arrived since the last time is sorted and merged in from the back.
func (st *store) sort() {
	if st.sorted == len(st.order) {
		return
	}
	late := slices.Clone(st.order[st.sorted:])
	slices.SortFunc(late, descending)
	i := st.sorted - 1
	for k := len(st.order) - 1; len(late) > 0; k-- {
		if last := late[len(late)-1]; i >= 0 && st.order[i].id < last.id {
			st.order[k] = st.order[i]
			i--
		} else {
			st.order[k] = last
			late = late[:len(late)-1]
		}
	}
	st.sorted = len(st.order)
}

func descending(a, b *client) int { return cmp.Compare(b.id, a.id) }

// size returns about how many bytes the store has encoded: all but the heads of sections.
func (st *store) size() int { return st.bytes + st.spans.bytes }

// appendStateVector appends the state vector, clients descending.
func (st *store) appendStateVector(dst []byte) []byte {
	st.sort()
	dst = lib0.AppendVarUint(dst, uint64(len(st.order)))
	for _, c := range st.order {
		dst = lib0.AppendVarUint(dst, c.id)
		dst = lib0.AppendVarUint(dst, c.next)
	}
	return dst
}

// maxVarUint is how many bytes a number takes at most.
const maxVarUint = 8

// clip returns an encoding that is to be kept in memory of its size, where its bound was far off: with very many clients.
func clip(b []byte) []byte {
	if cap(b)-len(b) > len(b)/4 {
		return bytes.Clone(b)
	}
	return b
}

// bound returns how many bytes the encoded state takes at most.
func (st *store) bound() int {
	return st.size() + 2*maxVarUint + len(st.order)*5*maxVarUint
}

// appendState appends everything as one update.
func (st *store) appendState(dst []byte) []byte {
	st.sort()
	dst = lib0.AppendVarUint(dst, uint64(len(st.order)))
	for _, c := range st.order {
		dst = c.appendSection(dst, 0)
	}
	return st.appendDeletes(dst)
}

// appendDeletes appends the whole delete set.
func (st *store) appendDeletes(dst []byte) []byte {
	st.sort()
	n := 0
	for _, c := range st.order {
		if !c.deleted.empty() {
			n++
		}
	}
	dst = lib0.AppendVarUint(dst, uint64(n))
	for _, c := range st.order {
		if !c.deleted.empty() {
			dst = lib0.AppendVarUint(dst, c.id)
			dst = lib0.AppendVarUint(dst, uint64(c.deleted.len()))
			dst = c.deleted.appendTo(dst)
		}
	}
	return dst
}

// appendSection appends a section with the client's structs from a clock on, which must be below c.next.
func (c *client) appendSection(dst []byte, from uint64) []byte {
	t := c.tail(from)
	dst = lib0.AppendVarUint(dst, uint64(t.n))
	dst = lib0.AppendVarUint(dst, c.id)
	dst = lib0.AppendVarUint(dst, from)
	return t.appendTo(dst)
}

// tail is what a client has from some clock on.
type tail struct {
	c      *client
	n      int           // structs
	chunk  int           // the chunk that the first is in
	offset int           // in it, of the first whole struct
	first  update.Struct // with cut: the struct whose units from cut on come before that
	cut    uint64
}

// tail finds the structs from a clock on, which must be below c.next.
func (c *client) tail(from uint64) tail {
	t := tail{c: c, n: int(c.n)}
	if from == 0 {
		return t
	}
	chunk, number, offset := c.locate(from, &t.first)
	t.chunk, t.offset = chunk, offset
	t.n = -number
	for _, ch := range c.chunks[chunk:] {
		t.n += ch.n
	}
	if t.cut = from - t.first.Clock; t.cut > 0 {
		t.offset += len(t.first.Raw)
	}
	return t
}

// appendTo appends the structs without a head.
func (t *tail) appendTo(dst []byte) []byte {
	if t.cut > 0 {
		dst = update.AppendSlice(dst, &t.first, t.cut, t.first.Len)
	}
	dst = append(dst, t.c.chunks[t.chunk].buf[t.offset:]...)
	for _, ch := range t.c.chunks[t.chunk+1:] {
		dst = append(dst, ch.buf...)
	}
	return dst
}
