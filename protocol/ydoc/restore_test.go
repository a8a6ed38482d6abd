package ydoc_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/protocol/ydoc"
)

// twins are two documents that get the same, one by Apply and the other one by Restore.
type twins struct{ applied, restored *ydoc.Doc }

func newTwins() twins {
	return twins{ydoc.New(ydoc.Unlimited), ydoc.New(ydoc.Config{MaxBytes: 1, MaxPendingBytes: 1, MaxPending: 1, MaxClients: 1})}
}

// give gives both an update and compares them in everything that they show, after each has shown it before.
func (w twins) give(t *testing.T, u []byte) {
	t.Helper()
	_, err := w.applied.Apply(bytes.Clone(u))
	require.Equal(t, err, w.restored.Restore(u))
	w.compare(t)
}

func (w twins) compare(t *testing.T) {
	t.Helper()
	require.Equal(t, w.applied.StateVector(), w.restored.StateVector())
	require.Equal(t, w.applied.State(), w.restored.State())
	require.Equal(t, w.applied.Full(), w.restored.Full())
	require.Equal(t, w.applied.Stats(), w.restored.Stats())
}

// TestRestoreIsApply restores random sessions, in order and not, and damaged, with copies that are made on the way and stay
// as they are.
func TestRestoreIsApply(t *testing.T) {
	r := seeded(t)
	n := 200
	if testing.Short() {
		n = 20
	}
	for range n {
		b := make([]byte, 200+r.IntN(2000))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		s := newSession(b)
		s.run(1 + r.IntN(60))
		w := newTwins()
		for i := range s.updates {
			u := s.updates[i]
			switch r.IntN(8) {
			case 0:
				u = s.updates[r.IntN(len(s.updates))] // early, or again
			case 1:
				u = bytes.Clone(u)
				u[r.IntN(len(u))] ^= 1 << r.IntN(8)
			case 2:
				frozen, want := w.restored.Freeze(), bytes.Clone(w.restored.Full())
				defer func() { require.Equal(t, want, frozen.AppendFull(nil)) }()
			}
			w.give(t, u)
		}
		for i := range s.updates {
			w.give(t, s.updates[i])
		}
		require.NoError(t, w.restored.Check())
	}
}

