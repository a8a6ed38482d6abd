package yserver

// indexFrom is the number of members from which a room keeps an index: fewer are
// looked through faster than an index is kept.
const indexFrom = 16

// memberIndex finds the members of a room by their connection id. A client that
// reconnects brings the id of a connection that may still be there: both are
// members, and the newest is the one that the id names.
type memberIndex struct {
	newest map[string]*member // nil while the members are few
	order  uint64             // of the last member
}

// add enters a member that is already among all.
func (x *memberIndex) add(m *member, all []*member) {
	x.order++
	m.order = x.order
	switch {
	case x.newest != nil:
		x.enter(m)
	case len(all) > indexFrom:
		x.newest = make(map[string]*member, 2*len(all))
		for _, m := range inOrder(all) {
			x.enter(m)
		}
	}
}

func (x *memberIndex) enter(m *member) {
	m.older = x.newest[m.conn.id]
	x.newest[m.conn.id] = m
}

// remove takes a member out that is no longer among rest.
func (x *memberIndex) remove(m *member, rest []*member) {
	if x.newest == nil {
		return
	}
	if len(rest) < indexFrom/2 {
		x.newest = nil
		for _, other := range rest {
			other.older = nil
		}
		m.older = nil
		return
	}
	id := m.conn.id
	switch newer := x.newest[id]; {
	case newer == m && m.older == nil:
		delete(x.newest, id)
	case newer == m:
		x.newest[id] = m.older
	default:
		for newer.older != m {
			newer = newer.older
		}
		newer.older = m.older
	}
	m.older = nil
}

// find returns the newest member with a connection id, nil if there is none.
func (x *memberIndex) find(id string, all []*member) *member {
	if x.newest != nil {
		return x.newest[id]
	}
	var found *member
	for _, m := range all {
		if m.conn.id == id && (found == nil || m.order > found.order) {
			found = m
		}
	}
	return found
}
