package persisttest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
)

// versionAt is a version that was made at so many milliseconds.
func versionAt(id string, ms int64) persist.Version {
	return persist.Version{ID: id, Created: time.UnixMilli(ms).UTC()}
}

func (e *env) putVersion(k persist.Key, id string, ms int64, state string) {
	e.Helper()
	require.NoError(e, e.store.PutVersion(e.ctx, k, versionAt(id, ms), []byte(state)))
}

// versions is all versions of a document as text: "id@milliseconds=state". It
// reads small pages.
func (e *env) versions(k persist.Key) string {
	e.Helper()
	var words []string
	for cursor := ""; ; {
		page, next, err := e.store.Versions(e.ctx, k, cursor, 2)
		require.NoError(e, err)
		require.LessOrEqual(e, len(page), 2)
		for _, listed := range page {
			v, state, err := e.store.Version(e.ctx, k, listed.ID)
			require.NoError(e, err)
			require.Equal(e, listed, v)
			require.Equal(e, int64(len(state)), v.Bytes)
			words = append(words, fmt.Sprintf("%s@%d=%s", v.ID, v.Created.UnixMilli(), state))
		}
		if next == "" {
			return strings.Join(words, " ")
		}
		require.NotEmpty(e, page)
		cursor = next
	}
}

func testVersions(e *env) {
	k, other := key("notes"), key("notes2")
	e.mustAppend(k, 0, "a")
	e.mustAppend(other, 0, "a")
	require.Empty(e, e.versions(k))
	v := persist.Version{
		ID: "Az09_-", Name: "before the cut", Author: "Jörg\n", Automatic: true, Epoch: 1 << 50, Seq: 1 << 60, Bytes: 99,
		Created: time.Date(2030, 1, 2, 3, 4, 5, 678_900_000, time.FixedZone("there", 3600)),
	}
	state := []byte("state")
	require.NoError(e, e.store.PutVersion(e.ctx, k, v, state))
	state[0] = '#'
	v.Bytes, v.Created = 5, time.Date(2030, 1, 2, 2, 4, 5, 678_000_000, time.UTC)
	for range 2 {
		got, state, err := e.store.Version(e.ctx, k, v.ID)
		require.NoError(e, err)
		require.Equal(e, v, got)
		require.Equal(e, "state", string(state))
		state[0] = '#'
		page, next, err := e.store.Versions(e.ctx, k, "", 0)
		require.NoError(e, err)
		require.Empty(e, next)
		require.Equal(e, []persist.Version{v}, page)
		require.Empty(e, e.versions(other))
		_, _, err = e.store.Version(e.ctx, other, v.ID)
		require.ErrorIs(e, err, persist.ErrNotFound)
		e.reopen()
	}
	e.putVersion(k, v.ID, 5, "another")
	require.Contains(e, e.versions(k), "=state", "what is there is left as it is")
	e.putVersion(other, v.ID, 5, "another")
	require.Equal(e, "Az09_-@5=another", e.versions(other))

	large := strings.Repeat("\x00\xff", 3<<20)
	e.putVersion(k, "large", 1, large)
	e.reopen()
	_, got, err := e.store.Version(e.ctx, k, "large")
	require.NoError(e, err)
	require.True(e, large == string(got), "a large state changed")
	require.Equal(e, "a", content(e.load(k)), "the document is not touched")
}

