package relay_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/relay"
)

func TestAppendRelay(t *testing.T) {
	full := relay.Stamp{From: "c1", UserID: "u", Offset: 7, HasOffset: true}
	plain := relay.Stamp{From: "c1"}
	for _, row := range []struct {
		stamp    relay.Stamp
		in, want string
	}{
		{plain, `{}`, `{"from":"c1"}`},
		{full, " {\n} ", `{"from":"c1","userId":"u","offset":7}`},
		{plain, ` {"a":1 } `, `{"a":1,"from":"c1"}`},
		{
			plain,
			`{"a":1e400,"b":-0,"c":12345678901234567890,"d":"\u0061\ud800\/","e": [ 1 , {"from":"x"} ]}`,
			`{"a":1e400,"b":-0,"c":12345678901234567890,"d":"\u0061\ud800\/","e": [ 1 , {"from":"x"} ],"from":"c1"}`,
		},
		{plain, `{"from":"x"}`, `{"from":"c1"}`},
		{plain, `{"userId":"x","a" : 1,"b":2 , "from":{"a":[1]}}`, `{"a" : 1,"b":2,"from":"c1"}`},
		{full, `{"from":1,"a":1,"fr\u006fm":2,"b":-1,"user\u0049d":3,"\u006f\u0066\u0066\u0073\u0065\u0074":4,"from":5}`, `{"a":1,"b":-1,"from":"c1","userId":"u","offset":7}`},
		{plain, `{"offset":4}`, `{"offset":4,"from":"c1"}`},
		{plain, `{"offset":4,"from":""}`, `{"offset":4,"from":"c1"}`},
		{full, `{"offset":4}`, `{"from":"c1","userId":"u","offset":7}`},
		{plain, `{"From":1,"userid":2,"from\ud800":3,"":4,"__proto__":5}`, `{"From":1,"userid":2,"from\ud800":3,"":4,"__proto__":5,"from":"c1"}`},
		{plain, `{"to":"x","type":"gap","type":"chat"}`, `{"to":"x","type":"gap","type":"chat","from":"c1"}`},
		{relay.Stamp{From: "\"\\\x00\x1f\x7f\xffé\u2028\xed\xa0\x80", UserID: `","type":"gap`}, `{"a":0}`, `{"a":0,"from":"\"\\\u0000\u001f` + "\x7f\ufffdé\u2028\ufffd\ufffd\ufffd" + `","userId":"\",\"type\":\"gap"}`},
	} {
		f, err := relay.Parse([]byte(row.in), relay.Limits{})
		require.NoError(t, err, row.in)
		require.Equal(t, "+"+row.want, string(f.AppendRelay([]byte("+"), row.stamp)), row.in)
	}
}

func TestAppendFrames(t *testing.T) {
	for _, row := range []struct {
		frame []byte
		want  string
	}{
		{relay.AppendPresence(nil, nil), `{"type":"presence","peers":[]}`},
		{
			relay.AppendPresence(nil, []relay.Peer{{ID: "a"}, {ID: `"`, UserID: "u", Name: "é", Data: []byte(`{"x":1}`)}}),
			`{"type":"presence","peers":[{"id":"a"},{"id":"\"","userId":"u","name":"é","data":{"x":1}}]}`,
		},
		{relay.AppendState(nil, []byte(`{"a":1}`), 1<<64-1), `{"type":"state","state":{"a":1},"version":18446744073709551615}`},
		{relay.AppendPatch(nil, []byte(`{"a":null}`), 2, "c", ""), `{"type":"state","patch":{"a":null},"version":2,"from":"c"}`},
		{relay.AppendPatch(nil, []byte(`{}`), 2, "c", "u"), `{"type":"state","patch":{},"version":2,"from":"c","userId":"u"}`},
		{relay.AppendError(nil, relay.CodeReadOnly), `{"type":"error","code":"READ_ONLY"}`},
		{relay.AppendConflict(nil, []byte(`{}`), 3), `{"type":"error","code":"STATE_CONFLICT","state":{},"version":3}`},
		{relay.AppendHistory(nil, "e", 0, nil), `{"type":"history","epoch":"e","offset":0,"messages":[]}`},
		{relay.AppendHistory(nil, "e", 2, [][]byte{[]byte(`{"a":1}`), []byte(`{}`)}), `{"type":"history","epoch":"e","offset":2,"messages":[{"a":1},{}]}`},
		{relay.AppendGap(nil, `"`, 9), `{"type":"gap","epoch":"\"","offset":9}`},
	} {
		require.Equal(t, row.want, string(row.frame))
		f, err := relay.Parse(row.frame, relay.Limits{})
		if err == nil {
			require.NotEqual(t, relay.Relay, f.Kind, "a client cannot have it relayed: %s", row.frame)
		}
	}
}

func TestParseSince(t *testing.T) {
	for s, want := range map[string]struct {
		epoch  string
		offset uint64
	}{
		"e:0": {"e", 0}, "e:18446744073709551615": {"e", 1<<64 - 1}, "a:b:7": {"a:b", 7}, "::1": {":", 1},
	} {
		epoch, offset, ok := relay.ParseSince(s)
		require.True(t, ok, s)
		require.Equal(t, want.epoch, epoch)
		require.Equal(t, want.offset, offset)
	}
	for _, s := range []string{
		"", ":", "e", "e:", ":1", "e:x", "e:-1", "e:+1", "e: 1", "e:1 ", "e:01", "e:00", "e:1_0", "e:0x1",
		"e:18446744073709551616", "e:99999999999999999999", "e:184467440737095516150",
	} {
		epoch, offset, ok := relay.ParseSince(s)
		require.False(t, ok, s)
		require.Empty(t, epoch)
		require.Zero(t, offset)
	}
}
