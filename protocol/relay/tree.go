package relay

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math"
)

// seed makes it impossible to choose keys that meet in one place of a table.
var seed = maphash.MakeSeed()

// absent is the position of a value that does not exist.
const absent = math.MaxUint32

// few members of an object are found faster by looking at each than in a table.
const few = 8

// member is a member of any object in a text, all numbers but next being positions in it.
type member struct {
	object      uint32 // the opening brace of the object that it belongs to
	key, keyEnd uint32 // with the quotes
	value, end  uint32
	next        uint32 // index of the first member behind this one that is not inside it
	few         bool   // the object has so few members that they are not in the table
	dead        bool   // the object has this key again, behind
	used        bool   // mark of whoever reads the tree
}

// part is a value in a tree, and the index of the first member that is in it or behind it.
type part struct {
	value, end uint32
	first      int
}

// tree is a text that was checked with the places of all members of all objects in it, in the order of the text. It is
// made in one walk, so that nothing is read again for each level that it lies under.
type tree struct {
	text    []byte
	members []member
	table   []uint32 // one more than the index of a member, by object and decoded key; its length is a power of two
	root    part
	loose   bool // there is white space or a dead member somewhere

	nameBuf, otherBuf []byte
}

func newTree(text []byte) *tree {
	t := &tree{text: text}
	if n := countMembers(text); n > 0 {
		t.members = make([]member, 0, n)
	}
	start := t.space(0)
	end := t.walk(start)
	t.space(end)
	t.root = part{uint32(start), uint32(end), 0}
	t.fillTable()
	return t
}

// fillTable makes the table, of objects with more than a few members.
func (t *tree) fillTable() {
	n := 0
	for i := range t.members {
		if !t.members[i].few {
			n++
		}
	}
	if n == 0 {
		return
	}
	size := 2
	for size/4*3 < n {
		size *= 2
	}
	t.table = make([]uint32, size)
	for i := range t.members {
		if t.members[i].few {
			continue
		}
		slot := t.slot(t.members[i].object, t.name(i))
		if before := t.table[slot]; before != 0 {
			t.bury(int(before) - 1)
		}
		t.table[slot] = uint32(i + 1)
	}
}

// bury marks a member whose key comes again.
func (t *tree) bury(i int) {
	t.members[i].dead = true
	t.loose = true
}

// countMembers counts the colons outside of strings.
func countMembers(text []byte) (n int) {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i = skipString(text, i) - 1
		case ':':
			n++
		}
	}
	return n
}

func (t *tree) space(i int) int {
	j := skipSpace(t.text, i)
	t.loose = t.loose || j > i
	return j
}

// walk notes the members of the value at i and returns the position behind it. It goes as deep as the text, which was
// checked for that.
func (t *tree) walk(i int) int {
	switch t.text[i] {
	case '{':
		return t.walkObject(i)
	case '[':
		i = t.space(i + 1)
		for t.text[i] != ']' {
			i = t.comma(t.walk(i))
		}
		return i + 1
	case '"':
		return skipString(t.text, i)
	default:
		return skipScalar(t.text, i)
	}
}

func (t *tree) walkObject(object int) int {
	first, count := len(t.members), 0
	i := t.space(object + 1)
	for ; t.text[i] != '}'; count++ {
		n := len(t.members)
		keyEnd := skipString(t.text, i)
		value := t.space(t.space(keyEnd) + 1)
		t.members = append(t.members, member{object: uint32(object), key: uint32(i), keyEnd: uint32(keyEnd), value: uint32(value)})
		i = t.walk(value)
		m := &t.members[n]
		m.end, m.next = uint32(i), uint32(len(t.members))
		i = t.comma(i)
	}
	if count <= few {
		t.compareFew(uint32(object), first)
	}
	return i + 1
}

// compareFew finds out which members of an object with few of them are dead.
func (t *tree) compareFew(object uint32, first int) {
	for i := first; t.in(object, i); i = int(t.members[i].next) {
		t.members[i].few = true
		name := t.name(i)
		for j := first; j < i; j = int(t.members[j].next) {
			if t.hasName(j, name) {
				t.bury(j)
			}
		}
	}
}

// comma returns where the next element or the closing bracket is, i being behind an element.
func (t *tree) comma(i int) int {
	if i = t.space(i); t.text[i] == ',' {
		i = t.space(i + 1)
	}
	return i
}

// isObject reports whether the value at a position is one.
func (t *tree) isObject(value uint32) bool { return value != absent && t.text[value] == '{' }

// isNull reports whether the value at a position is null.
func (t *tree) isNull(value uint32) bool { return t.text[value] == 'n' }

// in reports whether the member with the index, which need not exist, belongs to the object at a position.
func (t *tree) in(object uint32, i int) bool {
	return i < len(t.members) && t.members[i].object == object
}

// part returns the value of a member.
func (t *tree) part(i int) part { return part{t.members[i].value, t.members[i].end, i + 1} }

// key returns the text of a key, with its quotes.
func (t *tree) key(i int) []byte { return t.text[t.members[i].key:t.members[i].keyEnd] }

// name returns the decoded key of a member, until the next call.
func (t *tree) name(i int) []byte { return decodeKey(&t.nameBuf, t.key(i)) }

func decodeKey(buf *[]byte, key []byte) []byte {
	inside := key[1 : len(key)-1]
	if bytes.IndexByte(inside, '\\') < 0 {
		return inside
	}
	*buf = unquote((*buf)[:0], inside)
	return *buf
}

// hasName reports whether a member has a decoded key.
func (t *tree) hasName(i int, name []byte) bool {
	return bytes.Equal(decodeKey(&t.otherBuf, t.key(i)), name)
}

// find returns the index of the live member that has a decoded key in the object at p.
func (t *tree) find(p part, name []byte) (int, bool) {
	if !t.in(p.value, p.first) {
		return 0, false
	}
	if t.members[p.first].few {
		for i := p.first; t.in(p.value, i); i = int(t.members[i].next) {
			if !t.members[i].dead && t.hasName(i, name) {
				return i, true
			}
		}
		return 0, false
	}
	n := t.table[t.slot(p.value, name)]
	return int(n) - 1, n != 0
}

// slot returns the place in the table where the member is, or would be.
func (t *tree) slot(object uint32, name []byte) int {
	var h maphash.Hash
	h.SetSeed(seed)
	var place [4]byte
	binary.LittleEndian.PutUint32(place[:], object)
	_, _ = h.Write(place[:])
	_, _ = h.Write(name)
	mask := len(t.table) - 1
	for slot := int(h.Sum64()) & mask; ; slot = (slot + 1) & mask {
		n := t.table[slot]
		if n == 0 {
			return slot
		}
		i := int(n) - 1
		if t.members[i].object == object && t.hasName(i, name) {
			return slot
		}
	}
}
