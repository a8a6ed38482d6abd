package relay_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/relay"
	"github.com/yserverd/yserverd/protocol/relay/difftest"
)

// decodeJSON reads a value with encoding/json, numbers as text. It is no oracle for strings with lone surrogates, which it
// replaces.
func decodeJSON(text []byte) (v any, ok bool) {
	if !utf8.Valid(text) || !json.Valid(text) {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err := d.Decode(&v)
	return v, err == nil
}

func mustDecodeJSON(t *testing.T, text []byte) any {
	v, ok := decodeJSON(text)
	require.True(t, ok, "%s", text)
	return v
}

func ofServer(typ any) bool {
	for {
		array, ok := typ.([]any)
		if !ok || len(array) != 1 {
			break
		}
		typ = array[0]
	}
	switch s, _ := typ.(string); s {
	case "presence", "state", "history", "gap", "error":
		return true
	default:
		return strings.HasPrefix(s, "auth:")
	}
}

// checkFrame holds what becomes of a text against encoding/json.
func checkFrame(t *testing.T, text []byte) {
	f, err := relay.Parse(text, relay.Limits{})
	v, _ := decodeJSON(text)
	object, ok := v.(map[string]any)
	if !ok {
		require.ErrorIs(t, err, relay.ErrNotObject, "%s", text)
		return
	}
	if err != nil {
		require.ErrorIs(t, err, relay.ErrBadFrame, "%s", text)
		return
	}
	require.Equal(t, ofServer(object["type"]), f.Kind != relay.Relay, "%s", text)
	if f.Kind == relay.State {
		require.Equal(t, object["patch"], mustDecodeJSON(t, f.Data), "%s", text)
	}
	if f.Kind == relay.Presence && f.Data != nil {
		require.Equal(t, object["data"], mustDecodeJSON(t, f.Data), "%s", text)
	}
	if f.Kind != relay.Relay {
		return
	}
	if f.HasTo {
		require.Equal(t, object["to"], f.To, "%s", text)
	}
	object["from"] = "f"
	delete(object, "userId")
	require.Equal(t, object, mustDecodeJSON(t, f.AppendRelay(nil, relay.Stamp{From: "f"})), "%s", text)
	object["userId"] = "\x00u"
	object["offset"] = json.Number("12")
	relayed := f.AppendRelay(nil, relay.Stamp{From: "f", UserID: "\x00u", Offset: 12, HasOffset: true})
	require.Equal(t, object, mustDecodeJSON(t, relayed), "%s", text)
	again, err := relay.Parse(relayed, relay.Limits{})
	require.NoError(t, err)
	require.Equal(t, relay.Relay, again.Kind)
}

// mergeOracle is the algorithm of RFC 7386, section 2.
func mergeOracle(target, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	t, ok := target.(map[string]any)
	if !ok {
		t = make(map[string]any)
	}
	for k, v := range p {
		if v == nil {
			delete(t, k)
		} else {
			t[k] = mergeOracle(t[k], v)
		}
	}
	return t
}

// checkMerge holds a merge patch against encoding/json.
func checkMerge(t *testing.T, target, patch []byte) {
	got, err := relay.MergePatch(nil, target, patch, 1<<20, 0)
	var tv any
	ok := true
	if len(target) > 0 {
		tv, ok = decodeJSON(target)
	}
	pv, patchOK := decodeJSON(patch)
	if !ok || !patchOK {
		require.ErrorIs(t, err, relay.ErrBadJSON, "%s with %s", target, patch)
		return
	}
	require.NoError(t, err, "%s with %s", target, patch)
	require.LessOrEqual(t, len(got), len(target)+len(patch))
	require.Equal(t, mergeOracle(tv, pv), mustDecodeJSON(t, got), "%s with %s", target, patch)
	var compact bytes.Buffer
	require.NoError(t, json.Compact(&compact, got))
	require.Equal(t, compact.String(), string(got), "%s with %s", target, patch)
	if got[0] == '{' {
		again, err := relay.MergePatch(nil, got, []byte(`{}`), len(got), 0)
		require.NoError(t, err)
		require.Equal(t, string(got), string(again), "an empty patch changes nothing")
	}
}

func TestRandomTextsAgainstEncodingJSON(t *testing.T) {
	n := 5_000
	switch {
	case os.Getenv("YSERVERD_TEST_LONG") == "1":
		n = 100_000
	case testing.Short():
		n = 2_000
	}
	g := difftest.Generator{Rand: rand.New(rand.NewPCG(1, 7386))}
	for i := range n {
		text, target, patch := g.Frame(), g.Value(), g.Value()
		if i%4 == 0 {
			text, patch = g.Damage(text), g.Damage(patch)
			if bytes.Contains(bytes.ToLower(append(text, patch...)), []byte(`\ud`)) {
				continue // half of a pair may be gone
			}
		}
		checkFrame(t, text)
		checkMerge(t, target, patch)
	}
}
