package ydoc_test

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/lib0"
)

const b4Client = 1000

// b4 returns the updates that a yjs client with the id b4Client makes of the B4 trace, one for each edit, and the final
// text.
var b4 = sync.OnceValues(func() ([][]byte, string) {
	f, err := os.Open("../../fixtures/data/b4-trace.json.gz")
	if err != nil {
		panic(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		panic(err)
	}
	var edits [][]any
	if err := json.NewDecoder(z).Decode(&edits); err != nil {
		panic(err)
	}
	w := newWriter(b4Client)
	updates := make([][]byte, 0, len(edits))
	for _, e := range edits {
		pos, n := int(e[0].(float64)), int(e[1].(float64))
		if n > 0 {
			updates = append(updates, w.remove(pos))
			continue
		}
		updates = append(updates, w.insert(pos, e[2].(string)))
	}
	return updates, w.text()
})

// unit is a character of a writer's text, in the order of the list. Its id is its clock.
type unit struct {
	clock uint32
	char  byte
	gone  bool
}

// block is a piece of the list: short enough to insert into, long enough that there are few.
type block struct {
	units []unit
	live  int
}

const blockSize = 512

// writer is one client that types ASCII into the root text "text", one character at a time, and makes the updates that
// yjs makes of it.
type writer struct {
	client uint64
	next   uint32
	blocks []*block
	arena  []byte
}

func newWriter(client uint64) *writer {
	return &writer{client: client, blocks: []*block{{}}}
}

// find returns the place of the visible character at pos; past the last one the end of the list.
func (w *writer) find(pos int) (b, i int) {
	for b, bl := range w.blocks {
		if pos >= bl.live {
			pos -= bl.live
			continue
		}
		for i, u := range bl.units {
			if u.gone {
				continue
			}
			if pos == 0 {
				return b, i
			}
			pos--
		}
	}
	last := len(w.blocks) - 1
	return last, len(w.blocks[last].units)
}

// before returns the unit before a place, deleted or not.
func (w *writer) before(b, i int) *unit {
	if i > 0 {
		return &w.blocks[b].units[i-1]
	}
	for b--; b >= 0; b-- {
		if u := w.blocks[b].units; len(u) > 0 {
			return &u[len(u)-1]
		}
	}
	return nil
}

// insert types a character. Yjs goes past what is deleted (minimizeAttributeChanges), so the new one stands right before
// the next visible one.
func (w *writer) insert(pos int, char string) []byte {
	b, i := w.find(pos)
	left := w.before(b, i)
	right := i < len(w.blocks[b].units)
	start := len(w.arena)
	u := append(w.arena, 1, 1)
	u = lib0.AppendVarUint(u, w.client)
	u = lib0.AppendVarUint(u, uint64(w.next))
	info := byte(4)
	if left != nil {
		info |= 0x80
	}
	if right {
		info |= 0x40
	}
	u = append(u, info)
	if left != nil {
		u = lib0.AppendVarUint(lib0.AppendVarUint(u, w.client), uint64(left.clock))
	}
	if right {
		u = lib0.AppendVarUint(lib0.AppendVarUint(u, w.client), uint64(w.blocks[b].units[i].clock))
	}
	if left == nil && !right {
		u = lib0.AppendVarString(append(u, 1), "text")
	}
	u = append(lib0.AppendVarString(u, char), 0)
	w.arena = u
	w.put(b, i, unit{clock: w.next, char: char[0]})
	w.next++
	return u[start:len(u):len(u)]
}

func (w *writer) put(b, i int, u unit) {
	bl := w.blocks[b]
	bl.units = append(bl.units, unit{})
	copy(bl.units[i+1:], bl.units[i:])
	bl.units[i] = u
	bl.live++
	if len(bl.units) < blockSize {
		return
	}
	right := &block{units: append(make([]unit, 0, blockSize), bl.units[blockSize/2:]...)}
	bl.units = bl.units[:blockSize/2]
	for _, u := range right.units {
		if !u.gone {
			right.live++
		}
	}
	bl.live -= right.live
	w.blocks = append(w.blocks, nil)
	copy(w.blocks[b+2:], w.blocks[b+1:])
	w.blocks[b+1] = right
}

// remove deletes the visible character at pos.
func (w *writer) remove(pos int) []byte {
	b, i := w.find(pos)
	bl := w.blocks[b]
	bl.units[i].gone = true
	bl.live--
	start := len(w.arena)
	u := append(w.arena, 0, 1)
	u = lib0.AppendVarUint(u, w.client)
	u = append(u, 1)
	u = lib0.AppendVarUint(u, uint64(bl.units[i].clock))
	u = append(u, 1)
	w.arena = u
	return u[start:len(u):len(u)]
}

func (w *writer) text() string {
	var out []byte
	for _, b := range w.blocks {
		for _, u := range b.units {
			if !u.gone {
				out = append(out, u.char)
			}
		}
	}
	return string(out)
}

// The hash of the updates, each behind its length in four bytes, little endian, as yjs 13.6.33 makes them:
//
//	const doc = new Y.Doc(); doc.clientID = 1000; doc.on('update', u => { hash.update(uint32(u.length)); hash.update(u) })
//	const text = doc.getText('text')
//	for (const [at, n, s] of edits) doc.transact(() => { if (n > 0) text.delete(at, n); if (s) text.insert(at, s) })
const b4Hash = "3b048134357a450512c594a5b12dbeae9699aea3a7dd0e2801f94c65964192f2"

func TestB4UpdatesAreThoseOfYjs(t *testing.T) {
	updates, text := b4()
	require.Len(t, updates, 259778)
	require.Len(t, text, 104852)
	h := sha256.New()
	for _, u := range updates {
		var size [4]byte
		binary.LittleEndian.PutUint32(size[:], uint32(len(u)))
		h.Write(size[:])
		h.Write(u)
	}
	require.Equal(t, b4Hash, hex.EncodeToString(h.Sum(nil)))
}
