package difftest_test

import (
	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
)

// canonical reports whether an update is one that may be relayed as it is.
func canonical(u []byte) (bool, error) {
	var d update.Decoder
	d.Reset(u, update.Limits{})
	for {
		_, _, _, ok, err := d.NextDelete()
		if !ok || err != nil {
			return d.Canonical(), err
		}
	}
}

// split cuts an update in two at a state vector: the units below it, and the others with all deletes.
func split(u, sv []byte) (below, above []byte, err error) {
	at, err := vector(sv)
	if err != nil {
		return nil, nil, err
	}
	var low, high sections
	var d update.Decoder
	var st update.Struct
	d.Reset(u, update.Limits{})
	for {
		ok, err := d.Next(&st)
		if err != nil {
			return nil, nil, err
		}
		if !ok {
			break
		}
		if st.Kind == update.Skip {
			continue
		}
		cut := min(max(at[st.Client], st.Clock)-st.Clock, st.Len)
		low.add(&st, 0, cut)
		high.add(&st, cut, st.Len)
	}
	deletes := []byte{}
	n := uint64(0)
	for {
		client, clock, length, ok, err := d.NextDelete()
		if err != nil {
			return nil, nil, err
		}
		if !ok {
			break
		}
		n++
		for _, v := range []uint64{client, 1, clock, length} {
			deletes = lib0.AppendVarUint(deletes, v)
		}
	}
	below = append(low.encode(), 0)
	above = append(lib0.AppendVarUint(high.encode(), n), deletes...)
	return below, above, nil
}

// sections gathers slices of structs into the sections of an update.
type sections struct {
	done   []byte
	count  uint64
	client uint64
	first  uint64
	next   uint64
	n      uint64
	body   []byte
}

func (s *sections) add(st *update.Struct, from, to uint64) {
	if from == to {
		return
	}
	if s.n > 0 && s.client != st.Client {
		s.flush()
	}
	if s.n == 0 {
		s.client, s.first, s.next = st.Client, st.Clock+from, st.Clock+from
	}
	if gap := st.Clock + from - s.next; gap > 0 {
		s.body = lib0.AppendVarUint(append(s.body, byte(update.Skip)), gap)
		s.n++
	}
	s.body = update.AppendSlice(s.body, st, from, to)
	s.next = st.Clock + to
	s.n++
}

func (s *sections) flush() {
	if s.n == 0 {
		return
	}
	for _, v := range []uint64{s.n, s.client, s.first} {
		s.done = lib0.AppendVarUint(s.done, v)
	}
	s.done = append(s.done, s.body...)
	s.body, s.n = s.body[:0], 0
	s.count++
}

func (s *sections) encode() []byte {
	s.flush()
	return append(lib0.AppendVarUint(nil, s.count), s.done...)
}
