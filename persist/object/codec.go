package object

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// MaxWindow is the largest window of a zstd frame that Decode takes, in bytes.
const MaxWindow = 8 << 20

// encodeWindow is the one that Encode uses: an encoder has more than that of memory.
const encodeWindow = 4 << 20

// A frame's blocks have at least minBlock bytes and give at most maxBlock.
const (
	minBlock = 4
	maxBlock = 128 << 10
)

// Encoders and decoders are kept while they are in use, and by the pools until memory is wanted. Each works in the
// goroutine that has it.
var (
	encoders = sync.Pool{New: func() any {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(encodeWindow),
			zstd.WithLowerEncoderMem(true))
		if err != nil {
			panic(err) // the options are constants
		}
		return e
	}}
	decoders = sync.Pool{New: func() any {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(MaxWindow),
			zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderLowmem(true))
		if err != nil {
			panic(err) // the options are constants
		}
		return d
	}}
)

// maxUntold is the largest content whose size a frame of ours does not tell, in bytes.
const maxUntold = 255

// Encode returns the bytes to store for a state, one zstd frame that has a checksum, and their SHA-256.
// Another version of the library may encode the same state otherwise: the sum tells the bytes, not the state.
func Encode(state []byte) (stored []byte, sum [sha256.Size]byte) {
	e := encoders.Get().(*zstd.Encoder)
	defer encoders.Put(e)
	stored = e.EncodeAll(state, nil)
	return stored, sha256.Sum256(stored)
}

// Decode returns the state in stored bytes, which is the caller's. It looks into them only when they have the sum; the
// state has at most so many bytes. Errors are of type *DamageError, and match ErrTooLarge where that is what is wrong.
func Decode(stored []byte, sum [sha256.Size]byte, most int64) ([]byte, error) {
	if found := sha256.Sum256(stored); found != sum {
		return nil, &DamageError{Reason: fmt.Sprintf("its %d bytes have the sum %x, not %x", len(stored), found[:4], sum[:4])}
	}
	size, told, err := frameSize(stored, most)
	if err != nil {
		return nil, err
	}
	d := decoders.Get().(*zstd.Decoder)
	defer decoders.Put(d)
	state, err := d.DecodeAll(stored, make([]byte, 0, size))
	switch {
	case !told && size < maxUntold && errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return nil, &DamageError{Reason: fmt.Sprintf("a content of more than %d bytes", most), Err: ErrTooLarge}
	case err != nil:
		return nil, &DamageError{Reason: "it does not decode", Err: err}
	case told && len(state) != size:
		return nil, &DamageError{Reason: fmt.Sprintf("it has %d bytes of %d", len(state), size)}
	}
	return state, nil
}

// frameSize returns what the frame says its content has, or at most can have where it is not told. That is possible and
// allowed, which is known before anything of that size is allocated.
func frameSize(stored []byte, most int64) (size int, told bool, err error) {
	var h zstd.Header
	if err := h.Decode(stored); err != nil {
		return 0, false, &DamageError{Reason: "it is no zstd frame", Err: err}
	}
	window := h.WindowSize
	if h.SingleSegment {
		window = h.FrameContentSize
	}
	most = max(most, 0)
	switch size := h.FrameContentSize; {
	case h.Skippable || h.DictionaryID != 0:
		return 0, false, &DamageError{Reason: "it is no frame of ours"}
	case window > MaxWindow:
		return 0, false, &DamageError{Reason: fmt.Sprintf("a window of %d bytes, more than %d", window, MaxWindow), Err: ErrTooLarge}
	case !h.HasFCS:
		return int(min(most, maxUntold)), false, nil
	case size > uint64(most):
		return 0, false, &DamageError{Reason: fmt.Sprintf("a content of %d bytes, more than %d", size, most), Err: ErrTooLarge}
	case size > (uint64(len(stored))/minBlock+1)*maxBlock:
		return 0, false, &DamageError{Reason: fmt.Sprintf("%d bytes cannot be a content of %d", len(stored), size)}
	default:
		return int(size), true, nil
	}
}
