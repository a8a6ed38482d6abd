package relay_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/relay"
)

func TestParseKinds(t *testing.T) {
	for _, row := range []struct {
		text string
		kind relay.Kind
	}{
		{`{}`, relay.Relay},
		{` { } `, relay.Relay},
		{`{"type":"chat"}`, relay.Relay},
		{`{"type":null}`, relay.Relay},
		{`{"type":{"type":"gap"}}`, relay.Relay},
		{`{"Type":"gap"}`, relay.Relay},
		{`{"type":"GAP"}`, relay.Relay},
		{`{"type":"gap "}`, relay.Relay},
		{`{"type":"gap\ud800"}`, relay.Relay},
		{`{"type\ud800":"gap"}`, relay.Relay},
		{`{"type":"auth"}`, relay.Relay},
		{`{"__proto__":{"type":"gap"}}`, relay.Relay},
		{`{"a":{"type":"gap"},"b":[{"type":"gap"}]}`, relay.Relay},
		{`{"type":"presence"}`, relay.Presence},
		{`{"type":"presence","data":{}}`, relay.Presence},
		{`{"type":"state","patch":{}}`, relay.State},
		{`{"type":"auth:refresh","token":"x"}`, relay.Refresh},
		{`{"type":"auth:"}`, relay.Reserved},
		{`{"type":"auth:refresh2"}`, relay.Reserved},
		{`{"type":"auth\u003arefresh"}`, relay.Refresh},
		{`{"type":"auth:` + strings.Repeat(`\u0061`, 100) + `"}`, relay.Reserved},
		{`{"type":"history"}`, relay.Reserved},
		{`{"type":"gap"}`, relay.Reserved},
		{`{"type":"error"}`, relay.Reserved},
		{"\t\r\n {\t\"t\\u0079pe\" \n:\r \"\\u0067\\u0061p\" } \n", relay.Reserved},
		{`{"type":"chat","type":"gap"}`, relay.Reserved},
		{`{"type":"gap","type":"chat"}`, relay.Relay},
		{`{"type":"gap","\u0074\u0079\u0070\u0065":"chat"}`, relay.Relay},
		{`{"type":"chat","a":[1,"]}",{"b":"\""}],"type":"err\u006Fr"}`, relay.Reserved},
		{`{"type":["gap"]}`, relay.Reserved},
		{`{"type":[ [ "presence" ] ]}`, relay.Reserved},
		{`{"type":[["auth:refresh"]]}`, relay.Reserved},
		{`{"type":["gap",1]}`, relay.Relay},
		{`{"type":["gap",[]]}`, relay.Relay},
		{`{"type":[["chat"]]}`, relay.Relay},
		{`{"type":[]}`, relay.Relay},
		{`{"type":[[]]}`, relay.Relay},
		{`{"type":[[7]]}`, relay.Relay},
	} {
		f, err := relay.Parse([]byte(row.text), relay.Limits{})
		require.NoError(t, err, row.text)
		require.Equal(t, row.kind, f.Kind, row.text)
		if f.Kind == relay.Relay {
			require.NotEmpty(t, f.AppendRelay(nil, relay.Stamp{From: "c"}))
		} else {
			require.Empty(t, f.AppendRelay(nil, relay.Stamp{From: "c"}), "%s is not for the peers", row.text)
		}
	}
	require.Equal(t, "reserved", relay.Reserved.String())
	require.Equal(t, "unknown fault", relay.Kind(0).String())
}

