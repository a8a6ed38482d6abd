package lib0

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// AppendVarUint appends an unsigned integer (lib0 writeVarUint) in the fewest bytes. It is the caller's part to keep n
// within [MaxInteger]; greater values are written as they are and no reader takes them.
func AppendVarUint(dst []byte, n uint64) []byte {
	for n >= 0x80 {
		dst = append(dst, byte(n)|0x80)
		n >>= 7
	}
	return append(dst, byte(n))
}

// VarUintLen returns how many bytes AppendVarUint appends for n.
func VarUintLen(n uint64) int {
	l := 1
	for n >= 0x80 {
		n >>= 7
		l++
	}
	return l
}

// AppendVarInt appends a signed integer (lib0 writeVarInt). Minus zero is magnitude 0 with negative set.
func AppendVarInt(dst []byte, magnitude uint64, negative bool) []byte {
	c := byte(magnitude & 0x3f)
	if negative {
		c |= 0x40
	}
	if magnitude < 0x40 {
		return append(dst, c)
	}
	return AppendVarUint(append(dst, c|0x80), magnitude>>6)
}

// AppendVarBytes appends the length of b and b (lib0 writeVarUint8Array).
func AppendVarBytes(dst, b []byte) []byte {
	return append(AppendVarUint(dst, uint64(len(b))), b...)
}

// AppendVarString appends the length of s in bytes and s (lib0 writeVarString). As a TextEncoder does with what has no
// UTF-8 form, invalid bytes are replaced by U+FFFD, so that the result can always be read.
func AppendVarString(dst []byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\ufffd")
	}
	return append(AppendVarUint(dst, uint64(len(s))), s...)
}

// AppendAny appends v as an any value. It takes what [Reader.Any] returns and, for convenience, int, float32 and
// map[string]any (keys in sorted order); anything else, and nesting over [MaxDepth], is an error of kind [ErrType] or
// [ErrDepth] and dst is returned as it was. Numbers take the form that lib0 writeAny chooses: an integer up to 2^31-1
// either way, else 32 bits where nothing is lost, else 64. Int64 is a bigint.
func AppendAny(dst []byte, v any) ([]byte, error) {
	out, err := appendAny(dst, v, MaxDepth)
	if err != nil {
		return dst, err
	}
	return out, nil
}

func appendAny(dst []byte, v any, depth int) ([]byte, error) {
	switch v := v.(type) {
	case Undefined:
		return append(dst, tagUndefined), nil
	case nil:
		return append(dst, tagNull), nil
	case bool:
		if v {
			return append(dst, tagTrue), nil
		}
		return append(dst, tagFalse), nil
	case float64:
		return appendNumber(dst, v), nil
	case float32:
		return appendNumber(dst, float64(v)), nil
	case int:
		return appendNumber(dst, float64(v)), nil
	case int64:
		return binary.BigEndian.AppendUint64(append(dst, tagBigInt), uint64(v)), nil
	case string:
		return AppendVarString(append(dst, tagString), v), nil
	case []byte:
		return AppendVarBytes(append(dst, tagBytes), v), nil
	case []any:
		return appendArray(dst, v, depth)
	case Object:
		return appendObject(dst, v, depth)
	case map[string]any:
		return appendMap(dst, v, depth)
	}
	return dst, fail(ErrType, len(dst))
}

func appendNumber(dst []byte, n float64) []byte {
	abs := math.Abs(n)
	if abs <= math.MaxInt32 && abs == math.Trunc(abs) {
		return AppendVarInt(append(dst, tagInteger), uint64(abs), math.Signbit(n))
	}
	if f := float32(n); float64(f) == n {
		return binary.BigEndian.AppendUint32(append(dst, tagFloat32), math.Float32bits(f))
	}
	return binary.BigEndian.AppendUint64(append(dst, tagFloat64), math.Float64bits(n))
}

func appendArray(dst []byte, values []any, depth int) (_ []byte, err error) {
	if depth <= 0 {
		return dst, fail(ErrDepth, len(dst))
	}
	dst = AppendVarUint(append(dst, tagArray), uint64(len(values)))
	for _, v := range values {
		if dst, err = appendAny(dst, v, depth-1); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

func appendObject(dst []byte, members Object, depth int) (_ []byte, err error) {
	if depth <= 0 {
		return dst, fail(ErrDepth, len(dst))
	}
	dst = AppendVarUint(append(dst, tagObject), uint64(len(members)))
	for _, m := range members {
		dst = AppendVarString(dst, m.Key)
		if dst, err = appendAny(dst, m.Value, depth-1); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

func appendMap(dst []byte, m map[string]any, depth int) ([]byte, error) {
	members := make(Object, 0, len(m))
	for k, v := range m {
		members = append(members, Member{k, v})
	}
	slices.SortFunc(members, func(a, b Member) int { return strings.Compare(a.Key, b.Key) })
	return appendObject(dst, members, depth)
}
