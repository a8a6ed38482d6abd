package update_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
)

const most = lib0.MaxInteger

// item is an update with one item in the root type "t", of the given kind and content.
func item(kind int, content ...any) []byte {
	return u(append(append([]any{1, 1, 9, 0, kind, 1, "t"}, content...), 0)...)
}

func nested(n int) []byte { return append(bytes.Repeat([]byte{117, 1}, n), 126) }

func TestRefused(t *testing.T) {
	deepJSON := string(bytes.Repeat([]byte("["), 513)) + string(bytes.Repeat([]byte("]"), 513))
	for _, c := range []struct {
		name string
		u    []byte
		kind update.ErrKind
	}{
		{"nothing", nil, update.FaultEnd},
		{"no delete set", u(0), update.FaultEnd},
		{"more sections than bytes", u(1000, 0), update.FaultEnd},
		{"more structs than bytes", u(1, 1000, 9, 0, 0, 1, 0), update.FaultEnd},
		{"more clients in the delete set than bytes", u(0, 1000), update.FaultEnd},
		{"more ranges than bytes", u(0, 1, 9, 1000, 1, 1), update.FaultEnd},
		{"a string past the end", item(4, 1000, []byte("abc")), update.FaultEnd},
		{"values past the end", item(8, 1<<40), update.FaultEnd},
		{"json values past the end", item(2, 1<<40), update.FaultEnd},
		{"ends in a range", u(0, 1, 9, 1, 1), update.FaultEnd},

		{"reference 10 with a parent", u(1, 1, 9, 0, byte(0x8a), 1, 2, 3, 0), update.FaultInfo},
		{"reference 11", item(11, 1), update.FaultInfo},
		{"reference 31", item(31, 1), update.FaultInfo},
		{"gc with an origin", u(1, 1, 9, 0, byte(0x80), 1, 0), update.FaultInfo},
		{"gc with a key", u(1, 1, 9, 0, byte(0x20), 1, 0), update.FaultInfo},
		{"skip with a right origin", u(1, 1, 9, 0, byte(0x4a), 1, 0), update.FaultInfo},
		{"type 7", item(7, 7), update.FaultType},
		{"huge type", item(7, most), update.FaultType},
		{"any tag 115", item(8, 1, []byte{115}), update.FaultAny},
		{"any tag 128", item(8, 1, []byte{128}), update.FaultAny},

		{"text that is no utf-8", item(4, 1, []byte{0xff}), update.FaultUTF8},
		{"surrogate in utf-8", item(4, 3, []byte{0xed, 0xa0, 0x80}), update.FaultUTF8},
		{"root name", u(1, 1, 9, 0, 4, 1, 1, []byte{0xc0}, "x", 0), update.FaultUTF8},
		{"map key", u(1, 1, 9, 0, byte(0x24), 1, "t", 1, []byte{0xc0}, "x", 0), update.FaultUTF8},
		{"format key", item(6, 1, []byte{0x80}, "true"), update.FaultUTF8},
		{"element name", item(7, 3, 1, []byte{0x80}), update.FaultUTF8},
		{"guid", item(9, 1, []byte{0x80}, []byte{118, 0}), update.FaultUTF8},
		{"embed", item(5, 3, []byte{'"', 0xff, '"'}), update.FaultUTF8},

		{"embed undefined", item(5, "undefined"), update.FaultJSON},
		{"format undefined", item(6, "bold", "undefined"), update.FaultJSON},
		{"empty embed", item(5, ""), update.FaultJSON},
		{"byte order mark", item(5, "\ufeff1"), update.FaultJSON},
		{"json value", item(2, 2, "1", "x"), update.FaultJSON},
		{"two values in one text", item(6, "k", "1 2"), update.FaultJSON},

		{"document with null", item(9, "guid", []byte{126}), update.FaultDoc},
		{"document with undefined", item(9, "guid", []byte{127}), update.FaultDoc},

		{"empty text", item(4, ""), update.FaultEmpty},
		{"no any values", item(8, 0), update.FaultEmpty},
		{"no json values", item(2, 0), update.FaultEmpty},
		{"nothing deleted", item(1, 0), update.FaultEmpty},
		{"gc of nothing", u(1, 1, 9, 0, 0, 0, 0), update.FaultEmpty},
		{"skip of nothing", u(1, 1, 9, 0, 10, 0, 0), update.FaultEmpty},

		{"clock and length", u(1, 1, 9, most, 0, 1, 0), update.FaultRange},
		{"length", u(1, 2, 9, 0, 0, most, 0, 1, 0), update.FaultRange},
		{"delete range", u(0, 1, 9, 1, most, 1), update.FaultRange},
		{"client", u(1, 1, most+1, 0, 0, 1, 0), update.FaultRange},

		{"origin in its own future", u(1, 1, 9, 5, byte(0x84), 9, 6, "x", 0), update.FaultReference},
		{"itself as origin", u(1, 1, 9, 5, byte(0x84), 9, 5, "x", 0), update.FaultReference},
		{"itself as right origin", u(1, 1, 9, 5, byte(0x44), 9, 5, "x", 0), update.FaultReference},
		{"itself as parent", u(1, 1, 9, 5, 4, 0, 9, 5, "x", 0), update.FaultReference},
		{"origin in the future of the second struct", u(1, 2, 9, 0, 0, 5, byte(0x84), 9, 5, "x", 0), update.FaultReference},

		{"any nested", item(8, 1, nested(513)), update.LimitNesting},
		{"embed nested", item(5, deepJSON), update.LimitNesting},
		{"json value nested", item(2, 1, deepJSON), update.LimitNesting},
		{"document nested", item(9, "guid", nested(513)), update.LimitNesting},
		{"three million arrays", item(8, 1, nested(3_000_000)), update.LimitNesting},
	} {
		err := update.Validate(c.u, update.Limits{})
		var e *update.Error
		require.ErrorAs(t, err, &e, c.name)
		require.Equal(t, c.kind, e.Kind, "%s: %v", c.name, err)
		limit := c.kind == update.LimitNesting
		require.Equal(t, limit, errors.Is(err, update.ErrLimit), c.name)
		require.Equal(t, !limit, errors.Is(err, update.ErrMalformed), c.name)
	}
}

