package materialise

import (
	"cmp"
	"slices"

	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
)

// encode returns the update of what was made and deleted, nil when that is nothing.
func (t *Tx) encode() []byte {
	if len(t.made) == 0 && len(t.deletes) == 0 {
		return nil
	}
	u := []byte{0}
	if len(t.made) > 0 {
		slices.SortFunc(t.made, func(a, b *item) int { return cmp.Compare(a.id.Clock, b.id.Clock) })
		u = []byte{1}
		for _, n := range []uint64{uint64(len(t.made)), t.client, t.first} {
			u = lib0.AppendVarUint(u, n)
		}
		for _, it := range t.made {
			u = appendItem(u, it)
		}
	}
	return appendDeletes(u, t.deletes)
}

// appendItem appends an item as a struct.
func appendItem(u []byte, it *item) []byte {
	info := byte(it.kind)
	if it.has(hasOrigin) {
		info |= update.HasOrigin
	}
	if it.has(hasRight) {
		info |= update.HasRightOrigin
	}
	if it.has(hasKey) {
		info |= update.HasParentSub
	}
	u = append(u, info)
	if it.has(hasOrigin) {
		u = appendID(u, it.origin)
	}
	if it.has(hasRight) {
		u = appendID(u, it.right0)
	}
	if !it.has(hasOrigin | hasRight) {
		if holder := it.parent.item; holder != nil {
			u = appendID(append(u, 0), holder.id)
		} else {
			u = lib0.AppendVarString(append(u, 1), it.parent.name)
		}
		if it.has(hasKey) {
			u = lib0.AppendVarString(u, it.key)
		}
	}
	switch it.kind {
	case update.String, update.Embed, update.Binary:
		return lib0.AppendVarBytes(u, it.body)
	case update.Any, update.JSON:
		return append(lib0.AppendVarUint(u, it.n), it.body...)
	default:
		return append(u, it.body...)
	}
}

func appendID(u []byte, id update.ID) []byte {
	return lib0.AppendVarUint(lib0.AppendVarUint(u, id.Client), id.Clock)
}

// appendDeletes appends a delete set, clients in descending order.
func appendDeletes(u []byte, spans []span) []byte {
	slices.SortFunc(spans, func(a, b span) int {
		return cmp.Or(cmp.Compare(b.client, a.client), cmp.Compare(a.from, b.from))
	})
	var joined []span
	for _, s := range spans {
		if n := len(joined); n > 0 && joined[n-1].client == s.client && joined[n-1].to >= s.from {
			joined[n-1].to = max(joined[n-1].to, s.to)
			continue
		}
		joined = append(joined, s)
	}
	var clients uint64
	var body []byte
	for len(joined) > 0 {
		n := slices.IndexFunc(joined, func(s span) bool { return s.client != joined[0].client })
		if n < 0 {
			n = len(joined)
		}
		clients++
		body = lib0.AppendVarUint(lib0.AppendVarUint(body, joined[0].client), uint64(n))
		for _, s := range joined[:n] {
			body = lib0.AppendVarUint(lib0.AppendVarUint(body, s.from), s.to-s.from)
		}
		joined = joined[n:]
	}
	return append(lib0.AppendVarUint(u, clients), body...)
}
