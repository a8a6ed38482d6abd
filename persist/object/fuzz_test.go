package object_test

import (
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/object"
)

// FuzzDecode: whatever bytes a row vouches for, decoding neither panics nor returns more than is allowed, and what it
// returns can be encoded and decoded again.
func FuzzDecode(f *testing.F) {
	for _, state := range []string{"", "text", strings.Repeat("text ", 100), string(noise(2000))} {
		stored, _ := object.Encode([]byte(state))
		f.Add(stored, int64(1000))
	}
	lying, _ := frame(10<<3, 1<<40, rle(1000)...)
	f.Add(lying, int64(1<<20))
	f.Fuzz(func(t *testing.T, stored []byte, most int64) {
		most = min(most, 1<<20)
		state, err := object.Decode(stored, sha256.Sum256(stored), most)
		if err != nil {
			require.ErrorIs(t, err, persist.ErrCorrupt)
			require.Nil(t, state)
			return
		}
		require.LessOrEqual(t, int64(len(state)), max(most, 0))
		again, sum := object.Encode(state)
		found, err := object.Decode(again, sum, most)
		require.NoError(t, err)
		require.Equal(t, state, found)
	})
}

// FuzzParseName: only what String returns is a name, and a name is one that buckets take.
func FuzzParseName(f *testing.F) {
	key := persist.Key{Party: "my party", Room: "r"}
	for _, name := range []string{
		object.SnapshotName(uuid, key, 12, 34, [32]byte{1}),
		object.VersionName(uuid, key, "x-2", [32]byte{1}),
		object.VersionName(uuid, persist.Key{Party: strings.Repeat("a", 200), Room: "r"}, strings.Repeat("b", 200), [32]byte{1}),
		uuid + "/../x", ".check/x", "",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		n, err := object.ParseName(name)
		if err != nil {
			require.Zero(t, n)
			return
		}
		require.Equal(t, name, n.String())
		require.NoError(t, object.ValidateName(name))
		require.True(t, strings.HasPrefix(name, object.StorePrefix(n.Store)))
		if n.IsVersion() {
			require.Zero(t, n.Epoch+n.Seq)
		}
	})
}