func TestTolerated(t *testing.T) {
	long := func(n byte) []byte { return []byte{n | byte(0x80), byte(0x80), 0x00} }
	for name, b := range map[string][]byte{
		"empty":                          update.Empty,
		"bytes after the end":            append(text(1, 0, "a"), "more"...),
		"superfluous groups":             u(long(1), long(1), long(9), long(0), 4, long(1), long(1), []byte("t"), long(1), []byte("x"), long(0)),
		"sections without structs":       u(2, 0, 9, 0, 0, 9, 7, 0),
		"delete sections without":        u(0, 2, 9, 0, 9, 0),
		"ranges in any order":            u(0, 2, 1, 3, 9, 1, 2, 4, 3, 4, 9, 1, 1, 1),
		"range without length":           u(0, 1, 1, 1, 5, 0),
		"parent info 2":                  u(1, 1, 9, 5, 4, 2, 8, 3, "x", 0),
		"skips anywhere":                 u(1, 4, 9, 0, 10, 3, 0, 1, 10, 7, 10, 1, 0),
		"one client twice":               u(2, 1, 9, 0, 0, 2, 1, 9, 2, 0, 1, 0),
		"json undefined":                 item(2, 2, "undefined", `"\ud800"`),
		"document with a number":         item(9, "guid", []byte{125, 5}),
		"key beside an origin":           u(1, 1, 9, 5, byte(0xa4), 9, 4, "x", 0),
		"512 arrays":                     item(8, 1, nested(512)),
		"the last clock there is":        u(1, 1, 9, most-1, 0, 1, 0),
		"the greatest client":            u(1, 1, most, 0, 0, 1, 0),
		"2^53-1 deleted units":           item(1, most),
		"parent that may be no type":     u(1, 1, 9, 0, 4, 0, 8, 3, "x", 0),
		"other clients' future":          u(1, 1, 9, 0, byte(0xc4), 8, most, 7, most, "x", 0),
		"an embed that is not an object": item(5, " null\n"),
	} {
		require.NoError(t, update.Validate(b, update.Limits{}), name)
	}
}

