package yserver_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/yserver"
)

func TestFlapping(t *testing.T) {
	const s = time.Second
	f := yserver.NewTestFlapping()
	for i := range 5 {
		f.Closed("a", 20*s+time.Duration(i)*s)
		require.Zero(t, f.Wait("a", 30*s))
	}
	require.Zero(t, f.Wait("a", 25*s), "five are forgiven")
	f.Closed("a", 25*s)
	require.Equal(t, 5*s, f.Wait("a", 25*s), "until the first is ten seconds ago")
	require.Zero(t, f.Wait("b", 25*s))
	require.Zero(t, f.Wait("a", 30*s))
	f.Closed("a", 30*s) // a generation later
	require.Equal(t, s, f.Wait("a", 30*s))
	for i := range 20 {
		at := 100*s + time.Duration(i)*2*s
		f.Closed("slow", at)
		require.Zero(t, f.Wait("slow", at), "one in two seconds is not fast")
	}
	for i := range 50_000 {
		f.Closed(strconv.Itoa(i), 200*s)
	}
	require.LessOrEqual(t, f.Len(), 8192)
}
