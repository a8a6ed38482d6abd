package object_test

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/object"
)

const uuid = "6fe7c4e6-0d2a-4d39-8f0e-6a1d9f5b7c11"

func TestNamesAreAsDocumented(t *testing.T) {
	key := persist.Key{Party: "my party", Room: "notes"}
	sum := [32]byte{0xab, 31: 0xcd}
	room := fmt.Sprintf("%x", sha256.Sum256([]byte("notes")))
	digits := "ab" + strings.Repeat("00", 30) + "cd"
	got := object.SnapshotName(uuid, key, 2, 340, sum)
	require.Equal(t, uuid+"/my%20party/"+room+"/2-340-"+digits+".yjs.zst", got)
	require.Equal(t, uuid+"/my%20party/"+room+"/v-before.2-"+digits+".yjs.zst", object.VersionName(uuid, key, "before.2", sum))
	require.Equal(t, uuid+"/my%20party/"+room+"/", object.DocumentPrefix(uuid, key))
	require.Equal(t, uuid+"/", object.StorePrefix(uuid))
}

func TestNamesTellDocumentsApart(t *testing.T) {
	sum := [32]byte{1}
	seen := make(map[string]string)
	long := strings.Repeat("x", 1000)
	for _, k := range []persist.Key{
		{Party: "a", Room: "b"},
		{Party: "a", Room: "B"},
		{Party: "A", Room: "b"},
		{Party: "a/b", Room: "b"},
		{Party: "a%2Fb", Room: "b"},
		{Party: ".", Room: "b"},
		{Party: "..", Room: "b"},
		{Party: "%2E", Room: "b"},
		{Party: long, Room: "b"},
		{Party: long + "x", Room: "b"},
		{Party: "~", Room: "b"},
		{Party: "a", Room: "b" + long},
	} {
		names := []string{object.VersionName(uuid, k, "2-3", sum), object.VersionName(uuid, k, "x", sum), object.VersionName(uuid, k, long, sum)}
		for _, epoch := range []persist.Epoch{0, 1, 12} {
			for _, seq := range []persist.Seq{0, 2, 21} {
				names = append(names, object.SnapshotName(uuid, k, epoch, seq, sum))
			}
		}
		for _, name := range names {
			require.Empty(t, seen[name], "%s", name)
			seen[name] = k.String()
			require.NoError(t, object.ValidateName(name))
			require.LessOrEqual(t, len(name), 500)
			require.True(t, strings.HasPrefix(name, object.DocumentPrefix(uuid, k)))
		}
	}
}

// TestParsedNames: what is parsed is what was named.
func TestParsedNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.StringN(1, 50, 300), rapid.Map(rapid.SliceOfN(rapid.Byte(), 1, 200), func(b []byte) string { return string(b) }),
			rapid.SampledFrom([]string{".", "..", "~", "%", "-", "v-1", strings.Repeat("a", 128), strings.Repeat("a", 129)}))
		key := persist.Key{Party: text.Draw(t, "party"), Room: text.Draw(t, "room")}
		other := persist.Key{Party: text.Draw(t, "other party"), Room: text.Draw(t, "other room")}
		id := text.Draw(t, "version")
		epoch, seq := rapid.Uint64().Draw(t, "epoch"), rapid.Uint64().Draw(t, "seq")
		var sum [32]byte
		copy(sum[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "sum"))

		for _, version := range []bool{false, true} {
			name := object.SnapshotName(uuid, key, epoch, seq, sum)
			if version {
				name = object.VersionName(uuid, key, id, sum)
			}
			require.NoError(t, object.ValidateName(name))
			n, err := object.ParseName(name)
			require.NoError(t, err)
			require.Equal(t, name, n.String())
			require.Equal(t, uuid, n.Store)
			require.Equal(t, sum, n.Sum)
			require.Equal(t, version, n.IsVersion())
			require.Equal(t, version, n.OfVersion(id))
			require.False(t, n.OfVersion(id+"x"))
			if !version {
				require.Equal(t, []uint64{epoch, seq}, []uint64{n.Epoch, n.Seq})
			}
			require.True(t, n.Of(key))
			require.Equal(t, key == other, n.Of(other))
		}
	})
}

func TestWhatIsNoName(t *testing.T) {
	key, sum := persist.Key{Party: "main", Room: "r"}, [32]byte{0xab}
	snapshot, version := object.SnapshotName(uuid, key, 12, 34, sum), object.VersionName(uuid, key, "x", sum)
	_, err := object.ParseName(snapshot)
	require.NoError(t, err)
	bad := []string{"", "/", ".check/x", snapshot + "/", "/" + snapshot, "prefix/" + snapshot, snapshot + "x", strings.ToUpper(snapshot)}
	for _, change := range [][2]string{
		{uuid, ""},
		{uuid, "x" + uuid[1:]},
		{uuid, strings.ReplaceAll(uuid, "-", "0")},
		{"/main/", "//"},
		{"/main/", "/../"},
		{"/main/", "/.a/"},
		{"/main/", "/%6dain/"},
		{"/main/", "/%2/"},
		{"/main/", "/%zz/"},
		{"/main/", "/~/"},
		{"/main/", "/" + strings.Repeat("a", 129) + "/"},
		{"/12-", "/012-"},
		{"/12-", "/-"},
		{"/12-", "/+12-"},
		{"/12-", "/"},
		{"-34-", "-x-"},
		{"-34-", "-34"},
		{"-34-", "-18446744073709551616-"},
		{"-ab", "-aB"},
		{"-ab", "-"},
		{".yjs.zst", ".yjs"},
		{"v-x-", "v--"},
		{"v-x-", "v-x/"},
		{"v-x-", "v-%78-"},
	} {
		for _, good := range []string{snapshot, version} {
			if changed := strings.Replace(good, change[0], change[1], 1); changed != good {
				bad = append(bad, changed)
			}
		}
	}
	require.Greater(t, len(bad), 30)
	for _, name := range bad {
		_, err := object.ParseName(name)
		require.Error(t, err, "%q", name)
		require.ErrorContains(t, err, fmt.Sprintf("%q", name))
	}
}

func TestEscapeLeavesOrdinaryNamesAlone(t *testing.T) {
	for spoken, escaped := range map[string]string{
		"my-party_2.x": "my-party_2.x", "a b": "a%20b", ".": "%2E", "..": "%2E.", "a/b": "a%2Fb", "%": "%25", "~": "%7E", "ä": "%C3%A4",
	} {
		require.Equal(t, escaped, object.Escape(spoken))
	}
	require.Equal(t, strings.Repeat("a", 128), object.Escape(strings.Repeat("a", 128)))
	require.Len(t, object.Escape(strings.Repeat("a", 129)), 65)
}
