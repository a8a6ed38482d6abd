package yserver_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/protocol"
	"github.com/yserverd/yserverd/protocol/update"
	"github.com/yserverd/yserverd/protocol/ydoc"
	"github.com/yserverd/yserverd/yserver"
	"github.com/yserverd/yserverd/yserver/materialise"
)

// materialiser is the real one, or a function in its place.
type materialiser struct {
	replace func(ctx context.Context, current, target []byte) ([]byte, error)
}

func (m materialiser) Replace(ctx context.Context, current, target []byte) ([]byte, error) {
	if m.replace != nil {
		return m.replace(ctx, current, target)
	}
	return materialise.Replace(ctx, current, target, materialise.EditOptions{})
}

func withMaterialiser(m materialiser) func(*yserver.Config, *yserver.Party) {
	return func(c *yserver.Config, _ *yserver.Party) { c.Materialiser = m }
}

// textOf returns the root text "t" of a state.
func textOf(t testing.TB, state []byte) string {
	t.Helper()
	doc, err := materialise.Open(t.Context(), state, materialise.Limits{})
	require.NoError(t, err)
	text, err := doc.Text(t.Context(), "t")
	require.NoError(t, err)
	return string(text)
}

// text returns what the room's text is now.
func (k *kit) text(room string) string {
	k.t.Helper()
	state, err := k.room(room).State(context.Background())
	require.NoError(k.t, err)
	return textOf(k.t, state)
}

// follow applies what comes to a document until its text is want.
func (w *wire) follow(doc *ydoc.Doc, want string) {
	w.t.Helper()
	for textOf(w.t, doc.State()) != want {
		_, err := doc.Apply(w.frame(protocol.SyncUpdate))
		require.NoError(w.t, err)
	}
}

// Rule 10: restoring into a live room is a forward edit: everybody connected sees
// it, and the history goes on.
func TestRule10Restore(t *testing.T) {
	k := start(t, withMaterialiser(materialiser{}))
	r, ctx := k.room("r"), t.Context()
	w, _ := k.join("/yjs/r")
	p, doc := k.join("/parties/main/r?_pk=p")
	w.update(typed(1, 0, "hello"))
	w.frame(protocol.SyncUpdate)
	v, err := r.PutVersion(ctx, "v", "")
	require.NoError(t, err)
	w.update(typed(1, 5, " and more"))
	p.follow(doc, "hello and more")

	require.NoError(t, r.Restore(ctx, v.ID))
	p.follow(doc, "hello")
	require.Equal(t, "hello", k.text("r"))
	require.Equal(t, "hello", textOf(t, k.stored("r").State()), "it is committed")
	require.EqualValues(t, 0, k.listed()[0].Epoch, "the same epoch")
	w.update(typed(1, 14, "!"))
	p.follow(doc, "hello!")

	require.ErrorIs(t, r.Restore(ctx, "nothing"), persist.ErrNotFound)
	before := k.listed()[0].Seq
	require.NoError(t, r.ReplaceDocument(ctx, doc.State()), "nothing is to be done")
	require.Equal(t, before, k.listed()[0].Seq)
}

// A version of an epoch that has ended is restored like any other: its content
// comes back, its clients do not.
func TestRule10RestoreOfAFormerEpoch(t *testing.T) {
	k := start(t, withMaterialiser(materialiser{}))
	r, ctx := k.room("r"), t.Context()
	require.NoError(t, r.Apply(ctx, typed(oldClient, 0, "old")))
	v, err := r.PutVersion(ctx, "v", "")
	require.NoError(t, err)
	require.NoError(t, r.Import(ctx, typed(newClient, 0, "new")))
	require.NoError(t, r.Restore(ctx, v.ID))
	require.Equal(t, "old", k.text("r"))
	for _, id := range k.content("r") {
		require.NotEqualValues(t, oldClient, id.Client)
	}
}