func TestParseRefuses(t *testing.T) {
	deep := strings.Repeat("[", 600) + strings.Repeat("]", 600)
	for _, row := range []struct {
		text string
		err  error
	}{
		{``, relay.ErrNotObject},
		{`  `, relay.ErrNotObject},
		{`null`, relay.ErrNotObject},
		{`"{}"`, relay.ErrNotObject},
		{`[{}]`, relay.ErrNotObject},
		{deep, relay.ErrNotObject},
		{"\ufeff{}", relay.ErrNotObject},
		{"\u00a0{}", relay.ErrNotObject},
		{"{\u2028}", relay.ErrNotObject},
		{`{`, relay.ErrNotObject},
		{`{}}`, relay.ErrNotObject},
		{`{}{}`, relay.ErrNotObject},
		{`{"a":1,}`, relay.ErrNotObject},
		{`{,"a":1}`, relay.ErrNotObject},
		{`{a:1}`, relay.ErrNotObject},
		{`{'a':1}`, relay.ErrNotObject},
		{`{"a":01}`, relay.ErrNotObject},
		{`{"a":NaN}`, relay.ErrNotObject},
		{`{"a":"` + "\x00" + `"}`, relay.ErrNotObject},
		{"{\"a\":\"\xff\"}", relay.ErrNotObject},
		{"{\"a\":\"\xed\xa0\x80\"}", relay.ErrNotObject},
		{"{\"a\":\"\xc1\xa1\"}", relay.ErrNotObject},
		{`{"a":"\x61"}`, relay.ErrNotObject},
		{`{"a":1}//`, relay.ErrNotObject},
		{`{"a":` + deep + `}`, relay.ErrBadFrame},
		{`{"type":"gap","a":` + deep + `}`, relay.ErrBadFrame},
		{`{"type":"presence","data":1}`, relay.ErrBadFrame},
		{`{"type":"presence","data":null}`, relay.ErrBadFrame},
		{`{"type":"presence","data":[]}`, relay.ErrBadFrame},
		{`{"type":"presence","data":{},"data":[]}`, relay.ErrBadFrame},
		{`{"type":"presence","data":{"a":"` + strings.Repeat("x", 4096) + `"}}`, relay.ErrBadFrame},
		{`{"type":"state"}`, relay.ErrBadFrame},
		{`{"type":"state","state":{}}`, relay.ErrBadFrame},
		{`{"type":"state","patch":null}`, relay.ErrBadFrame},
		{`{"type":"state","patch":[]}`, relay.ErrBadFrame},
		{`{"type":"state","patch":{},"ifVersion":-1}`, relay.ErrBadFrame},
		{`{"type":"state","patch":{},"ifVersion":-0}`, relay.ErrBadFrame},
		{`{"type":"state","patch":{},"ifVersion":1.0}`, relay.ErrBadFrame},
		{`{"type":"state","patch":{},"ifVersion":1e2}`, relay.ErrBadFrame},
		{`{"type":"state","patch":{},"ifVersion":"1"}`, relay.ErrBadFrame},
		{`{"type":"state","patch":{},"ifVersion":null}`, relay.ErrBadFrame},
		{`{"type":"state","patch":{},"ifVersion":18446744073709551616}`, relay.ErrBadFrame},
		{`{"to":1}`, relay.ErrBadFrame},
		{`{"to":null}`, relay.ErrBadFrame},
		{`{"to":"a","to":["a"]}`, relay.ErrBadFrame},
		{`{"toTag":{}}`, relay.ErrBadFrame},
	} {
		f, err := relay.Parse([]byte(row.text), relay.Limits{})
		require.ErrorIs(t, err, row.err, "%.60s", row.text)
		require.Equal(t, relay.ClientFrame{}, f, "%.60s", row.text)
	}
}

func TestParseLimits(t *testing.T) {
	_, err := relay.Parse([]byte(`{"a":{"b":[]}}`), relay.Limits{Nesting: 3})
	require.NoError(t, err)
	_, err = relay.Parse([]byte(`{"a":{"b":[[]]}}`), relay.Limits{Nesting: 3})
	require.ErrorIs(t, err, relay.ErrBadFrame)
	_, err = relay.Parse([]byte(`{"type":"presence","data": {"a":1} }`), relay.Limits{Data: 7})
	require.NoError(t, err)
	_, err = relay.Parse([]byte(`{"type":"presence","data":{"a": 1}}`), relay.Limits{Data: 7})
	require.ErrorIs(t, err, relay.ErrBadFrame)
	open := strings.Repeat(`{"a":`, 1<<20)
	_, err = relay.Parse([]byte(open), relay.Limits{})
	require.ErrorIs(t, err, relay.ErrBadFrame)
}

func TestParseFields(t *testing.T) {
	f, err := relay.Parse([]byte(`{"data":1,"type":"presence","d\u0061ta": { "x" : 1e400 } }`), relay.Limits{})
	require.NoError(t, err)
	require.Equal(t, `{ "x" : 1e400 }`, string(f.Data))
	f, err = relay.Parse([]byte(`{"type":"presence","peers":[]}`), relay.Limits{})
	require.NoError(t, err)
	require.Nil(t, f.Data)

	f, err = relay.Parse([]byte(`{"type":"state","ifVersion":"x","patch":{"a":null},"ifVersion":18446744073709551615}`), relay.Limits{})
	require.NoError(t, err)
	require.Equal(t, `{"a":null}`, string(f.Data))
	require.Equal(t, uint64(1<<64-1), *f.IfVersion)
	f, err = relay.Parse([]byte(`{"type":"state","patch":{},"to":7}`), relay.Limits{})
	require.NoError(t, err, "only what is relayed has an address")
	require.Nil(t, f.IfVersion)

	f, err = relay.Parse([]byte(`{"to":7,"t\u006f":"\"\u00e9\ud83d\ude00\n\/","data":0,"patch":0,"ifVersion":"x"}`), relay.Limits{})
	require.NoError(t, err)
	require.True(t, f.HasTo)
	require.Equal(t, "\"é😀\n/", f.To)
	require.False(t, f.HasToTag)
	f, err = relay.Parse([]byte(`{"toTag":"","to":"\udc00\ud800\ud800\udc00\ud800"}`), relay.Limits{})
	require.NoError(t, err)
	require.True(t, f.HasToTag)
	require.Empty(t, f.ToTag)
	require.Equal(t, "\xed\xb0\x80\xed\xa0\x80\U00010000\xed\xa0\x80", f.To, "a lone surrogate is no U+FFFD, which an id may have")
}
