package object_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/persist"
	"github.com/yserverd/yserverd/persist/object"
)

// A snapshot is encoded and named; the row that records it has its sum.
func Example() {
	const store = "6fe7c4e6-0d2a-4d39-8f0e-6a1d9f5b7c11"
	key := persist.Key{Party: "main", Room: "notes"}
	stored, sum := object.Encode([]byte("state"))
	name := object.SnapshotName(store, key, 1, 500, sum)
	fmt.Println(strings.HasPrefix(name, object.DocumentPrefix(store, key)))

	state, err := object.Decode(stored, sum, 1<<20)
	fmt.Printf("%s %v\n", state, err)
	_, err = object.Decode(append(stored, 0), sum, 1<<20)
	fmt.Println(errors.Is(err, persist.ErrCorrupt))
	// Output:
	// true
	// state <nil>
	// true
}

const most = 64 << 20

// noise returns bytes that do not compress.
func noise(n int) []byte {
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(data) // it never fails
	return data
}

func TestDecodeReturnsWhatWasEncoded(t *testing.T) {
	for _, state := range [][]byte{
		{},
		{0},
		[]byte("text"), bytes.Repeat([]byte("a"), 255), bytes.Repeat([]byte("a"), 256), noise(257), noise(1025),
		bytes.Repeat([]byte("abc"), 3<<20), noise(4 << 20), noise(4<<20 + 1), noise(9 << 20),
	} {
		stored, sum := object.Encode(state)
		require.Equal(t, sha256.Sum256(stored), sum)
		for _, most := range []int64{int64(len(state)), most} {
			found, err := object.Decode(stored, sum, most)
			require.NoError(t, err, "%d bytes", len(state))
			require.NotNil(t, found)
			require.True(t, bytes.Equal(state, found), "%d bytes", len(state))
		}
		if len(state) > 0 {
			for _, most := range []int64{int64(len(state)) - 1, 0, -1} {
				_, err := object.Decode(stored, sum, most)
				require.ErrorIs(t, err, persist.ErrCorrupt)
				require.ErrorIs(t, err, object.ErrTooLarge, "%d bytes", len(state))
			}
		}
	}
}

func TestEncodeByMany(t *testing.T) {
	want := noise(300_000)
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for i := range 20 {
				state := want[n : 1000*(i+1)+n]
				stored, sum := object.Encode(state)
				found, err := object.Decode(stored, sum, most)
				if err != nil || !bytes.Equal(state, found) {
					t.Errorf("came back otherwise: %v", err)
				}
			}
		})
	}
	wg.Wait()
}

// requireDamage requires an error with that in it, and that decoding took next to no memory.
func requireDamage(t *testing.T, reason string, stored []byte, sum [32]byte) {
	t.Helper()
	require.ErrorContains(t, damage(t, stored, sum), reason)
}

// damage requires an error that says so, and that decoding took next to no memory.
func damage(t *testing.T, stored []byte, sum [32]byte) error {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	state, err := object.Decode(stored, sum, most)
	runtime.ReadMemStats(&after)
	require.ErrorIs(t, err, persist.ErrCorrupt)
	var typed *object.DamageError
	require.ErrorAs(t, err, &typed)
	require.Nil(t, state)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(24<<20), "bytes allocated for %v", err)
	return err
}

func TestEveryChangedByteIsSeen(t *testing.T) {
	stored, sum := object.Encode([]byte("a state that somebody cares for"))
	for i := range stored {
		changed := bytes.Clone(stored)
		changed[i] ^= 1
		requireDamage(t, "sum", changed, sum)
		_, err := object.Decode(stored[:i], sum, most)
		require.ErrorIs(t, err, persist.ErrCorrupt)
	}
	requireDamage(t, "sum", append(bytes.Clone(stored), 0), sum)
	requireDamage(t, "sum", nil, sum)
}

// TestSumComesFirst: bytes that would decode do not get that far.
func TestSumComesFirst(t *testing.T) {
	stored, sum := object.Encode(noise(1000))
	other, _ := object.Encode([]byte("fine as well"))
	requireDamage(t, "sum", other, sum)
	bomb, _ := bomb(t)
	requireDamage(t, "sum", bomb, sum)
	_, err := object.Decode(stored, sum, most)
	require.NoError(t, err)
}

