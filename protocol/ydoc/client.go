package ydoc

import (
	"sort"

	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
)

// chunkSize is how many bytes of structs a chunk takes before the next one begins; a single struct may be larger. A
// clock is found by a binary search over chunks and a walk within one, so this bounds the walk.
const chunkSize = 4096

// maxJoined is the size past which a struct takes in no more: it keeps offsets within 32 bits.
const maxJoined = 1 << 30

// chunk is a run of encoded structs of one client, one behind the other, each from its info byte on.
type chunk struct {
	buf   []byte
	clock uint64 // of the first struct
	n     int    // structs in buf
}

// client is everything a store holds of one client. Six bytes of an update can bring one, so it is small: 128 bytes, and
// with one short struct nothing else but that one's bytes. It must not be copied but by freeze: chunks may point into it.
type client struct {
	id      uint64
	next    uint64 // the clock after the last struct: the client's entry in the state vector
	chunks  []chunk
	one     [1]chunk // what chunks is of while there is one, and empty afterwards
	deleted spanSet

	n uint32 // structs
	// The last struct, in the last chunk: where it begins and where its content does.
	last, head uint32
	// Where tx.marks may have noted this client down.
	mark uint32
	// The update that is being applied has brought the client.
	fresh bool
	// The bytes of the last chunk may be read by others: they may be added to, but not changed.
	shared bool
}

// joining says which structs may be joined with the one before.
type joining uint8

const (
	joinNever joining = iota
	// joinSafe joins what may be joined without knowing the parent: text, deleted content and GC. An item with an origin
	// does not say whether it is a map's entry; text never is.
	joinSafe
	// joinAll joins every kind that yjs joins. The caller knows that these are no live entries of a map.
	joinAll
)

// refBits are the bits of an info byte that name the kind.
const refBits = 0x1f

// add puts a struct behind the last one; its clock is c.next. It returns by how many bytes and structs the client grew.
func (c *client) add(s *update.Struct, how joining) (bytes, structs int) {
	if how != joinNever && len(c.chunks) > 0 {
		if grown, ok := c.join(s, how); ok {
			c.next += s.Len
			return grown, 0
		}
	}
	c.push(s.Raw, len(s.Raw)-len(s.Content))
	c.next += s.Len
	return len(s.Raw), 1
}

// push appends an encoded struct whose content begins at head.
func (c *client) push(raw []byte, head int) {
	i := len(c.chunks) - 1
	if i < 0 || len(c.chunks[i].buf)+len(raw) > chunkSize {
		c.newChunk()
		i++
	}
	last := &c.chunks[i]
	if i > 0 && last.buf == nil {
		// A client that filled a chunk fills another one.
		last.buf = make([]byte, 0, max(chunkSize, len(raw)))
	}
	c.last = uint32(len(last.buf))
	c.head = c.last + uint32(head)
	last.buf = append(grow(last.buf, len(raw)), raw...)
	last.n++
	c.n++
}

// newChunk begins another chunk.
func (c *client) newChunk() {
	c.shared = false
	if len(c.chunks) == 0 {
		c.one[0] = chunk{clock: c.next}
		c.chunks = c.one[:]
		return
	}
	c.chunks = append(c.chunks, chunk{clock: c.next})
	c.one[0] = chunk{} // it has moved
}

// grow returns buf with room for n more bytes. Small buffers double, up to the size of a chunk, so that a client of a
// few structs costs a few bytes; those of one large struct grow by a quarter.
func grow(buf []byte, n int) []byte {
	need := len(buf) + n
	if need <= cap(buf) {
		return buf
	}
	size := max(need, min(2*cap(buf), chunkSize))
	if size > chunkSize {
		size = need
		if len(buf) > 0 {
			size += need / 4
		}
	}
	return append(make([]byte, 0, size), buf...)
}

// join adds the struct to the last one if yjs would merge the two, whatever lies between them in the list: that they are
// not neighbours there is said by items that name their origins, and these stay as they are.
func (c *client) join(s *update.Struct, how joining) (grown int, ok bool) {
	buf := c.chunks[len(c.chunks)-1].buf
	info := buf[c.last]
	if !joinable(info, s.Info, how) || len(buf) > maxJoined {
		return 0, false
	}
	if s.Kind != update.GC {
		if s.Info&update.HasOrigin == 0 || s.Origin.Clock != c.next-1 || s.Origin.Client != c.id {
			return 0, false
		}
		if info&update.HasRightOrigin != 0 && rightOrigin(buf[c.last:]) != s.RightOrigin {
			return 0, false
		}
	}
	count, size := uvarint(buf[c.head:])
	more, skip := uvarint(s.Content)
	if size != lib0.VarUintLen(count) {
		return 0, false // written with superfluous bytes: left as it is
	}
	return c.extend(count, size, more, s.Content[skip:]), true
}

// joinable reports whether two structs with these info bytes can be joined at all.
func joinable(a, b byte, how joining) bool {
	kind := update.Kind(a & refBits)
	if kind != update.Kind(b&refBits) || (a^b)&update.HasRightOrigin != 0 {
		return false
	}
	switch kind {
	case update.GC, update.Deleted:
		return true
	case update.String:
		return how == joinAll || (a|b)&update.HasParentSub == 0
	case update.Any, update.JSON:
		return how == joinAll
	}
	return false
}

// extend adds more units with their content to the last struct. The contents that can be joined all begin with a number
// (count, written in size bytes) that is the sum of the parts' numbers.
func (c *client) extend(count uint64, size int, more uint64, content []byte) int {
	last := &c.chunks[len(c.chunks)-1]
	if c.shared {
		last.buf = append(make([]byte, 0, len(last.buf)+len(content)+1), last.buf...)
		c.shared = false
	}
	wider := lib0.VarUintLen(count+more) - size
	buf := grow(last.buf, len(content)+wider)
	if wider > 0 {
		end := len(buf)
		buf = buf[:end+wider]
		at := int(c.head) + size
		copy(buf[at+wider:], buf[at:end])
	}
	putUvarint(buf[c.head:], count+more)
	last.buf = append(buf, content...)
	return len(content) + wider
}

// locate finds the struct that holds clock, which must be below c.next: the chunk, the number of the struct within the
// chunk, and the struct itself, which borrows the chunk's bytes.
func (c *client) locate(clock uint64, s *update.Struct) (chunk, number, offset int) {
	i := c.chunkOf(clock)
	w := c.walk(i)
	for n := 0; ; n++ {
		offset = w.pos
		w.next(s)
		if clock < s.Clock+s.Len {
			return i, n, offset
		}
	}
}

// chunkOf returns the chunk that holds clock.
func (c *client) chunkOf(clock uint64) int {
	return sort.Search(len(c.chunks), func(i int) bool { return c.chunks[i].clock > clock }) - 1
}

// walk returns a walker at the first struct of a chunk.
func (c *client) walk(chunk int) walker {
	return walker{buf: c.chunks[chunk].buf, client: c.id, clock: c.chunks[chunk].clock}
}
