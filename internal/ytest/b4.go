package ytest

import (
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/yserverd/yserverd/protocol/lib0"
)

// B4 returns the updates of the B4 editing trace (fixtures/data), one for each keystroke, as one client makes them that
// types into the root text "text" and knows the visible characters around its cursor. They are made once for a process and
// are shared: nobody may modify them.
func B4(tb testing.TB) [][]byte {
	tb.Helper()
	updates, err := b4()
	if err != nil {
		tb.Fatalf("read the B4 trace: %v", err)
	}
	return updates
}

var b4 = sync.OnceValues(func() ([][]byte, error) {
	f, err := os.Open(filepath.Join(Root(), "fixtures/data/b4-trace.json.gz"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	var edits [][]any // position, deleted characters, inserted text
	if err := json.NewDecoder(z).Decode(&edits); err != nil {
		return nil, err
	}
	var w typist
	updates := make([][]byte, len(edits))
	for i, e := range edits {
		pos, n := int(e[0].(float64)), int(e[1].(float64))
		if n > 0 {
			updates[i] = w.remove(pos)
		} else {
			updates[i] = w.insert(pos, e[2].(string))
		}
	}
	return updates, nil
})

// typist makes updates of one client that types one character at a time.
type typist struct {
	left, right []uint64 // clocks of visible characters; those right of the cursor in reverse
	next        uint64
}

const typistID = 1000

func (w *typist) moveTo(pos int) {
	for len(w.left) > pos {
		w.right = append(w.right, w.left[len(w.left)-1])
		w.left = w.left[:len(w.left)-1]
	}
	for len(w.left) < pos {
		w.left = append(w.left, w.right[len(w.right)-1])
		w.right = w.right[:len(w.right)-1]
	}
}

func (w *typist) insert(pos int, char string) []byte {
	w.moveTo(pos)
	u := lib0.AppendVarUint(lib0.AppendVarUint([]byte{1, 1}, typistID), w.next)
	info, at := byte(4), len(u)
	u = append(u, 0)
	if len(w.left) > 0 {
		info |= 0x80
		u = lib0.AppendVarUint(lib0.AppendVarUint(u, typistID), w.left[len(w.left)-1])
	}
	if len(w.right) > 0 {
		info |= 0x40
		u = lib0.AppendVarUint(lib0.AppendVarUint(u, typistID), w.right[len(w.right)-1])
	}
	if info == 4 {
		u = lib0.AppendVarString(append(u, 1), "text")
	}
	u[at] = info
	w.left = append(w.left, w.next)
	w.next++
	return append(lib0.AppendVarString(u, char), 0)
}

func (w *typist) remove(pos int) []byte {
	w.moveTo(pos + 1)
	clock := w.left[pos]
	w.left = w.left[:pos]
	return append(lib0.AppendVarUint(append(lib0.AppendVarUint([]byte{0, 1}, typistID), 1), clock), 1)
}
