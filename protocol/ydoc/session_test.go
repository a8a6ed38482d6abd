package ydoc_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/protocol/ydoc"
)

// script is bytes that decide what happens. It ends in zeros.
type script struct{ b []byte }

func (s *script) next(n int) int {
	if len(s.b) == 0 || n <= 0 {
		return 0
	}
	c := s.b[0]
	s.b = s.b[1:]
	return int(c) % n
}

// list is what one parent has under one key, or as a list: its units in the order in which they were made.
type list struct {
	at    at
	units []update.ID
	taken map[[2]update.ID]bool // for a map: which client has an entry behind which unit
}

// session makes the updates of a few clients that know each other's units. Which come where in a list is nobody's business
// here, so origins are any units of the same list, as clients make them that have seen little of each other.
type session struct {
	script
	clients []uint64
	next    map[uint64]uint64
	lists   []*list
	updates [][]byte
}

func newSession(b []byte) *session {
	return &session{
		script:  script{b},
		clients: []uint64{3, 1 << 20, 1 << 40, lib0.MaxInteger},
		next:    map[uint64]uint64{},
		lists:   []*list{{at: at{root: "t"}}, {at: at{root: "m", key: "k"}}, {at: at{root: "m", key: "l"}}, {at: at{root: "a"}}},
	}
}

// run makes up to n updates, fewer when the script ends.
func (s *session) run(n int) {
	for len(s.updates) < n && (len(s.b) > 0 || len(s.updates) == 0) {
		client := s.clients[s.script.next(len(s.clients))]
		start := s.next[client]
		var structs [][]byte
		var dels []del
		for range 1 + s.script.next(3) {
			if s.script.next(4) == 3 {
				if d, ok := s.deletes(); ok {
					dels = append(dels, d)
				}
				continue
			}
			b, d := s.item(client)
			structs = append(structs, b)
			dels = append(dels, d...)
		}
		var sections []section
		if len(structs) > 0 {
			sections = []section{sec(client, start, structs...)}
		}
		s.updates = append(s.updates, build(sections, dels...))
	}
}

// deletes picks a range of a client's clocks.
func (s *session) deletes() (del, bool) {
	client := s.clients[s.script.next(len(s.clients))]
	end := s.next[client]
	if end == 0 {
		return del{}, false
	}
	from := uint64(s.script.next(256)) % end
	return del{client, from, min(uint64(1+s.script.next(3)), end-from)}, true
}

// item makes an item, and what it deletes.
func (s *session) item(client uint64) ([]byte, []del) {
	l := s.lists[s.script.next(len(s.lists))]
	var dels []del
	p := l.at
	if l.at.key != "" {
		if p.left = s.entry(l, client); p.left != nil && s.script.next(2) == 0 {
			dels = append(dels, del{p.left.Client, p.left.Clock, 1})
		}
	} else if n := len(l.units); n > 0 {
		if i := s.script.next(n + 1); i < n {
			p.left = &l.units[n-1-i]
		}
		if i := s.script.next(n + n); i < n {
			p.right = &l.units[i]
		}
	}
	if p.left != nil || p.right != nil {
		p = at{left: p.left, right: p.right, keyed: l.at.key != "" && s.script.next(2) == 0}
	}
	b, units := s.content(p, l.at.key != "", update.ID{Client: client, Clock: s.next[client]})
	for range units {
		l.units = append(l.units, update.ID{Client: client, Clock: s.next[client]})
		s.next[client]++
	}
	return b, dels
}

// entry picks the entry of a map that a new one follows: the last one, or an older one if its client had not seen that. A
// client never puts two behind the same, for it has seen its own.
func (s *session) entry(l *list, client uint64) *update.ID {
	if l.taken == nil {
		l.taken = make(map[[2]update.ID]bool)
	}
	if i := len(l.units) - 1 - s.script.next(min(len(l.units), 3)); i >= 0 {
		key := [2]update.ID{{Client: client}, l.units[i]}
		if !l.taken[key] {
			l.taken[key] = true
			return &l.units[i]
		}
	} else if key := [2]update.ID{{Client: client}, {Client: 1}}; !l.taken[key] {
		l.taken[key] = true
		return nil
	}
	last := &l.units[len(l.units)-1]
	for i := range l.units {
		if l.units[i].Client == client {
			last = &l.units[i]
		}
	}
	l.taken[[2]update.ID{{Client: client}, *last}] = true
	return last
}

