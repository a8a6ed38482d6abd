package pebble_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/pebble"
)

// FuzzDead: whatever bytes lie where dead client ids should be, decoding neither
// panics nor accepts what is not ascending.
func FuzzDead(f *testing.F) {
	key := []byte("c-some-key")
	f.Add(pebble.Dead(key, []uint64{0}))
	f.Add(pebble.Dead(key, []uint64{0, 1, 5, 1 << 40, 1<<64 - 1}))
	f.Add([]byte{1, 5, 0})
	f.Add([]byte{1, 5, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Add(bytes.Repeat([]byte{0xff}, 40))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, value := range [][]byte{data, pebble.Sealed(key, data), pebble.Row(key, data)} {
			dead, err := pebble.ParseDead(key, value)
			if err != nil {
				require.Nil(t, dead)
				continue
			}
			require.NotEmpty(t, dead)
			require.Equal(t, dead, persist.MergeDead(dead, nil), "ascending, each once")
			again, err := pebble.ParseDead(key, pebble.Dead(key, dead))
			require.NoError(t, err)
			require.Equal(t, dead, again)
		}
	})
}

// FuzzVersion: the same for versions and their keys.
func FuzzVersion(f *testing.F) {
	for _, v := range pebble.SampleVersions() {
		key := pebble.VersionKey(7, &v)
		f.Add(key, v.Append(key))
	}
	f.Add([]byte("e"), []byte{1})
	f.Add(append(append([]byte("e"), make([]byte, 16)...), "id"...), []byte{1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, key, data []byte) {
		for _, value := range [][]byte{data, pebble.Sealed(key, data), pebble.Row(key, data)} {
			v, err := pebble.ParseVersion(key, value)
			if err != nil {
				require.Zero(t, v)
				continue
			}
			require.NoError(t, v.Validate())
			again, err := pebble.ParseVersion(key, v.Append(key))
			require.NoError(t, err)
			require.Equal(t, v, again)
			_, err = pebble.ParseVersion(append(bytes.Clone(key), 'x'), value)
			require.Error(t, err, "the version of another id")
		}
	})
}

// FuzzVersionKeys: distinct versions of a document have distinct keys, in the
// order of time and then id.
func FuzzVersionKeys(f *testing.F) {
	f.Add(int64(5), "a", int64(5), "ab")
	f.Add(int64(5), "a", int64(6), "A")
	f.Fuzz(func(t *testing.T, ms1 int64, id1 string, ms2 int64, id2 string) {
		var v1, v2 pebble.Version
		v1.ID, v1.Created = id1, time.UnixMilli(ms1)
		v2.ID, v2.Created = id2, time.UnixMilli(ms2)
		if v1.Validate() != nil || v2.Validate() != nil {
			return
		}
		less := ms1 < ms2 || ms1 == ms2 && id1 < id2
		k1, k2 := pebble.VersionKey(7, &v1), pebble.VersionKey(7, &v2)
		require.Equal(t, less, bytes.Compare(k1, k2) < 0)
		require.Equal(t, ms1 == ms2 && id1 == id2, bytes.Equal(k1, k2))
		ms, name, err := pebble.ParseSinceKey(pebble.SinceKey(uint64(ms1), id1))
		require.NoError(t, err)
		require.Equal(t, uint64(ms1), ms)
		require.Equal(t, id1, name)
	})
}

func TestHeadsAreNoLongerThanTheirBound(t *testing.T) {
	for _, h := range pebble.SampleHeads() {
		require.LessOrEqual(t, len(h.Append(nil, pebble.HeadKey(notes))), pebble.HeadLimit)
	}
}
