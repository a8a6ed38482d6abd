package pebble_test

import (
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/yserverd/yserverd/persist/object"
	"github.com/yserverd/yserverd/persist/pebble"
	"github.com/yserverd/yserverd/persist/persisttest"
)

func TestBucketSuite(t *testing.T) {
	for _, options := range []struct {
		name string
		make func() pebble.Options
	}{
		{"memory", func() pebble.Options { return pebble.Options{FS: vfs.NewMem()} }},
		{"small", func() pebble.Options { return pebble.Options{FS: vfs.NewMem(), Heads: 2, MaxInFlight: 2}.Small() }},
	} {
		t.Run(options.name, func(t *testing.T) {
			o, base := options.make(), t.TempDir()
			persisttest.RunBucket(t, func(tb testing.TB, name string, bucket object.Bucket) persisttest.Store {
				o.Bucket = bucket
				return mustOpen(tb, filepath.Join(base, name), o)
			})
		})
	}
}
