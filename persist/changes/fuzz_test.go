package changes_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist/changes"
)

// message puts one of pgoutput together: bytes and runes are one byte, ints four, strings end with a zero.
func message(parts ...any) []byte {
	var b []byte
	for _, part := range parts {
		switch p := part.(type) {
		case rune:
			b = append(b, byte(p))
		case byte:
			b = append(b, p)
		case uint16:
			b = binary.BigEndian.AppendUint16(b, p)
		case int:
			b = binary.BigEndian.AppendUint32(b, uint32(p))
		case uint64:
			b = binary.BigEndian.AppendUint64(b, p)
		case string:
			b = append(append(b, p...), 0)
		case []byte:
			b = append(b, p...)
		}
	}
	return b
}

var (
	begin    = message('B', uint64(1), uint64(2), 3)
	commit   = message('C', byte(0), uint64(1), uint64(2), uint64(3))
	relation = message('R', 7, "public", "a", 'd', uint16(2), byte(1), "id", 23, -1, byte(0), "n", 25, -1)
	row      = message(uint16(2), 't', 1, []byte("1"), 't', 2, []byte("ab"))
	key      = message(uint16(2), 't', 1, []byte("2"), 'n')
	insert   = message('I', 7, 'N', row)
	update   = message('U', 7, 'K', key, 'N', row)
	remove   = message('D', 7, 'K', key)
	truncate = message('T', 1, byte(0), 7)
)

// framed puts a length before each message, two bytes.
func framed(messages ...[]byte) []byte {
	var b []byte
	for _, m := range messages {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(m))), m...)
	}
	return b
}

// decode takes framed messages up to the first that is refused.
func decode(stream []byte, limit int) (events []*changes.Event, err error) {
	d := changes.NewDecoder(limit, tables("a")...)
	for len(stream) >= 2 {
		n := min(int(binary.BigEndian.Uint16(stream)), len(stream)-2)
		e, err := d.Take(stream[2 : 2+n])
		if err != nil {
			return events, err
		}
		if e != nil {
			events = append(events, e)
		}
		stream = stream[2+n:]
	}
	return events, nil
}

// FuzzMessages: whatever comes, rows fit their relation, the bound of transactions holds, and JSON is JSON.
func FuzzMessages(f *testing.F) {
	f.Add(framed(begin, relation, insert, update, remove, truncate, commit))
	f.Add(framed(begin, relation, update[:len(update)-1], commit))
	f.Add(framed(begin, relation, insert, insert, insert, insert, insert, insert, commit, begin, remove, commit))
	f.Add(framed(begin, insert))
	f.Add(framed(commit))
	f.Fuzz(func(t *testing.T, stream []byte) {
		const limit = 1000
		kept := bytes.Clone(stream)
		events, _ := decode(stream, limit)
		clear(stream) // events borrow nothing
		for _, e := range events {
			require.LessOrEqual(t, e.Size(), limit)
			require.True(t, e.Gap != nil != (len(e.Changes) > 0))
			for _, c := range e.Changes {
				require.True(t, (c.Op == changes.Insert || c.Op == changes.Update) == (c.New != nil) || len(c.Table.Columns) == 0)
				for _, row := range [][]changes.Value{c.New, c.Old} {
					require.True(t, row == nil || len(row) == len(c.Table.Columns))
					require.True(t, json.Valid(changes.AppendJSON(nil, c.Table, row, nil)), "%q", row)
				}
			}
		}
		copy(stream, kept)
		again, _ := decode(stream, limit)
		require.Equal(t, len(events), len(again))
	})
}

// FuzzValues: any text is valid JSON as any type, and an array that is one has its elements.
func FuzzValues(f *testing.F) {
	for _, text := range []string{
		"1", "-1.5e+10", "NaN", "t", `{"a":1}`, "2026-01-02 03:04:05+00", "0044-03-15 12:00:00+00 BC", "{}", "{1,NULL,{2}}",
		`{"a\"b",c}`, "[0:1]={1,2}", `{"{\"a\": 1}"}`, "{a;b}", "\xff\x00", `{"`, `{"\`,
	} {
		f.Add(text)
	}
	columns := []*changes.Column{
		&changes.Text, &changes.Number, &changes.Bool, &changes.JSON, &changes.Numbers, &changes.JSONs, &changes.Times, &changes.Time,
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, c := range columns {
			got := changes.AppendValue(nil, c, changes.Value{Text: text})
			require.True(t, json.Valid(got), "%s: %q becomes %q", c.Name, text, got)
			require.Equal(t, "x"+string(got), string(changes.AppendValue([]byte("x"), c, changes.Value{Text: text})))
		}
	})
}

// TestMessagesThatAreRefused end the stream: what a server says otherwise is not guessed.
func TestMessagesThatAreRefused(t *testing.T) {
	other := message('R', 8, "public", "b", 'd', uint16(0))
	for text, stream := range map[string][]byte{
		"outside of transactions":        framed(relation, insert),
		"a commit outside":               framed(commit),
		"within another":                 framed(begin, begin),
		"was not announced":              framed(begin, insert),
		"ends too early":                 framed(begin, relation, insert[:len(insert)-1]),
		"message goes on":                framed(begin, relation, append(bytes.Clone(insert), 0)),
		"row of another relation":        framed(begin, relation, message('I', 7, 'N', uint16(1), 'n')),
		"unknown kind of value":          framed(begin, relation, message('I', 7, 'N', uint16(2), 'b', 1, byte(0), 'n')),
		"unexpected row":                 framed(begin, relation, message('I', 7, 'K', key)),
		"unexpected row at byte 6 of 21": framed(begin, relation, message('D', 7, 'N', row)),
		"text without an end":            framed([]byte("R\x00\x00\x00\x01abc")),
	} {
		_, err := decode(stream, 1000)
		require.ErrorContains(t, err, text)
	}
	events, err := decode(framed(begin, other, message('I', 8, 'N', []byte("whatever")), commit, message('Y'), message('O'), message('M')), 1000)
	require.NoError(t, err)
	require.Empty(t, events, "what is not wanted is not looked at")
	_, err = changes.NewDecoder(10).Take(nil)
	require.Error(t, err)
}

// TestRowsOfMessages: a key row's NULLs are unknown, and what an update leaves out comes from its other row.
func TestRowsOfMessages(t *testing.T) {
	full := message('U', 7, 'O', message(uint16(2), 't', 1, []byte("1"), 't', 1, []byte("x")), 'N', message(uint16(2), 't', 1, []byte("1"), 'u'))
	plain := message('U', 7, 'N', message(uint16(2), 't', 1, []byte("1"), 'u'))
	events, err := decode(framed(begin, relation, full, plain, update, remove, commit), 10_000)
	require.NoError(t, err)
	require.Len(t, events, 1)
	require.Equal(t, []string{
		`UPDATE a {"id":1,"n":"x"} {"id":1,"n":"x"}`,
		`UPDATE a {"id":1} {"id":1}`,
		`UPDATE a {"id":2} {"id":1,"n":"ab"}`,
		`DELETE a {"id":2} -`,
	}, describe(*events[0]))
	require.True(t, events[0].Changes[3].Old[1].Unknown)
	require.EqualValues(t, 2, events[0].LSN)
}