// Restore while clients type: everybody, the server and the store have the same in
// the end, and the history holds every edit.
func TestRule10RestoreUnderLoad(t *testing.T) {
	k := start(t, withMaterialiser(materialiser{}))
	r, ctx := k.room("r"), t.Context()
	require.NoError(t, r.Apply(ctx, typed(1, 0, "hello")))
	v, err := r.PutVersion(ctx, "v", "")
	require.NoError(t, err)
	var scribes []*scribe
	for i := range 3 {
		scribes = append(scribes, k.scribe("/yjs/r", uint64(10+i)))
	}
	watcher, doc := k.join("/parties/main/r?_pk=watcher")
	for range 10 {
		eventually(t, "they type", func() bool { return k.text("r") != "hello" })
		require.NoError(t, r.Restore(ctx, v.ID))
	}
	for _, s := range scribes {
		require.NoError(t, s.w.conn.Close())
		<-s.done
	}
	eventually(t, "they have left", func() bool { return len(r.Connections()) == 1 })
	require.NoError(t, r.Restore(ctx, v.ID))
	watcher.follow(doc, "hello")
	require.Equal(t, "hello", k.text("r"))
	require.Equal(t, "hello", textOf(t, k.stored("r").State()))
	kept := map[uint64]uint64{}
	for _, id := range k.content("r") {
		kept[id.Client] = id.Clock
	}
	for _, s := range scribes {
		require.GreaterOrEqual(t, kept[s.client], s.stored)
	}
	eventually(t, "the watcher has all", func() bool {
		for len(watcher.in) > 0 {
			msg, err := protocol.Parse(watcher.next())
			require.NoError(t, err)
			_, err = doc.Apply(msg.Payload)
			require.NoError(t, err)
		}
		return string(doc.StateVector()) == string(k.stored("r").StateVector())
	})
}

// What a materialiser makes is checked before it is applied.
func TestMaterialiserIsNotTrusted(t *testing.T) {
	boom := errors.New("a kind that cannot be restored")
	for _, tc := range []struct {
		name string
		edit []byte
		err  error
		want string
	}{
		{"it refuses", nil, boom, "cannot be restored"},
		{"no update", []byte{9, 9}, nil, "does not apply"},
		{"a gap", typed(2, 5, "x"), nil, "names what is not there"},
		{"an unknown origin", item1(2, update.HasOrigin, 55, 0), nil, "names what is not there"},
		{"a client of the document", typed(1, 1, "x"), nil, "client that the document has"},
		{"over the limit", typed(2, 0, string(make([]byte, 2<<10))), nil, "over a limit"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := materialiser{func(context.Context, []byte, []byte) ([]byte, error) { return tc.edit, tc.err }}
			k := start(t, withMaterialiser(m), func(_ *yserver.Config, p *yserver.Party) { p.Limits.Document = 1 << 10 })
			r, ctx := k.room("r"), t.Context()
			require.NoError(t, r.Apply(ctx, typed(1, 0, "a")))
			err := r.ReplaceDocument(ctx, typed(3, 0, "b"))
			require.ErrorContains(t, err, tc.want)
			if tc.err != nil {
				require.ErrorIs(t, err, tc.err)
			}
			require.Equal(t, "a", k.text("r"))
			require.Len(t, k.content("r"), 1)
		})
	}
	t.Run("none", func(t *testing.T) {
		require.ErrorIs(t, start(t).room("r").ReplaceDocument(t.Context(), []byte{0, 0}), yserver.ErrNoMaterialiser)
	})
}

// An edit made for one epoch is not applied in the next.
func TestRestoreAcrossAnEpoch(t *testing.T) {
	var k *kit
	m := materialiser{func(ctx context.Context, _, _ []byte) ([]byte, error) {
		return typed(2, 0, "edit"), k.room("r").Import(ctx, typed(newClient, 0, "new"))
	}}
	k = start(t, withMaterialiser(m))
	r, ctx := k.room("r"), t.Context()
	require.NoError(t, r.Apply(ctx, typed(1, 0, "a")))
	require.ErrorIs(t, r.ReplaceDocument(ctx, typed(3, 0, "b")), persist.ErrEpoch)
	require.Equal(t, onlyNew, k.content("r"))
}
