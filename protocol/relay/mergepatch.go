package relay

import (
	"fmt"
	"slices"
)

// MergePatch appends what an RFC 7386 merge patch makes of a target; both are JSON text, an empty target is a value that
// does not exist yet. The result is compact JSON: there is no white space in it, and of duplicate keys only the last member.
// Keys, strings and numbers keep their text. What is in the target keeps its place and the text of its key, the new comes
// behind it in the order of the patch.
//
// An error is of kind [ErrTooLarge] when the result has more than most bytes, [ErrBadJSON] when a text is no JSON, and
// [ErrBadFrame] when one is nested more deeply than nesting (zero means 512); dst is returned as it was then. The texts
// must not overlap with what is behind dst.
func MergePatch(dst, target, patch []byte, most, nesting int) ([]byte, error) {
	nesting = nestingOr512(nesting)
	if err := check(patch, nesting, ErrBadJSON); err != nil {
		return dst, fmt.Errorf("merge patch: %w", err)
	}
	if len(target) == 0 {
		target = []byte("null") // to a patch they are the same
	}
	if err := check(target, nesting, ErrBadJSON); err != nil {
		return dst, fmt.Errorf("merge patch into: %w", err)
	}
	if uint64(max(len(target), len(patch))) >= absent {
		return dst, fmt.Errorf("merge patch: %w: its texts pass 4 GiB", ErrTooLarge)
	}
	// A result never has more bytes than both texts together.
	m := merger{
		target: newTree(target), patch: newTree(patch),
		out: slices.Grow(dst, max(0, min(most, len(target)+len(patch)))), base: len(dst), most: most,
	}
	m.merge(m.target.root.value, 0, m.patch.root)
	if m.over {
		return dst, fmt.Errorf("merge patch: %w: over %d bytes", ErrTooLarge, most)
	}
	return m.out, nil
}

// merger is one merge patch under way. It goes as deep as the texts, which were checked for that.
type merger struct {
	target, patch *tree
	out           []byte
	base, most    int  // of out, what was there before, and how much may come behind it
	over          bool // it would have been more
}

// merge writes what the patch makes of the value at a position of the target, first being the index of its first member.
func (m *merger) merge(target uint32, first int, patch part) {
	if !m.patch.isObject(patch.value) {
		m.copy(m.patch, patch)
		return
	}
	m.putByte('{')
	start := len(m.out)
	if m.target.isObject(target) {
		m.mergeMembers(target, first, patch, start)
	}
	for i := patch.first; m.patch.in(patch.value, i) && !m.over; i = int(m.patch.members[i].next) {
		if p := &m.patch.members[i]; p.dead || p.used || m.patch.isNull(p.value) {
			continue
		}
		m.putKey(m.patch, i, start)
		m.merge(absent, 0, m.patch.part(i))
	}
	m.putByte('}')
}

// mergeMembers writes the members of an object of the target, but for those that the patch removes.
func (m *merger) mergeMembers(object uint32, first int, patch part, start int) {
	for i := first; m.target.in(object, i) && !m.over; i = int(m.target.members[i].next) {
		if m.target.members[i].dead {
			continue
		}
		j, ok := m.patch.find(patch, m.target.name(i))
		if !ok {
			m.putKey(m.target, i, start)
			m.copy(m.target, m.target.part(i))
			continue
		}
		m.patch.members[j].used = true
		if m.patch.isNull(m.patch.members[j].value) {
			continue
		}
		m.putKey(m.target, i, start)
		m.merge(m.target.members[i].value, i+1, m.patch.part(j))
	}
}

// putKey writes the key of a member with its colon, and a comma before it unless it is the first behind start.
func (m *merger) putKey(t *tree, i, start int) {
	if len(m.out) > start {
		m.putByte(',')
	}
	m.put(t.key(i))
	m.putByte(':')
}

// copy writes a value as it is, without white space and dead members.
func (m *merger) copy(t *tree, p part) {
	from, i, n := int(p.value), int(p.value), p.first
	for end := int(p.end); t.loose && i < end && !m.over; {
		c := t.text[i]
		switch {
		case c == '"' && n < len(t.members) && int(t.members[n].key) == i && t.members[n].dead:
			m.put(t.text[from:i])
			i = skipSpace(t.text, int(t.members[n].end)) + 1 // the key comes again, so there is a comma
			n = int(t.members[n].next)
			from = i
		case c == '"':
			if n < len(t.members) && int(t.members[n].key) == i {
				n++
			}
			i = skipString(t.text, i)
		case isSpace(c):
			m.put(t.text[from:i])
			i = skipSpace(t.text, i)
			from = i
		default:
			i++
		}
	}
	m.put(t.text[from:p.end])
}

func (m *merger) putByte(c byte) {
	if m.fits(1) {
		m.out = append(m.out, c)
	}
}

func (m *merger) put(b []byte) {
	if m.fits(len(b)) {
		m.out = append(m.out, b...)
	}
}

// fits reports whether n more bytes may be written. Once some may not, none may.
func (m *merger) fits(n int) bool {
	m.over = m.over || n > m.most-(len(m.out)-m.base)
	return !m.over
}
