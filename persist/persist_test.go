package persist_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
)

func TestKeyValidate(t *testing.T) {
	longest := strings.Repeat("x", persist.MaxNameBytes)
	for _, k := range []persist.Key{
		{Party: "main", Room: "r"},
		{Party: longest, Room: longest},
		{Party: "\xff\x01", Room: "a/b\n\xf0\x9f\x98\x80"},
	} {
		require.NoError(t, k.Validate(), "%q", k)
	}
	for _, k := range []persist.Key{
		{},
		{Party: "main"},
		{Room: "r"},
		{Party: "ma\x00in", Room: "r"},
		{Party: "main", Room: "\x00"},
		{Party: longest + "x", Room: "r"},
		{Party: "main", Room: longest + "x"},
	} {
		require.ErrorIs(t, k.Validate(), persist.ErrInvalid, "%q", k)
	}
	require.NoError(t, persist.ValidateParty("main"))
	require.ErrorIs(t, persist.ValidateParty(""), persist.ErrInvalid)
}

func TestPageLimit(t *testing.T) {
	require.Equal(t, persist.DefaultListLimit, persist.PageLimit(0))
	require.Equal(t, persist.DefaultListLimit, persist.PageLimit(-5))
	require.Equal(t, 7, persist.PageLimit(7))
	require.Equal(t, persist.MaxListLimit, persist.PageLimit(1<<30))
}

func TestErrorsMatchAndName(t *testing.T) {
	key := persist.Key{Party: "main", Room: "notes"}

	var err error = &persist.CorruptError{Key: key, Row: 17, Reason: "checksum", Err: io.ErrUnexpectedEOF}
	require.ErrorIs(t, err, persist.ErrCorrupt)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.ErrorContains(t, err, `"main/notes": row 17: checksum: unexpected EOF`)

	err = &persist.CorruptError{Key: key, Reason: "head"}
	require.ErrorIs(t, err, persist.ErrCorrupt)
	require.NotContains(t, err.Error(), "row")

	err = &persist.LockedError{Place: "/data", Err: errors.New("busy")}
	require.ErrorIs(t, err, persist.ErrLocked)
	require.ErrorContains(t, err, `"/data"`)

	err = &persist.FormatError{Place: "/data", Found: 9, Supported: 1}
	require.ErrorIs(t, err, persist.ErrFormat)
	require.ErrorContains(t, err, "version 9, this program reads up to 1")
	require.ErrorContains(t, &persist.FormatError{Place: "/data"}, "no document store")
}
