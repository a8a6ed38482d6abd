package protocol_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol"
	"github.com/yserverd/yserverd/protocol/lib0"
)

// vectors is testdata/vectors.json: what y-protocols 1.0.7 writes and keeps. It was written by fixtures/yjs/vectors.mjs,
// which says what each part means.
type vectors struct {
	YProtocols string
	Frames     []struct {
		Name    string
		Body, B []byte
	}
	Tables [][]struct {
		U                       []byte
		Remove                  []string
		Added, Updated, Removed []string
		All                     [][3]string
	}
}

func readVectors(t testing.TB) (v vectors) {
	t.Helper()
	b, err := os.ReadFile("testdata/vectors.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &v))
	require.Equal(t, "1.0.7", v.YProtocols)
	return v
}

func TestVectorsFrames(t *testing.T) {
	writers := map[string]func(dst, body []byte) []byte{
		"step1":     protocol.AppendSyncStep1,
		"step2":     protocol.AppendSyncStep2,
		"update":    protocol.AppendUpdate,
		"denied":    func(dst, body []byte) []byte { return protocol.AppendPermissionDenied(dst, string(body)) },
		"awareness": protocol.AppendAwareness,
	}
	frames := readVectors(t).Frames
	require.Len(t, frames, len(writers))
	for _, f := range frames {
		body := f.Body
		if f.Name == "awareness" {
			body = []byte{0}
		}
		require.Equal(t, f.B, writers[f.Name](nil, body), f.Name)
		m, err := protocol.Parse(f.B)
		require.NoError(t, err)
		if f.Name != "denied" {
			require.Equal(t, body, m.Payload, f.Name)
		}
	}
}

func mustHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, frame string
		want        protocol.Message
	}{
		{"empty state vector", "00000100", protocol.Message{Payload: []byte{0}}},
		{"step 2", "0001020000", protocol.Message{Sync: protocol.SyncStep2, Payload: []byte{0, 0}}},
		{"update, bytes after it", "00020141ffff", protocol.Message{Sync: protocol.SyncUpdate, Payload: []byte{0x41}}},
		{"awareness", "010100", protocol.Message{Type: protocol.MessageAwareness, Payload: []byte{0}}},
		{"denied", "0200046e6f7065", protocol.Message{Type: protocol.MessageAuth, Payload: []byte("\x00\x04nope")}},
		{"query", "03", protocol.Message{Type: protocol.MessageQueryAwareness, Payload: []byte{}}},
		{"sync status", "660501", protocol.Message{Type: protocol.MessageSyncStatus, Payload: []byte{5, 1}}},
		{"unknown", "6301", protocol.Message{Type: 99, Payload: []byte{1}}},
		{"unknown, large", "ffffffffffffff0f", protocol.Message{Type: lib0.MaxInteger, Payload: []byte{}}},
	} {
		m, err := protocol.Parse(mustHex(t, c.frame))
		require.NoError(t, err, c.name)
		require.Equal(t, c.want, m, c.name)
	}
	for _, c := range []struct {
		name, frame string
		kind        protocol.ErrKind
		offset      int
	}{
		{"nothing", "", protocol.FaultEnd, 0},
		{"sync without more", "00", protocol.FaultEnd, 1},
		{"unknown sync", "000300", protocol.FaultSync, 1},
		{"length past the end", "0002030102", protocol.FaultEnd, 3},
		{"huge length", "0002ffffffffffffff0f", protocol.FaultEnd, 10},
		{"type out of range", "ffffffffffffff1f", protocol.FaultRange, 0},
		{"awareness without more", "01", protocol.FaultEnd, 1},
	} {
		_, err := protocol.Parse(mustHex(t, c.frame))
		require.ErrorIs(t, err, protocol.ErrMalformed, c.name)
		require.NotErrorIs(t, err, protocol.ErrLimit)
		require.Equal(t, &protocol.Error{Kind: c.kind, Offset: c.offset}, err, c.name)
	}
}

func TestParseBorrows(t *testing.T) {
	frame := protocol.AppendUpdate(nil, []byte("abc"))
	frame = append(frame, 'd')
	m, err := protocol.Parse(frame)
	require.NoError(t, err)
	frame[3] = 'x'
	require.Equal(t, "xbc", string(m.Payload))
	require.Equal(t, 3, cap(m.Payload))
}

func TestHeaderAndPayloadAreTheFrame(t *testing.T) {
	update := make([]byte, 300)
	whole := protocol.AppendUpdate([]byte("x"), update)
	require.Equal(t, whole, append(protocol.AppendSyncHeader([]byte("x"), protocol.SyncUpdate, len(update)), update...))
	require.Equal(t, protocol.AppendAwareness(nil, update), append(protocol.AppendAwarenessHeader(nil, len(update)), update...))
	require.Equal(t, mustHex(t, "66ab00"), protocol.AppendSyncStatus(nil, []byte{0xab, 0}))
}

func TestCustom(t *testing.T) {
	text := protocol.AppendCustom(nil, []byte(`{"a":1}`))
	require.Equal(t, `__YPS:{"a":1}`, string(text))
	payload, ok := protocol.ParseCustom(text)
	require.True(t, ok)
	require.Equal(t, `{"a":1}`, string(payload))
	payload, ok = protocol.ParseCustom([]byte("__YPS:"))
	require.True(t, ok)
	require.Empty(t, payload)
	_, ok = protocol.ParseCustom([]byte("hello"))
	require.False(t, ok)
}

func TestErrorTexts(t *testing.T) {
	for k := protocol.FaultEnd; k <= protocol.LimitNesting; k++ {
		require.NotContains(t, (&protocol.Error{Kind: k}).Error(), "unknown fault")
	}
	require.EqualError(t, &protocol.Error{Kind: 99, Offset: 3}, "protocol: unknown fault at byte 3")
}
