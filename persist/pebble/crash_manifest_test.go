package pebble_test

import (
	"math/rand/v2"
	"path"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist/pebble"
)

// TestPowerCutWhereTheManifestChanges cuts the power where a marker has been made
// that names another manifest, as opening does and a manifest that grew, and any
// of what was done to the directory may have reached the disk: not the marker
// without what it names.
func TestPowerCutWhereTheManifestChanges(t *testing.T) {
	type cut struct {
		fs    *crashMem
		acked int
	}
	const clones = 8
	var (
		fs   = newCrashMem()
		mu   sync.Mutex
		made bool // a marker, since the directory was synced
		now  int  // acknowledged
		cuts []cut
	)
	rng := rand.New(rand.NewPCG(1, 2))
	o := pebble.Options{FS: errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case op.Kind == errorfs.OpCreate && strings.HasPrefix(path.Base(op.Path), "marker.manifest."):
			made = true
		case made && op.Kind == errorfs.OpFileSync && op.Path == "db":
			made = false
			for range clones {
				cuts = append(cuts, cut{fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng}), now})
			}
		}
		return nil
	}))}.Small()
	s := mustOpen(t, "db", o)
	for n := range 30 {
		mustAppend(t, s, notes, uint64(n), "line")
		mu.Lock()
		now = n + 1
		mu.Unlock()
		require.NoError(t, s.DB().Flush()) // an edit of the manifest
	}
	require.NoError(t, s.Close())

	require.Greater(t, len(cuts), 3*clones, "the manifest was not replaced")
	for i, c := range cuts {
		o.FS = c.fs
		s, err := pebble.Open("db", o)
		require.NoError(t, err, "cut %d of %d", i, len(cuts))
		require.GreaterOrEqual(t, int(mustLoad(t, s, notes).Seq), c.acked)
		require.NoError(t, s.Close())
	}
}
