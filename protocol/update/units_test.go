package update_test

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
)

// unit is what an update says of one id. Two updates mean the same when they say the same of every id and delete the same
// ids, however they cut their structs. The flag of a map key is no part of it where an origin stands for the key: Yjs
// itself drops it when it merges without a document.
type unit struct {
	kind   update.Kind
	origin string // "" if there is none
	right  string
	parent string
	value  string // the UTF-16 code unit, the encoded value, or the whole content
}

// meaning is an update taken apart, unit by unit.
type meaning struct {
	units   map[update.ID]unit
	deletes map[update.ID]bool
}

// maxUnits bounds what the tests take apart: nine bytes can claim 2^53 units.
const maxUnits = 1 << 14

// meaningOf takes updates apart as if they were applied one after the other: what comes first counts. Ok is false when
// there are too many units.
func meaningOf(t testing.TB, updates ...[]byte) (m meaning, ok bool) {
	t.Helper()
	m = meaning{units: map[update.ID]unit{}, deletes: map[update.ID]bool{}}
	total := uint64(0)
	small := func(n uint64) bool {
		total += min(n, maxUnits)
		return n < maxUnits && total < maxUnits
	}
	for _, u := range updates {
		var d update.Decoder
		d.Reset(u, update.Limits{})
		var s update.Struct
		for {
			more, err := d.Next(&s)
			require.NoError(t, err)
			if !more {
				break
			}
			if s.Kind == update.Skip {
				continue
			}
			if !small(s.Len) {
				return m, false
			}
			m.add(t, &s)
		}
		for {
			client, clock, length, more, err := d.NextDelete()
			require.NoError(t, err)
			if !more {
				break
			}
			if !small(length) {
				return m, false
			}
			for i := range length {
				m.deletes[update.ID{Client: client, Clock: clock + i}] = true
			}
		}
	}
	return m, true
}

func (m meaning) add(t testing.TB, s *update.Struct) {
	values := unitValues(t, s)
	for i := range s.Len {
		id := update.ID{Client: s.Client, Clock: s.Clock + i}
		if _, known := m.units[id]; known {
			continue
		}
		u := unit{kind: s.Kind}
		if s.Kind != update.GC {
			if s.Info&update.HasRightOrigin != 0 {
				u.right = fmt.Sprint(s.RightOrigin)
			}
			switch {
			case i > 0:
				u.origin = fmt.Sprint(update.ID{Client: s.Client, Clock: id.Clock - 1})
			case s.Info&update.HasOrigin != 0:
				u.origin = fmt.Sprint(s.Origin)
			case u.right == "":
				u.parent = parentOf(s)
			}
		}
		if values != nil {
			u.value = values[i]
		}
		m.units[id] = u
	}
}

func parentOf(s *update.Struct) string {
	p := "name " + strconv.Quote(string(s.ParentName))
	if s.ParentIsID {
		p = "id " + fmt.Sprint(s.Parent)
	}
	if s.Info&update.HasParentSub != 0 {
		p += " key " + strconv.Quote(string(s.ParentSub))
	}
	return p
}

// unitValues returns the value of each unit of s, nil if the units have none. It reads the content independently of the
// package's own slicing.
func unitValues(t testing.TB, s *update.Struct) []string {
	r := lib0.NewReader(s.Content)
	var values []string
	switch s.Kind {
	case update.GC, update.Deleted, update.Skip:
		return nil
	case update.String:
		text, err := r.VarString()
		require.NoError(t, err)
		for _, c := range utf16.Encode([]rune(string(text))) {
			values = append(values, strconv.Itoa(int(c)))
		}
	case update.Any, update.JSON:
		n, err := r.VarUint()
		require.NoError(t, err)
		for range n {
			start := r.Pos()
			if s.Kind == update.Any {
				require.NoError(t, r.SkipAny(lib0.MaxDepth))
			} else {
				_, err := r.VarString()
				require.NoError(t, err)
			}
			values = append(values, string(r.From(start)))
		}
	default:
		values = []string{string(s.Content)}
	}
	require.Len(t, values, int(s.Len))
	return values
}

// requireSame holds two updates against each other unit by unit.
func requireSame(t testing.TB, want, got meaning) {
	t.Helper()
	for id, w := range want.units {
		if g, ok := got.units[id]; !ok || w != g {
			require.Equal(t, w, g, "%v, there: %t", id, ok)
		}
	}
	require.Len(t, got.units, len(want.units))
	require.Equal(t, want.deletes, got.deletes)
}

// structsOf returns all structs of an update. They borrow it.
func structsOf(t testing.TB, u []byte) (structs []update.Struct) {
	t.Helper()
	var d update.Decoder
	d.Reset(u, update.Limits{})
	for {
		var s update.Struct
		ok, err := d.Next(&s)
		require.NoError(t, err)
		if !ok {
			return structs
		}
		structs = append(structs, s)
	}
}

// canonical reports what the decoder says of an update once it is read.
func canonical(t testing.TB, u []byte) bool {
	t.Helper()
	var d update.Decoder
	d.Reset(u, update.Limits{})
	for {
		_, _, _, ok, err := d.NextDelete()
		require.NoError(t, err)
		if !ok {
			return d.Canonical()
		}
	}
}

// clientsDescend reports whether the sections of an update are in order.
func clientsDescend(t testing.TB, u []byte) bool {
	clients := []uint64{}
	for _, s := range structsOf(t, u) {
		if n := len(clients); n == 0 || clients[n-1] != s.Client {
			clients = append(clients, s.Client)
		}
	}
	return slices.IsSortedFunc(clients, func(a, b uint64) int {
		if a > b {
			return -1
		}
		return 1
	})
}
