package materialise_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/lib0"
	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/yserver/materialise"
)

// bytesOf makes bytes of numbers, which are varuints, of strings, which have their length before them, and of bytes.
func bytesOf(parts ...any) []byte { return add(nil, parts...) }

// add appends such bytes.
func add(b []byte, parts ...any) []byte {
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			b = lib0.AppendVarUint(b, uint64(p))
		case uint64:
			b = lib0.AppendVarUint(b, p)
		case string:
			b = lib0.AppendVarString(b, p)
		case []byte:
			b = append(b, p...)
		}
	}
	return b
}

// change makes an edit of a state and returns the state after it.
func change(t testing.TB, state []byte, fn func(*materialise.Tx) error) []byte {
	t.Helper()
	u, err := materialise.Edit(t.Context(), state, materialise.EditOptions{}, fn)
	require.NoError(t, err)
	return merged(t, state, u)
}

func merged(t testing.TB, state, u []byte) []byte {
	t.Helper()
	if u == nil {
		return state
	}
	all, err := update.Merge(nil, state, u)
	require.NoError(t, err)
	return all
}

func open(t testing.TB, state []byte) *materialise.Document {
	t.Helper()
	d, err := materialise.Open(t.Context(), state, materialise.Limits{})
	require.NoError(t, err)
	return d
}

// jsonOf, deltaOf and xmlOf render a root.
func jsonOf(t testing.TB, state []byte, root string, kind materialise.Kind) string {
	t.Helper()
	b, err := open(t, state).JSON(t.Context(), root, kind)
	require.NoError(t, err)
	return string(b)
}

func deltaOf(t testing.TB, state []byte, root string) string {
	t.Helper()
	b, err := open(t, state).Delta(t.Context(), root)
	require.NoError(t, err)
	return string(b)
}

func xmlOf(t testing.TB, state []byte, root string) string {
	t.Helper()
	b, err := open(t, state).XML(t.Context(), root, materialise.Unknown)
	require.NoError(t, err)
	return string(b)
}
