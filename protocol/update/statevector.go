package update

import "github.com/yserverd/yserverd/protocol/lib0"

// ParseStateVector appends the entries of an encoded state vector to dst, in the order of the wire: for each client the
// first clock that is missing. A client may occur more than once, and then the last entry counts, as in Yjs
// (readStateVector). Bytes after the end are tolerated. More than lim.Clients entries are an [ErrLimit], other faults
// [ErrMalformed]; dst is then returned as it was. It allocates when dst has no room, never more than 16 bytes for each
// byte read.
func ParseStateVector(dst []ID, sv []byte, lim Limits) ([]ID, error) {
	lim = lim.withDefaults()
	r := lib0.NewReader(sv)
	n, err := r.VarUint()
	if err != nil {
		return dst, wrap(err, 0)
	}
	if n > uint64(r.Len())/2 {
		return dst, fault(FaultEnd, 0)
	}
	if n > uint64(lim.Clients) {
		return dst, fault(LimitClients, 0)
	}
	out := growIDs(dst, int(n))
	for range n {
		client, err := r.VarUint()
		if err != nil {
			return dst, wrap(err, 0)
		}
		clock, err := r.VarUint()
		if err != nil {
			return dst, wrap(err, 0)
		}
		out = append(out, ID{client, clock})
	}
	return out, nil
}

// growIDs makes room for exactly n more entries.
func growIDs(ids []ID, n int) []ID {
	if cap(ids)-len(ids) >= n {
		return ids
	}
	return append(make([]ID, 0, len(ids)+n), ids...)
}

// AppendStateVector appends an encoded state vector of the entries, in the order given; Yjs writes descending clients.
func AppendStateVector(dst []byte, entries []ID) []byte {
	dst = lib0.AppendVarUint(dst, uint64(len(entries)))
	for _, id := range entries {
		dst = appendID(dst, id)
	}
	return dst
}