func TestLimits(t *testing.T) {
	sections := func(n int) []byte {
		b := u(n)
		for i := n; i > 0; i-- {
			b = append(b, u(1, i, 0, 0, 1)...)
		}
		return append(b, 0)
	}
	deletes := func(n int) []byte {
		b := u(0, n)
		for i := n; i > 0; i-- {
			b = append(b, u(i, 1, 0, 1)...)
		}
		return b
	}
	lim := update.Limits{Clients: 3, Nesting: 2}
	for _, make := range []func(int) []byte{sections, deletes} {
		require.NoError(t, update.Validate(make(3), lim))
		err := update.Validate(make(4), lim)
		require.ErrorIs(t, err, update.ErrLimit)
		var e *update.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, "clients", e.Kind.Limit())
		require.NoError(t, update.Validate(make(4), update.Limits{}))
	}
	require.NoError(t, update.Validate(item(8, 1, nested(2)), lim))
	require.ErrorIs(t, update.Validate(item(8, 1, nested(3)), lim), update.ErrLimit)
	require.ErrorIs(t, update.Validate(item(5, "[[[]]]"), lim), update.ErrLimit)
}

func TestCanonical(t *testing.T) {
	for name, c := range map[string]struct {
		u    []byte
		want bool
	}{
		"empty":                   {update.Empty, true},
		"one item":                {text(5, 0, "a"), true},
		"two clients":             {u(2, 1, 9, 0, 0, 2, 1, 5, 0, 0, 1, 0), true},
		"deletes":                 {u(0, 2, 9, 2, 0, 1, 2, 1, 5, 1, 0, 3), true},
		"one client twice":        {u(2, 1, 9, 0, 0, 2, 1, 9, 2, 0, 1, 0), false},
		"clients ascend":          {u(2, 1, 5, 0, 0, 2, 1, 9, 2, 0, 1, 0), false},
		"section without structs": {u(1, 0, 9, 0, 0), false},
		"skip":                    {u(1, 2, 9, 0, 0, 1, 10, 2, 0), false},
		"bytes after the end":     {u(0, 0, 0), false},
		"delete clients ascend":   {u(0, 2, 5, 1, 0, 1, 9, 1, 0, 1), false},
		"delete client twice":     {u(0, 2, 5, 1, 0, 1, 5, 1, 4, 1), false},
		"client without deletes":  {u(0, 1, 5, 0), false},
		"range without length":    {u(0, 1, 5, 1, 0, 0), false},
		"ranges descend":          {u(0, 1, 5, 2, 4, 1, 0, 1), false},
		"ranges touch":            {u(0, 1, 5, 2, 0, 2, 2, 1), false},
		"ranges overlap":          {u(0, 1, 5, 2, 0, 2, 1, 2), false},
		"first range at zero":     {u(0, 1, 5, 2, 0, 1, 2, 1), true},
	} {
		require.Equal(t, c.want, canonical(t, c.u), name)
	}
}

func TestStructFields(t *testing.T) {
	b := u(1, 6, 70000, 10,
		byte(0x84), 70000, 9, "hé",
		byte(0xc8), 3, 4, 5, 6, 2, []byte{126, 126},
		byte(0x26), 1, "t", "key", "bold", "true",
		byte(0x07), 0, 70000, 12, 3, "div",
		0, 300,
		10, 5,
		0)
	s := structsOf(t, b)
	require.Len(t, s, 6)
	id := func(client, clock uint64) update.ID { return update.ID{Client: client, Clock: clock} }
	for i, want := range []struct {
		clock, length uint64
		kind          update.Kind
		content       []byte
	}{
		{10, 2, update.String, u("hé")},
		{12, 2, update.Any, u(2, []byte{126, 126})},
		{14, 1, update.Format, u("bold", "true")},
		{15, 1, update.Type, u(3, "div")},
		{16, 300, update.GC, u(300)},
		{316, 5, update.Skip, u(5)},
	} {
		require.Equal(t, id(70000, want.clock), s[i].ID, i)
		require.Equal(t, want.length, s[i].Len, i)
		require.Equal(t, want.clock+want.length, s[i].End(), i)
		require.Equal(t, want.kind, s[i].Kind, i)
		require.Equal(t, want.content, s[i].Content, i)
		require.Equal(t, i < 4, s[i].IsItem(), i)
	}
	require.Equal(t, id(70000, 9), s[0].Origin)
	require.Equal(t, id(3, 4), s[1].Origin)
	require.Equal(t, id(5, 6), s[1].RightOrigin)
	require.Equal(t, "t", string(s[2].ParentName))
	require.Equal(t, "key", string(s[2].ParentSub))
	require.False(t, s[2].ParentIsID)
	require.True(t, s[3].ParentIsID)
	require.Equal(t, id(70000, 12), s[3].Parent)
	var raw []byte
	for i := range s {
		raw = append(raw, s[i].Raw...)
	}
	require.Equal(t, b[6:len(b)-1], raw, "the structs are all there is between the head and the delete set")
}

