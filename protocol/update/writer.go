package update

import "github.com/yserverd/yserverd/protocol/lib0"

// writer appends the structs of one section after the other. Structs that a client would hold as one item are joined:
// those of equal kind that follow on each other, name each other as origin and have the same right origin. Their places in
// the list need not be next to each other, since whoever splits the item again gets the very parts.
type writer struct {
	dst []byte

	// The current section.
	start int // where the count of structs goes, in width bytes
	width int
	count uint64

	// The last struct, to which the next may be joined. All offsets are of dst.
	last      Struct // ID, Len, Kind, Info and right origin only
	list      bool   // it is known to be no value of a map
	lengthAt  int    // of the length or count within it, -1 if nothing can be joined to it
	sizeWidth int    // of that, in bytes
	size      uint64 // what it will be: bytes of a String, else units
	joined    bool   // something was joined: the length is to be written anew
}

// begin starts a section of at most bound structs.
func (w *writer) begin(client, clock, bound uint64) {
	w.start = len(w.dst)
	w.width = lib0.VarUintLen(bound)
	for range w.width {
		w.dst = append(w.dst, 0)
	}
	w.dst = lib0.AppendVarUint(w.dst, client)
	w.dst = lib0.AppendVarUint(w.dst, clock)
	w.count = 0
}

// end finishes the section.
func (w *writer) end() {
	w.flush()
	w.dst = putVarUint(w.dst, w.start, w.width, w.count)
}

// putVarUint writes n over the width bytes at offset at and moves what follows where n takes fewer or more.
func putVarUint(dst []byte, at, width int, n uint64) []byte {
	var buf [10]byte
	enc := lib0.AppendVarUint(buf[:0], n)
	if d := len(enc) - width; d != 0 {
		end := len(dst)
		if d > 0 {
			dst = append(dst, buf[:d]...)
		}
		copy(dst[at+len(enc):], dst[at+width:end])
		dst = dst[:end+d]
	}
	copy(dst[at:], enc)
	return dst
}

// skip appends a gap.
func (w *writer) skip(client, clock, length uint64) {
	w.flush()
	w.count++
	w.dst = lib0.AppendVarUint(append(w.dst, byte(Skip)), length)
	w.last = Struct{ID: ID{client, clock}, Len: length, Kind: Skip}
}

// put appends what follows the first from units of s.
func (w *writer) put(s *Struct, from uint64) {
	if w.count > 0 && w.joins(s, from) {
		w.join(s, from)
		return
	}
	w.flush()
	w.count++
	if from == 0 {
		w.dst = append(w.dst, s.Raw...)
		w.lengthAt = len(w.dst) - len(s.Content)
	} else {
		w.dst = appendHead(w.dst, s, from)
		w.lengthAt = len(w.dst)
		w.dst = appendBody(w.dst, s, from, s.Len)
	}
	w.last.ID = ID{s.Client, s.Clock + from}
	w.last.Len = s.Len - from
	w.last.Kind = s.Kind
	w.last.Info = s.Info
	w.last.RightOrigin = s.RightOrigin
	w.list = s.Info&HasParentSub == 0 && (s.Info&HasRightOrigin != 0 || s.Info&HasOrigin == 0)
}

// joins reports whether what follows the first from units of s continues the last struct.
func (w *writer) joins(s *Struct, from uint64) bool {
	l := &w.last
	if s.Kind != l.Kind || w.lengthAt < 0 || s.Clock+from != l.End() {
		return false
	}
	switch s.Kind {
	case GC:
		return true
	case Deleted, String:
	case Any, JSON:
		// A value of a map must not be joined with the one that replaced it: nobody could tell from the result that the
		// older one is deleted. Its flag is lost where Yjs merged updates without a document, so it proves nothing.
		if !w.list {
			return false
		}
	default:
		return false
	}
	const rest = HasRightOrigin | kindMask
	follows := from > 0 || s.Info&HasOrigin != 0 && s.Origin == ID{s.Client, s.Clock - 1}
	return follows && s.Info&rest == l.Info&rest && s.RightOrigin == l.RightOrigin &&
		(s.Kind == Deleted || (s.Info|l.Info)&HasParentSub == 0)
}

// join appends what follows the first from units of s to the last struct.
func (w *writer) join(s *Struct, from uint64) {
	if !w.joined {
		r := lib0.NewReader(w.dst[w.lengthAt:])
		w.size, _ = r.VarUint()
		w.sizeWidth = r.Pos()
		w.joined = true
	}
	length := s.Len - from
	w.last.Len += length
	switch s.Kind {
	case String:
		at := len(w.dst)
		w.dst = appendCut(w.dst, s, from, s.Len)
		w.size += uint64(len(w.dst) - at)
	case Any, JSON:
		w.dst = append(w.dst, values(s, from, s.Len)...)
		w.size += length
	default: // GC and Deleted
		w.size += length
	}
}

// flush gives the last struct its length.
func (w *writer) flush() {
	if w.joined {
		w.dst = putVarUint(w.dst, w.lengthAt, w.sizeWidth, w.size)
		w.joined = false
	}
	w.lengthAt = -1
}
