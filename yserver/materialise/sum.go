package materialise

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/yserverd/yserverd/protocol/update"
)

// sum returns a hash of what can be seen of a type: two types with the same are equal for every reader, the kind of a root
// aside. Nested types are hashed once.
func (r *replacer) sum(n *node, depth int) ([32]byte, error) {
	if s, ok := r.sums[n]; ok {
		return s, nil
	}
	if depth > r.to.lim.Depth {
		return [32]byte{}, &LimitError{"depth", int64(r.to.lim.Depth)}
	}
	h := summer{sha256.New()}
	h.number(uint64(n.kind))
	h.bytes([]byte(n.name))
	keys := n.keys()
	h.number(uint64(len(keys)))
	for _, key := range keys {
		it := n.value(key)
		h.bytes([]byte(key))
		if err := r.unit(h, piece{it, it.lastUnit(), noAttributes}, depth); err != nil {
			return [32]byte{}, err
		}
	}
	list, err := pieces(r.to, &r.tx.budget, n)
	if err != nil {
		return [32]byte{}, err
	}
	for len(list) > 0 {
		p, n := list[0], 1
		if p.it.kind == update.String {
			text := p.body[:len(p.body):len(p.body)]
			for ; n < len(list) && list[n].it.kind == update.String && list[n].attrs.equal(p.attrs); n++ {
				text = append(text, list[n].body...)
			}
			p.body = text
		}
		if err := r.unit(h, p, depth); err != nil {
			return [32]byte{}, err
		}
		list = list[n:]
	}
	s := [32]byte(h.Sum(nil))
	r.sums[n] = s
	return s, nil
}

// unit hashes one piece.
func (r *replacer) unit(h summer, p piece, depth int) error {
	h.number(uint64(p.it.kind))
	h.bytes([]byte(p.attrs.id))
	if p.it.kind != update.Type {
		h.bytes(p.body)
		return nil
	}
	s, err := r.sum(p.it.child, depth+1)
	h.bytes(s[:])
	return err
}

// summer is a hash of values that cannot run into each other.
type summer struct{ hash.Hash }

func (h summer) number(n uint64) { _, _ = h.Write(binary.LittleEndian.AppendUint64(nil, n)) }

func (h summer) bytes(b []byte) {
	h.number(uint64(len(b)))
	_, _ = h.Write(b)
}
