package lib0_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/lib0"
)

var errSize = errors.New("too large")

// letterKind is the enumeration of a format that is built on lib0.
type letterKind uint8

const (
	letterCut letterKind = iota + 1
	letterOdd
	letterLarge
)

func (k letterKind) String() string {
	return lib0.KindText([]string{letterCut: "cut", letterLarge: "large"}, k)
}

func (letterKind) Package() string { return "letter" }

func (k letterKind) Class() error {
	if k == letterLarge {
		return errSize
	}
	return io.ErrUnexpectedEOF
}

func TestKindErrorHasAKindAndAClass(t *testing.T) {
	type failure = lib0.KindError[letterKind]
	large := error(&failure{Kind: letterLarge, Offset: 7})
	require.EqualError(t, large, "letter: large at byte 7")
	require.EqualError(t, &failure{Kind: letterOdd}, "letter: unknown fault at byte 0")
	require.ErrorIs(t, large, errSize)
	require.NotErrorIs(t, large, io.ErrUnexpectedEOF)
	require.ErrorIs(t, large, &failure{Kind: letterLarge})
	require.NotErrorIs(t, large, &failure{Kind: letterCut, Offset: 7})
	require.NotErrorIs(t, large, &lib0.Error{Kind: lib0.ErrKind(letterLarge), Offset: 7}, "another enumeration")
	require.Nil(t, lib0.ErrEnd.Class())
}

func TestLiftTranslates(t *testing.T) {
	type failure = lib0.KindError[letterKind]
	kinds := []letterKind{lib0.ErrEnd: letterCut, lib0.ErrUTF8: letterOdd}
	for from, to := range map[lib0.ErrKind]letterKind{
		lib0.ErrEnd:   letterCut,
		lib0.ErrUTF8:  letterOdd,
		lib0.ErrRange: letterLarge, // in the table, without a kind
		lib0.ErrDepth: letterLarge, // past the table
	} {
		err := fmt.Errorf("wrapped: %w", &lib0.Error{Kind: from, Offset: 3})
		require.Equal(t, &failure{Kind: to, Offset: 13}, lib0.Lift(err, 10, kinds, letterLarge), from)
	}
	require.Equal(t, io.EOF, lib0.Lift(io.EOF, 10, kinds, letterLarge))
}
