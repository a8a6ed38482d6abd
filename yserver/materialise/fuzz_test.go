package materialise_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/yserver/materialise"
)

// mayFail are the errors that a state may be answered with.
var mayFail = []error{materialise.ErrMalformed, materialise.ErrLimit, materialise.ErrUnsupported, materialise.ErrAmbiguous, context.DeadlineExceeded}

func allowed(err error) bool {
	for _, e := range mayFail {
		if errors.Is(err, e) {
			return true
		}
	}
	return err == nil
}

// FuzzOpen integrates whatever the decoder accepts, renders every root in every way, empties it and makes it anew.
func FuzzOpen(f *testing.F) {
	for _, b := range [][]byte{
		update.Empty, deep(20, false), deep(20, true), conflicts(5), manyFormats(3),
		bytesOf([]byte{1, 1, 7, 0, byte(update.Deleted), 1}, "r", 1000, []byte{1}, 7, 2, 5, 1, 9, 9),
		bytesOf([]byte{1, 3, 9, 0, 4, 1}, "t", "ab", []byte{0xe5}, 9, 1, 9, 1, "null", []byte{0x80}, 1, []byte{0}),
	} {
		f.Add(b)
	}
	lim := materialise.Limits{Bytes: 1 << 16, Items: 1 << 14, Output: 1 << 20, Time: 20 * time.Second}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := materialise.Open(t.Context(), b, lim)
		if err != nil {
			require.True(t, allowed(err), "%v", err)
			return
		}
		for _, r := range d.Roots() {
			renderAll(t, d, r.Name)
		}
		_, err = d.AllJSON(t.Context())
		require.True(t, allowed(err), "%v", err)

		empty, err := materialise.Replace(t.Context(), b, update.Empty, materialise.EditOptions{Limits: lim})
		require.True(t, allowed(err), "%v", err)
		again, err := materialise.Replace(t.Context(), update.Empty, b, materialise.EditOptions{Limits: lim})
		require.True(t, allowed(err), "%v", err)
		if err != nil || again == nil {
			return
		}
		compareRoots(t, d, again, lim)
		if empty != nil {
			all, err := update.Merge(nil, b, empty)
			require.NoError(t, err)
			e, err := materialise.Open(t.Context(), all, materialise.Limits{})
			require.NoError(t, err)
			for _, r := range e.Roots() {
				require.Zero(t, r.Length)
				require.Zero(t, r.Keys)
			}
		}
	})
}

func renderAll(t *testing.T, d *materialise.Document, root string) {
	for k := materialise.Array; k <= materialise.XMLText; k++ {
		_, err := d.JSON(t.Context(), root, k)
		require.True(t, allowed(err), "%v", err)
		_, err = d.XML(t.Context(), root, k)
		require.True(t, allowed(err), "%v", err)
	}
	_, err := d.Delta(t.Context(), root)
	require.True(t, allowed(err), "%v", err)
	_, err = d.Text(t.Context(), root)
	require.True(t, allowed(err), "%v", err)
}

// compareRoots holds what a replacement of nothing makes to what it was made from.
func compareRoots(t *testing.T, d *materialise.Document, state []byte, lim materialise.Limits) {
	lim.Bytes = 1 << 20
	copied, err := materialise.Open(t.Context(), state, lim)
	require.NoError(t, err)
	same, err := materialise.Same(t.Context(), d, copied)
	require.NoError(t, err)
	require.True(t, same)
}
