package persist_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
)

func TestVersionValidate(t *testing.T) {
	longest := strings.Repeat("v", persist.MaxVersionIDBytes)
	for _, id := range []string{"a", "-", "_", "AZaz09-_", longest} {
		require.NoError(t, persist.ValidateVersionID(id), id)
	}
	for _, id := range []string{"", longest + "v", "a/b", "a.b", "a b", "ä", "a\x00", "%41", "~"} {
		require.ErrorIs(t, persist.ValidateVersionID(id), persist.ErrInvalid, "%q", id)
	}
	v := persist.Version{ID: "a", Created: time.UnixMilli(0)}
	require.NoError(t, v.Validate())
	v.Name = strings.Repeat("n", persist.MaxNameBytes)
	require.NoError(t, v.Validate())
	v.Author = "a\x00"
	require.ErrorIs(t, v.Validate(), persist.ErrInvalid)
	v.Author, v.Created = "", time.Time{}
	require.ErrorIs(t, v.Validate(), persist.ErrInvalid)
}

func TestMergeDead(t *testing.T) {
	require.Nil(t, persist.MergeDead(nil, []uint64{}))
	a, b := []uint64{7, 1, 7}, []uint64{3, 1<<64 - 1}
	require.Equal(t, []uint64{1, 3, 7, 1<<64 - 1}, persist.MergeDead(a, b))
	require.Equal(t, []uint64{7, 1, 7}, a)
	require.NoError(t, persist.ValidateDead(make([]uint64, persist.MaxDeadClients)))
	require.ErrorIs(t, persist.ValidateDead(make([]uint64, persist.MaxDeadClients+1)), persist.ErrInvalid)
}

func TestSweepLimit(t *testing.T) {
	require.Equal(t, persist.DefaultSweepLimit, persist.SweepLimit(0))
	require.Equal(t, 7, persist.SweepLimit(7))
}
