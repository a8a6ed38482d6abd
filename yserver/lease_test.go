package yserver_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/yserverd/yserverd/yserver"
)

// Leases come due in the order of their times, whatever was set before, and none
// that was taken back.
func TestLeases(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, want := yserver.NewTestLeases(8), map[int]time.Time{}
		begun := time.Unix(0, 0)
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			n := rapid.IntRange(0, 7).Draw(t, "lease")
			at := begun.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "at")))
			switch rapid.IntRange(0, 3).Draw(t, "op") {
			case 0:
				x.Remove(n)
				delete(want, n)
			case 1:
				for n := x.Due(at); n >= 0; n = x.Due(at) {
					require.Contains(t, want, n)
					for _, other := range want {
						require.False(t, other.Before(want[n]), "another was due before")
					}
					require.False(t, want[n].After(at))
					delete(want, n)
				}
				for _, other := range want {
					require.True(t, other.After(at), "one is due and did not come")
				}
			default:
				x.Set(n, at)
				want[n] = at
			}
		}
	})
}

// What strangers may do is kept once for all of them.
func TestGrantsOfStrangersAreShared(t *testing.T) {
	k := start(t)
	for range 2 {
		k.dial("/parties/main/r")
	}
	conns := k.room("r").Connections("")
	require.Len(t, conns, 2)
	require.True(t, yserver.ShareGrant(conns[0], conns[1]))
	require.Zero(t, yserver.Leases(k.Srv))

	d := newDirectory()
	d.knows("ann", until(far()))
	k = start(t, guarded(t, d))
	w := k.dial("/parties/main/r?token=ann")
	require.Equal(t, 1, yserver.Leases(k.Srv))
	require.NoError(t, w.conn.Close())
	eventually(t, "it is forgotten", func() bool { return yserver.Leases(k.Srv) == 0 })
}