func (s *session) content(p at, entry bool, id update.ID) ([]byte, int) {
	texts := []string{"a", "bc", "\U0001f600", "x\U0001f600y", "\u00e9"}
	switch kind := s.script.next(8); {
	case kind == 0:
		s.lists = append(s.lists, &list{at: at{parent: &id}}, &list{at: at{parent: &id, key: "k"}})
		return ymap(p), 1
	case kind == 1 && !entry:
		return deleted(p, 2), 2
	case kind == 2 && !entry:
		return item(update.JSON, p, lib0.AppendVarString(lib0.AppendVarString([]byte{2}, "1"), "undefined")...), 2
	case kind < 5 && !entry:
		t := texts[s.script.next(len(texts))]
		return text(p, t), int(lib0.UTF16Len([]byte(t)))
	case kind == 5 && !entry:
		return anys(p, 1, 2, 3), 3
	default:
		return anys(p, uint64(s.script.next(256))), 1
	}
}

// deliver brings the session's updates to a document in the manner that the script says, and compares it with one that got
// them in order. Beside it there are a peer that gets what was relayed and a document made from the log.
func deliver(t *testing.T, s *session) {
	want := ydoc.New(ydoc.Config{})
	for _, u := range s.updates {
		_, err := want.Apply(u)
		require.NoError(t, err)
	}
	require.NoError(t, want.Check())

	d, peer, log := ydoc.New(ydoc.Config{}), ydoc.New(ydoc.Config{}), ydoc.New(ydoc.Config{})
	give := func(u []byte) {
		a, err := d.Apply(u)
		require.NoError(t, err)
		if a.New != nil {
			_, err = peer.Apply(a.New)
			require.NoError(t, err)
			require.Nil(t, peer.Pending(), "what is relayed opens no gap")
			require.Equal(t, d.StateVector(), peer.StateVector())
		}
		if a.Log != nil {
			_, err = log.Apply(a.Log)
			require.NoError(t, err)
		}
		require.Equal(t, d.Pending(), log.Pending())
	}
	var frozen *ydoc.Frozen
	adopt := func() {
		c, err := frozen.Compact()
		require.NoError(t, err)

		require.NoError(t, frozen.Check(c.Update()))
		require.True(t, d.Adopt(c))
		frozen = nil
	}
	whole := true // no update was cut, perhaps through a surrogate pair: then not only ids but bytes must be the same
	rest := append([][]byte(nil), s.updates...)
	for step := 0; len(rest) > 0 && len(s.b) > 0 && step < 400; step++ {
		i := s.script.next(min(len(rest), 6))
		switch s.script.next(12) {
		case 0:
			give(s.updates[s.script.next(len(s.updates))])
		case 1:
			u, err := update.Merge(nil, rest[i], s.updates[s.script.next(len(s.updates))])
			require.NoError(t, err)
			give(u)
		case 2, 3:
			if frozen != nil {
				adopt()
			} else {
				frozen = d.Freeze()
			}
		case 4:
			again := ydoc.New(ydoc.Config{})
			_, err := again.Apply(d.Full())
			require.NoError(t, err)
			require.True(t, ydoc.Equal(d, again))
			d, frozen = again, nil
		case 5:
			// A part of the whole, cut somewhere within.
			cut := update.ID{Client: s.clients[s.script.next(len(s.clients))], Clock: uint64(s.script.next(64))}
			u, err := want.AppendDiff(nil, update.AppendStateVector(nil, []update.ID{cut}))
			require.NoError(t, err)
			if s.script.next(4) == 0 {
				give(u)
				whole = false
			}
		case 6:
			u, err := peer.AppendDiff(nil, d.StateVector())
			require.NoError(t, err)
			give(u)
		default:
			give(rest[i])
			rest = append(rest[:i:i], rest[i+1:]...)
		}
	}
	for i := len(rest) - 1; i >= 0; i-- {
		give(rest[i])
	}
	if frozen != nil {
		adopt()
	}
	require.NoError(t, d.Check())
	for name, other := range map[string]*ydoc.Doc{"document": d, "peer": peer, "log": log} {
		require.True(t, ydoc.Equal(want, other), "%s:\n%s\n\nwant:\n%s", name, joined(t, other.Full()), joined(t, want.Full()))
	}
	if whole {
		require.Equal(t, compact(t, want), compact(t, d))
	}
}

// TestSessions delivers random sessions in random manners.
func TestSessions(t *testing.T) {
	r := seeded(t)
	n := 300
	if testing.Short() {
		n = 30
	}
	for range n {
		b := make([]byte, 200+r.IntN(2000))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		s := newSession(b)
		s.run(1 + r.IntN(60))
		deliver(t, s)
	}
}