func testVersionsListed(e *env) {
	k := key("notes")
	e.mustAppend(k, 0, "a")
	for _, v := range []struct {
		id string
		ms int64
	}{{"b", 5}, {"a", 5}, {"c", 9}, {"bb", 5}, {"z", 1}, {"y", 1 << 41}, {"x", 0}} {
		e.putVersion(k, v.id, v.ms, v.id)
	}
	require.Equal(e, fmt.Sprintf("y@%d=y c@9=c bb@5=bb b@5=b a@5=a z@1=z x@0=x", 1<<41), e.versions(k))
	// Versions that come and go between pages.
	page, next, err := e.store.Versions(e.ctx, k, "", 3)
	require.NoError(e, err)
	require.Len(e, page, 3)
	require.NotEmpty(e, next)
	e.putVersion(k, "new", 1<<42, "new")
	e.putVersion(k, "b0", 5, "b0")
	require.NoError(e, e.store.DeleteVersion(e.ctx, k, "bb"))
	page, next, err = e.store.Versions(e.ctx, k, next, 100)
	require.NoError(e, err)
	require.Empty(e, next)
	var ids []string
	for _, v := range page {
		ids = append(ids, v.ID)
	}
	require.Equal(e, []string{"b0", "b", "a", "z", "x"}, ids)
	_, _, err = e.store.Versions(e.ctx, k, "!no cursor!", 0)
	require.ErrorIs(e, err, persist.ErrInvalid)
	require.Empty(e, e.versions(key("nowhere")))
}

func testVersionsRefused(e *env) {
	k := key("notes")
	ok := versionAt("v", 5)
	require.ErrorIs(e, e.store.PutVersion(e.ctx, k, ok, []byte("x")), persist.ErrNotFound)
	require.ErrorIs(e, e.store.DeleteVersion(e.ctx, k, "v"), persist.ErrNotFound)
	e.mustAppend(k, 0, "a")
	bad := map[string]func(*persist.Version){
		"no id":       func(v *persist.Version) { v.ID = "" },
		"long id":     func(v *persist.Version) { v.ID = strings.Repeat("v", persist.MaxVersionIDBytes+1) },
		"slash":       func(v *persist.Version) { v.ID = "a/b" },
		"dot":         func(v *persist.Version) { v.ID = "a.b" },
		"NUL in name": func(v *persist.Version) { v.Name = "a\x00" },
		"long author": func(v *persist.Version) { v.Author = strings.Repeat("a", persist.MaxNameBytes+1) },
		"no time":     func(v *persist.Version) { v.Created = time.Time{} },
		"bad time":    func(v *persist.Version) { v.Created = time.UnixMilli(-1) },
	}
	for name, change := range bad {
		v := ok
		change(&v)
		require.ErrorIs(e, e.store.PutVersion(e.ctx, k, v, []byte("x")), persist.ErrInvalid, name)
	}
	require.ErrorIs(e, e.store.PutVersion(e.ctx, k, ok, nil), persist.ErrInvalid)
	require.ErrorIs(e, e.store.PutVersion(e.ctx, persist.Key{}, ok, []byte("x")), persist.ErrInvalid)
	_, _, err := e.store.Version(e.ctx, k, "a/b")
	require.ErrorIs(e, err, persist.ErrInvalid)
	require.ErrorIs(e, e.store.DeleteVersion(e.ctx, k, ""), persist.ErrInvalid)
	_, _, err = e.store.Versions(e.ctx, persist.Key{}, "", 0)
	require.ErrorIs(e, err, persist.ErrInvalid)
	require.Empty(e, e.versions(k))

	longest := versionAt(strings.Repeat("v", persist.MaxVersionIDBytes), 5)
	longest.Name, longest.Author = strings.Repeat("n", persist.MaxNameBytes), strings.Repeat("\xff", persist.MaxNameBytes)
	require.NoError(e, e.store.PutVersion(e.ctx, k, longest, []byte("x")))
	require.NotEmpty(e, e.versions(k))

	require.NoError(e, e.store.Delete(e.ctx, k, nil))
	require.ErrorIs(e, e.store.PutVersion(e.ctx, k, ok, []byte("x")), persist.ErrDeleted)
	require.ErrorIs(e, e.store.DeleteVersion(e.ctx, k, longest.ID), persist.ErrDeleted)
	_, _, err = e.store.Version(e.ctx, k, longest.ID)
	require.ErrorIs(e, err, persist.ErrDeleted)
	_, _, err = e.store.Versions(e.ctx, k, "", 0)
	require.ErrorIs(e, err, persist.ErrDeleted)
}

