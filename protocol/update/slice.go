package update

import "github.com/yserverd/yserverd/protocol/lib0"

// replacement is U+FFFD in UTF-8: what is left of a surrogate pair on either side when a text is cut through it.
const replacement = "\xef\xbf\xbd"

// AppendSlice appends the units [from, to) of s as a struct of their own, counted from the start of s, and returns the
// extended buffer (Item.write with an offset, splitItem and sliceStruct in Yjs). A slice that does not begin at the start
// has the unit before it as its origin, and therefore no parent. A surrogate pair that is cut leaves U+FFFD on both sides.
// The whole struct is copied byte for byte. S must come from a [Decoder]; an empty or impossible range, or one within a
// struct that has one unit, appends nothing.
func AppendSlice(dst []byte, s *Struct, from, to uint64) []byte {
	if from >= to || to > s.Len {
		return dst
	}
	if from == 0 && to == s.Len {
		return append(dst, s.Raw...)
	}
	return appendBody(appendHead(dst, s, from), s, from, to)
}

// appendBody appends units [from, to) of the content of a struct that can be cut.
func appendBody(dst []byte, s *Struct, from, to uint64) []byte {
	switch s.Kind {
	case String:
		return appendText(dst, s, from, to)
	case JSON, Any:
		dst = lib0.AppendVarUint(dst, to-from)
		return append(dst, values(s, from, to)...)
	default: // GC, Skip and Deleted: the others have one unit
		return lib0.AppendVarUint(dst, to-from)
	}
}

// appendHead appends what comes before the content of the slice of s that begins at from.
func appendHead(dst []byte, s *Struct, from uint64) []byte {
	if from == 0 || !s.IsItem() {
		return append(dst, s.Raw[:len(s.Raw)-len(s.Content)]...)
	}
	dst = append(dst, s.Info|HasOrigin)
	dst = appendID(dst, ID{s.Client, s.Clock + from - 1})
	if s.Info&HasRightOrigin != 0 {
		dst = appendID(dst, s.RightOrigin)
	}
	return dst
}

func appendID(dst []byte, id ID) []byte {
	return lib0.AppendVarUint(lib0.AppendVarUint(dst, id.Client), id.Clock)
}

// appendText appends units [from, to) of a text as a string.
func appendText(dst []byte, s *Struct, from, to uint64) []byte {
	text, before, after := cutText(s, from, to)
	size := len(text)
	if before {
		size += len(replacement)
	}
	if after {
		size += len(replacement)
	}
	return appendReplaced(lib0.AppendVarUint(dst, uint64(size)), text, before, after)
}

// appendCut appends units [from, to) of a text without a length.
func appendCut(dst []byte, s *Struct, from, to uint64) []byte {
	text, before, after := cutText(s, from, to)
	return appendReplaced(dst, text, before, after)
}

func appendReplaced(dst, text []byte, before, after bool) []byte {
	if before {
		dst = append(dst, replacement...)
	}
	dst = append(dst, text...)
	if after {
		dst = append(dst, replacement...)
	}
	return dst
}

// cutText returns the bytes of units [from, to) of a text, borrowed, and whether half of a surrogate pair was lost at the
// cut before or after them.
func cutText(s *Struct, from, to uint64) (text []byte, before, after bool) {
	r := lib0.NewReader(s.Content)
	if _, err := r.VarUint(); err != nil {
		return nil, false, false
	}
	text = s.Content[r.Pos():]
	switch {
	case from == 0 && to == s.Len:
		return text, false, false
	case uint64(len(text)) == s.Len: // ASCII: as many bytes as units
		return text[from:to], false, false
	}
	start, before := lib0.UTF16Offset(text, from)
	if before {
		start += 4 // past the pair, of which the second unit becomes the replacement
		from++
	}
	if from == to {
		return nil, before, false
	}
	end, after := lib0.UTF16Offset(text[start:], to-from)
	return text[start : start+end], before, after
}

// values returns the encoded values [from, to) of a struct of kind Any or JSON, borrowed.
func values(s *Struct, from, to uint64) []byte {
	r := lib0.NewReader(s.Content)
	if _, err := r.VarUint(); err != nil {
		return nil
	}
	if from == 0 && to == s.Len {
		return s.Content[r.Pos():]
	}
	skip := func(n uint64) {
		for ; n > 0 && r.Len() > 0; n-- {
			if s.Kind == JSON {
				_, _ = r.VarBytes()
			} else {
				_ = r.SkipAny(lib0.MaxDepth)
			}
		}
	}
	skip(from)
	start := r.Pos()
	skip(to - from)
	return r.From(start)
}
