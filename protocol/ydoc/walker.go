package ydoc

import (
	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
)

// walker reads structs that this package has stored, so bytes that were accepted once: it checks nothing.
type walker struct {
	buf    []byte
	pos    int
	client uint64
	clock  uint64
}

// done reports whether all structs were read.
func (w *walker) done() bool { return w.pos >= len(w.buf) }

// next reads a struct into s, which borrows the bytes.
func (w *walker) next(s *update.Struct) {
	start := w.pos
	b := w.buf
	info := b[start]
	at := start + 1
	*s = update.Struct{
		ID:   update.ID{Client: w.client, Clock: w.clock},
		Info: info,
		Kind: update.Kind(info & refBits),
	}
	at = readHead(b, at, s)
	content := at
	s.Len, at = skipContent(b, at, s.Kind)
	s.Raw = b[start:at:at]
	s.Content = b[content:at:at]
	w.pos = at
	w.clock += s.Len
}

// readHead reads what an item has between its info byte and its content, and returns where that begins.
func readHead(b []byte, at int, s *update.Struct) int {
	if s.Kind == update.GC {
		return at
	}
	if s.Info&update.HasOrigin != 0 {
		s.Origin, at = readID(b, at)
	}
	if s.Info&update.HasRightOrigin != 0 {
		s.RightOrigin, at = readID(b, at)
	}
	if s.Info&(update.HasOrigin|update.HasRightOrigin) == 0 {
		at = readParent(b, at, s)
	}
	return at
}

func readID(b []byte, at int) (update.ID, int) {
	client, n := uvarint(b[at:])
	at += n
	clock, n := uvarint(b[at:])
	return update.ID{Client: client, Clock: clock}, at + n
}

// readParent reads what only items without origins have: the parent, and the key under which they are its child.
func readParent(b []byte, at int, s *update.Struct) int {
	info, n := uvarint(b[at:])
	at += n
	if info == 1 {
		s.ParentName, at = readBytes(b, at)
	} else {
		s.ParentIsID = true
		s.Parent, at = readID(b, at)
	}
	if s.Info&update.HasParentSub != 0 {
		s.ParentSub, at = readBytes(b, at)
	}
	return at
}

func readBytes(b []byte, at int) ([]byte, int) {
	size, n := uvarint(b[at:])
	at += n
	end := at + int(size)
	return b[at:end:end], end
}

func skipBytes(b []byte, at int) int {
	size, n := uvarint(b[at:])
	return at + n + int(size)
}

// skipContent returns the units of the content at the given offset, and where it ends.
func skipContent(b []byte, at int, kind update.Kind) (units uint64, end int) {
	switch kind {
	case update.GC, update.Deleted:
		units, n := uvarint(b[at:])
		return units, at + n
	case update.String:
		text, end := readBytes(b, at)
		return lib0.UTF16Len(text), end
	case update.Binary, update.Embed:
		return 1, skipBytes(b, at)
	case update.Format:
		return 1, skipBytes(b, skipBytes(b, at))
	case update.JSON:
		units, n := uvarint(b[at:])
		at += n
		for i := uint64(0); i < units; i++ {
			at = skipBytes(b, at)
		}
		return units, at
	case update.Any:
		units, n := uvarint(b[at:])
		return units, skipAny(b, at+n, units)
	case update.Doc:
		return 1, skipAny(b, skipBytes(b, at), 1)
	default: // update.Type
		ref, n := uvarint(b[at:])
		at += n
		if ref == typeXMLElement || ref == typeXMLHook {
			at = skipBytes(b, at)
		}
		return 1, at
	}
}

// The type references that are followed by a name (yjs YXmlElement, YXmlHook).
const (
	typeXMLElement = 3
	typeXMLHook    = 5
)

// skipAny returns the offset behind the next count any values.
func skipAny(b []byte, at int, count uint64) int {
	r := lib0.NewReader(b[at:])
	for ; count > 0; count-- {
		if r.SkipAny(lib0.MaxDepth) != nil {
			panic("ydoc: stored any value does not read")
		}
	}
	return at + r.Pos()
}

// rightOrigin returns the right origin of an item that has one.
func rightOrigin(item []byte) update.ID {
	at := 1
	if item[0]&update.HasOrigin != 0 {
		_, at = readID(item, at)
	}
	id, _ := readID(item, at)
	return id
}

// uvarint reads a number that is known to be well formed.
func uvarint(b []byte) (n uint64, size int) {
	if c := b[0]; c < 0x80 {
		return uint64(c), 1
	}
	for i, c := range b {
		n |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return n, i + 1
		}
	}
	return n, len(b)
}

// putUvarint writes n over the first bytes of b.
func putUvarint(b []byte, n uint64) {
	i := 0
	for ; n >= 0x80; i++ {
		b[i] = byte(n) | 0x80
		n >>= 7
	}
	b[i] = byte(n)
}