func testDeleteVersion(e *env) {
	k := key("notes")
	e.mustAppend(k, 0, "a")
	e.putVersion(k, "a", 1, "one")
	e.putVersion(k, "b", 2, strings.Repeat("two", 1000))
	e.putVersion(k, "c", 3, "three")
	require.NoError(e, e.store.DeleteVersion(e.ctx, k, "b"))
	require.ErrorIs(e, e.store.DeleteVersion(e.ctx, k, "b"), persist.ErrNotFound)
	for range 2 {
		_, _, err := e.store.Version(e.ctx, k, "b")
		require.ErrorIs(e, err, persist.ErrNotFound)
		require.Equal(e, "c@3=three a@1=one", e.versions(k))
		e.reopen()
	}
	e.putVersion(k, "b", 4, "again")
	require.Equal(e, "b@4=again c@3=three a@1=one", e.versions(k))
	// Versions outlive an epoch.
	e.replace(k, 0, "imported")
	e.reopen()
	require.Equal(e, "b@4=again c@3=three a@1=one", e.versions(k))
}

// testVersionsQuarantine: a version is how a document can be restored.
func testVersionsQuarantine(e *env) {
	q, ok := e.store.(Quarantiner)
	if !ok {
		e.Skip("the store has no quarantine")
	}
	k := key("notes")
	e.mustAppend(k, 0, "a")
	e.putVersion(k, "v", 1, "state")
	require.NoError(e, q.Quarantine(e.ctx, k, "why"))
	require.Equal(e, "v@1=state", e.versions(k))
	require.ErrorIs(e, e.store.PutVersion(e.ctx, k, versionAt("w", 2), []byte("x")), persist.ErrCorrupt)
	require.ErrorIs(e, e.store.DeleteVersion(e.ctx, k, "v"), persist.ErrCorrupt)
	require.ErrorIs(e, e.store.Undelete(e.ctx, k), persist.ErrCorrupt)
	_, err := e.store.Replace(e.ctx, k, 0, nil, []byte("x"))
	require.ErrorIs(e, err, persist.ErrCorrupt)
	require.NoError(e, q.Release(e.ctx, k))
	_, state, err := e.store.Version(e.ctx, k, "v")
	require.NoError(e, err)
	e.replace(k, 0, string(state))
	require.Equal(e, "state@2", content(e.load(k)))
}

// refusedWhole checks that every method that has to do with the lives of a
// document and its versions fails with the error.
func (e *env) refusedWhole(ctx context.Context, k persist.Key, want error) {
	e.Helper()
	_, err := e.store.Replace(ctx, k, 0, nil, []byte("x"))
	require.ErrorIs(e, err, want)
	require.ErrorIs(e, e.store.Undelete(ctx, k), want)
	require.ErrorIs(e, e.store.Purge(ctx, k), want)
	require.ErrorIs(e, e.store.PutVersion(ctx, k, versionAt("w", 2), []byte("x")), want)
	_, _, err = e.store.Versions(ctx, k, "", 0)
	require.ErrorIs(e, err, want)
	_, _, err = e.store.Version(ctx, k, "v")
	require.ErrorIs(e, err, want)
	require.ErrorIs(e, e.store.DeleteVersion(ctx, k, "v"), want)
	_, err = e.store.Sweep(ctx, persist.SweepOptions{})
	require.ErrorIs(e, err, want)
}

func testLivesRefused(e *env) {
	k := key("notes")
	e.mustAppend(k, 0, "a")
	e.putVersion(k, "v", 1, "state")
	ctx, cancel := context.WithCancel(e.ctx)
	cancel()
	e.refusedWhole(ctx, k, context.Canceled)
	require.Equal(e, "a", content(e.load(k)), "the store still works")
	require.Equal(e, "v@1=state", e.versions(k))
	require.NoError(e, e.store.Close())
	e.refusedWhole(e.ctx, k, persist.ErrClosed)
}
