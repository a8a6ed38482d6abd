package protocol_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol"
)

// FuzzParse writes again what it could read and holds the two against each other.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"\x00\x00\x01\x00", "\x00\x01\x02\x00\x00", "\x00\x02\x01a", "\x01\x01\x00", "\x02\x00\x04nope", "\x03", "\x66abc", "\x63", "\x00\x03\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		m, err := protocol.Parse(frame)
		if err != nil {
			require.ErrorIs(t, err, protocol.ErrMalformed)
			return
		}
		var again []byte
		switch m.Type {
		case protocol.MessageSync:
			again = append(protocol.AppendSyncHeader(nil, m.Sync, len(m.Payload)), m.Payload...)
		case protocol.MessageAwareness:
			again = protocol.AppendAwareness(nil, m.Payload)
		case protocol.MessageSyncStatus:
			again = protocol.AppendSyncStatus(nil, m.Payload)
		default:
			require.True(t, bytes.HasSuffix(frame, m.Payload))
			return
		}
		n, err := protocol.Parse(again)
		require.NoError(t, err)
		require.Equal(t, m, n)
		require.LessOrEqual(t, len(again), len(frame))
	})
}

// FuzzParseAwareness holds what was read against encoding/json and against what is read of it when it is written again, and
// applies it to a table.
func FuzzParseAwareness(f *testing.F) {
	f.Add(rawUpdate())
	f.Add(rawUpdate(entryOf(1, 2, `{"user":{"name":"Ada","color":"#fff"}}`), entryOf(1<<40, 0, "null")))
	f.Add(rawUpdate(entryOf(3, 1, " -0.0e1 "), entryOf(3, 1, `""`)))
	f.Fuzz(func(t *testing.T, u []byte) {
		lim := protocol.AwarenessLimits{State: 1 << 10, Entries: 50, Nesting: 20}
		entries, err := protocol.ParseAwareness(nil, u, lim)
		if err != nil {
			require.Empty(t, entries)
			return
		}
		require.LessOrEqual(t, len(entries), lim.Entries)
		a := protocol.NewAwareness(protocol.AwarenessConfig{Bytes: 2 << 10, Clients: 8})
		for _, e := range entries {
			require.True(t, json.Valid(e.State))
			var v any
			if json.Unmarshal(e.State, &v) == nil { // a number may be too large for Go
				require.Equal(t, v == nil, e.Gone(), "%q", e.State)
			}
			a.Apply(e, time.Time{})
			require.LessOrEqual(t, a.Bytes(), 2<<10)
		}
		again, err := protocol.ParseAwareness(nil, protocol.AppendAwarenessUpdate(nil, entries), protocol.AwarenessLimits{})
		require.NoError(t, err)
		require.Len(t, again, len(entries))
		for i, e := range again {
			require.Equal(t, entries[i].Client, e.Client)
			require.Equal(t, entries[i].Clock, e.Clock)
			if !e.Gone() {
				require.Equal(t, entries[i].State, e.State)
			}
		}
		all, err := protocol.ParseAwareness(nil, a.AppendAll(nil), protocol.AwarenessLimits{})
		require.NoError(t, err)
		require.Len(t, all, a.Len())
		total := 0
		for _, id := range a.Clients(nil) {
			e, known := a.Entry(id)
			require.True(t, known)
			total += len(e.State)
		}
		require.Equal(t, total, a.Bytes())
	})
}
