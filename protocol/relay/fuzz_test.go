package relay_test

import (
	"encoding/json"
	"strconv"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/relay"
)

// lone reports whether a text may have surrogates without a partner, or be nested too deeply, and so is nothing to hold
// against encoding/json.
func lone(text []byte) bool {
	depth := 0
	for i, c := range text {
		if c == '{' || c == '[' {
			depth++
		}
		if c == '\\' && i+2 < len(text) && text[i+1] == 'u' && text[i+2]|0x20 == 'd' || depth > 400 {
			return true
		}
	}
	return false
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"type":"chat","fr\u006fm":"x","userId":{},"a":[1e400,"\ud800"]}`))
	f.Add([]byte(`{"type":"gap","t\u0079pe":[["presence"]],"to":"c1"}`))
	f.Add([]byte(`{"type":"state","patch":{"a":null},"ifVersion":3}`))
	f.Add([]byte("\ufeff{}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if !lone(text) {
			checkFrame(t, text)
			return
		}
		p, err := relay.Parse(text, relay.Limits{})
		if err != nil || p.Kind != relay.Relay {
			return
		}
		relayed := p.AppendRelay(nil, relay.Stamp{From: "c1", Offset: 1, HasOffset: true})
		var stamp struct {
			From   string
			Offset uint64
		}
		again, err := relay.Parse(relayed, relay.Limits{})
		require.NoError(t, err)
		require.Equal(t, relay.Relay, again.Kind)
		require.NoError(t, json.Unmarshal(relayed, &stamp))
		require.Equal(t, "c1", stamp.From)
		require.Equal(t, uint64(1), stamp.Offset)
	})
}

func FuzzMergePatch(f *testing.F) {
	f.Add([]byte(`{"a":{"b":1},"a":[{"x":1,"x":2}]}`), []byte(` {"a":{"c":null} , "__proto__":1}`), 40)
	f.Add([]byte(`{"\ud800":1,"\u0061":0}`), []byte(`{"\ud801":1,"a":null}`), 3)
	f.Add([]byte{}, []byte(`{"a":{"b":null}}`), 0)
	f.Fuzz(func(t *testing.T, target, patch []byte, most int) {
		if !lone(target) && !lone(patch) {
			checkMerge(t, target, patch)
		}
		got, err := relay.MergePatch([]byte("+"), target, patch, most, 0)
		require.Equal(t, byte('+'), got[0])
		if err != nil {
			require.Len(t, got, 1)
			return
		}
		require.LessOrEqual(t, len(got)-1, most)
		require.True(t, json.Valid(got[1:]))
	})
}

func FuzzParseSince(f *testing.F) {
	f.Add("e:1")
	f.Add("a:b:18446744073709551616")
	f.Fuzz(func(t *testing.T, s string) {
		epoch, offset, ok := relay.ParseSince(s)
		if !ok {
			return
		}
		require.NotEmpty(t, epoch)
		require.Equal(t, s, epoch+":"+strconv.FormatUint(offset, 10))
		if utf8.ValidString(epoch) {
			require.True(t, json.Valid(relay.AppendGap(nil, epoch, offset)))
		}
	})
}
