package lib0_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yserverd/yserverd/protocol/lib0"
)

func kind(k lib0.ErrKind) error { return &lib0.Error{Kind: k} }

func TestVarUintRange(t *testing.T) {
	zeros := func(n int) []byte { return bytes.Repeat([]byte{0x80}, n) }
	for _, c := range []struct {
		name string
		b    []byte
		want uint64
		err  error
	}{
		{"nothing", nil, 0, kind(lib0.ErrEnd)},
		{"open end", []byte{0x80}, 0, kind(lib0.ErrEnd)},
		{"open end after eight", zeros(8), 0, kind(lib0.ErrEnd)},
		{"superfluous groups", append(append([]byte{0x85}, zeros(20)...), 0), 5, nil},
		{"as many groups as lib0 adds", append(append([]byte{0x85}, zeros(145)...), 0), 5, nil},
		{"one more", append(append([]byte{0x85}, zeros(146)...), 0), 0, kind(lib0.ErrRange)},
		{"endless", zeros(1000), 0, kind(lib0.ErrRange)},
		{"greatest", []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f}, lib0.MaxInteger, nil},
		{"greatest, superfluous", []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x8f, 0x80, 0x00}, lib0.MaxInteger, nil},
		{"one too great", []byte{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10}, 0, kind(lib0.ErrRange)},
		{"too great in nine", []byte{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01}, 0, kind(lib0.ErrRange)},
		{"64 bits", bytes.Repeat([]byte{0xff}, 10), 0, kind(lib0.ErrRange)},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, tail := range []int{0, 8} {
				b := c.b
				if c.err == nil {
					b = append(b[:len(b):len(b)], make([]byte, tail)...)
				}
				r := lib0.NewReader(b)
				n, err := r.VarUint()
				require.ErrorIs(t, err, c.err)
				require.Equal(t, c.want, n)
				if c.err == nil {
					require.Equal(t, tail, r.Len())
					require.Equal(t, len(c.b), r.Pos())
				}
			}
		})
	}
}

func TestVarIntRange(t *testing.T) {
	for _, c := range []struct {
		b   []byte
		err error
	}{
		{nil, kind(lib0.ErrEnd)},
		{[]byte{0x80}, kind(lib0.ErrEnd)},
		{[]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x20}, kind(lib0.ErrRange)},
		{bytes.Repeat([]byte{0x80}, 200), kind(lib0.ErrRange)},
	} {
		r := lib0.NewReader(c.b)
		_, _, err := r.VarInt()
		require.ErrorIs(t, err, c.err, "%x", c.b)
	}
}

func TestLengthsAreCheckedFirst(t *testing.T) {
	huge := lib0.AppendVarUint(nil, lib0.MaxInteger)
	for name, read := range map[string]func(*lib0.Reader) error{
		"bytes":  func(r *lib0.Reader) error { _, err := r.VarBytes(); return err },
		"string": func(r *lib0.Reader) error { _, err := r.VarString(); return err },
		"units":  func(r *lib0.Reader) error { _, _, err := r.VarStringUnits(); return err },
	} {
		r := lib0.NewReader(append(huge[:len(huge):len(huge)], "rest"...))
		require.ErrorIs(t, read(&r), kind(lib0.ErrEnd), name)
	}
	for _, tag := range []byte{116, 117, 118, 119} {
		b := append([]byte{tag}, huge...)
		r := lib0.NewReader(b)
		require.ErrorIs(t, r.SkipAny(8), kind(lib0.ErrEnd), tag)
		r = lib0.NewReader(b)
		_, err := r.Any(8)
		require.ErrorIs(t, err, kind(lib0.ErrEnd), tag)
	}
}

func TestReadingBorrows(t *testing.T) {
	b := lib0.AppendVarBytes(nil, []byte("abc"))
	b = append(b, 'd')
	r := lib0.NewReader(b)
	got, err := r.VarBytes()
	require.NoError(t, err)
	b[1] = 'x'
	require.Equal(t, "xbc", string(got))
	require.Equal(t, 3, cap(got), "an append must not reach what follows")
	require.Equal(t, 3, cap(r.From(1)))
}

func TestErrorSaysWhere(t *testing.T) {
	r := lib0.NewReader([]byte{1, 2, 9, 'a'})
	_, _ = r.Bytes(2)
	_, err := r.VarBytes()
	require.EqualError(t, err, "lib0: unexpected end at byte 3")
	require.Equal(t, "unknown fault", lib0.ErrKind(99).String())
}

func TestAppendVarStringReplacesInvalid(t *testing.T) {
	r := lib0.NewReader(lib0.AppendVarString(nil, "a\xffb"))
	s, err := r.VarString()
	require.NoError(t, err)
	require.Equal(t, "a\ufffdb", string(s))
}

func TestUTF16Offset(t *testing.T) {
	for _, s := range []string{"", "a", "abcdefghijklmnop", "éé", "日本語日本語日本語", "😀", "a😀b😀", "1234567😀", "12345678😀90123456é😀", strings.Repeat("aé日😀", 20)} {
		units := 0
		for at, c := range s {
			offset, split := lib0.UTF16Offset([]byte(s), uint64(units))
			require.Equal(t, at, offset, "%q at %d", s, units)
			require.False(t, split)
			if c > 0xffff {
				offset, split = lib0.UTF16Offset([]byte(s), uint64(units)+1)
				require.Equal(t, at, offset, "%q at %d", s, units+1)
				require.True(t, split)
				units++
			}
			units++
		}
		require.Equal(t, units, int(lib0.UTF16Len([]byte(s))), "%q", s)
		for _, past := range []int{0, 1, 100} {
			offset, split := lib0.UTF16Offset([]byte(s), uint64(units+past))
			require.Equal(t, len(s), offset, "%q", s)
			require.False(t, split)
		}
	}
}