// bomb is 1 GiB of zeroes in a frame that does not tell its size.
func bomb(t *testing.T) ([]byte, [32]byte) {
	t.Helper()
	var b bytes.Buffer
	e, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	require.NoError(t, err)
	zeroes := make([]byte, 1<<20)
	for range 1 << 10 {
		_, err = e.Write(zeroes)
		require.NoError(t, err)
	}
	require.NoError(t, e.Close())
	return b.Bytes(), sha256.Sum256(b.Bytes())
}

func TestBombDoesNotGoOff(t *testing.T) {
	stored, sum := bomb(t)
	require.Less(t, len(stored), 1<<18)
	requireDamage(t, "does not decode", stored, sum)
}

// frame is a header with a window descriptor and a content size of eight bytes, and blocks.
func frame(window byte, size uint64, blocks ...byte) ([]byte, [32]byte) {
	stored := binary.LittleEndian.AppendUint32(nil, 0xFD2FB528)
	stored = append(stored, 0xC0, window)
	stored = binary.LittleEndian.AppendUint64(stored, size)
	stored = append(stored, blocks...)
	return stored, sha256.Sum256(stored)
}

// rle is a block, the last of a frame, of n equal bytes.
func rle(n uint32) []byte {
	header := n<<3 | 1<<1 | 1
	return []byte{byte(header), byte(header >> 8), byte(header >> 16), 'x'}
}

func TestFramesThatLie(t *testing.T) {
	const megabyte = 10 << 3 // the descriptor of that window
	stored, sum := frame(megabyte, 1000, rle(1000)...)
	state, err := object.Decode(stored, sum, most)
	require.NoError(t, err, "the frames of this test are well-formed")
	require.Equal(t, bytes.Repeat([]byte("x"), 1000), state)

	for name, row := range map[string]struct {
		window byte
		size   uint64
		blocks []byte
		tooBig bool
	}{
		"content larger than allowed":   {megabyte, most + 1, rle(1000), true},
		"content of all there is":       {megabyte, 1<<64 - 1, rle(1000), true},
		"content that cannot be":        {megabyte, most, rle(1000), false},
		"content of less than it says":  {megabyte, 2000, rle(1000), false},
		"content of more than it says":  {megabyte, 999, rle(1000), false},
		"window too large":              {14 << 3, 1000, rle(1000), true},
		"window as large as can be":     {0xff, 1000, rle(1000), true},
		"block that is not there":       {megabyte, 1000, nil, false},
		"block that is cut":             {megabyte, 1000, rle(1000)[:3], false},
		"block larger than blocks may":  {megabyte, 1 << 18, rle(1 << 18), false},
		"another frame behind the last": {megabyte, 1000, append(rle(1000), stored...), false},
		"bytes behind the last":         {megabyte, 1000, append(rle(1000), "more"...), false},
	} {
		stored, sum := frame(row.window, row.size, row.blocks...)
		err := damage(t, stored, sum)
		require.Equal(t, row.tooBig, errors.Is(err, object.ErrTooLarge), "%s: %v", name, err)
	}
}

func TestFramesThatAreNotOurs(t *testing.T) {
	skippable := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, 0x184D2A50), 4)
	for _, stored := range [][]byte{
		nil, []byte("no frame"), append(skippable, "skip"...), {0x28, 0xB5, 0x2F, 0xFD, 0x21, 0x07, 0x04, 0x01, 0, 0},
	} {
		requireDamage(t, "", stored, sha256.Sum256(stored))
	}
}

// TestDamageErrorSays what it is made of.
func TestDamageErrorSays(t *testing.T) {
	cause := errors.New("cause")
	err := &object.DamageError{Reason: "reason", Err: cause}
	require.ErrorIs(t, err, cause)
	require.ErrorIs(t, err, persist.ErrCorrupt)
	require.EqualError(t, err, "damaged object: reason: cause")
	require.EqualError(t, &object.DamageError{Reason: "reason"}, "damaged object: reason")
}
