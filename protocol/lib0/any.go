package lib0

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"strings"
)

// The tags of any values (lib0 writeAny), one byte each:
//
//	127 undefined    123 float64, big endian    119 string
//	126 null         122 bigint, 64 bits        118 object: count, then key and value each
//	125 integer      121 false                  117 array: count, then values
//	124 float32      120 true                   116 Uint8Array
const (
	tagBytes     = 116
	tagArray     = 117
	tagObject    = 118
	tagString    = 119
	tagTrue      = 120
	tagFalse     = 121
	tagBigInt    = 122
	tagFloat64   = 123
	tagFloat32   = 124
	tagInteger   = 125
	tagNull      = 126
	tagUndefined = 127
)

// MaxDepth is the greatest nesting that is ever followed; a greater bound given to a function counts as this one. It
// keeps the stack of the reading goroutine within a few megabytes.
const MaxDepth = 10_000

// Undefined is JavaScript's undefined.
type Undefined struct{}

// Member is one entry of an [Object].
type Member struct {
	Key   string
	Value any
}

// Object is a JavaScript object in the order of the wire. When it came from [Reader.Any] no key occurs twice: as in
// JavaScript, the last value counts, at the place of the first.
type Object []Member

// SkipAny reads over one any value with at most maxDepth arrays and objects inside each other (lib0 readAny). It accepts
// what lib0 decodes without an error; a kind [ErrDepth] means that lib0 would have accepted it.
func (r *Reader) SkipAny(maxDepth int) error {
	if r.pos >= len(r.b) {
		return fail(ErrEnd, r.pos)
	}
	tag := r.b[r.pos]
	r.pos++
	switch tag {
	case tagUndefined, tagNull, tagTrue, tagFalse:
		return nil
	case tagInteger:
		_, _, err := r.VarInt()
		return err
	case tagFloat32:
		_, err := r.Bytes(4)
		return err
	case tagFloat64, tagBigInt:
		_, err := r.Bytes(8)
		return err
	case tagString:
		_, err := r.VarString()
		return err
	case tagBytes:
		_, err := r.VarBytes()
		return err
	case tagArray, tagObject:
		return r.skipContainer(tag == tagObject, min(maxDepth, MaxDepth))
	}
	return fail(ErrTag, r.pos-1)
}

// skipContainer reads over the entries of an array or object.
func (r *Reader) skipContainer(object bool, depth int) error {
	if depth <= 0 {
		return fail(ErrDepth, r.pos-1)
	}
	n, err := r.count()
	if err != nil {
		return err
	}
	for ; n > 0; n-- {
		if object {
			if _, err := r.VarString(); err != nil {
				return err
			}
		}
		if err := r.SkipAny(depth - 1); err != nil {
			return err
		}
	}
	return nil
}

// count reads the number of entries of a container and holds it against the bytes that are left.
func (r *Reader) count() (uint64, error) {
	n, err := r.VarUint()
	if err != nil {
		return 0, err
	}
	if n > uint64(r.Len()) {
		return 0, fail(ErrEnd, r.pos)
	}
	return n, nil
}

// Any reads one any value into Go values, with at most maxDepth arrays and objects inside each other:
//
//	undefined Undefined{}   number float64     string     string    array  []any
//	null      nil           bigint int64       Uint8Array []byte    object Object
//	boolean   bool
//
// Unlike everything else here it copies and allocates: at most 24 bytes for each byte read, and nothing before the whole
// value was found to be sound. Use SkipAny where the value itself is of no interest.
func (r *Reader) Any(maxDepth int) (any, error) {
	start := *r
	if err := r.SkipAny(maxDepth); err != nil {
		return nil, err
	}
	return start.sound(), nil
}

// sound reads a value that SkipAny has accepted: nothing can go wrong, and every count is what is really there.
func (r *Reader) sound() any {
	tag, _ := r.Uint8()
	switch tag {
	case tagNull:
		return nil
	case tagTrue, tagFalse:
		return tag == tagTrue
	case tagInteger:
		n, negative, _ := r.VarInt()
		if negative {
			return math.Copysign(float64(n), -1)
		}
		return float64(n)
	case tagFloat32:
		b, _ := r.Bytes(4)
		return float64(math.Float32frombits(binary.BigEndian.Uint32(b)))
	case tagFloat64:
		b, _ := r.Bytes(8)
		return math.Float64frombits(binary.BigEndian.Uint64(b))
	case tagBigInt:
		b, _ := r.Bytes(8)
		return int64(binary.BigEndian.Uint64(b))
	case tagString:
		s, _ := r.VarBytes()
		return string(s)
	case tagBytes:
		b, _ := r.VarBytes()
		return append([]byte(nil), b...)
	case tagArray:
		return r.soundArray()
	case tagObject:
		return r.soundObject()
	}
	return Undefined{}
}

func (r *Reader) soundArray() []any {
	n, _ := r.VarUint()
	if n == 0 {
		return nil
	}
	values := make([]any, n)
	for i := range values {
		values[i] = r.sound()
	}
	return values
}

func (r *Reader) soundObject() Object {
	n, _ := r.VarUint()
	if n == 0 {
		return nil
	}
	members := make(Object, n)
	for i := range members {
		key, _ := r.VarBytes()
		members[i].Key = string(key)
		members[i].Value = r.sound()
	}
	return members.unique()
}

// unique leaves the last value of each key, at the place of its first.
func (o Object) unique() Object {
	if len(o) < 2 {
		return o
	}
	order := make([]uint32, len(o))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int {
		return cmp.Or(strings.Compare(o[a].Key, o[b].Key), cmp.Compare(a, b))
	})
	var repeated []bool
	first := order[0]
	for _, i := range order[1:] {
		if o[i].Key != o[first].Key {
			first = i
			continue
		}
		if repeated == nil {
			repeated = make([]bool, len(o))
		}
		o[first].Value = o[i].Value
		repeated[i] = true
	}
	if repeated == nil {
		return o
	}
	kept := o[:0]
	for i, m := range o {
		if !repeated[i] {
			kept = append(kept, m)
		}
	}
	clear(o[len(kept):])
	return kept
}