func TestDecoderStream(t *testing.T) {
	b := u(1, 2, 9, 0, 0, 5, 0, 2, 2, 9, 2, 7, 0, 1, 3, 4, 1, 6, 1)
	var d update.Decoder
	_, _, _, ok, err := d.NextDelete()
	require.NoError(t, err)
	require.False(t, ok, "a decoder without an update")

	d.Reset(b, update.Limits{})
	client, clock, length, ok, err := d.NextDelete() // passes over the structs
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, [3]uint64{9, 1, 3}, [3]uint64{client, clock, length}, "the range without length is left out")
	var s update.Struct
	more, err := d.Next(&s)
	require.NoError(t, err)
	require.False(t, more)
	client, clock, length, ok, err = d.NextDelete()
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, [3]uint64{4, 6, 1}, [3]uint64{client, clock, length})
	for range 2 {
		_, _, _, ok, err = d.NextDelete()
		require.NoError(t, err)
		require.False(t, ok)
	}
	require.False(t, d.Canonical())

	// An error is final, wherever it came from.
	d.Reset(u(1, 2, 9, 0, 0, 5, 11, 0), update.Limits{})
	_, err = d.Next(&s)
	require.NoError(t, err)
	_, first := d.Next(&s)
	require.Error(t, first)
	require.EqualError(t, first, "update: unknown content reference at byte 6")
	_, second := d.Next(&s)
	require.Equal(t, first, second)
	_, _, _, _, err = d.NextDelete()
	require.Equal(t, first, err)
	require.False(t, d.Canonical())
}

func TestStateVectors(t *testing.T) {
	entries := []update.ID{{Client: 9, Clock: 3}, {Client: most, Clock: most}, {Client: 9, Clock: 4}}
	b := update.AppendStateVector(nil, entries)
	got, err := update.ParseStateVector([]update.ID{{Client: 1}}, append(b, "more"...), update.Limits{})
	require.NoError(t, err)
	require.Equal(t, append([]update.ID{{Client: 1}}, entries...), got)
	for _, c := range []struct {
		b    []byte
		want error
	}{
		{nil, update.ErrMalformed},
		{u(1), update.ErrMalformed},
		{u(2, 1, 1), update.ErrMalformed},
		{u(most), update.ErrMalformed},
		{u(1, 1, []byte{0x80}), update.ErrMalformed},
		{u(1, most+1, 1), update.ErrMalformed},
		{u(3, 1, 1, 2, 2, 3, 3), update.ErrLimit},
	} {
		dst := []update.ID{{Client: 1}}
		got, err := update.ParseStateVector(dst, c.b, update.Limits{Clients: 2})
		require.ErrorIs(t, err, c.want, "%x", c.b)
		require.Equal(t, dst, got)
	}
}

func TestErrorTexts(t *testing.T) {
	for k := update.FaultEnd; k <= update.LimitClients; k++ {
		require.NotEqual(t, "unknown fault", k.String())
	}
	require.Equal(t, "unknown fault", update.ErrKind(99).String())
	require.Equal(t, "nesting", update.LimitNesting.Limit())
}
