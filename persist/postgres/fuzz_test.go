package postgres_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/postgres"
)

// FuzzCursor: whatever is given for a cursor, it is refused or begins behind a room of the listing.
func FuzzCursor(f *testing.F) {
	f.Add(postgres.FormatCursor("room"), "ro")
	f.Add(postgres.FormatCursor("a\xff"), "")
	f.Add("", "x")
	f.Add("!", "")
	f.Fuzz(func(t *testing.T, cursor, prefix string) {
		from, err := postgres.ParseCursor(cursor, prefix)
		if err != nil {
			require.ErrorIs(t, err, persist.ErrInvalid)
			return
		}
		require.True(t, strings.HasPrefix(string(from), prefix))
		if cursor == "" {
			return
		}
		again, err := postgres.ParseCursor(postgres.FormatCursor(string(from[:len(from)-1])), prefix)
		require.NoError(t, err)
		require.Equal(t, from, again)
	})
}

// FuzzVersionCursor is FuzzCursor for versions.
func FuzzVersionCursor(f *testing.F) {
	f.Add("")
	f.Add("MTIgYQ")
	f.Add("LTEgYQ")
	f.Fuzz(func(t *testing.T, cursor string) {
		at, id, err := postgres.ParseVersionCursor(cursor)
		if err != nil {
			require.ErrorIs(t, err, persist.ErrInvalid)
			return
		}
		if cursor == "" {
			return
		}
		require.NoError(t, persist.ValidateVersionID(id))
		require.NoError(t, persist.ValidateAlarm(at))
		at2, id2, err := postgres.ParseVersionCursor(postgres.FormatVersionCursor(persist.Version{ID: id, Created: at}))
		require.NoError(t, err)
		require.True(t, at.Equal(at2))
		require.Equal(t, id, id2)
	})
}