// TestRestoreOfKeystrokes says what is taken the short way, and that it comes out as it does the long way. A copy is shared
// before each, so that whoever changes its bytes is found out.
func TestRestoreOfKeystrokes(t *testing.T) {
	const far = 1 << 40
	behind := func(client, clock uint64) at { return at{left: id(client, clock)} }
	between := func(left, right *update.ID) at { return at{left: left, right: right} }
	for _, c := range []struct {
		name  string
		u     []byte
		short bool
	}{
		{"next of a run", one(5, 3, text(behind(5, 2), "d")), true},
		{"several units", one(5, 3, text(behind(5, 2), "d\U0001f600\u00e9")), true},
		{"elsewhere", one(5, 3, text(behind(5, 0), "d")), true},
		{"behind another's", one(5, 3, text(behind(far, 0), "d")), true},
		{"behind what nobody has", one(5, 3, text(behind(9, 9), "d")), true},
		{"between", one(5, 3, text(between(id(5, 0), id(5, 1)), "d")), true},
		{"before", one(5, 3, text(at{right: id(5, 0)}, "d")), true},
		{"of a map", one(5, 3, text(at{left: id(5, 2), keyed: true}, "d")), true},
		{"deletes one", deletes(del{5, 1, 1}), true},
		{"deletes all", deletes(del{far, 0, 2}), true},
		{"deletes some that are", deletes(del{6, 0, 3}), true},

		{"names its parent", one(5, 3, text(at{root: "t"}, "d")), false},
		{"deletes as well", build([]section{sec(5, 3, text(behind(5, 2), "d"))}, del{5, 1, 1}), false},
		{"two structs", one(5, 3, text(behind(5, 2), "d"), text(behind(5, 0), "e")), false},
		{"no text", one(5, 3, anys(behind(5, 2), 1)), false},
		{"of a new client", one(8, 0, text(behind(5, 2), "d")), false},
		{"known", one(5, 2, text(behind(5, 1), "c")), false},
		{"known in part", one(5, 2, text(behind(5, 1), "cd")), false},
		{"behind a gap", one(5, 4, text(behind(5, 3), "d")), false},
		{"bytes at the end", append(one(5, 3, text(behind(5, 2), "d")), 0), false},
		{"no bytes at the end", one(5, 3, text(behind(5, 2), "d"))[:12], false},
		{"cut", one(5, 3, text(behind(5, 2), "d"))[:9], false},
		{"empty", one(5, 3, text(behind(5, 2), "")), false},
		{"behind itself", one(5, 3, text(behind(5, 3), "d")), false},
		{"before its future", one(5, 3, text(at{right: id(5, 4)}, "d")), false},
		{"no UTF-8", one(5, 3, item(update.String, behind(5, 2), 1, 0xff)), false},
		{"deletes nothing", deletes(del{5, 1, 0}), false},
		{"deletes what is not there", deletes(del{5, 3, 1}), false},
		{"deletes more than is there", deletes(del{5, 1, 3}), false},
		{"deletes of nobody", deletes(del{8, 0, 1}), false},
		{"deletes twice", deletes(del{5, 0, 1}, del{5, 2, 1}), false},
		{"deletes, bytes at the end", append(deletes(del{5, 1, 1}), 0), false},
		{"nothing", []byte{0, 0}, false},
		{"no bytes", nil, false},
		{"counts alone", []byte{1, 1}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newTwins()
			for _, u := range [][]byte{
				one(5, 0, text(at{root: "t"}, "abc")),
				one(6, 0, text(behind(5, 2), "uvwxyz")),
				one(far, 0, text(between(id(5, 0), id(5, 1)), "xy")),
				deletes(del{6, 1, 1}, del{6, 3, 1}), // a list of ranges, which copies share
			} {
				w.give(t, u)
			}
			frozen, want := w.restored.Freeze(), bytes.Clone(w.restored.Full())
			require.Equal(t, c.short, w.restored.RestoreKeystroke(c.u))
			if c.short {
				_, err := w.applied.Apply(c.u)
				require.NoError(t, err)
			}
			w.compare(t) // what is not taken has changed nothing
			w.give(t, c.u)
			require.NoError(t, w.restored.Check())
			require.Equal(t, want, frozen.AppendFull(nil))
		})
	}
}

// TestRestoreReleases restores what closes a gap: nothing of it goes the short way.
func TestRestoreReleases(t *testing.T) {
	w := newTwins()
	w.give(t, one(5, 0, text(at{root: "t"}, "a")))
	w.give(t, one(5, 2, text(at{left: id(5, 1)}, "c")))
	require.False(t, w.restored.RestoreKeystroke(one(5, 1, text(at{left: id(5, 0)}, "b"))))
	w.give(t, one(5, 1, text(at{left: id(5, 0)}, "b")))
	require.Nil(t, w.restored.Pending())
}

// FuzzRestore gives arbitrary bytes to a document that holds something of everything, with and without parked parts.
func FuzzRestore(f *testing.F) {
	f.Add(one(5, 13, text(at{left: id(5, 12)}, "more")), false)
	f.Add(one(5, 13, text(at{left: id(5, 3), right: id(5, 4)}, "\U0001f600")), false)
	f.Add(deletes(del{5, 2, 4}), false)
	f.Add(deletes(del{5, 2, 4}), true)
	f.Add(build([]section{sec(7, 0, text(at{root: "t"}, "abcd")), sec(3, 0, ytext(at{root: "m", key: "k"}))}, del{5, 0, 20}), true)
	f.Fuzz(func(t *testing.T, u []byte, parked bool) {
		w := newTwins()
		base := fuzzBase(t)
		if parked {
			w.give(t, base.Full())
		} else {
			w.give(t, base.State())
		}
		w.give(t, u)
		w.give(t, u)
		require.NoError(t, w.restored.Check())
	})
}
